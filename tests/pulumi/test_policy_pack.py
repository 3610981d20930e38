"""The policy pack over somebody else's program, with the real engine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from forked import BIN
from support import Workspace

from mignet.operations import new_project

pytestmark = pytest.mark.pulumi

FOREIGN = """
import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apiextensions import CustomResource, CustomResourcePatch

provider = kubernetes.Provider("theirs", context={context!r}, kubeconfig={kubeconfig!r})
opts = pulumi.ResourceOptions(provider=provider)
ipam = '{{"type": "whereabouts", "range": "10.200.5.0/24", "range_start": "10.200.5.40", "range_end": "10.200.5.90"}}'
config = '{{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth1.2001", "ipam": ' + ipam + '}}'
metadata = {{"namespace": {namespace!r}, "name": "backup"}}
CustomResource("backup", api_version="k8s.cni.cncf.io/v1", kind="NetworkAttachmentDefinition", metadata=metadata,
    spec={{"config": config}}, opts=opts)
CustomResourcePatch("limits", api_version="hco.kubevirt.io/v1beta1", kind="HyperConverged",
    metadata={{"namespace": {namespace!r}, "name": "kubevirt-hyperconverged"}},
    spec={{"liveMigrationConfig": {{"progressTimeout": 30}}}}, opts=opts)
other = kubernetes.Provider("other", context="dev-peer", kubeconfig={kubeconfig!r})
CustomResourcePatch("elsewhere", api_version="hco.kubevirt.io/v1beta1", kind="HyperConverged",
    metadata={{"namespace": {namespace!r}, "name": "kubevirt-hyperconverged"}},
    spec={{"liveMigrationConfig": {{"progressTimeout": 31}}}}, opts=pulumi.ResourceOptions(provider=other))
"""


def test_a_foreign_program_is_told_what_it_does_to_the_fleet(workspace: Workspace, tmp_path: Path) -> None:
    pack = workspace.folder / "policies"
    new_project.create(pack, kind="policy-pack")
    (pack / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    (_, pinned) = (pack / "requirements.txt").read_text().split()
    # By itself: the release's own pins are another protobuf than this environment's.
    install = [BIN / "uv", "pip", "install", "-q", "--no-deps", f"--target={tmp_path / 'policy'}", pinned]
    subprocess.run(install, check=True)

    site = workspace.site
    theirs = Workspace(tmp_path / "theirs", site)
    theirs.folder.mkdir()
    (theirs.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    runtime = {"name": "python", "options": {"virtualenv": ".venv"}}
    (theirs.folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "backups", "runtime": runtime}))
    program = FOREIGN.format(context=site.context, kubeconfig=str(site.kubeconfig), namespace=site.namespace)
    (theirs.folder / "__main__.py").write_text(program)
    assert theirs.run("pulumi", "stack", "init", theirs.stack).code == 0

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(tmp_path / "policy"))
        seen = theirs.pulumi("preview", "--policy-pack", str(pack))
        levels = tmp_path / "levels.json"
        levels.write_text(json.dumps({"address-range": "mandatory"}))
        stopped = theirs.pulumi("preview", "--policy-pack", str(pack), "--policy-pack-config", str(levels))
    said = " ".join(seen.out.split())
    assert seen.code == 0, seen.out + seen.err
    assert f"hands out 10.200.5.40-10.200.5.60 of stack {workspace.stack}, on the same network: two pods" in said
    assert f"sets progressTimeout to 30, which stack {workspace.stack} owns" in said
    # That provider's context is no stack's.
    assert "progressTimeout to 31" not in said
    assert "[advisory]" in said
    assert stopped.code != 0
    assert "[mandatory] address-range" in " ".join(stopped.out.split())
    assert "Traceback" not in seen.out + stopped.out
