"""Drawings as Mermaid, which code hosts draw inside Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import shown, visible
from mignet.report.rendering.diagrams import Chains, Grid, Strip
from mignet.report.status import SIGNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mignet.report.rendering.diagrams import Area, Drawing
    from mignet.report.status import Tone

MOST = 40
"""Nodes of one picture; a code host stops at some hundreds, and a reader before."""
IN_A_ROW = 8
"""Parts of a subnet that stand side by side."""

# Colours that are read on a light and on a dark page; the sign and the line say the same.
_CLASSES = (
    "classDef good fill:#dafbe1,stroke:#1a7f37,color:#116329",
    "classDef warn fill:#fff8c5,stroke:#9a6700,color:#6b4300,stroke-dasharray:6 2",
    "classDef bad fill:#ffebe9,stroke:#cf222e,color:#a40e26,stroke-width:3px",
    "classDef idle fill:#f6f8fa,stroke:#8c959f,color:#57606a,stroke-dasharray:2 3",
)


def draw(drawing: Drawing) -> str:
    """Return a drawing as a block of Mermaid for Markdown."""
    match drawing:
        case Strip():
            lines = list(_strip(drawing))
        case Chains():
            lines = list(_chains(drawing))
        case Grid():
            lines = list(_grid(drawing))
    return "\n".join(["```mermaid", *lines, "```"])


def quoted(text: str) -> str:
    """Return a text that Mermaid shows as it is: what it would read as markup is written as its number.

    >>> quoted('a "b" <c>; #d')
    '"a #34;b#34; #60;c#62;#59; #35;d"'
    """
    safe = "".join(f"#{ord(each)};" if each in _MEANT else each for each in visible(" ".join(text.split())))
    return f'"{safe}"'


_MEANT = '"<>#;&`*_{}|\\'


def _node(name: str, lines: list[str], tone: Tone) -> str:
    text = "<br/>".join(quoted(shown(line, limit=90))[1:-1] for line in lines if line)
    return f'  {name}["{text}"]:::{tone}'


def _chains(drawing: Chains) -> Iterator[str]:
    yield "flowchart LR"
    for row, chain in enumerate(drawing.chains):
        for index, box in enumerate(chain.boxes):
            yield _node(f"n{row}_{index}", [box.kind, f"{box.sign} {box.text}", box.detail], box.tone)
        names = [f"n{row}_{index}" for index in range(len(chain.boxes))]
        yield f"  {' --> '.join(names)}"
    yield from (f"  {each}" for each in _CLASSES)


def _strip(strip: Strip) -> Iterator[str]:
    yield "flowchart TB"
    yield f"  subgraph subnet[{quoted(strip.title)}]"
    together = list(_together(strip.areas))
    yield f"  direction {'LR' if len(together) <= IN_A_ROW else 'TB'}"
    shown_ = together[:MOST]
    for index, areas in enumerate(shown_):
        yield "  " + _areas(f"a{index}", areas)
    if len(shown_) > 1:
        # In the order of their addresses.
        yield "    " + " --- ".join(f"a{index}" for index in range(len(shown_)))
    yield "  end"
    if rest := len(together) - len(shown_):
        yield _node("rest", [f"and {rest} more parts"], "idle")
    yield from (f"  {each}" for each in _CLASSES)


def _together(areas: Sequence[Area]) -> Iterator[list[Area]]:
    """Yield the areas, each alone where there are few; of many, slices in a row that nothing is wrong with as one."""
    row: list[Area] = []
    for area in areas:
        sound = area.kind in {"slice", "slice-odd"} and area.tone not in {"bad", "warn"}
        if sound and len(areas) > IN_A_ROW:
            row.append(area)
            continue
        if row:
            yield row
            row = []
        yield [area]
    if row:
        yield row


def _areas(name: str, areas: Sequence[Area]) -> str:
    first, last = areas[0], areas[-1]
    if len(areas) > 1:
        size = sum(area.last - area.first + 1 for area in areas)
        title = f"{len(areas)} slices: {first.words.partition(': ')[0]} to {last.words.partition(': ')[0]}"
        return _node(name, [title, f"{size:,} addresses"], "good")
    title, _, rest = first.words.partition(": ")
    tone = _KINDS.get(first.kind) or ("good" if first.tone == "idle" else first.tone)
    # What the forecast is the sum of stands in the table.
    return _node(
        name, [f"{SIGNS[tone]} {title}" if tone == "bad" else title, *rest.partition(" (")[0].split("; ")], tone
    )


_KINDS: dict[str, Tone] = {"free": "idle", "twice": "bad", "reserved": "idle", "gateway": "idle"}


def _grid(grid: Grid) -> Iterator[str]:
    yield "flowchart LR"
    tones: list[Tone] = ["good", "idle", "warn", "bad"]
    for index, head in enumerate(grid.heads):
        own = grid.cells[index][index]
        yield _node(
            f"c{index}", [head, own.text if own.tone != "idle" else ""], own.tone if own.tone != "idle" else "good"
        )
    edges = []
    for one in range(len(grid.heads)):
        for other in range(one + 1, len(grid.heads)):
            there, back = grid.cells[one][other], grid.cells[other][one]
            worst = max(there, back, key=lambda cell: tones.index(cell.tone))
            if worst.tone == "idle":
                continue
            arrow = "<-->" if worst.tone == "good" else "-.-"
            label = "" if worst.tone == "good" else f"|{quoted(f'{worst.text}: {worst.code}')}|"
            edges.append(f"  c{one} {arrow}{label} c{other}")
    yield from edges[:200]
    yield from (f"  {each}" for each in _CLASSES)
