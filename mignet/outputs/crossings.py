"""The ways of a test machine between two clusters, for a terminal and for Markdown: each end with its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mignet.fleet.results import Crossing, Hop

_INSIDE = {True: "inside", False: "NOT inside", None: "not said, should be inside"}


def lines(crossings: Iterable[Crossing]) -> Iterator[str]:
    """Yield a block for each way: how it ended, and a line for each end of a connection."""
    for each in crossings:
        when = f" ({each.begun} to {each.ended})" if each.begun and each.ended else ""
        yield visible(f"{each.source} → {each.target}: {each.outcome} after {each.seconds:g} s{when}")
        wide = [max(len(cell) for cell in column) for column in zip(*map(_cells, each.hops), strict=True)]
        for hop in each.hops:
            cells = (f"{cell:<{width}}" for cell, width in zip(_cells(hop), wide, strict=True))
            yield visible(f"    {'  '.join(cells)}  {_INSIDE[hop.inside]} {hop.slice}")


def _cells(hop: Hop) -> tuple[str, str, str]:
    return hop.role, f"{hop.stack}{f'/{hop.node}' if hop.node else ''}", hop.address or "no address"
