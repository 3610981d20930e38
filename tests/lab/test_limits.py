"""mignet limits on the lab: MigrationPolicies have the last word, and what reaches no virtual machine is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from operated import HCO, VMS, Operated, until
from support import Outcome

POLICIES = "/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies"


@pytest.fixture
def fleet(operated: Operated) -> Iterator[Operated]:
    """The cluster dev with its network, and three virtual machines of another label each."""
    outcome = operated.run("up", "dev", "--yes", "--engine", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.err
    for name in ("a", "b", "c"):
        metadata = {"name": name, "labels": {"app": name, "tier": "db"}}
        body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": metadata}
        operated.dev.kube.call("POST", VMS, json=body | {"spec": {"domain": {"devices": {}}}})
    until(lambda: all(operated.dev.get(f"{VMS}/{name}").get("status", {}).get("phase") == "Running" for name in "abc"))
    try:
        yield operated
    finally:
        for each in operated.dev.kube.call("GET", POLICIES)["items"]:
            operated.dev.kube.call("DELETE", f"{POLICIES}/{each['metadata']['name']}")
        for name in ("a", "b", "c"):
            operated.dev.kube.call("DELETE", f"{VMS}/{name}")


def policy(one: Operated, name: str, selector: dict[str, str], **settings: Any) -> None:
    spec = {"selectors": {"virtualMachineInstanceSelector": selector}} | settings
    body = {"apiVersion": "migrations.kubevirt.io/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": name}}
    one.dev.kube.call("POST", POLICIES, json=body | {"spec": spec})


def limits(one: Operated, *more: str) -> Outcome:
    return one.run("limits", "dev", "--json", *more)


def of(outcome: Outcome, machine: str) -> dict[str, tuple[Any, str]]:
    (group,) = [each for each in outcome.document["limits"] if machine in each["machines"]]
    return {each["key"]: (each["value"], each["source"]) for each in group["values"]}


def codes(outcome: Outcome) -> set[str]:
    return {each["code"] for each in outcome.findings}


def test_each_value_says_where_it_comes_from(fleet: Operated) -> None:
    found = of(limits(fleet), "default/a")
    assert found["completionTimeoutPerGiB"] == (800, "this stack")
    assert found["network"] == ("my-secondary-network", "this stack")
    assert found["bandwidthPerMigration"] == ("0Mi", "default of KubeVirt")
    fleet.dev.kube.merge(HCO, {"spec": {"liveMigrationConfig": {"bandwidthPerMigration": "1Gi"}}}, "kubectl-edit")

    def copied() -> bool:
        return of(limits(fleet), "default/a")["bandwidthPerMigration"] == ("1Gi", "HyperConverged, set by kubectl-edit")

    until(copied)


def test_the_closest_policy_wins_and_the_others_keep_what_the_stack_says(fleet: Operated) -> None:
    policy(fleet, "databases", {"tier": "db"}, completionTimeoutPerGiB=20, bandwidthPerMigration="32Mi")
    policy(fleet, "one", {"tier": "db", "app": "a"}, allowPostCopy=True)
    policy(fleet, "nobody", {"app": "none"}, allowAutoConverge=True)
    outcome = limits(fleet)
    assert outcome.code == 0, outcome.err
    a, b = of(outcome, "default/a"), of(outcome, "default/b")
    assert a["completionTimeoutPerGiB"] == (800, "this stack")
    assert a["allowPostCopy"] == (True, "MigrationPolicy one")
    assert a["allowWorkloadDisruption"] == (True, "MigrationPolicy one")
    assert b["completionTimeoutPerGiB"] == (20, "MigrationPolicy databases")
    assert codes(outcome) == {"limit-overridden", "limit-too-slow", "migration-policy-idle"}
    (only,) = limits(fleet, "--vm", "default/b").document["limits"]
    assert only["machines"] == ["default/b"]
    table = fleet.run("limits", "dev").out
    assert "dev: 2 virtual machines: default/b, default/c" in table
    assert "completionTimeoutPerGiB            20 " in table
    for each in ("databases", "nobody"):
        fleet.dev.kube.call("DELETE", f"{POLICIES}/{each}")
    assert codes(limits(fleet)) == set()


def test_a_value_that_reaches_nobody_and_a_tie_are_warnings(fleet: Operated) -> None:
    policy(fleet, "all", {}, completionTimeoutPerGiB=300)
    policy(fleet, "same", {}, completionTimeoutPerGiB=400)
    outcome = limits(fleet)
    assert codes(outcome) == {"limit-without-effect", "migration-policy-tied", "migration-policy-idle"}
    (said,) = [each for each in outcome.findings if each["code"] == "limit-without-effect"]
    assert said["message"].startswith(
        "dev: hyperConverged.liveMigration.completionTimeoutPerGiB 800 reaches no virtual machine that runs: they get"
        " 300 (MigrationPolicy all)"
    )
    fleet.dev.kube.call("DELETE", f"{POLICIES}/all")
    fleet.dev.kube.call("DELETE", f"{POLICIES}/same")
    assert codes(limits(fleet)) == set()


def test_a_machine_that_does_not_run_is_said(fleet: Operated) -> None:
    outcome = fleet.run("limits", "dev", "--vm", "default/gone")
    assert outcome.code == 1
    assert "--vm default/gone does not run on this cluster" in outcome.out
    assert fleet.run("limits", "dev", "--vm", "gone").code == 2
    assert fleet.run("limits", "--all", "--vm", "default/a").code == 2
