"""A cluster's drain plan as SVG: a row for each node, a bar for each migration, time from left to right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.capacity.estimate import clock
from mignet.report.rendering.svg import NARROW, escape

if TYPE_CHECKING:
    from mignet.report.drain_plans import Plan

_BAR, _GAP, _HEAD = 18, 3, 22
_NAMES = 190
"""Pixels for the nodes' names, where there is room for them beside their rows."""
_TICKS = 4
_CHARACTER = 7.0

STYLE = """
svg.drains text { font: 12px -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
  fill: var(--text) }
svg.drains .quiet { fill: var(--quiet) } svg.drains line { stroke: var(--line) }
svg.drains .good rect { fill: var(--good-ground); stroke: var(--good-line) }
svg.drains .good text { fill: var(--good) }
svg.drains .warn rect { fill: var(--warn-ground); stroke: var(--warn-line); stroke-dasharray: 6 2 }
svg.drains .warn text { fill: var(--warn) }
svg.drains .bad rect { fill: var(--bad-ground); stroke: var(--bad-line); stroke-width: 2 }
svg.drains .bad text { fill: var(--bad) }
"""


def drawn(plan: Plan, *, width: int) -> str:
    """Return the picture for a page that has the style sheet; a reader of it alone hears what each bar is."""
    names = _NAMES if width > NARROW else 0
    room = width - names - 8
    scale = room / (plan.until or 1.0)
    parts, y = [], float(_HEAD)
    for tick in range(_TICKS + 1):
        x = names + room * tick / _TICKS
        anchor = "end" if tick == _TICKS else "start" if tick == 0 else "middle"
        parts.append(
            f'<text class="quiet" x="{x:.1f}" y="12" text-anchor="{anchor}">{clock(plan.until * tick / _TICKS)}</text>'
        )
    for node in plan.nodes:
        if not names:
            parts.append(f'<text x="0" y="{y + 12:.1f}">{_cut(node.name, room)}</text>')
            y += 18
        else:
            parts.append(f'<text x="0" y="{y + 13:.1f}">{_cut(node.name, _NAMES - 8)}</text>')
        for bar in node.bars:
            x, wide = names + bar.begin * scale, max(2.0, (bar.end - bar.begin) * scale - 1)
            top = y + bar.lane * (_BAR + _GAP)
            label = _cut(bar.machine, wide - 6)
            parts.append(
                f'<g class="{bar.tone}"><title>{escape(bar.words)}</title>'
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{_BAR}" rx="3"/>'
                f'<text x="{x + 4:.1f}" y="{top + 13:.1f}">{label}</text></g>'
            )
        y += max(1, node.lanes) * (_BAR + _GAP) + 6
        parts.append(f'<line x1="0" x2="{width}" y1="{y - 4:.1f}" y2="{y - 4:.1f}"/>')
    title = f"Drain plan of {plan.stack}: {len(plan.nodes)} nodes, {clock(plan.until)} for the last"
    return (
        f'<svg class="drains" viewBox="0 0 {width} {y:.0f}" width="{width}" height="{y:.0f}" role="img"'
        f' aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _cut(text: str, room: float) -> str:
    most = int(room / _CHARACTER)
    if most < 3:
        return ""
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")
