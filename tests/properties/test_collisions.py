"""The sweep over a fleet agrees with comparing each two stacks, for both families and whichever stacks are accepted."""

from __future__ import annotations

import dataclasses
import itertools

from hypothesis import given
from hypothesis import strategies as st

from config.fleet import collisions, handed_out
from config.loading import load_stack
from config.slice import Slice
from config.stack import Stack
from config.types.addressing import AddressRange

BASE = load_stack(
    "base",
    {
        "segment": {
            "subnet": ["10.200.5.0/24", "fd00:200:5::/120"],
            "gateway": "10.200.5.30",
            "reserved": ["fd00:200:5::20"],
        },
        "cluster": {"context": "x"},
        "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
    },
)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Stack], set[str]]:
    """Return up to seven stacks with a slice of each family, and the names of those that are accepted."""
    ends = st.tuples(st.integers(1, 60), st.integers(1, 60)).map(sorted)
    stacks = []
    for index in range(draw(st.integers(1, 7))):
        slices = []
        for subnet in BASE.segment.subnets:
            first, last = draw(ends)
            slices.append(Slice.model_construct(range_start=subnet[first], range_end=subnet[last]))
        stacks.append(dataclasses.replace(BASE, name=f"s{index}", slices=tuple(slices)))
    return stacks, draw(st.sets(st.sampled_from([stack.name for stack in stacks])))


def shared(one: Stack, other: Stack) -> list[AddressRange]:
    """Compare part by part."""
    both = itertools.product(handed_out(one), handed_out(other))
    return [common for part, other_part in both if (common := part.clipped(other_part)) is not None]


def colliding(stacks: list[Stack]) -> set[str]:
    """Compare each two stacks."""
    pairs = itertools.combinations(stacks, 2)
    return {name for one, other in pairs if shared(one, other) for name in (one.name, other.name)}


@given(fleets())
def test_every_stack_that_collides_is_named_and_no_other_once_a_pair(case: tuple[list[Stack], set[str]]) -> None:
    stacks, accepted = case
    found = list(collisions(stacks, accepted=lambda stack: stack.name in accepted))
    assert {each.name for pair in found for each in (pair.one, pair.other)} == colliding(stacks)
    strict = [pair for pair in found if not {pair.one.name, pair.other.name} & accepted]
    assert {each.name for pair in strict for each in (pair.one, pair.other)} == colliding(
        [stack for stack in stacks if stack.name not in accepted]
    )
    names = [frozenset((pair.one.name, pair.other.name)) for pair in found]
    assert len(names) == len(set(names)), "a pair is named once"
    for pair in found:
        assert pair.common in shared(pair.one, pair.other)
