"""The plan of a checkup holds for any fleet: every node both ways, bounded work, nothing twice."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mignet.checkup.plan import ALL_PAIRS, MOST_TARGETS, SAMPLE, TooManyError, possible, rounds
from mignet.checkup.result import End

FLEETS = st.dictionaries(
    st.sampled_from([f"stack-{number}" for number in range(6)]), st.integers(0, 40), min_size=1
).map(lambda sizes: {stack: [f"n{number}" for number in range(size)] for stack, size in sizes.items()})
SEEDS = st.integers(0, 2**32)
SAMPLES = st.none() | st.integers(1, 50)


def ends(nodes: dict[str, list[str]]) -> set[End]:
    return {End(stack, name) for stack, names in nodes.items() for name in names}


@given(FLEETS, SEEDS, SAMPLES)
def test_every_node_probes_others_and_is_probed(nodes: dict[str, list[str]], seed: int, sample: int | None) -> None:
    everybody = ends(nodes)
    found = rounds(nodes, seed=seed, sample=sample)
    if not everybody:
        assert found == []
        return
    (only,) = found
    assert set(only.targets) == everybody
    if len(everybody) > 1:
        assert all(only.targets.values())
        assert all(only.sources_of().values())
    for source, targets in only.targets.items():
        assert source not in targets
        assert len(set(targets)) == len(targets) <= MOST_TARGETS
        # Of every cluster that it could probe.
        assert {target.stack for target in targets} == {each.stack for each in everybody if each != source}


@given(FLEETS, SEEDS)
@example({"a": ["n0"], "b": ["n0"], "c": ["n0"], "d": ["n0"], "e": [f"n{each}" for each in range(20)]}, 0)
def test_a_small_fleet_is_measured_whole(nodes: dict[str, list[str]], seed: int) -> None:
    found = rounds(nodes, seed=seed)
    if found and 0 < possible(nodes) <= ALL_PAIRS:
        assert found[0].pairs == possible(nodes)


@given(FLEETS, SEEDS, SAMPLES)
def test_the_work_grows_with_the_nodes_and_not_with_their_square(
    nodes: dict[str, list[str]], seed: int, sample: int | None
) -> None:
    for each in rounds(nodes, seed=seed, sample=sample):
        allowed = ALL_PAIRS if sample is None else 0
        assert each.pairs <= max(allowed, len(ends(nodes)) * len(nodes) * (sample or SAMPLE))


@given(FLEETS, SEEDS)
def test_the_same_seed_is_the_same_sample(nodes: dict[str, list[str]], seed: int) -> None:
    assert rounds(nodes, seed=seed) == rounds(nodes, seed=seed)


@given(FLEETS, SEEDS, st.integers(1, 40))
def test_where_addresses_are_few_nodes_take_turns_and_each_has_one(
    nodes: dict[str, list[str]], seed: int, room: int
) -> None:
    limits = dict.fromkeys(nodes, room)
    try:
        found = rounds(nodes, seed=seed, room=limits)
    except TooManyError:
        assert max(map(len, nodes.values())) > room
        return
    for each in found:
        assert all(len(set(names)) == len(names) <= room for names in each.nodes.values())
    assert {end for each in found for end in each.targets} == ends(nodes)


def test_three_clusters_of_500_nodes_are_planned_in_well_under_a_second() -> None:
    nodes = {stack: [f"node-{number}" for number in range(500)] for stack in ("a", "b", "c")}
    begun = time.monotonic()
    (found,) = rounds(nodes, seed=1)
    assert time.monotonic() - begun < 1
    assert found.pairs == 1500 * 3 * SAMPLE
    assert set(found.sources_of().values()) == {3 * SAMPLE}


def test_another_seed_measures_other_pairs_so_that_many_runs_cover_all() -> None:
    nodes = {"a": [f"n{number}" for number in range(40)], "b": [f"n{number}" for number in range(40)]}
    seen: set[tuple[End, End]] = set()
    for seed in range(200):
        (found,) = rounds(nodes, seed=seed)
        seen |= {(source, target) for source, targets in found.targets.items() for target in targets}
    assert len(seen) == possible(nodes)


def test_more_rounds_than_sensible_are_refused() -> None:
    with pytest.raises(TooManyError, match="100 rounds"):
        rounds({"a": [f"n{number}" for number in range(100)]}, seed=1, room={"a": 1})
