"""The faults that can be switched on in the lab, and which of them a pod is made under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.lab.operators.templates import HANDLER, SYNCHRONIZER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHAPE = "lab.migration-network/faults"
"""The annotation of a pod with the faults that it was made under."""

ON_ONE_HANDLER = {
    "handler-on-pod-network": "one virt-handler starts without migration0, and silently uses the pod network",
    "handler-without-address": "one virt-handler gets migration0 without an address, and panics",
    "handler-stuck": "the sandbox of one virt-handler cannot be made: its node has no such CNI plugin",
    "handler-mtu": "one virt-handler's migration0 has MTU 1500",
    "handler-outside-slice": "one virt-handler gets an address of the range outside of the cluster's slice",
    "handler-duplicate": "one virt-handler gets the address of another one",
    "handler-duplicate-peer": "one virt-handler gets the address of a virt-handler of the other cluster",
    "handler-held": "one virt-handler does not turn ready, and nothing says why",
    "pool-full": "other pods hold every address of the slice, and one virt-handler is to start",
}
"""What is wrong with the virt-handler of one node: of the node that the fault is about, else of the last one."""

ON_CONTROL_PLANE = {
    "control-plane-without-nic": "the control-plane nodes have no eth1 (or the NIC it is about): sync controller stuck",
}

ELSEWHERE = {
    "operator-asleep": "the HyperConverged operator does nothing: observedGeneration stays behind",
    "conditions-stale": "the HyperConverged keeps its old conditions and observedGeneration while the pods roll",
    "conditions-early": "the HyperConverged says Available before the pods are done",
    "annotation-missing": "virt-operator does not ask for the network: no pod has migration0",
    "leases-leaked": "leases of pods that do not exist are in the pool: 8, or as many as it is about",
    "pool-nearly-full": "other pods hold all addresses of the slice but one, or but as many as it is about",
    "reconciler-missing": "the network operator is not told of whereabouts: its reconciler does not run",
    "whereabouts-missing": "whereabouts is not installed: no definitions, and no plugin for pods that start",
    "multus-missing": "multus is not installed: pods that start have no second interface, and none is reported",
    "policy-refused": "one node refuses every NodeNetworkConfigurationPolicy: the one it is about, else the last",
    "authority-missing": "virt-operator does not keep kubevirt-ca: there is no bundle of authorities",
    "authority-expired": "kubevirt-ca holds nothing but an authority that has expired",
    "authority-unexchanged": "kubevirt-ca holds the cluster's own authority, and none of its peers'",
    "authority-renewed": "kubevirt-ca has a new authority of the cluster's own in front, which its peers have not got",
    "gate-missing": "KubeVirt does not list the gate of migrations between clusters: no sync controller",
    "sync-stale": "virt-operator publishes the address of a virt-handler as the sync controller's",
    "upgrade-running": "KubeVirt is being upgraded to the next minor version",
    "sync-on-pod-network": "virt-operator publishes the sync controller's address on the pod network",
    "lease-of-peer": "the pool holds a lease of an address that a virt-handler of the other cluster has",
    "version-next": "KubeVirt is of the next minor version",
    "version-old": "KubeVirt is of 1.6, whose sync controllers and those of 1.7 and later do not talk",
    "toolkit-off": "the migration toolkit is installed, with live migration between clusters off",
    "migration-on-pod-network": "migrations use the address of virt-handler on the pod network",
    "migration-fails": "migrations fail once they run",
    "migration-hangs": "migrations run, and do not end",
    "sync-unreachable": "a firewall lets no other cluster reach the sync controller",
    "crossing-target-lost": "a machine that another cluster has sent and stopped does not run: its target failed",
    "crossing-runs-twice": "a machine that another cluster sends runs here, while that one takes it for failed",
    "machine-idle": "virtual machines do not start: virt-controller makes no instance of them",
    "machine-stays": "virtual machines that are deleted stay: virt-controller does not let them go",
}

ON_THE_FABRIC = {
    "nic-unplugged": "the cable of one node's NIC is out",
    "nic-on-another-vlan": "the switch has one node's NIC in a VLAN where nobody else is",
    "nic-small-mtu": "the switch carries 1500 bytes to and from one node",
    "port-9185-blocked": "a firewall lets no connection to TCP port 9185 pass to or from one node",
    "ports-high-blocked": "a firewall lets no connection to TCP ports above 1023 but 9185 pass to or from one node",
    "address-twice": "a foreign machine has the address of the checkup's pod on one node",
}
"""What is wrong with the network of one node of a lab with a data plane: of the node that it is about, or the last."""

ALL = ON_ONE_HANDLER | ON_CONTROL_PLANE | ELSEWHERE | ON_THE_FABRIC
"""Each fault, and what it does in one line."""


def shape(on: Mapping[str, str], workload: str, node: str, nodes: Sequence[str]) -> str:
    """Return the faults under which a pod is made, a comma between them; `nodes` are those of its workload."""
    if workload == HANDLER:
        found = [name for name in ON_ONE_HANDLER if name in on and node == (on[name] or nodes[-1])]
    elif workload == SYNCHRONIZER:
        found = [name for name in ON_CONTROL_PLANE if name in on]
    else:
        found = []
    return ",".join(found)
