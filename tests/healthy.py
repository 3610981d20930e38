"""A cluster in which the network is rolled out, as plain objects, for tests to break one thing of."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from config.stack import Stack, load_stack
from mignet.cluster import ClusterError
from mignet.kinds import Kind
from mignet.snapshot import Read, Snapshot
from mignet.verify import reads
from mignet.verify.sight import Sight

Object = dict[str, Any]
NAMESPACE = "openshift-cnv"
MADE, LATER = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
VALUES: dict[str, Any] = {
    "segment": {"subnet": "10.200.5.0/24", "mtu": 9000, "gateway": "10.200.5.1", "reserved": ["10.200.5.250"]},
    "cluster": {"context": "dev"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
}
DUAL = ["10.200.5.0/24", "fd00:200:5::/64"]


def stack(**values: Any) -> Stack:
    return load_stack("dev", VALUES | values)


def cluster(of: Stack, *, nodes: int = 3) -> list[Object]:
    """Return the objects of a healthy cluster: three workers, two sync controllers, addresses from the first on."""
    network = of.network
    parts = [(part.subnet, part.span.first) for part in of.parts]
    pods = [_pod("virt-handler", f"node-{i}", i, network) for i in range(nodes)]
    pods += [_pod("virt-synchronization-controller", "control-0", nodes + i, network) for i in range(2)]
    for index, pod in enumerate(pods):
        link(pod, [str(first + index) for _, first in parts], mtu=of.segment.mtu)
    objects = [
        {
            "apiVersion": "hco.kubevirt.io/v1beta1",
            "kind": "HyperConverged",
            "metadata": _meta("kubevirt-hyperconverged", generation=3),
            "spec": {"liveMigrationConfig": {"network": network}},
            "status": {"observedGeneration": 3, "conditions": [_condition("Degraded", "False", 3)]},
        },
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": _meta("kubevirt-kubevirt-hyperconverged", generation=5),
            "spec": {"configuration": {"migrations": {"network": network}}},
            "status": {"observedGeneration": 5},
        },
        {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": _meta(network)
            | {"managedFields": [{"manager": "x", "time": MADE, "fieldsV1": {"f:spec": {"f:config": {}}}}]},
            "spec": {"config": of.cni_json},
        },
        _workload("DaemonSet", "virt-handler", network)
        | {
            "status": {
                "observedGeneration": 2,
                "desiredNumberScheduled": nodes,
                "updatedNumberScheduled": nodes,
                "numberAvailable": nodes,
            }
        },
        _workload("Deployment", "virt-synchronization-controller", network)
        | {"status": {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2}},
        *(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"node-{i}", "labels": {"kubevirt.io/schedulable": "true"}},
            }
            for i in range(nodes)
        ),
        *pods,
    ]
    for subnet, first in parts:
        name = str(subnet).replace(":", "-").replace("/", "-")
        allocations = {
            str(int(first) + i - int(subnet.network_address)): {"id": "x", "podref": _reference(pod)}
            for i, pod in enumerate(pods)
        }
        objects.append(
            {
                "apiVersion": "whereabouts.cni.cncf.io/v1alpha1",
                "kind": "IPPool",
                "metadata": {"name": name, "namespace": "openshift-multus"},
                "spec": {"range": str(subnet), "allocations": allocations},
            }
        )
    return copy.deepcopy(objects)


def sight(of: Stack, objects: Iterable[Object], **more: Any) -> Sight:
    return Sight(snapshot(of, objects), **more)


def snapshot(of: Stack, objects: Iterable[Object], *, refused: Iterable[Kind] = ()) -> Snapshot:
    """Answer verify's reads from `objects`; reads of the `refused` kinds are forbidden."""
    there, forbidden = list(objects), set(refused)
    error = ClusterError("forbidden", "may not be read")
    return Snapshot(
        of,
        {
            read: error if read.kind in forbidden else tuple(each for each in there if answers(read, each))
            for read in reads(of)
        },
    )


def find(objects: Iterable[Object], kind: str, name: str = "") -> Object:
    return next(each for each in objects if each["kind"] == kind and each["metadata"]["name"].startswith(name))


def link(pod: Object, addresses: list[str] | None, *, mtu: int | None = 9000) -> None:
    """Write what multus says of the pod's networks; without addresses there is no `migration0`."""
    status: list[Object] = [{"name": "ovn-kubernetes", "interface": "eth0", "ips": ["10.128.0.9"], "default": True}]
    if addresses is not None:
        entry: Object = {"name": f"{NAMESPACE}/migration", "interface": "migration0", "ips": addresses, "mac": "02:00"}
        status.append(entry | ({} if mtu is None else {"mtu": mtu}))
    pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = json.dumps(status)


def unready(pod: Object, **status: Any) -> None:
    """Make of a pod one that does not come up."""
    pod["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]} | status
    pod["metadata"]["annotations"].pop("k8s.v1.cni.cncf.io/network-status", None)


def warning(pod: Object, reason: str, message: str, *, time: str = LATER) -> Object:
    metadata = pod["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{reason.lower()}", "namespace": metadata["namespace"]},
        "involvedObject": {"kind": "Pod", "name": metadata["name"], "uid": metadata.get("uid", "")},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": time,
    }


def answers(read: Read, live: Object) -> bool:
    metadata = live["metadata"]
    return (
        (live["apiVersion"], live["kind"]) == (read.kind.api_version, read.kind.kind)
        and read.namespace in {None, metadata.get("namespace")}
        and read.name in {None, metadata["name"]}
        and read.labels.items() <= metadata.get("labels", {}).items()
    )


def _meta(name: str, **more: Any) -> Object:
    return {"name": name, "namespace": NAMESPACE, "creationTimestamp": MADE, **more}


def _condition(kind: str, status: str, generation: int) -> Object:
    return {"type": kind, "status": status, "observedGeneration": generation, "message": ""}


def _workload(kind: str, name: str, network: str) -> Object:
    template = {"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": f"{network}@migration0"}}}
    spec = {"template": template} | ({"replicas": 2} if kind == "Deployment" else {})
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": _meta(name, generation=2), "spec": spec}


def _pod(role: str, node: str, index: int, network: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _meta(
            f"{role}-{index}",
            uid=f"uid-{index}",
            labels={"kubevirt.io": role},
            annotations={"k8s.v1.cni.cncf.io/networks": f"{network}@migration0"},
        ),
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "startTime": MADE, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _reference(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
