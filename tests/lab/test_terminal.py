"""A run over many clusters on a terminal of 24 lines: what stands there, and what ctrl-c does."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleets import FleetSpace, closed_port, silent_server
from support import BIN

from mignet.lab.lab import Lab

LINES, COLUMNS = 24, 80
OPEN_TERMINAL = "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.execv(sys.argv[2], sys.argv[2:])"


@pytest.fixture
def held(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FleetSpace]:
    """Forty stacks; of every four, one is dead and one says nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    space = FleetSpace(tmp_path / "fleet", lab, f"{random.choice('tuvw')}{random.randrange(10**6)}")
    space.create(40)
    names = list(space.sites)
    with silent_server() as silent:
        space.elsewhere(dict.fromkeys(names[::4], silent) | dict.fromkeys(names[1::4], closed_port()))
        yield space
    space.remove()


class Terminal:
    """A command whose stderr and keyboard are a terminal of our own; its stdout goes nowhere."""

    def __init__(self, space: FleetSpace, *command: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            # The first terminal that a session opens is the one whose keyboard it hears.
            [sys.executable, "-c", OPEN_TERMINAL, os.ttyname(slave), str(BIN / "mignet"), *command],
            cwd=space.folder,
            env=space.workspace.environment | {"TERM": "xterm"},
            stdin=slave,
            stdout=subprocess.DEVNULL,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.written = ""

    def read(self) -> bool:
        """Read on; return whether there may be more."""
        try:
            some = os.read(self.master, 65536)
        except OSError:
            return False
        self.written += some.decode(errors="replace")
        return bool(some)

    def until(self, text: str) -> None:
        while text not in self.written:
            assert self.read(), self.written

    def ctrl_c(self) -> None:
        os.write(self.master, b"\x03")

    def end(self) -> int:
        while self.read():
            pass
        os.close(self.master)
        return self.process.wait(60)

    @property
    def screen(self) -> list[str]:
        """What stands there in the end, and above it, line by line: cursor movements and erased lines carried out."""
        lines, row = [""], 0
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.written):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part == "\x1b[1A":
                row -= 1
            elif part == "\x1b[2K":
                lines[row] = ""
            elif part[0] not in "\r\x1b":
                lines[row] += part
        return [line for line in lines if line.strip()]


def test_the_live_lines_fit_and_leave_the_summary_only(held: FleetSpace) -> None:
    terminal = Terminal(held, "preview", "--all", "--engine", "direct")
    assert terminal.end() == 1
    # It goes back up over its own lines; more than the terminal has cannot be reached, and would stay as garbage.
    ups = [found.count("\x1b[1A") for found in re.findall(r"(?:\x1b\[1A(?:\x1b\[2K)?)+", terminal.written)]
    assert 5 < max(ups) < LINES
    assert re.search(r"40 clusters: .*\d+ running, .*failed", terminal.written)
    assert re.search(r": failed: context \S+ \(https://127", terminal.written)
    (summary,) = terminal.screen
    assert summary.startswith("40 clusters: 20 done, 20 failed in")


def test_ctrl_c_on_the_keyboard_ends_what_only_looks_and_says_so(held: FleetSpace) -> None:
    looking = Terminal(held, "preview", "--all", "--engine", "direct")
    looking.until("running")
    looking.ctrl_c()
    assert looking.end() == 1
    assert "stopping: no other cluster is started" in "".join(looking.screen)
    assert re.search(r"40 clusters: (\d+ done, )?(\d+ failed, )?\d+ stopped, \d+ not started", looking.screen[-1])
