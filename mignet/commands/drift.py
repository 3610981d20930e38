"""`mignet drift`: what differs on the clusters from what the stacks declare, and its repair."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from components.ownership import FIELD_MANAGER
from config.finding import Finding, folded
from mignet.commands.arguments import (
    CHANGES,
    CONFIGURATION,
    LOOK,
    UNCHANGED,
    AllowNotJudged,
    AsJson,
    EngineChoice,
    Many,
    OutputChoice,
    Yes,
    agrees,
    failure,
    mistake,
    over_many,
    project_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.commands.selection import Picked
    from mignet.fleet.run_context import Course
    from mignet.kube.diff import Report
    from mignet.operations.apply import Engine
    from mignet.outputs import Output

app = typer.Typer()
ROUNDS = 2
"""Times that --fix repairs what somebody writes back, before it says who has won."""


@app.command(rich_help_panel=LOOK)
@over_many
def drift(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    output: OutputChoice = "table",
    as_json: AsJson = False,
    fix: Annotated[bool, typer.Option("--fix", help="Run up where there is drift, after showing it.")] = False,
    allow_not_judged: AllowNotJudged = False,
    yes: Yes = False,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Wait that long for the operators after --fix; 0 looks once."),
    ] = 1800.0,
) -> None:
    """Show what differs on the clusters from what the stacks declare, who did it and when; exit 7 if anything does."""
    from mignet.commands.selection import pick
    from mignet.fleet.loading import Readable, load, load_readable
    from mignet.operations import apply
    from mignet.operations.drift import drift as look

    if as_json and output != "table":
        mistake("--json", "and --output exclude each other", "Give one of them")
    if yes and not fix:
        mistake("--yes", "is for --fix", "Leave it out: without --fix nothing is changed")
    project = project_in(many.cwd)
    if fix and not yes and not sys.stdin.isatty():
        mistake("--fix", "asks before it changes anything", "Say --yes where nobody can answer")
    picked = pick(project, "drift", many)
    # What is to be repaired is held against every file, as up does.
    readable = Readable(tuple(load(project, picked.names))) if fix else load_readable(project, picked.names)
    loaded = readable.stacks
    taken, remark = apply.choose_engine(engine)
    if remark:
        typer.echo(remark, err=True)
    with picked.under_way(taken) as course:
        readable.tell(course)
        reports = asyncio.run(look(project, loaded, taken, course))
    declined = False
    if fix and any(report.drifted for report in reports):
        _show(reports)
        drifted = [stack for stack, report in zip(loaded, reports, strict=True) if report.drifted and not report.error]
        declined = bool(drifted) and not (yes or agrees(f"run up for {', '.join(each.name for each in drifted)}?"))
        if drifted and not declined:
            reports = _fix(picked, loaded, reports, engine=taken, timeout=wait)
    reports += [readable.report(name, "drift", taken) for name in readable.refused]
    _write(project, reports, "reports" if as_json else output)
    if declined:
        typer.echo(UNCHANGED, err=as_json or output != "table")
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    if any(report.error or (report.not_judged and not allow_not_judged) for report in reports):
        raise typer.Exit(failure(each for report in reports for each in report.findings))
    if any(report.drifted for report in reports):
        raise typer.Exit(CHANGES)


def _fix(
    picked: Picked, loaded: Sequence[Stack], reports: list[Report], *, engine: Engine, timeout: float
) -> list[Report]:
    """Repair the stacks that have drifted, and look again; where somebody writes back, once more, and no further."""
    from mignet.operations.drift import drift as look

    before = {report.stack: report for report in reports}
    failed: dict[str, Report] = {}
    fought: list[str] = []
    left = [stack for stack in loaded if before[stack.name].drifted and not before[stack.name].error]
    for _ in range(ROUNDS):
        repair = replace(picked, verb="up", names=tuple(stack.name for stack in left))
        failed |= _repair(repair, left, engine)
        _wait(picked, [stack for stack in left if stack.name not in failed], engine, timeout)
        with picked.under_way(engine) as course:
            reports = asyncio.run(look(picked.project, loaded, engine, course))
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


def _written_back(before: Report, after: Report, failed: Report | None) -> Iterator[str]:
    """Say which fields differ again after a repair, and who has won; `failed` is the repair's report when it failed.

    What a repair did not come to write, nobody has written back since.
    """
    from mignet.kube.kubevirt.field_writers import way_out
    from mignet.program.guards import said

    were = {(change.key, each.path): each.by for change in before.changes for each in change.fields}
    for change in after.changes:
        for each in change.fields if change.operation == "update" else ():
            by, place = each.by, (change.key, each.path)
            if by is None or by.manager == FIELD_MANAGER or each.old == each.new or place not in were:
                continue
            if failed is None or by != were[place]:
                remedy = way_out(by, [each.path]) or f"Agree with {by.manager} on one value"
                yield (
                    f"{after.stack}: stopped after {ROUNDS} rounds: {change.key} {each.path} is {said(each.old)} again,"
                    f" not {said(each.new)}: {by} writes it back, and has won. {remedy}"
                )


def _show(reports: Sequence[Report]) -> None:
    from mignet.outputs.terminal import show

    for report in reports:
        show(report, err=True)


def _repair(picked: Picked, stacks: Sequence[Stack], engine: Engine) -> dict[str, Report]:
    """Run `up` on the stacks, and return the reports of those where it failed, by name."""
    from mignet.operations import apply

    project = picked.project
    for line in apply.check_fleet(project, stacks):
        typer.secho(line, fg="yellow", err=True)

    async def up(course: Course) -> dict[str, Report]:
        plan = await apply.plan(project, stacks, "up", engine, course, asked=False)
        sound = [stack for stack in stacks if not plan.reports[stack.name].error]
        return plan.reports | await plan.act(sound, last=True)

    with picked.under_way(engine) as course:
        reports = asyncio.run(up(course))
    _show(list(reports.values()))
    return {name: report for name, report in reports.items() if report.error}


def _wait(picked: Picked, stacks: Sequence[Stack], engine: Engine, timeout: float) -> None:
    """Wait for what a repair has set off, as verify does, and say what it finds that a look at drift does not."""
    from mignet.checks import drift_rules
    from mignet.checks.verify import Patience
    from mignet.operations import verify_fleet

    waiting = replace(picked, verb="verify", names=tuple(stack.name for stack in stacks))
    with waiting.under_way(engine) as course:
        work = verify_fleet.prove(picked.project, stacks, Patience(timeout), with_peers=False, course=course)
        checked = asyncio.run(work)
    for finding in folded(checked.findings):
        if finding.blocks and finding.code not in drift_rules.CODES:
            typer.secho(f"verify: {finding.code}: {finding}", fg="red", err=True)


def _write(project: Project, reports: Sequence[Report], form: Output | Literal["reports"]) -> None:
    from mignet.fleet.results import not_judged

    if form == "reports":
        sys.stdout.write(json.dumps([report.as_json() for report in reports], indent=2) + "\n")
    elif form == "table":
        from mignet.outputs.terminal import show

        for report in reports:
            show(report)
        if unjudged := not_judged({report.stack: report.not_judged for report in reports}):
            typer.echo(unjudged)
    else:
        from mignet.fleet.results import Checked
        from mignet.outputs import RENDER

        checked = Checked(
            project,
            tuple(report.stack for report in reports),
            tuple(finding for report in reports for finding in (*report.findings, *_errors(report))),
            tuple(sentence for report in reports for sentence in (*report.left_out, *report.apart)),
            not_judged={report.stack: report.not_judged for report in reports if report.not_judged},
        )
        typer.echo(RENDER[form](checked, Path.cwd()), nl=False)


def _errors(report: Report) -> list[Finding]:
    """Return an error that no finding tells: Pulumi's own, or that of an `up` that failed."""
    if report.error is None or any(
        each.code.startswith("cluster-") or str(each) in report.error for each in report.findings
    ):
        return []
    sentences = [line.removeprefix(f"{report.stack}: ") for line in report.error.splitlines()]
    return [Finding("cluster", None, each, "", code="run-failed", stack=report.stack) for each in sentences]
