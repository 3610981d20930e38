"""An anonymous network namespace: no name in the system, so nothing to remove after whoever made it was killed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mignet.lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NEW = 0x40000000
"""CLONE_NEWNET, see namespaces(7)."""

TIMEOUT = 20.0
"""Seconds for a command that takes milliseconds."""

PROGRAMS = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux"}
"""What a data plane needs, and the Debian package that has it."""

Result = TypeVar("Result")


class CommandError(LabError):
    """A command in a namespace failed; `output` is what it wrote on stdout."""

    def __init__(self, command: Sequence[str], status: int, output: str, errors: str) -> None:
        self.output = output
        said = " ".join((errors or output).split()) or "(nothing said)"
        super().__init__(f"{' '.join(command)} failed with status {status}: {said}")


class Namespace:
    """A network namespace with its loopback up, there until it is closed and nothing runs in it any more.

    Raises LabError when the kernel refuses one.
    """

    def __init__(self) -> None:
        self._fd = _in_a_thread(_new)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """Where another program finds it, as long as this one runs and holds it open."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def enter(self, *command: str) -> list[str]:
        """Return the command line that runs `command` in it."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def run(self, *command: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run a command in it with `text` on its input, and return what it writes on stdout. Raises CommandError.

        Raises LabError when it does not end in time.
        """
        variables = dict(environment) if environment is not None else None
        try:
            done = subprocess.run(
                self.enter(*command),
                input=text,
                capture_output=True,
                text=True,
                check=False,
                env=variables,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"{' '.join(command)} has not ended after {TIMEOUT:.0f} s"
            raise LabError(msg) from error
        if done.returncode != 0:
            raise CommandError(command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run lines of `ip` in it, such as `link set eth1 up`, until one fails. Raises CommandError."""
        self.run("ip", "-batch", "-", text="\n".join([*lines, ""]))

    def inside(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns in it: a socket that it opens stays of this namespace."""

        def entered() -> Result:
            _call("setns", self._fd, NEW)
            return function()

        return _in_a_thread(entered)

    def setting(self, name: str, value: int) -> None:
        """Write a kernel setting below `net`, such as `ipv6.conf.all.disable_ipv6`, if the kernel has it."""
        path = Path("/proc/sys/net", *name.split("."))

        def write() -> None:
            if path.exists():
                path.write_text(str(value))

        self.inside(write)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)


def missing() -> str | None:
    """Return why there can be no data plane here, None when there can."""
    if not shutil.which("nsenter"):
        return "there is no nsenter on PATH (Debian's package util-linux)"
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            return f"there is no {program} on PATH (Debian's package {package})"
    try:
        space = Namespace()
    except (LabError, OSError) as error:
        return f"network namespaces need root: {error}"
    try:
        space.ip(
            "link add name veth0 type veth peer name veth1",
            "link add name bridge0 type bridge",
            "link add name macvlan0 link veth0 type macvlan mode bridge",
        )
        space.run("tc", "qdisc", "add", "dev", "veth0", "clsact")
    except LabError as error:
        return f"this kernel lacks veth, bridge, macvlan or clsact: {error}"
    finally:
        space.close()
    return None


def _new() -> int:
    _call("unshare", NEW)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _call(name: str, *arguments: int) -> None:
    # os.setns and os.unshare come with Python 3.12.
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        reason = os.strerror(ctypes.get_errno())
        msg = f"{name}: {reason}"
        raise LabError(msg)


def _in_a_thread(function: Callable[[], Result]) -> Result:
    """Run `function` in a thread of its own: namespaces are a thread's, and this one is to stay where it is."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]
