"""Each way in which a cluster leaves what is declared, against a real API server: the one finding that comes out."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from drift_traps import (
    Trap,
    changed,
    co_owned,
    config,
    elsewhere,
    labelled,
    left_over,
    missing,
    recreated,
    recreated_without_labels,
    relabelled,
    removed,
    status,
    taken,
)
from nmstate_operator import POLICIES, NmstateOperator
from support import Outcome, Site, Workspace

LIMITS = "spec.liveMigrationConfig"
KUBEVIRTS = "/apis/kubevirt.io/v1/namespaces/{}/kubevirts"


def codes(outcome: Outcome) -> list[str]:
    return [finding["code"] for finding in outcome.findings]


def finding(outcome: Outcome) -> str:
    (one,) = outcome.findings
    return str(one["message"])


@pytest.fixture
def applied(workspace: Workspace) -> Workspace:
    outcome = workspace.mignet("up", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err
    return workspace


def kubevirt(site: Site, **migrations: object) -> None:
    """Make KubeVirt's object as the operator leaves it, and then somebody edits it."""
    path = KUBEVIRTS.format(site.namespace)
    wanted = site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]
    metadata = {"name": "kubevirt-kubevirt-hyperconverged", "namespace": site.namespace}
    made = {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": metadata}
    made["spec"] = {"configuration": {"migrations": wanted}}
    if site.kube.call("POST", path, json=made, params={"fieldManager": "hyperconverged-cluster-operator"}) is None:
        pytest.skip("the lab serves no KubeVirt")
    patch = {"spec": {"configuration": {"migrations": migrations}}}
    site.kube.merge(f"{path}/{metadata['name']}", patch, "kubectl-edit")


def edited_kubevirt(site: Site) -> None:
    kubevirt(site, completionTimeoutPerGiB=7)


def degraded(site: Site) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Degraded", "status": "True", "reason": "Broken", "message": "virt-operator is not available"}
    generation = site.live()["hyperconverged"]["metadata"]["generation"]
    status(site, observedGeneration=generation, conditions=[condition | {"lastTransitionTime": now}])


def behind(site: Site) -> None:
    generation = site.live()["hyperconverged"]["metadata"]["generation"]
    status(site, observedGeneration=generation - 1, conditions=[])


@pytest.mark.parametrize(
    ("trap", "code", "sentence", "left"),
    [
        (
            changed,
            "field-changed",
            f"{LIMITS}.completionTimeoutPerGiB is 99, not 800: set by kubectl-edit (Update)",
            [],
        ),
        (removed, "field-changed", "spec.config is not set, not ", []),
        (
            taken,
            "field-taken",
            f"{LIMITS}.completionTimeoutPerGiB is 800 as declared, and no longer ours: set by ku",
            [],
        ),
        (elsewhere, "network-elsewhere", "names network other, not migration: set by Mozilla (Update) at 2", []),
        (missing, "object-missing", "is declared and does not exist", []),
        (left_over, "object-left-over", "migration-old is ours and no longer declared", []),
        (co_owned, "field-co-owned", f"{LIMITS}.completionTimeoutPerGiB: declared by argocd-controller (Apply)", None),
        (
            edited_kubevirt,
            "settings-not-taken",
            "completionTimeoutPerGiB is 7, not 800, set by kubectl-edit (Update) at 2",
            None,
        ),
        (degraded, "operator-degraded", "(virt-operator is not available)", None),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_each_trap_is_one_finding_and_what_is_ours_is_repaired(
    applied: Workspace, trap: Trap, code: str, sentence: str, left: list[str] | None
) -> None:
    trap(applied.site)
    before = applied.site.content()
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, [code]), seen.out + seen.err
    assert sentence in finding(seen)
    assert applied.site.content() == before, "a look changes nothing"
    fixed = applied.mignet("drift", "direct", "--fix", "--yes")
    expected = [code] if left is None else left
    assert (fixed.code, codes(fixed)) == (7 if expected else 0, expected), fixed.out + fixed.err


@pytest.mark.parametrize("trap", [recreated, recreated_without_labels])
def test_an_object_made_anew_by_hand_is_one_finding_and_is_taken_over_with_consent_only(
    applied: Workspace, trap: Trap
) -> None:
    trap(applied.site)
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["object-recreated"]), seen.out + seen.err
    assert "was made by kubectl-create (Update) at 2" in finding(seen)
    refused = applied.mignet("drift", "direct", "--fix", "--yes")
    assert refused.code == 1
    assert "exists and was made by somebody else (field manager kubectl-create)" in refused.reports[0]["error"]
    applied.config["attachment"]["adopt"] = True
    applied.write()
    assert applied.mignet("drift", "direct", "--fix", "--yes").code == 0


def test_an_object_that_names_another_stack_is_one_finding_and_stays(applied: Workspace) -> None:
    relabelled(applied.site)
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["object-relabelled"]), seen.out + seen.err
    assert "belongs to stack prod-2: set by kubectl-label (Update) at 2" in finding(seen)
    assert applied.mignet("drift", "direct", "--fix", "--yes").code == 1
    back = {"metadata": {"labels": {"app.kubernetes.io/instance": applied.stack}}}
    applied.site.kube.merge(f"{applied.site.attachments}/migration", back, "kubectl-label")
    assert "object-relabelled" not in codes(applied.mignet("drift", "direct"))


def test_what_others_add_to_our_object_is_information_and_no_drift(applied: Workspace) -> None:
    labelled(applied.site)
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (0, ["foreign-metadata"]), seen.out + seen.err
    assert "carries metadata.annotations.example.com/note, metadata.labels.team: set by Mozilla" in finding(seen)


def test_a_field_that_the_other_one_no_longer_applies_is_ours_alone(applied: Workspace) -> None:
    co_owned(applied.site)
    assert codes(applied.mignet("drift", "direct")) == ["field-co-owned"]
    co_owned(applied.site, spec={})
    assert applied.mignet("drift", "direct").code == 0


def test_an_operator_that_had_no_time_yet_to_look_is_no_drift(applied: Workspace) -> None:
    behind(applied.site)
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (0, []), seen.out + seen.err


def test_a_stack_file_that_was_edited_is_told_from_a_cluster_that_was(applied: Workspace) -> None:
    applied.config["hyperConverged"]["liveMigration"]["completionTimeoutPerGiB"] = 600
    applied.write()
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["not-applied"]), seen.out + seen.err
    assert "completionTimeoutPerGiB is 800, not 600: nobody touched it since it was applied at 2" in finding(seen)
    assert applied.mignet("drift", "direct", "--fix", "--yes").code == 0


@pytest.fixture
def handler(applied: Workspace) -> Iterator[dict[str, Any]]:
    """A virt-handler pod that is attached to the network, older by a second than what comes next."""
    site = applied.site
    pods = f"/api/v1/namespaces/{site.namespace}/pods"
    metadata = {
        "name": "virt-handler-abcde",
        "labels": {"kubevirt.io": "virt-handler"},
        "annotations": {"k8s.v1.cni.cncf.io/networks": "migration@migration0"},
    }
    containers = [{"name": "virt-handler", "image": "virt-handler"}]
    spec = {"nodeName": "dev-worker-0", "containers": containers}
    pod = site.kube.call("POST", pods, json={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
    while time.time() < made + 1:
        time.sleep(0.05)
    path = f"{pods}/virt-handler-abcde"
    yield {"path": path}
    site.kube.call("DELETE", path, params={"gracePeriodSeconds": "0"})


def test_handlers_that_keep_an_edited_network_are_what_a_repair_leaves(
    applied: Workspace, handler: dict[str, Any]
) -> None:
    site = applied.site
    assert applied.mignet("drift", "direct").code == 0
    config(site, mtu=1500)
    seen = applied.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["field-changed", "pods-keep-old-network"]), seen.out + seen.err
    left = applied.mignet("drift", "direct", "--fix", "--yes")
    assert (left.code, codes(left)) == (7, ["pods-keep-old-network"]), left.out + left.err
    assert "has 1 pod from before migration last changed (by migration-network (Apply) at 2" in finding(left)
    assert "do oc -n " in finding(left)
    assert " delete $pod; oc -n " in finding(left)
    site.kube.call("DELETE", handler["path"], params={"gracePeriodSeconds": "0"})
    assert applied.mignet("drift", "direct").code == 0


@pytest.fixture
def with_uplink(workspace: Workspace) -> Iterator[tuple[Workspace, str]]:
    workspace.config["attachment"]["master"] = "eth1.2001"
    workspace.config["uplink"] = {"vlan": {"baseInterface": "eth1"}}
    workspace.write()
    with NmstateOperator(workspace.site.kube, workspace.stack) as operator:
        outcome = workspace.mignet("up", "direct", "--skip-preflight")
        assert outcome.code == 0, outcome.out + outcome.err
        (policy,) = operator.policies()
    yield workspace, f"{POLICIES}/{policy['metadata']['name']}"
    workspace.site.kube.call("DELETE", f"{POLICIES}/{policy['metadata']['name']}")


def test_an_item_that_somebody_appended_to_a_list_is_seen(with_uplink: tuple[Workspace, str]) -> None:
    workspace, path = with_uplink
    kube = workspace.site.kube
    interfaces = kube.call("GET", path)["spec"]["desiredState"]["interfaces"]
    more = {"name": "eth9", "type": "ethernet", "state": "up"}
    kube.merge(path, {"spec": {"desiredState": {"interfaces": [*interfaces, more]}}}, "kubectl-edit")
    seen = workspace.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["list-extended"]), seen.out + seen.err
    assert '"eth9"' in finding(seen)
    assert "beyond what is declared: set by kubectl-edit (Update) at 2" in finding(seen)


def test_an_up_takes_away_what_somebody_appended_to_a_list(with_uplink: tuple[Workspace, str], engine: str) -> None:
    workspace, path = with_uplink
    kube = workspace.site.kube
    interfaces = kube.call("GET", path)["spec"]["desiredState"]["interfaces"]
    more = {"name": "eth9", "type": "ethernet", "state": "up"}
    with NmstateOperator(kube, workspace.stack):
        assert workspace.mignet("up", engine).code == 0
        kube.merge(path, {"spec": {"desiredState": {"interfaces": [*interfaces, more]}}}, "kubectl-edit")
        assert workspace.mignet("preview", engine, "--expect-no-changes").code == 7
        fixed = workspace.mignet("up", engine)
    assert fixed.code == 0, fixed.out + fixed.err
    assert kube.call("GET", path)["spec"]["desiredState"]["interfaces"] == interfaces
    assert workspace.mignet("preview", engine, "--expect-no-changes").code == 0


@pytest.mark.pulumi
def test_plain_pulumi_says_what_it_leaves_of_an_appended_item_and_who_takes_it_away(
    with_uplink: tuple[Workspace, str],
) -> None:
    workspace, path = with_uplink
    kube = workspace.site.kube
    interfaces = kube.call("GET", path)["spec"]["desiredState"]["interfaces"]
    more = {"name": "eth9", "type": "ethernet", "state": "up"}
    with NmstateOperator(kube, workspace.stack):
        assert workspace.mignet("up", "pulumi").code == 0
        kube.merge(path, {"spec": {"desiredState": {"interfaces": [*interfaces, more]}}}, "kubectl-edit")
        done = workspace.run("pulumi", "up", "--yes", "--skip-preview", "--stack", workspace.stack, "--non-interactive")
    text = " ".join((done.out + done.err).split())
    assert done.code == 0, text
    assert "beyond what is declared: pulumi up leaves it there, and mignet up takes it away" in text
    assert kube.call("GET", path)["spec"]["desiredState"]["interfaces"] == [*interfaces, more]


def test_a_field_that_somebody_added_beside_the_declared_ones_is_seen(with_uplink: tuple[Workspace, str]) -> None:
    workspace, path = with_uplink
    dns = {"config": {"server": ["192.0.2.1"]}}
    workspace.site.kube.merge(path, {"spec": {"desiredState": {"dns-resolver": dns}}}, "kubectl-edit")
    seen = workspace.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["object-extended"]), seen.out + seen.err
    assert "spec.desiredState.dns-resolver.config.server is" in finding(seen)
    workspace.site.kube.merge(path, {"spec": {"desiredState": {"dns-resolver": None}}}, "kubectl-edit")
    assert workspace.mignet("drift", "direct").code == 0


def test_a_policy_that_nodes_refused_is_seen(with_uplink: tuple[Workspace, str]) -> None:
    workspace, path = with_uplink
    condition = {"type": "Degraded", "status": "True", "reason": "FailedToConfigure", "message": "1/4 nodes failed"}
    headers = {"content-type": "application/merge-patch+json"}
    conditions = {"status": {"conditions": [condition]}}
    workspace.site.kube.call("PATCH", f"{path}/status", json=conditions, headers=headers)
    seen = workspace.mignet("drift", "direct")
    assert (seen.code, codes(seen)) == (7, ["policy-degraded"]), seen.out + seen.err
    assert "1/4 nodes failed" in finding(seen)


def test_a_dead_cluster_is_one_finding_and_the_others_are_shown(applied: Workspace) -> None:
    dead = copy.deepcopy(applied.config)
    kubeconfig = json.loads(applied.site.kubeconfig.read_text())
    for cluster in kubeconfig["clusters"]:
        cluster["cluster"]["server"] = "https://127.0.0.1:9"
    (applied.folder / "dead").write_text(json.dumps(kubeconfig))
    dead["cluster"]["kubeconfig"] = "dead"
    stack_file = applied.folder / f"Pulumi.{applied.stack}.yaml"
    stack_file.with_name("Pulumi.dead.yaml").write_text(
        json.dumps({"config": {f"migration-network:{key}": value for key, value in dead.items()}})
    )
    changed(applied.site)
    seen = applied.run("mignet", "drift", applied.stack, "dead", "--engine", "direct", "--json")
    assert seen.code == 1
    here, there = seen.reports
    assert (here["drifted"], there["drifted"]) == (True, False)
    assert [each["code"] for each in seen.findings] == ["field-changed", "cluster-unreachable"]
    assert "is unreachable" in there["error"]


def test_who_changed_it_and_when_is_in_every_form(applied: Workspace) -> None:
    changed(applied.site)
    live = applied.site.live()["hyperconverged"]["metadata"]["managedFields"]
    at = next(entry["time"] for entry in live if entry["manager"] == "kubectl-edit")
    (change,) = [each for one in applied.mignet("drift", "direct").reports[0]["changes"] for each in one["fields"]]
    assert change["by"] == {
        "manager": "kubectl-edit",
        "operation": "Update",
        "time": at,
        "subresource": "",
        "owns": True,
    }
    for form in ("table", "json", "sarif", "github", "markdown"):
        shown = applied.run("mignet", "drift", applied.stack, "--engine", "direct", "-o", form)
        assert shown.code == 7
        assert "kubectl-edit" in shown.out
        assert at in shown.out.replace("%3A", ":")
        if form == "json":
            assert shown.document == applied.mignet("drift", "direct").document, "--json is the same"
    table = applied.run("mignet", "drift", applied.stack, "--engine", "direct", "--verbose").out
    assert f"completionTimeoutPerGiB: 99 → 800   set by kubectl-edit (Update) at {at}" in table
    assert "the direct engine keeps no state" in table
