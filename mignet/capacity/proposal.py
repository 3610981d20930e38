"""Limits under which all virtual machines that can migrate do, and nodes are drained soonest. Pure.

Post-copy and a pause are never proposed: whether a guest may be lost, or stand still, is for its owner to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from mignet.capacity.estimate import MIB, by_node, clock, evacuation, gigabytes, leaves, outlook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mignet.capacity.estimate import Conditions, Machine

SPARE = 1.5
"""What the timeout allows, as a multiple of what the slowest takes at the worst."""
LEAST = 20
"""The least completionTimeoutPerGiB that is proposed, in seconds: the HyperConverged's default."""
WORTH = 0.95
"""Part of the time to which something else must come down, to be proposed in place of what is there."""
MOST_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class Proposal:
    """Limits by their keys in the stack, and why."""

    limits: dict[str, int | str | bool]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Try:
    per_node: int
    auto_converge: bool
    bandwidth: float
    stuck: int
    drained: float
    """Seconds until the last node is drained, of those that are."""
    per_gib: float
    """The most seconds that a migration takes for each gigabyte."""


def propose(machines: Sequence[Machine], conditions: Conditions) -> Proposal | None:
    """Return limits for these virtual machines; None where none of them can migrate, or may begin to."""
    going = [each for each in machines if each.stays is None]
    if not going:
        return None
    has = going[0].limits.auto_converge
    tries = [
        _tried(going, conditions, per_node, auto)
        for auto in dict.fromkeys((has, True))
        for per_node in dict.fromkeys((conditions.per_node, *range(1, MOST_AT_A_TIME + 1)))
        if 1 <= per_node <= conditions.per_cluster
    ]
    if not tries:
        # parallelMigrationsPerCluster 0 lets none begin, whatever the others are.
        return None
    best = tries[0]
    for each in tries[1:]:
        if each.stuck < best.stuck or (each.stuck == best.stuck and each.drained < best.drained * WORTH):
            best = each
    return _written(best, going, conditions, converges_already=has)


def _tried(machines: Sequence[Machine], conditions: Conditions, per_node: int, auto: bool) -> _Try:  # noqa: FBT001
    bandwidth = conditions.link.low / per_node
    free = [
        replace(each, limits=replace(each.limits, bandwidth=bandwidth, per_gib=0, auto_converge=auto))
        for each in machines
    ]
    took = {each: outlook(each, conditions).worst for each in {each.alike for each in free}}
    sharing = replace(conditions, per_node=per_node)
    ends = [done.end for group in by_node(free).values() for done in evacuation(group, sharing).worst if leaves(done)]
    return _Try(
        per_node,
        auto,
        bandwidth,
        stuck=sum(not leaves(took[each.alike]) for each in free),
        drained=max(ends, default=0.0),
        per_gib=max(
            (done.end / max(1, gigabytes(each.memory + each.disks)) for each, done in took.items() if leaves(done)),
            default=0.0,
        ),
    )


def _written(best: _Try, machines: Sequence[Machine], conditions: Conditions, *, converges_already: bool) -> Proposal:
    per_gib = min(86400, max(LEAST, ceil(best.per_gib * SPARE)))
    wanted: dict[str, int | str | bool] = {
        "parallelOutboundMigrationsPerNode": best.per_node,
        "bandwidthPerMigration": f"{max(1, int(best.bandwidth / MIB))}Mi",
        "completionTimeoutPerGiB": per_gib,
    }
    rate = wanted["bandwidthPerMigration"]
    link = f"the {conditions.link.low / MIB:,.0f} MiB/s that a node sends at least"
    reasons = [
        f"parallelOutboundMigrationsPerNode {best.per_node}: nodes are drained in {clock(best.drained)} at the worst",
        f"bandwidthPerMigration {rate}: {best.per_node} at a time share {link}",
        f"completionTimeoutPerGiB {per_gib}: {SPARE:g} times what the slowest takes at the worst",
    ]
    if best.auto_converge and not converges_already:
        wanted["allowAutoConverge"] = True
        reasons.append("allowAutoConverge true: without it, some guests write memory faster than it is copied")
    if best.stuck:
        reasons.append(
            f"{best.stuck} of {len(machines)} do not finish even so: their load, the link, or post-copy would have to"
            " change"
        )
    return Proposal(wanted, tuple(reasons))
