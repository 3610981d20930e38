"""The matrix of sources and targets, for a terminal: a row for each source, a mark for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from config.finding import few
from config.stack import gateways_between, path_mtu
from mignet.fleet.last_checkup import outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.finding import Finding
    from mignet.checks.peers import Matrix, Peers

MOST = 12
"""Clusters up to which the whole matrix is drawn; of more, each source gets a line of counts."""

_SHOWN = 3
"""Ways that are named beside each reason."""


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
            yield f"{source:<{wide}}  ready for {peers.matrix.ready_from(source)} of {len(names) - 1} targets"
    yield from _sites(peers)
    for code, (some, count) in _reasons(peers.matrix).items():
        yield f"{few(some, most=_SHOWN, of=count)}: {code}"
    basis = f", as the clusters' objects say; {outcome(peers.checkup)}" if peers.asked else ""
    yield f"{peers.ready} of {len(peers.matrix)} paths are ready{basis}"


def _sites(peers: Peers) -> Iterator[str]:
    """Yield how sites reach each other; of many, how many paths there are."""
    routed = list(peers.routed)
    for one, other in routed[:MOST]:
        via = " and ".join(map(str, gateways_between(one, other)))
        mtu = path_mtu(one, other)
        size = "MTU not known" if mtu is None else f"at most {mtu} bytes a packet"
        yield f"site {one.segment.site} ↔ site {other.segment.site}: routed by {via}, {size}"
    if len(routed) > MOST:
        yield f"and {len(routed) - MOST} more pairs of sites (--json has them)"


def _reasons(matrix: Matrix) -> dict[str, tuple[list[str], int]]:
    """Return for each reason the first ways that it is against, and how many there are."""
    found: dict[str, tuple[list[str], int]] = {}

    def add(reason: Finding, source: str, targets: Sequence[str]) -> None:
        some, count = found.setdefault(f"{reason.stack}: {reason.code}", ([], 0))
        some += [f"{source} → {target}" for target in targets[: _SHOWN - len(some)]]
        found[f"{reason.stack}: {reason.code}"] = (some, count + len(targets))

    for source in matrix.names:
        targets = [target for target in matrix.names if target != source]
        if (own := matrix.own[source]) and targets:
            add(own, source, targets)
            continue
        for target in targets:
            if reason := matrix[source, target]:
                add(reason, source, [target])
    return found


def _mark(peers: Peers, source: str, target: str) -> str:
    if source == target:
        return "·"
    reason = peers.matrix[source, target]
    return "ready" if reason is None else "no" if reason.blocks else "?"


def _coloured(mark: str, width: int) -> str:
    colour = {"ready": "green", "no": "red", "?": "yellow"}.get(mark)
    return (typer.style(mark, fg=colour) if colour else mark) + " " * (width - len(mark))
