"""`mignet preflight` and `mignet verify`: look at clusters, and say what was found."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from mignet.commands.arguments import (
    DECLINED,
    LOOK,
    UNCHANGED,
    AllowNotJudged,
    LookChoice,
    Many,
    Yes,
    agrees,
    conclude,
    machine_of,
    mistake,
    over_many,
    project_in,
)
from mignet.commands.evidence import looks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from config.files.project_files import Project
    from mignet.fleet.loading import Readable
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course
    from mignet.outputs import Output
    from mignet.outputs.openmetrics import Verb

app = typer.Typer()


@app.command(
    rich_help_panel=LOOK,
    epilog="As kubectl auth can-i and oc get, over all that a network needs. Example: mignet preflight prod-1",
)
@over_many
@looks
def preflight(many: Many, *, output: LookChoice = "table", allow_not_judged: AllowNotJudged = False) -> None:
    """Look whether clusters are fit for what their stacks declare, and change nothing; exit 1 if one is not."""
    import asyncio

    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations import apply

    project = project_in(many.cwd)
    picked = pick(project, "preflight", many)
    readable = load_readable(project, picked.names)
    with picked.under_way() as course:
        readable.tell(course)
        checked = asyncio.run(apply.preflight(project, readable.stacks, course))
    show = _Show("preflight", readable, output, course.spent)
    show.finish(checked, allow_not_judged=allow_not_judged)


class _Verify(TyperCommand):
    """Lets `--migrate` stand without a value: where `--to` says which cluster, the machine is one of our own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        given: list[str] = []
        for at, each in enumerate(args):
            given.append(each)
            if each == "--migrate" and (at + 1 == len(args) or args[at + 1].startswith("-")):
                given.append("")
        return super().parse_args(ctx, given)


@app.command(
    cls=_Verify,
    rich_help_panel=LOOK,
    epilog="As oc rollout status, and oc exec into each pod. Example: mignet verify prod-1 --migrate shop/web-0, or"
    " mignet verify prod-1 --migrate --to prod-2",
)
@over_many
@looks
def verify(
    many: Many,
    *,
    output: LookChoice = "table",
    stuck_after: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Patience with a pod whose start fails.")
    ] = 30.0,
    with_peers: Annotated[bool, typer.Option("--peers/--no-peers", help="Compare addresses with the peers'.")] = True,
    vm: Annotated[
        str | None,
        typer.Option(metavar="NAMESPACE/NAME", help="Show which path the last migration of this virtual machine took."),
    ] = None,
    migrate: Annotated[
        str | None,
        typer.Option(metavar="NAMESPACE/NAME", help="Migrate this virtual machine once, and show which path it took."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="STACK", help="With --migrate alone: move a small test machine to that cluster and back."),
    ] = None,
    allow_not_judged: AllowNotJudged = False,
    yes: Yes = False,
) -> None:
    """Wait for the operators, and prove that the pods that migrate use the network; exit 1 if they do not.

    It waits for --timeout, 1800 seconds unless it is given, and looks once with 0. It changes nothing, except that
    --migrate creates one VirtualMachineInstanceMigration, and with --to a small virtual machine on two clusters, which
    it removes again.
    """
    import asyncio

    from mignet.checks.verify import Patience
    from mignet.commands.selection import pick
    from mignet.fleet.loading import load_readable
    from mignet.operations import crossing, verify_fleet

    project = project_in(many.cwd)
    picked = pick(project, "verify", many)
    if to is not None or migrate == "":
        picked = replace(picked, names=_two(project, picked.names, to, vm=vm, migrate=migrate))
    readable = load_readable(project, picked.names)
    machine = f"a test machine from {' to '.join(picked.names)} and back" if to else _machine(vm, migrate, readable)
    timeout = Patience().timeout if many.timeout is None else many.timeout
    with picked.under_way() as course:
        patience = Patience(timeout, stuck_after)
        readable.tell(course)
        checked = asyncio.run(
            verify_fleet.prove(project, readable.stacks, patience, with_peers=with_peers, course=course)
        )
    show = _Show("verify", readable, output, course.spent)
    if machine and not checked.blocks and not readable.refused:
        if migrate is not None and not yes and not _agreed(machine):
            show(checked)
            typer.echo(UNCHANGED, err=output != "table")
            raise typer.Exit(DECLINED)
        within = timeout if migrate else None
        with picked.under_way() as course:
            if to:
                way = crossing.prove(project, *readable.stacks, within=timeout, course=course)
            else:
                stack = readable.stacks[0]
                way = verify_fleet.prove_machine(project, stack, machine, migrate_within=within, course=course)
            if migrate is not None:
                way = _recorded(project, readable, machine, way, course)
            checked = checked.with_(asyncio.run(way))
    show.finish(checked, allow_not_judged=allow_not_judged)


def _two(
    project: Project, names: Sequence[str], to: str | None, *, vm: str | None, migrate: str | None
) -> tuple[str, str]:
    """Return the stacks between which a test machine is to go. Raises ConfigError."""
    if vm:
        mistake("--vm", "and --to exclude each other", "Give one of them")
    if migrate is None:
        mistake("--to", "is where --migrate moves a test machine", "Add --migrate")
    if to is None:
        mistake("--migrate", "takes NAMESPACE/NAME, or --to STACK", "Write --migrate my-namespace/my-vm")
    if migrate:
        mistake(
            f"--migrate {migrate}",
            "and --to exclude each other: --to moves a test machine of mignet's own, and none of yours",
            f"Write --migrate --to {to}",
        )
    if len(names) != 1:
        mistake("--to", "is about the way from one cluster to another", "Name one stack beside it")
    if to in names:
        mistake(f"--to {to}", "is the stack itself", "Name another one")
    if to not in project.stack_names():
        known = [each for each in project.stack_names() if each not in names]
        mistake(f"--to {to}", "has no stack file", f"Stacks: {', '.join(known) or 'none but that one'}")
    return names[0], to


def _machine(vm: str | None, migrate: str | None, readable: Readable) -> str | None:
    """Return the virtual machine that is meant. Raises ConfigError."""
    if vm and migrate:
        mistake("--vm", "and --migrate exclude each other", "Give one of them")
    machine = vm or migrate
    if machine is None:
        return None
    return machine_of("--vm" if vm else "--migrate", machine, stacks=len(readable.stacks) + len(readable.refused))


def _agreed(machine: str) -> bool:
    if not sys.stdin.isatty():
        mistake("--migrate", "asks before it changes anything", "Add --yes to run without the question")
    return agrees(f"Migrate {machine} now?")


async def _recorded(
    project: Project, readable: Readable, machine: str, way: Awaitable[Checked], course: Course
) -> Checked:
    """Write into the history that a virtual machine is migrated, and whether it was proven to go as it should."""
    from mignet.fleet.history import Book, End

    def ended(found: Checked) -> dict[str, End]:
        wrong = next((each.sentence for each in found.findings if each.blocks), "")
        end = End("failed", wrong) if wrong else End("done", f"migrated {machine}")
        return {each.name: end for each in readable.stacks}

    return await Book(project, "verify --migrate", "", course.tell, course.run).around(
        readable.stacks,
        lambda: way,
        planned={},
        broken={each.name: End("broken off", f"{machine} may still migrate") for each in readable.stacks},
        ended=ended,
    )


@dataclass(frozen=True, slots=True)
class _Show:
    """Prints what a verb found, in the form that is wanted; `seconds` are how long each stack took."""

    verb: Verb
    readable: Readable
    output: Output | Literal["openmetrics"]
    seconds: Mapping[str, float]

    def __call__(self, checked: Checked) -> Checked:
        checked = self.readable.added_to(checked)
        if self.output == "openmetrics":
            from mignet.kube.source import current_time
            from mignet.outputs import openmetrics

            refused = self.readable.refused
            found = openmetrics.of_checked(
                checked, self.verb, when=current_time().timestamp(), seconds=self.seconds, refused=refused
            )
            text = openmetrics.render(found)
        else:
            from mignet.outputs import RENDER

            text = RENDER[self.output](checked, Path.cwd())
        typer.echo(text, nl=False)
        return checked

    def finish(self, checked: Checked, *, allow_not_judged: bool) -> None:
        """Print it, and end with the exit code."""
        conclude(self(checked), refused=bool(self.readable.refused), allow_not_judged=allow_not_judged)
