"""A changed attachment: with `rollout: rename` a new network before the old one goes, in place a warning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import Outcome, Site, Workspace

from mignet.kube.network.attachment_history import SINCE

NAD = "NetworkAttachmentDefinition"
HCO = "HyperConverged"


def changed(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return what a report says, in its order."""
    (report,) = outcome.reports
    assert report["error"] is None, report["error"]
    return [(change["operation"], change["kind"], change["name"]) for change in report["changes"]]


def version(site: Site) -> str:
    """Return the API server's present resource version: it counts the writes of all kinds."""
    return str(site.kube.call("GET", site.attachments)["metadata"]["resourceVersion"])


def written(site: Site, since: str) -> list[tuple[str, str, str]]:
    """Return what the API server wrote after `since`, in its order: event, kind, and name (or the network named)."""
    events: list[tuple[int, tuple[str, str, str]]] = []
    for path in (site.attachments, site.hyperconverged.rpartition("/")[0]):
        watch = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"}
        for line in site.kube.http.get(path, params=watch).text.splitlines():
            event = json.loads(line)
            live = event["object"]
            name = live["metadata"]["name"]
            if live["kind"] == HCO:
                name = live["spec"]["liveMigrationConfig"].get("network")
            events.append((int(live["metadata"]["resourceVersion"]), (event["type"], live["kind"], name)))
    return [event for _, event in sorted(events)]


def configure(workspace: Workspace, **attachment: Any) -> None:
    workspace.config["attachment"] |= attachment
    workspace.write()


@pytest.fixture
def renaming(workspace: Workspace) -> Workspace:
    configure(workspace, rollout="rename")
    return workspace


def test_a_change_makes_the_new_network_names_it_and_only_then_deletes_the_old_one(
    renaming: Workspace, engine: str
) -> None:
    workspace, site = renaming, renaming.site
    first = workspace.mignet("up", engine)
    assert first.code == 0, first.out + first.err
    (old,) = site.live()["attachments"]
    assert old.startswith("migration-")
    assert site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]["network"] == old

    configure(workspace, mtu=1500)
    before = version(site)
    preview = workspace.mignet("preview", engine)
    (_, _, new), *_ = changed(preview)
    assert changed(preview) == [
        ("create", NAD, new),
        ("update", HCO, "kubevirt-hyperconverged"),
        ("delete", NAD, old),
    ]
    assert preview.changes[HCO][1] == {"spec.liveMigrationConfig.network": (old, new, None)}
    assert preview.reports[0]["warnings"] == []
    assert written(site, before) == [], "a preview changes nothing"

    assert changed(workspace.mignet("up", engine)) == changed(preview)
    assert written(site, before) == [("ADDED", NAD, new), ("MODIFIED", HCO, new), ("DELETED", NAD, old)]
    assert list(site.live()["attachments"]) == [new]
    assert workspace.mignet("drift", engine).code == 0

    configure(workspace, mtu=9000)
    assert changed(workspace.mignet("up", engine))[0] == ("create", NAD, old), "the same content has the same name"


def test_an_attachment_in_place_becomes_a_renamed_one_in_the_same_order(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    assert workspace.mignet("up", engine).code == 0
    configure(workspace, rollout="rename")
    before = version(site)
    assert workspace.mignet("up", engine).code == 0
    (new,) = site.live()["attachments"]
    assert written(site, before) == [("ADDED", NAD, new), ("MODIFIED", HCO, new), ("DELETED", NAD, "migration")]


def test_a_renamed_localnet_names_itself(renaming: Workspace, engine: str) -> None:
    workspace, site = renaming, renaming.site
    workspace.config["attachment"] = {"type": "localnet", "name": "migration", "rollout": "rename"}
    workspace.write()
    assert workspace.mignet("up", engine).code == 0
    ((name, live),) = site.live()["attachments"].items()
    config = json.loads(live["spec"]["config"])
    assert config["netAttachDefName"] == f"{site.namespace}/{name}"
    assert workspace.mignet("drift", engine).code == 0


STALE = (
    "(spec.config{mtu}): virt-handlers that run keep the old network until their pods are made anew;"
    " attachment.rollout: rename has the operator move them"
)


def test_a_change_in_place_warns_that_running_virt_handlers_keep_the_old_network(
    workspace: Workspace, engine: str
) -> None:
    first = workspace.mignet("up", engine)
    assert first.reports[0]["warnings"] == [], "nobody uses a network that is only now made"
    configure(workspace, mtu=1500)
    name = f"NetworkAttachmentDefinition {workspace.site.namespace}/migration"
    warning = f"{name} changes in place {STALE}"
    for verb in ("preview", "up"):
        outcome = workspace.mignet(verb, engine)
        assert outcome.code == 0, outcome.out + outcome.err
        assert outcome.reports[0]["warnings"] == [warning]
    assert workspace.mignet("preview", engine).reports[0]["warnings"] == [], "it is in place"


@pytest.mark.pulumi
def test_plain_pulumi_warns_of_a_change_in_place_too(workspace: Workspace) -> None:
    assert workspace.mignet("up", "pulumi").code == 0
    quiet = workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")
    assert "changes in place" not in quiet.out + quiet.err
    configure(workspace, mtu=1500)
    outcome = workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")
    assert outcome.code == 0, outcome.out + outcome.err
    assert f"migration changes in place {STALE}" in outcome.out


def test_a_renamed_attachment_that_was_edited_by_hand_is_repaired_with_a_warning(
    renaming: Workspace, engine: str
) -> None:
    workspace, site = renaming, renaming.site
    assert workspace.mignet("up", engine).code == 0
    ((name, live),) = site.live()["attachments"].items()
    edited = json.dumps(json.loads(live["spec"]["config"]) | {"mtu": 1400})
    site.kube.merge(f"{site.attachments}/{name}", {"spec": {"config": edited}}, "kubectl-edit")
    outcome = workspace.mignet("up", engine)
    (warning,) = outcome.reports[0]["warnings"]
    assert warning.endswith("virt-handlers that run keep the old network until their pods are made anew")
    assert site.live()["attachments"][name]["spec"] == live["spec"]


def grown(workspace: Workspace) -> dict[str, Any]:
    """Give the stack a larger slice, on both sides, and return the note that belongs on the attachment then."""
    workspace.config["slice"] = {"rangeStart": "10.200.5.5", "rangeEnd": "10.200.5.70"}
    workspace.write()
    (live,) = workspace.site.live()["attachments"].values()
    return dict(live)


@pytest.mark.parametrize("rollout", ["in-place", "rename"])
def test_a_slice_that_grows_changes_the_attachment_and_nothing_else(
    workspace: Workspace, engine: str, rollout: str
) -> None:
    configure(workspace, rollout=rollout)
    assert workspace.mignet("up", engine).code == 0
    before = grown(workspace)
    name = before["metadata"]["name"]

    preview = workspace.mignet("preview", engine)
    applied = workspace.mignet("up", engine)
    again = workspace.mignet("preview", engine)
    drift = workspace.mignet("drift", engine)

    for outcome in (preview, applied):
        assert changed(outcome) == [("update", NAD, name), ("same", HCO, "kubevirt-hyperconverged")]
        assert outcome.reports[0]["warnings"] == []
    assert (changed(again)[0], drift.code) == (("same", NAD, name), 0), drift.out + drift.err
    (live,) = workspace.site.live()["attachments"].values()
    assert json.loads(live["spec"]["config"])["ipam"]["range_end"] == "10.200.5.70"
    since = next(each["time"] for each in before["metadata"]["managedFields"] if each["manager"] == "migration-network")
    assert live["metadata"]["annotations"][SINCE].endswith(f" {since}")

    configure(workspace, mtu=1500)
    assert workspace.mignet("up", engine).code == 0
    (live,) = workspace.site.live()["attachments"].values()
    assert SINCE not in live["metadata"].get("annotations", {})


def test_a_slice_that_moves_is_said_to_leave_the_pods_where_they_are(workspace: Workspace, engine: str) -> None:
    assert workspace.mignet("up", engine).code == 0
    workspace.config["slice"] = {"rangeStart": "10.200.5.70", "rangeEnd": "10.200.5.90"}
    workspace.write()
    (warning,) = workspace.mignet("preview", engine).reports[0]["warnings"]
    assert "gives other addresses (spec.config{ipam.range_end}, spec.config{ipam.range_start})" in warning
