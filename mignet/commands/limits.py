"""`mignet limits`: which limits each virtual machine gets, and where each comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mignet.commands.arguments import (
    CONFIGURATION,
    LOOK,
    AllowNotJudged,
    AsJson,
    Many,
    OutputChoice,
    failure,
    mistake,
    over_many,
    project_in,
)

app = typer.Typer()


@app.command(
    rich_help_panel=LOOK,
    epilog="As oc get vmi, kubevirt and migrationpolicies, put together. Example: mignet limits prod-1 --vm shop/web-0",
)
@over_many
def limits(
    many: Many,
    *,
    vm: Annotated[
        str | None, typer.Option("--vm", metavar="NAMESPACE/NAME", help="Only this virtual machine, of one stack.")
    ] = None,
    output: OutputChoice = "table",
    as_json: AsJson = False,
    allow_not_judged: AllowNotJudged = False,
) -> None:
    """Show which limits each running virtual machine gets, and where each value comes from; exit 1 on an error."""
    import asyncio

    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations.limits import effective
    from mignet.outputs import RENDER, limits_table

    if as_json and output != "table":
        mistake("--json", "and --output exclude each other", "Give one of them")
    project = project_in(many.cwd)
    picked = pick(project, "limits", many)
    readable = load_readable(project, picked.names)
    if vm is not None and (vm.count("/") != 1 or not all(vm.split("/"))):
        mistake(f"--vm {vm}", "is not NAMESPACE/NAME", "Write it as my-namespace/my-vm")
    if vm is not None and len(picked.names) != 1:
        mistake("--vm", "is about one cluster", "Name one stack")
    with picked.under_way() as course:
        readable.tell(course)
        found = asyncio.run(effective(project, readable.stacks, course, machine=vm))
    checked = readable.added_to(found.checked)
    if as_json or output == "json":
        from mignet.outputs import as_json as documents

        sys.stdout.write(documents.limits(found.outcomes, checked))
    else:
        if output == "table":
            for line in limits_table.lines(found.outcomes):
                typer.echo(line)
        typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    if checked.blocks or (checked.not_judged and not allow_not_judged):
        raise typer.Exit(failure(checked.findings))
