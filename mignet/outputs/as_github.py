"""Findings as workflow commands of GitHub Actions, which mark the lines of a pull request.

Source: GitHub's documentation, "Workflow commands for GitHub Actions"; the escaping is actions/toolkit's (command.ts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.files.source_location import place_of
from config.finding import folded, visible
from mignet.fleet.results import not_judged
from mignet.outputs.placed import relative

if TYPE_CHECKING:
    from pathlib import Path

    from config.finding import Finding
    from mignet.fleet.results import Checked

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(checked: Checked, base: Path) -> str:
    """Write one command for each finding; what is waived is a notice."""
    lines = [_command(checked, finding, base) for finding in folded(checked.findings)]
    lines += [f"::notice::{_data(str(remark))}" for remark in (*checked.left_out, *checked.proven)]
    if checked.not_judged:
        lines.append(f"::error::{_data(not_judged(checked.not_judged))}")
    return "".join(f"{line}\n" for line in lines)


def _command(checked: Checked, finding: Finding, base: Path) -> str:
    place = place_of(checked.project, finding)
    properties = {
        "file": relative(place.path, base),
        "line": str(place.line),
        "col": str(place.column),
        "title": finding.code,
    }
    command = "notice" if finding.waived is not None else _COMMANDS[finding.severity]
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{command} {listed}::{_data(str(finding))}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
