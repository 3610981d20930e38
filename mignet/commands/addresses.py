"""`mignet allocate`, `release` and `plan-addresses`: the parts of the segment that the stacks have."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from config.files.file_text import write_whole
from config.finding import ConfigError, Finding
from mignet.commands.arguments import DECLINED, IN_FILES, UNCHANGED, agrees, answers_mistakes, project_in, warn

app = typer.Typer()

Stacks = Annotated[list[str], typer.Argument(metavar="STACK...", help="Stacks to work on.")]
Cwd = Annotated[Path, typer.Option("--cwd", "-C", help="The project's folder, or one below it.")]


@app.command(rich_help_panel=IN_FILES, epilog="Example: mignet allocate prod-1 prod-2")
def allocate(
    stacks: Stacks,
    *,
    nodes: Annotated[
        int | None, typer.Option("--nodes", min=1, max=5000, help="Nodes of each cluster; else its cluster.nodes.")
    ] = None,
    headroom: Annotated[
        int | None,
        typer.Option("--headroom", min=0, max=1000, help="Per cent of nodes, for cluster.headroom."),
    ] = None,
    cwd: Cwd = Path(),
) -> None:
    """Give each stack a slice of the segment for what its cluster needs, and write it into the stack file.

    A slice that is large enough stays; one that is too small grows in place; none is ever moved.
    """
    from mignet.fleet import stack_files
    from mignet.fleet.history import writing
    from mignet.operations import allocate as addresses

    project = project_in(cwd)
    with (
        stack_files.locked(project, on_wait=_waiting),
        writing(project, "allocate", list(dict.fromkeys(stacks)), warn),
    ):
        results = addresses.allocate(project, list(dict.fromkeys(stacks)), nodes=nodes, headroom=headroom)
    for result in results:
        typer.echo(str(result))


@app.command(rich_help_panel=IN_FILES, epilog="Example: mignet release prod-1")
def release(
    stacks: Stacks,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")] = False,
    cwd: Cwd = Path(),
) -> None:
    """Take the slice out of the stack files; what was applied to a cluster stays there until the next up."""
    from mignet.fleet import stack_files
    from mignet.fleet.history import writing
    from mignet.operations import allocate as addresses

    project = project_in(cwd)
    names = list(dict.fromkeys(stacks))
    held = {name: project.stack_values(name).get("slice") for name in names}
    for name, slice_ in held.items():
        typer.echo(f"{name}: {'has no slice' if slice_ is None else f'slice {_shown(slice_)} will be free'}", err=True)
    if not any(held.values()):
        return
    if not yes:
        if not sys.stdin.isatty():
            rule, remedy = "asks before it changes anything", "Add --yes to run without the question"
            raise ConfigError([Finding("release", None, rule, remedy, code="usage", stack="mignet")])
        if not agrees("release?"):
            typer.echo(UNCHANGED)
            raise typer.Exit(DECLINED)
    with stack_files.locked(project, on_wait=_waiting), writing(project, "release", names, warn):
        addresses.release(project, names)
    for name in names:
        if held[name] is not None:
            typer.echo(f"{name}: slice {_shown(held[name])} is released")


@app.command("plan-addresses", rich_help_panel=IN_FILES, epilog="Example: mignet plan-addresses")
@answers_mistakes
def plan_addresses(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the maps as JSON.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the maps as a picture into this file.")] = None,
    cwd: Cwd = Path(),
) -> None:
    """Show the segment as a map: used by which stack, free, reserved, and how the free part is broken up."""
    from mignet.operations import allocate as addresses
    from mignet.outputs import address_map
    from mignet.outputs import as_json as json_

    project = project_in(cwd)
    plans = addresses.maps(addresses.read(project))
    if svg is not None:
        write_whole(svg, address_map.as_svg(plans))
        typer.echo(f"wrote {svg}", err=True)
    if as_json:
        sys.stdout.write(json_.addresses(plans, project))
    elif svg is None:
        for plan in plans:
            for line in address_map.as_text(plan):
                typer.echo(line)


def _waiting() -> None:
    typer.echo("another mignet is writing stack files; waiting for it", err=True)


def _shown(slice_: object) -> str:
    match slice_:
        case {"rangeStart": first, "rangeEnd": last}:
            return f"{first}-{last}"
        case _:
            return json.dumps(slice_)
