"""`mignet capacity`: how long migrations and node drains take, and under which limits they end."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from config.limits import quantity
from mignet.commands.arguments import (
    DECLINED,
    LOOK,
    UNCHANGED,
    AllowNotJudged,
    AsJson,
    Many,
    OneMachine,
    OutputChoice,
    Verbose,
    Yes,
    agrees,
    conclude,
    json_or,
    machine_of,
    mistake,
    over_many,
    project_in,
    show,
    warn,
)

if TYPE_CHECKING:
    from config.files.project_files import Project
    from mignet.capacity.estimate import Writing
    from mignet.operations.capacity import Capacity

app = typer.Typer()

_SPEED = "in bits per second: 10G, 2.5G, 400M"


@app.command(
    rich_help_panel=LOOK,
    epilog="As virsh domjobinfo, before a migration. Example: mignet capacity prod-1 --link 25G --parallel 4",
)
@over_many
def capacity(
    many: Many,
    *,
    vm: OneMachine = None,
    link: Annotated[
        str | None, typer.Option("--link", metavar="SPEED", help=f"What each node's NIC does, {_SPEED}.")
    ] = None,
    bandwidth: Annotated[
        str | None, typer.Option("--bandwidth", metavar="QUANTITY", help="Try this bandwidthPerMigration: 512Mi.")
    ] = None,
    timeout_per_gib: Annotated[
        int | None,
        typer.Option(
            "--timeout-per-gib", min=0, max=86400, metavar="SECONDS", help="Try this completionTimeoutPerGiB."
        ),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option("--parallel", min=1, max=100, metavar="N", help="Try so many migrations at a time from a node."),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(
            "--between", metavar="SPEED", help=f"All moves to another cluster, disks too, over a link {_SPEED}."
        ),
    ] = None,
    load: Annotated[
        str, typer.Option("--load", metavar="CLASS", help="What is assumed of guests: idle, typical or busy.")
    ] = "typical",
    prometheus: Annotated[
        str | None,
        typer.Option(
            "--prometheus",
            metavar="URL",
            help="Take dirty rates from KubeVirt's metrics of past migrations there; MIGNET_PROMETHEUS_TOKEN signs in.",
        ),
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Also say which limits would serve better, and why.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write them into the stack files.")] = False,
    yes: Yes = False,
    output: OutputChoice = "table",
    as_json: AsJson = False,
    verbose: Verbose = False,
    allow_not_judged: AllowNotJudged = False,
) -> None:
    """Tell how long each migration and node drain takes under the limits, as a range; exit 1 on an error."""
    import asyncio

    from mignet.capacity.estimate import CLASSES
    from mignet.checks.capacity import WhatIf
    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations.capacity import estimate
    from mignet.outputs import as_json as documents
    from mignet.outputs import capacity_table

    form = json_or(output, as_json=as_json)
    if load not in CLASSES:
        mistake(f"--load {load}", "is none of idle, typical, busy", "Give one of them")
    project = project_in(many.cwd)
    picked = pick(project, "capacity", many)
    readable = load_readable(project, picked.names)
    machine = None if vm is None else machine_of("--vm", vm, stacks=len(picked.names))
    what_if = WhatIf(
        link=speed_of("--link", link),
        bandwidth=_bandwidth(bandwidth),
        per_gib=timeout_per_gib,
        per_node=parallel,
        between=speed_of("--between", between),
        writing=load,
        measured=_measured(prometheus),
    )
    with picked.under_way() as course:
        readable.tell(course)
        found = asyncio.run(
            estimate(project, readable.stacks, course, what_if, machine=machine, proposing=propose or write)
        )
    checked = readable.added_to(found.checked)
    show(
        form,
        checked,
        document=lambda: documents.capacity(found.clusters, found.proposals, checked),
        lines=lambda: capacity_table.lines(found.clusters, found.proposals, verbose=verbose),
    )
    if write and found.proposals:
        _write(project, found, yes=yes)
    conclude(checked, refused=bool(readable.refused), allow_not_judged=allow_not_judged)


def _write(project: Project, found: Capacity, *, yes: bool) -> None:
    from mignet.fleet import stack_files
    from mignet.fleet.history import writing
    from mignet.operations.capacity import write

    names = ", ".join(found.proposals)
    if not yes:
        if not sys.stdin.isatty():
            mistake("--write", "asks before it changes anything", "Add --yes to run without the question")
        if not agrees(f"write the proposed limits into the files of {names}?"):
            typer.echo(UNCHANGED, err=True)
            raise typer.Exit(DECLINED)
    with (
        stack_files.locked(project, on_wait=lambda: typer.echo("another mignet is writing stack files", err=True)),
        writing(project, "capacity --write", found.proposals, warn),
    ):
        write(project, found.proposals)
    typer.echo(f"wrote the limits of {names}; mignet preview shows what they change", err=True)


def speed_of(option: str, text: str | None) -> float | None:
    """Return the bits per second that an option names; None without it. Raises ConfigError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT])(?:bit(?:/s)?|bps|b/s)?", text, re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        mistake(f"{option} {text}", "is no speed", "Write it as 10G, in bits per second")
    return float(match[1]) * {"M": 1e6, "G": 1e9, "T": 1e12}[match[2].upper()]


def _bandwidth(text: str | None) -> float | None:
    if text is None:
        return None
    rate = quantity(text)
    if rate is None or rate < 2**20:
        mistake(f"--bandwidth {text}", "is no bandwidth of at least 1Mi", "Write it as 512Mi, in bytes per second")
    return rate


def _measured(url: str | None) -> dict[str, Writing]:
    if url is None:
        return {}
    from mignet.operations.past_migrations import measured

    return measured(url)
