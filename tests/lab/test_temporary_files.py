"""No credential stays in the temporary folder: after no verb, on neither engine, nor after a run that was killed."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from operated import until
from support import BIN, Workspace

from mignet.engines.temporary_folder import PREFIX, temporary_folder


class Place:
    """A temporary folder, and the credentials that must not stay in it."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        self.folder = folder
        self.workspace = workspace
        users = yaml.safe_load(workspace.site.kubeconfig.read_text())["users"]
        keys = [each["user"]["client-key-data"] for each in users]
        self.secrets = [*map(str.encode, keys), *(base64.b64decode(key)[40:120] for key in keys)]

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BIN / "mignet", *command],
            cwd=self.workspace.folder,
            env=self.workspace.environment | {"TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        process = self.start(*command)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def left(self) -> list[str]:
        """Return the files that hold a credential, and what is left of folders of ours."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        holding = [str(path) for path in files if any(secret in path.read_bytes() for secret in self.secrets)]
        return [*holding, *map(str, self.folder.glob(f"{PREFIX}*"))]


@pytest.fixture
def place(workspace: Workspace, tmp_path: Path) -> Place:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return Place(folder, workspace)


def verbs(stack: str, engine: str) -> Iterator[tuple[str, ...]]:
    yield "preview", stack, "--engine", engine
    yield "up", stack, "--engine", engine, "--yes", "--skip-preflight"
    yield "drift", stack, "--engine", engine
    yield "destroy", stack, "--engine", engine, "--yes"
    if engine == "direct":
        yield "preflight", stack
        yield "verify", stack, "--timeout", "0"
        yield "report", stack, "--output", "markdown"


def test_after_each_verb_none_is_left(place: Place, engine: str) -> None:
    for verb in verbs(place.workspace.stack, engine):
        code, said = place.run(*verb)
        assert code in {0, 1, 7}, said
        assert "Traceback" not in said
        assert place.left() == [], verb
        assert code in {0, 7} or verb[0] not in {"preview", "up", "destroy"}, said


def test_while_the_direct_engine_works_none_is_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a moment: a process that is killed removes nothing."""
    trace = place.folder.parent / "opened"
    program = f"import sys, builtins, tempfile; made = open({str(trace)!r}, 'w')\n"
    program += "sys.addaudithook(lambda event, args: event in ('tempfile.mkstemp', 'tempfile.mkdtemp') "
    program += "and print(event, args[0], file=made, flush=True))\nfrom mignet.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [BIN / "python", "-c", program, "preview", place.workspace.stack, "--engine", "direct"],
        cwd=place.workspace.folder,
        env=place.workspace.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert trace.read_text() == ""


@pytest.mark.pulumi
def test_what_a_killed_run_leaves_the_next_one_removes(place: Place) -> None:
    stack = place.workspace.stack
    process = place.start("up", stack, "--engine", "pulumi", "--yes", "--skip-preflight")
    until(lambda: list(place.folder.glob(f"{PREFIX}*/kubeconfig*")), "the provider has written a kubeconfig")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert place.left(), "nobody was there to remove it"

    def clean() -> bool:
        # The provider of the Pulumi that was killed may still be ending.
        place.run("preview", stack, "--engine", "pulumi")
        return place.left() == []

    until(clean, "the next run removes it")


def test_a_folder_in_use_is_left_alone_and_one_that_is_not_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "kubeconfig1").write_text("secret")
    (tmp_path / f"{PREFIX}file").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    used = tmp_path / f"{PREFIX}used"
    used.mkdir()
    (used / "lock").touch()
    sleep = shutil.which("sleep")
    assert sleep
    pulumi = tmp_path / "elsewhere" / "pulumi"
    shutil.copy(sleep, pulumi)
    waits = subprocess.Popen([pulumi, "60"], env={"TMPDIR": str(used), "PATH": os.defpath})
    try:
        with temporary_folder() as one:
            assert one.stat().st_mode & 0o777 == 0o700
            with temporary_folder() as other:
                assert one.is_dir()
                assert other.is_dir()
                assert not dead.exists()
                assert used.exists()
        assert not one.exists()
    finally:
        waits.kill()
        waits.wait()
    with temporary_folder():
        assert not used.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", f"{PREFIX}file", f"{PREFIX}link"]
    assert (elsewhere / "lock").exists()
