"""KubeVirt and the HyperConverged operator as they behave: pods, gates, patches, rollouts.

Imports mignet.kube and config.
"""
