"""A release that stores the HyperConverged as v1: the same fields at that version's path, nobody's gates touched."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support import REAL_CRDS, Kube, Site, Workspace

from mignet.lab.lab import Lab


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if not REAL_CRDS.is_dir():
        pytest.skip("no real CRDs in ../shared/crds")
    lab = Lab(
        tmp_path_factory.mktemp("newest") / "lab",
        clusters=("newest",),
        crds=REAL_CRDS,
        hco_release="main",
        operators=False,
    )
    lab.up(lambda _: None)
    yield lab
    lab.down()


@pytest.fixture
def workspace(newest: Lab, tmp_path: Path) -> Iterator[Workspace]:
    kube = Kube(newest.kubeconfig, "newest")
    site = Site(kube, newest.kubeconfig, "newest", f"t-{uuid.uuid4().hex[:8]}", "hco.kubevirt.io/v1")
    site.create()
    one = Workspace(tmp_path / "project", site)
    one.create()
    yield one
    site.remove()


def test_the_limits_are_applied_seen_and_given_back_at_the_path_of_v1(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    gates = [{"name": "videoConfig", "state": "Disabled"}]
    site.kube.merge(site.hyperconverged, {"spec": {"featureGates": gates}}, "Mozilla")
    before = site.live()["hyperconverged"]["spec"]
    workspace.config["hyperConverged"]["liveMigration"]["allowWorkloadDisruption"] = True
    workspace.write()

    preview = workspace.mignet("preview", engine)
    assert preview.code == 0, preview.out
    fields = preview.changes["HyperConverged"][1]
    path = "spec.virtualization.liveMigrationConfig"
    assert fields[f"{path}.completionTimeoutPerGiB"] == (20, 800, "kubectl-create")
    assert fields[f"{path}.network"] == (None, "migration", None)
    assert workspace.mignet("up", engine).code == 0
    assert workspace.mignet("drift", engine).code == 0
    live = site.live()["hyperconverged"]["spec"]
    assert live["virtualization"]["liveMigrationConfig"]["allowWorkloadDisruption"] is True
    assert live["featureGates"] == gates

    site.kube.merge(
        site.hyperconverged,
        {"spec": {"virtualization": {"liveMigrationConfig": {"progressTimeout": 7}}}},
        "kubectl-edit",
    )
    drift = workspace.mignet("drift", engine)
    assert drift.code == 7
    assert drift.changes["HyperConverged"] == ("update", {f"{path}.progressTimeout": (7, 150, "kubectl-edit")})
    assert workspace.mignet("up", engine).code == 0
    assert workspace.mignet("destroy", engine).code == 0
    assert site.live()["hyperconverged"]["spec"] == before


def test_every_limit_is_accepted_unchanged_at_the_path_of_v1(workspace: Workspace) -> None:
    limits = {
        "parallelMigrationsPerCluster": 5,
        "parallelOutboundMigrationsPerNode": 2,
        "bandwidthPerMigration": "2048Mi",
        "completionTimeoutPerGiB": 800,
        "progressTimeout": 150,
        "allowAutoConverge": True,
        "allowPostCopy": True,
        "allowWorkloadDisruption": True,
    }
    workspace.config["hyperConverged"]["liveMigration"] = limits
    workspace.write()
    rendered = workspace.run("mignet", "render", workspace.stack)
    assert rendered.code == 0, rendered.err
    for manifest in yaml.safe_load_all(rendered.out):
        workspace.site.accepts(manifest)


PATHS = {"v1": "spec.virtualization.liveMigrationConfig", "v1beta1": "spec.liveMigrationConfig"}


@pytest.mark.parametrize(("stacks", "others"), [("v1", "v1beta1"), ("v1beta1", "v1")])
def test_a_field_written_through_the_other_version_has_its_owner(
    workspace: Workspace, engine: str, stacks: str, others: str
) -> None:
    site = workspace.site
    other = f"/apis/hco.kubevirt.io/{others}/namespaces/{site.namespace}/hyperconvergeds/kubevirt-hyperconverged"
    limits = {"progressTimeout": 77, "network": "cnv-mig"}
    patch = {"liveMigrationConfig": limits}
    site.kube.merge(other, {"spec": patch if others == "v1beta1" else {"virtualization": patch}}, "Mozilla")
    workspace.config["hyperConverged"]["apiVersion"] = stacks
    workspace.write()

    preview = workspace.mignet("preview", engine)
    fields = preview.changes["HyperConverged"][1]
    assert fields[f"{PATHS[stacks]}.progressTimeout"] == (77, 150, "Mozilla")
    assert fields[f"{PATHS[stacks]}.network"] == ("cnv-mig", "migration", "Mozilla")
    assert f"{PATHS[stacks]}.allowPostCopy" not in fields

    workspace.config["hyperConverged"]["onConflict"] = "fail"
    workspace.write()
    refused = workspace.mignet("up", engine)
    assert refused.code == 1
    assert "Mozilla" in refused.out + refused.err
    del workspace.config["hyperConverged"]["onConflict"]
    workspace.write()

    up = workspace.mignet("up", engine)
    assert up.code == 0, up.out + up.err
    assert workspace.mignet("drift", engine).code == 0


def test_a_stack_may_change_its_version(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    # The rest is the conversion's: it writes one version's defaults where the other has none.
    before = site.live()["hyperconverged"]["spec"]["virtualization"]
    for version in ("v1beta1", "v1", "v1beta1"):
        workspace.config["hyperConverged"]["apiVersion"] = version
        workspace.write()
        up = workspace.mignet("up", engine)
        assert up.code == 0, up.out + up.err
        drift = workspace.mignet("drift", engine)
        assert drift.code == 0, drift.out
        assert workspace.mignet("preview", engine, "--expect-no-changes").code == 0
    assert workspace.mignet("destroy", engine).code == 0
    assert site.live()["hyperconverged"]["spec"]["virtualization"] == before
