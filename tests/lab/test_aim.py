"""Guards, engines and every verb reach the one cluster that the stack means, or refuse: two clusters, other homes."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support import Workspace

from mignet.lab.lab import Lab

IDENTITY = "/api/v1/namespaces/kube-system"


def leads_to(lab: Lab, context: str, *, called: str) -> str:
    """Return a kubeconfig whose context `called` leads to the lab's cluster `context`."""
    content = yaml.safe_load(lab.kubeconfig.read_text())
    (chosen,) = (each for each in content["contexts"] if each["name"] == context)
    return json.dumps(content | {"contexts": [chosen | {"name": called}], "current-context": called})


@pytest.fixture
def at_home(lab: Lab) -> Iterator[str]:
    """A folder below the home of this account, as a stack file names it; its kubeconfig leads to dev."""
    name = f".migration-network-test-{uuid.uuid4().hex[:8]}"
    folder = Path(pwd.getpwuid(os.getuid()).pw_dir, name)
    folder.mkdir(mode=0o700)
    (folder / "kubeconfig").write_text(leads_to(lab, "dev", called="here"))
    yield name
    shutil.rmtree(folder)


@pytest.fixture
def elsewhere(lab: Lab, at_home: str, tmp_path: Path) -> Path:
    """Another home folder, in which a kubeconfig of the same path leads to dev-peer."""
    other = tmp_path / "home"
    (other / at_home).mkdir(parents=True)
    (other / at_home / "kubeconfig").write_text(leads_to(lab, "dev-peer", called="here"))
    return other


def test_guards_and_engine_reach_one_cluster_whatever_the_home(
    workspace: Workspace, at_home: str, elsewhere: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.config["cluster"] |= {"context": "here", "kubeconfig": f"~/{at_home}/kubeconfig"}
    workspace.write()
    if engine == "pulumi":
        assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    assert workspace.mignet("up", engine).code == 0
    assert "migration" in workspace.site.live()["attachments"]

    monkeypatch.setenv("HOME", str(elsewhere))
    assert workspace.mignet("preview", engine, "--expect-no-changes").code == 0
    by_hand = {"spec": {"liveMigrationConfig": {"progressTimeout": 9}}}
    workspace.site.kube.merge(workspace.site.hyperconverged, by_hand, "kubectl-edit")
    changed = workspace.mignet("preview", engine, "--expect-no-changes")
    assert changed.code == 7, "the guards look at the cluster that was applied to"
    assert workspace.mignet("up", engine).code == 0
    assert workspace.site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]["progressTimeout"] == 150

    moved = Workspace(workspace.folder.with_name("copy"), workspace.site, workspace.config)
    shutil.copytree(workspace.folder, moved.folder, symlinks=True)
    if engine == "pulumi":
        preview = ("preview", "--stack", moved.stack, "--non-interactive", "--expect-no-changes")
        assert moved.run("pulumi", *preview).code == 0, "another checkout and another home are no change"
    assert moved.mignet("preview", engine, "--expect-no-changes").code == 0


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("preflight", []),
        ("preview", []),
        ("up", ["--yes"]),
        ("up", ["--yes", "--skip-preflight"]),
        ("verify", ["--timeout", "0"]),
        ("drift", []),
        ("drift", ["--fix", "--yes"]),
        ("checkup", ["--timeout", "10"]),
        ("report", []),
        ("destroy", ["--yes"]),
    ],
)
def test_every_verb_refuses_a_context_that_leads_to_another_cluster(
    workspace: Workspace, verb: str, arguments: list[str]
) -> None:
    before = workspace.site.content()
    uid = str(uuid.uuid4())
    workspace.config["cluster"]["uid"] = uid
    workspace.write()
    outcome = workspace.run("mignet", verb, workspace.stack, *arguments)
    assert outcome.code == 2, outcome.out + outcome.err
    seen = outcome.out + outcome.err
    if verb == "report":
        seen = (workspace.folder / "migration-network.html").read_text()
    assert f"cluster.uid is {uid}" in seen
    assert "Traceback" not in seen
    assert workspace.site.content() == before


def test_peers_refuse_a_context_that_leads_to_another_cluster(workspace: Workspace) -> None:
    path = workspace.folder / f"Pulumi.{workspace.stack}.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["migration-network:cluster"] |= {"context": "dev-peer", "uid": str(uuid.uuid4())}
    content["config"]["migration-network:slice"] = {"rangeStart": "10.200.5.61", "rangeEnd": "10.200.5.90"}
    (workspace.folder / "Pulumi.other.yaml").write_text(yaml.safe_dump(content))
    outcome = workspace.run("mignet", "peers")
    assert outcome.code == 2, outcome.out + outcome.err
    assert "other: cluster.context dev-peer" in outcome.out
    assert "is another cluster" in outcome.out


@pytest.mark.pulumi
def test_the_program_refuses_a_context_that_leads_to_another_cluster(workspace: Workspace) -> None:
    workspace.config["cluster"]["uid"] = str(uuid.uuid4())
    workspace.write()
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    outcome = workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")
    assert outcome.code not in {0, 7}
    assert "is another cluster: the UID of its namespace kube-system is" in outcome.out + outcome.err


def test_the_right_cluster_is_recognised(workspace: Workspace) -> None:
    workspace.config["cluster"]["uid"] = workspace.site.kube.call("GET", IDENTITY)["metadata"]["uid"]
    workspace.write()
    assert workspace.run("mignet", "preview", workspace.stack, "--engine", "direct").code == 0


@pytest.mark.parametrize("verb", ["preflight", "peers", "up"])
def test_two_stacks_whose_contexts_lead_to_one_cluster_are_found(lab: Lab, workspace: Workspace, verb: str) -> None:
    twin = workspace.folder / "twin.kubeconfig"
    twin.write_text(leads_to(lab, "dev", called="twin"))
    content = yaml.safe_load((workspace.folder / f"Pulumi.{workspace.stack}.yaml").read_text())
    content["config"]["migration-network:cluster"] |= {"context": "twin", "kubeconfig": str(twin)}
    content["config"]["migration-network:slice"] = {"rangeStart": "10.200.5.61", "rangeEnd": "10.200.5.90"}
    (workspace.folder / "Pulumi.twin.yaml").write_text(yaml.safe_dump(content))
    options = {"peers": [], "preflight": ["--all"], "up": ["--all", "--yes", "--engine", "direct"]}[verb]
    outcome = workspace.run("mignet", verb, *options)
    assert outcome.code == 1
    assert f"twin: cluster.context twin leads to the cluster of {workspace.stack} too" in outcome.out + outcome.err
