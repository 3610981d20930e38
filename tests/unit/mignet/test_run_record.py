"""What a run leaves for the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.project_files import Project
from mignet.run_record import RunRecord, place, unfinished


def test_a_killed_run_leaves_what_it_did_not_finish(tmp_path: Path) -> None:
    project = Project(tmp_path, "migration-network", {})
    path = tmp_path / "state" / "run.json"
    record = RunRecord.begin(project, "up", "direct", ["a", "b", "c", "d"], path)
    for name, end in (("a", "done"), ("b", "failed")):
        record.watch(name, "running")
        record.watch(name, end)  # type: ignore[arg-type]
    record.watch("c", "running")
    # Nothing else is written: this is where it was killed.
    assert unfinished(path) == ["b", "c", "d"] == record.unfinished
    content = json.loads(path.read_text())
    assert content["ended"] is None
    assert content["stacks"]["c"]["state"] == "running"
    assert [each.name for each in path.parent.iterdir()] == ["run.json"]


def test_each_project_and_verb_has_a_record_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = (Project(tmp_path / name, "migration-network", {}) for name in ("one", "other"))
    assert len({place(one, "up"), place(one, "destroy"), place(other, "up")}) == 3
    assert unfinished(place(one, "up")) is None
