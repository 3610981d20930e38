"""`mignet checkup`: short-lived pods measure whether the nodes reach each other over the network."""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from mignet.commands.arguments import (
    LOOK,
    All,
    AllowNotJudged,
    Cwd,
    Many,
    OutputChoice,
    Select,
    Stacks,
    answers_mistakes,
    failure,
    project_in,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.checkup.manifests import Asked
    from mignet.checkup.result import Result
    from mignet.checkup.run import Plan
    from mignet.fleet.run_context import Course
    from mignet.outputs import Output

app = typer.Typer()


@app.command(
    rich_help_panel=LOOK,
    epilog="As ping and iperf between the nodes, with the pods of the network. Example: mignet checkup --all",
)
@answers_mistakes
def checkup(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    nodes: Annotated[
        list[str] | None, typer.Option("--nodes", metavar="NODE", help="These nodes only: names, or patterns.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Nodes of each cluster that a node measures; all in a small fleet."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Repeat the sample that an earlier run printed.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(envvar="MIGNET_CHECKUP_IMAGE", help="An image with python3 and a numeric user, of a mirror, say."),
    ] = None,
    throughput: Annotated[
        float, typer.Option(min=0, metavar="MBIT/S", help="Measure it, too, with at most so much from each node.")
    ] = 0.0,
    timeout: Annotated[
        float,
        typer.Option(min=10, metavar="SECONDS", help="How long probes may live; the cluster ends them 60 s later."),
    ] = 120.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every object that would be created, and create none.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Keep the result here, as JSON.")
    ] = None,
    output: OutputChoice = "table",
    allow_not_judged: AllowNotJudged = False,
    cwd: Cwd = Path(),
) -> None:
    """Measure, node by node, whether virtual machines can migrate over the network; exit 1 if somewhere they cannot.

    A pod on each node, attached to the network, tries addresses, TCP ports, path MTU and round-trip time. All of it
    is removed at the end, and by the cluster itself if mignet cannot. Virtual machines are neither read nor touched.
    """
    import asyncio

    from mignet.checkup import manifests as objects
    from mignet.checkup.result import place
    from mignet.commands.selection import pick
    from mignet.fleet.loading import load

    project = project_in(cwd)
    picked = pick(project, "checkup", Many(stacks, all_, select, timeout=None, cwd=cwd))
    loaded = load(project, picked.names)
    chance = random.SystemRandom().randrange(10**6) if seed is None else seed
    asked = objects.Asked(
        run=secrets.token_hex(4),
        seed=chance,
        ports=objects.ports(chance),
        image=image or objects.IMAGE,
        timeout=timeout,
        nodes=tuple(nodes or ()),
        sample=sample,
        throughput=throughput,
    )

    with picked.under_way() as course:
        plan, asked, result = asyncio.run(_run(project, loaded, asked, course, dry_run=dry_run))
    if result is None:
        _print(plan, asked)
        blocks = any(each.blocks for each in plan.findings)
    else:
        for path in filter(None, (place(project), report)):
            result.write(path, project)
        _show(project, result, output)
        blocks = any(each.blocks for each in result.findings)
    if blocks or course.stop.asked or (plan.not_judged and not allow_not_judged):
        raise typer.Exit(failure((result or plan).findings))


async def _run(
    project: Project, stacks: Sequence[Stack], asked: Asked, course: Course, *, dry_run: bool
) -> tuple[Plan, Asked, Result | None]:
    from mignet.checkup import run

    plan = await run.prepare(project, stacks, asked, course, last=dry_run)
    asked = run.with_sync_ports(asked, plan)
    if dry_run:
        return plan, asked, None
    return plan, asked, await _recorded(project, stacks, run.carry_out(project, plan, asked, course), course)


async def _recorded(project: Project, stacks: Sequence[Stack], work: Awaitable[Result], course: Course) -> Result:
    """Write into the history that pods are created and removed, and what came of it."""
    from mignet.fleet.history import Book, End

    def ended(result: Result) -> dict[str, End]:
        errors = {each.name: sum(one.blocks and one.stack == each.name for one in result.findings) for each in stacks}
        return {name: End("done", f"{count} error{'' if count == 1 else 's'} found") for name, count in errors.items()}

    return await Book(project, "checkup", "", course.tell, course.run).around(
        stacks,
        lambda: work,
        planned={},
        broken={each.name: End("broken off", "the cluster itself ends the pods") for each in stacks},
        ended=ended,
    )


def _print(plan: Plan, asked: Asked) -> None:
    """Print what would be created, and what was found so far beside it."""
    from mignet.checkup.run import manifests

    for finding in plan.findings:
        typer.secho(str(finding), fg="red" if finding.blocks else "yellow", err=True)
    for line in plan.left_out:
        typer.secho(line, fg="yellow", err=True)
    documents = list(manifests(plan, asked))
    typer.echo(
        f"# {len(documents)} objects, {sum(each.pairs for each in plan.rounds)} paths to measure; nothing is created"
    )
    yaml.dump_all(documents, sys.stdout, Dumper=_Dumper, explicit_start=True, sort_keys=False)


class _Dumper(yaml.SafeDumper):
    """Writes the probe's source as text that can be read."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _show(project: Project, result: Result, output: Output) -> None:
    from mignet.checkup import matrix
    from mignet.fleet.results import Checked
    from mignet.outputs import RENDER, as_json

    if output == "json":
        sys.stdout.write(as_json.checkup(result, project))
        return
    checked = Checked(project, result.stacks, result.findings, result.left_out, not_judged=result.not_judged)
    if output == "table":
        for line in matrix.lines(result):
            typer.echo(line)
    elif output == "markdown":
        typer.echo(matrix.markdown(result))
    typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
