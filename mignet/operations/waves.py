"""Roll out wave by wave: a wave is applied and verified before the next one starts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from config.finding import folded
from mignet.fleet.history import Book, End
from mignet.fleet.results import not_judged
from mignet.operations.verify_fleet import prove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.checks.verify import Patience
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Plan


async def roll_out(
    project: Project,
    stacks: Sequence[Stack],
    waves: Sequence[Sequence[str]],
    plan: Plan,
    *,
    course: Course,
    patience: Patience,
    allow_not_judged: bool = False,
) -> dict[str, Report]:
    """Carry a plan out on `stacks`; return a report for each. Names in `waves` that are none of them have failed.

    After a wave that is not proven, nothing else is started.
    """
    reports: dict[str, Report] = {}
    for number, wave in enumerate(waves, start=1):
        members = [stack for stack in stacks if stack.name in wave]
        # Done is what is verified: a run that takes this one up must not pass over a wave that never was.
        reports |= await plan.act(members, last=False)
        applied = [stack for stack in members if not reports[stack.name].error]
        if applied:
            course.tell(f"wave {number} of {len(waves)}: verifying {', '.join(stack.name for stack in applied)}")
            checked = await prove(project, applied, patience, with_peers=True, course=course)
            reports |= _verified(applied, reports, checked, course, allow_not_judged=allow_not_judged)
            await Book(project, "verify", "", course.tell, course.run).end(
                applied, {each.name: _end(reports[each.name]) for each in applied}
            )
        proven = {name for name, report in reports.items() if not report.error}
        if not proven.issuperset(wave):
            course.stop.ask(f"wave {number} ({', '.join(wave)}) is not verified")
    return reports


def _end(report: Report) -> End:
    return End("failed", report.error) if report.error else End("done")


def _verified(
    stacks: Sequence[Stack], reports: dict[str, Report], checked: Checked, course: Course, *, allow_not_judged: bool
) -> dict[str, Report]:
    verified = {}
    for stack in stacks:
        found = [each for each in folded(checked.findings) if each.stack == stack.name]
        left_out = [each.sentence for each in checked.left_out if each.stack == stack.name]
        report = reports[stack.name]
        warnings = (*report.warnings, *(each.sentence for each in found if each.severity == "warning"), *left_out)
        error = None
        blocking = [each.sentence for each in found if each.blocks]
        if (count := checked.not_judged.get(stack.name)) and not allow_not_judged:
            blocking.append(f"{not_judged({stack.name: count})}; --allow-not-judged accepts that")
        if blocking:
            error = "\n".join(["was applied, but is not verified", *blocking])
            course.watch(stack.name, "failed", error)
        verified[stack.name] = replace(report, warnings=warnings, error=error)
    return verified
