"""Where in the files a finding stands, for tools that mark the line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import yaml

from config.files.file_text import read_text
from config.files.yaml_text import compose

if TYPE_CHECKING:
    from pathlib import Path

    from config.files.project_files import Project
    from config.finding import Finding


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and a line and a column in it, both counted from 1."""

    path: Path
    line: int = 1
    column: int = 1


def place_of(project: Project, finding: Finding) -> Place:
    """Return the line that holds the finding's key, or the nearest key around it that the file has.

    What stands in Pulumi.yaml for all stacks (the segment) is found there, unless the stack's file has it.
    """
    path = project.stack_file(finding.stack)
    # A file that is no YAML has no keys; the parser's own place stands in the finding.
    if finding.subject.at is not None:
        return Place(path, *finding.subject.at)
    keys = re.findall(r"[^.\[\]]+", finding.key)
    own = _find(_tree(path), ["config", *keys], project.name)
    if own is None and keys and keys[0] in project.defaults:
        shared = project.directory / "Pulumi.yaml"
        found = _find(_tree(shared), ["config", keys[0], "default", *keys[1:]], project.name)
        if found is not None:
            return Place(shared, *found)
    # What is about an object on the cluster has no key of its own: where the cluster is named is the nearest.
    around = [["config", "cluster"]] if " " in finding.key else []
    places = (own, *(_find(_tree(path), each, project.name) for each in (*around, ["config"])))
    return Place(path, *next(filter(None, places), (1, 1)))


@lru_cache(maxsize=8)
def _tree(path: Path) -> yaml.Node | None:
    try:
        return compose(read_text(path))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _find(node: yaml.Node | None, keys: list[str], project: str) -> tuple[int, int] | None:
    """Return line and column of the deepest key that is there; None unless the first two are."""
    place, depth = None, 0
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            names = {key, f"{project}:{key}"}
            pair = next(((name, below) for name, below in node.value if name.value in names), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            mark = node.start_mark
        else:
            break
        place, depth = (mark.line + 1, mark.column + 1), depth + 1
    return place if depth >= min(len(keys), 2) else None
