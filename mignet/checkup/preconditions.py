"""What a checkup finds on a cluster before it creates anything: the nodes, the network, and the free addresses."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.attachment.ipam import Static
from config.finding import Finding, Subject, few, rule
from config.planning.demand import SURGE
from mignet.kube.kinds import EVENT, IP_POOL, JOB, KUBEVIRT, NETWORK_ATTACHMENT, NODE, POD
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SCHEDULABLE, SYNC, read_pod
from mignet.kube.kubevirt.sync_controllers import PORT, sync_port
from mignet.kube.network.whereabouts import leased, leases_of
from mignet.kube.rbac import Right
from mignet.kube.snapshot import Read, Snapshot, UnreadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod


def reads(stack: Stack) -> list[Read]:
    """Return what is read before anything is created."""
    namespace = stack.cluster.namespace
    pods = [Read(POD, namespace, labels={LABEL: role}) for role in (HANDLER, SYNC)]
    books = [Read(IP_POOL)] if leases_of(stack) else []
    return [Read(NODE), Read(NETWORK_ATTACHMENT, namespace, stack.network), Read(KUBEVIRT, namespace), *pods, *books]


def rights(stack: Stack) -> frozenset[Right]:
    """Return the rights that creating, watching and removing probes takes."""
    namespace = stack.cluster.namespace
    wanted = {JOB: ("get", "create", "delete"), POD: ("list", "create", "patch", "delete"), EVENT: ("list",)}
    return frozenset(
        Right(kind.group, kind.plural, verb, namespace) for kind, verbs in wanted.items() for verb in verbs
    )


@dataclass(frozen=True)
class Site:
    """A look at one cluster. `chosen` are patterns of nodes; none means all."""

    seen: Snapshot
    chosen: tuple[str, ...] = ()

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""
        return self.seen.stack

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that migrate. Raises UnreadError."""
        live = (read_pod(each) for each in self.seen.all(POD))
        return tuple(pod for pod in live if pod and not pod.terminating)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The nodes where something migrates, or will: those for virtual machines, and the sync controllers'."""
        ((label, value),) = SCHEDULABLE.items()
        nodes = {each["metadata"]["name"] for each in self.seen.all(NODE) if _labels(each).get(label) == value}
        known = {each["metadata"]["name"] for each in self.seen.all(NODE)}
        nodes |= {pod.node for pod in self.pods} & known
        return tuple(sorted(node for node in nodes if self._is_chosen(node)))

    @property
    def away(self) -> tuple[str, ...]:
        """Those of them that start no pod now: their kubelet does not answer."""
        silent = {each["metadata"]["name"] for each in self.seen.all(NODE) if not _ready(each)}
        return tuple(node for node in self.wanted if node in silent)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that can get a probe. Raises UnreadError."""
        return tuple(node for node in self.wanted if node not in self.away)

    def _is_chosen(self, node: str) -> bool:
        return not self.chosen or any(fnmatch.fnmatch(node, pattern) for pattern in self.chosen)

    @property
    def taken(self) -> dict[Address, str]:
        """The addresses of the pods that migrate, with the pod. Raises UnreadError."""
        return {address: pod.reference for pod in self.pods if pod.link for address in pod.link.addresses}

    @property
    def sync_port(self) -> int:
        """The TCP port of the cluster's sync controllers; the usual one where its KubeVirt cannot be read."""
        try:
            return sync_port(next(iter(self.seen.all(KUBEVIRT)), None))
        except UnreadError:
            return PORT

    @property
    def room(self) -> int | None:
        """Addresses that probes may have for a while, None where nobody counts them. Raises UnreadError.

        What is free, without those that pods wait for that migrate, and the one that a rollout of them takes. Probes
        use the headroom: it is for pods that are gone, and they are gone soon.
        """
        stack = self.stack
        if stack.capacity is None:
            return None
        used = self.taken.keys() | (leased(stack, self.seen.all(IP_POOL)).keys() if leases_of(stack) else set())
        ((label, value),) = SCHEDULABLE.items()
        handlers = sum(_labels(each).get(label) == value for each in self.seen.all(NODE))
        waiting = max(handlers - sum(pod.role == HANDLER and pod.link is not None for pod in self.pods), 0)
        waiting += sum(pod.role == SYNC and pod.link is None for pod in self.pods)
        free = min(stack.capacity - sum(address in part.span for address in used) for part in stack.parts)
        return max(free - waiting - SURGE, 0)


def _labels(node: Object) -> dict[str, str]:
    found: dict[str, str] = node["metadata"].get("labels") or {}
    return found


def _ready(node: Object) -> bool:
    said = [each["status"] for each in node.get("status", {}).get("conditions", ()) if each["type"] == "Ready"]
    return "True" in said or not said


@rule("checkup-no-network")
def network_there(site: Site) -> Iterator[Finding]:
    """Probes are attached to what the stack declares; when that is not on the cluster, no pod starts."""
    stack = site.stack
    namespace = stack.cluster.namespace
    if site.seen.one(NETWORK_ATTACHMENT, stack.network, namespace) is None:
        yield Finding(
            f"NetworkAttachmentDefinition {namespace}/{stack.network}",
            None,
            "does not exist, so that nothing can be attached to it",
            f"Run mignet up {stack.name} first",
        )


@rule("checkup-static")
def own_addresses(site: Site) -> Iterator[Finding]:
    """Static addresses stand in the attachment: every pod has the same, and a probe would take a virt-handler's."""
    if isinstance(site.stack.attachment.ipam, Static):
        yield Finding(
            "attachment.ipam",
            "static",
            "gives every pod the same addresses, so that a probe would have those of a virt-handler",
            "Leave this stack out; mignet verify looks at the addresses that its pods have",
        )


@rule("checkup-no-nodes")
def nodes_there(site: Site) -> Iterator[Finding]:
    """Without a node there is nothing to measure."""
    if site.wanted:
        return
    count = len(site.seen.all(NODE))
    remedy = "kubectl get nodes -l kubevirt.io/schedulable=true lists those that count"
    if site.chosen:
        # Patterns may be about nodes of another cluster.
        rule_ = f"chooses none of its {count} nodes that run virtual machines or a sync controller"
        yield Finding("--nodes", " ".join(site.chosen), rule_, remedy, severity="warning")
    else:
        rule_ = f"has the label kubevirt.io/schedulable=true on none of {count} nodes"
        yield Finding("Node", None, rule_, remedy)


@rule("checkup-node-away", severity="warning")
def node_away(site: Site) -> Iterator[Finding]:
    """On a node whose kubelet does not answer, no pod starts; nothing is said of its way."""
    if site.away:
        yield Finding(
            Subject(f"Node {few(site.away)}", kind="Node", nodes=site.away),
            None,
            "is not Ready and was left out" if len(site.away) == 1 else "are not Ready and were left out",
            "See why: kubectl describe node",
        )


@rule("checkup-no-room")
def room_there(site: Site) -> Iterator[Finding]:
    """Each probe needs an address of the slice; the last ones belong to the pods that migrate."""
    if site.nodes and site.room == 0:
        yield Finding(
            "slice",
            ", ".join(map(str, site.stack.spans)),
            "has no address to spare: what is free is for the pods that migrate",
            f"Give the stack more: mignet allocate {site.stack.name}, then mignet up; or see which leases are leaked:"
            f" mignet verify {site.stack.name}",
        )


RULES = (network_there, own_addresses, nodes_there, node_away, room_there)


def room_of(site: Site) -> int | None:
    """Return the room, None also where it may not be read."""
    try:
        return site.room
    except UnreadError:
        return None
