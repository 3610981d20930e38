"""Pulumi's own view of drift beside ours, and in words where it sees less, with the real CLI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nmstate_operator import POLICIES, NmstateOperator
from support import Outcome, Site, Workspace

pytestmark = pytest.mark.pulumi
LIMIT = "spec.liveMigrationConfig.completionTimeoutPerGiB"


@pytest.fixture
def applied(workspace: Workspace) -> Workspace:
    outcome = workspace.mignet("up", "pulumi", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err
    return workspace


def drift(workspace: Workspace, code: int) -> dict[str, Any]:
    outcome: Outcome = workspace.mignet("drift", "pulumi")
    assert outcome.code == code, outcome.out + outcome.err
    return outcome.reports[0] | {"findings": outcome.findings}


def operations(changes: list[dict[str, Any]]) -> dict[str, str]:
    return {change["kind"]: change["operation"] for change in changes}


def limit(site: Site, value: int) -> None:
    site.kube.merge(
        site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": value}}}, "kubectl-edit"
    )


def test_both_views_are_shown_and_agree_on_a_field_that_was_changed(applied: Workspace) -> None:
    quiet = drift(applied, 0)
    assert operations(quiet["pulumi"]["changes"]) == operations(quiet["changes"])
    assert (quiet["findings"], quiet["apart"]) == ([], [])
    limit(applied.site, 99)
    seen = drift(applied, 7)
    (theirs,) = [each for each in seen["pulumi"]["changes"] if each["operation"] != "same"]
    assert [each["path"] for each in theirs["fields"]] == [LIMIT]
    assert [each["code"] for each in seen["findings"]] == ["field-changed"]
    assert seen["apart"] == []
    table = applied.run("mignet", "drift", applied.stack, "--engine", "pulumi")
    assert f"{LIMIT.rpartition('.')[2]}: 99 → 800   set by kubectl-edit (Update) at 2" in table.out
    assert f"Pulumi would update HyperConverged {applied.site.namespace}/kubevirt-hyperconverged ({LIMIT})" in table.out
    fixed = applied.mignet("drift", "pulumi", "--fix", "--yes")
    assert fixed.code == 0, fixed.out + fixed.err


def taken(site: Site) -> None:
    limit(site, 99)
    limit(site, 800)


def left_over(site: Site) -> None:
    live = site.live()["attachments"]["migration"]
    metadata = {"name": "migration-old", "namespace": site.namespace, "labels": live["metadata"]["labels"]}
    attachment = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": live["spec"]}
    site.kube.call(
        "PATCH",
        f"{site.attachments}/migration-old",
        content=json.dumps(attachment),
        headers={"content-type": "application/apply-patch+yaml"},
        params={"fieldManager": "migration-network"},
    )


def degraded(site: Site) -> None:
    generation = site.live()["hyperconverged"]["metadata"]["generation"]
    condition = {"type": "Degraded", "status": "True", "reason": "Broken", "message": "no virt-operator"}
    patch = {"status": {"observedGeneration": generation, "conditions": [condition]}}
    headers = {"content-type": "application/merge-patch+json"}
    condition["lastTransitionTime"] = "2026-01-02T03:04:05Z"
    site.kube.call("PATCH", f"{site.hyperconverged}/status", json=patch, headers=headers)


@pytest.mark.parametrize(
    ("trap", "code", "missed"),
    [
        (taken, "field-taken", f"{LIMIT} of HyperConverged"),
        (left_over, "object-left-over", "left over; it is not in Pulumi's state"),
        (degraded, "operator-degraded", "it compares no status"),
    ],
)
def test_what_pulumi_misses_is_said_in_words(
    applied: Workspace, trap: Callable[[Site], None], code: str, missed: str
) -> None:
    trap(applied.site)
    seen = drift(applied, 7)
    assert [each["code"] for each in seen["findings"]] == [code]
    assert set(operations(seen["pulumi"]["changes"]).values()) == {"same"}, seen["pulumi"]
    (sentence,) = seen["apart"]
    assert sentence.startswith("Pulumi misses this: ")
    assert missed in sentence


def test_an_object_made_anew_stops_pulumi_and_is_drift_all_the_same(applied: Workspace) -> None:
    site = applied.site
    live = site.live()["attachments"]["migration"]
    site.kube.call("DELETE", f"{site.attachments}/migration")
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    again = {key: live[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata}
    site.kube.call("POST", site.attachments, json=again, params={"fieldManager": "kubectl-create"})
    seen = drift(applied, 7)
    assert [each["code"] for each in seen["findings"]] == ["object-recreated"]
    assert "made by somebody else" in seen["pulumi"]["error"]
    assert seen["apart"][0].startswith("Pulumi stops, and says nothing of what else differs: ")


def test_what_only_pulumi_would_do_is_said_too(workspace: Workspace) -> None:
    """The direct engine has made the objects; Pulumi's state knows nothing of them."""
    assert workspace.mignet("up", "direct", "--skip-preflight").code == 0
    seen = drift(workspace, 7)
    assert set(operations(seen["changes"]).values()) == {"same"}
    assert [each["operation"] for each in seen["pulumi"]["changes"]] == ["create", "update"]
    assert len(seen["apart"]) == 2
    assert all("its state does not know the object" in sentence for sentence in seen["apart"])
    assert workspace.mignet("drift", "pulumi", "--fix", "--yes").code == 0


@pytest.fixture
def policy(workspace: Workspace) -> Iterator[str]:
    workspace.config["attachment"]["master"] = "eth1.2001"
    workspace.config["uplink"] = {"vlan": {"baseInterface": "eth1"}}
    workspace.write()
    with NmstateOperator(workspace.site.kube, workspace.stack) as operator:
        outcome = workspace.mignet("up", "pulumi", "--skip-preflight")
        assert outcome.code == 0, outcome.out + outcome.err
        (one,) = operator.policies()
    path = f"{POLICIES}/{one['metadata']['name']}"
    yield path
    workspace.site.kube.call("DELETE", path)


def test_pulumi_misses_an_item_that_was_appended_to_a_list(workspace: Workspace, policy: str) -> None:
    kube = workspace.site.kube
    interfaces = kube.call("GET", policy)["spec"]["desiredState"]["interfaces"]
    more = {"name": "eth9", "type": "ethernet", "state": "up"}
    kube.merge(policy, {"spec": {"desiredState": {"interfaces": [*interfaces, more]}}}, "kubectl-edit")
    seen = drift(workspace, 7)
    assert [each["code"] for each in seen["findings"]] == ["list-extended"]
    (sentence,) = seen["apart"]
    assert "items appended to a list, which it compares as far as its own go" in sentence
