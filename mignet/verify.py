"""Verify: do the pods that migrate use the network that the stack declares? Reads, waits, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.findings import Finding, rule
from mignet.kinds import DAEMON_SET
from mignet.snapshot import Judged, Read, Snapshot, judge, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.cluster import Cluster

HANDLER = "virt-handler"
NETWORKS = "k8s.v1.cni.cncf.io/networks"


def reads(stack: Stack) -> list[Read]:
    """Return what verify reads of the stack's cluster."""
    return [Read(DAEMON_SET, stack.cluster.namespace, HANDLER)]


async def verify(stack: Stack, cluster: Cluster) -> Judged:
    """Look at the cluster and judge it. Raises ClusterError when nothing can be read of it."""
    return judge(RULES, await look(cluster, stack, reads(stack)))


@rule("handler-not-annotated")
def handler_not_annotated(seen: Snapshot) -> Iterator[Finding]:
    """The operator asks multus for the network by an annotation of the pods it makes."""
    stack = seen.stack
    handler = seen.one(DAEMON_SET, HANDLER, stack.cluster.namespace)
    template = (handler or {}).get("spec", {}).get("template", {}).get("metadata", {})
    wanted = f"{stack.network}@migration0"
    if wanted not in template.get("annotations", {}).get(NETWORKS, "").split(","):
        yield Finding(
            "error",
            "handler-not-annotated",
            stack.name,
            f"DaemonSet {stack.cluster.namespace}/{HANDLER}",
            None,
            f"does not ask for {wanted}",
            "See the conditions of the HyperConverged",
        )


RULES = (handler_not_annotated,)
CODES = frozenset(code for each in RULES for code in each.codes)
