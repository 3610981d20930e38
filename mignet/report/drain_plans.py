"""Node drains as a reader is shown them: of each cluster the nodes that take longest, and their migrations in time."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from mignet.capacity.estimate import clock, leaves, span
from mignet.capacity.rounds import Ending
from mignet.outputs.capacity_table import stays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.capacity.drain import Done
    from mignet.capacity.estimate import Evacuation
    from mignet.report.status import Tone

MOST_CLUSTERS, MOST_NODES = 8, 12
"""What is drawn, those that take longest first."""
_CALM = {Ending.PRE_COPY: "good", Ending.AUTO_CONVERGE: "warn", Ending.POST_COPY: "warn", Ending.PAUSED: "warn"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One migration at the worst: begin and end in seconds, and the lane in which it is drawn, from 0."""

    machine: str
    begin: float
    end: float
    lane: int
    tone: Tone
    words: str


@dataclass(frozen=True, slots=True)
class Node:
    """One node's drain."""

    name: str
    machines: int
    words: str
    """How long it takes."""
    stays: str
    """What keeps it from being drained; empty when nothing does."""
    tone: Tone
    bars: tuple[Bar, ...]
    lanes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One cluster's drains."""

    stack: str
    nodes: tuple[Node, ...]
    more: int
    """Nodes that are not shown, which take no longer."""
    until: float
    """Seconds at the right end of the picture."""


def plans(drains: Mapping[str, Mapping[str, Evacuation]]) -> list[Plan]:
    """Return what is drawn: the clusters that take longest, in that order."""
    made = [_plan(stack, nodes) for stack, nodes in drains.items() if nodes]
    return sorted(made, key=lambda each: -each.until)[:MOST_CLUSTERS]


def _plan(stack: str, nodes: Mapping[str, Evacuation]) -> Plan:
    longest = sorted(nodes.items(), key=lambda item: (-len(item[1].stay), -item[1].seconds.high))
    shown = tuple(_node(name, each) for name, each in longest[:MOST_NODES])
    ends = [bar.end for node in shown for bar in node.bars]
    return Plan(stack, shown, len(longest) - len(shown), max(ends, default=0.0))


def _node(name: str, each: Evacuation) -> Node:
    begun = sorted((done for done in each.worst if isfinite(done.begin)), key=lambda done: done.begin)
    last = max((done.end for done in begun if isfinite(done.end)), default=1.0)
    free: list[float] = []
    bars = []
    for done in begun:
        end = done.end if isfinite(done.end) else last
        lane = next((place for place, until in enumerate(free) if until <= done.begin), len(free))
        free[lane : lane + 1] = [end if isfinite(done.end) else float("inf")]
        bars.append(Bar(done.name, done.begin, end, lane, _tone(done), _words(done)))
    kept = stays(each)
    tone: Tone = "bad" if kept else "good"
    return Node(name, len(each.worst) + len(each.stay), span(each.seconds), kept, tone, tuple(bars), len(free))


def _tone(done: Done) -> Tone:
    calm: Tone = _CALM.get(done.ending, "bad")  # type: ignore[assignment]
    return calm if leaves(done) else "bad"


def _words(done: Done) -> str:
    return f"{done.name}: from {clock(done.begin)} to {clock(done.end)}, {done.ending}"
