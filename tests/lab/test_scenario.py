"""The main job, step by step, on each engine, against a real API server: the same objects, managed fields included."""

import json
from typing import Any

import pytest
from support import LIMITS, Workspace

NOTHING = ("same", {})


def by_hand(workspace: Workspace) -> None:
    site = workspace.site
    site.kube.merge(
        site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "kubectl-edit"
    )
    # Not by kubectl: Pulumi's provider takes over what kubectl wrote on an object of ours, and drops it (ADR 2).
    site.kube.merge(f"{site.attachments}/migration", {"metadata": {"labels": {"team": "other"}}}, "Mozilla")
    live = json.loads(site.live()["attachments"]["migration"]["spec"]["config"])
    changed = json.dumps(live | {"mtu": 1500})
    site.kube.merge(f"{site.attachments}/migration", {"spec": {"config": changed}}, "kubectl-edit")


def scenario(workspace: Workspace, engine: str) -> dict[str, str]:
    """Run every step, and return what the namespace held after each."""
    site = workspace.site
    held = {"before": site.content()}

    def mignet(verb: str, *more: str, code: int = 0) -> dict[str, tuple[str, dict[str, Any]]]:
        outcome = workspace.mignet(verb, engine, *more)
        assert outcome.code == code, outcome.out + outcome.err
        assert outcome.reports[0]["engine"] == engine
        return outcome.changes

    first = mignet("preview")
    assert first["NetworkAttachmentDefinition"][0] == "create"
    operation, fields = first["HyperConverged"]
    assert operation == "update"
    path = "spec.liveMigrationConfig"
    assert fields[f"{path}.network"] == (None, "migration", None)
    assert fields[f"{path}.completionTimeoutPerGiB"] == (150, 800, "kubectl-create")
    # Equal values are shared with their owner: nothing is taken.
    assert fields[f"{path}.progressTimeout"] == (150, 150, None)
    assert site.content() == held["before"], "a preview changes nothing"

    mignet("up")
    held["up"] = site.content()
    live = site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert live == LIMITS | {"network": "migration", "allowAutoConverge": False, "allowPostCopy": False}
    assert mignet("drift") == {"NetworkAttachmentDefinition": NOTHING, "HyperConverged": NOTHING}
    assert mignet("preview", "--expect-no-changes") == mignet("drift")

    by_hand(workspace)
    drift = {
        "NetworkAttachmentDefinition": ("update", {"spec.config{mtu}": (1500, 9000, "kubectl-edit")}),
        "HyperConverged": ("update", {f"{path}.completionTimeoutPerGiB": (99, 800, "kubectl-edit")}),
    }
    assert mignet("drift", code=7) == drift
    assert mignet("preview", "--expect-no-changes", code=7) == drift
    mignet("up")
    assert mignet("drift") == {"NetworkAttachmentDefinition": NOTHING, "HyperConverged": NOTHING}
    held["repaired"] = site.content()
    labels = site.live()["attachments"]["migration"]["metadata"]["labels"]
    assert labels["team"] == "other", "a label of somebody else is none of our business"

    workspace.config["hyperConverged"]["liveMigration"]["progressTimeout"] = 200
    workspace.write()
    assert mignet("preview") == {
        "NetworkAttachmentDefinition": NOTHING,
        "HyperConverged": ("update", {f"{path}.progressTimeout": (150, 200, "kubectl-create")}),
    }
    mignet("up")
    assert mignet("drift") == {"NetworkAttachmentDefinition": NOTHING, "HyperConverged": NOTHING}
    held["changed"] = site.content()

    site.kube.call("DELETE", f"{site.attachments}/migration")
    gone = mignet("drift", code=7)
    assert (gone["NetworkAttachmentDefinition"][0], gone["HyperConverged"]) == ("create", NOTHING)
    mignet("up")
    assert mignet("drift") == {"NetworkAttachmentDefinition": NOTHING, "HyperConverged": NOTHING}

    last = mignet("destroy")
    assert (last["NetworkAttachmentDefinition"][0], last["HyperConverged"][0]) == ("delete", "relinquish")
    assert last["HyperConverged"][1][f"{path}.completionTimeoutPerGiB"] == (800, 150, None)
    held["destroyed"] = site.content()
    return held


def test_the_job_is_done_seen_repaired_and_undone(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    site.foreign()
    before = workspace.site.others()
    held = scenario(workspace, engine)
    assert workspace.site.others() == before, "nothing foreign was changed"
    settings = json.loads(held["destroyed"])["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert settings == json.loads(held["before"])["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert list(json.loads(held["destroyed"])["attachments"]) == ["foreign"]


@pytest.mark.pulumi
def test_both_engines_leave_the_same_objects_after_every_step(workspaces: Any) -> None:
    direct, pulumi = (scenario(workspaces(), engine) for engine in ("direct", "pulumi"))
    assert direct.keys() == pulumi.keys()
    for step, content in direct.items():
        assert content == pulumi[step], step


@pytest.mark.pulumi
def test_either_engine_sees_no_change_in_what_the_other_has_made(workspace: Workspace) -> None:
    assert workspace.mignet("up", "pulumi").code == 0
    assert workspace.mignet("drift", "direct").code == 0
    assert workspace.mignet("destroy", "pulumi").code == 0
    assert workspace.mignet("up", "direct").code == 0
    assert workspace.mignet("up", "pulumi").code == 0
    assert workspace.mignet("drift", "pulumi").code == 0


def test_a_field_that_left_the_stack_is_a_change_for_the_engine_that_set_it_and_for_the_direct_one(
    workspace: Workspace, engine: str
) -> None:
    assert workspace.mignet("up", engine).code == 0
    del workspace.config["hyperConverged"]["liveMigration"]["completionTimeoutPerGiB"]
    workspace.write()
    path = "spec.liveMigrationConfig.completionTimeoutPerGiB"
    for looks in {engine, "direct"}:
        operation, fields = workspace.mignet("preview", looks).changes["HyperConverged"]
        assert (operation, fields[path][:2]) == ("update", (800, 150)), looks
    assert workspace.mignet("up", "direct").code == 0
    live = workspace.site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert live["completionTimeoutPerGiB"] == 150, "its default"


def test_a_destroy_creates_no_hyperconverged_that_is_gone(workspace: Workspace, engine: str) -> None:
    assert workspace.mignet("up", engine).code == 0
    workspace.site.kube.call("DELETE", workspace.site.hyperconverged)
    assert workspace.mignet("destroy", engine).code == 0
    assert workspace.site.live() == {"hyperconverged": None, "attachments": {}}


def test_a_renamed_attachment_replaces_the_old_one(workspace: Workspace, engine: str) -> None:
    assert workspace.mignet("up", engine).code == 0
    workspace.config["attachment"]["name"] = "migration-2"
    workspace.write()
    outcome = workspace.mignet("up", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    live = workspace.site.live()
    assert list(live["attachments"]) == ["migration-2"]
    assert live["hyperconverged"]["spec"]["liveMigrationConfig"]["network"] == "migration-2"
    assert workspace.mignet("drift", engine).code == 0
