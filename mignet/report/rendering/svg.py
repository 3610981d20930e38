"""Drawings as SVG: on a page, whose style sheet colours them, and as files with a style sheet of their own."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from config.finding import visible
from mignet.report.rendering import palette
from mignet.report.rendering.diagrams import Chains, Grid, Strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mignet.report.rendering.diagrams import Area, Box, Drawing

WIDE, NARROW = 1120, 340
"""Widths of a strip, in pixels: for a screen, and for a telephone."""

_CHARACTER = 7.4
"""About how wide a character is, in pixels, at 13 pixels of height: a picture cannot measure its text."""
_PAD = 16

STYLE = """
svg.drawing text { font: 13px -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
  fill: var(--text) }
svg.drawing .head { font-weight: 600 } svg.drawing .small { font-size: 11px } svg.drawing .quiet { fill: var(--quiet) }
svg.drawing .area rect { stroke: var(--ground); stroke-width: 1 }
svg.drawing .slice rect { fill: var(--slice) } svg.drawing .slice-odd rect { fill: var(--slice-odd) }
svg.drawing .free rect { fill: var(--free) } svg.drawing .reserved rect { fill: var(--reserved) }
svg.drawing .gateway rect { fill: var(--gateway) } svg.drawing .twice rect { fill: var(--twice) }
svg.drawing .area text { fill: var(--on-slice) } svg.drawing .free text { fill: var(--on-free) }
svg.drawing .area .leased { fill: var(--leased); stroke: none }
svg.drawing .area .needed { fill: none; stroke: var(--on-slice); stroke-width: 1.5; stroke-dasharray: 3 2 }
svg.drawing .area .tight { stroke-dasharray: none; stroke-width: 0.7 }
svg.drawing .legend .needed { stroke: var(--text) }
svg.drawing .box rect { stroke-width: 1.5 } svg.drawing .way { fill: none; stroke: var(--idle-line); stroke-width: 1.5 }
svg.drawing .box.good rect { fill: var(--ground); stroke: var(--good-line) }
svg.drawing .box.good .sign { fill: var(--good) }
svg.drawing .box.warn rect { fill: var(--warn-ground); stroke: var(--warn-line); stroke-dasharray: 6 2 }
svg.drawing .box.bad rect { fill: var(--bad-ground); stroke: var(--bad-line); stroke-width: 3 }
svg.drawing .box.idle rect { fill: var(--idle-ground); stroke: var(--idle-line); stroke-dasharray: 2 3 }
svg.drawing .box.warn text { fill: var(--warn) }
svg.drawing .box.bad text { fill: var(--bad) } svg.drawing .box.idle text { fill: var(--idle) }
"""


def escape(text: str) -> str:
    """Write text of files and clusters for a drawing."""
    return html.escape(visible(text))


def document(drawing: Drawing) -> str:
    """Return a drawing as a file of its own, which is read in light, in dark, and aloud."""
    style = f"{palette.variables('svg.drawing')}\n{STYLE}\nsvg.drawing {{ background: var(--ground) }}"
    return _svg(drawing, width=WIDE, before=f"<style>{style}</style>", standalone=True) + "\n"


def inline(strip: Strip, *, width: int) -> str:
    """Return a strip for a page that has the style sheet already."""
    return _svg(strip, width=width, before="", standalone=False)


def _svg(drawing: Drawing, *, width: int, before: str, standalone: bool) -> str:
    match drawing:
        case Strip():
            body, wide, high = _strip(drawing, width)
        case Chains():
            body, wide, high = _chains(drawing)
        case Grid():
            body, wide, high = _grid(drawing)
    key = f"{drawing.name}-{width}"
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    return (
        f'<svg{space} class="drawing" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}"'
        f' role="img" aria-labelledby="{_id(key)}-t {_id(key)}-d">'
        f'<title id="{_id(key)}-t">{escape(drawing.title)}</title>'
        f'<desc id="{_id(key)}-d">{escape(_cut(drawing.words, 2000))}</desc>'
        f"{before}{body}</svg>"
    )


def _id(text: str) -> str:
    return "".join(each if each.isalnum() or each in "-_" else "_" for each in text)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    attribute = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attribute}>{escape(text)}</text>'


def _fitting(text: str, room: float) -> str:
    """Return as much of a text as there is room for, in pixels; nothing when it is not worth it."""
    most = int(room / _CHARACTER)
    return _cut(text, most) if most >= 3 or len(text) <= most else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


# --- strips

_ROW, _BOOKS, _GAP = 34, 9, 6
"""Heights in pixels: of a row, of the books at its foot, and between two rows."""
_MOST_ROWS = 12


def _strip(strip: Strip, width: int) -> tuple[str, float, float]:
    label = 108 if width > 600 else 0
    room = width - label
    # A row of sixteen shows single addresses; of a large subnet every row has as many as it takes.
    per_row = max(32 if width > 600 else 16, -(-strip.size // _MOST_ROWS))
    rows = -(-strip.size // per_row)
    scale = room / per_row
    head = 0 if label else 14
    step = _ROW + _GAP + head
    parts = []
    for row in range(rows):
        address = str(strip.first + row * per_row)
        x, y = (0, row * step + 21) if label else (0, row * step + 11)
        parts.append(_text(x, y, _fitting(address, label or room) or f"+{row * per_row}", "small quiet"))
    parts += [_area(area, per_row, scale, label, step, head) for area in strip.areas]
    high = rows * step
    if strip.beyond:
        parts.append(_text(label, high + 14, f"and {strip.beyond:,} more addresses, all free", "small quiet"))
        high += 22
    legend, below = _legend(strip, high + 8, width, label)
    return "".join((*parts, legend)), width, below


def _area(area: Area, per_row: int, scale: float, label: int, step: int, head: int) -> str:  # noqa: PLR0917
    def pieces(first: int, last: int) -> Iterator[tuple[float, int, float]]:
        for row in range(first // per_row, last // per_row + 1):
            begin, end = max(first, row * per_row), min(last + 1, (row + 1) * per_row)
            yield label + (begin - row * per_row) * scale, row * step + head, (end - begin) * scale

    drawn = [_rect(x, y, width, _ROW) for x, y, width in pieces(area.first, area.last)]
    name = "G" if area.kind == "gateway" else area.label
    # Where it begins, if the name fits there, else where there is most room for it.
    room = len(name) * _CHARACTER + 6
    widest = max(pieces(area.first, area.last), key=lambda piece: min(piece[2], room))
    text = _fitting(name, widest[2] - 4) or (name if area.kind == "gateway" and widest[2] >= 16 else "")
    for first, last in area.leased:
        drawn += [_rect(x, y + _ROW - _BOOKS, width, _BOOKS, "leased") for x, y, width in pieces(first, last)]
    if area.needed:
        drawn += [_needed(x, y, width) for x, y, width in pieces(area.first, area.first + area.needed - 1)]
    written = _text(widest[0] + 4, widest[1] + 17, text) if text else ""
    return f'<g class="area {area.kind}"><title>{escape(area.words)}</title>{"".join(drawn)}{written}</g>'


def _needed(x: float, y: float, width: float) -> str:
    # Dashes of a box that is no wider than one of them say nothing.
    style, inside = ("needed", 1.0) if width >= 14 else ("needed tight", 0.0)
    return _rect(x + inside, y + _ROW - _BOOKS - 1, width - 2 * inside, _BOOKS, style)


def _rect(x: float, y: float, width: float, height: float, style: str = "") -> str:
    attribute = f' class="{style}"' if style else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.8):.1f}" height="{height:.0f}"{attribute}/>'


def _legend(strip: Strip, top: float, width: int, label: int) -> tuple[str, float]:
    kinds = {area.kind for area in strip.areas}
    items = [
        *([("slice", "", "slice of a cluster")] if kinds & {"slice", "slice-odd"} else []),
        *([("", "leased", "leased")] if any(area.leased for area in strip.areas) else []),
        *(
            [("", "needed", "forecast: needed by nodes, rollout and headroom")]
            if any(a.needed for a in strip.areas)
            else []
        ),
        ("free", "", "free"),
        *((kind, "", name) for kind, name in _KEPT if kind in kinds),
    ]
    x, y = float(label), top
    parts = []
    for kind, mark, name in items:
        wide = 22 + len(name) * 5.7 + 16
        if x > label and x + wide > width:
            x, y = float(label), y + 20
        style = f"area {kind}" if kind else "area legend"
        parts.append(f'<g class="{style}">{_rect(x, y, 14, _BOOKS if mark else 12, mark)}</g>')
        parts.append(_text(x + 20, y + 10, name, "small"))
        x += wide
    return "".join(parts), y + 22


_KEPT = (("reserved", "reserved"), ("gateway", "G gateway"), ("twice", "given twice"))


# --- chains

_HIGH, _ARROW, _WIDEST = 52, 26, 30


def _chains(drawing: Chains) -> tuple[str, float, float]:
    columns = max(len(chain.boxes) for chain in drawing.chains)
    widths = [
        max(_wide(chain.boxes[column]) for chain in drawing.chains if column < len(chain.boxes))
        for column in range(columns)
    ]
    wide = sum(widths) + _ARROW * (columns - 1) + 2 * _PAD
    parts = [_text(_PAD, 22, drawing.title, "head")]
    y = 36.0
    for chain in drawing.chains:
        x = float(_PAD)
        for index, box in enumerate(chain.boxes):
            if index:
                parts.append(
                    f'<path class="way" d="M{x - _ARROW + 4:.0f} {y + _HIGH / 2:.0f}h{_ARROW - 8}m-5 -4l5 4l-5 4"/>'
                )
            parts.append(_box(box, x, y, widths[index]))
            x += widths[index] + _ARROW
        y += _HIGH + 12
        if chain.why:
            parts.append(_text(_PAD, y + 4, _cut(chain.why, max(int(wide / 6.4), 60)), "small"))
            y += 20
    return "".join(parts), wide, y + 6


def _wide(box: Box) -> float:
    longest = max(len(_cut(box.text, _WIDEST)) * 1.05 + 2, len(_cut(box.detail, _WIDEST)), len(box.kind))
    return max(longest * _CHARACTER + 18, 84)


def _box(box: Box, x: float, y: float, width: float) -> str:
    sign = f'<tspan class="sign">{box.sign}</tspan> '
    return (
        f'<g class="box {box.tone}"><title>{escape(box.words)}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HIGH}" rx="6"/>'
        f"{_text(x + 9, y + 15, box.kind, 'small')}"
        f'<text x="{x + 9:.1f}" y="{y + 31:.1f}" class="head">{sign}{escape(_cut(box.text, _WIDEST))}</text>'
        f"{_text(x + 9, y + 45, _cut(box.detail, _WIDEST), 'small')}</g>"
    )


# --- grids


def _grid(grid: Grid) -> tuple[str, float, float]:
    left = max((len(head) for head in grid.heads), default=0) * _CHARACTER + 2 * _PAD
    cell = max(64.0, max((len(each.text) for row in grid.cells for each in row), default=0) * _CHARACTER + 30)
    column = max(cell, *(min(len(head), 22) * _CHARACTER + 14 for head in grid.heads)) if len(grid.heads) <= 8 else cell
    wide = left + column * len(grid.heads) + _PAD
    parts = [_text(_PAD, 22, grid.title, "head"), _text(_PAD, 46, "source", "small quiet")]
    top = 54.0
    for index, head in enumerate(grid.heads):
        parts.append(_text(left + index * column + 4, 46, _fitting(head, column - 6), "small"))
    for number, (head, row) in enumerate(zip(grid.heads, grid.cells, strict=True)):
        y = top + number * 34
        parts.append(_text(_PAD, y + 20, head))
        for index, each in enumerate(row):
            x = left + index * column
            sign = {"good": "✓ ", "bad": "✕ ", "warn": "! ", "idle": ""}[each.tone]
            parts.append(
                f'<g class="box {each.tone}"><title>{escape(each.words)}</title>'
                f"{_rect(x, y, column - 6, 28)}{_text(x + 8, y + 19, sign + each.text)}</g>"
            )
    return "".join(parts), max(wide, 420), top + len(grid.heads) * 34 + _PAD


def style() -> str:
    """Return the style sheet for a page with drawings in it, without the colours themselves."""
    return STYLE


def names(drawings: Iterable[Drawing]) -> Iterator[tuple[str, Drawing]]:
    """Yield a file's name for each drawing."""
    for drawing in drawings:
        yield f"{_id(drawing.name)}.svg", drawing
