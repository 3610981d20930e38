"""HyperConverged's two versions in the lab: one object, converted by a webhook, and every writer keeps its version."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from operated import until
from support import REAL_CRDS, Kube

from mignet.lab.lab import Lab
from mignet.lab.seeding.conversion import REFUSES
from mignet.lab.seeding.definitions import SLIM

NAME = "namespaces/openshift-cnv/hyperconvergeds/kubevirt-hyperconverged"
V1, V1BETA1 = f"/apis/hco.kubevirt.io/v1/{NAME}", f"/apis/hco.kubevirt.io/v1beta1/{NAME}"


@pytest.fixture(scope="module", params=["slim", "v1.18.1", "main"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    real = request.param != "slim"
    if real and not REAL_CRDS.is_dir():
        pytest.skip("no real CRDs in ../shared/crds")
    lab = Lab(
        tmp_path_factory.mktemp("lab") / "lab",
        clusters=("dev",),
        crds=REAL_CRDS if real else SLIM,
        hco_release=request.param if real else "v1.18.1",
        operators=False,
    )
    try:
        lab.up(lambda _: None)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def kube(lab: Lab) -> Kube:
    return Kube(lab.kubeconfig, "dev")


def apply(kube: Kube, path: str, spec: dict[str, Any], manager: str, **params: str) -> dict[str, Any]:
    version = path.split("/")[3]
    body = {"apiVersion": f"hco.kubevirt.io/{version}", "kind": "HyperConverged", "spec": spec}
    body["metadata"] = {"name": "kubevirt-hyperconverged"}
    found: dict[str, Any] = kube.call(
        "PATCH",
        path,
        json=body,
        headers={"content-type": "application/apply-patch+yaml"},
        params={"fieldManager": manager, **params},
    )
    return found


def test_what_is_written_through_one_version_is_read_through_the_other(kube: Kube) -> None:
    kube.merge(V1BETA1, {"spec": {"liveMigrationConfig": {"network": "a", "progressTimeout": 99}}}, "test")
    limits = kube.call("GET", V1)["spec"]["virtualization"]["liveMigrationConfig"]
    assert (limits["network"], limits["progressTimeout"]) == ("a", 99)
    kube.merge(V1, {"spec": {"virtualization": {"liveMigrationConfig": {"network": "b"}}}}, "test")
    assert kube.call("GET", V1BETA1)["spec"]["liveMigrationConfig"]["network"] == "b"
    selector = {"nodeSelector": {"role": "infra"}}
    kube.merge(V1, {"spec": {"deployment": {"nodePlacements": {"infra": selector}}}}, "test")
    assert kube.call("GET", V1BETA1)["spec"]["infra"] == {"nodePlacement": selector}
    kube.merge(V1, {"spec": {"deployment": {"nodePlacements": None}}}, "test")


def test_gates_are_a_struct_in_one_version_and_a_list_of_exceptions_in_the_other(kube: Kube) -> None:
    gates = {"decentralizedLiveMigration": False, "downwardMetrics": True}
    kube.merge(V1BETA1, {"spec": {"featureGates": gates}}, "test")
    found = kube.call("GET", V1)["spec"]["featureGates"]
    assert sorted(found, key=lambda each: each["name"]) == [
        {"name": "decentralizedLiveMigration", "state": "Disabled"},
        {"name": "downwardMetrics", "state": "Enabled"},
    ]
    kube.merge(V1, {"spec": {"featureGates": [{"name": "alignCPUs", "state": "Enabled"}]}}, "test")
    struct = kube.call("GET", V1BETA1)["spec"]["featureGates"]
    assert {name: struct[name] for name in ("alignCPUs", *gates)} == {
        "alignCPUs": True,
        "decentralizedLiveMigration": True,
        "downwardMetrics": False,
    }
    kube.merge(V1, {"spec": {"featureGates": None}}, "test")
    assert kube.call("GET", V1BETA1)["spec"]["featureGates"]["alignCPUs"] is False


def test_each_writer_keeps_its_version_in_managed_fields_and_conflicts_across_them(kube: Kube) -> None:
    apply(kube, V1BETA1, {"liveMigrationConfig": {"completionTimeoutPerGiB": 700}}, "one", force="true")
    for path in (V1, V1BETA1):
        (entry,) = (entry for entry in kube.call("GET", path)["metadata"]["managedFields"] if entry["manager"] == "one")
        assert entry["apiVersion"] == "hco.kubevirt.io/v1beta1"
        assert entry["fieldsV1"] == {"f:spec": {"f:liveMigrationConfig": {"f:completionTimeoutPerGiB": {}}}}
    spec = {"virtualization": {"liveMigrationConfig": {"completionTimeoutPerGiB": 800}}}
    with pytest.raises(AssertionError, match=r'with \\"one\\": \.spec\.liveMigrationConfig\.completion'):
        apply(kube, V1, spec, "two")
    taken = apply(kube, V1, spec, "two", force="true")
    assert not any(entry["manager"] == "one" for entry in taken["metadata"]["managedFields"])
    assert kube.call("GET", V1BETA1)["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] == 800


def test_an_object_can_be_made_one_that_conversion_refuses(kube: Kube) -> None:
    stored = kube.call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hyperconvergeds.hco.kubevirt.io")
    inside, outside = (V1, V1BETA1) if stored["status"]["storedVersions"] == ["v1"] else (V1BETA1, V1)
    field = "spec.mediatedDevicesConfiguration.mediatedDevicesTypes"
    kube.merge(inside, {"metadata": {"annotations": {REFUSES: field}}}, "test")
    with pytest.raises(AssertionError, match=rf"conversion webhook for .* failed: .*HyperConvergedSpec\.{field} of"):
        kube.call("GET", outside)
    assert kube.call("GET", inside)["metadata"]["annotations"][REFUSES] == field
    kube.merge(inside, {"metadata": {"annotations": {REFUSES: None}}}, "test")
    assert kube.call("GET", outside)


def test_a_webhook_that_died_is_repaired_where_its_port_was_taken_meanwhile(lab: Lab, kube: Kube) -> None:
    (webhook,) = (process for process in lab.status() if process.name == "conversion")
    assert webhook.pid
    assert webhook.port
    process = psutil.Process(webhook.pid)
    process.kill()
    process.wait(10)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", webhook.port))
        other.listen()
        lab.up(lambda _: None)
    # An API server may ask at the old port once more, after the definition has changed.
    until(lambda: all(kube.http.get(path).is_success for path in (V1, V1BETA1)))
    assert kube.call("GET", V1)["spec"]["virtualization"]
    assert kube.call("GET", V1BETA1)["spec"]["liveMigrationConfig"]
    (again,) = (process for process in lab.status() if process.name == "conversion")
    assert again.port != webhook.port


def test_a_release_with_one_version_needs_no_webhook(tmp_path: Path) -> None:
    if not REAL_CRDS.is_dir():
        pytest.skip("no real CRDs in ../shared/crds")
    lab = Lab(tmp_path / "lab", clusters=("dev",), crds=REAL_CRDS, hco_release="v1.17.3", operators=False)
    try:
        lab.up(lambda _: None)
        assert [process.name for process in lab.status()] == ["etcd", "dev"]
    finally:
        lab.down()
