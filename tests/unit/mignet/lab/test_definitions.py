"""Which CustomResourceDefinitions a lab serves."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mignet.lab.errors import LabError
from mignet.lab.seeding.definitions import HYPERCONVERGED, SLIM, load, storage_version

SLIM_NAMES = {
    "clusteruserdefinednetworks.k8s.ovn.org",
    HYPERCONVERGED,
    "forkliftcontrollers.forklift.konveyor.io",
    "ippools.whereabouts.cni.cncf.io",
    "kubevirts.kubevirt.io",
    "migrationpolicies.migrations.kubevirt.io",
    "multi-networkpolicies.k8s.cni.cncf.io",
    "network-attachment-definitions.k8s.cni.cncf.io",
    "networks.config.openshift.io",
    "networks.operator.openshift.io",
    "nodenetworkconfigurationenactments.nmstate.io",
    "nodenetworkconfigurationpolicies.nmstate.io",
    "nodenetworkstates.nmstate.io",
    "overlappingrangeipreservations.whereabouts.cni.cncf.io",
    "plans.forklift.konveyor.io",
    "virtualmachineinstancemigrations.kubevirt.io",
    "virtualmachines.kubevirt.io",
    "virtualmachineinstances.kubevirt.io",
}


def write(folder: Path, file: str, *names: str, mark: str = "") -> None:
    folder.mkdir(exist_ok=True)
    conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}}
    documents = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "labels": {"mark": mark}},
            "spec": {"conversion": conversion, "versions": [{"name": "v1", "storage": True}]},
        }
        for name in names
    ]
    (folder / file).write_text(yaml.safe_dump_all(documents))


def loaded(folder: Path, release: str = "v1.18.1") -> dict[str, Any]:
    return {definition["metadata"]["name"]: definition for definition in load(folder, hco_release=release)}


def test_the_slim_ones_cover_what_a_migration_network_touches() -> None:
    assert set(loaded(SLIM)) == SLIM_NAMES
    assert storage_version(loaded(SLIM)[HYPERCONVERGED]) == "v1beta1"


def test_a_folders_definitions_count_and_the_slim_ones_fill_what_it_lacks(tmp_path: Path) -> None:
    write(tmp_path, "a.crd.yaml", "nodenetworkstates.nmstate.io", "more.example.com", mark="real")
    found = loaded(tmp_path)
    assert set(found) == SLIM_NAMES | {"more.example.com"}
    assert found["nodenetworkstates.nmstate.io"]["metadata"]["labels"] == {"mark": "real"}


def test_files_of_another_kind_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a.crd.yaml", "more.example.com")
    (tmp_path / "schema.yaml").write_text("{")
    (tmp_path / "b.crd.yaml").write_text("---\n---\nkind: Other\n")
    assert set(loaded(tmp_path)) == SLIM_NAMES | {"more.example.com"}


@pytest.mark.parametrize("release", ["v1.17.3", "v1.18.1", "main"])
def test_of_several_files_for_one_resource_the_one_of_the_release_counts(tmp_path: Path, release: str) -> None:
    for mark in ("main", "v1.17.3", "v1.18.1"):
        write(tmp_path, f"hyperconverged-{mark}.crd.yaml", HYPERCONVERGED, mark=mark)
    assert loaded(tmp_path, release)[HYPERCONVERGED]["metadata"]["labels"] == {"mark": release}


def test_a_release_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    for mark in ("main", "v1.18.1"):
        write(tmp_path, f"hyperconverged-{mark}.crd.yaml", HYPERCONVERGED, mark=mark)
    with pytest.raises(LabError, match=r"none of hyperconverged-main.crd.yaml, hyperconverged-v1.18.1.crd.yaml is of"):
        loaded(tmp_path, "v2.0.0")


def test_a_conversion_webhook_is_taken_out_as_nobody_would_answer_it(tmp_path: Path) -> None:
    write(tmp_path, "a.crd.yaml", "more.example.com")
    assert "conversion" not in loaded(tmp_path)["more.example.com"]["spec"]


def test_a_folder_without_definitions_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=rf"{tmp_path} has no files \*\.crd\.yaml; set MIGNET_LAB_CRDS"):
        loaded(tmp_path)


def test_a_file_that_is_not_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.crd.yaml").write_text("a: [")
    with pytest.raises(LabError, match=r"a\.crd\.yaml is not YAML: ") as error:
        loaded(tmp_path)
    assert "\n" not in str(error.value)
