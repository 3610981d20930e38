"""Differences are what separates two values: applied to the one, they give the other."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mignet.kube.diff import declared_differences, differences

keys = st.sampled_from(["a", "b", "c", "d"])
leaves = st.one_of(st.integers(), st.booleans(), st.text(max_size=4), st.lists(st.integers(), max_size=3))
# An empty mapping is no field of its own, neither to the API server nor here.
objects = st.recursive(leaves, lambda below: st.dictionaries(keys, below, min_size=1, max_size=4), max_leaves=12)
mappings = st.dictionaries(keys, objects, max_size=4)


def apply(value: dict[str, Any], path: str, new: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        if not isinstance(value.get(key), dict):
            value[key] = {}
        value = value[key]
    if new is None:
        value.pop(last, None)
    else:
        value[last] = new


def without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item != {}}


@given(mappings, mappings)
def test_differences_lead_from_the_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    result = copy.deepcopy(old)
    for change in differences(old, new):
        apply(result, change.path, change.new)
    assert without_empty(result) == without_empty(new)


@given(mappings)
def test_equal_values_have_no_differences(value: dict[str, Any]) -> None:
    assert not list(differences(value, copy.deepcopy(value)))
    assert not list(declared_differences(value, value | {"beyond": 1}))


@given(mappings)
def test_what_is_declared_and_missing_is_a_difference(value: dict[str, Any]) -> None:
    assert bool(list(declared_differences(value, {}))) == bool(value)


@given(st.lists(st.integers(), min_size=1), st.integers())
def test_an_item_appended_to_a_declared_list_is_a_difference(items: list[int], more: int) -> None:
    (change,) = declared_differences({"spec": {"list": items}}, {"spec": {"list": [*items, more]}})
    assert (change.path, change.new, change.old) == ("spec.list", items, [*items, more])


@given(st.dictionaries(keys, st.integers(), min_size=1), st.dictionaries(keys, st.integers(), min_size=1))
def test_json_text_is_compared_inside(old: dict[str, int], new: dict[str, int]) -> None:
    one, other = json.dumps(old), json.dumps(new)
    inside = {f"config{{{key}}}" for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    # The same JSON in another order of keys is still another text.
    spelling = {"config"} if one != other and not inside else set()
    assert {change.path for change in differences({"config": one}, {"config": other})} == inside | spelling
