"""The lab: two clusters for development, each a real kube-apiserver, both on one real etcd, on loopback only.

No kubelet, no controllers and no operators run behind them; what those would have written is seeded once (`seeds.py`).
"""
