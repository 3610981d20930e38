"""`mignet migrations`: which migrations run, until when, and which do not go on and why."""

from __future__ import annotations

import typer

from mignet.commands.arguments import (
    LOOK,
    AllowNotJudged,
    AsJson,
    Many,
    OutputChoice,
    conclude,
    json_or,
    over_many,
    project_in,
    show,
)

app = typer.Typer()


@app.command(
    rich_help_panel=LOOK,
    epilog="As oc get vmim,vmi on every cluster, put together. Example: mignet migrations --all",
)
@over_many
def migrations(
    many: Many, *, output: OutputChoice = "table", as_json: AsJson = False, allow_not_judged: AllowNotJudged = False
) -> None:
    """Show the migrations that run, and why those that are stuck do not go on; exit 1 on an error.

    With several stacks, also virtual machines that a migration left running on two clusters, or on none.
    """
    import asyncio

    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations.migrations import migrating
    from mignet.outputs import as_json as documents
    from mignet.outputs import migrations_table

    form = json_or(output, as_json=as_json)
    project = project_in(many.cwd)
    picked = pick(project, "migrations", many)
    readable = load_readable(project, picked.names)
    with picked.under_way() as course:
        readable.tell(course)
        found = asyncio.run(migrating(project, readable.stacks, course))
    checked = readable.added_to(found.checked)
    show(
        form,
        checked,
        document=lambda: documents.migrations(found, checked),
        lines=lambda: migrations_table.lines(found.rows, found.plans, found.now),
    )
    conclude(checked, refused=bool(readable.refused), allow_not_judged=allow_not_judged)
