"""The last checkup in a report: its tone, and a matrix that stays readable."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.fleet.last_checkup import Checkup, Way
    from mignet.report.status import Tone

MOST = 16
"""Rows of the matrix: nodes up to so many, else clusters up to so many, else those with a broken way and the rest."""


def tone(checkup: Checkup) -> Tone:
    """Return whether all that was measured is well; of what counts no more, nobody knows."""
    if not checkup.counts or not checkup.ways:
        return "idle"
    return "bad" if checkup.broken or checkup.problems else "good"


def matrix(checkup: Checkup) -> tuple[tuple[str, ...], Mapping[tuple[str, str], tuple[Way, ...]]]:
    """Return the heads of a matrix that stays readable, and the ways of each of its cells."""
    nodes = list(dict.fromkeys(end for way in checkup.ways for end in (way.source, way.target)))
    clusters = list(dict.fromkeys(stack for stack, _ in nodes))
    if len(nodes) <= MOST:
        head = {node: "/".join(node) for node in nodes}
    elif len(clusters) <= MOST:
        head = {node: node[0] for node in nodes}
    else:
        hit = {stack for way in checkup.broken for stack, _ in (way.source, way.target)}
        shown = [stack for stack in clusters if stack in hit][: MOST - 1]
        rest = f"the other {len(clusters) - len(shown)}"
        head = {node: node[0] if node[0] in shown else rest for node in nodes}
    cells: defaultdict[tuple[str, str], list[Way]] = defaultdict(list)
    for way in checkup.ways:
        cells[head[way.source], head[way.target]].append(way)
    return tuple(dict.fromkeys(head[node] for node in sorted(nodes))), {key: tuple(ways) for key, ways in cells.items()}
