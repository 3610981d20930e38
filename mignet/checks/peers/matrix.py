"""The matrix of sources and targets, for a terminal: a row for each source, a mark for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from config.finding import few
from mignet.fleet.last_checkup import outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.peers import Peers

MOST = 12
"""Clusters up to which the whole matrix is drawn; of more, each source gets a line of counts."""


def lines(peers: Peers) -> Iterator[str]:
    """Yield the matrix, then the code of the first reason against each way that is not ready."""
    names = [stack.name for stack in peers.stacks]
    wide = max(map(len, names), default=0)
    if len(names) <= MOST:
        yield f"{'source':<{max(wide, 6)}}  target"
        yield " " * max(wide, 6) + "  " + "  ".join(names)
        for source in names:
            marks = (_coloured(_mark(peers, source, target), len(target)) for target in names)
            yield (f"{source:<{max(wide, 6)}}  " + "  ".join(marks)).rstrip()
    else:
        for source in names:
            ready = sum(peers.matrix[source, target] is None for target in names if target != source)
            yield f"{source:<{wide}}  ready for {ready} of {len(names) - 1} targets"
    reasons: dict[str, list[str]] = {}
    for (source, target), reason in peers.matrix.items():
        if reason is not None:
            reasons.setdefault(f"{reason.stack}: {reason.code}", []).append(f"{source} → {target}")
    for code, ways in reasons.items():
        some = few(ways, most=3)
        yield f"{some}: {code}"
    basis = f", as the clusters' objects say; {outcome(peers.checkup)}" if peers.asked else ""
    yield f"{peers.ready} of {len(peers.matrix)} ways are ready{basis}"


def _mark(peers: Peers, source: str, target: str) -> str:
    if source == target:
        return "·"
    reason = peers.matrix[source, target]
    return "ready" if reason is None else "no" if reason.blocks else "?"


def _coloured(mark: str, width: int) -> str:
    colour = {"ready": "green", "no": "red", "?": "yellow"}.get(mark)
    return (typer.style(mark, fg=colour) if colour else mark) + " " * (width - len(mark))
