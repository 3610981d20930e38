"""`mignet report`: the whole fleet in one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config.files.file_text import write_whole
from mignet.commands.arguments import (
    CONFIGURATION,
    LOOK,
    All,
    AllowNotJudged,
    CheckupAge,
    Cwd,
    Select,
    Stacks,
    answers_mistakes,
    chosen,
    failure,
    project_in,
)
from mignet.commands.evidence import looks
from mignet.fleet.results import HOURS

if TYPE_CHECKING:
    from mignet.report import Report

app = typer.Typer()

PAGE = "migration-network.html"
"""The page's name, where none is given."""


@app.command(rich_help_panel=LOOK, epilog="Example: mignet report --page fleet.html")
@answers_mistakes
@looks
def report(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    files: Annotated[bool, typer.Option("--files", help="Ask no cluster; show what the stack files tell.")] = False,
    output: Annotated[
        Literal["html", "markdown", "json"],
        typer.Option("--output", "-o", help="A page for a browser; Markdown or JSON go to standard output."),
    ] = "html",
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help=f"Where the page goes; ./{PAGE} when left out.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Write the drawings into this folder, too.")
    ] = None,
    checkup: Annotated[
        Path | None,
        typer.Option("--checkup", metavar="FILE", help="A result of mignet checkup; the last one when left out."),
    ] = None,
    checkup_age: CheckupAge = HOURS,
    docs: Annotated[
        str | None,
        typer.Option("--docs", metavar="URL", envvar="MIGNET_DOCS", help="Where your copy of the documents is served."),
    ] = None,
    at_a_time: Annotated[
        int | None, typer.Option("--at-a-time", min=1, metavar="N", help="Clusters to look at at the same time.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long each cluster may take.")
    ] = None,
    allow_not_judged: AllowNotJudged = False,
    cwd: Cwd = Path(),
) -> None:
    """Show the fleet in one page: addresses, paths, peers and findings; it reads, and changes nothing.

    It ends with 0 whatever it finds, as preflight, verify and peers are there to fail; with 1 where it could not look.
    """
    import asyncio

    from mignet import report as reports
    from mignet.fleet.concurrency import Pace
    from mignet.fleet.results import not_judged
    from mignet.fleet.run_context import under_way

    project = project_in(cwd)
    names = chosen(project, stacks, all_=all_ or not (stacks or select), select=select)
    if files:
        found = asyncio.run(reports.look(project, names, None, checkup=checkup, hours=checkup_age))
    else:
        # No record is kept: a look is nothing to take up again.
        with under_way("report", "direct", names, pace=Pace(at_a_time, timeout)) as course:
            found = asyncio.run(reports.look(project, names, course, checkup=checkup, hours=checkup_age))
    if svg is not None:
        _pictures(found, svg)
    if output == "markdown":
        from mignet.report.rendering import markdown

        sys.stdout.write(markdown.render(found))
    elif output == "json":
        from mignet.outputs import as_json
        from mignet.report.rendering import page as pages

        sys.stdout.write(as_json.report(found, pages.headline(found).text, project))
    else:
        from mignet.report.rendering import page as pages

        path = page or Path(PAGE)
        write_whole(path, pages.render(found, site=docs))
        typer.echo(f"wrote {path}: {pages.headline(found).text}")
    unseen = [name for name in found.stacks if found.asked and name not in found.seen]
    code = failure(each.finding for each in found.findings)
    if ((found.not_judged or unseen) and not allow_not_judged) or code == CONFIGURATION:
        why = filter(None, (not_judged(found.not_judged), f"not seen: {', '.join(unseen)}" if unseen else ""))
        typer.secho("; ".join(why), fg="red", err=True)
        raise typer.Exit(code)


def _pictures(found: Report, folder: Path) -> None:
    from mignet.report.rendering import diagrams
    from mignet.report.rendering import svg as pictures

    drawn = diagrams.of(found)
    for name, drawing in pictures.names(drawn):
        write_whole(folder / name, pictures.document(drawing))
    typer.echo(f"wrote {len(drawn)} drawings to {folder}", err=True)
