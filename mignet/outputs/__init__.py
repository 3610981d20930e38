"""What a check found, in the forms that people and tools read: the same values, one file a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mignet.outputs import as_github, as_json, as_markdown, as_sarif, as_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mignet.fleet.results import Checked

Output = Literal["table", "json", "sarif", "github", "markdown"]

RENDER: dict[Output, Callable[[Checked, Path], str]] = {
    "table": as_table.render,
    "json": as_json.render,
    "sarif": as_sarif.render,
    "github": as_github.render,
    "markdown": as_markdown.render,
}
"""The renderings by name: each takes what was found and the folder that paths are relative to."""
