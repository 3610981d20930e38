"""What carries a plan out, with a line in the history before and after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mignet.fleet.history import Book, End

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Plan


def recorded(plan: Plan, project: Project, verb: str, engine: str, course: Course) -> Plan:
    """Return a plan whose carrying out is written down, stack by stack."""
    book = Book(project, verb, engine, course.tell, course.run)

    async def act(stacks: Sequence[Stack], *, last: bool) -> dict[str, Report]:
        before = {stack.name: course.spent.get(stack.name, 0.0) for stack in stacks}
        cut = "broken off: it may be half done"
        return await book.around(
            stacks,
            lambda: plan.act(stacks, last=last),
            planned={name: report.changes for name, report in plan.reports.items()},
            broken={each.name: End("broken off", cut, plan.reports[each.name].changes) for each in stacks},
            ended=lambda reports: {
                each.name: _end(reports[each.name], course, course.spent.get(each.name, 0.0) - before[each.name])
                for each in stacks
            },
        )

    return replace(plan, act=act)


def _end(report: Report, course: Course, seconds: float) -> End:
    state = course.ended.get(report.stack, "failed")
    if report.error is None:
        return End("done", "", report.changes, seconds)
    stopped = state if state in {"stopped", "timed out", "not started"} else "failed"
    return End(stopped, report.error, report.changes, seconds)


async def unchanged(book: Book, stacks: Iterable[Stack], reports: Mapping[str, Report]) -> None:
    """Write down the stacks that were refused, or of which somebody said no: nothing was done there."""
    ends = {
        name: End("refused", report.error, report.changes) if report.error else End("declined", "", report.changes)
        for name, report in reports.items()
        if report.error or report.declined
    }
    about = [stack for stack in stacks if stack.name in ends]
    await book.end(about, ends)
