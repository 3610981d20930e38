"""Migrations that run, those that do not go on and why, and machines that a migration left on two clusters or on none.

What is between two clusters is judged with the rules of peers.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from config.finding import codes_of
from mignet.checks.migrations import stuck
from mignet.checks.migrations.flights import details
from mignet.checks.peers import endpoint, machines, pair_rules
from mignet.checks.peers.pair_rules import Pair
from mignet.kube.kinds import EVENT, FORKLIFT_PLAN, POD
from mignet.kube.snapshot import Judged, Read, judge, known, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mignet.checks.migrations.ends import End, Expected
    from mignet.checks.migrations.flights import Flight, Seen
    from mignet.checks.peers.endpoint import Side
    from mignet.kube.client import Cluster
    from mignet.kube.snapshot import Snapshot

RULES = stuck.RULES
CODES = codes_of(RULES)
PLANS = Read(FORKLIFT_PLAN)
_OF_SIDE = (endpoint.gate, endpoint.sync, endpoint.authority)
_OF_PAIR = (pair_rules.trust,)


@dataclass(frozen=True, slots=True)
class Row:
    """A migration that has not ended, with the stack of the other cluster where it goes between two, and is known."""

    flight: Flight
    peer: str | None
    end: End
    expected: Expected | None = None
    """When the model says that it ends; None where it cannot."""


def needs() -> list[Read]:
    """Return what is read beyond what peers reads: plans, and target pods and events of any namespace."""
    return [PLANS, Read(POD), Read(EVENT)]


async def look_closer(cluster: Cluster, side: Side) -> Snapshot:
    """Look at the target pods and events of what has not begun to copy on a side's cluster. Raises ClusterError."""
    # Without migrations there is nothing more to read; the rules say that they could not be read.
    wanted = known(lambda: list(details(side))) or []
    return await look(cluster, side.stack, wanted)


def judged(clusters: Sequence[Seen]) -> dict[str, list[Judged]]:
    """Judge the migrations of clusters, and what is between two of them, by the stack that it is about."""
    found: dict[str, list[Judged]] = defaultdict(list)
    sides = {each.side.name: each.side for each in clusters}
    for each in clusters:
        found[each.side.name].append(judge(RULES, each))
    hangs = [(each.side, other) for each in clusters for other in _hanging(each)]
    for name in dict.fromkeys(side.name for way in hangs for side in way if side and side.name in sides):
        found[name].append(judge(_OF_SIDE, sides[name]))
    for one, other in sorted({tuple(sorted((side.name, other.name))) for side, other in hangs if other}):
        if one != other and {one, other} <= sides.keys():
            found[one].append(judge(_OF_PAIR, Pair(sides[one], sides[other])))
    for one_, other_ in combinations([each for each in sides.values() if each.seen], 2):
        found[one_.name].append(judge(machines.RULES, Pair(one_, other_)))
    return found


def _hanging(seen: Seen) -> Sequence[Side | None]:
    # What could not be read is said by the rules.
    return known(lambda: list(stuck.hanging(seen))) or ()
