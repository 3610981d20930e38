"""Write a project of a user's own, or what it has beside it, from templates; `pulumi new` takes the project's, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from config.files.file_text import write_whole
from config.finding import UserError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(__file__).parents[1] / "templates" / "migration-network"
Kind = Literal["project", "component", "policy-pack"]
"""A project with stacks; the component for programs in other languages; policies for the programs of others."""
DESCRIPTION = "A dedicated live-migration network for OpenShift Virtualization clusters"
NAME = "migration-network"
"""What a project is called unless its user says otherwise: keys of stack files begin with it."""
_OF_NEW = re.compile(r"^template:\n(?:[ \n].*\n?)*", re.MULTILINE)
"""The section of Pulumi.yaml that `pulumi new` reads, and takes out."""


class NewProjectError(UserError):
    """The folder or the name is not fit for a new project."""

    exit_code = 2


def create(folder: Path, *, name: str = NAME, kind: Kind = "project") -> list[str]:
    """Write a project called `name`, or another kind, into a new or empty folder; return the names of its files.

    A `.git` may be there. Raises NewProjectError when anything else is, or when Pulumi does not take the name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        _refuse("--name", name, "is no name of a Pulumi project", "Use letters, digits, dots, dashes and underscores")
    if folder.exists() and not folder.is_dir():
        _refuse("DIR", str(folder), "is a file", "Name a new folder, or an empty one")
    if folder.is_dir() and any(each.name != ".git" for each in folder.iterdir()):
        _refuse("DIR", str(folder), "is not empty", "Name a new folder, or an empty one")
    files = dict(_files(template_of(kind), name))
    for path, text in files.items():
        write_whole(folder / path, text)
    return list(files)


def template_of(kind: Kind) -> Path:
    """Return the folder that a kind is written from."""
    return TEMPLATE if kind == "project" else TEMPLATE.with_name(kind)


def _files(template: Path, name: str) -> Iterator[tuple[str, str]]:
    for path in sorted(template.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8").replace("${PROJECT}", name).replace("${DESCRIPTION}", DESCRIPTION)
            yield str(path.relative_to(template)), _OF_NEW.sub("", text) if path.name == "Pulumi.yaml" else text


def _refuse(key: str, value: str, rule: str, remedy: str) -> NoReturn:
    raise NewProjectError(f"{key} {shown(value)} {rule}. {remedy}")
