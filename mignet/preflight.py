"""Preflight: is a cluster fit for what its stack declares? Everything is read at once; nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.findings import Finding, rule
from config.hyperconverged import NAME
from mignet.guards import hyperconverged_kind
from mignet.kinds import NAMESPACE, NETWORK_ATTACHMENT
from mignet.snapshot import Judged, Read, Snapshot, judge, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.cluster import Cluster


def reads(stack: Stack) -> list[Read]:
    """Return what preflight reads of the stack's cluster."""
    namespace = stack.cluster.namespace
    return [
        Read(NAMESPACE, name=namespace),
        Read(hyperconverged_kind(stack), namespace, NAME),
        Read(NETWORK_ATTACHMENT),
    ]


async def preflight(stack: Stack, cluster: Cluster) -> Judged:
    """Look at the cluster and judge it. Raises ClusterError when nothing can be read of it."""
    return judge(RULES, await look(cluster, stack, reads(stack)))


@rule("hyperconverged-missing")
def hyperconverged_missing(seen: Snapshot) -> Iterator[Finding]:
    """Only the HyperConverged of this name, in KubeVirt's own namespace, is read by the operator."""
    stack = seen.stack
    if seen.one(hyperconverged_kind(stack), NAME, stack.cluster.namespace) is None:
        yield Finding(
            "error",
            "hyperconverged-missing",
            stack.name,
            f"HyperConverged {stack.cluster.namespace}/{NAME}",
            None,
            "does not exist",
            "Create it with the operator's own default first, or correct cluster.namespace",
        )


RULES = (hyperconverged_missing,)
CODES = frozenset(code for each in RULES for code in each.codes)
