"""The command line: `mignet --help`."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

gc.disable()
# Looking for plugins of pydantic reads the metadata of everything that is installed.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from config.findings import ConfigError
from config.project_files import Project, ProjectNotFoundError
from mignet.address_commands import app as addresses
from mignet.arguments import (
    CHANGES,
    CONFIGURATION,
    FAILED,
    All,
    AsJson,
    Cwd,
    EngineChoice,
    OutputChoice,
    PlanChoice,
    Stacks,
    Yes,
    chosen,
    mistake,
)
from mignet.drift_commands import app as drifts
from mignet.editor_commands import app as editors
from mignet.export_commands import app as export
from mignet.lab.commands import app as lab
from mignet.look_commands import app as looks
from mignet.peer_commands import app as peers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.stack import Stack
    from mignet.changes import Report
    from mignet.run import Engine, Verb

Form = Literal["table", "json", "markdown"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A dedicated live-migration network for OpenShift Virtualization clusters.\n\n"
    "Exit codes: 0 fine, 1 failed, 2 configuration, 7 changes or drift where none were expected.",
)
app.add_typer(lab, name="lab")
app.add_typer(export, name="export")
app.add_typer(addresses)
app.add_typer(editors)
app.add_typer(looks)
app.add_typer(peers)
app.add_typer(drifts)


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


@app.command()
def preview(
    stacks: Stacks = None,
    *,
    all_: All = False,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    output: PlanChoice = "table",
    cwd: Cwd = Path(),
    expect_no_changes: Annotated[bool, typer.Option("--expect-no-changes", help="Exit 7 if there are any.")] = False,
) -> None:
    """Show what up would do, field by field, from a dry run of the API server."""
    form = _form(output, as_json=as_json)
    reports = _run("preview", stacks, all_=all_, engine=engine, form=form, cwd=cwd)
    _finish(reports, changes_code=CHANGES if expect_no_changes else 0)


@app.command()
def up(
    stacks: Stacks = None,
    *,
    all_: All = False,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    output: PlanChoice = "table",
    cwd: Cwd = Path(),
    yes: Yes = False,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Do not look first whether the clusters are fit.")
    ] = False,
) -> None:
    """Look whether the clusters are fit, make them hold what the stacks declare, and read it back."""
    form = _form(output, as_json=as_json)
    _finish(_run("up", stacks, all_=all_, engine=engine, form=form, cwd=cwd, yes=yes, skip_preflight=skip_preflight))


@app.command()
def destroy(
    stacks: Stacks = None,
    *,
    all_: All = False,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    cwd: Cwd = Path(),
    yes: Yes = False,
) -> None:
    """Delete what is ours, and give back the fields of the HyperConverged."""
    form = _form("table", as_json=as_json)
    _finish(_run("destroy", stacks, all_=all_, engine=engine, form=form, cwd=cwd, yes=yes))


@app.command()
def check(
    stacks: Stacks = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Check every stack that has a file; so does naming none.")
    ] = False,
    output: OutputChoice = "table",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 on warnings, too.")] = False,
    cwd: Cwd = Path(),
) -> None:
    """Check stack files, each by itself and against all others, without any cluster; exit 2 if one must not run."""
    from mignet.check import check as run_check
    from mignet.outputs import RENDER

    project = Project.find(cwd.resolve())
    checked = run_check(project, chosen(project, stacks, all_=all_ or not stacks))
    typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if checked.blocks or (strict and checked.warns):
        raise typer.Exit(CONFIGURATION)


@app.command()
def render(
    stacks: Stacks = None,
    *,
    all_: All = False,
    cwd: Cwd = Path(),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write one file a stack into this folder.")
    ] = None,
) -> None:
    """Write the manifests for GitOps: apply them server-side, with field manager migration-network."""
    from mignet import manifests, run

    project = Project.find(cwd.resolve())
    loaded = run.load(project, chosen(project, stacks, all_=all_))
    for line in run.check_fleet(project, loaded):
        typer.secho(line, fg="yellow", err=True)
    for stack in loaded:
        text = manifests.as_yaml(stack.name, run.declare(project, stack))
        if output is None:
            sys.stdout.write(text)
        else:
            output.mkdir(parents=True, exist_ok=True)
            path = output / f"{stack.name}.yaml"
            path.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path}")


def _run(
    verb: Verb,
    names: Sequence[str] | None,
    *,
    all_: bool,
    engine: str,
    form: Form,
    cwd: Path,
    yes: bool = False,
    skip_preflight: bool = False,
) -> list[Report]:
    from mignet import run
    from mignet.outputs import plan_markdown
    from mignet.render import show

    # What was imported stays to the end; a collector that looks at all of it again and again only costs time.
    gc.freeze()
    gc.enable()
    project = Project.find(cwd.resolve())
    stacks: list[Stack] = run.load(project, chosen(project, names, all_=all_))
    if verb in {"preview", "up"}:
        for line in run.check_fleet(project, stacks):
            typer.secho(line, fg="yellow", err=True)
    taken, remark = run.choose_engine(engine)
    if remark:
        typer.echo(remark, err=True)

    def confirm(reports: list[Report]) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            _fail(f"mignet: {verb} asks before it changes anything; say --yes where nobody can answer", CONFIGURATION)
        changing = [report for report in reports if report.changed]
        for report in changing:
            show(report, err=True)
        return not changing or typer.confirm(f"{verb}?", err=True)

    refused = _look_first(project, stacks, taken, skip=skip_preflight) if verb == "up" else []
    given_up = {report.stack for report in refused}
    fit = [stack for stack in stacks if stack.name not in given_up]
    if taken == "direct":
        reports = asyncio.run(run.direct(project, fit, verb, confirm=confirm))
    else:
        reports = run.with_pulumi(project, fit, verb, confirm=None if yes else confirm)
    order = [stack.name for stack in stacks]
    reports = sorted([*refused, *reports], key=lambda report: order.index(report.stack))
    if form == "json":
        sys.stdout.write(json.dumps([report.as_json() for report in reports], indent=2) + "\n")
    elif form == "markdown":
        sys.stdout.write(plan_markdown.render(reports) + "\n")
    else:
        for report in reports:
            show(report)
    return reports


def _form(output: Form, *, as_json: bool) -> Form:
    """Return the form that is asked for. Raises ConfigError when two are."""
    if as_json and output != "table":
        mistake("--json", "and --output exclude each other", "Give one of them")
    return "json" if as_json else output


def _look_first(project: Project, stacks: Sequence[Stack], engine: Engine, *, skip: bool) -> list[Report]:
    """Run preflight and show what does not stop anything; return the reports of the stacks that it stops."""
    from mignet import run

    if skip:
        names = ", ".join(stack.name for stack in stacks)
        typer.secho(
            f"--skip-preflight: nobody looked at the rights, APIs, NICs, ranges and owners on {names}",
            fg="yellow",
            err=True,
        )
        return []
    checked = asyncio.run(run.preflight(project, stacks))
    for finding in checked.findings:
        if not finding.blocks:
            typer.secho(
                f"{finding.severity}: {finding}", fg="yellow" if finding.severity == "warning" else None, err=True
            )
    for line in checked.left_out:
        typer.secho(line, fg="yellow", err=True)
    return run.refused(checked, stacks, "up", engine)


def _finish(reports: Sequence[Report], *, changes_code: int = 0) -> None:
    if any(report.error for report in reports):
        raise typer.Exit(FAILED)
    if any(report.changed for report in reports):
        raise typer.Exit(changes_code)


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    sys.exit(code)
