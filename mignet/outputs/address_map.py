"""A map of a subnet as text for a terminal of 80 columns, and as a picture (SVG)."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING
from xml.sax import saxutils

from config.finding import shown, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.planning.address_map import AddressMap, Kind, Part

COLUMNS = 80
_CELLS = COLUMNS - 4
_SIGNS: dict[Kind, str] = {"free": ".", "reserved": "x", "gateway": "G"}
_USED = "#="
"""Two signs in turn, so that one sees where a slice ends and the next begins."""
_LEGEND = "# = used   . free   x reserved   G gateway   ! given twice"

WIDTH = 960
_MARGIN = 20
_LABEL = 190
_ROW = 26
_GAP = 8
_MOST_ROWS = 16


def as_text(plan: AddressMap) -> Iterator[str]:
    """Yield the lines of a map, each of at most 80 columns."""
    yield from _wrapped(f"{plan.subnet}: {_summary(plan)}")
    yield f"  [{_bar(plan)}]"
    yield f"   {_LEGEND}"
    wide = max((len(str(part.span)) for part in plan.parts), default=0)
    beside = wide <= COLUMNS // 2 + 4
    digits = max((len(f"{part.span.size:,}") for part in plan.parts), default=0)
    for part in plan.parts:
        size = f"{part.span.size:>{digits},}"
        if beside:
            yield _cut(f"  {part.span!s:<{wide}}  {size}  {part.name}")
            continue
        together = f"  {part.span.first} - {part.span.last}"
        yield from (together,) if len(together) <= COLUMNS else (f"  {part.span.first}", f"  - {part.span.last}")
        yield _cut(f"      {size}  {part.name}")
    for each in plan.overlaps:
        yield from _wrapped(f"! {each.span} belongs to both {each.one.name} and {each.other.name}")
    for stack in plan.without_slice:
        yield from _wrapped(f"! {stack} has no slice, and hands out the whole subnet: mignet allocate {stack}")


def as_svg(plans: Iterable[AddressMap]) -> str:
    """Draw the maps as one picture that is read in light and in dark, and aloud: every part has its words."""
    plans = list(plans)
    blocks, top = [], _MARGIN
    for plan in plans:
        block, height = _block(plan, top)
        blocks.append(block)
        top += height + _MARGIN
    words = " ".join(f"{plan.subnet}: {_summary(plan)}." for plan in plans) or "No stack has a segment."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
        f' role="img" aria-labelledby="title desc">\n'
        f'<title id="title">Addresses of the migration network</title>\n<desc id="desc">{escape(words)}</desc>\n'
        f"{_STYLE}\n" + "\n".join(blocks) + "\n</svg>\n"
    )


_STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .head { font-weight: 600; font-size: 15px }
  .used text { fill: #fff; pointer-events: none }
  rect { stroke: #fff; stroke-width: 1 }
  .ground { fill: #fff; stroke: none }
  .used rect { fill: #1f6feb } .odd rect { fill: #0550ae } .free rect { fill: #dce3ea }
  .reserved rect { fill: #9a6700 } .gateway rect { fill: #8250df } .twice rect { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } rect { stroke: #0d1117 } .ground { fill: #0d1117 }
    .free rect { fill: #30363d } .reserved rect { fill: #d29922 } .gateway rect { fill: #a371f7 }
    .twice rect { fill: #f85149 }
  }
</style>
<rect class="ground" width="100%" height="100%"/>"""


def _summary(plan: AddressMap) -> str:
    share = "" if not plan.free else f", the largest free part {plan.largest_free:,} ({plan.largest_share:.0%} of them)"
    return (
        f"{plan.usable.size:,} usable addresses, {plan.used:,} used, {plan.kept_free:,} reserved or gateway,"
        f" {plan.free:,} free{share}"
    )


def _bar(plan: AddressMap) -> str:
    """Return one sign for each of equal shares of the subnet: what is in most of it, but a gateway always shows."""
    first, size = int(plan.usable.first), plan.usable.size
    cells = [" "] * _CELLS
    most = [0] * _CELLS
    rank = {"!": 3, "G": 2}
    used = 0

    def paint(begin: int, end: int, sign: str) -> None:
        begin, end = max(0, begin - first), min(size - 1, end - first)
        for cell in range(begin * _CELLS // size, end * _CELLS // size + 1):
            start, stop = -(-cell * size // _CELLS), -(-(cell + 1) * size // _CELLS) - 1
            weight = min(end, stop) - max(begin, start) + 1
            if (rank.get(sign, 1), weight) > (rank.get(cells[cell], 1), most[cell]) or cells[cell] == " ":
                cells[cell], most[cell] = sign, weight

    for part in plan.parts:
        sign = _SIGNS.get(part.kind) or _USED[used % 2]
        used += part.kind == "used"
        paint(int(part.span.first), int(part.span.last), sign)
    for each in plan.overlaps:
        paint(int(each.span.first), int(each.span.last), "!")
    return "".join(cells)


def _block(plan: AddressMap, top: int) -> tuple[str, int]:
    """Draw one map from `top` on; return it and its height."""
    size, first = plan.usable.size, int(plan.usable.first)
    rows = min(_MOST_ROWS, max(1, size // 16))
    per_row = -(-size // rows)
    head = 30
    lines = [f'<text class="head" x="{_MARGIN}" y="{top + 16}">{escape(str(plan.subnet))}</text>']
    lines.append(f'<text x="{_MARGIN + _LABEL}" y="{top + 16}">{escape(_summary(plan))}</text>')
    for row in range(rows):
        y = top + head + row * (_ROW + _GAP)
        address = plan.usable.first + row * per_row
        lines.append(f'<text x="{_MARGIN}" y="{y + 18}">{escape(str(address))}</text>')
    used = 0
    for part in plan.parts:
        style = part.kind if part.kind != "used" else "used odd" if used % 2 else "used"
        used += part.kind == "used"
        begin, end = max(0, int(part.span.first) - first), min(size - 1, int(part.span.last) - first)
        lines.append(_pieces(part, style, begin, end, per_row, top + head))
    for each in plan.overlaps:
        begin, end = int(each.span.first) - first, int(each.span.last) - first
        words = f"{each.span}: {each.one.name} and {each.other.name} both have it"
        lines.append(_group("twice", words, _rects(max(0, begin), min(size - 1, end), per_row, top + head)))
    y = top + head + rows * (_ROW + _GAP)
    lines.append(_legend(y, with_overlaps=bool(plan.overlaps)))
    y += 24
    for stack in plan.without_slice:
        lines.append(
            f'<text x="{_MARGIN}" y="{y + 14}">{escape(stack)} has no slice: it hands out the whole subnet</text>'
        )
        y += 20
    return "\n".join(lines), y - top


def _pieces(part: Part, style: str, begin: int, end: int, per_row: int, top: int) -> str:  # noqa: PLR0917
    rects = list(_rects(begin, end, per_row, top))
    words = f"{part.name}: {part.span}, {part.span.size:,} addresses"
    label = ""
    if part.stack and rects:
        x, y, width = max(rects, key=lambda rect: rect[2])
        room = int(width // 8) - 1
        if room >= 3:
            label = f'<text x="{x + 5:.1f}" y="{y + 18}">{escape(shown(part.stack, limit=room))}</text>'
    return _group(style, words, rects, label)


def _group(style: str, words: str, rects: Iterable[tuple[float, int, float]], label: str = "") -> str:
    drawn = "".join(
        f'<rect x="{x:.1f}" y="{y}" width="{max(width, 0.8):.1f}" height="{_ROW}"/>' for x, y, width in rects
    )
    return f'<g class="{style}"><title>{escape(words)}</title>{drawn}{label}</g>'


def _rects(begin: int, end: int, per_row: int, top: int) -> Iterator[tuple[float, int, float]]:
    """Yield (x, y, width) of the pieces of a part, one for each row that it reaches into."""
    left, width = _MARGIN + _LABEL, WIDTH - 2 * _MARGIN - _LABEL
    for row in range(begin // per_row, end // per_row + 1):
        start, stop = max(begin, row * per_row), min(end + 1, (row + 1) * per_row)
        x = left + (start - row * per_row) * width / per_row
        yield x, top + row * (_ROW + _GAP), (stop - start) * width / per_row


def _legend(y: int, *, with_overlaps: bool) -> str:
    kinds = ["used", "free", "reserved", "gateway", *(["twice"] if with_overlaps else [])]
    items = []
    for index, kind in enumerate(kinds):
        x = _MARGIN + _LABEL + index * 110
        name = "given twice" if kind == "twice" else kind
        items.append(f'<g class="{kind}"><rect x="{x}" y="{y}" width="14" height="14"/></g>')
        items.append(f'<text x="{x + 20}" y="{y + 12}">{name}</text>')
    return "".join(items)


def escape(text: str) -> str:
    """Write text of files for a picture."""
    return saxutils.escape(visible(text))


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(visible(text), COLUMNS, subsequent_indent="  ", break_on_hyphens=False)


def _cut(line: str) -> str:
    line = visible(line)
    return line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
