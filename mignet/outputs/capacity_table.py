"""Capacity for a terminal: nodes with their drains, the virtual machines that take longest, and what all rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few, visible
from mignet.capacity.estimate import EFFICIENCY, GIB, IN_USE, MIB, OVERHEAD, clock, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mignet.capacity.estimate import Evacuation, Outlook, Range
    from mignet.capacity.proposal import Proposal
    from mignet.checks.capacity import Seen

MOST = 10
"""Virtual machines that are shown of a cluster, those that take longest first; --verbose shows all."""


def lines(clusters: Mapping[str, Seen], proposals: Mapping[str, Proposal], *, verbose: bool) -> Iterator[str]:
    """Yield a block for each cluster."""
    for stack, seen in clusters.items():
        yield from (visible(line) for line in _cluster(stack, seen, verbose=verbose))
        if stack in proposals:
            yield f"{stack}: proposed limits, for hyperConverged.liveMigration:"
            for key, value in proposals[stack].limits.items():
                yield visible(f"    {key}: {str(value).lower() if isinstance(value, bool) else value}")
            yield from (visible(f"  {reason}") for reason in proposals[stack].reasons)


def _cluster(stack: str, seen: Seen, *, verbose: bool) -> Iterator[str]:
    count = len(seen.known)
    if not count:
        yield f"{stack}: no virtual machine runs"
        return
    head = f"{stack}: {count} virtual machine{'' if count == 1 else 's'}"
    if seen.conditions is None:
        yield f"{head}; nobody knows what the link carries"
        return
    shared = seen.conditions
    yield (
        f"{head}; a node sends {shared.link.low / MIB:,.0f} to {shared.link.high / MIB:,.0f} MiB/s"
        f" ({seen.link_source}, times {EFFICIENCY[0]:g} to {EFFICIENCY[1]:g}); {shared.per_node} at a time from a node,"
        f" {shared.per_cluster} in the cluster"
    )
    yield from _table(
        ("node", "virtual machines", "drained after", "what stays"),
        [
            (node, str(len(each.worst) + len(each.stay)), span(each.seconds), stays(each) or "nothing")
            for node, each in seen.drains.items()
        ],
    )
    if (whole := seen.all_at_once) is not None and seen.what_if.across:
        yield f"  all to the other cluster, disks included: {span(whole.seconds)}"
    longest = sorted(seen.outlooks, key=lambda each: (-each.worst.end, -each.best.end))
    shown = longest if verbose else longest[:MOST]
    yield from _table(
        ("virtual machine", "memory", "dirty rate", "takes", "stands still", "ends by", "decided by"),
        [_row(each) for each in shown],
    )
    if len(longest) > len(shown):
        yield f"  … and {len(longest) - len(shown)} more that take no longer; --verbose shows all"
    yield (
        f"  assumed: {IN_USE[0]:.0%} to {IN_USE[1]:.0%} of the memory is in use;"
        f" {OVERHEAD[0]:g} to {OVERHEAD[1]:g} s of each migration go to its pod and its hand-over"
    )


def _row(each: Outlook) -> tuple[str, ...]:
    machine, best, worst = each.machine, each.best, each.worst
    endings = dict.fromkeys((str(best.ending), str(worst.ending)))
    disks = f" + {machine.disks / GIB:,.0f} GiB of disks" if machine.disks else ""
    return (
        machine.name,
        f"{machine.memory / GIB:,.3g} GiB{disks}",
        f"{rates(machine.writing.rate)} ({machine.writing.source})",
        f"{clock(best.end)} to {clock(worst.end)}",
        f"{max(best.stopped, worst.stopped):.2g} s",
        " or ".join(endings),
        each.decides,
    )


def rates(rate: Range) -> str:
    """Write a range of bytes per second in MiB."""
    return f"{_number(rate.low / MIB)} to {_number(rate.high / MIB)} MiB/s"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def stays(each: Evacuation) -> str:
    """Say what keeps a node from being drained; nothing when nothing does."""
    kept = {"not migratable": [one.name for one in each.stay], "may not finish": [one.name for one in each.doubtful]}
    return "; ".join(f"{what}: {few(names)}" for what, names in kept.items() if names)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    wide = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip()
