"""One run: look at the clusters, choose, create probes, let them measure, remove them, judge."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from config.finding import Finding, Remark
from config.stack import path_mtu
from mignet.checkup import causes, preconditions
from mignet.checkup import manifests as objects
from mignet.checkup.measurements import Measured, Probed, Way
from mignet.checkup.plan import TooManyError, possible, rounds
from mignet.checkup.preconditions import Site
from mignet.checkup.probe_pods import Crew
from mignet.checkup.result import ClusterResult, Coverage, End, NodeResult, PairResult, Result
from mignet.fleet import survey
from mignet.fleet.concurrency import CTRL_C, StoppedError
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.snapshot import Judged, judge, look

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.checkup.manifests import Asked
    from mignet.checkup.plan import Round
    from mignet.fleet.run_context import Course
    from mignet.kube.kinds import Object

AT_A_TIME = 10_000
"""Clusters whose probes run at the same time: all, as they measure each other."""
_UNKNOWN = "<set at run time>"


@dataclass(frozen=True)
class Plan:
    """What is to be measured: the sites that can be, the rounds, and what was found before anything was created."""

    stacks: tuple[Stack, ...]
    sites: Mapping[str, Site]
    rounds: tuple[Round, ...]
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Remark, ...] = ()
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_judged: Mapping[str, int] = field(default_factory=dict)
    """How many rules could not be judged, by stack."""


async def prepare(project: Project, stacks: Sequence[Stack], asked: Asked, course: Course, *, last: bool) -> Plan:
    """Look at the clusters and plan; nothing is created. A cluster that does not answer stops no other."""
    seen: dict[str, tuple[Site | None, Judged]] = {}

    async def one(stack: Stack) -> Judged:
        try:
            async with Cluster(stack.cluster, base=project.directory) as cluster:
                here = Site(await look(cluster, stack, preconditions.reads(stack)), asked.nodes)
        except ClusterError as error:
            return Judged((survey.trouble(stack, error),))
        judged = judge(preconditions.RULES, here)
        if "checkup-no-nodes" in judged.left_out or "checkup-no-network" in judged.left_out:
            return replace(judged, findings=(*judged.findings, *_unread(stack, judged)))
        if survey.blocking(judged.findings) is None:
            seen[stack.name] = (here, judged)
        return judged

    work = {stack.name: partial(one, stack) for stack in stacks}
    outcomes = await course.through(work, error=lambda judged: survey.blocking(judged.findings), last=last)
    findings: list[Finding] = []
    left_out: list[Remark] = []
    for name, ended in outcomes.items():
        findings += ended.result.findings if ended.result else [survey.unseen(name, ended)]
        left_out += [Remark(name, sentence) for sentence in (ended.result.sentences() if ended.result else ())]
    not_judged = survey.counted({name: ended.result.not_judged for name, ended in outcomes.items() if ended.result})
    sites = {name: here for name, (here, _) in sorted(seen.items()) if here is not None}
    nodes = {name: here.nodes for name, here in sites.items()}
    room = {name: found for name, here in sites.items() if (found := preconditions.room_of(here)) is not None}
    turns: list[Round] = []
    try:
        turns = rounds(nodes, seed=asked.seed, room=room, sample=asked.sample)
    except TooManyError as error:
        tight = min(room, key=lambda name: room[name] / max(len(nodes[name]), 1), default=stacks[0].name)
        findings.append(_too_many(tight, str(error)))
    if len(turns) > 1:
        left_out += [
            Remark(
                name,
                f"{room[name]} addresses to spare for {len(nodes[name])} nodes: they take turns in {len(turns)}"
                " rounds, and nodes of different rounds do not measure each other",
            )
            for name in sites
            if name in room and room[name] < len(nodes[name])
        ]
    uncounted = [name for name in sites if name not in room]
    left_out += [
        Remark(name, "nobody counts its addresses, so that probes may take the last ones") for name in uncounted
    ]
    if sites and not any(turn.pairs for turn in turns) and not any(each.blocks for each in findings):
        findings.append(_alone(next(iter(sites))))
        turns = []
    return Plan(tuple(stacks), sites, tuple(turns), tuple(findings), tuple(left_out), nodes, not_judged)


def with_sync_ports(asked: Asked, plan: Plan) -> Asked:
    """Ask for the ports of the sync controllers too, as each cluster's KubeVirt has them."""
    return replace(
        asked, ports=tuple(dict.fromkeys((*sorted(each.sync_port for each in plan.sites.values()), *asked.ports)))
    )


def _unread(stack: Stack, judged: Judged) -> Iterator[Finding]:
    error = judged.left_out.get("checkup-no-nodes") or judged.left_out["checkup-no-network"]
    yield survey.trouble(stack, error)


def _too_many(stack: str, why: str) -> Finding:
    remedy = "Name fewer nodes or stacks with --nodes and --select, or give the stack more addresses: mignet allocate"
    return Finding("checkup", None, why, remedy, code="checkup-too-many", stack=stack)


def _alone(stack: str) -> Finding:
    remedy = "Name more nodes, or another stack"
    return Finding(
        "Node", None, "has nobody to reach: one at most is chosen", remedy, code="checkup-alone", stack=stack
    )


def manifests(plan: Plan, asked: Asked) -> Iterator[Object]:
    """Yield every object that a run would create; tokens, and the uid of the Job, are known later."""
    for turn, each in enumerate(plan.rounds):
        for name, nodes in each.nodes.items():
            stack = plan.sites[name].stack
            yield objects.job(stack, asked, turn)
            for number, node in enumerate(nodes):
                yield objects.pod(
                    stack,
                    asked,
                    turn,
                    number=number,
                    node=node,
                    token="<random>",
                    owner="<uid of the job>",
                )


async def carry_out(project: Project, plan: Plan, asked: Asked, course: Course) -> Result:
    """Do what is planned, remove everything again, and judge."""
    begun = _now()
    findings, left_out = list(plan.findings), list(plan.left_out)
    probes: dict[End, Probed] = {}
    ways: dict[tuple[End, End], Way] = {}
    for turn, each in enumerate(plan.rounds):
        crews = {
            name: Crew(plan.sites[name].stack, asked, turn, nodes, project.directory, partial(course.say, name))
            for name, nodes in each.nodes.items()
        }
        last = turn + 1 == len(plan.rounds)
        try:
            failed = await _measure(each, crews, asked, course, last=last)
        except asyncio.CancelledError:
            for crew in crews.values():
                if crew.created:
                    course.tell(str(_left(crew, "what it created")))
            raise
        findings += [*failed.values(), *await _remove(crews, course)]
        found = {probe.end: probe for crew in crews.values() for probe in crew.probes.values()}
        # What is not known of a cluster that failed is that finding's; when it was stopped, nobody waited for it.
        known = {end: probe for end, probe in found.items() if probe.report or probe.stuck}
        found = known if course.stop.asked else known | {e: p for e, p in found.items() if e.stack not in failed}
        # A node that has a turn twice is judged by the one in which it said something.
        probes |= {end: probe for end, probe in found.items() if probe.report or end not in probes}
        handed = {end: others for crew in crews.values() for end, others in crew.handed.items()}
        for way in _ways(handed, found, plan, asked):
            # Of two rounds, the one in which it was broken counts.
            if (way.source, way.target) not in ways or way.kind != "sound":
                ways[way.source, way.target] = way
        if course.stop.asked:
            left_out.append(Remark("", f"stopped by {course.stop.reason}: what was not measured is not judged"))
            break
    stacks = {stack.name: stack for stack in plan.stacks}
    taken = {
        address: f"Pod {holder} of {name}"
        for name, here in plan.sites.items()
        for address, holder in here.taken.items()
    }
    measured = Measured(stacks, probes, tuple(ways.values()), taken, broken_off=course.stop.asked)
    findings += judge(causes.RULES, measured).findings
    if silent := [way for way in ways.values() if way.entry.no_udp and way.kind == "sound"]:
        first = f"{silent[0].source} → {silent[0].target}"
        unmeasured = f"path MTU not measured on {len(silent)} paths (first: {first}): nothing comes back over UDP"
        left_out.append(Remark("", unmeasured))
    return _result(plan, asked, begun, measured=measured, findings=findings, left_out=left_out)


async def _measure(
    turn: Round, crews: Mapping[str, Crew], asked: Asked, course: Course, *, last: bool
) -> dict[str, Finding]:
    """Create the probes, and let all that can measure do so at the same time; return what went wrong, by cluster."""
    failed = await _phase({name: crew.start for name, crew in crews.items()}, crews, course, last=False)
    contents = _contents(turn, crews, asked)
    seconds = _seconds(turn, asked)
    work = {
        name: partial(crew.measure, contents[name], seconds=seconds + 10)
        for name, crew in crews.items()
        if name not in failed and contents.get(name)
    }
    if not course.stop.asked:
        failed |= await _phase(work, crews, course, last=last)
    return failed


async def _phase(
    work: Mapping[str, Any], crews: Mapping[str, Crew], course: Course, *, last: bool
) -> dict[str, Finding]:
    async def one(name: str) -> Finding | None:
        try:
            await work[name]()
        except ClusterError as error:
            return survey.trouble(crews[name].stack, error)
        except asyncio.CancelledError:
            if course.stop.reason != CTRL_C:
                raise
            msg = f"stopped by {CTRL_C}; its probes are removed"
            raise StoppedError(msg) from None
        return None

    ends = await course.through(
        {name: partial(one, name) for name in work},
        error=lambda finding: finding.sentence if finding else None,
        at_a_time=AT_A_TIME,
        last=last,
    )
    found = {name: ended.result or survey.unseen(name, ended) for name, ended in ends.items() if ended.state != "done"}
    # That it was stopped is no finding about a cluster.
    return {name: each for name, each in found.items() if each.code not in {"cluster-stopped", "cluster-not-started"}}


def _seconds(turn: Round, asked: Asked) -> float:
    """Return the time that each probe has to measure, by the most targets that one of them has."""
    most = max(map(len, turn.targets.values()), default=0)
    wanted = 14.0 + 6.0 * math.floor(most / 33) + (4.0 if asked.throughput else 0.0)
    return min(wanted, asked.timeout / 2)


def _contents(turn: Round, crews: Mapping[str, Crew], asked: Asked) -> dict[str, dict[End, Object]]:
    """Return what to tell each probe, by stack."""
    ready = {probe.end: probe for crew in crews.values() for probe in crew.ready}
    sources: dict[End, list[str]] = {end: [] for end in ready}
    for source, targets in turn.targets.items():
        for target in targets:
            if source in ready and target in ready:
                sources[target].append(ready[source].token)
    contents: dict[str, dict[End, Object]] = {name: {} for name in crews}
    ranks = {end: rank for rank, end in enumerate(sorted(ready))}
    for end, probe in ready.items():
        others = tuple(each for each in turn.targets[end] if each in ready)
        crews[end.stack].handed[end] = others
        contents[end.stack][end] = {
            "address": str(probe.address),
            "seconds": _seconds(turn, asked),
            "sources": sources[end],
            "targets": [
                {
                    "address": str(ready[each].address),
                    "token": ready[each].token,
                    # Behind a router, it is the router's.
                    "mac": None if _is_routed(crews[end.stack].stack, crews[each.stack].stack) else ready[each].mac,
                    "mtu": path_mtu(crews[end.stack].stack, crews[each.stack].stack),
                    "routed": _is_routed(crews[end.stack].stack, crews[each.stack].stack),
                    "ports": asked.ports,
                    "first": end not in turn.targets[each]
                    or _is_routed(crews[end.stack].stack, crews[each.stack].stack)
                    or _is_first(ranks[end], ranks[each], len(ranks)),
                }
                for each in others
            ],
            "throughput": asked.throughput,
            # One stream for each probe, to another cluster where there is one.
            "stream": next((at for at, each in enumerate(others) if each.stack != end.stack), 0),
        }
    return contents


def _is_first(one: int, other: int, count: int) -> bool:
    """Tell which of two asks for the other's MAC: each node is asked by half of the others, not one by all."""
    ahead = (other - one) % count
    return ahead < count - ahead or (ahead * 2 == count and one < other)


def _is_routed(one: Stack, other: Stack) -> bool:
    return one.segment.site != other.segment.site


def _ways(handed: Mapping[End, Sequence[End]], found: Mapping[End, Probed], plan: Plan, asked: Asked) -> Iterator[Way]:
    """Yield what was measured; a probe's entries are in the order of the targets that it was given."""
    for end, targets in handed.items():
        report = found[end].report if end in found else None
        for target, entry in zip(targets, report.entries if report else (), strict=False):
            # Of a probe that said nothing nobody knows whether it listened.
            if entry is not None and target in found and found[target].report is not None:
                mtu = path_mtu(plan.sites[end.stack].stack, plan.sites[target.stack].stack)
                yield Way(end, target, entry, mtu, len(asked.ports))


async def _remove(crews: Mapping[str, Crew], course: Course) -> list[Finding]:
    """Remove what was created, on all clusters; return what could not be, and how it goes away all the same."""

    async def one(crew: Crew) -> Finding | None:
        why = "it is still there"
        with contextlib.suppress(TimeoutError):
            try:
                left = await crew.remove()
            except ClusterError as error:
                why, left = str(error), len(crew.probes) + 1
            if not left:
                return None
        return _left_behind(crew, why)

    for name, crew in crews.items():
        if crew.created:
            course.say(name, "removing the probes")
    found = await asyncio.gather(*(one(crew) for crew in crews.values()))
    return [each for each in found if each is not None]


def _left_behind(crew: Crew, why: str) -> Finding:
    return Finding(
        f"Job {crew.namespace}/{crew.job} with {len(crew.probes)} pods",
        None,
        f"could not be removed: {why}; the cluster removes it by itself within {crew.asked.deadline} s of its creation",
        f"To remove it now: {crew.command}",
        code="checkup-left-behind",
        stack=crew.stack.name,
    )


def _left(crew: Crew, what: str) -> Remark:
    within = f"the cluster removes it by itself within {crew.asked.deadline} s"
    return Remark(crew.stack.name, f"{what} is left; {within}. To remove it now: {crew.command}")


def _result(
    plan: Plan, asked: Asked, begun: str, *, measured: Measured, findings: Sequence[Finding], left_out: Sequence[Remark]
) -> Result:
    pairs = tuple(
        PairResult(
            way.source,
            way.target,
            ok=way.kind == "sound",
            reason=way.reason,
            rtt_ms=way.entry.rtt,
            path_mtu=None
            if way.kind in {"silent", "duplicate"} or way.entry.no_udp
            else way.entry.path_mtu or way.declared,
            throughput=way.entry.throughput,
        )
        for way in sorted(measured.ways, key=lambda each: (each.source, each.target))
    )
    planned = {(end, each) for turn in plan.rounds for end, others in turn.targets.items() for each in others}
    grouped = causes.problems(measured)
    clusters = []
    for stack in plan.stacks:
        own = [each for each in findings if each.stack == stack.name]
        nodes = []
        for node in plan.nodes.get(stack.name, ()):
            end = End(stack.name, node)
            probe = measured.probes.get(end)
            problem = next((each.code for each in own if node in each.subject.nodes), None) or grouped.get(end)
            nodes.append(
                NodeResult(
                    node,
                    address=str(probe.address) if probe and probe.address else None,
                    mac=probe.mac if probe else None,
                    ok=problem is None and probe is not None and probe.report is not None,
                    problem=problem,
                )
            )
        lost = next(
            (each.code for each in own if each.blocks and each.code.startswith(("cluster-", "checkup-no-n"))), None
        )
        clusters.append(ClusterResult(stack.name, stack.network, tuple(nodes), None if nodes else lost))
    return Result(
        run=asked.run,
        seed=asked.seed,
        begun=begun,
        ended=_now(),
        mtu={stack.name: stack.mtu for stack in plan.stacks},
        ports=asked.ports,
        clusters=tuple(clusters),
        pairs=pairs,
        coverage=Coverage(possible(plan.nodes), len(planned), len(pairs)),
        findings=tuple(findings),
        left_out=tuple(left_out),
        not_judged=plan.not_judged,
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
