"""The command line: `mignet --help`."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

gc.disable()
# Looking for plugins of pydantic reads the metadata of everything that is installed.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from config.files.project_files import Project, ProjectNotFoundError
from config.finding import ConfigError, folded
from mignet.commands.addresses import app as addresses
from mignet.commands.arguments import (
    APPLY,
    CHANGES,
    CONFIGURATION,
    DECLINED,
    FAILED,
    IN_FILES,
    UNCHANGED,
    All,
    AllowNotJudged,
    AsJson,
    Cwd,
    EngineChoice,
    Many,
    OutputChoice,
    PlanChoice,
    Select,
    Stacks,
    Yes,
    agrees,
    chosen,
    failure,
    mistake,
    over_many,
    project_in,
)
from mignet.commands.checkup import app as checkups
from mignet.commands.drift import app as drifts
from mignet.commands.editor import app as editors
from mignet.commands.export import app as export
from mignet.commands.look import app as looks
from mignet.commands.peers import app as peers
from mignet.commands.report import app as reports
from mignet.lab.commands import app as lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.stack import Stack
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Engine, Verb

Form = Literal["table", "json", "markdown"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A dedicated live-migration network for OpenShift Virtualization clusters.\n\n"
    "Exit codes: 0 fine, 1 failed or stopped, 2 configuration, 7 changes or drift where none were expected, "
    "8 answered no, so that nothing was changed, 130 broken off by a second ctrl-c.",
)
app.add_typer(addresses)
app.add_typer(editors)
app.add_typer(looks)
app.add_typer(peers)
app.add_typer(checkups)
app.add_typer(drifts)
app.add_typer(reports)
app.add_typer(lab, name="lab", rich_help_panel="Try, and hand over")
app.add_typer(export, name="export", rich_help_panel="Try, and hand over")


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    try:
        _answer()
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        # Taking the interpreter apart is a seventh of a preview's time, for memory that goes with the process anyway.
        atexit._run_exitfuncs()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(end.code or 0)


def _answer() -> NoReturn:
    """Run the command line; configuration mistakes end it with one line each and exit code 2."""
    try:
        app()
    except ConfigError as error:
        _fail(str(error), CONFIGURATION)
    except ProjectNotFoundError as error:
        _fail(f"mignet: {error}", CONFIGURATION)
    except OSError as error:
        # A file that cannot be read or written, a folder that is none: the system's own words say which.
        _fail(f"mignet: {error}", FAILED)
    sys.exit()


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


@app.command(rich_help_panel=IN_FILES)
def check(
    stacks: Stacks = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Check every stack that has a file; so does naming none.")
    ] = False,
    select: Select = None,
    output: OutputChoice = "table",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 on warnings, too.")] = False,
    cwd: Cwd = Path(),
) -> None:
    """Check stack files, each by itself and against all others, without any cluster; exit 2 if one must not run."""
    from mignet.checks.stack_files import check as run_check
    from mignet.outputs import RENDER

    project = project_in(cwd)
    checked = run_check(project, chosen(project, stacks, all_=all_ or not (stacks or select), select=select))
    typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if checked.blocks or (strict and checked.warns):
        raise typer.Exit(CONFIGURATION)


@app.command(rich_help_panel=IN_FILES)
def render(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    cwd: Cwd = Path(),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write one file a stack into this folder.")
    ] = None,
) -> None:
    """Write the manifests for GitOps: apply them server-side, with field manager migration-network."""
    from mignet.fleet.loading import load
    from mignet.operations import apply, manifests

    project = project_in(cwd)
    loaded = load(project, chosen(project, stacks, all_=all_, select=select))
    for line in apply.check_fleet(project, loaded):
        typer.secho(line, fg="yellow", err=True)
    for stack in loaded:
        text = manifests.as_yaml(stack.name, apply.declare(project, stack))
        if output is None:
            sys.stdout.write(text)
        else:
            output.mkdir(parents=True, exist_ok=True)
            path = output / f"{stack.name}.yaml"
            path.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path}")


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
        _fail(f"mignet: {verb} asks before it changes anything; say --yes where nobody can answer", CONFIGURATION)
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


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    sys.exit(code)
