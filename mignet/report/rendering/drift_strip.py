"""Drift over time as SVG: a row for each stack, time from left to right, and a line where mignet changed something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.report.drift_spans import TONES
from mignet.report.rendering.svg import NARROW, escape
from mignet.report.status import SIGNS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mignet.report.drift_spans import Drifts, Row

MOST_ROWS = 40
_ROW, _HEAD, _BAR = 26, 22, 16
_NAMES = 190
"""Pixels for the names, where there is room for them beside their rows."""
_TICKS = 4
_CHARACTER = 7.0

STYLE = """
svg.drifts text { font: 12px -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
  fill: var(--text) }
svg.drifts .quiet { fill: var(--quiet) }
svg.drifts .good rect { fill: var(--good-ground); stroke: var(--good-line) }
svg.drifts .warn rect { fill: var(--warn-ground); stroke: var(--warn-line); stroke-width: 2 }
svg.drifts .warn text { fill: var(--warn); font-weight: 700 }
svg.drifts .idle rect { fill: var(--idle-ground); stroke: var(--idle-line); stroke-dasharray: 3 3 }
svg.drifts .idle text { fill: var(--idle) }
svg.drifts .mark { stroke: var(--text); stroke-width: 2; fill: var(--text) }
"""


def drawn(drifts: Drifts, *, width: int) -> str:
    """Return the picture for a page that has the style sheet; a reader of it alone hears what each part is."""
    names = _NAMES if width > NARROW else 0
    room = width - names - 10
    whole = (drifts.end - drifts.begin).total_seconds() or 1.0

    def x_of(moment: datetime) -> float:
        return names + room * max(0.0, (moment - drifts.begin).total_seconds()) / whole

    parts, y = [], float(_HEAD)
    form = "%Y-%m-%d" if whole > 4 * 86400 else "%m-%d %H:%M"
    for tick in range(0, _TICKS + 1, 1 if names else 2):
        x = names + room * tick / _TICKS
        anchor = "end" if tick == _TICKS else "start" if tick == 0 else "middle"
        when = drifts.begin + (drifts.end - drifts.begin) * tick / _TICKS
        parts.append(f'<text class="quiet" x="{x:.1f}" y="12" text-anchor="{anchor}">{when:{form}}</text>')
    rows = drifts.rows[:MOST_ROWS]
    for row in rows:
        if names:
            parts.append(f'<text x="0" y="{y + 13:.1f}">{_cut(row.stack, names - 8)}</text>')
        else:
            parts.append(f'<text x="0" y="{y + 12:.1f}">{_cut(row.stack, room)}</text>')
            y += 18
        parts.append(_bars(row, y, x_of))
        y += _ROW
    title = f"Drift of {len(rows)} stacks over time"
    return (
        f'<svg class="drifts" viewBox="0 0 {width} {y:.0f}" width="{width}" height="{y:.0f}" role="img"'
        f' aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _bars(row: Row, y: float, x_of: Callable[[datetime], float]) -> str:
    parts = []
    for span in row.spans:
        tone = TONES[span.state]
        x, wide = x_of(span.begin), max(3.0, x_of(span.end) - x_of(span.begin))
        sign = f'<text x="{x + 4:.1f}" y="{y + 12:.1f}">{SIGNS[tone]}</text>' if wide >= 14 and tone != "good" else ""
        parts.append(
            f'<g class="{tone}"><title>{escape(f"{row.stack}, {span.words}")}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{_BAR}" rx="2"/>{sign}</g>'
        )
    for mark in row.marks:
        x = x_of(mark.time)
        parts.append(
            f'<g class="mark"><title>{escape(f"{row.stack}, {mark.words}")}</title>'
            f'<path d="M{x:.1f} {y - 3:.1f}v{_BAR + 6}m-3 {-_BAR - 6}h6"/></g>'
        )
    return "".join(parts)


def _cut(text: str, room: float) -> str:
    most = int(room / _CHARACTER)
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")
