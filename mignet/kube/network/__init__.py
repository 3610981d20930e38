"""The nodes' and the pods' network as kubernetes-nmstate, multus and the CNI plugins have it.

Imports mignet.kube and config.
"""
