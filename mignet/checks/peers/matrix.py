"""The matrix of sources and targets, for a terminal: a row for each source, a mark for each target."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import typer

from config.finding import Finding, few
from mignet.fleet.last_checkup import outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mignet.checks.peers import Peers

MOST = 12
"""Clusters up to which the whole matrix is drawn; of more, each source gets a line of counts."""

_SHOWN = 3
"""Ways that are named beside each reason."""


def lines(peers: Peers) -> Iterator[str]:
    """Yield the matrix, then the code of the first reason against each way that is not ready."""
    names = [stack.name for stack in peers.stacks]
    wide = max(map(len, names), default=0)
    against = {source: peers.matrix.from_(source) for source in names}
    if len(names) <= MOST:
        yield f"{'source':<{max(wide, 6)}}  target"
        yield " " * max(wide, 6) + "  " + "  ".join(names)
        for source in names:
            marks = (_coloured(_mark(peers, source, target), len(target)) for target in names)
            yield (f"{source:<{max(wide, 6)}}  " + "  ".join(marks)).rstrip()
    else:
        for source, each in against.items():
            ready = 0 if isinstance(each, Finding) else [*each.values()].count(None)
            yield f"{source:<{wide}}  ready for {ready} of {len(names) - 1} targets"
    for code, (some, count) in _reasons(names, against).items():
        yield f"{few([*some, *range(count - len(some))], most=_SHOWN)}: {code}"
    basis = f", as the clusters' objects say; {outcome(peers.checkup)}" if peers.asked else ""
    yield f"{peers.ready} of {len(peers.matrix)} ways are ready{basis}"


def _reasons(
    names: Sequence[str], against: Mapping[str, Mapping[str, Finding | None] | Finding]
) -> dict[str, tuple[list[str], int]]:
    """Return for each reason the first ways that it is against, and how many there are."""
    found: dict[str, tuple[list[str], int]] = {}

    def add(reason: Finding, ways: Iterable[tuple[str, str]], number: int) -> None:
        some, count = found.setdefault(f"{reason.stack}: {reason.code}", ([], 0))
        some += [f"{source} → {target}" for source, target in islice(ways, max(_SHOWN - len(some), 0))]
        found[f"{reason.stack}: {reason.code}"] = (some, count + number)

    for source, each in against.items():
        if isinstance(each, Finding):
            add(each, ((source, target) for target in names if target != source), len(names) - 1)
            continue
        for target, reason in each.items():
            if reason is not None:
                add(reason, [(source, target)], 1)
    return found


def _mark(peers: Peers, source: str, target: str) -> str:
    if source == target:
        return "·"
    reason = peers.matrix[source, target]
    return "ready" if reason is None else "no" if reason.blocks else "?"


def _coloured(mark: str, width: int) -> str:
    colour = {"ready": "green", "no": "red", "?": "yellow"}.get(mark)
    return (typer.style(mark, fg=colour) if colour else mark) + " " * (width - len(mark))
