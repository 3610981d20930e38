"""The main job, step by step, on each engine and by plain Pulumi: the same objects, and the same changes and owners."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from support import LIMITS, Workspace

NOTHING = ("same", {})
ATTACHMENT = "NetworkAttachmentDefinition migration"
HYPERCONVERGED = "HyperConverged kubevirt-hyperconverged"
LIMIT = "spec.liveMigrationConfig"
UNCHANGED = {ATTACHMENT: NOTHING, HYPERCONVERGED: NOTHING}

Plan = dict[str, tuple[str, dict[str, tuple[Any, Any, str | None]]]]
"""By kind and name, the operation and the fields: path to (old, new, owner)."""


@dataclass
class Steps:
    """What was seen of one engine, by step. Of `plain`, which is plain Pulumi, no plans are read."""

    workspace: Workspace
    engine: str
    held: dict[str, str] = field(default_factory=dict)
    """What the namespace held, managed fields included."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """What was said of it."""
    refused: dict[str, str] = field(default_factory=dict)

    def look(self, step: str, verb: str = "preview", *more: str, code: int = 0) -> None:
        if self.engine != "plain":
            before = self.workspace.site.content()
            self._run(step, verb, *more, code=code)
            assert self.workspace.site.content() == before, "a look changes nothing"

    def act(self, step: str, verb: str = "up", *, code: int = 0) -> None:
        before = self.workspace.site.content()
        if self.engine == "plain":
            outcome = self.workspace.pulumi(verb, "--yes", "--skip-preview")
            assert outcome.code == code, outcome.out + outcome.err
        else:
            self._run(step, verb, code=code)
        self.held[step] = self.workspace.site.content()
        assert code == 0 or self.held[step] == before, "what is refused changes nothing"

    @property
    def said(self) -> str:
        """All plans and refusals, in their order, without this site's own name."""
        text = json.dumps([self.plans, self.refused], indent=1)
        return text.replace(self.workspace.site.namespace, "NAMESPACE")

    def _run(self, step: str, verb: str, *more: str, code: int) -> None:
        outcome = self.workspace.mignet(verb, self.engine, *more)
        assert outcome.code == code, outcome.out + outcome.err
        (report,) = outcome.reports
        assert report["engine"] == self.engine
        if report["error"]:
            self.refused[f"{step}, {verb}"] = report["error"]
            return
        self.plans[f"{step}, {verb}"] = {
            f"{change['kind']} {change['name']}": (
                change["operation"],
                {each["path"]: (each["old"], each["new"], each["owner"]) for each in change["fields"]},
            )
            for change in report["changes"]
        }


def by_hand(workspace: Workspace) -> None:
    limit(workspace, 99)
    site = workspace.site
    # Not by kubectl: Pulumi's provider takes over what kubectl wrote on an object of ours, and drops it (ADR 2).
    site.kube.merge(f"{site.attachments}/migration", {"metadata": {"labels": {"team": "other"}}}, "Mozilla")
    live = json.loads(site.live()["attachments"]["migration"]["spec"]["config"])
    changed = json.dumps(live | {"mtu": 1500})
    site.kube.merge(f"{site.attachments}/migration", {"spec": {"config": changed}}, "kubectl-edit")


def limit(workspace: Workspace, value: int) -> None:
    patch = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": value}}}
    workspace.site.kube.merge(workspace.site.hyperconverged, patch, "kubectl-edit")


def scenario(workspace: Workspace, engine: str) -> Steps:
    """Run every step, and return what was seen."""
    site, config = workspace.site, workspace.config
    steps = Steps(workspace, engine)
    limits = config["hyperConverged"]["liveMigration"]
    if engine == "plain":
        assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    steps.held["before"] = site.content()
    steps.look("first")
    steps.act("first")
    steps.look("first", "drift")
    steps.look("unchanged", "preview", "--expect-no-changes")

    by_hand(workspace)
    steps.look("by hand", "drift", code=7)
    steps.look("by hand", "preview", "--expect-no-changes", code=7)
    steps.act("repaired")
    steps.look("repaired", "drift")

    limits["progressTimeout"] = 200
    workspace.write()
    steps.look("changed")
    steps.act("changed")

    limit(workspace, 77)
    config["hyperConverged"]["onConflict"] = "fail"
    workspace.write()
    steps.look("conflict", code=1)
    steps.act("conflict", code=1)
    config["hyperConverged"]["onConflict"] = "take-over"
    workspace.write()
    steps.look("taken over")
    steps.act("taken over")

    del limits["completionTimeoutPerGiB"]
    workspace.write()
    steps.look("left the stack")
    steps.act("left the stack")

    site.kube.call("DELETE", f"{site.attachments}/migration")
    steps.look("gone", "drift", code=7)
    steps.act("made again")

    config["attachment"]["name"] = "migration-2"
    workspace.write()
    steps.look("renamed")
    steps.act("renamed")
    steps.look("renamed", "drift")
    steps.act("destroyed", "destroy")
    return steps


def demanded(steps: Steps, others: dict[str, Any]) -> None:
    """Hold what the steps left against what they are to leave."""
    held = {step: json.loads(content) for step, content in steps.held.items()}
    before, end = held["before"]["hyperconverged"]["spec"], held["destroyed"]["hyperconverged"]["spec"]
    live = held["first"]["hyperconverged"]["spec"]["liveMigrationConfig"]
    assert live == LIMITS | {"network": "migration", "allowAutoConverge": False, "allowPostCopy": False}
    labels = held["repaired"]["attachments"]["migration"]["metadata"]["labels"]
    assert labels["team"] == "other", "a label of somebody else is none of our business"
    assert held["left the stack"]["hyperconverged"]["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] == 150
    assert list(held["renamed"]["attachments"]) == ["foreign", "migration-2"]
    assert held["renamed"]["hyperconverged"]["spec"]["liveMigrationConfig"]["network"] == "migration-2"
    assert end["liveMigrationConfig"] == before["liveMigrationConfig"]
    assert list(held["destroyed"]["attachments"]) == ["foreign"]
    assert steps.workspace.site.others() == others, "nothing foreign was changed"


@pytest.fixture
def directly(workspaces: Any) -> Steps:
    """What the direct engine does."""
    workspace = workspaces()
    workspace.site.foreign()
    others = workspace.site.others()
    steps = scenario(workspace, "direct")
    demanded(steps, others)
    return steps


def test_the_job_is_done_seen_repaired_and_undone(directly: Steps) -> None:
    plans = directly.plans
    operation, fields = plans["first, preview"][HYPERCONVERGED]
    assert (plans["first, preview"][ATTACHMENT][0], operation) == ("create", "update")
    assert fields[f"{LIMIT}.network"] == (None, "migration", None)
    assert fields[f"{LIMIT}.completionTimeoutPerGiB"] == (150, 800, "kubectl-create")
    # Equal values are shared with their owner: nothing is taken.
    assert fields[f"{LIMIT}.progressTimeout"] == (150, 150, None)
    for step in ("first, drift", "unchanged, preview", "repaired, drift"):
        assert plans[step] == UNCHANGED, step
    edited = {
        ATTACHMENT: ("update", {"spec.config{mtu}": (1500, 9000, "kubectl-edit")}),
        HYPERCONVERGED: ("update", {f"{LIMIT}.completionTimeoutPerGiB": (99, 800, "kubectl-edit")}),
    }
    assert plans["by hand, drift"] == plans["by hand, preview"] == edited
    changed = {f"{LIMIT}.progressTimeout": (150, 200, "kubectl-create")}
    assert plans["changed, preview"] == UNCHANGED | {HYPERCONVERGED: ("update", changed)}
    refused = directly.refused["conflict, preview"]
    assert refused.startswith(f"HyperConverged {LIMIT}.completionTimeoutPerGiB is 77 and owned by kubectl-edit")
    taken = {f"{LIMIT}.completionTimeoutPerGiB": (77, 800, "kubectl-edit")}
    assert plans["taken over, preview"] == UNCHANGED | {HYPERCONVERGED: ("update", taken)}
    left = plans["left the stack, preview"][HYPERCONVERGED]
    assert left == ("update", {f"{LIMIT}.completionTimeoutPerGiB": (800, 150, None)})
    gone = plans["gone, drift"]
    assert (gone[ATTACHMENT][0], gone[HYPERCONVERGED]) == ("create", NOTHING)
    assert [(name, change[0]) for name, change in plans["renamed, preview"].items()] == [
        (f"{ATTACHMENT}-2", "create"),
        (HYPERCONVERGED, "update"),
        (ATTACHMENT, "delete"),
    ]
    last = plans["destroyed, destroy"]
    assert (last[f"{ATTACHMENT}-2"][0], last[HYPERCONVERGED][0]) == ("delete", "relinquish")
    assert last[HYPERCONVERGED][1][f"{LIMIT}.progressTimeout"] == (200, 150, None)


@pytest.mark.pulumi
@pytest.mark.parametrize("way", ["pulumi", "plain"])
def test_pulumi_leaves_after_every_step_what_the_direct_engine_leaves(
    directly: Steps, workspaces: Any, way: str
) -> None:
    workspace = workspaces()
    workspace.site.foreign()
    others = workspace.site.others()
    steps = scenario(workspace, way)
    demanded(steps, others)
    assert list(steps.held) == list(directly.held)
    for step, content in directly.held.items():
        assert steps.held[step] == content, step
    if way == "pulumi":
        assert steps.said == directly.said


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
