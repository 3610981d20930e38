"""What forbids to take a network away: migrations that use it, and somebody else who goes on naming it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from config.finding import few
from config.hyperconverged import NAME
from mignet.kube.client import ClusterError
from mignet.kube.hyperconverged_versions import hyperconverged_kind, limits_path
from mignet.kube.kubevirt.migrations import are_running, running
from mignet.kube.managed_fields import owners
from mignet.kube.objects import name_of, value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object


async def in_the_way(stack: Stack, cluster: Cluster) -> list[str]:
    """Return a sentence for each reason not to destroy a stack's network now. Raises ClusterError."""
    hyperconverged, running = await asyncio.gather(
        cluster.get(hyperconverged_kind(stack), NAME, stack.cluster.namespace), _running(cluster)
    )
    return [*running, *([] if hyperconverged is None else _named_by_others(stack, hyperconverged))]


async def _running(cluster: Cluster) -> list[str]:
    try:
        names = list((await running(cluster)).names)
    except ClusterError as error:
        if error.reason == "not-served":
            return []
        if error.reason == "forbidden":
            return [f"it is not known whether migrations are running: {error}"]
        raise
    return [f"{are_running(names)}, and would fail; wait until they have ended"] if names else []


def _named_by_others(stack: Stack, live: Object) -> Iterator[str]:
    path = f"{limits_path(live['apiVersion'])}.network"
    managers = {writer.manager for owned, writer in owners(live) if owned == path}
    others = sorted(managers - {FIELD_MANAGER})
    if FIELD_MANAGER in managers and others and value_at(live, path) == stack.network:
        yield (
            f"{name_of(live)} {path} is owned by {few(others)}, too, so that it would go on naming {stack.network},"
            " which would be gone, and virt-handlers that restart would wait for it forever; take the field out there"
        )
