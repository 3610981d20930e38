"""`mignet diagnose`: everything that looks at a cluster in one run, and the causes of what is wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from mignet.commands.arguments import (
    LOOK,
    AllowNotJudged,
    CheckupAge,
    Many,
    PlanChoice,
    conclude,
    machine_of,
    over_many,
    project_in,
)
from mignet.commands.evidence import looks
from mignet.fleet.results import HOURS

app = typer.Typer()


@app.command(rich_help_panel=LOOK, epilog="Nothing else puts them together. Example: mignet diagnose prod-1")
@over_many
@looks
def diagnose(
    many: Many,
    *,
    output: PlanChoice = "table",
    with_peers: Annotated[bool, typer.Option("--peers/--no-peers", help="Look at the other clusters, too.")] = True,
    vm: Annotated[
        str | None,
        typer.Option(metavar="NAMESPACE/NAME", help="Look at the last migration of this virtual machine, too."),
    ] = None,
    checkup_age: CheckupAge = HOURS,
    allow_not_judged: AllowNotJudged = False,
) -> None:
    """Say why a network does not work: the causes, the most probable first, with the next command; exit 1 on errors.

    It looks at the stack files and once at each cluster as preflight, verify, drift and peers do, at its events, and
    at what the last checkup measured. It waits for nothing, and changes nothing.
    """
    import asyncio

    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations.diagnose import diagnose as look

    project = project_in(many.cwd)
    picked = pick(project, "diagnose", many)
    readable = load_readable(project, picked.names)
    machine = None if vm is None else machine_of("--vm", vm, stacks=len(picked.names))
    with picked.under_way() as course:
        readable.tell(course)
        found = asyncio.run(look(project, readable, course, with_peers=with_peers, machine=machine, hours=checkup_age))
    if output == "json":
        from mignet.outputs import as_json

        text = as_json.diagnosis(found)
    else:
        from mignet.outputs import diagnosis

        text = diagnosis.table(found) if output == "table" else diagnosis.markdown(found)
    typer.echo(text, nl=False)
    conclude(found.checked, refused=bool(readable.refused), allow_not_judged=allow_not_judged)
