"""The plan that is shown is the plan that is applied: what somebody changes in between is not overwritten unseen."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from support import BIN, LIMITS, Workspace

from config.files.project_files import Project
from mignet.fleet.loading import load
from mignet.fleet.run_context import Course
from mignet.operations import apply

if TYPE_CHECKING:
    from mignet.kube.diff import Report

LIMIT = "completionTimeoutPerGiB"


class Run:
    """A verb that has asked its question, and waits for the answer."""

    def __init__(self, workspace: Workspace, *command: str) -> None:
        self._keyboard, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [BIN / "mignet", *command, workspace.stack],
            cwd=workspace.folder,
            env=workspace.environment,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(theirs)
        assert self._process.stderr
        self.shown = ""
        while "[y/N]" not in self.shown:
            letter = self._process.stderr.read(1)
            assert letter, self.shown + str(self._process.communicate())
            self.shown += letter

    def agree(self) -> tuple[int, str]:
        """Answer yes; return the exit code and what was printed since."""
        os.write(self._keyboard, b"y\n")
        out, err = self._process.communicate(timeout=120)
        return self._process.returncode, out + err

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        os.close(self._keyboard)


@contextmanager
def asking(workspace: Workspace, *command: str) -> Iterator[Run]:
    with closing(Run(workspace, *command)) as run:
        yield run


def limits(workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = workspace.site.live()["hyperconverged"]["spec"].get("liveMigrationConfig", {})
    return found


def edit(workspace: Workspace, value: int) -> None:
    site = workspace.site
    site.kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {LIMIT: value}}}, "kubectl-edit")


def test_what_an_editor_changes_before_the_answer_is_not_overwritten(workspace: Workspace, engine: str) -> None:
    with asking(workspace, "up", "--engine", engine, "--skip-preflight") as run:
        assert f"{LIMIT}: 150 → 800" in run.shown
        edit(workspace, 77)
        before = workspace.site.live()
        code, said = run.agree()
    assert code == 1, said
    assert "was changed since the plan was shown, so that nothing was applied" in said
    assert f"spec.liveMigrationConfig.{LIMIT} was 150, and is 77 now" in said
    assert workspace.site.live() == before
    again = workspace.mignet("up", engine)
    assert again.code == 0, again.err
    assert limits(workspace)[LIMIT] == LIMITS[LIMIT]


def test_of_two_runs_at_once_one_reports_the_change(workspace: Workspace, engine: str) -> None:
    assert workspace.mignet("up", engine).code == 0
    workspace.config["hyperConverged"]["liveMigration"][LIMIT] = 801
    workspace.write()
    command = ("up", "--engine", engine, "--skip-preflight")
    with asking(workspace, *command) as one, asking(workspace, *command) as other:
        assert "801" in one.shown
        assert "801" in other.shown
        first, second = one.agree(), other.agree()
    assert first[0] == 0, first[1]
    assert "1 object changed" in first[1]
    assert second[0] == 1, second[1]
    assert "so that nothing was applied" in second[1]
    assert limits(workspace)[LIMIT] == 801


def test_a_destroy_that_would_be_another_one_is_not_carried_out(workspace: Workspace, engine: str) -> None:
    assert workspace.mignet("up", engine).code == 0
    with asking(workspace, "destroy", "--engine", engine) as run:
        workspace.site.kube.call("DELETE", f"{workspace.site.attachments}/migration")
        code, said = run.agree()
    assert code == 1, said
    assert "NetworkAttachmentDefinition" in said
    assert "so that nothing was applied" in said
    assert limits(workspace)[LIMIT] == LIMITS[LIMIT]


def planned(workspace: Workspace, meanwhile: Callable[[], object]) -> Report:
    """Plan an up that nobody is asked about, let something happen, and carry it out."""
    project = Project.find(workspace.folder)

    async def up() -> Report:
        stacks = load(project, [workspace.stack])
        plan = await apply.plan(project, stacks, "up", "direct", Course(), asked=False)
        meanwhile()
        return (await plan.act(stacks, last=True))[workspace.stack]

    return asyncio.run(up())


def test_where_nobody_is_asked_the_plan_is_made_again(workspace: Workspace) -> None:
    assert workspace.mignet("up", "direct").code == 0
    workspace.config["hyperConverged"]["liveMigration"][LIMIT] = 801
    workspace.write()
    report = planned(workspace, lambda: edit(workspace, 77))
    assert report.error is None
    changed = {each.path: (each.old, each.new) for change in report.changes for each in change.fields}
    assert changed[f"spec.liveMigrationConfig.{LIMIT}"] == (77, 801), "what was there, not what had been there"
    report = planned(workspace, lambda: edit(workspace, 78))
    assert (report.error, report.changed) == (None, False)
    assert limits(workspace)[LIMIT] == 78, "nothing was to be done, and nothing was"
