"""The demand: how many addresses of the segment one cluster needs, and what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.cluster import Cluster

SYNC_CONTROLLERS = 2
"""Pods of virt-synchronization-controller, each with an address of its own (cross-cluster migration)."""
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
    sync_controllers: int = SYNC_CONTROLLERS
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
        return (
            f"{self.nodes} nodes + {self.sync_controllers} sync controllers + {self.surge} during a rollout"
            f" + {self.headroom} headroom, {self.percent} % of nodes"
        )


def demand_of(cluster: Cluster) -> Demand | None:
    """Return what a cluster needs, or None when its number of nodes is not given. The headroom is rounded up."""
    if cluster.nodes is None:
        return None
    return Demand(nodes=cluster.nodes, headroom=-(-cluster.nodes * cluster.headroom // 100), percent=cluster.headroom)
