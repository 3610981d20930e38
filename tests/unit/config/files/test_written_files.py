"""A file is written whole or not at all, and nowhere else than it is named."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from support import BIN, ROOT

from config.files.file_text import write_whole


def test_it_is_there_with_the_folders_above_it_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, "one\r\n")
    write_whole(path, "two\n\ud800")
    assert path.read_bytes() == b"two\n\\ud800"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_mode_of_a_file_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(mode)
    write_whole(path, "after")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("after", mode)


def test_ones_own_link_stays_and_somebody_elses_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    write_whole(link, "mine")
    assert (link.is_symlink(), target.read_text()) == (True, "mine")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    write_whole(link, "other")
    assert (link.is_symlink(), link.read_text(), target.read_text()) == (False, "other", "mine")


def test_a_link_that_waits_under_the_new_files_name_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("victim")
    (tmp_path / f".file.{os.getpid()}").symlink_to(victim)
    write_whole(tmp_path / "file", "text")
    assert (victim.read_text(), (tmp_path / "file").read_text()) == ("victim", "text")


def test_a_device_and_a_fifo_stay_what_they_are(tmp_path: Path) -> None:
    write_whole(Path(os.devnull), "gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(fifo, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def _little_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


WRITERS = {
    "schema": ["schema", "--write"],
    "render": ["render", "dev", "--output", "."],
    "report": ["report", "--files", "--page", "page.html"],
    "svg": ["plan-addresses", "--svg", "map.svg"],
    "allocate": ["allocate", "dev"],
}


@pytest.mark.parametrize("command", WRITERS.values(), ids=WRITERS)
def test_on_a_full_disk_what_was_there_stays(tmp_path: Path, command: list[str]) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py"):
        text = (ROOT / name).read_text()
        # One address is too few, so that allocate has something to write.
        few = text.replace("rangeEnd: 10.200.5.60", "rangeEnd: 10.200.5.10")
        (tmp_path / name).write_text(few if command[0] == "allocate" else text)
    for name in ("stack.schema.json", "dev.yaml", "page.html", "map.svg"):
        (tmp_path / name).write_text("before")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ended = subprocess.run(
        [BIN / "mignet", *command],
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=_little_room,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in {1, 2}, ended.stdout + ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
