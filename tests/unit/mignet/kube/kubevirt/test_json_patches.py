"""What the operator's JSON patches make of the declared settings: operation by operation."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preflight_traps import stack

from mignet.kube.kubevirt.json_patches import ANNOTATION, overrides

WANTED = {"completionTimeoutPerGiB": 150, "network": "migration", "bandwidthPerMigration": "2Gi"}
STACK = stack({"hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 150, "bandwidthPerMigration": "2Gi"}}})
ROOT = "/spec/configuration/migrations"


def annotated(text: str) -> dict[str, Any]:
    return {"metadata": {"name": "kubevirt-hyperconverged", "annotations": {ANNOTATION: text}}}


def found(*operations: dict[str, Any]) -> list[tuple[str, tuple[str, ...], dict[str, object]]]:
    return [(each.place, each.drops, dict(each.sets)) for each in overrides(STACK, annotated(json.dumps(operations)))]


@pytest.mark.parametrize(
    "text", ["", "{}", "no json", "null", "[1]", '[{"op": "add"}]', '[{"op": 5, "path": "/spec"}]', '[{"path": []}]']
)
def test_what_is_no_list_of_operations_is_no_traceback(text: str) -> None:
    assert overrides(STACK, annotated(text)) == []
    assert overrides(STACK, None) == []
    assert overrides(STACK, {"metadata": {}}) == []


def test_a_later_operation_that_sets_it_again_repairs_it() -> None:
    dropped = {"op": "replace", "path": ROOT, "value": {}}
    again = {"op": "add", "path": ROOT, "value": WANTED | {"bandwidthPerMigration": "2048Mi"}}
    assert found(dropped, again) == []
    assert found(again, dropped) == [("2 of 2", tuple(sorted(WANTED)), {})]


def test_each_operation_is_told_with_what_it_does() -> None:
    assert found(
        {"op": "remove", "path": f"{ROOT}/network"},
        {"op": "add", "path": f"{ROOT}/completionTimeoutPerGiB", "value": 800},
        {"op": "test", "path": f"{ROOT}/bandwidthPerMigration", "value": "1Gi"},
    ) == [("1 of 3", ("network",), {}), ("2 of 3", (), {"completionTimeoutPerGiB": 800})]


def test_a_copied_value_is_one_that_nobody_knows() -> None:
    (only,) = overrides(STACK, annotated(json.dumps([{"op": "copy", "from": "/spec/x", "path": f"{ROOT}/network"}])))
    assert "sets network to another field's value" in only.sentence


def test_a_truth_value_is_no_number() -> None:
    one = stack({"hyperConverged": {"liveMigration": {"allowPostCopy": True}}})
    patch = [{"op": "add", "path": f"{ROOT}/allowPostCopy", "value": 1}]
    assert len(overrides(one, annotated(json.dumps(patch)))) == 1


PATHS = st.sampled_from(
    ["", "/spec", "/spec/configuration", ROOT, f"{ROOT}/network", f"{ROOT}/allowPostCopy", "/spec/a"]
)
INSIDE = st.fixed_dictionaries({}, optional={name: st.sampled_from([value, "other"]) for name, value in WANTED.items()})
OPERATIONS = st.lists(
    st.one_of(
        st.builds(lambda path: {"op": "remove", "path": path}, PATHS.filter(bool)),
        st.builds(lambda op, path, inside: (op, path, inside), st.sampled_from(["add", "replace"]), PATHS, INSIDE).map(
            lambda drawn: {"op": drawn[0], "path": drawn[1], "value": _value(drawn[1], drawn[2])}
        ),
    ),
    max_size=4,
)


def _value(path: str, inside: dict[str, Any]) -> object:
    """Wrap the settings into what stands at a parent of theirs."""
    if path.startswith(f"{ROOT}/"):
        return inside.get("network", "other")
    value: object = inside
    for key in reversed([key for key in ROOT.removeprefix(path).split("/") if key] if ROOT.startswith(path) else []):
        value = {key: value}
    return value


@given(OPERATIONS)
def test_what_is_said_is_what_the_patches_leave(operations: list[dict[str, Any]]) -> None:
    """Held against a patch that is carried out on a whole object; what is not there can be removed here."""
    live: dict[str, Any] = {"spec": {"a": 1, "configuration": {"migrations": dict(WANTED)}}}
    for each in operations:
        keys = each["path"].split("/")[1:]
        if not keys:
            live = copy.deepcopy(each["value"])
            continue
        inner: Any = live
        for key in keys[:-1]:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            return  # The real operator refuses such a list as a whole.
        if each["op"] == "remove":
            inner.pop(keys[-1], None)
        else:
            inner[keys[-1]] = copy.deepcopy(each["value"])
    left = live.get("spec", {}).get("configuration", {}).get("migrations", {})
    broken = {name for name, value in WANTED.items() if left.get(name) != value}
    said = found(*operations)
    assert {name for _, drops, sets in said for name in (*drops, *sets)} == broken
    assert {name for _, drops, _ in said for name in drops} == {name for name in broken if name not in left}
