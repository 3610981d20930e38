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


DATABASES = {
    "name": "databases",
    "virtualMachineInstanceSelector": {"app": "a"},
    "limits": {"completionTimeoutPerGiB": 600, "allowPostCopy": True},
}


def declare(one: Operated, *policies: dict[str, Any]) -> None:
    one.change("dev", migrationPolicies=list(policies))
    outcome = one.run("up", "dev", "--yes", "--engine", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err


def said(outcome: Outcome, code: str) -> list[tuple[str, str]]:
    return [(each["severity"], each["message"]) for each in outcome.findings if each["code"] == code]


def test_a_policy_of_this_stack_is_named_so_and_what_it_overrides_is_meant(fleet: Operated) -> None:
    declare(fleet, DATABASES)
    outcome = limits(fleet)
    a, b = of(outcome, "default/a"), of(outcome, "default/b")
    assert a["completionTimeoutPerGiB"] == (600, "MigrationPolicy databases of this stack")
    assert a["allowWorkloadDisruption"] == (True, "MigrationPolicy databases of this stack")
    assert b["completionTimeoutPerGiB"] == (800, "this stack")
    assert outcome.findings == []
    # Somebody else's are told of all the same.
    policy(fleet, "another", {"app": "b"}, completionTimeoutPerGiB=300)
    ((severity, message),) = said(limits(fleet), "limit-overridden")
    assert severity == "info"
    assert "800 is 300 (MigrationPolicy another) for 1 of 4 virtual machines: default/b." in message


def test_a_declared_policy_that_limits_nobody_is_a_warning(fleet: Operated) -> None:
    nobody = DATABASES | {"virtualMachineInstanceSelector": {"app": "none"}}
    fleet.change("dev", migrationPolicies=[nobody])
    ((severity, message),) = said(limits(fleet), "migration-policy-idle")
    assert severity == "warning"
    assert message.startswith(
        "dev: migrationPolicies[0] databases is not on the cluster as this stack's, so that no virtual machine gets"
        " completionTimeoutPerGiB 600, allowPostCopy true."
    )
    declare(fleet, nobody)
    ((severity, message),) = said(limits(fleet), "migration-policy-idle")
    assert severity == "warning"
    assert "databases applies to no virtual machine that runs, so that none gets completionTimeoutPerGiB 600" in message
    declare(fleet, DATABASES)
    assert limits(fleet).findings == []


def test_a_declared_limit_that_the_live_policy_does_not_have_reaches_nobody(fleet: Operated) -> None:
    declare(fleet, DATABASES)
    fleet.dev.kube.merge(f"{POLICIES}/databases", {"spec": {"completionTimeoutPerGiB": 700}}, "kubectl-edit")
    outcome = limits(fleet)
    ((severity, message),) = said(outcome, "limit-without-effect")
    assert severity == "warning"
    assert message.startswith(
        "dev: migrationPolicies[0].limits.completionTimeoutPerGiB 600 reaches no virtual machine that runs: they get"
        " 700 (MigrationPolicy databases of this stack)."
    )
    assert codes(outcome) == {"limit-without-effect"}


def test_the_report_shows_who_gets_what(fleet: Operated) -> None:
    declare(fleet, DATABASES)
    outcome = fleet.run("report", "dev", "-o", "json", "--allow-not-judged")
    assert outcome.code == 0, outcome.err
    shown = outcome.document["limits"]
    assert [(each["policy"], each["machines"]) for each in shown if each["policy"]] == [("databases", ["default/a"])]
    assert shown == limits(fleet).document["limits"]
    text = fleet.run("report", "dev", "-o", "markdown", "--allow-not-judged").out
    assert " | 1 virtual machine: default/a |" in text
    assert "| completionTimeoutPerGiB | 800 (this stack) | 600 (MigrationPolicy databases of this stack) |" in text
