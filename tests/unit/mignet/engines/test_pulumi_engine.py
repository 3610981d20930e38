"""What the Pulumi engine reports where Pulumi itself is not asked."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from pulumi import automation
from pulumi.automation._cmd import CommandResult
from support import ROOT

from config.files.project_files import Project
from config.loading import load_stack
from mignet.engines import pulumi_engine
from mignet.fleet.run_context import Course
from mignet.operations import apply
from mignet.operations.apply import Verb


@pytest.mark.parametrize("verb", ["preview", "up", "destroy"])
def test_a_stack_that_cannot_be_looked_at_is_reported_by_the_engine_that_was_asked(verb: Verb, tmp_path: Path) -> None:
    project = Project.find(ROOT)
    values = project.stack_values("dev") | {"cluster": {"context": "dev", "kubeconfig": str(tmp_path / "none")}}
    planned = asyncio.run(apply.plan(project, [load_stack("dev", values)], verb, "pulumi", Course(), asked=True))
    report = planned.reports["dev"]
    assert (report.engine, report.error is not None) == ("pulumi", True)


MESSAGE = """the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock
file with `pulumi cancel`.
  file:///srv/.pulumi/locks/organization/migration-network/dev/0f.json: created by me@{host} (pid {pid}) at {since}"""


@pytest.mark.parametrize(
    ("host", "pid", "since", "dead"),
    [
        ("here", os.getpid(), "2126-01-01T00:00:00Z", False),
        # That id belongs to a process which began later.
        ("here", os.getpid(), "2016-01-01T00:00:00+01:00", True),
        ("elsewhere", 2**22 + 1, "2026-01-01T00:00:00Z", False),
        ("here", 2**22 + 1, "2026-01-01T00:00:00Z", True),
    ],
    # The number of this process is another one in each worker of the tests.
    ids=["alive", "another-since", "elsewhere", "gone"],
)
def test_a_lock_s_holder_counts_as_dead_only_when_its_process_is_certainly_gone(
    *, host: str, pid: int, since: str, dead: bool
) -> None:
    name = socket.gethostname() if host == "here" else host
    holder = pulumi_engine.holder_of(MESSAGE.format(host=name, pid=pid, since=since))
    assert holder is not None
    assert holder.dead is dead
    assert str(holder) == f" (me@{name} (pid {pid}), since {since})"
    shared = pulumi_engine.holder_of(MESSAGE.replace("file://", "s3://").format(host=name, pid=pid, since=since))
    assert shared is not None
    assert not shared.dead, "other machines of that name may use the same bucket"


def test_as_many_pulumi_processes_run_at_a_time_as_there_are_cores_and_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def free(megabytes: int) -> None:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=megabytes * 2**20))

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    for megabytes, expected in ((100, 1), (800, 3), (100_000, 8)):
        free(megabytes)
        assert pulumi_engine.parallel() == expected


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        (-2, "", "Pulumi was interrupted before it began"),
        (130, "", "Pulumi was interrupted before it began"),
        (-9, "", "Pulumi failed"),
        (1, "error: no stack named 'x' found", "error: no stack named 'x' found"),
    ],
)
def test_a_command_of_pulumi_that_ends_without_a_word_says_whether_it_was_ctrl_c(
    code: int, said: str, error: str
) -> None:
    failed = automation.CommandError(CommandResult("", said, code))
    assert pulumi_engine._errors("dev", [], failed) == error
    assert bool(pulumi_engine._CANCELLED.search(error)) is (code in {-2, 130})
