"""Owners of the HyperConverged's fields across its two API versions, and what does not convert."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, serving, status

from mignet.kube.client import Cluster, ClusterError, Conflict, ConflictError
from mignet.kube.hyperconverged_versions import limits_path, path_in, refused_because
from mignet.kube.kinds import HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1, Object
from mignet.kube.managed_fields import owned_paths, owners, taken_over, writer_of

OBSERVED = ROOT.parent / "shared" / "observed" / "operators"
V1BETA1, V1 = HYPERCONVERGED_V1BETA1.api_version, HYPERCONVERGED_V1.api_version
OURS = "migration-network"


@pytest.fixture(params=[(V1BETA1, V1), (V1, V1BETA1)], ids=["written in v1", "written in v1beta1"])
def versions(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The version in which the object is read, and the one in which it was written."""
    pair: tuple[str, str] = request.param
    return pair


def fields(path: str, *leaves: str) -> dict[str, Any]:
    inner: dict[str, Any] = {".": {}} | {f"f:{leaf}": {} for leaf in leaves}
    for key in reversed(path.split(".")):
        inner = {f"f:{key}": inner}
    return inner


def live(read: str, *entries: tuple[str, str, str, tuple[str, ...]]) -> Object:
    managed = [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": version,
            "time": "2026-01-02T03:04:05Z",
            "fieldsV1": fields(limits_path(version), *leaves),
        }
        for manager, operation, version, leaves in entries
    ]
    return {"apiVersion": read, "kind": "HyperConverged", "metadata": {"managedFields": managed}}


def test_a_field_written_in_the_other_version_has_its_owner(versions: tuple[str, str]) -> None:
    read, written = versions
    found = live(read, ("Mozilla", "Update", written, ("completionTimeoutPerGiB",)))
    path = f"{limits_path(read)}.completionTimeoutPerGiB"
    assert [(each, by.manager) for each, by in owners(found)] == [(path, "Mozilla")]
    by = writer_of(found, path, ours=OURS)
    assert by is not None
    assert (by.manager, by.owns) == ("Mozilla", True)


def test_what_is_taken_over_is_named_by_the_path_that_the_stack_has(versions: tuple[str, str]) -> None:
    read, written = versions
    before = live(read, ("Mozilla", "Update", written, ("network", "progressTimeout")))
    after = live(
        read,
        ("Mozilla", "Update", written, ("progressTimeout",)),
        (OURS, "Apply", read, ("network", "progressTimeout")),
    )
    assert taken_over(before, after, ours=OURS) == {f"{limits_path(read)}.network": "Mozilla"}


def test_fields_are_ours_after_the_stack_has_switched_versions(versions: tuple[str, str]) -> None:
    read, written = versions
    found = live(read, (OURS, "Apply", written, ("network",)))
    assert owned_paths(found, OURS) == {f"{limits_path(read)}.network"}


def test_only_limits_of_a_hyperconverged_are_mapped() -> None:
    for path in ("spec.featureGates", "spec.liveMigrationConfigs", "spec.virtualization", "metadata.labels"):
        assert path_in(path, written=V1, read=V1BETA1) == path
        assert path_in(path, written=V1BETA1, read=V1) == path
    limits = "spec.liveMigrationConfig.network"
    assert path_in(limits, written="k8s.cni.cncf.io/v1", read="k8s.cni.cncf.io/v1") == limits
    assert path_in(limits, written=V1BETA1, read=V1BETA1) == limits


@pytest.mark.parametrize("name", ["hyperconverged-1.18.1-1-created", "hyperconverged-1.18.1-2-applied"])
def test_what_the_real_operator_left_has_the_same_owners_in_both_versions(name: str) -> None:
    path = OBSERVED / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared/observed")
    as_v1beta1: Object = json.loads(path.read_text())
    as_v1 = copy.deepcopy(as_v1beta1) | {"apiVersion": V1}
    limits = [(each, by) for each, by in owners(as_v1beta1) if "liveMigrationConfig" in each]
    assert ("spec.liveMigrationConfig.progressTimeout", "kubectl-create") in {(each, by.manager) for each, by in limits}
    expected = [(path_in(each, written=V1BETA1, read=V1), by) for each, by in limits]
    assert [(each, by) for each, by in owners(as_v1) if "liveMigrationConfig" in each] == expected


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Apply or read a HyperConverged in a version, at a server with this answer."""
    with serving(tmp_path) as start:

        def ask(version: str, answer: tuple[int, dict[str, str], str], *, apply: bool = True) -> Any:
            config = start(answer)
            kind = HYPERCONVERGED_V1 if version == V1 else HYPERCONVERGED_V1BETA1
            manifest = {"apiVersion": version, "kind": "HyperConverged", "metadata": {"name": "x", "namespace": "n"}}

            async def one() -> Any:
                async with Cluster(config, base=Path("/")) as cluster:
                    if apply:
                        return await cluster.apply(manifest, manager=OURS, force=False, dry_run=True)
                    return await cluster.get(kind, "x", "n")

            return asyncio.run(one())

        yield ask


def test_a_conflict_with_a_writer_of_the_other_version_has_the_stacks_path(
    versions: tuple[str, str], refusing: Callable[..., Any]
) -> None:
    read, written = versions
    field = f".{limits_path(written)}.completionTimeoutPerGiB"
    for rest in ("", " at 2026-01-02T03:04:05Z"):
        cause = {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "kubectl-edit" using {written}{rest}',
            "field": field,
        }
        with pytest.raises(ConflictError) as caught:
            refusing(read, status(409, "Apply failed with 1 conflict", causes=[cause]))
        path = f"{limits_path(read)}.completionTimeoutPerGiB"
        assert caught.value.conflicts == (Conflict(path, "kubectl-edit"),)


# hyperconverged-cluster-operator#4549, and what an API server says of an upgraded object in the other version.
UNCONVERTIBLE = {
    "spec.featureGates": (
        "conversion webhook for hco.kubevirt.io/v1, Kind=HyperConverged failed: json: cannot unmarshal object into Go"
        " struct field HyperConvergedSpec.spec.featureGates of type featuregates.HyperConvergedFeatureGates"
    ),
    "spec.virtualization.mediatedDevicesConfiguration.mediatedDevicesTypes": (
        'HyperConverged.hco.kubevirt.io "kubevirt-hyperconverged" is invalid: spec.virtualization'
        '.mediatedDevicesConfiguration.mediatedDevicesTypes: Invalid value: "null": in body must be of type array'
    ),
    "spec.mediatedDevicesConfiguration.nodeMediatedDeviceTypes[0].mediatedDevicesTypes": (
        "failed to create typed live object (openshift-cnv/kubevirt-hyperconverged; hco.kubevirt.io/v1,"
        " Kind=HyperConverged): .spec.mediatedDevicesConfiguration.nodeMediatedDeviceTypes[0].mediatedDevicesTypes:"
        " field not declared in schema"
    ),
}


@pytest.mark.parametrize("field", UNCONVERTIBLE)
@pytest.mark.parametrize("apply", [True, False], ids=["apply", "read"])
def test_an_object_that_does_not_convert_names_the_field_and_the_way_out(
    refusing: Callable[..., Any], field: str, *, apply: bool
) -> None:
    with pytest.raises(ClusterError) as caught:
        refusing(V1, status(500, UNCONVERTIBLE[field]), apply=apply)
    text = str(caught.value)
    assert text.endswith(
        f"; remove {field} from the HyperConverged (oc edit hyperconvergeds.v1beta1.hco.kubevirt.io reads it in the"
        " other version), or write hyperConverged.apiVersion: v1beta1"
    )


def test_a_conversion_that_names_no_field_has_a_way_out_too() -> None:
    said = refused_because(
        'conversion webhook for hco.kubevirt.io/v1, Kind=HyperConverged failed: Post "https": EOF', V1
    )
    assert said.endswith("or write hyperConverged.apiVersion: v1beta1")


@pytest.mark.parametrize(
    "message",
    [
        ".spec.virtualization.liveMigrationConfig.allowWorkloadDisruption: field not declared in schema",
        'admission webhook "validate-hco.kubevirt.io" denied the request: spec.certConfig.ca.duration is too short',
        "the object has been modified",
    ],
)
def test_what_is_about_a_limit_or_about_values_is_no_matter_of_versions(message: str) -> None:
    assert refused_because(message, V1) == ""
