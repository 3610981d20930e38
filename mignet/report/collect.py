"""Look at the clusters of a report: once each, with the eyes of preflight, verify and peers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from config.finding import ConfigError, Finding, Remark, waived
from config.fleet import Fleet
from mignet.checks import capacity, limits, peers, preflight
from mignet.checks.peers.endpoint import Side
from mignet.checks.preflight.seen import Seen
from mignet.checks.verify import CODES, Patience, Verdict, verify
from mignet.checks.verify import peers as doubles
from mignet.fleet import survey
from mignet.kube.client import ClusterError
from mignet.kube.snapshot import Judged, Snapshot, judge, known, look
from mignet.kube.source import opened
from mignet.operations import apply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.capacity.estimate import Evacuation
    from mignet.checks.limits import Outcome
    from mignet.fleet.concurrency import Ended
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster
    from mignet.kube.kubevirt.pods import Pod


@dataclass(frozen=True)
class Sighting:
    """One stack, and what was seen of its cluster; of what could not be seen, a finding or a sentence says why."""

    stack: Stack
    fitness: Seen | None = None
    """What preflight reads; who looks here applies nothing, so no right to is asked for, and no patch is tried."""
    verdict: Verdict | None = None
    """What verify came to, at one look and without waiting."""
    side: Side = field(kw_only=True)
    """What peers looked at."""
    limits: tuple[Outcome, ...] | None = None
    """Which limits the virtual machines get; None where that could not be seen."""
    drains: Mapping[str, Evacuation] = field(default_factory=dict)
    """How each node is drained, where that could be told."""
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Remark, ...] = ()
    not_judged: int = 0
    """How many rules of preflight, verify and limits could not be judged."""
    judged: Mapping[str, Judged] = field(default_factory=dict)
    """The same verb by verb, as far as one was judged."""

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.stack.name


def from_files(stack: Stack) -> Sighting:
    """Return a stack whose cluster is not asked."""
    return Sighting(stack, side=Side(stack))


async def see(project: Project, stacks: Sequence[Stack], course: Course) -> list[Sighting]:
    """Look at the stacks' clusters, side by side. One that cannot be looked at is a finding, and stops no other."""
    work = {stack.name: partial(_one, project, stack) for stack in stacks}
    ends = await course.through(work, error=_silent)
    return [ends[stack.name].result or _unseen(stack, ends[stack.name]) for stack in stacks]


def _silent(seen: Sighting) -> str | None:
    """Say why nothing was seen of a cluster: of a report, that something is wrong on one is no failure."""
    return survey.blocking(seen.findings) if seen.fitness is None and seen.verdict is None else None


def _unseen(stack: Stack, ended: Ended[Sighting]) -> Sighting:
    return _dark(stack, ClusterError("unreachable", survey.unseen(stack.name, ended).rule))


def _dark(stack: Stack, error: ClusterError) -> Sighting:
    """Return a cluster that cannot be looked at: its ways are closed, and peers says why."""
    judged = survey.dark(stack, error)
    left_out = tuple(Remark(stack.name, sentence) for sentence in judged.sentences())
    side = Side(stack, error.kept())
    return Sighting(stack, side=side, findings=judged.findings, left_out=left_out, not_judged=judged.not_judged)


async def _one(project: Project, stack: Stack) -> Sighting:
    try:
        async with opened(stack.cluster, base=project.directory, once=True) as cluster:
            return await through(project, stack, cluster)
    except ClusterError as error:
        return _dark(stack, error)


async def through(project: Project, stack: Stack, cluster: Cluster) -> Sighting:
    """Look at a stack's cluster through an open connection, through which each thing had better be read once.

    Nothing is written, or tried. A cluster that does not answer is a sighting whose side says why.
    """
    fitness, verdict, side, machines = await asyncio.gather(
        look(cluster, stack, preflight.reads(stack)),
        verify(stack, cluster, declared=partial(apply.manifests, project, stack), patience=Patience(0, 0)),
        peers.look_through(cluster, stack),
        look(cluster, stack, capacity.reads(stack)),
        return_exceptions=True,
    )
    if isinstance(verdict, ConfigError) and isinstance(side, Side):
        # The program refuses: nothing tells what the cluster should hold.
        return Sighting(
            stack, side=side, findings=verdict.findings, judged={"verify": Judged(verdict.findings, unasked=CODES)}
        )
    for outcome in (fitness, verdict, side, machines):
        if isinstance(outcome, BaseException) and not isinstance(outcome, ClusterError):
            raise outcome
    seen = Seen(stack, fitness.found) if isinstance(fitness, Snapshot) else None
    found = None if isinstance(verdict, BaseException) else verdict
    of_machines = capacity.Seen(stack, machines.found) if isinstance(machines, Snapshot) else None
    judged: dict[str, Judged] = {}
    for verb, silent, codes in (("preflight", fitness, preflight.CODES), ("verify", verdict, CODES)):
        if isinstance(silent, ClusterError):
            judged[verb] = survey.dark(stack, silent, codes=codes)
    if seen:
        judged["preflight"] = judge(preflight.RULES, seen)
    if found:
        judged["verify"] = found.judged
    if of_machines:
        judged["limits"] = judge(limits.RULES, of_machines)
    judged = {
        verb: replace(each, findings=tuple(waived(stack.name, each.findings, stack.waivers)))
        for verb, each in judged.items()
    }
    return Sighting(
        stack,
        seen,
        found,
        side=side if isinstance(side, Side) else Side(stack),
        limits=known(lambda: of_machines.outcomes) if of_machines else None,
        drains=(known(lambda: of_machines.drains) if of_machines else None) or {},
        findings=tuple(finding for each in judged.values() for finding in each.findings),
        left_out=tuple(Remark(stack.name, sentence) for each in judged.values() for sentence in each.sentences()),
        not_judged=sum(each.not_judged for each in judged.values()),
        judged=judged,
    )


def attached(seen: Sighting) -> tuple[Pod, ...] | None:
    """Return the pods that have an address of the network; None where the network is not rolled out."""
    if seen.verdict is None or not seen.verdict.rolled_out:
        return None
    return tuple(replace(pod, live={}) for pod in seen.verdict.sight.living if pod.link)


def between(stacks: Sequence[Stack], attached: Mapping[str, tuple[Pod, ...]]) -> Iterator[Finding]:
    """Yield the addresses that pods of two clusters of one segment have, of those stacks whose pods are known."""
    for segment in Fleet(tuple(stacks)).segments:
        here = {stack.name: stack for stack in segment if stack.name in attached}
        pods = {name: each for name, each in attached.items() if name in here}
        found = judge(doubles.RULES, doubles.Clusters(here, frozenset(here), pods, {})).findings
        for stack in here.values():
            found = tuple(waived(stack.name, found, stack.waivers))
        yield from found
