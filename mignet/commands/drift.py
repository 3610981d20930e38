"""`mignet drift`: what differs on the clusters from what the stacks declare, and its repair."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.finding import Remark
from mignet.commands.arguments import (
    CHANGES,
    CONFIGURATION,
    LOOK,
    UNCHANGED,
    AllowNotJudged,
    AsJson,
    EngineChoice,
    LookChoice,
    Many,
    Verbose,
    Yes,
    agrees,
    failure,
    json_or,
    mistake,
    over_many,
    project_in,
    say_once,
    warn,
)
from mignet.commands.evidence import looks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from config.files.project_files import Project
    from config.finding import Finding
    from config.stack import Stack
    from mignet.commands.selection import Picked
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Engine
    from mignet.outputs import Output

app = typer.Typer()


@app.command(rich_help_panel=LOOK, epilog="As pulumi preview --expect-no-changes. Example: mignet drift --all --fix")
@over_many
@looks
def drift(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    output: LookChoice = "table",
    as_json: AsJson = False,
    verbose: Verbose = False,
    fix: Annotated[bool, typer.Option("--fix", help="Run up where there is drift, after showing it.")] = False,
    allow_not_judged: AllowNotJudged = False,
    yes: Yes = False,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Wait that long for the operators after --fix; 0 looks once."),
    ] = 1800.0,
) -> None:
    """Show what differs on the clusters from what the stacks declare, who did it and when; exit 7 if anything does."""
    import asyncio

    from mignet.commands.selection import pick
    from mignet.fleet.loading import Readable, load, load_readable
    from mignet.operations import apply
    from mignet.operations.drift import drift as look

    form = json_or(output, as_json=as_json)
    if yes and not fix:
        mistake("--yes", "is for --fix", "Leave it out: without --fix nothing is changed")
    project = project_in(many.cwd)
    if fix and not yes and not sys.stdin.isatty():
        mistake("--fix", "asks before it changes anything", "Add --yes to run without the question")
    picked = pick(project, "drift", many)
    # What is to be repaired is held against every file, as up does.
    readable = Readable(tuple(load(project, picked.names))) if fix else load_readable(project, picked.names)
    loaded = readable.stacks
    taken, remark = apply.choose_engine(engine)
    say_once(project, remark)
    with picked.under_way(taken) as course:
        readable.tell(course)
        reports = asyncio.run(look(project, loaded, taken, course))
    declined = False
    if fix and any(report.drifted for report in reports):
        reports, declined = _fix(picked, loaded, reports, engine=taken, yes=yes, wait=wait)
    reports += [readable.report(name, "drift", taken) for name in readable.refused]
    if form == "openmetrics":
        from mignet.kube.source import current_time
        from mignet.outputs import openmetrics

        found = openmetrics.of_reports(
            reports, when=current_time().timestamp(), seconds=course.spent, refused=readable.refused
        )
        sys.stdout.write(openmetrics.render(found))
    else:
        _write(project, reports, form, verbose=verbose)
    if declined:
        typer.echo(UNCHANGED, err=form != "table")
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    if any(report.error or (report.not_judged and not allow_not_judged) for report in reports):
        raise typer.Exit(failure(each for report in reports for each in report.findings))
    if any(report.drifted for report in reports):
        raise typer.Exit(CHANGES)


def _fix(
    picked: Picked, loaded: Sequence[Stack], reports: list[Report], *, engine: Engine, yes: bool, wait: float
) -> tuple[list[Report], bool]:
    """Repair what has drifted, if somebody agrees; return the reports, and whether somebody did not."""
    from mignet.operations.drift_fix import Repair, decline, drifted, fix

    def begin(verb: str, names: tuple[str, ...]) -> AbstractContextManager[Course]:
        return replace(picked, verb=verb, names=names).under_way(engine)

    def wrong(finding: Finding) -> None:
        typer.secho(f"verify: {finding.code}: {finding}", fg="red", err=True)

    _show(reports)
    left = drifted(loaded, reports)
    repair = Repair(picked.project, engine, wait, begin=begin, show=_show, warn=warn, wrong=wrong)
    if left and not yes and not agrees(f"run up for {', '.join(each.name for each in left)}?"):
        decline(repair, left, reports)
        return reports, True
    return (fix(repair, loaded, reports) if left else reports), False


def _show(reports: Sequence[Report]) -> None:
    from mignet.outputs.terminal import show

    show(reports, err=True)


def _write(project: Project, reports: Sequence[Report], form: Output, *, verbose: bool) -> None:
    if form == "json":
        from mignet.outputs import as_json

        sys.stdout.write(as_json.reports(project, "drift", reports))
    elif form == "table":
        from mignet.outputs.terminal import show

        show(reports, verbose=verbose)
    else:
        from mignet.fleet.results import Checked
        from mignet.outputs import RENDER

        checked = Checked(
            project,
            tuple(report.stack for report in reports),
            tuple(finding for report in reports for finding in report.all_findings),
            tuple(Remark(report.stack, each) for report in reports for each in (*report.left_out, *report.apart)),
            not_judged={report.stack: report.not_judged for report in reports if report.not_judged},
        )
        typer.echo(RENDER[form](checked, Path.cwd()), nl=False)
