"""Run mignet as the installed script does, from a process that has imported it already: most of a short run is imports.

Each run is a process of its own, forked from a server that only imports. What happens before main is not run here:
tests of the script itself, of signals and of terminals start the real one.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

BIN = Path(sys.executable).parent
MIGNET = str(BIN / "mignet")

IMPORTED = [
    "__main__",
    "mignet.cli",
    "mignet.init",
    "mignet.address_plan",
    "mignet.looks",
    "mignet.proving",
    "mignet.manifests",
    "mignet.outputs",
    "mignet.roles",
    "mignet.side_by_side",
    "mignet.engines.direct_engine",
    "components.migration_network",
]
"""What the verbs import when they need it."""

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(IMPORTED)


def mignet(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    together: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run mignet with nobody at its input, and return its exit code and its output; `timeout` is in seconds.

    With `together`, both streams are the output, as on a terminal.
    """
    command = [MIGNET, *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        # By their names below this process: a started one inherits only what multiprocessing knows of.
        files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, out if together else err)]
        process = _server.Process(target=_run, args=(command, str(cwd), dict(env or os.environ), *files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(command, process.exitcode, out.read(), err.read())


def _run(command: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    os.setsid()
    for number, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), (out, os.O_WRONLY), (err, os.O_WRONLY)]):
        opened = os.open(path, flags | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", 1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
    tests = str(Path(__file__).parent)
    sys.path = [str(BIN), *(each for each in sys.path if each and not each.startswith(tests))]
    from mignet.cli import main

    main()
