"""The pods that migrate, as far as a change has to wait for them: who still uses an attachment that is to go.

The operator moves its pods one after the other after the HyperConverged names another network; one that starts again
before its turn comes asks for the old attachment, and finds none where it went first.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mignet.kube.client import ClusterError
from mignet.kube.kinds import DAEMON_SET, DEPLOYMENT, POD
from mignet.kube.kubevirt.pods import HANDLER, INTERFACE, LABEL, NETWORKS, SYNC, asks_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object

POLL_SECONDS = 0.5
WAIT_SECONDS = 1800.0
"""A rollout goes through a tenth of the nodes at a time."""


async def released(
    cluster: Cluster,
    namespace: str,
    network: str,
    *,
    seconds: float = WAIT_SECONDS,
    waits: Callable[[list[str]], None] = lambda _: None,
) -> list[str]:
    """Wait until no pod that migrates asks for the attachment `network`, for at most `seconds`.

    Returns those that still do, as `Kind name`; none when it can go. An API server that cannot be reached in between
    is waited for. `waits` is told again and again who still does; whoever wants to wait no longer raises there.
    """

    def here(networks: str) -> bool:
        return asks_for(networks, network, namespace)

    return await _wait(cluster, namespace, here, seconds=seconds, waits=waits)


async def moved(cluster: Cluster, namespace: str, network: str, *, seconds: float = WAIT_SECONDS) -> list[str]:
    """Wait until no pod that migrates asks for another attachment than `network`. Returns as `released` does."""

    def elsewhere(networks: str) -> bool:
        return f"@{INTERFACE}" in networks and not asks_for(networks, network, namespace)

    return await _wait(cluster, namespace, elsewhere, seconds=seconds)


async def _wait(
    cluster: Cluster,
    namespace: str,
    counts: Callable[[str], bool],
    *,
    seconds: float,
    waits: Callable[[list[str]], None] = lambda _: None,
) -> list[str]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            users = [
                f"{each['kind']} {each['metadata']['name']}"
                for each, asking in await _all(cluster, namespace)
                if counts(asking.get("metadata", {}).get("annotations", {}).get(NETWORKS, ""))
            ]
        except ClusterError as error:
            if error.reason != "unreachable" or time.monotonic() >= deadline:
                raise
        else:
            if not users or time.monotonic() >= deadline:
                return users
            waits(users)
        await asyncio.sleep(POLL_SECONDS)


async def _all(cluster: Cluster, namespace: str) -> list[tuple[Object, Object]]:
    """Return the workloads whose pods migrate, and those pods, each with what carries its annotation."""
    workloads = await asyncio.gather(
        cluster.get(DAEMON_SET, HANDLER, namespace), cluster.get(DEPLOYMENT, SYNC, namespace)
    )
    pods = await asyncio.gather(
        *(cluster.list(POD, namespace=namespace, labels={LABEL: role}) for role in (HANDLER, SYNC))
    )
    living = [each for listed in pods for each in listed if "deletionTimestamp" not in each["metadata"]]
    # Workloads first: the operator that has not looked yet has not changed its template.
    return [(each, each["spec"]["template"]) for each in workloads if each] + [(each, each) for each in living]
