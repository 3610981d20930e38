"""Plain Pulumi on the lab: what `make up ENGINE=pulumi` does, and what the lab's language host shows of a program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from operated import HCO, Operated
from support import BIN, ROOT, Outcome, Workspace

pytestmark = pytest.mark.pulumi


def test_make_up_does_the_main_job_with_plain_pulumi(operated: Operated, tmp_path: Path) -> None:
    listed = subprocess.run(
        ["make", "--dry-run", "up", "ENGINE=pulumi"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    _, lab, rest = listed.partition(".venv/bin/mignet lab up\n")
    recipe, verify, _ = rest.partition(".venv/bin/mignet verify --all\n")
    assert lab
    assert verify
    (operated.folder / ".venv").unlink(missing_ok=True)
    (operated.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        ["sh", "-c", recipe], cwd=operated.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for cluster in operated.clusters:
        assert cluster.get(HCO)["spec"]["liveMigrationConfig"]["network"]
    assert operated.run("verify", "--all").code == 0


def preview(workspace: Workspace, program: str) -> Outcome:
    (workspace.folder / "__main__.py").write_text(program)
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    return workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")


def test_what_a_program_prints_and_raises_is_shown_with_the_traceback_of_its_own_lines(workspace: Workspace) -> None:
    seen = preview(workspace, "import sys\nprint('run by', sys.executable)\n1 / 0\n")
    assert seen.code == 1
    assert f"run by {workspace.folder / '.venv' / 'bin' / 'python'}" in seen.out
    assert "Program failed with an unhandled exception:" in seen.out
    assert f'File "{workspace.folder / "__main__.py"}", line 3' in seen.out
    assert "ZeroDivisionError" in seen.out
    assert "non-zero exit code" not in seen.out


def test_an_error_that_a_program_raises_for_its_user_comes_without_a_traceback(workspace: Workspace) -> None:
    seen = preview(workspace, "import pulumi\nraise pulumi.RunError('a word to the user')\n")
    assert seen.code == 1
    assert "error: a word to the user" in seen.out
    assert "Traceback" not in seen.out
