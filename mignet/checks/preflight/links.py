"""What must be there on each node before pods can attach: a NIC, a bridge, or what the uplink builds upon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from config.attachment import Bridge, Ipvlan, Macvlan
from config.attachment.localnet import OvnLocalnet
from config.uplink import made, uses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.finding import Severity
    from config.stack import Stack
    from config.uplink import NodeGroup
    from mignet.checks.preflight.seen import Seen
    from mignet.kube.network.node_network import Layer, Node

_DEFAULT_BRIDGE = "cni0"

Purpose = Literal["master", "bridge", "mapped", "base"]
"""What an interface is for: macvlan or ipvlan sit on it, pods are ports of it, OVN maps a localnet to it, or the uplink
builds upon it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node on which pods need the network. `severity` is that of something wrong there."""

    node: Node
    pods: str
    severity: Severity
    group: NodeGroup | None
    """The uplink's group that takes it in."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface that must be there on a node now. `mtu` is what it must be able to carry, in bytes."""

    place: Place
    name: str
    purpose: Purpose
    mtu: int | None

    @property
    def node(self) -> Node:
        """Its node."""
        return self.place.node

    @property
    def interface(self) -> Mapping[str, Any] | None:
        """The interface, None when it is not there."""
        return self.node.interfaces.get(self.name)

    @property
    def below(self) -> tuple[Layer, ...]:
        """The interface and what lies under it on its node."""
        return self.node.below(self.name)

    @property
    def is_vlan_base(self) -> bool:
        """Whether the uplink puts a VLAN interface on it, and nothing else."""
        return self.purpose == "base" and self.place.group is not None and self.name == self.place.group.vlan_base


def places(seen: Seen) -> Iterator[Place]:
    """Yield the nodes of virt-handler, and those where the sync controller may run, as far as nmstate knows them."""
    stack, syncs = seen.stack, seen.sync_controllers
    for node in seen.nodes:
        if not node.state:
            continue
        if node.schedulable:
            yield Place(node, "virt-handler", "error", group_of(stack, node))
        elif syncs is not None and syncs.may_run_on(node):
            yield Place(node, "the sync controller", "error", group_of(stack, node))


def groups_of(stack: Stack, node: Node) -> list[NodeGroup]:
    """Return the uplink's groups whose selector takes a node in."""
    groups = stack.uplink.groups if stack.uplink else ()
    return [group for group in groups if group.node_selector.items() <= node.labels.items()]


def group_of(stack: Stack, node: Node) -> NodeGroup | None:
    """Return the first of these groups."""
    return next(iter(groups_of(stack, node)), None)


def links(seen: Seen) -> Iterator[Link]:
    """Yield what must be there on each node: what the uplink makes is not, but what it builds upon is."""
    for place in places(seen):
        yield from _links(seen.stack, place)


def _links(stack: Stack, place: Place) -> Iterator[Link]:
    segment, group = stack.segment, place.group
    if group is not None:
        base = group.mtu_on(segment, base=True)
        for name in sorted(uses(group, segment)):
            yield Link(place, name, "base", base)
    making = made(group, segment) if group else frozenset()
    top, purpose = attached(stack, place)
    if top is not None and top not in making:
        yield Link(place, top, purpose, stack.mtu)


def attached(stack: Stack, place: Place) -> tuple[str | None, Purpose]:
    """Return the interface of a node that pods attach to, and what it is for them; None for an unmapped localnet."""
    match stack.attachment:
        case Macvlan() | Ipvlan() as attachment:
            return attachment.master, "master"
        case Bridge() as attachment:
            return attachment.bridge or _DEFAULT_BRIDGE, "bridge"
        case OvnLocalnet():
            return mapped_bridge(stack, place), "mapped"


def mapped_bridge(stack: Stack, place: Place) -> str | None:
    """Return the bridge that a localnet attachment ends in on a node, None when it has no mapping there."""
    attachment, group = stack.attachment, place.group
    if not isinstance(attachment, OvnLocalnet):
        return None
    if group and (bridge := group.bridge_of(attachment.physical_network)):
        return bridge
    return place.node.mappings.get(attachment.physical_network)
