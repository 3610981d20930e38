"""The pods that migrate, virt-handler and the sync controller, and what multus says of their network."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from config.finding import Subject, few
from config.types.json_text import parse_json
from mignet.kube.kinds import DAEMON_SET, DEPLOYMENT
from mignet.kube.network.attachment_history import last_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from config.types.addressing import Address
    from mignet.kube.kinds import Kind, Object

SCHEDULABLE = {"kubevirt.io/schedulable": "true"}
"""The label of nodes that run virtual machines."""
Role = Literal["virt-handler", "virt-synchronization-controller"]
HANDLER: Role = "virt-handler"
SYNC: Role = "virt-synchronization-controller"
HANDLER_PORTS = (32768, 60999)
"""On which a virt-handler takes a migration, both inclusive: its kernel picks one (net.ipv4.ip_local_port_range)."""
LABEL = "kubevirt.io"
"""The label that has the role as its value."""
NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
INTERFACE = "migration0"
"""The interface that KubeVirt asks multus for, and looks for in the pod; without it, it uses the pod network."""


@dataclass(frozen=True, slots=True)
class Link:
    """`migration0` of a pod. `mtu` is in bytes, and None where the CNI plugin does not report it."""

    addresses: tuple[Address, ...]
    mtu: int | None


@dataclass(frozen=True, slots=True)
class Pod:
    """One of the pods that migrate."""

    role: Role
    namespace: str
    name: str
    uid: str
    node: str
    ready: bool
    terminating: bool
    networked: datetime
    """When its network was made, as far as the pod says; it never changes after that."""
    networks: str
    """What it asks multus for."""
    link: Link | None
    """None when there is no `migration0`: the pod migrates over the pod network then, and says so to nobody."""
    live: Object

    @property
    def key(self) -> Subject:
        """How a finding names it."""
        nodes = (self.node,) if self.node else ()
        return Subject(f"Pod {self.reference}", kind="Pod", name=self.reference, nodes=nodes)

    @property
    def place(self) -> Subject:
        """How a finding names it with its node, where it has one."""
        key = self.key
        return Subject(f"{key} on node {self.node}", kind="Pod", name=key.name, nodes=key.nodes) if self.node else key

    @property
    def reference(self) -> str:
        """How whereabouts names it."""
        return f"{self.namespace}/{self.name}"

    def asks_for(self, network: str) -> bool:
        """Tell whether it asks multus for `network` as `migration0`."""
        return asks_for(self.networks, network, self.namespace)


def read_pod(live: Object) -> Pod | None:
    """Return a pod that migrates; None for any other."""
    metadata, status = live["metadata"], live.get("status", {})
    role = metadata.get("labels", {}).get(LABEL)
    if role not in {HANDLER, SYNC}:
        return None
    annotations = metadata.get("annotations") or {}
    return Pod(
        role=role,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        node=live.get("spec", {}).get("nodeName", ""),
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ())),
        terminating="deletionTimestamp" in metadata,
        networked=_networked(live),
        networks=annotations.get(NETWORKS, ""),
        link=read_link(annotations.get(NETWORK_STATUS, "")),
        live=live,
    )


def asks_for(networks: str, network: str, namespace: str) -> bool:
    """Tell whether an annotation asks multus for `network` as `migration0`."""
    wanted = {f"{network}@{INTERFACE}", f"{namespace}/{network}@{INTERFACE}"}
    return not wanted.isdisjoint(each.strip() for each in networks.split(","))


def from_before(attachment: Object | None, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Return the pods whose network was made before what they keep of the attachment last changed."""
    last = last_change(attachment)
    return () if last is None else tuple(pod for pod in pods if pod.networked < moment(last.time))


def moment(text: str) -> datetime:
    """Read a time as the API server writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _networked(live: Object) -> datetime:
    """Return when the pod's sandbox got its network: the condition of that name, else the pod's start."""
    status = live.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodReadyToStartContainers" and condition["status"] == "True":
            return moment(condition["lastTransitionTime"])
    return moment(status.get("startTime") or live["metadata"]["creationTimestamp"])


def read_link(text: str) -> Link | None:
    """Read what multus wrote: a list of `{name, interface, ips, mac, mtu?}`, of which one is `migration0`."""
    try:
        entries: list[Mapping[str, Any]] = parse_json(text) if text else []
        entry = next((each for each in entries if each.get("interface") == INTERFACE), None)
        if entry is None:
            return None
        addresses = tuple(ipaddress.ip_address(each) for each in entry.get("ips") or ())
    except (ValueError, TypeError, AttributeError):
        return None
    mtu = entry.get("mtu")
    return Link(addresses, mtu if isinstance(mtu, int) and mtu > 0 else None)


def workload_kind(role: Role) -> Kind:
    """Return the kind of object that makes the pods of a role."""
    return DAEMON_SET if role == HANDLER else DEPLOYMENT


def names(pods: Iterable[Pod]) -> str:
    """Name pods in a sentence."""
    return few(pod.name for pod in pods)
