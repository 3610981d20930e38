"""`mignet limits`: which limits each virtual machine gets, and where each comes from."""

from __future__ import annotations

import typer

from mignet.commands.arguments import (
    LOOK,
    AllowNotJudged,
    AsJson,
    Many,
    OneMachine,
    OutputChoice,
    conclude,
    json_or,
    machine_of,
    over_many,
    project_in,
    show,
)
from mignet.commands.evidence import looks

app = typer.Typer()


@app.command(
    rich_help_panel=LOOK,
    epilog="As oc get vmi, kubevirt and migrationpolicies, put together. Example: mignet limits prod-1 --vm shop/web-0",
)
@over_many
@looks
def limits(
    many: Many,
    *,
    vm: OneMachine = None,
    output: OutputChoice = "table",
    as_json: AsJson = False,
    allow_not_judged: AllowNotJudged = False,
) -> None:
    """Show which limits each running virtual machine gets, and where each value comes from; exit 1 on an error."""
    import asyncio

    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations.limits import effective
    from mignet.outputs import as_json as documents
    from mignet.outputs import limits_table

    form = json_or(output, as_json=as_json)
    project = project_in(many.cwd)
    picked = pick(project, "limits", many)
    readable = load_readable(project, picked.names)
    machine = None if vm is None else machine_of("--vm", vm, stacks=len(picked.names))
    with picked.under_way() as course:
        readable.tell(course)
        found = asyncio.run(effective(project, readable.stacks, course, machine=machine))
    checked = readable.added_to(found.checked)
    show(
        form,
        checked,
        document=lambda: documents.limits(found.outcomes, checked),
        lines=lambda: limits_table.lines(found.outcomes),
    )
    conclude(checked, refused=bool(readable.refused), allow_not_judged=allow_not_judged)
