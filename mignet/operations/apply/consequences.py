"""What a plan means for the cluster beyond its objects: which pods restart, for how long, and what is running now."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from config.finding import few
from mignet.kube.client import ClusterError
from mignet.kube.kinds import DAEMON_SET, HYPERCONVERGED_V1, MIGRATION_POLICY
from mignet.kube.kubevirt.migrations import are_running, in_flight, running
from mignet.kube.kubevirt.pods import HANDLER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.diff import ObjectChange

SHARE = 0.1
"""Of the virt-handlers, how many restart at the same time after the first. Source: KubeVirt's virt-operator."""
POLL_SECONDS = 0.5
MINUTES = 1.0
"""What the restart of one takes: 15 seconds to end (its grace period), and to start. An assumption."""


async def consequences(stack: Stack, changes: Iterable[ObjectChange], cluster: Cluster) -> tuple[str, ...]:
    """Say what the changes set off, each as a sentence without the stack; none when they set off nothing.

    What cannot be read is said in place of a number.
    """
    changes = list(changes)
    limits = tuple(_of_limits(changes))
    if not restarts(changes):
        return limits
    handlers, migrations = await asyncio.gather(_handlers(stack, cluster), _migrations(cluster))
    return (handlers, migrations, *limits)


def _of_limits(changes: Iterable[ObjectChange]) -> Iterator[str]:
    """Say when a change of MigrationPolicies counts.

    Source: KubeVirt, pkg/virt-controller/watch/migration/migration.go: a migration gets its limits when its target pod
    is handed over, and keeps them.
    """
    names = [each.name for each in changes if each.kind == MIGRATION_POLICY.kind and each.operation != "same"]
    if names:
        one = len(names) == 1
        subject = f"MigrationPolicy {names[0]} restarts" if one else f"MigrationPolicies {few(names)} restart"
        selects = "it selects" if one else "they select"
        yield f"{subject} nothing: the virtual machines that {selects} get other limits from their next migration on"


def restarts(changes: Iterable[ObjectChange]) -> bool:
    """Tell whether changes have the operator restart virt-handlers: the HyperConverged names another network."""
    return any(
        each.path.endswith("liveMigrationConfig.network") and each.old != each.new
        for change in changes
        if change.kind == HYPERCONVERGED_V1.kind
        for each in change.fields
    )


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


async def migrations_ended(cluster: Cluster, *, seconds: float, told: Callable[[list[str]], None]) -> str | None:
    """Wait until no migration runs, for at most `seconds`; return why nothing is to be changed when one still does.

    `told` is told again and again which run; whoever wants to wait no longer raises there. Where it is not known
    whether migrations run, nothing is waited for. Raises ClusterError.
    """
    deadline = time.monotonic() + seconds
    while True:
        if not (names := await in_flight(cluster)):
            return None
        if time.monotonic() >= deadline:
            return (
                f"{are_running(names)}, and would fail when virt-handlers restart; nothing was"
                " changed. Wait longer with --wait-for-migrations SECONDS, or use --force"
            )
        told(names)
        await asyncio.sleep(POLL_SECONDS)


async def _migrations(cluster: Cluster) -> str:
    try:
        found = await running(cluster)
    except ClusterError as error:
        if error.reason == "not-served":
            return "no migration is running: the cluster has no API for them"
        return f"how many migrations are running is not known: {error}"
    count = len(found.names)
    names = f"{count} migration{' is' if count == 1 else 's are'} running now: {few(found.names)}"
    return "; ".join(filter(None, (names if count else "no migration is running now", found.unknown)))
