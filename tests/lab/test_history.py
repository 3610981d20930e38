"""`mignet history`: what a stack went through, on a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import Workspace, document


def told(workspace: Workspace, *more: str) -> list[dict[str, Any]]:
    outcome = workspace.run("mignet", "history", workspace.stack, "--last", "0", "-o", "json", *more)
    assert outcome.code == 0, outcome.out + outcome.err
    entries: list[dict[str, Any]] = document(outcome.out)["entries"]
    return entries[::-1]


def test_from_up_to_destroy_the_history_has_who_did_what_with_plan_and_outcome(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    site, limit = workspace.site, "spec.liveMigrationConfig.completionTimeoutPerGiB"
    assert workspace.mignet("preview", "direct").code == 0
    assert told(workspace) == []
    assert workspace.mignet("up", "direct").code == 0
    assert workspace.mignet("drift", "direct").code == 0
    patch = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}
    site.kube.merge(site.hyperconverged, patch, "kubectl-edit")
    assert workspace.mignet("drift", "direct").code == 7
    fix = ("mignet", "drift", workspace.stack, "--engine", "direct", "--fix", "--yes", "--wait", "0")
    assert workspace.run(*fix).code == 0
    workspace.config["attachment"]["adopt"] = "nonsense"
    workspace.write()
    assert workspace.mignet("up", "direct").code == 2
    del workspace.config["attachment"]["adopt"]
    workspace.write()
    assert workspace.mignet("destroy", "direct").code == 0

    entries = told(workspace)
    assert [(each["verb"], each["outcome"]) for each in entries] == [
        ("up", "done"),
        ("drift", "looked"),
        ("drift", "looked"),
        ("drift", "looked"),
        ("drift --fix", "done"),
        ("drift", "looked"),
        ("destroy", "done"),
    ]
    up, clean, drifted, _, fixed, after, gone = entries
    assert {(each["who"], each["known"], each["engine"]) for each in entries} == {("octocat", "GITHUB_ACTOR", "direct")}
    assert {each["context"] for each in (up, fixed, gone)} == {site.context}
    assert [(each["operation"], each["kind"]) for each in up["changes"]] == [
        ("create", "NetworkAttachmentDefinition"),
        ("update", "HyperConverged"),
    ]
    assert clean["drift"] == after["drift"] == {"changes": 0, "by": [], "codes": []}
    assert drifted["drift"] == {"changes": 1, "by": ["kubectl-edit"], "codes": ["field-changed"]}
    ((change,),) = [each["fields"] for each in fixed["changes"]]
    assert change == {"path": limit, "old": 99, "new": 800}
    assert {each["operation"] for each in gone["changes"]} == {"delete", "relinquish"}
    assert all(each["seconds"] > 0 for each in (up, fixed, gone))

    _shown(workspace)
    _gathered(workspace)
    (path,) = (tmp_path / "state").rglob("changes-*.jsonl")
    _checked(workspace, path)
    _unwritable(workspace, path.parent)


def _shown(workspace: Workspace) -> None:
    shown = workspace.run("mignet", "history", workspace.stack)
    limit = "spec.liveMigrationConfig.completionTimeoutPerGiB"
    assert f"{limit}: 99 → 800" in shown.out
    assert "by octocat (GITHUB_ACTOR; account " in shown.out
    assert "drift: 1 change; field-changed, by kubectl-edit" in shown.out


def _gathered(workspace: Workspace) -> None:
    """An archive shows drift over time as the project itself does."""
    live = workspace.run("mignet", "report", workspace.stack, "-o", "json")
    assert workspace.run("mignet", "gather", workspace.stack, "-o", "g.tar.gz").code == 0
    kept = workspace.run("mignet", "report", "-o", "json", "--from", "g.tar.gz")
    (before,), (after,) = live.document["drift"], kept.document["drift"]
    # The last span goes on until the page is made.
    assert [each["state"] for each in after["spans"]] == [each["state"] for each in before["spans"]]
    assert after["spans"][:-1] == before["spans"][:-1]
    assert after["marks"] == before["marks"] != []


def _checked(workspace: Workspace, path: Path) -> None:
    """Put what was edited back, which is the way out."""
    checked = workspace.run("mignet", "history", "--check")
    assert checked.code == 0, checked.err
    assert "changes: 6 lines fit together" in checked.out
    assert "looks: 5 lines fit together" in checked.out
    head = checked.out.split("head: ")[1].split()[0]
    assert workspace.run("mignet", "history", "--head", head).code == 0

    text = path.read_text()
    path.write_text(text.replace('"new":800', '"new":801'))
    edited = workspace.run("mignet", "history", "--check")
    assert edited.code == 1
    assert "history-broken: " in edited.err
    assert f"{path.name} line " in edited.err
    assert "edited" in edited.err
    path.write_text(text)
    assert workspace.run("mignet", "history", "--check").code == 0
    assert workspace.run("mignet", "history", "--head", "0123456789abcdef").code == 1


def _unwritable(workspace: Workspace, folder: Path) -> None:
    """What cannot be written down stops nothing, and is told in one line."""
    folder.rename(folder.with_name("away"))
    folder.write_text("no folder")
    outcome = workspace.mignet("up", "direct")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("the history of this run could not be written (") == 1
