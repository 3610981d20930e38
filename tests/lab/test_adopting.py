"""Adopting what somebody else made: what changes, what restarts, and what cannot be adopted."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from published import PUBLISHED, Published
from support import Workspace

HOSTS = [f"10.88.31.{last}/32" for last in (222, 223)]


UNNAMED: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "type": "macvlan",
    "master": "eth1",
    "mode": "bridge",
    "ipam": {"type": "whereabouts", "range": "10.88.31.0/24", "exclude": HOSTS},
}


def attachment(workspace: Workspace, config: dict[str, Any], name: str = "migration", **metadata: Any) -> None:
    manifest = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, **metadata},
        "spec": {"config": json.dumps(config, indent=2)},
    }
    params = {"fieldManager": "kubectl-create"}
    workspace.site.kube.call("POST", workspace.site.attachments, json=manifest, params=params)


def unnamed(workspace: Workspace) -> None:
    """The attachment of a published set-up, which equals the stack's: multus fills its name in."""
    workspace.config["segment"] = {"subnet": "10.88.31.0/24", "reserved": ["10.88.31.222-10.88.31.223"]}
    workspace.config["attachment"]["adopt"] = True
    del workspace.config["slice"]
    workspace.write()
    attachment(workspace, UNNAMED)


FORM = "only changes its form: what it means to pods stays the same, and nothing restarts"


def test_an_equal_attachment_changes_its_owner_labels_and_form_only(workspace: Workspace, engine: str) -> None:
    unnamed(workspace)
    name = f"NetworkAttachmentDefinition {workspace.site.namespace}/migration"
    for verb in ("preview", "up"):
        outcome = workspace.mignet(verb, engine)
        assert outcome.code == 0, outcome.out + outcome.err
        operation, fields = outcome.changes["NetworkAttachmentDefinition"]
        assert operation == "update"
        assert {path for path in fields if not path.startswith("metadata.")} == {"spec.config"}
        assert f"{name} {FORM}" in outcome.reports[0]["warnings"]
        assert not any("changes in place" in each for each in outcome.reports[0]["warnings"])
    assert workspace.mignet("drift", engine).code == 0
    assert workspace.mignet("preview", engine, "--expect-no-changes").code == 0
    # Its pods are as they were before it was adopted, and verify knows since when.
    metadata = workspace.site.live()["attachments"]["migration"]["metadata"]
    since = metadata["annotations"]["migration-network.io/unchanged-since"].split()[1]
    assert since == metadata["creationTimestamp"]


def test_a_preview_says_in_words_that_only_the_form_changes(workspace: Workspace) -> None:
    unnamed(workspace)
    outcome = workspace.run("mignet", "preview", workspace.stack, "--engine", "direct")
    assert outcome.code == 0, outcome.err
    assert "config: the same configuration in another form" in outcome.out


def test_a_network_of_another_name_is_switched_with_a_warning(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    site.kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {"network": "cnv-mig"}}}, "Mozilla")
    said = (
        f"HyperConverged {site.namespace}/kubevirt-hyperconverged switches from cnv-mig to"
        " migration: every virt-handler restarts, one after the other, and migrations fail meanwhile"
    )
    for verb in ("preview", "up"):
        outcome = workspace.mignet(verb, engine)
        assert outcome.code == 0, outcome.out + outcome.err
        assert said in outcome.reports[0]["warnings"]
    assert said not in workspace.mignet("preview", engine).reports[0]["warnings"]


@pytest.mark.pulumi
def test_plain_pulumi_says_the_same(workspace: Workspace) -> None:
    unnamed(workspace)
    site = workspace.site
    site.kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {"network": "cnv-mig"}}}, "Mozilla")
    workspace.run("pulumi", "stack", "init", workspace.stack)
    workspace.write()
    outcome = workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")
    text = " ".join((outcome.out + outcome.err).split())
    assert outcome.code == 0, text
    assert FORM in text
    assert "switches from cnv-mig to migration: every virt-handler restarts" in text


OWNERS = {
    "ClusterUserDefinedNetwork": "k8s.ovn.org/v1",
    "Network": "operator.openshift.io/v1",
}


@pytest.mark.parametrize("kind", OWNERS)
@pytest.mark.parametrize("adopt", [True, False])
def test_an_attachment_that_a_controller_keeps_cannot_be_adopted(
    workspace: Workspace, engine: str, kind: str, *, adopt: bool
) -> None:
    owner = {"apiVersion": OWNERS[kind], "kind": kind, "name": "lm", "uid": str(uuid.uuid4()), "controller": True}
    attachment(workspace, {"cniVersion": "0.3.1", "type": "macvlan"}, ownerReferences=[owner])
    workspace.config["attachment"]["adopt"] = adopt
    workspace.write()
    before = workspace.site.content()
    said = f"is kept by {kind} lm, which writes its content back: it cannot be adopted; choose another name"
    for verb in ("preview", "up"):
        outcome = workspace.mignet(verb, engine)
        assert outcome.code == 1, outcome.out + outcome.err
        assert said in outcome.reports[0]["error"]
    drift = workspace.mignet("drift", "direct")
    assert drift.code == 7
    assert any("is kept by" in each["rule"] for each in drift.findings)
    assert workspace.site.content() == before


def test_a_patch_of_the_operator_that_drops_what_is_declared_is_refused(workspace: Workspace, engine: str) -> None:
    operation = {"op": "add", "path": "/spec/configuration/migrations", "value": {"allowPostCopy": True}}
    annotation = {"kubevirt.kubevirt.io/jsonpatch": json.dumps([operation])}
    site = workspace.site
    site.kube.merge(site.hyperconverged, {"metadata": {"annotations": annotation}}, "Mozilla")
    outcome = workspace.mignet("preview", engine)
    assert outcome.code == 1
    error = outcome.reports[0]["error"]
    assert "operation 1 of 1 (add /spec/configuration/migrations" in error
    assert "drops completionTimeoutPerGiB, network, parallelMigrationsPerCluster" in error


def test_a_controller_that_writes_back_is_named_in_a_preview(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    manifest = {
        "apiVersion": site.api,
        "kind": "HyperConverged",
        "metadata": {"name": "kubevirt-hyperconverged"},
        "spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 800}},
    }
    headers = {"content-type": "application/apply-patch+yaml"}
    params = {"fieldManager": "argocd-controller", "force": "true"}
    site.kube.call("PATCH", site.hyperconverged, content=json.dumps(manifest), headers=headers, params=params)
    (warning,) = workspace.mignet("preview", engine).reports[0]["warnings"]
    assert "has spec.liveMigrationConfig.completionTimeoutPerGiB from Argo CD (field manager argocd-contr" in warning
    workspace.config["waivers"] = {"field-written-back": "the two are the same team's"}
    workspace.write()
    assert workspace.mignet("preview", engine).reports[0]["warnings"] == []


NETWORKS = {"unnamed": Published("migration", UNNAMED, {}, {}), **PUBLISHED}


@pytest.mark.parametrize("published", NETWORKS.values(), ids=NETWORKS)
def test_init_writes_a_stack_that_keeps_the_network_in_use(workspace: Workspace, published: Published) -> None:
    site, name = workspace.site, published.name
    attachment(workspace, published.within(site.namespace), name)
    limits = {"network": name, "completionTimeoutPerGiB": 800}
    site.kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": limits}}, "Mozilla")
    (workspace.folder / f"Pulumi.{workspace.stack}.yaml").unlink()
    where = ("--context", site.context, "--kubeconfig", str(site.kubeconfig), "--namespace", site.namespace)
    made = workspace.run("mignet", "init", workspace.stack, *where, "--from-cluster", "--nodes", "6")
    assert made.code == 0, made.err
    assert (
        f"{workspace.stack} keeps {name}, over which the cluster migrates: the first preview shows ownership, labels"
        " and formatting only"
    ) in made.out
    preview = workspace.mignet("preview", "direct")
    assert preview.code == 0, preview.out + preview.err
    fields = {**preview.changes["NetworkAttachmentDefinition"][1], **preview.changes["HyperConverged"][1]}
    changed = {path for path, (old, new, _) in fields.items() if old != new and not path.startswith("metadata.")}
    assert changed == {"spec.config"}, "in another form"
    (report,) = preview.reports
    assert any(FORM in each for each in report["warnings"])
    assert report["means"] == []
    said = workspace.run("mignet", "preview", workspace.stack, "--engine", "direct").out
    assert "config: the same configuration in another form" in said
    assert "nothing restarts" in said
    assert not any(words in said for words in ("restarts every", "switches"))


def test_a_network_is_not_kept_where_a_flag_asks_for_another_path(workspace: Workspace) -> None:
    site = workspace.site
    attachment(workspace, UNNAMED)
    site.kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {"network": "migration"}}}, "Mozilla")
    (workspace.folder / f"Pulumi.{workspace.stack}.yaml").unlink()
    where = ("--context", site.context, "--kubeconfig", str(site.kubeconfig), "--namespace", site.namespace)
    made = workspace.run("mignet", "init", workspace.stack, *where, "--from-cluster", "--vlan", "2001")
    assert made.code == 0, made.err
    assert "the cluster migrates over migration now, on another path: up switches it to another network" in made.out
    # Of another name, so that pods may use the old one until they are made anew.
    said = workspace.run("mignet", "preview", workspace.stack, "--engine", "direct")
    assert f"NetworkAttachmentDefinition {site.namespace}/live-migration will be created" in said.out
    assert "network: migration → live-migration" in said.out
