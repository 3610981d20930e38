"""The lab: two clusters for development, each a real kube-apiserver, both on one real etcd, on loopback only.

No kubelet, no controllers and no operators run behind them. What those would have written before the first migration
network is seeded once (`seeds.py`); what they would do then is done by stand-ins (`operators/`).
"""
