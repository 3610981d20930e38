"""`mignet gather`: keep what the verbs read of clusters in one file, to look at it later and elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mignet.commands.arguments import CONFIGURATION, FAILED, LOOK, Many, machine_of, mistake, over_many, project_in

app = typer.Typer()


@app.command(
    rich_help_panel=LOOK,
    epilog="As oc adm must-gather, for the migration network. Example: mignet gather prod-1 -o prod-1.tar.gz",
)
@over_many
def gather(
    many: Many,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The archive; ./mignet-TIME.tar.gz when left out. Never overwritten."
        ),
    ] = None,
    vm: Annotated[
        str | None,
        typer.Option(metavar="NAMESPACE/NAME", help="Keep also what verify --vm reads of this virtual machine."),
    ] = None,
) -> None:
    """Keep in one file what every verb reads of clusters; no Secrets are read, and no secrets kept.

    The verbs that look take it with --from, and find what they would have found on the clusters then. A cluster that
    does not answer is kept as such, and exit code 1.
    """
    import asyncio

    from mignet.commands.selection import pick
    from mignet.evidence.archive import write
    from mignet.fleet.loading import load_readable
    from mignet.operations.gather import gather as look

    if output is not None and output.exists():
        mistake(f"--output {output}", "is there already", "Name a new file")
    project = project_in(many.cwd)
    picked = pick(project, "gather", many)
    readable = load_readable(project, picked.names)
    machine = None if vm is None else machine_of("--vm", vm, stacks=len(picked.names))
    with picked.under_way() as course:
        readable.tell(course)
        archive, silent = asyncio.run(look(project, readable.stacks, course, machine=machine))
    path = output or Path(f"mignet-{archive.at:%Y%m%dT%H%M%SZ}.tar.gz")
    write(path, archive)
    size = path.stat().st_size
    count = len(archive.stacks)
    typer.echo(f"wrote {path}: {count} stack{'' if count == 1 else 's'}, {size / 1e6:.1f} MB, readable by you alone")
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    if silent:
        typer.secho(f"did not answer: {', '.join(silent)}", fg="red", err=True)
        raise typer.Exit(FAILED)
