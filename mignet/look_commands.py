"""`mignet preflight` and `mignet verify`: look at clusters, and say what was found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from config.project_files import Project
from mignet.arguments import All, Cwd, OutputChoice, Stacks, chosen

if TYPE_CHECKING:
    from mignet.checked import Checked
    from mignet.outputs import Output

app = typer.Typer()


@app.command()
def preflight(stacks: Stacks = None, *, all_: All = False, output: OutputChoice = "table", cwd: Cwd = Path()) -> None:
    """Look whether clusters are fit for what their stacks declare, and change nothing; exit 1 if one is not."""
    from mignet import run

    project = Project.find(cwd.resolve())
    loaded = run.load(project, chosen(project, stacks, all_=all_))
    _finish(asyncio.run(run.preflight(project, loaded)), output)


@app.command()
def verify(stacks: Stacks = None, *, all_: All = False, output: OutputChoice = "table", cwd: Cwd = Path()) -> None:
    """Prove that the pods that migrate use the network; exit 1 if they do not."""
    from mignet import looks, run
    from mignet.verify import verify as look

    project = Project.find(cwd.resolve())
    loaded = run.load(project, chosen(project, stacks, all_=all_))
    _finish(asyncio.run(looks.look_at(project, loaded, look)), output)


def _finish(checked: Checked, output: Output) -> None:
    from mignet.outputs import RENDER

    typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if checked.blocks:
        raise typer.Exit(1)
