"""Findings as a table in Markdown, for a comment on a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from config.files.source_location import place_of
from config.finding import folded, shown, visible
from mignet.outputs.crossings import lines as ways
from mignet.outputs.placed import relative

if TYPE_CHECKING:
    from pathlib import Path

    from config.finding import Finding
    from mignet.fleet.results import Checked


def render(checked: Checked, base: Path) -> str:
    """Write a table with a row for each finding under a line that counts them."""
    lines = [f"**{plain(checked.summary)}**", ""]
    if checked.findings:
        lines += ["| | stack | where | what | remedy |", "|---|---|---|---|---|"]
        lines += [_row(checked, finding, base) for finding in folded(checked.findings)]
        lines.append("")
    if checked.crossings:
        lines += ["```text", *(each.replace("```", "") for each in ways(checked.crossings)), "```", ""]
    for remark in (*checked.left_out, *checked.proven):
        said = str(remark)
        lines += [plain(said if remark.stack else said[:1].upper() + said[1:]), ""]
    return "\n".join(lines)


def _row(checked: Checked, finding: Finding, base: Path) -> str:
    place = place_of(checked.project, finding)
    subject = finding.key if finding.value is None else f"{finding.key} {shown(finding.value)}"
    kind = finding.severity if finding.waived is None else f"waived: {finding.waived}"
    cells = (
        f"{plain(kind)} `{finding.code}`",
        plain(finding.stack),
        plain(f"{relative(place.path, base)}:{place.line}"),
        plain(f"{subject} {finding.rule}"),
        plain(finding.remedy),
    )
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Return text that Markdown leaves as it is, on one line."""
    one_line = visible(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~@#])", r"\\\1", one_line)
