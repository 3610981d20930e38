"""A stack's MigrationPolicies through every verb: shown, applied, pruned, adopted, checked for drift, destroyed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from operated import HCO, MIGRATIONS, Operated
from support import Outcome, Workspace

from components.ownership import labels

POLICIES = "/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies"
LIMITS = {"bandwidthPerMigration": "512Mi", "completionTimeoutPerGiB": 600}


@dataclass
class Declaring:
    """A project folder whose stack declares one policy, of a name that no other test uses."""

    workspace: Workspace

    @property
    def name(self) -> str:
        return f"databases-{self.workspace.site.namespace}"

    @property
    def key(self) -> str:
        return f"MigrationPolicy {self.name}"

    def declare(self, **more: Any) -> None:
        item = {"name": self.name, "virtualMachineInstanceSelector": {"tier": "db"}, "limits": LIMITS} | more
        self.workspace.config["migrationPolicies"] = [item]
        self.workspace.write()

    def live(self) -> Any:
        return self.workspace.site.kube.call("GET", f"{POLICIES}/{self.name}")

    def edit(self, **spec: Any) -> None:
        self.workspace.site.kube.merge(f"{POLICIES}/{self.name}", {"spec": spec}, "kubectl-edit")

    def make(self, name: str = "") -> None:
        """Make one of the same name, as somebody else."""
        body = {"apiVersion": "migrations.kubevirt.io/v1alpha1", "kind": "MigrationPolicy"}
        body |= {"metadata": {"name": name or self.name}, "spec": {"selectors": {}, "allowPostCopy": True}}
        params = {"fieldManager": "kubectl-create"}
        self.workspace.site.kube.call("POST", POLICIES, json=body, params=params)

    def remove(self) -> None:
        self.workspace.site.kube.call("DELETE", f"{POLICIES}/{self.name}")

    def done(self, verb: str, engine: str, *more: str, code: int = 0) -> Outcome:
        outcome = self.workspace.mignet(verb, engine, *more)
        assert outcome.code == code, outcome.out + outcome.err
        return outcome


@pytest.fixture
def one(workspace: Workspace) -> Iterator[Declaring]:
    found = Declaring(workspace)
    found.declare()
    try:
        yield found
    finally:
        found.remove()


def test_it_is_shown_applied_changed_pruned_and_destroyed(one: Declaring, engine: str) -> None:
    shown = one.done("preview", engine)
    assert shown.changes["MigrationPolicy"][0] == "create"
    (report,) = shown.reports
    says = "the virtual machines that it selects get other limits from their next migration on"
    assert f"{one.key} restarts nothing: {says}" in report["means"]
    assert one.live() is None

    one.done("up", engine)
    live = one.live()
    assert live["spec"] == {"selectors": {"virtualMachineInstanceSelector": {"tier": "db"}}, **LIMITS}
    assert live["metadata"]["labels"] == labels(one.workspace.stack)
    again = one.done("preview", engine)
    assert {each["operation"] for each in again.reports[0]["changes"]} == {"same"}
    assert again.reports[0]["means"] == []

    one.declare(limits=LIMITS | {"completionTimeoutPerGiB": 900})
    changed = one.done("preview", engine).changes["MigrationPolicy"]
    assert changed == ("update", {"spec.completionTimeoutPerGiB": (600, 900, None)})
    one.done("up", engine)
    assert one.live()["spec"]["completionTimeoutPerGiB"] == 900

    del one.workspace.config["migrationPolicies"]
    one.workspace.write()
    assert one.done("preview", engine).changes["MigrationPolicy"][0] == "delete"
    one.done("up", engine)
    assert one.live() is None

    one.declare()
    one.done("up", engine)
    assert one.live() is not None
    one.done("destroy", engine)
    assert one.live() is None


def test_drift_is_found_and_put_back(one: Declaring, engine: str) -> None:
    one.done("up", engine)
    one.edit(bandwidthPerMigration="64Mi", allowPostCopy=True)
    drifted = one.done("drift", engine, code=7)
    assert {(each["code"], each["subject"]["name"]) for each in drifted.findings} == {
        ("field-changed", one.name),
        ("object-extended", one.name),
    }
    assert f"{one.key} spec.bandwidthPerMigration is 64Mi, not 512Mi: set by kubectl-edit" in json.dumps(
        drifted.findings
    )
    one.edit(allowPostCopy=None)
    one.done("drift", engine, "--fix", "--yes")
    assert one.live()["spec"]["bandwidthPerMigration"] == "512Mi"
    one.remove()
    (missing,) = one.done("drift", engine, code=7).findings
    assert (missing["code"], missing["subject"]["name"]) == ("object-missing", one.name)
    one.done("drift", engine, "--fix", "--yes")
    assert one.live() is not None


def test_one_of_somebody_else_is_refused_and_taken_over_with_consent_only(one: Declaring, engine: str) -> None:
    one.make()
    before = one.live()
    refused = one.done("up", engine, code=1)
    remedy = "set migrationPolicies[0].adopt: true to take it over, or choose another name"
    made = "exists and was made by somebody else (field manager kubectl-create)"
    assert f"{one.key} {made}; {remedy}" in refused.reports[0]["error"]
    assert one.live() == before
    (drift,) = [each for each in one.done("drift", engine, code=7).findings if each["code"] == "object-recreated"]
    assert drift["remedy"].endswith("or set migrationPolicies[0].adopt: true to take it over as it is")
    one.declare(adopt=True)
    one.done("up", engine)
    live = one.live()
    assert live["metadata"]["labels"] == labels(one.workspace.stack)
    assert live["spec"].items() >= LIMITS.items()
    one.done("destroy", engine)


def test_another_stacks_is_refused(one: Declaring) -> None:
    one.done("up", "direct")
    one.workspace.site.kube.merge(
        f"{POLICIES}/{one.name}", {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}, "kubectl-edit"
    )
    refused = one.done("preview", "direct", code=1)
    assert f"{one.key} belongs to stack other" in refused.reports[0]["error"]


@pytest.mark.pulumi
def test_plain_pulumi_does_the_same(one: Declaring) -> None:
    workspace = one.workspace
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    workspace.write()
    one.make()
    refused = workspace.pulumi("preview")
    assert refused.code != 0
    assert f"{one.key} exists and was made by somebody else (field manager kubectl-create)" in refused.out
    one.remove()
    assert workspace.pulumi("up", "--yes", "--skip-preview").code == 0
    assert one.live()["spec"].items() >= LIMITS.items()
    assert workspace.pulumi("preview", "--expect-no-changes").code == 0
    one.edit(bandwidthPerMigration="64Mi")
    assert workspace.pulumi("preview", "--expect-no-changes").code == 7
    del workspace.config["migrationPolicies"]
    workspace.write()
    gone = workspace.pulumi("up", "--yes", "--skip-preview")
    assert gone.code == 0, gone.out
    assert one.live() is None


@pytest.mark.parametrize("tool", [(), ("--for", "argocd")])
def test_it_is_rendered(one: Declaring, tool: tuple[str, ...]) -> None:
    rendered = one.workspace.run("mignet", "render", one.workspace.stack, *tool)
    assert rendered.code == 0, rendered.err
    (policy,) = [each for each in yaml.safe_load_all(rendered.out) if each["kind"] == "MigrationPolicy"]
    assert policy["spec"] == {"selectors": {"virtualMachineInstanceSelector": {"tier": "db"}}, **LIMITS}
    assert policy["metadata"]["labels"] == labels(one.workspace.stack)
    assert ("annotations" in policy["metadata"]) == bool(tool)


def test_it_waits_for_no_migration(operated: Operated) -> None:
    up = ("up", "dev", "--yes", "--skip-preflight", "--engine", "direct")
    assert operated.run(*up).code == 0
    body: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    operated.dev.kube.call("POST", MIGRATIONS, json=body | {"metadata": {"name": "move"}, "spec": {"vmiName": "none"}})
    network = operated.dev.get(HCO)["metadata"]["generation"]
    item = {"name": "databases", "namespaceSelector": {"team": "db"}, "limits": LIMITS}
    operated.change("dev", migrationPolicies=[item])
    done = operated.run(*up, "--wait-for-migrations", "0")
    assert done.code == 0, done.out + done.err
    assert "dev: MigrationPolicy databases restarts nothing" in done.out + done.err
    assert operated.dev.get(f"{POLICIES}/databases") is not None
    assert operated.dev.get(HCO)["metadata"]["generation"] == network
    assert operated.run("verify", "dev").code == 0
    operated.dev.kube.call("DELETE", f"{POLICIES}/databases")
    gone = operated.run("verify", "dev")
    assert "MigrationPolicy databases does not exist" in gone.out
