"""The repair of drift: `up` on the stacks that have drifted, a wait for the operators, and another look."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from config.finding import folded
from mignet.checks import drift_rules
from mignet.checks.verify import Patience
from mignet.fleet.history import FIX, Book
from mignet.kube.kubevirt.field_writers import way_out
from mignet.operations import apply, verify_fleet
from mignet.operations.apply.recorded import unchanged
from mignet.operations.drift import drift
from mignet.program.guards import said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from config.files.project_files import Project
    from config.finding import Finding
    from config.stack import Stack
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Engine

ROUNDS = 2
"""Times that what somebody writes back is repaired, before it is said who has won."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair is told. `timeout` is how long the operators are waited for, in seconds."""

    project: Project
    engine: Engine
    timeout: float
    begin: Callable[[str, tuple[str, ...]], AbstractContextManager[Course]]
    """Begins a run of a verb on stacks."""
    show: Callable[[Sequence[Report]], None]
    warn: Callable[[str], None]
    wrong: Callable[[Finding], None]
    """Shows what a look at drift does not find."""


def fix(repair: Repair, loaded: Sequence[Stack], reports: Sequence[Report]) -> list[Report]:
    """Repair the stacks that have drifted, and look again; where somebody writes back, once more, and no further."""
    before = {report.stack: report for report in reports}
    failed: dict[str, Report] = {}
    fought: list[str] = []
    left = drifted(loaded, reports)
    again: dict[str, tuple[str, ...]] = {}
    for _ in range(ROUNDS):
        failed |= _up(repair, left)
        _wait(repair, [stack for stack in left if stack.name not in failed])
        with repair.begin("drift", tuple(stack.name for stack in loaded)) as course:
            reports = asyncio.run(drift(repair.project, loaded, repair.engine, course))
        again = {
            report.stack: tuple(_written_back(before[report.stack], report, failed.get(report.stack)))
            for report in reports
        }
        left = [stack for stack in left if again[stack.name]]
        fought = [stack.name for stack in left]
        # What a run of before could not do, the next one may.
        failed = {name: report for name, report in failed.items() if name not in fought}
        if not left:
            break
    return [
        replace(report, warnings=(*report.warnings, *again[report.stack]))
        if report.stack in fought
        else failed.get(report.stack, report)
        for report in reports
    ]


def drifted(stacks: Sequence[Stack], reports: Sequence[Report]) -> list[Stack]:
    """Return the stacks that a repair is for."""
    return [stack for stack, report in zip(stacks, reports, strict=True) if report.drifted and not report.error]


def decline(repair: Repair, stacks: Sequence[Stack], reports: Sequence[Report]) -> None:
    """Write into the history that somebody said no to the repair of these stacks."""
    said_no = {report.stack: replace(report, declined=True) for report in reports}
    asyncio.run(unchanged(Book(repair.project, FIX, repair.engine, repair.warn), stacks, said_no))


def _written_back(before: Report, after: Report, failed: Report | None) -> Iterator[str]:
    """Say which fields differ again after a repair, and who has won; `failed` is the repair's report when it failed.

    What a repair did not come to write, nobody has written back since.
    """
    were = {(change.key, each.path): each.by for change in before.changes for each in change.fields}
    for change in after.changes:
        for each in change.fields if change.operation == "update" else ():
            by, place = each.by, (change.key, each.path)
            if by is None or by.manager == FIELD_MANAGER or each.old == each.new or place not in were:
                continue
            # The API server notes seconds: who writes back within the one of the first write has the same entry.
            if failed is None or failed.applied or by != were[place]:
                remedy = way_out(by, [each.field]) or f"Agree with {by.manager} on one value"
                yield (
                    f"stopped after {ROUNDS} rounds: {change.key} {each.path} is {said(each.old)} again, not"
                    f" {said(each.new)}: {by} writes it back, and has won. {remedy}"
                )


def _up(repair: Repair, stacks: Sequence[Stack]) -> dict[str, Report]:
    """Run `up` on the stacks, and return the reports of those where it failed, by name."""
    for line in apply.check_fleet(repair.project, stacks):
        repair.warn(line)

    async def up(course: Course) -> dict[str, Report]:
        plan = await apply.plan(repair.project, stacks, "up", repair.engine, course, asked=False, known_as=FIX)
        await unchanged(Book(repair.project, FIX, repair.engine, course.tell, course.run), stacks, plan.reports)
        sound = [stack for stack in stacks if not plan.reports[stack.name].error]
        return plan.reports | await plan.act(sound, last=True)

    with repair.begin("up", tuple(stack.name for stack in stacks)) as course:
        reports = asyncio.run(up(course))
    repair.show(list(reports.values()))
    return {name: report for name, report in reports.items() if report.error}


def _wait(repair: Repair, stacks: Sequence[Stack]) -> None:
    """Wait for what a repair has set off, as verify does, and show what it finds that a look at drift does not."""
    with repair.begin("verify", tuple(stack.name for stack in stacks)) as course:
        work = verify_fleet.prove(repair.project, stacks, Patience(repair.timeout), with_peers=False, course=course)
        checked = asyncio.run(work)
    for finding in folded(checked.findings):
        if finding.blocks and finding.code not in drift_rules.CODES:
            repair.wrong(finding)
