"""`mignet peers`: which clusters can take virtual machines from which."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from config.project_files import Project
from mignet.arguments import FAILED, All, Cwd, OutputChoice, Select, Stacks, chosen, mistake

app = typer.Typer()


@app.command()
def peers(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    files: Annotated[bool, typer.Option("--files", help="Ask no cluster; say what the stack files tell.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix and the findings as JSON.")] = False,
    output: OutputChoice = "table",
    cwd: Cwd = Path(),
) -> None:
    """Show which clusters can take virtual machines from which, or the first reason why not; exit 1 unless all can."""
    from mignet import peers as between
    from mignet import run
    from mignet.checked import Checked
    from mignet.outputs import RENDER
    from mignet.peers import picture
    from mignet.peers.side import Side

    project = Project.find(cwd.resolve())
    loaded = run.load(project, chosen(project, stacks, all_=all_ or not (stacks or select), select=select))
    if len(loaded) < 2:
        mistake("STACK", "are two or more", "Name them, or leave them out for all that have a file")
    sides = [Side(stack) for stack in loaded] if files else asyncio.run(between.look_at_all(project, loaded))
    found = between.compare(sides)
    checked = Checked(project, tuple(stack.name for stack in loaded), found.findings, found.left_out)
    if as_json or output == "json":
        findings = json.loads(RENDER["json"](checked, Path.cwd()))
        sys.stdout.write(json.dumps(found.as_json() | findings, indent=2, ensure_ascii=False) + "\n")
    else:
        if output == "table":
            for line in picture.lines(found):
                typer.echo(line)
        typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if found.ready < len(found.matrix):
        raise typer.Exit(FAILED)
