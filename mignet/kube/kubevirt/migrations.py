"""Migrations that are under way on a cluster, in it or between it and another: a restart of handlers fails them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few
from mignet.kube.client import ClusterError
from mignet.kube.kinds import MIGRATION

if TYPE_CHECKING:
    from mignet.kube.client import Cluster

ENDED = {"Succeeded", "Failed"}
"""Phases of a VirtualMachineInstanceMigration that has ended. Source: KubeVirt's api/core/v1, MigrationPhase."""


async def running(cluster: Cluster) -> list[str]:
    """Return the migrations that have not ended, as `namespace/name`. Raises ClusterError.

    One between two clusters has an object on both, so that each of them sees it.
    """
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in await cluster.list(MIGRATION)
        if each.get("status", {}).get("phase") not in ENDED
    ]


async def in_flight(cluster: Cluster) -> list[str]:
    """Return the same; none where it is not known, for want of the API or of the right. Raises ClusterError."""
    try:
        return await running(cluster)
    except ClusterError as error:
        if error.reason in {"not-served", "forbidden"}:
            return []
        raise


def are_running(names: list[str]) -> str:
    """Begin a sentence about migrations.

    >>> are_running(["shop/a", "shop/b"])
    '2 migrations are running (shop/a, shop/b)'
    """
    return f"{len(names)} migration{' is' if len(names) == 1 else 's are'} running ({few(names)})"
