"""Which stacks are meant, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.selection import in_waves, is_selector, matches, selects

CANARY = {"tier": "canary", "region": "eu"}


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("tier=canary", True),
        ("tier=prod", False),
        ("tier", True),
        ("team", False),
        ("team!=x", True),
        ("tier!=canary", False),
        ("tier=canary,region!=us", True),
        ("tier=canary,region=us", False),
        ("team=", False),
    ],
)
def test_a_selector_means_what_it_means_to_kubectl(selector: str, *, meant: bool) -> None:
    assert selects(selector, CANARY) is meant


@pytest.mark.parametrize("text", ["", "a b", "tier==", "tier = canary", ",", "tier=canary,"])
def test_what_is_no_selector_is_known(text: str) -> None:
    assert not is_selector(text)


def test_a_member_is_a_name_a_pattern_or_labels() -> None:
    assert matches("prod-1", "prod-1", {})
    assert matches("prod-*", "prod-1", {})
    assert not matches("prod-*", "dev", {})
    assert matches("tier=canary", "dev", CANARY)
    assert not matches("tier", "dev", CANARY), "a word alone is a name"


def test_a_stack_counts_in_the_first_of_its_waves_and_one_in_none_comes_last() -> None:
    stacks = {"a": CANARY, "b": {}, "prod-1": {}, "prod-2": CANARY}
    assert in_waves([["tier=canary"], ["prod-*"], ["nobody"]], stacks) == [["a", "prod-2"], ["prod-1"], ["b"]]
    assert in_waves([], stacks) == [["a", "b", "prod-1", "prod-2"]]
    assert in_waves([["x"]], {}) == []


names = st.text("ab-", min_size=1, max_size=3)
members = st.one_of(names, names.map(lambda name: f"{name}*"), st.sampled_from(["t=1", "t!=1", "u=1,t=1"]))


labels = st.dictionaries(st.sampled_from("tu"), st.sampled_from("12"))


@given(st.lists(st.lists(members, max_size=3), max_size=4), st.dictionaries(names, labels))
def test_every_stack_is_in_exactly_one_wave(waves: list[list[str]], stacks: dict[str, dict[str, str]]) -> None:
    ordered = in_waves(waves, stacks)
    assert sorted(name for wave in ordered for name in wave) == sorted(stacks)
    assert all(ordered)
