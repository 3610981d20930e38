"""A background process of the lab: started detached, recognized again later, ended for certain.

A process is known by its id together with the time it was created, so that a number the system has given to another
process since is never taken for ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from mignet.lab.errors import LabError
from mignet.lab.folders import private_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    import psutil

ENVIRONMENT: dict[str, str] = {}
"""What a process gets of an environment: etcd takes ETCD_* for options, and Go heeds proxies and GODEBUG."""

SAME_START = 1.0
"""Seconds by which two readings of one process's creation time may differ: it is computed from the wall clock."""

STOP_TIMEOUT = 15.0
"""Seconds between the request to stop and the end by force."""

POLL_INTERVAL = 0.02
"""Seconds between two looks whether a process has ended."""

LOG_TAIL = 5
"""Lines of a log that an error quotes."""


@dataclasses.dataclass(frozen=True)
class Process:
    """A started process. `created` is its creation time in seconds since 1970, `port` where it listens on loopback."""

    name: str
    pid: int
    created: float
    port: int

    @property
    def running(self) -> bool:
        """Whether this very process still runs."""
        return _find(self) is not None


class EndedEarlyError(LabError):
    """A process ended before it was ready; the message ends with the last lines of its log."""

    def __init__(self, name: str, log: Path) -> None:
        tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
        self.name = name
        super().__init__(f"{name} ended before it was ready; the end of {log}: {' | '.join(tail) or '(empty)'}")

    @property
    def port_taken(self) -> bool:
        """Whether somebody else took the port after it was found free."""
        return "address already in use" in str(self).lower()


def start(name: str, command: Sequence[str], *, port: int, log: Path) -> Process:
    """Start `command` in a session of its own, its output in `log` (the one before is kept as `<log>.previous`)."""
    import psutil

    private_folder(log.parent)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.previous"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The user's own is not for them.
            env=ENVIRONMENT,
            cwd=log.parent,
            umask=0o077,
        )
    created = psutil.Process(child.pid).create_time()
    child.returncode = 0  # It outlives this program on purpose: without this, Python warns that it still runs.
    return Process(name, child.pid, created, port)


def stop(processes: Iterable[Process]) -> None:
    """End those of `processes` that still run, all at once: ask, wait at most `STOP_TIMEOUT`, then kill.

    Raises LabError when one is still there after all that.
    """
    import psutil

    left = [process for process in processes if process.running]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            if found := _find(process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(found)
        deadline = time.monotonic() + STOP_TIMEOUT
        # Not psutil.wait_procs: to it, a process that ended still runs until the program that started it has noticed.
        while any(process.running for process in left) and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)
        left = [process for process in left if process.running]
    if left:
        msg = f"these processes do not end: {', '.join(f'{process.name} ({process.pid})' for process in left)}"
        raise LabError(msg)


def _find(process: Process) -> psutil.Process | None:
    import psutil

    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.created) > SAME_START:
            return None
        # With threads left, it only looks ended: they hold its port and its files until they are gone, too.
        if found.status() != psutil.STATUS_ZOMBIE or found.num_threads() > 1:
            return found
        # Ended. If it is a child of this program, its number is given back now.
        found.wait(0)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        pass
    return None


def free_port(remembered: int | None, *, avoid: Collection[int]) -> int:
    """Return `remembered` when nobody listens there on loopback, else another free port that is not in `avoid`."""
    if remembered is not None:
        with socket.socket() as listener:
            # As Go does: without it, connections that ended lately would make our own port look taken.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", remembered))
                listener.listen()
            except OSError:
                pass
            else:
                return remembered
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port not in avoid:
            return port
