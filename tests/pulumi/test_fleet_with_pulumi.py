"""A fleet on Pulumi that is cut off: by ctrl-c, by its time, by a kill; and what takes it up again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleets import FleetSpace
from operated import until
from support import Outcome

from mignet.lab.lab import Lab

pytestmark = pytest.mark.pulumi

UP = ("mignet", "up", "--all", "--engine", "pulumi", "--yes", "--skip-preflight")
AGAIN = (*UP[:2], *UP[3:], "--only-failed", "--json")


@pytest.fixture(autouse=True)
def own_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def space(lab: Lab, tmp_path: Path) -> Iterator[FleetSpace]:
    one = FleetSpace(tmp_path / "fleet", lab, f"{random.choice('pqrs')}{random.randrange(10**6)}")
    one.create(3)
    yield one
    one.remove()


def locked(space: FleetSpace) -> list[Path]:
    return list((space.folder / "backend" / ".pulumi" / "locks").glob("**/*.json"))


def contents(space: FleetSpace) -> dict[str, str]:
    return {name: site.content() for name, site in space.sites.items()}


@pytest.fixture
def cut(space: FleetSpace, tmp_path: Path) -> Callable[..., tuple[Outcome, dict[str, str]]]:
    """Start an `up` of all, and do something to it once Pulumi holds its first stack; return how it ended."""

    def run(act: Callable[[subprocess.Popen[str]], None], *more: str) -> tuple[Outcome, dict[str, str]]:
        report = tmp_path / "report.json"
        process = space.workspace.start(*UP, "--at-a-time", "1", "--report", str(report), *more)
        until(lambda: locked(space) or process.poll() is not None, "Pulumi at work")
        act(process)
        out, err = process.communicate(timeout=60)
        states = {name: run["state"] for name, run in json.loads(report.read_text())["stacks"].items()}
        return Outcome(process.returncode, out, err), states

    return run


def finished(space: FleetSpace) -> None:
    """Take the run up, and demand what an uninterrupted one leaves."""
    outcome = space.workspace.run(*AGAIN)
    assert outcome.code == 0, outcome.out + outcome.err
    taken_up = contents(space)
    assert locked(space) == []
    assert space.workspace.run("mignet", "destroy", "--all", "--engine", "pulumi", "--yes").code == 0
    whole = space.workspace.run(*UP)
    assert whole.code == 0, whole.out + whole.err
    assert taken_up == contents(space)


def test_ctrl_c_lets_pulumi_end_in_order_and_starts_no_other(
    space: FleetSpace, cut: Callable[..., tuple[Outcome, dict[str, str]]]
) -> None:
    outcome, states = cut(lambda process: os.killpg(process.pid, signal.SIGINT))
    assert outcome.code == 1, outcome.out + outcome.err
    ends = ["stopped", *["not started"] * 2], ["done", *["not started"] * 2]
    assert list(states.values()) in ends, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    assert locked(space) == []
    finished(space)


def test_a_second_ctrl_c_ends_at_once_and_says_what_may_be_half_done(
    space: FleetSpace, cut: Callable[..., tuple[Outcome, dict[str, str]]]
) -> None:
    def twice(process: subprocess.Popen[str]) -> None:
        # To mignet alone, so that Pulumi is still at work when the second one comes.
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "ctrl-c again breaks off" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)

    begun = time.monotonic()
    outcome, states = cut(twice)
    assert outcome.code == 130, outcome.out + outcome.err
    assert f"broken off: {next(iter(space.sites))} may be half done" in outcome.err
    assert "Traceback" not in outcome.err
    assert time.monotonic() - begun < 60
    assert set(states.values()) <= {"running", "waiting"}
    finished(space)


def test_a_run_that_was_killed_with_all_its_processes_is_taken_up_and_ends_as_one_that_was_not(
    space: FleetSpace, cut: Callable[..., tuple[Outcome, dict[str, str]]]
) -> None:
    def kill(process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    outcome, states = cut(kill)
    assert outcome.code == -signal.SIGKILL
    # The record is written once a second at most.
    assert set(states.values()) <= {"waiting", "running"}
    first = next(iter(space.sites))
    # What Pulumi leaves beside a state when it is killed in the middle of writing this file.
    state = space.folder / "backend" / ".pulumi" / "stacks" / "migration-network" / f"{first}.json.attrs"
    state.write_text("")
    alone = space.workspace.run("mignet", "up", first, *UP[3:], "--json")
    assert alone.code == 0, "one stack is taken up as many are: its lock's holder is known to be dead"
    finished(space)


def test_time_that_is_over_interrupts_pulumi_and_leaves_no_lock(
    space: FleetSpace, cut: Callable[..., tuple[Outcome, dict[str, str]]]
) -> None:
    outcome, states = cut(lambda _: None, "--timeout", "0.6")
    assert outcome.code == 1, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    assert set(states.values()) == {"timed out"}
    assert locked(space) == []
    finished(space)
