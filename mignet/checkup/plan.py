"""The plan: which node probes which others. Pure; a sample of bounded size that another seed chooses otherwise.

Every node probes `sample` nodes of its own cluster and of every peer cluster, and is probed by as many of its own. In a
small fleet that is every node; in a large one it grows with the nodes, not with their square.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mignet.checkup.result import End

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ALL_PAIRS = 1000
"""Pairs up to which all of them are measured when no sample is asked for: 32 nodes."""
SAMPLE = 4
"""Nodes of each cluster that a node probes, in a fleet beyond that."""
MOST_TARGETS = 96
"""Nodes that one node probes at most: what it finds must fit into 4096 bytes, all that a pod can say at its end."""
MOST_ROUNDS = 12
"""Times that probes are made, where a cluster has not enough free addresses for all of its nodes at once."""


class TooManyError(ValueError):
    """More is asked for than one run can do; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Round:
    """What is done at one time: the nodes of each stack that get a probe, and whom each of them probes."""

    nodes: Mapping[str, tuple[str, ...]]
    targets: Mapping[End, tuple[End, ...]]

    @property
    def pairs(self) -> int:
        """Number of ways that are measured."""
        return sum(map(len, self.targets.values()))

    def sources_of(self) -> dict[End, int]:
        """Return by how many nodes each one is probed."""
        counts = dict.fromkeys(self.targets, 0)
        for targets in self.targets.values():
            for target in targets:
                counts[target] += 1
        return counts


def rounds(
    nodes: Mapping[str, Sequence[str]], *, seed: int, room: Mapping[str, int] | None = None, sample: int | None = None
) -> list[Round]:
    """Return what to do, in one round where each cluster has `room` (addresses) for a probe on each of its nodes.

    Elsewhere a cluster's nodes take turns, each in one round at least. Raises TooManyError.
    """
    chance = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    shuffled = {stack: chance.sample(sorted(names), len(names)) for stack, names in sorted(nodes.items()) if names}
    at_a_time = {stack: min(len(names), (room or {}).get(stack, len(names))) for stack, names in shuffled.items()}
    count = max(
        (-(-len(names) // at_a_time[stack]) for stack, names in shuffled.items() if at_a_time[stack]), default=0
    )
    if count > MOST_ROUNDS:
        msg = f"would take {count} rounds, and {MOST_ROUNDS} are the most"
        raise TooManyError(msg)
    turns = ({stack: _turn(names, at_a_time[stack], n) for stack, names in shuffled.items()} for n in range(count))
    return [_round({stack: names for stack, names in turn.items() if names}, chance, sample) for turn in turns]


def possible(nodes: Mapping[str, Sequence[str]]) -> int:
    """Return the number of ways from one node to another."""
    count = sum(map(len, nodes.values()))
    return count * (count - 1)


def _turn(names: Sequence[str], size: int, number: int) -> tuple[str, ...]:
    """Return the nodes whose turn it is; those of a cluster that is through begin again, as others need peers."""
    return tuple(names[(number * size + at) % len(names)] for at in range(size))


def _round(nodes: Mapping[str, tuple[str, ...]], chance: random.Random, sample: int | None) -> Round:
    clusters = len(nodes)
    if clusters > MOST_TARGETS:
        msg = f"has {clusters} clusters, and {MOST_TARGETS} are the most"
        raise TooManyError(msg)
    every = max(map(len, nodes.values()), default=0)
    whole = sample is None and possible(nodes) <= ALL_PAIRS
    each = every if whole else max(1, min(sample or SAMPLE, every, MOST_TARGETS // max(clusters, 1)))
    targets: dict[End, list[End]] = {End(stack, name): [] for stack, names in nodes.items() for name in names}
    for stack, names in nodes.items():
        for other, others in nodes.items():
            chosen = _inside(len(names), each, chance) if other == stack else _across(names, others, each, chance)
            for at, found in zip(names, chosen, strict=True):
                targets[End(stack, at)] += [End(other, others[index]) for index in found]
    return Round(nodes, {source: tuple(found) for source, found in targets.items()})


def _inside(count: int, each: int, chance: random.Random) -> Iterator[list[int]]:
    """Yield whom each node of a cluster probes there: all at the same distances, so that each is probed as often.

    The first distance has no divisor in common with the number of nodes: the pairs then hold the whole cluster
    together, also without any one node. (Even distances alone make two halves that never hear of each other.)
    """
    around = [distance for distance in range(1, count) if math.gcd(distance, count) == 1]
    distances = [chance.choice(around)] if around else []
    others = [distance for distance in range(1, count) if distance not in distances]
    distances += chance.sample(others, min(each - 1, len(others)))
    for at in range(count):
        yield [(at + distance) % count for distance in distances]


def _across(names: Sequence[str], others: Sequence[str], each: int, chance: random.Random) -> Iterator[list[int]]:
    """Yield whom each node probes of another cluster: they go round, so that none is left out that can be reached."""
    size = min(each, len(others))
    first = chance.randrange(len(others))
    for at in range(len(names)):
        yield [(first + at * size + step) % len(others) for step in range(size)]
