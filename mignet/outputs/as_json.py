"""Findings as JSON, every part of them by name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from config.files.source_location import place_of
from mignet.outputs.placed import relative

if TYPE_CHECKING:
    from pathlib import Path

    from mignet.fleet.results import Checked


def render(checked: Checked, base: Path) -> str:
    """Write `{stacks, leftOut, proven, notJudged, blocks, findings}`.

    A finding has its sentence as `message`, the parts of what it is about as `subject`, and file, line and column.
    """
    findings = []
    for finding in checked.findings:
        place = place_of(checked.project, finding)
        where = {"file": relative(place.path, base), "line": place.line, "column": place.column}
        parts = {"subject": finding.subject.parts(), "blocks": finding.blocks, "message": str(finding)}
        findings.append(asdict(finding) | parts | where)
    whole = {
        "stacks": checked.stacks,
        "leftOut": list(map(str, checked.left_out)),
        "proven": list(map(str, checked.proven)),
        "notJudged": dict(checked.not_judged),
        "blocks": checked.blocks,
        "findings": findings,
    }
    return json.dumps(whole, indent=2, default=str, ensure_ascii=False) + "\n"
