"""`mignet history`: who changed what when, with plan and outcome, and whether that record fits together."""

from __future__ import annotations

import fnmatch
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mignet.commands.arguments import (
    FAILED,
    LOOK,
    AsJson,
    Cwd,
    EngineChoice,
    Stacks,
    Verbose,
    answers_mistakes,
    json_or,
    mistake,
    project_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mignet.operations.history import History

app = typer.Typer()

LAST = 50
"""Entries that are shown where nobody says how many."""
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@app.command(
    rich_help_panel=LOOK, epilog="As pulumi stack history, with each field. Example: mignet history prod-1 --since 7d"
)
@answers_mistakes
def history(
    stacks: Stacks = None,
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Since a time in UTC (2026-11-01T15:00), or 12h, 7d, 4w."),
    ] = None,
    verb: Annotated[
        list[str] | None, typer.Option("--verb", metavar="VERB", help="Only of this verb: up, drift, 'drift --fix'.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=0, metavar="N", help=f"The latest N, 0 for all; {LAST} in a table.")
    ] = None,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="For people, or tools.")] = "table",
    as_json: AsJson = False,
    verbose: Verbose = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only hold the lines against each other, and print the hashes of the last.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="HASH", help="Check that the line with this hash, kept elsewhere, is still there."
        ),
    ] = None,
    engine: EngineChoice = "auto",
    cwd: Cwd = Path(),
) -> None:
    """Show who changed what when, as mignet wrote it down on this machine; exit 1 if that record was tampered with.

    The latest comes first. Of looks at drift that found the same again and again, a table shows the first and the last;
    --verb drift shows all. With STACK and Pulumi, also the updates of which Pulumi alone knows.
    """
    import asyncio

    from mignet.operations import history as work

    form = json_or(output, as_json=as_json)
    begin = None if since is None else _since(since)
    if head is not None and not re.fullmatch(r"[0-9a-f]{12,64}", head):
        mistake(
            f"--head {head}", "is no hash", "Give what mignet history --check printed: 64 characters, or the first 12"
        )
    project = project_in(cwd)
    check = check or head is not None
    found = work.read(project, head=head)
    if not check and engine != "direct" and stacks and shutil.which("pulumi"):
        known = [name for name in project.stack_names() if _meant(name, stacks)]
        found = asyncio.run(work.with_pulumi(found, project, known))
    entries = [] if check else work.chosen(found.entries, verbs=verb, since=begin)
    if stacks:
        entries = [each for each in entries if _meant(each.stack, stacks)]
    if form == "table" and "drift" not in (verb or ()):
        entries = work.worth_telling(entries)
    most = LAST if last is None and form == "table" else last
    older = max(len(entries) - most, 0) if most else 0
    entries = entries[older:][::-1]
    if form == "json":
        from mignet.outputs import as_json as documents

        sys.stdout.write(documents.history(found, entries, project))
    else:
        _show(found, entries, older, check=check, verbose=verbose)
    if found.findings:
        raise typer.Exit(FAILED)


def _show(found: History, entries: Sequence[object], older: int, *, check: bool, verbose: bool) -> None:
    from mignet.outputs import history_table

    for line in history_table.checked(found.chains) if check else history_table.lines(entries, verbose=verbose):  # type: ignore[arg-type]
        typer.echo(line)
    if not check and not entries:
        typer.echo("nothing is recorded of that on this machine")
    if older:
        typer.echo(f"and {older} older ones: --last 0 shows all")
    for remark in found.left_out:
        typer.secho(str(remark), fg="yellow", err=True)
    for finding in found.findings:
        typer.secho(f"{finding.code}: {finding}", fg="red", err=True)


def _meant(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, each) for each in patterns)


def _since(text: str) -> datetime:
    """Read `--since`. Raises ConfigError."""
    from mignet.fleet.history import moment

    now = datetime.now(UTC)
    if span := re.fullmatch(r"(\d{1,5})([hdw])", text):
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    if given := moment(text):
        return given
    mistake(f"--since {text}", "is no time", "Write it as 2026-11-01, 2026-11-01T15:00, 12h, 7d or 4w")
