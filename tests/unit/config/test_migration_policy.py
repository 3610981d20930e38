"""MigrationPolicies in a stack file: what is refused, what is only worth knowing, and what published ones become."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from config.finding import Finding
from config.loading import load_stack, read_stack

BASE = {
    "segment": {"subnet": "10.200.5.0/24"},
    "cluster": {"context": "dev"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
}
FAST = {"bandwidthPerMigration": "512Mi", "completionTimeoutPerGiB": 600}


def item(name: str = "databases", machine: Any = None, space: Any = None, **limits: Any) -> dict[str, Any]:
    selectors = {"virtualMachineInstanceSelector": machine, "namespaceSelector": space}
    written = {key: value for key, value in selectors.items() if value is not None}
    return {"name": name, **(written or {"namespaceSelector": {"team": "db"}}), "limits": limits or FAST}


def found(*items: Any, **more: Any) -> tuple[Finding, ...]:
    return read_stack("dev", BASE | {"migrationPolicies": list(items)} | more)[1]


@pytest.mark.parametrize(
    ("items", "code", "key", "says"),
    [
        ([item("Data_Bases")], "name-dns-label", "[0].name", "is not a DNS-1123 label"),
        ([item(), item(machine={"a": "1"})], "migration-policy-name", "[1].name", "is another policy's too"),
        ([item() | {"selectors": {}}], "key-unknown", "[0].selectors", "is not a key of MigrationPolicy"),
        ([item(network="migration")], "key-unknown", "[0].limits.network", "is not a key of PolicyLimits"),
        ([item(bandwidthPerMigration="64 MB")], "bandwidth-quantity", "[0].limits.bandwidthPerMigration", "quantity"),
        (
            [item(completionTimeoutPerGiB=0)],
            "value-greater-than-equal",
            "[0].limits.completionTimeoutPerGiB",
            "below 1",
        ),
        ([item(maxDowntimeMs=0)], "value-greater-than-equal", "[0].limits.maxDowntimeMs", "below 1"),
        ([item(allowPostCopy="yes")], "value-bool-type", "[0].limits.allowPostCopy", "neither true nor false"),
        ([item() | {"limits": {}}], "migration-policy-limits", "[0].limits", "sets nothing"),
        ([{"name": "a", "namespaceSelector": {"a": "b"}}], "key-missing", "[0].limits", "is required"),
        ([item(space={"hpc": True})], "value-string-type", "[0].namespaceSelector.hpc", "Put it in quotes"),
        ([item(space={"a b": ""})], "selector-label", "[0].namespaceSelector", "has a b=, which is no label"),
        (
            [item(machine={"matchLabels": {"type": "db"}})],
            "selector-match-labels",
            "[0].virtualMachineInstanceSelector",
            "Write the labels directly under it",
        ),
        ([item(space={}, machine={})], "migration-policy-everyone", "[0]", "applies to every virtual machine"),
        (
            [item("b", {"a": "1"}), item("a", {"a": "1"}, {})],
            "migration-policy-same",
            "[1]",
            "a applies, as the first by name, and b to nobody",
        ),
    ],
)
def test_a_mistake_is_one_error_at_its_key(items: list[Any], code: str, key: str, says: str) -> None:
    (only,) = found(*items)
    assert (only.code, only.key, only.severity) == (code, f"migrationPolicies{key}", "error")
    assert says in str(only)


@pytest.mark.parametrize(
    ("items", "code", "key"),
    [
        ([item("b", {"a": "1"}), item("a", {"b": "1"})], "migration-policy-tied", "[1]"),
        ([item("b", {"a": "1"}, {"x": "1"}), item("a", {"b": "1"}, {"x": "1"})], "migration-policy-tied", "[1]"),
        ([item(bandwidthPerMigration="32Mi", completionTimeoutPerGiB=20)], "migration-too-slow", "[0].limits"),
        # Without a unit it is bytes.
        ([item(bandwidthPerMigration="2048")], "migration-too-slow", "[0].limits"),
        ([item(allowPostCopy=True, allowWorkloadDisruption=False)], "post-copy-inert", "[0].limits.allowPostCopy"),
    ],
)
def test_what_is_likely_not_meant_is_one_warning(items: list[Any], code: str, key: str) -> None:
    (only,) = found(*items)
    assert (only.code, only.key, only.severity) == (code, f"migrationPolicies{key}", "warning")


@pytest.mark.parametrize(
    "items",
    [
        [],
        [item()],
        # No virtual machine has two values of one label.
        [item("b", {"a": "1"}), item("a", {"a": "2"})],
        [item("b", {"a": "1"}, {"x": "1"}), item("a", {"b": "1"}, {"x": "2"})],
        # One label more, or as many and more of the virtual machine.
        [item("b", {"a": "1"}), item("a", {"a": "1", "b": "1"})],
        [item("b", {"a": "1"}), item("a", None, {"b": "1"})],
        # No limit, where the cluster has one.
        [item(bandwidthPerMigration="0")],
        [item(allowPostCopy=True)],
    ],
)
def test_what_is_sound_gives_nothing(items: list[Any]) -> None:
    assert found(*items) == ()


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        # The cluster's own mistake is said of the cluster.
        ({"allowAutoConverge": True}, 1),
        ({"completionTimeoutPerGiB": 20}, 1),
        ({"completionTimeoutPerGiB": 21}, 2),
        ({"completionTimeoutPerGiB": 300}, 1),
    ],
)
def test_a_policys_limit_is_held_against_the_clusters_for_the_other(limits: dict[str, Any], count: int) -> None:
    slow = {"liveMigration": {"bandwidthPerMigration": "32Mi", "completionTimeoutPerGiB": 20}}
    codes = [each.code for each in found(item(**limits), hyperConverged=slow)]
    assert codes == ["migration-too-slow"] * count


PUBLISHED = {
    "kubevirt/user-guide, docs/cluster_admin/migration_policies.md": """
        allowAutoConverge: true
        bandwidthPerMigration: 217Ki
        completionTimeoutPerGiB: 23
        allowPostCopy: false
        selectors:
          namespaceSelector: {hpc-workloads: "true"}
          virtualMachineInstanceSelector: {workload-type: db}
        """,
    "OpenShift Container Platform 4.13, Configuring live migration policies": """
        allowAutoConverge: true
        bandwidthPerMigration: 217Ki
        completionTimeoutPerGiB: 23
        allowPostCopy: false
        selectors:
          namespaceSelector: {hpc-workloads: "True", xyz-workloads-type: ""}
          virtualMachineInstanceSelector: {workload-type: "db", operating-system: ""}
        """,
    "a public course on KubeVirt's live migration, high-performance-migration": """
        allowAutoConverge: true
        allowPostCopy: false
        allowWorkloadDisruption: true
        bandwidthPerMigration: "1Gi"
        completionTimeoutPerGiB: 300
        selectors:
          namespaceSelector: {environment: "production"}
          virtualMachineInstanceSelector: {workload-type: "database"}
        """,
    "the same, low-priority-migration": """
        allowAutoConverge: false
        allowPostCopy: true
        allowWorkloadDisruption: true
        bandwidthPerMigration: "256Mi"
        completionTimeoutPerGiB: 600
        selectors:
          namespaceSelector: {environment: "staging"}
          virtualMachineInstanceSelector: {workload-type: "batch"}
        """,
}


@pytest.mark.parametrize("source", PUBLISHED)
def test_a_published_policy_is_declared_as_it_is_and_one_that_lets_nothing_migrate_is_said(source: str) -> None:
    spec = yaml.safe_load(PUBLISHED[source])
    selectors = spec["selectors"]
    limits = {key: value for key, value in spec.items() if key != "selectors"}
    (policy,) = load_stack(
        "dev", BASE | {"migrationPolicies": [{"name": "p", **selectors, "limits": limits}]}
    ).migration_policies
    assert policy.spec == spec
    # 217 KiB/s and 23 s for each GiB: the example of both manuals.
    slow = ["migration-too-slow"] if spec["bandwidthPerMigration"] == "217Ki" else []
    assert [each.code for each in found({"name": "p", **selectors, "limits": limits})] == slow
