"""Pulumi's state in an S3-compatible bucket that a team shares: what is in it, and two runs at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from s3_server import Bucket, served
from support import BIN, Outcome, Workspace

pytestmark = pytest.mark.pulumi
NOW = ("--yes", "--skip-preview", "--non-interactive")


@dataclass
class Team:
    """A project whose state is in a bucket."""

    workspace: Workspace
    bucket: Bucket

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / command[0]) if command[0] == "mignet" else command[0], *command[1:]],
            cwd=self.workspace.folder,
            env=self.workspace.environment | self.bucket.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> Outcome:
        process = self.start(*command)
        out, err = process.communicate(timeout=180)
        return Outcome(process.returncode, out, err)

    def up(self) -> Outcome:
        stack = self.workspace.stack
        return self.run("mignet", "up", stack, "--engine", "pulumi", "--yes", "--skip-preflight", "--json")

    @property
    def locks(self) -> list[Path]:
        return list(self.bucket.folder.glob(".pulumi/locks/**/*.json"))


@pytest.fixture
def team(workspace: Workspace, tmp_path: Path) -> Iterator[Team]:
    with served(tmp_path / "s3") as bucket:
        yield Team(workspace, bucket)


def test_the_second_of_two_runs_is_told_who_holds_the_stack(team: Team) -> None:
    stack = team.workspace.stack
    assert team.run("pulumi", "stack", "init", stack).code == 0
    first = team.start("pulumi", "up", "--stack", stack, *NOW)
    try:
        deadline = time.monotonic() + 60
        while not team.locks:
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGSTOP)
        before = team.workspace.site.content()
        second = team.up()
        assert second.code == 1
        (report,) = second.reports
        assert report["error"].startswith("another run holds this stack (")
        assert f"pid {json.loads(team.locks[0].read_text())['pid']}" in report["error"]
        assert report["error"].endswith(f"; if it is dead, run: pulumi cancel --stack {stack}")
        plain = team.run("pulumi", "up", "--stack", stack, *NOW)
        assert plain.code != 0
        assert "the stack is currently locked by 1 lock(s)" in plain.out + plain.err
        assert team.workspace.site.content() == before
    finally:
        os.killpg(first.pid, signal.SIGCONT)
        out, err = first.communicate(timeout=180)
    assert first.returncode == 0, out + err
    assert team.locks == []
    again = team.up()
    assert again.code == 0, again.out + again.err


def test_the_state_in_the_bucket_holds_no_credential(team: Team) -> None:
    assert team.up().code == 0
    text = "".join(path.read_text() for path in team.bucket.folder.rglob("*.json"))
    assert team.workspace.stack in text
    kubeconfig = json.loads(team.workspace.site.kubeconfig.read_text())
    secrets = [value for user in kubeconfig["users"] for value in user["user"].values()]
    assert len(secrets) > 1
    for secret in secrets:
        assert secret not in text
