"""Which MigrationPolicy a virtual machine gets, as KubeVirt's virt-controller chooses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mignet.kube.kubevirt.migration_policies import match, settings_of


def policy(name: str, machine: dict[str, str] | None = None, namespace: dict[str, str] | None = None) -> dict[str, Any]:
    selectors = {"virtualMachineInstanceSelector": machine, "namespaceSelector": namespace}
    return {
        "metadata": {"name": name},
        "spec": {"selectors": {key: value for key, value in selectors.items() if value is not None}},
    }


VM, NS = {"a": "1", "b": "2", "c": "3"}, {"x": "1", "y": "2"}


@pytest.mark.parametrize(
    ("policies", "wins", "tied"),
    [
        ([], None, ()),
        ([policy("p", {"a": "1"})], "p", ()),
        ([policy("p", {"a": "2"})], None, ()),
        ([policy("p", {"a": "1"}, {"x": "2"})], None, ()),
        # More labels win, wherever they are.
        ([policy("one", {"a": "1"}), policy("two", {"a": "1", "b": "2"})], "two", ()),
        ([policy("vm", {"a": "1"}), policy("ns", None, NS)], "ns", ()),
        # At equal counts, those of the virtual machine count more.
        ([policy("z-vm", {"a": "1", "b": "2"}), policy("a-ns", {"a": "1"}, {"x": "1"})], "z-vm", ()),
        # Then the name.
        ([policy("b", {"a": "1"}), policy("a", {"b": "2"})], "a", ("b",)),
        # Without a selector it matches all; without selectors at all, nothing.
        ([policy("all")], "all", ()),
        ([{"metadata": {"name": "none"}, "spec": {}}], None, ()),
    ],
)
def test_the_most_detailed_policy_wins(policies: list[Any], wins: str | None, tied: tuple[str, ...]) -> None:
    found = match(policies, VM, NS)
    assert (found.name if found else None, found.tied if found else ()) == (wins, tied)


def test_a_virtual_machine_without_labels_is_matched_by_all() -> None:
    found = match([policy("b", {"a": "1"}), policy("a", None, {"x": "9"})], None, NS)
    assert found is not None
    assert (found.name, found.tied) == ("a", ("b",))


@pytest.mark.parametrize("allowed", [True, False])
def test_post_copy_sets_the_disruption_as_well_unless_the_policy_does(*, allowed: bool) -> None:
    both = {"spec": {"allowPostCopy": allowed}}
    assert settings_of(both) == {"allowPostCopy": allowed, "allowWorkloadDisruption": allowed}
    own = {"spec": {"allowPostCopy": allowed, "allowWorkloadDisruption": not allowed}}
    assert settings_of(own)["allowWorkloadDisruption"] is not allowed


# KubeVirt's own cases, values only: policies with so many labels of the virtual machine and of its namespace.
# Source: KubeVirt, pkg/virt-controller/watch/migration/migration_test.go (Migration policy, matching and precedence).
KUBEVIRTS = [
    ([("one", 1, 4)], "one"),
    ([("one", 1, 4), ("two", 4, 2)], "two"),
    ([("aa", 2, 2), ("zz", 2, 2)], "aa"),
    ([("zz", 2, 2), ("aa", 2, 2)], "aa"),
    ([], None),
    *([([("ns", 0, count), ("vmi", count, 0)], "vmi") for count in range(1, 6)]),
]
KUBEVIRTS_LIMITS: list[dict[str, Any]] = [
    {"allowAutoConverge": True},
    {"allowAutoConverge": False},
    {"bandwidthPerMigration": "25Mi"},
    {"completionTimeoutPerGiB": 33425},
    {"allowPostCopy": False},
    {"allowPostCopy": True},
    {},
]


def numbered(name: str, count: int) -> dict[str, str]:
    return {f"{name}-key-{number}": f"{name}-value-{number}" for number in range(count)}


@pytest.mark.parametrize(("infos", "wins"), KUBEVIRTS)
def test_kubevirts_own_cases_give_the_same_policy(infos: list[tuple[str, int, int]], wins: str | None) -> None:
    policies = [policy(name, numbered(name, machine), numbered(name, space)) for name, machine, space in infos]
    labels = {key: value for name, machine, _ in infos for key, value in numbered(name, machine).items()}
    namespace = {key: value for name, _, space in infos for key, value in numbered(name, space).items()}
    found = match(policies, labels, namespace)
    assert (found.name if found else None) == wins


def test_kubevirts_policy_with_one_label_that_does_not_fit_matches_nothing() -> None:
    selector = numbered("p", 4) | {"p-key-0": "XYZ"}
    assert match([policy("p", selector, numbered("p", 3))], numbered("p", 4), numbered("p", 3)) is None


@pytest.mark.parametrize("limits", KUBEVIRTS_LIMITS, ids=str)
def test_kubevirts_own_limits_override_and_post_copy_brings_the_disruption(limits: dict[str, Any]) -> None:
    found = settings_of({"spec": limits})
    follows = {"allowWorkloadDisruption": limits["allowPostCopy"]} if "allowPostCopy" in limits else {}
    assert found == limits | follows


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


@given(selectors=st.lists(st.tuples(LABELS, LABELS), max_size=5), labels=LABELS, namespace=LABELS, order=st.randoms())
def test_the_order_of_the_list_is_no_matter(selectors: Any, labels: Any, namespace: Any, order: Any) -> None:
    policies = [policy(f"p{number}", *each) for number, each in enumerate(selectors)]
    shuffled = policies.copy()
    order.shuffle(shuffled)
    assert match(policies, labels, namespace) == match(shuffled, labels, namespace)
