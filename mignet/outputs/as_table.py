"""Findings for a terminal: one line each, with severity and code in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from config.finding import folded, visible

if TYPE_CHECKING:
    from pathlib import Path

    from mignet.fleet.results import Checked

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue", "waived": "green"}


def render(checked: Checked, base: Path) -> str:  # noqa: ARG001 (as every rendering)
    """Write one line for each finding, aligned, and a last one that counts them."""
    rows = [
        ("waived" if finding.waived is not None else finding.severity, finding.code, str(finding))
        for finding in folded(checked.findings)
    ]
    wide = max((len(code) for _, code, _ in rows), default=0)
    lines = [
        f"{typer.style(f'{kind:<7}', fg=_COLOURS[kind])}  {visible(code):<{wide}}  {text}" for kind, code, text in rows
    ]
    said = map(visible, map(str, (*checked.left_out, *checked.proven, checked.summary)))
    return "\n".join([*lines, *said]) + "\n"
