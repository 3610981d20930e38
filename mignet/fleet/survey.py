"""Look at the clusters of some stacks, side by side, and gather what was found: what preflight and verify share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from config.finding import Finding, Remark, folded, waived
from mignet.fleet.results import Checked
from mignet.kube.client import ClusterError
from mignet.kube.snapshot import Judged
from mignet.kube.source import opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.concurrency import Ended
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster

_REMEDIES = {
    "unreachable": "See that its API server runs, and that this machine may reach it",
    "refused": "The API server's own log says why",
}
"""Way out by reason; the sentences of other reasons have one."""


async def look_at(
    project: Project,
    stacks: Sequence[Stack],
    look: Callable[[Stack, Cluster], Awaitable[Judged]],
    course: Course,
    *,
    last: bool = True,
) -> Checked:
    """Look at every stack's cluster. A cluster that cannot be looked at is one finding, and stops no other."""

    async def one(stack: Stack) -> Judged:
        try:
            async with opened(stack.cluster, base=project.directory) as cluster:
                judged = await look(stack, cluster)
        except ClusterError as error:
            return dark(stack, error)
        return replace(judged, findings=tuple(waived(stack.name, judged.findings, stack.waivers)))

    work = {stack.name: partial(one, stack) for stack in stacks}
    outcomes = await course.through(work, error=lambda judged: blocking(judged.findings), last=last)
    findings: list[Finding] = []
    left_out: list[Remark] = []
    not_judged = {name: ended.result.not_judged for name, ended in outcomes.items() if ended.result}
    for name, ended in outcomes.items():
        findings += ended.result.findings if ended.result else [unseen(name, ended)]
        left_out += [Remark(name, sentence) for sentence in (ended.result.sentences() if ended.result else ())]
    return Checked(project, tuple(outcomes), tuple(findings), tuple(left_out), not_judged=counted(not_judged))


def counted(rules: Mapping[str, int]) -> dict[str, int]:
    """Return the stacks where rules were not judged, with how many."""
    return {name: count for name, count in rules.items() if count}


def blocking(findings: Iterable[Finding]) -> str | None:
    """Return the findings that forbid to apply a stack, a line each; None when there are none."""
    return "\n".join(each.sentence for each in folded(findings) if each.blocks) or None


def unseen(name: str, ended: Ended[Any]) -> Finding:
    """Say as a finding why the look at a cluster came to no end; its code is `cluster-` and how it ended instead."""
    code = f"cluster-{ended.state.replace(' ', '-')}"
    return Finding("cluster", None, ended.why, "", code=code, stack=name)


def one_cluster(stacks: Iterable[Stack], identity: Callable[[Stack], str | None]) -> list[Finding]:
    """Find stacks whose contexts lead to one cluster, by the UID of its namespace `kube-system`."""
    first: dict[str, Stack] = {}
    found = []
    for stack in stacks:
        if (uid := identity(stack)) and (other := first.setdefault(uid, stack)) is not stack:
            rule = f"leads to the cluster of {other.name} too (kube-system has UID {uid}); each overwrites the other"
            remedy = "Correct the context or its kubeconfig, or remove one of the stacks"
            context = stack.cluster.context
            found.append(
                Finding(
                    "cluster.context", context, rule, remedy, code="cluster-shared", stack=stack.name, peer=other.name
                )
            )
    return found


def dark(stack: Stack, error: ClusterError, *, codes: Iterable[str] = ("this cluster",)) -> Judged:
    """Return what a look came to that could not read what it needs: a finding.

    Where what stands for the cluster lacks it, that is no fault of the cluster: the rules are not judged.
    """
    if error.reason == "not-gathered":
        return Judged((), dict.fromkeys(sorted(codes), error.kept()))
    return Judged((trouble(stack, error),))


def trouble(stack: Stack, error: ClusterError) -> Finding:
    """Say as a finding why a cluster did not answer; its code is `cluster-` and the error's reason."""
    subject, _, rest = str(error).partition(" ")
    key, sentence = (f"cluster.{subject}", rest) if subject in {"context", "kubeconfig"} else ("cluster", str(error))
    return Finding(
        key, None, sentence, _REMEDIES.get(error.reason, ""), code=f"cluster-{error.reason}", stack=stack.name
    )
