"""Plain `pulumi preview` and `up`, with nothing of ours in between; tests/lab/test_scenario.py does its whole job."""

from __future__ import annotations

import json

import pytest
from support import LIMITS, Outcome, Workspace

pytestmark = pytest.mark.pulumi


def pulumi(workspace: Workspace, verb: str, *more: str, code: int = 0) -> Outcome:
    outcome = workspace.run("pulumi", verb, "--stack", workspace.stack, "--non-interactive", *more)
    assert outcome.code == code, outcome.out + outcome.err
    return outcome


@pytest.fixture
def initialised(workspace: Workspace) -> Workspace:
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    return workspace


def test_plain_pulumi_shows_what_it_would_do_and_exports_what_a_user_looks_up(initialised: Workspace) -> None:
    workspace, site = initialised, initialised.site
    before = site.content()
    first = pulumi(workspace, "preview")
    assert "+ 7 to create" in first.out
    assert site.content() == before
    pulumi(workspace, "up", "--yes", "--skip-preview")
    live = site.live()
    settings = live["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert settings.items() >= (LIMITS | {"network": "migration"}).items()
    outputs = json.loads(workspace.run("pulumi", "stack", "output", "--json", "--stack", workspace.stack).out)
    assert outputs["network"] == "migration"
    assert outputs["slice"] == "10.200.5.10-10.200.5.60"
    pulumi(workspace, "preview", "--expect-no-changes")

    # Drift, seen without --refresh: the project says `refresh: always`.
    by_hand = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}
    site.kube.merge(site.hyperconverged, by_hand, "kubectl-edit")
    seen = pulumi(workspace, "preview", "--expect-no-changes", code=7)
    assert "takes over HyperConverged spec.liveMigrationConfig.completionTimeoutPerGiB: 99 (owned by kubectl-edit)" in (
        seen.out
    )
    pulumi(workspace, "refresh", "--preview-only", "--expect-no-changes", code=7)


def test_all_mistakes_of_a_stack_file_are_the_programs_error_without_a_traceback(initialised: Workspace) -> None:
    workspace = initialised
    workspace.config["slice"]["rangeEnd"] = "10.200.5.9"
    workspace.config["attachment"]["mastr"] = "eth1"
    workspace.config["segmnt"] = {}
    workspace.write()
    outcome = workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")
    assert outcome.code != 0
    text = outcome.out + outcome.err
    for line in (
        f"{workspace.stack}: slice.rangeEnd 10.200.5.9 comes before rangeStart 10.200.5.10; whereabouts ignores such",
        f"{workspace.stack}: attachment.mastr eth1 is not a key of type macvlan. Did you mean master?",
        f"{workspace.stack}: segmnt is not a config key. Did you mean segment?",
    ):
        assert line in text
    assert "Traceback" not in text
    assert "unhandled" not in text
    mignet = workspace.run("mignet", "preview", workspace.stack)
    assert mignet.code == 2
    assert all(line in text for line in mignet.err.splitlines()), "the same lines"


def test_an_edited_kubeconfig_replaces_nothing(initialised: Workspace) -> None:
    workspace = initialised
    pulumi(workspace, "up", "--yes", "--skip-preview")
    copy = workspace.folder / "kubeconfig"
    copy.write_text(workspace.site.kubeconfig.read_text().replace("127.0.0.1", "localhost"))
    workspace.config["cluster"]["kubeconfig"] = str(copy)
    workspace.write()
    preview = pulumi(workspace, "preview", "--json")
    steps = [(step["op"], step["urn"].rpartition("::")[2]) for step in json.loads(preview.out)["steps"]]
    assert ("update", "cluster") in steps, "the provider is told of its new kubeconfig"
    assert not [step for step in steps if step[0] not in {"same", "update", "refresh"}], steps
    assert [name for op, name in steps if op == "update"] == ["cluster"]


def test_a_relative_kubeconfig_starts_at_the_projects_folder_for_the_provider_too(initialised: Workspace) -> None:
    workspace = initialised
    content = workspace.site.kubeconfig.read_text()
    (workspace.folder / "kubeconfig").write_text(content)
    workspace.config["cluster"]["kubeconfig"] = "kubeconfig"
    workspace.write()
    pulumi(workspace, "up", "--yes", "--skip-preview")
    assert "migration" in workspace.site.live()["attachments"]


def test_no_credential_is_in_any_output_or_in_the_state(initialised: Workspace) -> None:
    workspace = initialised
    texts = [
        pulumi(workspace, "up", "--yes", "--skip-preview", "--diff", "--show-secrets").out,
        *(file.read_text() for file in workspace.folder.glob("backend/**/*.json*")),
        pulumi(workspace, "preview", "--json").out,
        workspace.run("pulumi", "stack", "export", "--show-secrets", "--stack", workspace.stack).out,
        workspace.mignet("preview", "pulumi").out,
    ]
    kubeconfig = json.loads(workspace.site.kubeconfig.read_text())
    keys = [user["user"]["client-key-data"] for user in kubeconfig["users"]]
    assert keys
    for text in texts:
        assert "PRIVATE KEY" not in text
        assert not any(key in text for key in keys)


def test_a_slice_that_a_stack_file_beside_it_has_too_is_refused(initialised: Workspace) -> None:
    workspace = initialised
    own = (workspace.folder / f"Pulumi.{workspace.stack}.yaml").read_text()
    peer = workspace.folder / "Pulumi.peer.yaml"
    peer.write_text(own.replace(f"context: {workspace.site.context}", "context: elsewhere"))
    seen = pulumi(workspace, "preview", code=1)
    assert "the stack does not go together with others; nothing was changed" in seen.out
    assert "slice 10.200.5.10-10.200.5.60 is the slice of peer too" in seen.out
    peer.write_text("config: {}\n")
    assert "peer cannot be read: not compared with the other stacks" in pulumi(workspace, "preview").out
