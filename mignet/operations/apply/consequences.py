"""What a plan means for the cluster beyond its objects: which pods restart, for how long, and what is running now."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from config.finding import few
from mignet.kube.client import ClusterError
from mignet.kube.kinds import DAEMON_SET, HYPERCONVERGED_V1, MIGRATION
from mignet.kube.kubevirt.pods import HANDLER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.diff import ObjectChange

ENDED = {"Succeeded", "Failed"}
"""Phases of a VirtualMachineInstanceMigration that has ended. Source: KubeVirt's api/core/v1, MigrationPhase."""
SHARE = 0.1
"""Of the virt-handlers, how many restart at the same time after the first. Source: KubeVirt's virt-operator."""
MINUTES = 1.0
"""What the restart of one takes: 15 seconds to end (its grace period), and to start. An assumption."""


async def consequences(stack: Stack, changes: Iterable[ObjectChange], cluster: Cluster) -> tuple[str, ...]:
    """Say what the changes set off, each as a sentence without the stack; none when nothing restarts.

    What cannot be read is said in place of a number.
    """
    if not any(
        each.path.endswith("liveMigrationConfig.network") and each.old != each.new
        for change in changes
        if change.kind == HYPERCONVERGED_V1.kind
        for each in change.fields
    ):
        return ()
    handlers, migrations = await asyncio.gather(_handlers(stack, cluster), _migrations(cluster))
    return (handlers, migrations)


async def running(cluster: Cluster) -> list[str]:
    """Return the migrations that have not ended, as `namespace/name`. Raises ClusterError."""
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in await cluster.list(MIGRATION)
        if each.get("status", {}).get("phase") not in ENDED
    ]


def minutes(handlers: int) -> float:
    """Return how many minutes the restart of so many virt-handlers takes: one, then a tenth of them at a time.

    >>> minutes(12)
    7.0
    """
    if handlers < 1:
        return 0.0
    return MINUTES * (1 + math.ceil((handlers - 1) / math.ceil(handlers * SHARE)))


async def _handlers(stack: Stack, cluster: Cluster) -> str:
    after = "migrations fail meanwhile, and virtual machines run on"
    try:
        found = await cluster.get(DAEMON_SET, HANDLER, stack.cluster.namespace)
    except ClusterError as error:
        return f"restarts every {HANDLER} ({after}); how many there are is not known: {error}"
    count = (found or {}).get("status", {}).get("desiredNumberScheduled", 0)
    if not count:
        return f"restarts no {HANDLER}: there is none yet"
    pace = f"one first, then 10 % at a time, about {minutes(count):.0f} minutes at one minute each" if count > 1 else ""
    nodes = f"on {count} nodes: {pace}" if count > 1 else "on its one node"
    return f"restarts every {HANDLER} {nodes}; {after}"


async def _migrations(cluster: Cluster) -> str:
    try:
        names = await running(cluster)
    except ClusterError as error:
        if error.reason == "not-served":
            return "no migration is running: the cluster has no API for them"
        return f"how many migrations are running is not known: {error}"
    if not names:
        return "no migration is running now"
    return f"{len(names)} migration{' is' if len(names) == 1 else 's are'} running now: {few(names)}"
