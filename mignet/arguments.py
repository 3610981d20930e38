"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from config.findings import ConfigError, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.project_files import Project

FAILED, CONFIGURATION, CHANGES = 1, 2, 7
"""Exit codes; 0 is fine."""

Stacks = Annotated[list[str] | None, typer.Argument(metavar="STACK", help="Stacks to work on.")]
All = Annotated[bool, typer.Option("--all", help="Work on every stack that has a file.")]
EngineChoice = Annotated[
    Literal["auto", "pulumi", "direct"],
    typer.Option("--engine", help="auto takes Pulumi when its CLI is on PATH."),
]
OutputChoice = Annotated[
    Literal["table", "json", "sarif", "github", "markdown"],
    typer.Option("--output", "-o", help="For people, tools, code hosts, GitHub Actions, or a pull request."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")]
Cwd = Annotated[Path, typer.Option("--cwd", "-C", help="The project's folder, or one below it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")]


def chosen(project: Project, names: Sequence[str] | None, *, all_: bool) -> list[str]:
    """Return the stacks that are meant; the only one when none is named. Raises ConfigError."""
    known = project.stack_names()
    if all_ and names:
        mistake("--all", "and names of stacks exclude each other", "Give one of them")
    if all_:
        return known
    if names:
        return list(dict.fromkeys(names))
    if len(known) == 1:
        return known
    mistake("STACK", "is required", f"Name one of: {', '.join(known) or 'none has a file yet'}; or --all")


def mistake(key: str, rule: str, remedy: str) -> NoReturn:
    """Refuse a command line. Raises ConfigError."""
    raise ConfigError([Finding("error", "usage", "mignet", key, None, rule, remedy)])
