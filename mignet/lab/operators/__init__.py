"""Stand-ins for the operators of the lab's clusters: what they would write, after what they would read.

A cluster of the lab is an API server alone. These play the HyperConverged operator, virt-operator, the controllers of
DaemonSets and Deployments, the kubelet with multus, a CNI plugin and whereabouts, and virt-controller as far as
migrations go: all that a migration network is seen by. Nothing runs: a pod here is an object. All that they make bears
the label `lab.migration-network/stand-in`; the operators' own field managers stand in what the operators would own,
`lab-stand-in` in the rest.
"""
