"""What a run leaves for the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import document

from config.files.project_files import Project
from mignet.fleet.journal import RunRecord, StackRun, place, recorded


def test_a_killed_run_leaves_what_it_did_not_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mignet.fleet.journal.WRITE_SECONDS", 0)
    paths = [tmp_path / "state" / "run.json", tmp_path / "mine.json"]
    record = RunRecord.begin("up", "direct", ["a", "b", "c", "d"], paths)
    for name, end in (("a", "done"), ("b", "failed")):
        record.watch(name, "running")
        record.watch(name, end, "why")  # type: ignore[arg-type]
    record.watch("c", "running")
    # Nothing else is written: this is where it was killed.
    for path in paths:
        runs = recorded(path)
        assert runs is not None
        assert [name for name, run in runs.items() if run.state != "done"] == ["b", "c", "d"]
        assert runs["b"].said == "why"
    content = document(paths[0].read_text())
    assert content["ended"] is None
    assert content["stacks"]["c"]["state"] == "running"
    assert [each.name for each in paths[0].parent.iterdir()] == ["run.json"]


def test_a_run_that_takes_another_up_keeps_what_that_one_was_done_with(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    RunRecord.begin("up", "direct", ["b"], [path], before={"a": StackRun("done", 1.5)})
    assert recorded(path) == {"a": StackRun("done", 1.5), "b": StackRun()}


def test_a_record_of_the_version_before_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    RunRecord.begin("up", "direct", ["a", "b"], [path])
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: content[key] for key in ("verb", "engine", "begun", "ended", "stacks")}))
    assert recorded(path) == {"a": StackRun(), "b": StackRun()}


def test_what_is_no_record_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for text in ("[]", '{"stacks": {"a": {"state": "done", "other": 1}}}', "{"):
        path.write_text(text)
        with pytest.raises(ValueError):  # noqa: PT011
            recorded(path)


def test_each_project_and_verb_has_a_record_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = (Project(tmp_path / name, "migration-network", {}) for name in ("one", "other"))
    assert len({place(one, "up"), place(one, "destroy"), place(other, "up")}) == 3
    assert recorded(place(one, "up")) is None
