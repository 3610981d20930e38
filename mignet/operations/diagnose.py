"""Diagnose: one look at each cluster with the eyes of all verbs, and what is wrong by its causes. Changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from config.files.fleet_files import read_fleet
from config.finding import ConfigError, Finding, Remark, visible, waived
from config.hyperconverged import NAME
from mignet.checks import drift_rules, migrations, peers, preflight
from mignet.checks import verify as verifying
from mignet.checks.diagnosis import Diagnosed, Diagnosis
from mignet.checks.diagnosis.folding import fold
from mignet.checks.diagnosis.next_steps import next_step
from mignet.checks.migrations.flights import Seen as SeenMigrations
from mignet.checks.peers.endpoint import Side
from mignet.checks.verify import Patience, Verdict, migration, verify
from mignet.checks.verify import peers as doubles
from mignet.fleet import last_checkup, survey
from mignet.fleet.concurrency import PARALLEL
from mignet.fleet.results import HOURS, Checked
from mignet.kube.client import ClusterError
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import EVENT, MIGRATION_POLICY, NETWORK_ATTACHMENT, NODE_POLICY
from mignet.kube.network.sandbox_errors import reason, when
from mignet.kube.objects import made_by
from mignet.kube.snapshot import Judged, Read, Snapshot, judge, look
from mignet.kube.source import opened
from mignet.operations import apply, drift, roles
from mignet.operations.verify_fleet import PEER_SECONDS, prove_machine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.checks.diagnosis.folding import Cause
    from mignet.fleet.loading import Readable
    from mignet.fleet.run_context import Course
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod

T = TypeVar("T")

RULES = sum(
    map(len, (preflight.RULES, verifying.RULES, drift_rules.RULES, peers.RULES, doubles.RULES, migrations.RULES))
)
"""How many rules a stack is held against."""
EVIDENCE = 3
"""Events that are shown of a cause at most."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of one cluster."""

    findings: tuple[Finding, ...]
    side: Side
    pods: tuple[Pod, ...] | None = None
    """Those with an address on the network; None where nobody knows them, or they are not rolled out."""
    left_out: tuple[str, ...] = ()
    not_judged: int = 0
    proven: str | None = None
    refused_for: frozenset[str] = frozenset()
    """Codes of what preflight finds, for which up would refuse to work on the stack."""
    events: tuple[Object, ...] = ()
    moving: Snapshot | None = None
    """What more was read about its migrations."""


async def diagnose(
    project: Project,
    readable: Readable,
    course: Course,
    *,
    with_peers: bool = True,
    machine: str | None = None,
    hours: float = HOURS,
) -> Diagnosis:
    """Look at the clusters of the stacks that can be read, and of their peers, and find the causes of what is wrong.

    The last checkup counts for `hours`. `machine` is a virtual machine of the only stack, whose last migration is
    looked at, too.
    """
    stacks = readable.stacks
    files = read_fleet(project, known=stacks)
    names = {stack.name for stack in stacks}
    work = {stack.name: partial(_look_at, project, stack) for stack in stacks}
    segments = [segment for segment in files.fleet.segments if any(each.name in names for each in segment)]
    others = [each for segment in segments for each in segment if each.name not in names] if with_peers else []
    ends, answers = await asyncio.gather(
        course.through(work, error=lambda seen: survey.blocking(seen.findings)), _look_at_peers(project, others)
    )
    seen = {
        stack.name: ends[stack.name].result
        or _Seen((survey.unseen(stack.name, ends[stack.name]),), Side(stack, ClusterError("unreachable", "")))
        for stack in stacks
    }
    checked = _checked(project, stacks, seen)
    of_files = [*(each for stack in stacks for each in stack.findings), *files.between()]
    checked = _with(checked, of_files, [Remark("", files.left_out)] if files.left_out else [])
    checked = _between(checked, segments, seen, answers)
    checked = _measured(checked, segments, seen, answers, hours)
    checked = _moving(checked, seen, answers)
    if machine:
        checked = checked.with_(
            await prove_machine(project, stacks[0], machine, migrate_within=None, course=course, rules=migration.ALL)
        )
    checked = readable.added_to(checked)
    checked = replace(checked, rules=RULES, findings=_waived(_once(checked.findings), stacks))
    refused_for = frozenset(code for each in seen.values() for code in each.refused_for)
    clusters = {stack.name: stack.cluster for stack in files.fleet.stacks}
    return Diagnosis(
        checked,
        tuple(
            Diagnosed(
                cause, _evidence(cause, seen), next_step(cause.findings[0], clusters.get(cause.findings[0].stack))
            )
            for cause in fold(checked.findings, refusing=refused_for)
        ),
    )


async def _look_at(project: Project, stack: Stack) -> _Seen:
    """Look at a cluster with all eyes at the same moment; each thing is read once."""
    namespace, manifests = stack.cluster.namespace, partial(apply.manifests, project, stack)
    warnings = Read(EVENT, namespace, fields={"type": "Warning"})
    ours = [
        Read(hyperconverged_kind(stack), namespace, NAME),
        Read(NETWORK_ATTACHMENT, namespace, stack.network),
        *(Read(NODE_POLICY, name=policy.name) for policy in stack.policies),
        *(Read(MIGRATION_POLICY, name=policy.name) for policy in stack.migration_policies),
    ]
    try:
        async with opened(stack.cluster, base=project.directory, once=True) as cluster:
            fitness, verdict, drifted, side, around = await asyncio.gather(
                _or_trouble(preflight.preflight(stack, cluster, needed=roles.to_observe(stack))),
                _or_trouble(verify(stack, cluster, declared=manifests, patience=Patience(0, 0), thorough=True)),
                drift.look_at(project, stack, cluster),
                peers.look_through(cluster, stack),
                _or_trouble(look(cluster, stack, [warnings, *ours])),
            )
            moving = await _or_trouble(migrations.look_closer(cluster, side))
    except ClusterError as error:
        judged = survey.dark(stack, error)
        return _Seen(judged.findings, Side(stack, error.kept()), None, tuple(judged.sentences()), judged.not_judged)
    if isinstance(around, ClusterError | ConfigError):
        return _Seen(drifted.findings, side)
    findings, left_out, not_judged = list(drifted.findings), list(drifted.left_out), drifted.not_judged
    for outcome, codes in ((fitness, preflight.CODES), (verdict, verifying.CODES)):
        if isinstance(outcome, ConfigError):
            findings += outcome.findings
        else:
            judged = (
                survey.dark(stack, outcome, codes=codes)
                if isinstance(outcome, ClusterError)
                else outcome.judged
                if isinstance(outcome, Verdict)
                else outcome
            )
            findings += judged.findings
            left_out += judged.sentences()
            not_judged += judged.not_judged
    if not _is_applied(around, ours):
        findings.append(_not_applied(stack))
    events = around.found[warnings]
    if isinstance(events, ClusterError):
        left_out.append(f"events could not be read: {events}")
        events = ()
    rolled_out = isinstance(verdict, Verdict) and verdict.rolled_out
    return _Seen(
        tuple(findings),
        side,
        tuple(pod for pod in verdict.sight.living if pod.link) if isinstance(verdict, Verdict) and rolled_out else None,
        tuple(left_out),
        not_judged,
        verdict.proven if isinstance(verdict, Verdict) else None,
        frozenset(each.code for each in fitness.findings if each.blocks)
        if isinstance(fitness, Judged)
        else frozenset(),
        events,
        moving if isinstance(moving, Snapshot) else None,
    )


async def _or_trouble(looking: Awaitable[T]) -> T | ClusterError | ConfigError:
    """Return what keeps a look from its end: what the others see is not lost for it."""
    try:
        return await looking
    except (ClusterError, ConfigError) as error:
        return error


def _is_applied(around: Snapshot, ours: Sequence[Read]) -> bool:
    """Tell whether anything on the cluster was written by us; True where that cannot be read."""
    outcomes = [around.found[read] for read in ours]
    return any(isinstance(each, ClusterError) and each.reason != "not-served" for each in outcomes) or any(
        made_by(live) is None for each in outcomes if not isinstance(each, ClusterError) for live in each
    )


def _not_applied(stack: Stack) -> Finding:
    what = "has nothing on its cluster: it was never applied, or destroyed"
    return Finding("stack", stack.name, what, f"Run mignet up {stack.name}", code="stack-not-applied", stack=stack.name)


async def _look_at_peers(project: Project, others: Sequence[Stack]) -> dict[str, tuple[Side, tuple[Pod, ...] | None]]:
    """Return the sides of clusters that the diagnosis is not about, and their pods with an address on the network."""
    limit = asyncio.Semaphore(PARALLEL)

    async def one(stack: Stack) -> tuple[Side, tuple[Pod, ...] | None]:
        try:
            async with (
                limit,
                asyncio.timeout(PEER_SECONDS),
                opened(stack.cluster, base=project.directory, once=True) as cluster,
            ):
                side, pods = await asyncio.gather(
                    peers.look_through(cluster, stack), _or_trouble(doubles.attached(stack, cluster))
                )
        except TimeoutError:
            return Side(stack, ClusterError("unreachable", f"no answer in {PEER_SECONDS:.0f} s")), None
        except ClusterError as error:
            return Side(stack, error.kept()), None
        return side, pods if isinstance(pods, tuple) else None

    found = await asyncio.gather(*map(one, others))
    return {stack.name: each for stack, each in zip(others, found, strict=True)}


_Answers = dict[str, tuple[Side, tuple["Pod", ...] | None]]


def _checked(project: Project, stacks: Sequence[Stack], seen: dict[str, _Seen]) -> Checked:
    return Checked(
        project,
        tuple(stack.name for stack in stacks),
        tuple(each for one in seen.values() for each in one.findings),
        tuple(Remark(name, sentence) for name, one in seen.items() for sentence in one.left_out),
        tuple(Remark(name, one.proven) for name, one in seen.items() if one.proven),
        survey.counted({name: one.not_judged for name, one in seen.items()}),
    )


def _with(checked: Checked, findings: Iterable[Finding], left_out: Iterable[Remark] = ()) -> Checked:
    """Return what was found with more of it, as far as that is about the same stacks."""
    names = {"", *checked.stacks}
    more = (each for each in findings if names & {each.stack, each.peer})
    remarks = (each for each in left_out if each.stack in names)
    return replace(
        checked, findings=(*checked.findings, *more), left_out=tuple(dict.fromkeys((*checked.left_out, *remarks)))
    )


def _between(
    checked: Checked, segments: Sequence[Sequence[Stack]], seen: dict[str, _Seen], answers: _Answers
) -> Checked:
    """Add the addresses that pods of two clusters have."""
    for segment in segments:
        judged = frozenset(stack.name for stack in segment if stack.name in seen and seen[stack.name].pods is not None)
        if not judged or len(segment) < 2:
            continue
        pods = {name: one.pods for name, one in seen.items() if name in judged and one.pods is not None}
        pods |= {name: known for name, (_, known) in answers.items() if known is not None}
        silent = {name: side.outcome for name, (side, _) in answers.items() if isinstance(side.outcome, ClusterError)}
        here = {stack.name: stack for stack in segment}
        clusters = doubles.Clusters(
            here,
            judged,
            {name: each for name, each in pods.items() if name in here},
            {name: each for name, each in silent.items() if name in here},
        )
        checked = _with(checked, judge(doubles.RULES, clusters).findings)
    return checked


def _measured(
    checked: Checked,
    segments: Sequence[Sequence[Stack]],
    seen: dict[str, _Seen],
    answers: _Answers,
    hours: float,
) -> Checked:
    """Add what peers finds, and what the last checkup measured, as far as it counts."""
    names = checked.stacks
    left_out = []
    try:
        measured = last_checkup.last(checked.project, hours=hours)
    except ValueError as error:
        measured = None
        left_out.append(Remark("", str(error)))
    if measured is None:
        left_out.append(Remark("", last_checkup.NOTHING))
    elif not measured.counts:
        left_out.append(Remark("", f"what a checkup measures is {measured.words}"))
    checked = _with(checked, last_checkup.about(measured, names) if measured else (), left_out)
    for segment in segments:
        sides = [
            seen[each.name].side if each.name in seen else answers[each.name][0]
            for each in segment
            if each.name in seen or each.name in answers
        ]
        if len(sides) < 2:
            continue
        found = peers.compare(sides, measured, about=names)
        checked = _with(checked, found.findings, found.left_out)
        not_judged = Counter({name: count for name, count in found.not_judged.items() if name in names})
        checked = replace(checked, not_judged=Counter(checked.not_judged) + not_judged)
    return checked


def _moving(checked: Checked, seen: dict[str, _Seen], answers: _Answers) -> Checked:
    """Add why migrations do not go on; what is between two clusters is said by peers."""
    sides = [*(one.side for one in seen.values()), *(side for side, _ in answers.values())]
    for name, one in seen.items():
        if one.side.seen is None or one.moving is None:
            continue
        others = tuple(each for each in sides if each is not one.side)
        judged = judge(migrations.RULES, SeenMigrations(one.side, one.moving, others))
        checked = _with(checked, judged.findings, (Remark(name, sentence) for sentence in judged.sentences()))
        checked = replace(checked, not_judged=Counter(checked.not_judged) + Counter({name: judged.not_judged}))
    return checked


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each finding once: several eyes see one thing, in the same words. The graver one stays."""
    found: dict[object, Finding] = {}
    for each in findings:
        key = (each.stack, each.peer, each.code, each.key, json.dumps(each.value, default=str), each.rule)
        if key not in found or (each.blocks and not found[key].blocks):
            found[key] = each
    return tuple(found.values())


def _waived(findings: tuple[Finding, ...], stacks: Sequence[Stack]) -> tuple[Finding, ...]:
    for stack in stacks:
        findings = tuple(waived(stack.name, findings, stack.waivers))
    return findings


def _evidence(cause: Cause, seen: dict[str, _Seen]) -> tuple[str, ...]:
    """Return what the cluster's events say of the objects of a cause, and of what follows from it: the newest first."""
    about: dict[str, set[tuple[str, str]]] = {}
    for each in (*cause.findings, *cause.explains):
        if each.subject.kind and each.subject.name:
            about.setdefault(each.stack, set()).add((each.subject.kind, each.subject.name))
    found: dict[str, str] = {}
    for stack, objects in about.items():
        for event in sorted(seen[stack].events if stack in seen else (), key=when, reverse=True):
            involved = event.get("involvedObject", {})
            name = "/".join(filter(None, (involved.get("namespace"), involved.get("name"))))
            if (involved.get("kind"), name) in objects:
                said = f"{event.get('reason', '')}: {reason(event.get('message', ''))}"
                found.setdefault(said, f"{when(event)} {involved.get('kind')} {name}: {said}")
    return tuple(visible(each) for each in list(found.values())[:EVIDENCE])
