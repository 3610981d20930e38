"""Which NIC of a cluster's nodes may carry its migrations, with the reasons for and against each.

Judged from what kubernetes-nmstate reports (NodeNetworkState, `status.currentState`): pure, given the objects.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from config.finding import few
from config.rules.uplink_rules import shares
from mignet.kube.network.node_network import addresses_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from config.segment import Segment
    from mignet.kube.network.node_network import Node

TYPES = {"ethernet", "bond", "vlan", "linux-bridge"}
"""What a macvlan can sit on; an OVS port, a veth or the loopback is not listed at all."""
Layer = Literal["vlan", "bond"]
_FIT: dict[Layer | None, set[str]] = {None: TYPES, "vlan": TYPES - {"vlan"}, "bond": {"ethernet"}}
"""What each can be made on; None for the attachment itself."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC: what speaks for it, and what against. `rank` orders those that nothing speaks against; 0 is best."""

    name: str
    speaks_for: tuple[str, ...]
    against: tuple[str, ...]
    rank: int

    def __str__(self) -> str:
        return f"against: {'; '.join(self.against)}" if self.against else f"for: {'; '.join(self.speaks_for)}"


def judge(nodes: Iterable[Node], segment: Segment, *, under: Layer | None = None) -> list[Nic]:
    """Judge every NIC that a schedulable node has, in the order of their names.

    `under` is what an uplink will make on it: that sets the NIC up, and its MTU.
    """
    nodes = list(nodes)
    schedulable = [node for node in nodes if node.schedulable]
    names = {
        name for node in schedulable for name, interface in node.interfaces.items() if interface.get("type") in TYPES
    }
    return [_judged(name, nodes, schedulable, segment, under) for name in sorted(names)]


def best(nics: Iterable[Nic]) -> Nic | None:
    """Return the one that nothing speaks against and that is better than all others; None when there is none."""
    fit = sorted((nic for nic in nics if not nic.against), key=lambda nic: nic.rank)
    return fit[0] if fit and (len(fit) == 1 or fit[0].rank < fit[1].rank) else None


def _judged(
    name: str, nodes: Sequence[Node], schedulable: Sequence[Node], segment: Segment, under: Layer | None
) -> Nic:
    everywhere = _on([node.name for node in schedulable], schedulable)
    speaks_for, rank = [f"is {'there' if under else 'up'} {everywhere}"], 1
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    smallest = None
    for node in schedulable:
        interface = node.interfaces.get(name)
        if interface is None:
            reasons["is missing" if node.interfaces else "is not known (no NodeNetworkState)"].append(node.name)
            continue
        for reason in _against(name, interface, node, segment, under):
            reasons[reason].append(node.name)
        if under and (interface.get("state") != "up" or _foreign(interface, segment)):
            rank = 2
        mtu = interface.get("mtu")
        smallest = mtu if smallest is None else min(smallest, mtu or smallest)
        if segment.vlan is not None and interface.get("vlan", {}).get("id") == segment.vlan:
            rank = 0
    speaks_for.append(
        "has no default route and no bridge or bond above it"
        if rank == 2
        else "has no other address, no default route and no bridge or bond above it"
    )
    if smallest is not None and not under:
        enough = f", enough for segment.mtu {segment.mtu}" if segment.mtu else ""
        speaks_for.append(f"MTU {smallest}{enough}")
    if rank == 0:
        speaks_for.append(f"tags segment.vlan {segment.vlan}")
    others = [node.name for node in nodes if not node.schedulable and name not in node.interfaces]
    if others:
        speaks_for.append(
            f"but is missing on {few(others, most=3)}, where the sync controller of migrations between clusters may run"
        )
    against = tuple(f"{reason} {_on(where, schedulable)}" for reason, where in reasons.items())
    return Nic(name, tuple(speaks_for), against, rank)


def _against(
    name: str, interface: Mapping[str, Any], node: Node, segment: Segment, under: Layer | None
) -> Iterator[str]:
    if interface.get("type") not in _FIT[under]:
        yield f"is of type {interface.get('type')}"
    if interface.get("state") != "up" and not under:
        yield f"is {interface.get('state', 'down')}"
    top = node.carries_default_route().get(name)
    if top is not None:
        yield "has the default route" if top == name else f"carries the default route of {top}"
    elif shared := node.shares_default_route(name):
        yield f"{shares(*shared, itself=name)},"
    if node.lists_ports(name) and not node.nics(name):
        yield "has no NIC as its port"
    master = node.masters().get(name)
    if master is not None:
        yield f"is a port of {master}"
    mtu = interface.get("mtu")
    if segment.mtu is not None and mtu is not None and mtu < segment.mtu and not under:
        yield f"has MTU {mtu}, below segment.mtu {segment.mtu},"
    tag = interface.get("vlan", {}).get("id")
    if segment.vlan is not None and tag is not None and tag != segment.vlan and not under:
        yield f"tags VLAN {tag}, and segment.vlan is {segment.vlan},"
    # A NIC keeps its addresses under a VLAN, and loses them to a bond.
    if under != "vlan" and (foreign := _foreign(interface, segment)):
        yield f"has an address of {', '.join(sorted(foreign))}"


def _foreign(interface: Mapping[str, Any], segment: Segment) -> set[str]:
    return {
        str(address.network)
        for address in addresses_of(interface)
        if not any(address.ip in subnet for subnet in segment.subnets)
    }


def _on(names: Sequence[str], schedulable: Sequence[Node]) -> str:
    if len(names) == len(schedulable):
        return f"on all {len(names)} nodes" if len(names) > 1 else f"on the only node {names[0]}"
    return f"on {few(names, most=3)}"
