"""Migrations that run, for a terminal: what, from where to where, since when, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few, visible
from mignet.checks.migrations.ends import shown
from mignet.kube.objects import lasting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from mignet.checks.migrations import Row
    from mignet.kube.kubevirt.migrations import Plan

_MODES = {"PreCopy": "pre-copy", "PostCopy": "post-copy", "Paused": "paused"}


def lines(found: Mapping[str, Sequence[Row]], planned: Mapping[str, Sequence[Plan]], now: datetime) -> Iterator[str]:
    """Yield a block for each stack."""
    for stack, rows in found.items():
        count = len(rows)
        what = f"{count} migration{' runs' if count == 1 else 's run'}" if count else "no migration runs"
        yield visible(f"{stack}: {what}")
        for row in rows:
            yield from (visible(f"    {line}") for line in _block(row, stack, now))
    for stack, plans in planned.items():
        for plan in plans:
            since = f" since {plan.since}" if plan.since else ""
            moves = f": {few(plan.machines)}" if plan.machines else ""
            yield visible(f"{stack}: Forklift plan {plan.name} runs{since}{moves}")


def _block(row: Row, stack: str, now: datetime) -> Iterator[str]:
    flight = row.flight
    yield f"{flight.machine}  {path(row, stack)}  ({flight.live['metadata']['name']})"
    lasts = lasting((now - flight.since).total_seconds())
    mode = f", {_MODES.get(flight.mode, flight.mode)}" if flight.mode else ""
    to = f", to {flight.address}" if flight.address else ""
    yield f"    {flight.shown_phase} since {shown(flight.since)} ({lasts}){mode}{to}"
    if row.expected is not None:
        yield f"    {row.expected.words}"
    yield f"    {row.end.words}"


def path(row: Row, stack: str) -> str:
    """Say from where to where: `worker-1 -> worker-2`, or `worker-1 -> cluster prod-2, node worker-7`."""
    flight = row.flight
    other = f"cluster {row.peer}" if row.peer else "another cluster"
    source, target = flight.source_node or "?", flight.target_node or "?"
    if flight.way == "sends":
        return f"{source} of {stack} -> {other}" + (f", node {target}" if flight.target_node else "")
    if flight.way == "receives":
        return f"{other}{f', node {source}' if flight.source_node else ''} -> {target} of {stack}"
    return f"{source} -> {target}"
