"""What plain Pulumi has beside `preview`, `up` and `destroy`: `--target`, `refresh`, `import` and `state`."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml
from support import Outcome, Workspace

pytestmark = pytest.mark.pulumi

ATTACHMENT = "kubernetes:k8s.cni.cncf.io/v1:NetworkAttachmentDefinition"
HYPERCONVERGED = "kubernetes:hco.kubevirt.io/v1beta1:HyperConverged"
NOW = ("--yes", "--skip-preview")


def pulumi(workspace: Workspace, *command: str, code: int = 0) -> Outcome:
    outcome = workspace.pulumi(*command)
    assert outcome.code == code, outcome.out + outcome.err
    return outcome


def state(workspace: Workspace) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(workspace.pulumi("stack", "export").out)
    return read


def urns(workspace: Workspace, kind: str) -> list[str]:
    """Return the names that the state has for what is of a type."""
    return [each["urn"] for each in state(workspace)["deployment"]["resources"] if each["type"] == kind]


def network(workspace: Workspace) -> str:
    limits = workspace.site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert limits["network"] in workspace.site.live()["attachments"], "it names what is there"
    return str(limits["network"])


@pytest.fixture
def applied(workspace: Workspace) -> Workspace:
    """A stack that plain Pulumi has applied, with a kubeconfig of its own, beside an attachment of somebody else."""
    workspace.site.foreign()
    path = workspace.folder / "kubeconfig"
    path.write_text(workspace.site.kubeconfig.read_text())
    workspace.config["cluster"]["kubeconfig"] = str(path)
    workspace.write()
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    pulumi(workspace, "up", *NOW)
    return workspace


def test_no_target_of_a_rename_leaves_the_hyperconverged_on_a_network_that_is_gone(applied: Workspace) -> None:
    workspace, site = applied, applied.site
    (old,), (patch,) = urns(workspace, ATTACHMENT), urns(workspace, f"{HYPERCONVERGED}Patch")
    workspace.config["attachment"]["name"] = "migration-2"
    workspace.write()
    before = site.content()
    refused = pulumi(workspace, "up", *NOW, "--target", patch, code=1)
    assert "attachment-migration-2' which was was not specified in --target list" in refused.out
    pulumi(workspace, "up", *NOW, "--target", old)
    assert site.content() == before
    pulumi(workspace, "up", *NOW, "--exclude", patch)
    assert network(workspace) == "migration"
    assert list(site.live()["attachments"]) == ["foreign", "migration", "migration-2"]
    refused = pulumi(workspace, "destroy", *NOW, "--target", urns(workspace, ATTACHMENT)[0], code=1)
    assert "will be destroyed but was not specified in --target list" in refused.out
    pulumi(workspace, "up", *NOW)
    assert network(workspace) == "migration-2"
    assert list(site.live()["attachments"]) == ["foreign", "migration-2"]


def test_a_refresh_writes_nothing_takes_up_nothing_of_others_and_forgets_nothing_while_the_cluster_is_away(
    applied: Workspace,
) -> None:
    workspace, site = applied, applied.site
    limits = {"completionTimeoutPerGiB": 99, "allowAutoConverge": True}
    theirs = {"metadata": {"labels": {"team": "other"}}}
    site.kube.merge(site.hyperconverged, theirs | {"spec": {"liveMigrationConfig": limits}}, "kubectl-edit")
    site.kube.merge(f"{site.attachments}/migration", theirs, "Mozilla")
    before = site.content()
    pulumi(workspace, "refresh", *NOW)
    assert site.content() == before
    pulumi(workspace, "up", *NOW)
    live = site.live()
    assert (
        live["hyperconverged"]["spec"]["liveMigrationConfig"].items()
        >= (limits | {"completionTimeoutPerGiB": 800}).items()
    )
    for each in (live["hyperconverged"], live["attachments"]["migration"]):
        assert each["metadata"]["labels"]["team"] == "other"
        (mine,) = [one for one in each["metadata"]["managedFields"] if one["manager"] == "migration-network"]
        assert "team" not in json.dumps(mine)
        assert "allowAutoConverge" not in json.dumps(mine)
    path = workspace.folder / "kubeconfig"
    content = yaml.safe_load(path.read_text())
    for each in content["clusters"]:
        each["cluster"]["server"] = "https://127.0.0.1:1"
    path.write_text(json.dumps(content))
    assert "unreachable" in pulumi(workspace, "refresh", *NOW, code=1).out
    assert urns(workspace, ATTACHMENT)
    assert urns(workspace, f"{HYPERCONVERGED}Patch")


def test_a_state_of_the_version_before_is_taken_up_as_it_is_and_what_was_imported_or_renamed_is_refused(
    applied: Workspace,
) -> None:
    """The attachment's name in the state was `attachment`, and the patch depended on nothing."""
    workspace, site = applied, applied.site
    before = site.content()
    renamed = json.dumps(state(workspace)).replace(f"{ATTACHMENT}::attachment-migration", f"{ATTACHMENT}::attachment")
    content = json.loads(renamed)
    (patch,) = (each for each in content["deployment"]["resources"] if each["type"] == f"{HYPERCONVERGED}Patch")
    del patch["dependencies"]
    (workspace.folder / "state.json").write_text(json.dumps(content))
    pulumi(workspace, "stack", "import", "--file", "state.json")
    assert urns(workspace, ATTACHMENT)[0].endswith("::attachment")
    pulumi(workspace, "up", *NOW, "--expect-no-changes")
    assert urns(workspace, ATTACHMENT)[0].endswith("::attachment-migration")

    (provider,) = urns(workspace, "pulumi:providers:kubernetes")
    whole = (HYPERCONVERGED, "whole", f"{site.namespace}/kubevirt-hyperconverged")
    pulumi(workspace, "import", *whole, *NOW, "--provider", f"cluster={provider}", "--generate-code=false")
    assert "because it is protected" in pulumi(workspace, "up", *NOW, code=1).out
    pulumi(workspace, "state", "unprotect", "--all", "--yes")
    pulumi(workspace, "state", "rename", *urns(workspace, ATTACHMENT), "renamed", "--yes")
    refused = workspace.mignet("preview", "pulumi")
    assert refused.code == 1
    told = str(refused.reports[0]["error"]).splitlines()
    assert sorted(line.partition(" as ")[0] for line in told) == [
        f"Pulumi's state holds {kind} {site.namespace}/{name}"
        for kind, name in (("HyperConverged", "kubevirt-hyperconverged"), ("NetworkAttachmentDefinition", "migration"))
    ]
    for line in told:
        _, *command = shlex.split(line.partition("; run: ")[2])
        pulumi(workspace, *command, "--yes")
    pulumi(workspace, "up", *NOW)
    assert site.content() == before
    assert workspace.mignet("preview", "pulumi", "--expect-no-changes").code == 0
