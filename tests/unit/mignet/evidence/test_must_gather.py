"""Folders of must-gather and inspect as the world has them: nested, packed, damaged, and with the same object twice."""

from __future__ import annotations

import asyncio
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import healthy
import pytest
import yaml

from config.finding import ConfigError
from mignet.commands.evidence import _opened
from mignet.evidence.must_gather import Gathered, read
from mignet.kube.client import ClusterError
from mignet.kube.kinds import DEFINITION, HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1, POD

SPACE = "openshift-cnv"
PODS = f"namespaces/{SPACE}/core/pods.yaml"
HCO = f"namespaces/{SPACE}/hco.kubevirt.io/hyperconvergeds/kubevirt-hyperconverged.yaml"
ONE, OTHER = "quay-io-kubevirt-must-gather-sha256-0a", "quay-io-openshift-release-dev-ocp-v4-0-art-dev-sha256-ff"


def put(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else "---\n" + yaml.safe_dump(content))
    return path


def hyperconverged(*, at: int = 7, version: str = "v1beta1", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "kubevirt-hyperconverged", "namespace": SPACE, "resourceVersion": str(at)}
    return {"apiVersion": f"hco.kubevirt.io/{version}", "kind": "HyperConverged", "metadata": metadata, "spec": spec}


def pod(name: str, at: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": SPACE, "resourceVersion": str(at)}, "spec": {"at": at}}


def pods(*items: dict[str, Any], at: str = "") -> dict[str, Any]:
    return {"apiVersion": "v1", "items": list(items), "kind": "PodList", "metadata": {"resourceVersion": at}}


def opened(folder: Path) -> Gathered:
    return Gathered(healthy.stack().cluster, base=Path(), folder=read(folder))


def spec_of(folder: Path) -> Any:
    found = asyncio.run(opened(folder).get(HYPERCONVERGED_V1BETA1, "kubevirt-hyperconverged", SPACE))
    return found and found["spec"]


def names(folder: Path) -> list[str]:
    return sorted(each["metadata"]["name"] for each in asyncio.run(opened(folder).list(POD, namespace=SPACE)))


def unjudged(look: Callable[[Path], Any], folder: Path) -> str:
    with pytest.raises(ClusterError) as error:
        look(folder)
    assert error.value.reason == "not-gathered"
    return str(error.value)


@pytest.mark.parametrize("above", ["", ONE, f"must-gather.local.5/{ONE}", f"of a customer/Case 0123/{ONE}", "all/data"])
def test_a_folder_is_found_however_deep_it_lies(tmp_path: Path, above: str) -> None:
    put(tmp_path / above, HCO, hyperconverged(a=1))
    put(tmp_path / above, PODS, pods(pod("virt-handler-a", 3)))
    assert spec_of(tmp_path) == {"a": 1}
    assert names(tmp_path) == ["virt-handler-a"]


@pytest.mark.parametrize("newer", [ONE, OTHER])
def test_of_two_images_that_have_an_object_the_newer_one_counts(tmp_path: Path, newer: str) -> None:
    # 9 comes behind 10 as a text.
    put(tmp_path / newer, HCO, hyperconverged(at=10, a="new"))
    put(tmp_path / (ONE if newer == OTHER else OTHER), HCO, hyperconverged(at=9, a="old"))
    assert spec_of(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("listed", ["21", ""], ids=["a list of a version", "a list of kubectl"])
def test_what_is_older_than_a_list_without_it_is_gone(tmp_path: Path, listed: str) -> None:
    put(tmp_path / OTHER, PODS, pods(pod("deleted", 5), pod("stays", 6), pod("changed", 7), at="10"))
    put(tmp_path / ONE, PODS, pods(pod("stays", 6), pod("changed", 20), at=listed))
    put(
        tmp_path / ONE,
        f"namespaces/{SPACE}/pods/later/later.yaml",
        {"apiVersion": "v1", "kind": "Pod"} | pod("later", 30),
    )
    assert names(tmp_path) == ["changed", "later", "stays"]
    found = asyncio.run(opened(tmp_path).get(POD, "changed", SPACE))
    assert found is not None
    assert found["spec"] == {"at": 20}


def test_one_image_has_an_object_in_the_version_that_is_wanted(tmp_path: Path) -> None:
    put(tmp_path / ONE, HCO, hyperconverged(version="v1", virtualization={}))
    assert "does not hold" in unjudged(spec_of, tmp_path)
    put(tmp_path / OTHER, HCO, hyperconverged(a=1))
    assert spec_of(tmp_path) == {"a": 1}
    found = asyncio.run(opened(tmp_path).get(HYPERCONVERGED_V1, "kubevirt-hyperconverged", SPACE))
    assert found is not None
    assert found["spec"] == {"virtualization": {}}


WHOLE = "---\n" + yaml.safe_dump(pods(pod("a", 3), pod("b", 4)))
DAMAGED = {
    "of 0 bytes": ("", "it is empty"),
    "of a line": ("---\n", "it is cut off"),
    "within a line": (WHOLE[:-9], "it is cut off"),
    "within a quote": (WHOLE[: WHOLE.rindex("'")] + "\n", "it is not YAML"),
    "behind a line, so that it is YAML": (WHOLE[: WHOLE.index("kind: PodList")], "it is cut off"),
    "in the middle of the items": (WHOLE[: WHOLE.index("    name: b")], "it is cut off"),
    "with no text": ("\0" * 100 + "\n", "it is not YAML"),
    "an error in its place": ("error: the server doesn't have a resource type\n", "it is cut off"),
}


@pytest.mark.parametrize(("text", "why"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_not_judged_and_named(tmp_path: Path, text: str, why: str) -> None:
    put(tmp_path, PODS, text)
    said = unjudged(names, tmp_path)
    assert said == f"{PODS} of {tmp_path.name} cannot be read: {why}"
    # Another image has it whole, or at least the object that is asked for.
    put(tmp_path / OTHER, f"namespaces/{SPACE}/pods/c/c.yaml", {"apiVersion": "v1", "kind": "Pod"} | pod("c", 3))
    assert asyncio.run(opened(tmp_path).get(POD, "c", SPACE))
    assert unjudged(names, tmp_path) == said
    put(tmp_path / OTHER, PODS, pods(pod("c", 3)))
    assert names(tmp_path) == ["c"]


@pytest.mark.parametrize(
    "text", ["", yaml.safe_dump(hyperconverged(a=1))[:-4], "apiVersion: hco.kubevirt.io/v1beta1\n"]
)
def test_an_object_in_a_damaged_file_is_not_missing(tmp_path: Path, text: str) -> None:
    put(tmp_path, HCO, text)
    assert "kubevirt-hyperconverged.yaml" in unjudged(spec_of, tmp_path)


def test_lists_of_any_form_are_read(tmp_path: Path) -> None:
    whole = {"apiVersion": "v1", "kind": "Pod"}
    mixed = {"apiVersion": "v1", "kind": "List", "items": [whole | pod("a", 1), {"kind": "Node"}, None]}
    put(tmp_path, PODS, mixed)
    assert names(tmp_path) == ["a"]
    put(tmp_path, PODS, pods())
    assert names(tmp_path) == []
    # As Go writes a list that was never filled.
    put(tmp_path, PODS, pods() | {"items": None})
    assert names(tmp_path) == []
    # As `kubectl get -o json` writes, without an end of the line, and in a file with the other's name.
    put(tmp_path, PODS, '{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "j"}}]}')
    assert names(tmp_path) == ["j"]


def test_a_definition_with_a_sign_that_yaml_knows_is_read(tmp_path: Path) -> None:
    """As prometheus-operator's AlertmanagerConfig has it, which every OpenShift serves."""
    for name, matches in (("clusterversions.config.openshift.io", ["a"]), ("alertmanagerconfigs.monitoring", ["="])):
        metadata = {"name": name}
        text = yaml.safe_dump({"apiVersion": "apiextensions.k8s.io/v1", "kind": DEFINITION.kind, "metadata": metadata})
        text += "".join(f"enum:\n- {each}\n" for each in matches)
        put(tmp_path, f"cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions/{name}.yaml", text)
    assert not asyncio.run(opened(tmp_path).serves(HYPERCONVERGED_V1BETA1))
    # With one that nobody can read, nobody knows.
    put(tmp_path, "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions/cut.yaml", "a: b")
    assert asyncio.run(opened(tmp_path).serves(HYPERCONVERGED_V1BETA1))


def tar(mode: str) -> Callable[[Path, Path], None]:
    def pack(folder: Path, into: Path) -> None:
        with tarfile.open(into, mode) as packed:  # type: ignore[call-overload]
            packed.add(folder, folder.name)

    return pack


def zipped(folder: Path, into: Path) -> None:
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as packed:
        for each in folder.rglob("*"):
            packed.write(each, each.relative_to(folder.parent))


PACKED = {
    "a.tar": tar("w"),
    "a.tar.gz": tar("w:gz"),
    "a.tar.xz": tar("w:xz"),
    "a.tar.bz2": tar("w:bz2"),
    "a b.zip": zipped,
}


@pytest.mark.parametrize(("name", "pack"), PACKED.items(), ids=PACKED)
def test_it_is_read_as_users_pack_it_and_refused_in_a_line_when_it_is_cut(
    tmp_path: Path, name: str, pack: Callable[[Path, Path], None]
) -> None:
    folder = tmp_path / "must gather"
    put(folder / ONE, HCO, hyperconverged(a=1))
    put(folder / ONE, "namespaces/x/pods/y/y/y/logs/current.log", "a" * 3000)
    pack(folder, tmp_path / name)
    scratch = tmp_path / "scratch"
    assert spec_of(_opened(tmp_path / name, scratch)) == {"a": 1}
    assert not list(scratch.rglob("*.log"))
    whole = (tmp_path / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:40] + b"\xff" * (len(whole) - 80) + whole[-40:]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ConfigError) as error:
            read(_opened(tmp_path / name, tmp_path / "again"))
        (line,) = str(error.value).splitlines()
        assert line.startswith("mignet: --from ")


def test_a_name_in_a_zip_leads_to_no_other_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("../../outside.yaml", "a: b\n")
        packed.writestr("/rooted.yaml", "a: b\n")
    inside = _opened(tmp_path / "a.zip", tmp_path / "in" / "scratch")
    assert sorted(path.name for path in inside.rglob("*.yaml")) == ["outside.yaml", "rooted.yaml"]
    assert len(list(tmp_path.rglob("*.yaml"))) == 2


OTHERS = {
    "kubectl cluster-info dump": ("openshift-cnv/pods.json", "nodes.json"),
    "Insights": ("config/pod/openshift-cnv/a.json", "config/node/a.json"),
}


@pytest.mark.parametrize("files", OTHERS.values(), ids=OTHERS)
def test_what_others_write_is_refused_in_a_line(tmp_path: Path, files: tuple[str, ...]) -> None:
    for each in files:
        put(tmp_path, each, '{"apiVersion": "v1", "kind": "PodList", "items": []}')
    with pytest.raises(ConfigError, match="is no folder of oc adm must-gather or oc adm inspect"):
        read(tmp_path)
