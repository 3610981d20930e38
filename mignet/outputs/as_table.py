"""Findings for a terminal: one line each, with severity and code in front, and where in the files to correct it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from config.files.source_location import place_of
from config.finding import folded, visible
from mignet.outputs.crossings import lines as ways
from mignet.outputs.placed import relative
from mignet.outputs.wrapping import wrapped

if TYPE_CHECKING:
    from pathlib import Path

    from config.finding import Finding
    from mignet.fleet.results import Checked

COLOURS = {"error": "red", "warning": "yellow", "info": "blue", "waived": "green"}
_UNDER = 9
"""Columns before what follows the first line of a finding."""


def render(checked: Checked, base: Path) -> str:
    """Write one line for each finding, aligned, and a last one that counts them.

    What is the same on several stacks is said once, with their names.
    """
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in folded(checked.findings):
        alike.setdefault(across_stacks(finding), []).append(finding)
    wide = max((len(code) for _, code, _ in alike), default=0)
    lines = []
    for (shown_as, code, _), same in alike.items():
        text = f"{', '.join(each.stack for each in same)}: {same[0].sentence}{_place(checked, same[0], base)}"
        line = f"{typer.style(f'{shown_as:<7}', fg=COLOURS[shown_as])}  {visible(code):<{wide}}  {visible(text)}"
        lines.append(wrapped(line, sys.stdout, hanging=_UNDER))
    lines += ways(checked.crossings)
    said = (*checked.left_out, *checked.proven, checked.summary)
    lines += (wrapped(visible(str(each)), sys.stdout) for each in said)
    return "\n".join(lines) + "\n"


def kind_of(finding: Finding) -> str:
    """Return what stands before a finding: its severity, or that it is waived."""
    return finding.severity if finding.waived is None else "waived"


def across_stacks(finding: Finding) -> tuple[str, str, str]:
    """Return what findings have in common that say the same of several stacks: kind, code and sentence."""
    # One about two stacks names the other one; it is not the same on both.
    return kind_of(finding), finding.code, finding.sentence if finding.peer is None else str(finding)


def _place(checked: Checked, finding: Finding, base: Path) -> str:
    """Say where in the files a key stands; what is about a cluster stands in none."""
    if not finding.stack or finding.subject.kind or " " in finding.key:
        return ""
    place = place_of(checked.project, finding)
    return f" ({relative(place.path, base)}:{place.line}:{place.column})" if place.path.exists() else ""
