"""Look at the clusters of some stacks, side by side, and gather what was found: what preflight and verify share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from config.findings import Finding, waived
from mignet.checked import Checked
from mignet.cluster import Cluster, ClusterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from config.project_files import Project
    from config.stack import Stack
    from mignet.snapshot import Judged

PARALLEL = 16
"""Clusters that are looked at at a time."""

_REMEDIES = {
    "unreachable": "See that its API server runs, and that this machine may reach it",
    "refused": "The API server's own log says why",
}
"""Way out by reason; the sentences of other reasons have one."""


async def look_at(
    project: Project, stacks: Sequence[Stack], look: Callable[[Stack, Cluster], Awaitable[Judged]]
) -> Checked:
    """Look at every stack's cluster. A cluster that cannot be looked at is one finding, and stops no other."""
    limit = asyncio.Semaphore(PARALLEL)

    async def one(stack: Stack) -> tuple[Sequence[Finding], Sequence[str]]:
        try:
            async with limit, Cluster(stack.cluster, base=project.directory) as cluster:
                judged = await look(stack, cluster)
        except ClusterError as error:
            return [trouble(stack, error)], ()
        findings = tuple(waived(stack.name, judged.findings, stack.waivers))
        return findings, [f"{stack.name}: {sentence}" for sentence in judged.sentences()]

    outcomes = await asyncio.gather(*(one(stack) for stack in stacks))
    return Checked(
        project,
        tuple(stack.name for stack in stacks),
        tuple(finding for findings, _ in outcomes for finding in findings),
        tuple(sentence for _, sentences in outcomes for sentence in sentences),
    )


def trouble(stack: Stack, error: ClusterError) -> Finding:
    """Say as a finding why a cluster did not answer; its code is `cluster-` and the error's reason."""
    subject, _, rest = str(error).partition(" ")
    key, sentence = (f"cluster.{subject}", rest) if subject in {"context", "kubeconfig"} else ("cluster", str(error))
    return Finding("error", f"cluster-{error.reason}", stack.name, key, None, sentence, _REMEDIES.get(error.reason, ""))
