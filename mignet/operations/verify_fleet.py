"""Verify many stacks side by side, each with its peers, and gather what was found and what is proven."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from config.files.fleet_files import read_fleet
from config.finding import ConfigError, Remark, codes_of, waived
from mignet.checks.verify import CODES, RULES, Verdict, migration, peers, verify
from mignet.fleet import survey
from mignet.fleet.concurrency import PARALLEL
from mignet.fleet.results import Checked
from mignet.kube.client import ClusterError
from mignet.kube.kinds import INSTANCE
from mignet.kube.snapshot import Judged, judge
from mignet.kube.source import opened
from mignet.operations import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.files.project_files import Project
    from config.finding import Finding, Rule
    from config.stack import Stack
    from mignet.checks.verify import Patience
    from mignet.checks.verify.migration import Move
    from mignet.fleet.run_context import Course
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod

PEER_SECONDS = 10.0
"""Seconds that a peer has to answer."""


async def prove(
    project: Project,
    stacks: Sequence[Stack],
    patience: Patience,
    *,
    with_peers: bool,
    course: Course,
) -> Checked:
    """Verify the stacks. A cluster that cannot be looked at, or a program that refuses one, stops no other."""

    async def one(stack: Stack) -> Verdict | Judged:
        try:
            async with opened(stack.cluster, base=project.directory) as cluster:
                return await verify(
                    stack,
                    cluster,
                    declared=partial(apply.manifests, project, stack),
                    patience=patience,
                    progress=lambda line: course.say(stack.name, line),
                )
        except ConfigError as refused:
            return Judged(refused.findings[:1])
        except ClusterError as error:
            return survey.dark(stack, error, codes=CODES)

    def unproven(outcome: Verdict | Judged) -> str | None:
        return survey.blocking(_judged(outcome).findings)

    work = {stack.name: partial(one, stack) for stack in stacks}
    # It waits as long as its patience says, and says then what for.
    ends = await course.through(work, error=unproven, timed=False)
    outcomes = {name: ended.result or Judged((survey.unseen(name, ended),)) for name, ended in ends.items()}
    doubles: list[Finding] = []
    if with_peers:
        doubles = [
            each
            for clusters in await _segments(project, stacks, outcomes)
            for each in judge(peers.RULES, clusters).findings
        ]
    return _gathered(project, stacks, outcomes, doubles)


async def prove_machine(
    project: Project,
    stack: Stack,
    machine: str,
    *,
    migrate_within: float | None,
    course: Course,
    rules: Iterable[Rule[Move]] = migration.LAST,
) -> Checked:
    """Prove the way of a virtual machine's last migration, by these rules; `machine` is `NAMESPACE/NAME`.

    With `migrate_within`, in seconds, it is migrated first, which changes the cluster. A cluster that refuses is one
    finding.
    """
    namespace, _, name = machine.partition("/")
    segments = read_fleet(project, known=[stack]).fleet.segments
    others = [each for segment in segments if stack in segment for each in segment if each != stack]

    async def ask(peer: Stack, machine: str) -> tuple[Object, ...]:
        try:
            async with asyncio.timeout(PEER_SECONDS), opened(peer.cluster, base=project.directory) as cluster:
                return tuple(await cluster.list(INSTANCE, fields={"metadata.name": machine}))
        except TimeoutError as error:
            raise ClusterError("unreachable", f"no answer in {PEER_SECONDS:.0f} s") from error

    try:
        async with opened(stack.cluster, base=project.directory) as cluster:
            move = await migration.look_at(cluster, stack, namespace, name, others, ask=ask)
            judged = judge(rules if migrate_within is None else migration.BEFORE, move)
            if migrate_within is not None and not judged.findings:
                judged, move = await migration.migrate(
                    cluster, move, within=migrate_within, progress=lambda line: course.say(stack.name, line)
                )
    except ClusterError as error:
        dark = survey.dark(stack, error, codes=codes_of(rules))
        remarks = tuple(Remark(stack.name, sentence) for sentence in dark.sentences())
        count = survey.counted({stack.name: dark.not_judged})
        return Checked(project, (stack.name,), dark.findings, remarks, not_judged=count)
    proven = () if judged.findings else (Remark(stack.name, move.proven),)
    left_out = tuple(Remark(stack.name, sentence) for sentence in judged.sentences())
    counted = survey.counted({stack.name: judged.not_judged})
    return Checked(project, (stack.name,), judged.findings, left_out, proven, counted)


def _judged(outcome: Verdict | Judged) -> Judged:
    return outcome.judged if isinstance(outcome, Verdict) else outcome


def _gathered(
    project: Project,
    stacks: Sequence[Stack],
    outcomes: Mapping[str, Verdict | Judged],
    doubles: Sequence[Finding],
) -> Checked:
    findings: list[Finding] = []
    left_out: list[Remark] = []
    proven: list[Remark] = []
    not_judged: dict[str, int] = {}
    for stack in stacks:
        # Between two stacks, either can waive.
        doubles = tuple(waived(stack.name, doubles, stack.waivers))
    for stack in stacks:
        outcome = outcomes[stack.name]
        between = [each for each in doubles if each.stack == stack.name]
        judged = _judged(outcome)
        left_out += [Remark(stack.name, sentence) for sentence in judged.sentences()]
        not_judged[stack.name] = judged.not_judged
        if not isinstance(outcome, Verdict):
            findings += judged.findings
            continue
        own = waived(stack.name, judged.findings, stack.waivers)
        findings += [*peers.without_doubles(own, between), *between]
        if outcome.proven and not any(each.blocks for each in between):
            proven.append(Remark(stack.name, outcome.proven))
    names = tuple(each.name for each in stacks)
    counted = survey.counted(not_judged)
    held = len(RULES) + len(peers.RULES)
    return Checked(project, names, tuple(findings), tuple(left_out), tuple(proven), counted, held)


async def _segments(
    project: Project, stacks: Sequence[Stack], outcomes: Mapping[str, Verdict | Judged]
) -> list[peers.Clusters]:
    """Return the segments of the stacks that are rolled out, with the pods of all their clusters."""
    known = {
        name: tuple(pod for pod in outcome.sight.living if pod.link)
        for name, outcome in outcomes.items()
        if isinstance(outcome, Verdict) and outcome.rolled_out
    }
    limit = asyncio.Semaphore(PARALLEL)

    async def pods_of(stack: Stack) -> tuple[Pod, ...] | ClusterError:
        try:
            async with limit, asyncio.timeout(PEER_SECONDS), opened(stack.cluster, base=project.directory) as cluster:
                return await peers.attached(stack, cluster)
        except TimeoutError:
            return ClusterError("unreachable", f"no answer in {PEER_SECONDS:.0f} s")
        except ClusterError as error:
            return error

    found = []
    for segment in read_fleet(project, known=stacks).fleet.segments:
        judged = frozenset(stack.name for stack in segment if stack.name in known)
        others = [stack for stack in segment if stack.name not in outcomes]
        if not judged or len(segment) < 2:
            continue
        answers = dict(zip((each.name for each in others), await asyncio.gather(*map(pods_of, others)), strict=True))
        pods = {name: each for name, each in answers.items() if not isinstance(each, ClusterError)}
        found.append(
            peers.Clusters(
                {stack.name: stack for stack in segment},
                judged,
                {name: known[name] for name in judged} | pods,
                {name: each for name, each in answers.items() if isinstance(each, ClusterError)},
            )
        )
    return found
