"""The localnets that OVN can reach: the bridge mappings of the nodes, as nmstate reports or policies declare them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import few
from mignet.kube.network.uplink_conflicts import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mignet.kube.kinds import Object
    from mignet.kube.network.node_network import Node


@dataclass(frozen=True, slots=True)
class Mapped:
    """A localnet, the bridges that lead to it, and the nodes that run virt-handler and lack it."""

    name: str
    bridges: tuple[str, ...]
    missing: tuple[str, ...] = ()
    shared: bool = False
    """Whether migrations would share a NIC with the default route."""

    def __str__(self) -> str:
        text = f"localnet by {', '.join(self.bridges)}"
        if self.missing:
            return f"{text}; against: is missing on {few(self.missing, most=3)}"
        return f"{text}, which carries the default route: migrations share its NIC" if self.shared else text


def localnets(nodes: Iterable[Node], policies: Iterable[Object] = ()) -> list[Mapped]:
    """Return the localnets of the nodes that run virt-handler, by name.

    A policy counts for a node whose state reports no mappings: nmstate has done so for some releases only.
    """
    declared = [Policy(each) for each in policies]
    schedulable = [node for node in nodes if node.schedulable]
    found: dict[str, dict[str, tuple[str, Node]]] = {}
    for node in schedulable:
        mappings = node.mappings or {
            name: bridge
            for policy in declared
            if policy.selects(node)
            for name, bridge in policy.mappings.items()
            if bridge
        }
        for name, bridge in mappings.items():
            found.setdefault(name, {})[node.name] = bridge, node
    return [
        Mapped(
            name,
            tuple(sorted({bridge for bridge, _ in where.values()})),
            tuple(node.name for node in schedulable if node.name not in where),
            any(
                bridge in node.carries_default_route() or node.shares_default_route(bridge) is not None
                for bridge, node in where.values()
            ),
        )
        for name, where in sorted(found.items())
    ]
