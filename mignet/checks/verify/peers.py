"""The other clusters of the segment: whereabouts knows one cluster only, so nobody else sees an address given twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import Finding, rule
from mignet.checks.verify.addresses import holders
from mignet.kube.kinds import POD
from mignet.kube.kubevirt.pods import HANDLER, INTERFACE, LABEL, SYNC, Pod, read_pod
from mignet.kube.snapshot import Read, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.kube.client import Cluster, ClusterError


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of one segment. `judged` are the stacks that findings are about; the others are only read."""

    stacks: Mapping[str, Stack]
    judged: frozenset[str]
    pods: Mapping[str, tuple[Pod, ...]]
    """By stack: the pods with `migration0`."""
    silent: Mapping[str, ClusterError]
    """Stacks whose cluster could not be asked, and why."""


def reads(stack: Stack) -> list[Read]:
    """Return what is read of a peer."""
    return [Read(POD, stack.cluster.namespace, labels={LABEL: role}) for role in (HANDLER, SYNC)]


async def attached(stack: Stack, cluster: Cluster) -> tuple[Pod, ...]:
    """Return a peer's pods with `migration0`. Raises ClusterError."""
    seen = await look(cluster, stack, reads(stack))
    for _, error in seen.unread:
        raise error
    pods = (read_pod(live) for live in seen.all(POD, stack.cluster.namespace))
    return tuple(pod for pod in pods if pod and pod.link and not pod.terminating)


@rule("address-duplicate-peer")
def duplicate_peer(clusters: Clusters) -> Iterator[Finding]:
    """Two clusters that give one address send each other's migrations astray, and each reports success."""
    by_address: dict[Address, list[tuple[str, Pod]]] = {}
    for name, pods in clusters.pods.items():
        for address, here in holders(pods).items():
            by_address.setdefault(address, []).append((name, here[0]))
    for address, found in by_address.items():
        # Two stacks of one cluster see the same pods.
        distinct = {pod.uid: (name, pod) for name, pod in reversed(found)}
        if len(distinct) < 2 or clusters.judged.isdisjoint(name for name, _ in found):
            continue
        # It is said of the one whose slice it is not in, when that is asked for.
        (name, pod), *others = sorted(distinct.values(), key=lambda each: _order(clusters, each[0], address))
        other, there = others[0]
        yield Finding(
            pod.place,
            str(address),
            f"on {INTERFACE} is the address of {there.key} on cluster {other}, too",
            "Give each stack a slice of its own (mignet check, mignet allocate), run mignet up, and restart the pod",
            stack=name,
            peer=other,
        )


@rule("peer-unread", severity="warning")
def peer_unread(clusters: Clusters) -> Iterator[Finding]:
    """Addresses of a cluster that does not answer are not compared."""
    for name, error in clusters.silent.items():
        beside = min(each for each in clusters.judged if each in clusters.stacks)
        yield Finding(
            f"peer {name}",
            None,
            f"could not be asked for its addresses: {error}",
            "Verify it where it can be reached, or leave the peers out: --no-peers",
            stack=beside,
            peer=name,
        )


RULES = (duplicate_peer, peer_unread)


def _order(clusters: Clusters, name: str, address: Address) -> tuple[bool, bool, str]:
    inside = any(address in span for span in clusters.stacks[name].spans)
    return name not in clusters.judged, inside, name


def without_doubles(findings: Iterable[Finding], doubles: Iterable[Finding]) -> list[Finding]:
    """Leave out that an address is outside of the slice, where it is said that a peer has it: that is why."""
    known = {(each.stack, each.key, each.value) for each in doubles if each.code == "address-duplicate-peer"}
    return [
        each for each in findings if each.code != "address-outside" or (each.stack, each.key, each.value) not in known
    ]
