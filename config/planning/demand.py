"""The demand: how many addresses of the segment one cluster needs, and what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.cluster import Cluster

SYNC_CONTROLLERS = 2
"""Pods of virt-synchronization-controller where nobody sets another number."""
SURGE = 1
"""Pods beyond the wanted number while a rollout is under way."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Addresses that a cluster needs, of each family that the segment has."""

    nodes: int
    """One for the virt-handler of each node."""
    headroom: int
    """For leases of pods that are gone."""
    percent: int
    """What of the nodes the headroom is."""
    sync_controllers: int
    """Pods of virt-synchronization-controller, each with an address; 0 without migrations between clusters."""
    surge: int = SURGE

    @property
    def total(self) -> int:
        """The sum."""
        return self.nodes + self.sync_controllers + self.surge + self.headroom

    @property
    def sum(self) -> dict[str, int]:
        """The sum and what it is of, as the stack's output shows it."""
        return {
            "nodes": self.nodes,
            "syncControllers": self.sync_controllers,
            "surge": self.surge,
            "headroom": self.headroom,
            "total": self.total,
        }

    def __str__(self) -> str:
        parts = [f"{self.nodes} node{_s(self.nodes)}"]
        if self.sync_controllers:
            parts.append(f"{self.sync_controllers} sync controller{_s(self.sync_controllers)}")
        parts.append(f"{self.surge} during a rollout")
        return f"{' + '.join(parts)} + {self.headroom} headroom, {self.percent} % of nodes"


def demand_of(cluster: Cluster, *, nodes: int | None = None, sync_controllers: int | None = None) -> Demand | None:
    """Return what a cluster needs, or None when its number of nodes is not known. The headroom is rounded up.

    `nodes` and `sync_controllers` are what a look at the cluster gave; without them, what the stack says counts.
    """
    count = cluster.nodes if nodes is None else nodes
    if count is None:
        return None
    syncs = cluster.sync_controllers if sync_controllers is None else sync_controllers
    return Demand(
        nodes=count,
        sync_controllers=0 if cluster.cross_cluster is False else syncs,
        headroom=-(-count * cluster.headroom // 100),
        percent=cluster.headroom,
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
