"""Controllers that write back what a stack declares, too: who is one, of which fields, and the way out there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from preflight_traps import stack

from config.finding import Finding
from mignet.kube.hyperconverged_versions import limits_path
from mignet.kube.kinds import HYPERCONVERGED_V1BETA1, NETWORK_ATTACHMENT
from mignet.kube.kubevirt.field_writers import written_back

STACK = stack({"hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 800}}})
API = HYPERCONVERGED_V1BETA1.api_version
LIMIT = "/spec/liveMigrationConfig/completionTimeoutPerGiB"


def fields(path: str, *leaves: str) -> dict[str, Any]:
    inner: dict[str, Any] = {f"f:{leaf}": {} for leaf in leaves}
    for key in reversed(path.split(".")):
        inner = {f"f:{key}": inner}
    return inner


def hyperconverged(
    manager: str, operation: str = "Apply", *, api: str = API, leaf: str = "completionTimeoutPerGiB", **annotations: str
) -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "apiVersion": api, "time": "2026-01-02T03:04:05Z"}
    owned = fields(limits_path(api), leaf)
    return {
        "apiVersion": API,
        "kind": "HyperConverged",
        "metadata": {
            "name": "kubevirt-hyperconverged",
            "namespace": "openshift-cnv",
            "annotations": annotations,
            "managedFields": [entry | {"fieldsV1": owned}],
        },
    }


def only(live: dict[str, Any]) -> Finding:
    (finding,) = written_back(STACK, live)
    assert (finding.code, finding.severity) == ("field-written-back", "warning")
    return finding


REMEDIES = {
    "virt-platform-autopilot": (
        f"Annotate the object with platform.kubevirt.io/ignore-fields: {LIMIT}, or with platform.kubevirt.io/mode:"
        " unmanaged"
    ),
    "argocd-controller": "RespectIgnoreDifferences=true",
    "config-policy-controller": "set its remediationAction to inform",
    "work-agent": "serverSideApply.ignoreFields",
    "kustomize-controller": "kustomize.toolkit.fluxcd.io/reconcile: disabled",
    "helm-controller": "driftDetection.ignore",
    "fleetagent": "diff.comparePatches",
    "somebodys-operator": "Take them out of what somebodys-operator applies, or out of the stack file",
}


@pytest.mark.parametrize("manager", REMEDIES)
def test_a_controller_that_applies_a_declared_field_is_named_with_its_own_way_out(manager: str) -> None:
    """Among them the case golden-config-controller."""
    finding = only(hyperconverged(manager))
    assert "has spec.liveMigrationConfig.completionTimeoutPerGiB from " in finding.rule
    assert manager in finding.rule
    assert "writes its own values back" in finding.rule
    assert REMEDIES[manager] in finding.remedy
    assert LIMIT in finding.remedy or manager == "somebodys-operator"


@pytest.mark.parametrize("manager", REMEDIES)
def test_one_that_owns_no_field_of_ours_is_no_matter(manager: str) -> None:
    assert list(written_back(STACK, hyperconverged(manager, leaf="progressTimeout"))) == []


def test_an_entry_of_the_other_version_counts() -> None:
    only(hyperconverged("argocd-controller", api="hco.kubevirt.io/v1"))


@pytest.mark.parametrize("manager", ["kubectl", "kubectl-edit", "oc", "Mozilla", "migration-network"])
def test_what_people_write_does_not_come_back(manager: str) -> None:
    for operation in ("Apply", "Update"):
        assert list(written_back(STACK, hyperconverged(manager, operation))) == []


def test_an_update_of_an_operator_is_no_declaration() -> None:
    assert list(written_back(STACK, hyperconverged("hyperconverged-cluster-operator", "Update"))) == []


@pytest.mark.parametrize(("declares", "found"), [(True, 1), (False, 0)])
def test_a_client_side_apply_counts_for_what_it_declares(*, declares: bool, found: int) -> None:
    """Who creates the object owns its defaults, too, and would not write those back."""
    spec = {"liveMigrationConfig": {"completionTimeoutPerGiB": 150}} if declares else {}
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})}
    live = hyperconverged("argocd-controller", "Update", **annotation)
    assert len(list(written_back(STACK, live))) == found


def test_a_policy_that_updates_is_told_with_the_doubt() -> None:
    finding = only(hyperconverged("config-policy-controller", "Update"))
    assert finding.rule.endswith("writes its own values back where it declares them")


@pytest.mark.parametrize(
    ("manager", "annotations", "found"),
    [
        ("virt-platform-autopilot", {"platform.kubevirt.io/mode": "unmanaged"}, 0),
        ("virt-platform-autopilot", {"platform.kubevirt.io/ignore-fields": f"/spec/infra, {LIMIT}"}, 0),
        ("virt-platform-autopilot", {"platform.kubevirt.io/ignore-fields": "/spec/liveMigrationConfig"}, 0),
        ("virt-platform-autopilot", {"platform.kubevirt.io/ignore-fields": f"{LIMIT}s,/spec/live"}, 1),
        ("kustomize-controller", {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}, 0),
        ("kustomize-controller", {"kustomize.toolkit.fluxcd.io/ssa": "Ignore"}, 0),
        ("kustomize-controller", {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}, 1),
        ("argocd-controller", {"platform.kubevirt.io/mode": "unmanaged"}, 1),
    ],
)
def test_one_that_was_told_to_leave_it_alone_is_no_matter(
    manager: str, annotations: dict[str, str], found: int
) -> None:
    assert len(list(written_back(STACK, hyperconverged(manager, **annotations)))) == found


def test_the_attachment_and_its_labels_count_as_well() -> None:
    label = "app.kubernetes.io/instance"
    owned = fields("spec", "config") | {"f:metadata": {"f:labels": {f"f:{label}": {}, "f:team": {}}}}
    entry = {"manager": "argocd-controller", "operation": "Apply", "apiVersion": "k8s.cni.cncf.io/v1"}
    live = {
        "apiVersion": NETWORK_ATTACHMENT.api_version,
        "kind": NETWORK_ATTACHMENT.kind,
        "metadata": {"name": "migration", "namespace": "openshift-cnv", "managedFields": [entry | {"fieldsV1": owned}]},
    }
    finding = only(live)
    assert f"has metadata.labels.{label}, spec.config from Argo CD" in finding.rule
    assert "/metadata/labels/app.kubernetes.io~1instance,/spec/config" in finding.remedy


def test_an_owner_of_an_empty_parent_owns_no_field() -> None:
    live = hyperconverged("argocd-controller")
    live["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": {"f:liveMigrationConfig": {}}}
    assert list(written_back(STACK, live)) == []
