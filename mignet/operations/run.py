"""One run of preview, up or destroy: look whether the clusters are fit, plan, ask, carry it out, and verify waves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mignet.fleet.history import Book
from mignet.operations import apply
from mignet.operations.apply.recorded import unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Engine, Verb


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is told besides its stacks. `timeout` is how long verify waits for a wave, in seconds."""

    project: Project
    verb: Verb
    engine: Engine
    course: Course
    agreed: Callable[[Sequence[Report]], bool] | None
    """Shows what would change and asks; None where it was said to go on."""
    fitness: Callable[[Checked], None] | None
    """Shows what preflight found; None where it is not to look."""
    waves: Sequence[Sequence[str]] = ()
    timeout: float | None = None
    allow_not_judged: bool = False
    force: bool = False
    """Whether it goes on whatever is in its way."""
    wait_for_migrations: float = apply.WAIT_FOR_MIGRATIONS


async def carry_out(job: Job, stacks: Sequence[Stack]) -> dict[str, Report]:
    """Look first, plan, ask, and carry it out; return a report for each stack, by name."""
    course = job.course
    reports = await _look_first(job, stacks) if job.verb == "up" else {}
    fit = [stack for stack in stacks if stack.name not in reports]
    plan = await apply.plan(
        job.project,
        fit,
        job.verb,
        job.engine,
        course,
        asked=job.agreed is not None,
        force=job.force,
        wait_for_migrations=job.wait_for_migrations,
    )
    reports |= plan.reports
    if job.verb == "preview":
        return reports
    book = Book(job.project, job.verb, job.engine, course.tell, course.run)
    if not course.stop.asked and not _agreed(job, [reports[stack.name] for stack in fit]):
        course.stop.ask("it was not agreed to")
        reports = {name: replace(report, declined=not report.error) for name, report in reports.items()}
        await unchanged(book, stacks, reports)
        return reports
    await unchanged(book, stacks, reports)
    sound = [stack for stack in fit if not reports[stack.name].error]
    if not job.waves:
        return reports | await plan.act(sound, last=True)
    from mignet.checks.verify import Patience
    from mignet.operations.waves import roll_out

    patience = Patience() if job.timeout is None else Patience(job.timeout)
    return reports | await roll_out(
        job.project, sound, job.waves, plan, course=course, patience=patience, allow_not_judged=job.allow_not_judged
    )


def _agreed(job: Job, reports: Sequence[Report]) -> bool:
    job.course.pause()
    # Where every stack has failed already there is nothing to agree to, and the reports say why.
    if job.agreed is None or all(report.error for report in reports):
        return True
    return job.agreed(reports)


async def _look_first(job: Job, stacks: Sequence[Stack]) -> dict[str, Report]:
    """Run preflight and show what does not stop anything; return the reports of the stacks that it stops."""
    if job.fitness is None:
        return {}
    checked = await apply.preflight(job.project, stacks, job.course, last=False)
    job.course.pause()
    job.fitness(checked)
    refused = apply.refused(checked, stacks, "up", job.engine, allow_not_judged=job.allow_not_judged)
    return {report.stack: report for report in refused}
