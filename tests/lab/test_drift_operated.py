"""Drift where operators are at work: a healthy cluster has none, and what only the surroundings show is found."""

from __future__ import annotations

import json

import pytest
from operated import ATTACHMENTS, HCO, KUBEVIRT, PODS, Operated, condition, until
from support import Outcome

NETWORK = f"{ATTACHMENTS}/my-secondary-network"


def drift(operated: Operated, *more: str) -> tuple[int, list[str], Outcome]:
    outcome = operated.run("drift", "dev", "--engine", "direct", "--json", *more)
    codes = [finding["code"] for finding in outcome.findings]
    return outcome.code, codes, outcome


@pytest.fixture
def healthy(operated: Operated) -> Operated:
    operated.up("dev")
    return operated


def test_a_healthy_cluster_has_no_drift_and_everything_was_judged(healthy: Operated) -> None:
    code, codes, outcome = drift(healthy)
    assert (code, codes) == (0, []), outcome.out + outcome.err
    assert outcome.document["leftOut"] == []


def test_an_edit_of_kubevirt_that_the_operator_has_not_overwritten_is_found(healthy: Operated) -> None:
    healthy.dev.fault("operator-asleep")
    patch = {"spec": {"configuration": {"migrations": {"completionTimeoutPerGiB": 7}}}}
    healthy.dev.kube.merge(KUBEVIRT, patch, "kubectl-edit")
    code, codes, outcome = drift(healthy)
    assert (code, codes) == (7, ["settings-not-taken"]), outcome.out + outcome.err
    healthy.dev.heal()
    until(lambda: drift(healthy)[0] == 0, "the operator overwrites it")


def test_handlers_that_keep_an_edited_network_are_left_by_a_repair_and_gone_when_they_are_new(
    healthy: Operated,
) -> None:
    kube = healthy.dev.kube
    live = json.loads(kube.call("GET", NETWORK)["spec"]["config"])
    newest = max(pod["metadata"]["creationTimestamp"] for pod in kube.call("GET", PODS)["items"])

    def edited() -> bool:
        kube.merge(NETWORK, {"spec": {"config": json.dumps(live | {"mtu": 1500})}}, "kubectl-edit")
        kube.merge(NETWORK, {"spec": {"config": json.dumps(live | {"mtu": 1400})}}, "kubectl-edit")
        fields = kube.call("GET", NETWORK)["metadata"]["managedFields"]
        return max(entry["time"] for entry in fields) > newest

    until(edited, "a second has passed")
    assert drift(healthy)[:2] == (7, ["field-changed", *["pods-keep-old-network"] * 2])
    code, codes, outcome = drift(healthy, "--fix", "--yes")
    assert (code, codes) == (7, ["pods-keep-old-network"] * 2), outcome.out + outcome.err
    old = {pod["metadata"]["name"] for pod in kube.call("GET", PODS)["items"]}
    for name in old:
        kube.call("DELETE", f"{PODS}/{name}", params={"gracePeriodSeconds": "0"})
    until(lambda: drift(healthy)[0] == 0, "new pods read the network anew")


def test_a_network_that_was_pointed_elsewhere_is_put_back(healthy: Operated) -> None:
    healthy.dev.kube.merge(HCO, {"spec": {"liveMigrationConfig": {"network": None}}}, "Mozilla")
    code, codes, outcome = drift(healthy)
    assert code == 7
    assert "network-elsewhere" in codes, outcome.out + outcome.err
    drift(healthy, "--fix", "--yes")
    until(lambda: healthy.dev.settled("my-secondary-network"), "the operators have followed")
    assert drift(healthy)[:2] == (0, [])


def test_a_rollout_that_is_under_way_is_no_drift(operated: Operated) -> None:
    operated.dev.fault("handler-held")
    outcome = operated.run("up", "dev", "--yes", "--engine", "direct")
    assert outcome.code == 0, outcome.out + outcome.err
    until(lambda: condition(operated.dev.get(HCO), "Progressing") == "True")
    assert condition(operated.dev.get(HCO), "Available") == "False"
    assert drift(operated)[:2] == (0, [])
