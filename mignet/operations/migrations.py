"""Look which migrations run on stacks' clusters, and which do not go on, and why. Changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from config.finding import Remark, waived
from mignet.checks import capacity, migrations, peers
from mignet.checks.migrations import Row, ends
from mignet.checks.migrations.flights import Seen, open_on
from mignet.checks.peers.endpoint import Side
from mignet.fleet import survey
from mignet.fleet.results import Checked
from mignet.kube.client import ClusterError
from mignet.kube.kinds import FORKLIFT_PLAN
from mignet.kube.kubevirt.migrations import running_plans
from mignet.kube.snapshot import Snapshot, UnreadError, known, look
from mignet.kube.source import current_time, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.capacity.estimate import Outlook
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster
    from mignet.kube.kubevirt.migrations import Plan


@dataclass(frozen=True, slots=True)
class Migrations:
    """What was found, and what runs, by stack; a stack whose cluster could not be read has no entry."""

    checked: Checked
    rows: Mapping[str, tuple[Row, ...]]
    plans: Mapping[str, tuple[Plan, ...]]
    now: datetime


async def migrating(project: Project, stacks: Sequence[Stack], course: Course) -> Migrations:
    """Return what runs on the clusters, what does not go on and why, and what runs on two of them or on none."""
    work = {stack.name: partial(_look_at, project, stack) for stack in stacks}
    outcomes = await course.through(
        work, error=lambda seen: str(seen[0].outcome) if isinstance(seen[0].outcome, ClusterError) else None
    )
    looked = {
        stack.name: outcomes[stack.name].result
        or (Side(stack, ClusterError("unreachable", outcomes[stack.name].why)), Snapshot(stack, {}), {})
        for stack in stacks
    }
    now = current_time()
    clusters = [
        Seen(side, more, tuple(other for other, *_ in looked.values() if other is not side), now)
        for side, more, _ in looked.values()
    ]
    return Migrations(
        _checked(project, clusters),
        {
            name: rows
            for each in clusters
            for name in [each.side.name]
            if (rows := _rows(each, looked[name][2])) is not None
        },
        {name: plans for each in clusters if (plans := _plans(each.side)) is not None for name in [each.side.name]},
        now,
    )


async def _look_at(project: Project, stack: Stack) -> tuple[Side, Snapshot, Mapping[str, Outlook]]:
    try:
        async with opened(stack.cluster, base=project.directory) as cluster:
            side = await peers.look_through(cluster, stack, [migrations.PLANS])
            closer = await migrations.look_closer(cluster, side)
            return side, closer, await _forecast(cluster, side)
    except ClusterError as error:
        return Side(stack, error.kept()), Snapshot(stack, {}), {}


async def _forecast(cluster: Cluster, side: Side) -> Mapping[str, Outlook]:
    """Return how long migrations take by the model, by machine; none where none runs, or too little can be read."""
    if not known(lambda: any(open_on(side))):
        return {}
    seen = await look(cluster, side.stack, capacity.reads(side.stack))
    outlooks = known(lambda: capacity.Seen(side.stack, seen.found).outlooks) or ()
    return {each.machine.name: each for each in outlooks}


def _checked(project: Project, clusters: Sequence[Seen]) -> Checked:
    found = migrations.judged([each for each in clusters if each.side.seen])
    stacks = [each.stack for each in clusters]
    for each in clusters:
        if isinstance(each.side.outcome, ClusterError):
            found[each.side.name] = [survey.dark(each.stack, each.side.outcome), *found.get(each.side.name, ())]
    findings = [finding for judged in found.values() for one in judged for finding in one.findings]
    for stack in stacks:
        findings = list(waived(stack.name, findings, stack.waivers))
    not_judged = Counter({name: sum(one.not_judged for one in judged) for name, judged in found.items()})
    left_out = [
        Remark(name, sentence) for name, judged in found.items() for one in judged for sentence in one.sentences()
    ]
    return Checked(
        project,
        tuple(stack.name for stack in stacks),
        tuple(findings),
        (*dict.fromkeys(left_out), *_unknown(clusters)),
        not_judged=survey.counted(not_judged),
        rules=len(migrations.RULES),
    )


def _unknown(clusters: Sequence[Seen]) -> Iterator[Remark]:
    """Say where it is not known whether plans of the migration toolkit run."""
    for each in clusters:
        try:
            if each.side.seen:
                each.side.seen.all(FORKLIFT_PLAN)
        except UnreadError as unread:
            said = f"whether plans of the migration toolkit run is not known: {unread.error}"
            yield Remark(each.side.name, said)


def _rows(seen: Seen, forecast: Mapping[str, Outlook]) -> tuple[Row, ...] | None:
    if seen.side.seen is None:
        return None
    return known(
        lambda: tuple(
            Row(
                each,
                other.name if (other := seen.other_end(each)) else None,
                ends.latest(each, seen.kubevirt),
                # What another cluster sends is for that one to tell.
                None if each.way == "receives" else ends.expected(each, forecast.get(each.machine)),
            )
            for each in seen.flights
        )
    )


def _plans(side: Side) -> tuple[Plan, ...] | None:
    seen = side.seen
    return known(lambda: tuple(running_plans(seen.all(FORKLIFT_PLAN)))) if seen else None
