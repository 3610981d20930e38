"""`mignet preview`, `up` and `destroy`: what changes clusters, and what it would do."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config.finding import folded
from mignet.commands.arguments import (
    APPLY,
    CHANGES,
    CONFIGURATION,
    DECLINED,
    UNCHANGED,
    AllowNotJudged,
    AsJson,
    EngineChoice,
    Many,
    PlanChoice,
    Yes,
    agrees,
    failure,
    mistake,
    over_many,
    project_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Engine, Verb

Form = Literal["table", "json", "markdown"]

app = typer.Typer()


@app.command(rich_help_panel=APPLY)
@over_many
def preview(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    output: PlanChoice = "table",
    expect_no_changes: Annotated[bool, typer.Option("--expect-no-changes", help="Exit 7 if there are any.")] = False,
) -> None:
    """Show what up would do, field by field, from a dry run of the API server."""
    reports = _run("preview", many, engine=engine, form=_form(output, as_json=as_json))
    _finish(reports, changes_code=CHANGES if expect_no_changes else 0)


@app.command(rich_help_panel=APPLY)
@over_many
def up(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    output: PlanChoice = "table",
    yes: Yes = False,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Do not look first whether the clusters are fit.")
    ] = False,
    allow_not_judged: AllowNotJudged = False,
    canary: Annotated[
        list[str] | None,
        typer.Option("--canary", metavar="STACK", help="Apply and verify this one (a name, pattern, labels) first."),
    ] = None,
    no_waves: Annotated[
        bool, typer.Option("--no-waves", help="All at once, and without verify, whatever Pulumi.yaml says.")
    ] = False,
) -> None:
    """Look whether the clusters are fit, make them hold what the stacks declare, and read it back.

    With waves in Pulumi.yaml or --canary, a wave is verified before the next one starts.
    """
    if canary and no_waves:
        mistake("--canary", "and --no-waves exclude each other", "Give one of them")
    order = Order(tuple(canary or ()), ignored=no_waves)
    form = _form(output, as_json=as_json)
    look = Look(skip=skip_preflight, allow_not_judged=allow_not_judged)
    _finish(_run("up", many, engine=engine, form=form, yes=yes, look=look, order=order))


@app.command(rich_help_panel=APPLY)
@over_many
def destroy(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Delete what is ours, and give back the fields of the HyperConverged."""
    _finish(_run("destroy", many, engine=engine, form=_form("table", as_json=as_json), yes=yes))


@dataclass(frozen=True, slots=True)
class Order:
    """In which waves `up` goes: a canary first, or as Pulumi.yaml says, unless that is ignored."""

    canary: tuple[str, ...] = ()
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """How `up` looks at a cluster before it applies anything, and after a wave."""

    skip: bool = False
    allow_not_judged: bool = False


def _run(
    verb: Verb,
    many: Many,
    *,
    engine: str,
    form: Form,
    yes: bool = False,
    look: Look = Look(),
    order: Order | None = None,
) -> list[Report]:
    from mignet.commands.selection import pick, waves_of
    from mignet.fleet.loading import Readable, load, load_readable
    from mignet.operations import apply
    from mignet.outputs import plan_markdown
    from mignet.outputs.terminal import show

    # What was imported stays to the end; a collector that looks at all of it again and again only costs time.
    gc.freeze()
    gc.enable()
    project = project_in(many.cwd)
    if verb != "preview" and not yes and not sys.stdin.isatty():
        why = f"mignet: {verb} asks before it changes anything; say --yes where nobody can answer"
        typer.secho(why, fg="red", err=True)
        raise typer.Exit(CONFIGURATION)
    picked = pick(project, verb, many)
    if verb == "preview":
        readable = load_readable(project, picked.names, together=True)
    else:
        stacks = load(project, picked.names)
        readable = Readable(tuple(stacks), remarks=tuple(apply.check_fleet(project, stacks) if verb == "up" else ()))
    for line in readable.remarks:
        typer.secho(line, fg="yellow", err=True)
    waves = waves_of(project, picked.names, canary=order.canary) if order and not order.ignored else []
    taken, remark = apply.choose_engine(engine)
    if remark:
        typer.echo(remark, err=True)
    with picked.under_way(taken) as course:
        job = _Job(project, verb, taken, course, waves, yes=yes, look=look, timeout=many.timeout)
        readable.tell(course)
        found = asyncio.run(_through(job, readable.stacks))
    reports = [found[name] if name in found else readable.report(name, verb, taken) for name in picked.names]
    if form == "json":
        sys.stdout.write(json.dumps([report.as_json() for report in reports], indent=2) + "\n")
    elif form == "markdown":
        sys.stdout.write(plan_markdown.render(reports) + "\n")
    else:
        for report in reports:
            # What was declined stands above the question.
            if not report.declined:
                show(report)
    if any(report.declined for report in reports):
        typer.echo(UNCHANGED, err=form != "table")
        raise typer.Exit(DECLINED)
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    return reports


def _form(output: Form, *, as_json: bool) -> Form:
    """Return the form that is asked for. Raises ConfigError when two are."""
    if as_json and output != "table":
        mistake("--json", "and --output exclude each other", "Give one of them")
    return "json" if as_json else output


@dataclass(frozen=True, slots=True)
class _Job:
    """What `preview`, `up` and `destroy` are told besides their stacks."""

    project: Project
    verb: Verb
    engine: Engine
    course: Course
    waves: Sequence[Sequence[str]]
    yes: bool
    look: Look
    timeout: float | None

    def agreed(self, reports: Sequence[Report]) -> bool:
        """Show what would change and ask, unless it was said to go on."""
        from mignet.outputs.terminal import show

        self.course.pause()
        changing = [report for report in reports if report.changed]
        # Where every stack has failed already there is nothing to agree to, and the reports say why.
        if self.yes or (not changing and all(report.error for report in reports)):
            return True
        for report in changing:
            show(report, err=True, planned=True)
        return not changing or agrees(f"{self.verb}?")


async def _through(job: _Job, stacks: Sequence[Stack]) -> dict[str, Report]:
    """Look first, plan, ask, and carry it out; return a report for each stack, by name."""
    from mignet.operations import apply

    course = job.course
    reports = await _look_first(job, stacks) if job.verb == "up" else {}
    fit = [stack for stack in stacks if stack.name not in reports]
    plan = await apply.plan(job.project, fit, job.verb, job.engine, course, asked=not job.yes)
    reports |= plan.reports
    sound = [stack for stack in fit if not reports[stack.name].error]
    if job.verb == "preview":
        return reports
    if not course.stop.asked and not job.agreed([reports[stack.name] for stack in fit]):
        course.stop.ask("it was not agreed to")
        return {name: replace(report, declined=not report.error) for name, report in reports.items()}
    if not job.waves:
        return reports | await plan.act(sound, last=True)
    from mignet.checks.verify import Patience
    from mignet.operations.waves import roll_out

    patience = Patience() if job.timeout is None else Patience(job.timeout)
    return reports | await roll_out(
        job.project,
        sound,
        job.waves,
        plan,
        course=course,
        patience=patience,
        allow_not_judged=job.look.allow_not_judged,
    )


async def _look_first(job: _Job, stacks: Sequence[Stack]) -> dict[str, Report]:
    """Run preflight and show what does not stop anything; return the reports of the stacks that it stops."""
    from mignet.operations import apply

    if job.look.skip:
        names = ", ".join(stack.name for stack in stacks)
        job.course.pause()
        typer.secho(
            f"--skip-preflight: nobody looked at the rights, APIs, NICs, ranges and owners on {names}",
            fg="yellow",
            err=True,
        )
        return {}
    checked = await apply.preflight(job.project, stacks, job.course, last=False)
    job.course.pause()
    for finding in folded(checked.findings):
        if not finding.blocks:
            kind = "waived" if finding.waived is not None else finding.severity
            typer.secho(f"{kind}: {finding}", fg="yellow" if kind == "warning" else None, err=True)
    for line in checked.left_out:
        typer.secho(line, fg="yellow", err=True)
    refused = apply.refused(checked, stacks, "up", job.engine, allow_not_judged=job.look.allow_not_judged)
    return {report.stack: report for report in refused}


def _finish(reports: Sequence[Report], *, changes_code: int = 0) -> None:
    if any(report.error for report in reports):
        raise typer.Exit(failure(each for report in reports for each in report.findings))
    if any(report.changed for report in reports):
        raise typer.Exit(changes_code)
