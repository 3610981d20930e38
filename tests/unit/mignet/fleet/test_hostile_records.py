"""A record or a result that is none is said in a sentence: no run, and no report, ends for it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import hostile
import mutations
import pytest
from forked import mignet

from config.files.project_files import Project
from mignet.fleet import last_checkup
from mignet.fleet.journal import place, read_record
from mignet.report.history import runs

NO_RECORDS = {name: text for name, text in hostile.STACKS.items() if name != "50 MB"}
VALUES = [None, 5, 1e999, -1, "x", [], [[]], {}, {"a": []}, True]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Project.find(hostile.project(tmp_path, "a", "b"))


def write(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if name in hostile.KINDS:
        hostile.KINDS[name](path)
    else:
        text = hostile.STACKS[name]
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", [*hostile.STACKS, "FIFO", "directory", "device", "symlink loop"])
def test_what_is_no_record_is_said_once(project: Project, name: str) -> None:
    for verb in ("up", "checkup-result"):
        write(place(project, verb), name)
    found, unread = runs(project)
    assert found == []
    assert unread == [f"the record of the last up cannot be read: {place(project, 'up')}"]
    with pytest.raises(ValueError, match="is no result of a checkup"):
        last_checkup.last(project)


@pytest.mark.parametrize("name", ["FIFO", "directory", "3,000 brackets", "50 MB"])
def test_the_verbs_that_read_them_end_in_a_sentence(project: Project, name: str) -> None:
    for verb in ("up", "checkup-result", "preflight"):
        write(place(project, verb), name)
    ended = mignet("preflight", "--only-failed", cwd=project.directory)
    assert ended.returncode == 2
    assert ended.stderr.startswith("mignet: --only-failed cannot read ")
    ended = mignet("report", "--files", "-o", "markdown", cwd=project.directory)
    assert ended.returncode == 0, ended.stderr
    assert "the record of the last up cannot be read" in ended.stdout.replace("\\", "")
    assert "is no result of a checkup" in ended.stdout.replace("\\", "")


@pytest.mark.parametrize("value", VALUES)
def test_another_kind_of_value_is_read_or_refused(project: Project, value: object) -> None:
    for content, path in ((mutations.JOURNAL, place(project, "up")), (mutations.CHECKUP, place(project, "x"))):
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in range(len(list(_places(content)))):
            changed = copy.deepcopy(content)
            holder, key = list(_places(changed))[number]
            holder[key] = value
            path.write_text(json.dumps(changed))
            if content is mutations.JOURNAL:
                found, unread = runs(project)
                assert len(found) + len(unread) == 1
                [(run.counts, run.failed) for run in found]
                continue
            try:
                checkup = last_checkup.last(project, path, hours=10**6)
            except ValueError:
                continue
            assert checkup is not None
            [checkup.words, checkup.outcome, checkup.between, checkup.nodes, *(way.words for way in checkup.ways)]
            list(map(str, last_checkup.about(checkup, ["a", "b"])))


def test_a_record_that_is_sound_is_read(project: Project) -> None:
    path = place(project, "up")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(mutations.JOURNAL))
    record = read_record(path)
    assert record is not None
    assert record.as_json() == mutations.JOURNAL


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        yield value, key
        yield from _places(each)
