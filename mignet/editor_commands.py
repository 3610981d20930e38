"""`mignet schema` and `mignet init`: what helps to write a stack file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from config.project_files import Project

app = typer.Typer()

Cwd = Annotated[Path, typer.Option("--cwd", "-C", help="The project's folder, or one below it.")]


@app.command()
def schema(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write stack.schema.json beside Pulumi.yaml.")] = False,
    cwd: Cwd = Path(),
) -> None:
    """Print the JSON Schema of the stack files, by which editors complete and check their keys."""
    # The models read their documentation when they are imported, and only if somebody wants it.
    os.environ["MIGNET_FIELD_DOCS"] = "1"
    from config import stack_schema

    project = Project.find(cwd.resolve())
    text = json.dumps(stack_schema.stack_schema(project.name), indent=2) + "\n"
    if not write:
        sys.stdout.write(text)
        return
    path = project.directory / stack_schema.FILE
    path.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {path}")
