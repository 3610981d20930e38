"""Adopting what somebody else made: what changes, what restarts, and what cannot be adopted."""

from __future__ import annotations

import json
from typing import Any

from support import Workspace

HOSTS = [f"10.200.5.{last}/32" for last in (222, 223)]


def attachment(workspace: Workspace, config: dict[str, Any], **metadata: Any) -> None:
    manifest = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "migration", **metadata},
        "spec": {"config": json.dumps(config, indent=2)},
    }
    params = {"fieldManager": "kubectl-create"}
    workspace.site.kube.call("POST", workspace.site.attachments, json=manifest, params=params)


def unnamed(workspace: Workspace) -> None:
    """The attachment of a published set-up, which equals the stack's: multus fills its name in."""
    workspace.config["segment"] = {"subnet": "10.200.5.0/24", "reserved": ["10.200.5.222-10.200.5.223"]}
    workspace.config["attachment"]["adopt"] = True
    del workspace.config["slice"]
    workspace.write()
    ipam = {"type": "whereabouts", "range": "10.200.5.0/24", "exclude": HOSTS}
    attachment(workspace, {"cniVersion": "0.3.1", "type": "macvlan", "master": "eth1", "mode": "bridge", "ipam": ipam})


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
        assert f"{workspace.stack}: {name} {FORM}" in outcome.reports[0]["warnings"]
        assert not any("changes in place" in each for each in outcome.reports[0]["warnings"])
    assert workspace.mignet("drift", engine).code == 0


def test_a_preview_says_in_words_that_only_the_form_changes(workspace: Workspace) -> None:
    unnamed(workspace)
    outcome = workspace.run("mignet", "preview", workspace.stack, "--engine", "direct")
    assert outcome.code == 0, outcome.err
    assert "spec.config: the same configuration in another form: " in outcome.out
