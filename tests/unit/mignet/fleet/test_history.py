"""What is written down of a run, and how it reads."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import healthy
import pytest
import typer
from typer.testing import CliRunner

from config.files.project_files import Project
from config.stack import Stack
from mignet.cli import app
from mignet.engines import pulumi_engine
from mignet.fleet import history
from mignet.fleet.history import Book, Drifted, End, Entry
from mignet.fleet.origin import Commit, actor, commit
from mignet.kube.diff import FieldChange, ObjectChange, Report, Writer
from mignet.operations import history as shown_history
from mignet.operations.history import worth_telling
from mignet.outputs import history_table


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: migration-network\n")
    (folder / "Pulumi.a.yaml").write_text("config: {}\n")
    return Project.find(folder)


def stack(name: str) -> Stack:
    return replace(healthy.stack(), name=name)


def change(*fields: FieldChange) -> ObjectChange:
    return ObjectChange("update", "HyperConverged", "cnv", "kubevirt-hyperconverged", fields)


def written(project: Project) -> list[Entry]:
    read = history.changes_of(project).read()
    assert read.problem is None
    return history.entries(read.lines)


def test_a_run_that_was_killed_shows_its_plan_and_that_no_end_was_written(project: Project) -> None:
    plan = {"a": (change(FieldChange("spec.x", 99, 800)),)}
    asyncio.run(Book(project, "up", "direct", print).begin([stack("a")], plan))
    (entry,) = written(project)
    assert (entry.outcome, entry.said, entry.changes) == ("begun", history.NO_END, plan["a"])


def test_a_begin_and_its_end_are_one_entry_and_a_plan_that_has_changed_is_the_later_one(project: Project) -> None:
    book, plan = Book(project, "up", "direct", print), (change(FieldChange("spec.x", 99, 800)),)
    stacks = [stack("a"), stack("b")]
    book.begin_now(stacks, {"a": plan, "b": plan})
    other = (change(FieldChange("spec.x", 98, 800)),)
    book.end_now(stacks, {"a": End("done", "", plan, 1.5), "b": End("failed", "why", other)})
    done, failed = written(project)
    assert (done.stack, done.outcome, done.seconds, done.changes) == ("a", "done", 1.5, plan)
    assert (failed.stack, failed.outcome, failed.said, failed.changes) == ("b", "failed", "why", other)
    lines = history.changes_of(project).read().lines
    assert ["plan" in each for each in lines] == [True, True, False, True]


def test_a_plan_without_end_is_cut_and_says_by_how_much(project: Project) -> None:
    fields = [FieldChange(f"spec.field{number}", "x" * 5000, number) for number in range(500)]
    book = Book(project, "up", "direct", pytest.fail)
    book.begin_now([stack("a")], {"a": [change(*fields)] * 3})
    (entry,) = written(project)
    assert sum(len(each.fields) for each in entry.changes) + entry.cut == 1500
    assert {len(each.old) for one in entry.changes for each in one.fields} == {history.VALUE_CHARACTERS}
    assert len(entry.changes) == 3


@pytest.mark.parametrize(
    "value",
    [
        "\x1b[2J\n::error::gone",
        "\ud800",
        float("nan"),
        {"secure": "AAAB"},
        [{"k": {"secure": "AAAB"}}],
        {1: {2: b"x"}},
        10**400,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_whatever_a_cluster_holds_is_kept_and_shown_safely(project: Project, value: object) -> None:
    book = Book(project, "up", "direct", pytest.fail)
    fields = FieldChange("spec.x", value, 1), FieldChange("spec.y.secure", "AAAB", None)
    book.begin_now([stack("a")], {"a": [change(*fields)]})
    book.end_now([stack("a")], {"a": End("failed", "\x1b[31m\u202eevil\n::warning::x")})
    (path,) = history.changes_of(project).files
    text = path.read_bytes()
    assert b"AAAB" not in text
    assert text.isascii()
    assert not any(byte < 32 and byte != 10 for byte in text)
    folder = ["-C", str(project.directory)]
    table, document = (CliRunner().invoke(app, ["history", *folder, *more]) for more in (["-v"], ["-o", "json"]))
    assert (table.exit_code, document.exit_code) == (0, 0), table.output + document.output
    assert "\x1b" not in table.stdout
    assert "\u202e" not in table.stdout
    assert "::error::" not in table.stdout
    assert json.loads(document.stdout)["entries"][0]["outcome"] == "failed"


def test_lines_of_any_form_are_read_without_a_fault(project: Project) -> None:
    chain = history.changes_of(project)
    for part in ([], {}, "x", 1, None, True, [1], {"number": [], "fields": [None, {"path": 1}]}):
        body = dict.fromkeys(
            ("run", "verb", "who", "commit", "cluster", "seconds", "plan", "of", "cut", "mignet"), part
        )
        chain.append([body | {"stack": "a", "outcome": "done", "plan": [part]}, body | {"stack": part}])
        history.looks_of(project).append([{"clean": part, "drifted": part, "unseen": part}, {"drifted": {"a": part}}])
    assert {each.stack for each in written(project)} <= {"a", "x"}
    history.looks(history.looks_of(project).read().lines)
    for form in ("table", "json"):
        shown = CliRunner().invoke(app, ["history", "-C", str(project.directory), "-o", form, "-v"])
        assert shown.exit_code == 0, shown.output


def test_a_look_is_a_line_for_all_stacks_with_who_made_the_drift(project: Project) -> None:
    by = Writer("kubectl-edit", "Update", "2026-11-27T15:04:10Z")
    reports = [
        Report("a", "drift", "direct"),
        Report("b", "drift", "direct", changes=(change(FieldChange("spec.x", 99, 800, by=by)),)),
        Report("c", "drift", "direct", error="did not answer"),
    ]
    asyncio.run(Book(project, "drift", "direct", pytest.fail).look(reports))
    read = history.looks_of(project).read()
    assert len(read.lines) == 1
    found = {each.stack: (each.outcome, each.drift, each.said) for each in history.looks(read.lines)}
    assert found == {
        "a": ("looked", Drifted(0), ""),
        "b": ("looked", Drifted(1, ("kubectl-edit",)), ""),
        "c": ("failed", None, "did not answer"),
    }


def test_of_looks_that_found_the_same_the_first_and_the_last_are_worth_telling() -> None:
    def look(number: int, changes: int) -> Entry:
        return Entry(str(number), "drift", "a", "looked", drift=Drifted(changes))

    up = Entry("3", "up", "a", "done")
    found = [look(0, 0), look(1, 0), look(2, 0), up, look(4, 0), look(5, 1), look(6, 1), look(7, 1), look(8, 0)]
    assert [each.time for each in worth_telling(found)] == ["0", "3", "4", "5", "7", "8"]


def test_a_file_that_is_written_is_an_entry_with_what_it_said_before(project: Project) -> None:
    with history.writing(project, "allocate", ["a", "new"], pytest.fail):
        project.stack_file("a").write_text("config: {migration-network:slice: {rangeStart: 10.0.0.1}}\n")
        project.stack_file("new").write_text("config: {}\n")
    with history.writing(project, "allocate", ["a"], pytest.fail):
        pass
    of_a, of_new = written(project)
    fields = (FieldChange("slice.rangeStart", None, "10.0.0.1"),)
    assert of_a.changes == (ObjectChange("update", "file", "", "Pulumi.a.yaml", fields),)
    assert (of_new.changes[0].operation, of_new.changes[0].name) == ("create", "Pulumi.new.yaml")


def test_who_runs_it_is_whom_a_ci_names_and_says_how_that_is_known() -> None:
    account = actor({})
    assert (account.name, account.known) == (account.account, "system")
    named = actor({"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "alice", "USER": "mallory", "LOGNAME": "mallory"})
    assert (named.name, named.known, named.account) == ("alice", "GITLAB_USER_LOGIN", account.account)
    # A variable that no CI of its kind stands behind names nobody.
    assert actor({"GITHUB_ACTOR": "mallory"}).known == "system"


def test_the_commit_is_read_with_git_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str, cwd: Path = tmp_path / "work") -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return subprocess.run(
            command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    work = tmp_path / "work"
    (work / "fleet").mkdir(parents=True)
    assert commit(work) is None
    git("init", "-q", "-b", "main")
    assert commit(work) is None
    (work / "fleet" / "file").write_text("1")
    git("add", ".")
    git("commit", "-qm", "one")
    head = git("rev-parse", "HEAD")
    assert commit(work / "fleet") == Commit(head, dirty=False)
    git("worktree", "add", "-q", "-b", "side/branch", "../side")
    git("pack-refs", "--all")
    (work / "fleet" / "file").write_text("2")
    assert commit(work / "fleet") == Commit(head, dirty=True)
    assert commit(tmp_path / "side") == Commit(head, dirty=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(work) == Commit(head, dirty=None)
    (work / ".git" / "HEAD").write_text("ref: refs/../../../secret\n")
    assert commit(work) is None


@pytest.mark.parametrize("since", ["soon", "7y", "-3d", "2026-13-01"])
def test_what_is_no_time_is_a_mistake_of_the_command_line(project: Project, since: str) -> None:
    outcome = CliRunner().invoke(app, ["history", "-C", str(project.directory), "--since", since])
    assert outcome.exit_code != 0
    assert "--since" in str(outcome.exception)


def test_what_cannot_be_read_is_no_empty_history(project: Project) -> None:
    chain = history.changes_of(project)
    chain.append([{"stack": "a", "outcome": "done", "verb": "up"}])
    chain.files[0].unlink()
    chain.files or os.mkfifo(chain.folder / "changes-000000001.jsonl")
    outcome = CliRunner().invoke(app, ["history", "-C", str(project.directory), "--check"])
    assert isinstance(outcome.exception, SystemExit | typer.Exit)
    assert outcome.exit_code == 1


def test_an_update_of_pulumi_is_ours_by_its_message_and_its_time_together(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(project, "destroy", "pulumi", print)
    book.begin_now([stack("a")], {})
    book.end_now([stack("a")], {"a": End("done", seconds=1.0)})
    (ours,) = written(project)
    began = datetime.fromisoformat(ours.time)

    def told(kind: str, message: str, *, later: float = 0.5) -> dict[str, object]:
        at = (began + timedelta(seconds=later)).isoformat()
        return {"kind": kind, "message": message, "startTime": at, "endTime": at, "result": "succeeded"}

    plain = told("update", "fix the VLAN")
    elsewhere = told("update", "mignet up, run 0123456789ab")
    forged = told("update", f"mignet destroy, run {ours.run}", later=60)
    own = told("destroy", f"mignet destroy, run {ours.run}", later=1)

    async def updates(_project: Project, asked: Stack) -> list[Entry]:
        return [pulumi_engine._update(asked.name, each) for each in (plain, elsewhere, own, forged)]

    monkeypatch.setattr(pulumi_engine, "updates", updates)
    monkeypatch.setattr(shown_history, "load_stack", lambda name, _values: stack(name))
    found = asyncio.run(shown_history.with_pulumi(shown_history.read(project), project, ["a"]))
    lines = [line for line in history_table.lines(found.entries, verbose=False) if not line.startswith(" ")]
    assert [(each.source, each.verb) for each in found.entries] == [
        ("mignet", "destroy"), ("pulumi", "update"), ("pulumi", "update"), ("pulumi", "update"),
    ]  # fmt: skip
    assert lines[1].endswith("by whom, Pulumi does not say")
    assert lines[2].endswith("by a mignet whose history is not here (run 0123456789ab)")
    assert lines[3].endswith(f"(run {ours.run})")
