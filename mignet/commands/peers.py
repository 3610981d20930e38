"""`mignet peers`: which clusters can take virtual machines from which."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.finding import Remark
from mignet.commands.arguments import (
    CONFIGURATION,
    LOOK,
    All,
    AllowNotJudged,
    CheckupAge,
    Cwd,
    LookChoice,
    Select,
    Stacks,
    answers_mistakes,
    chosen,
    failure,
    mistake,
    project_in,
)
from mignet.commands.evidence import looks
from mignet.fleet.results import HOURS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.files.project_files import Project
    from mignet.fleet.last_checkup import Checkup

app = typer.Typer()


@app.command(rich_help_panel=LOOK, epilog="Nothing else compares clusters. Example: mignet peers prod-1 prod-2")
@answers_mistakes
@looks
def peers(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    files: Annotated[bool, typer.Option("--files", help="Ask no cluster; say what the stack files tell.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix and the findings as JSON.")] = False,
    output: LookChoice = "table",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long each cluster may take.")
    ] = 30.0,
    checkup_age: CheckupAge = HOURS,
    allow_not_judged: AllowNotJudged = False,
    cwd: Cwd = Path(),
) -> None:
    """Show which clusters can take virtual machines from which, or the first reason why not; exit 1 unless all can."""
    import asyncio

    from mignet.checks import peers as between
    from mignet.checks.peers import matrix
    from mignet.checks.peers.endpoint import Side
    from mignet.fleet.concurrency import Pace
    from mignet.fleet.loading import load_readable
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import under_way
    from mignet.outputs import RENDER
    from mignet.outputs import as_json as json_

    project = project_in(cwd)
    names = chosen(project, stacks, all_=all_ or not (stacks or select), select=select)
    if len(names) < 2:
        mistake("STACK", "are two or more", "Name them, or leave them out for all that have a file")
    if files and output == "openmetrics":
        mistake("--output openmetrics", "tells of clusters, and --files asks none", "Leave one of them out")
    readable = load_readable(project, names)
    loaded = readable.stacks
    spent: Mapping[str, float] = {}
    if files:
        sides = [Side(stack) for stack in loaded]
    else:
        with under_way("peers", "direct", names, pace=Pace(seconds=timeout)) as course:
            readable.tell(course)
            sides = asyncio.run(between.look_at_all(project, loaded, course))
        spent = course.spent
    measured, unread = (None, "") if files else _measured(project, checkup_age)
    found = between.compare(sides, measured)
    left_out = (*found.left_out, *(Remark("", each) for each in (unread,) if each))
    checked = Checked(
        project,
        tuple(stack.name for stack in loaded),
        found.findings,
        left_out,
        not_judged=found.not_judged,
    )
    checked = readable.added_to(checked)
    if as_json or output == "json":
        sys.stdout.write(json_.peers(found, checked))
    elif output == "openmetrics":
        from mignet.outputs import openmetrics

        looks = openmetrics.of_checked(
            checked, "peers", when=time.time(), seconds=spent, refused=readable.refused, matrix=found.matrix
        )
        sys.stdout.write(openmetrics.render(looks))
    else:
        if output == "table":
            for line in matrix.lines(found):
                typer.echo(line)
        typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    if found.blocks or (found.not_judged and not allow_not_judged):
        raise typer.Exit(failure(found.findings))


def _measured(project: Project, hours: float) -> tuple[Checkup | None, str]:
    """Return the last checkup, or why it cannot be read."""
    from mignet.fleet import last_checkup

    try:
        return last_checkup.last(project, hours=hours), ""
    except ValueError as error:
        return None, str(error)
