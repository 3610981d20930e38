"""How a benchmark measures a command: as a whole process, start to exit."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A process begins with the peak of the one that started it: a small one starts it, not a benchmark full of objects.
_STARTER = """
import json, os, sys, time
result, *command = sys.argv[1:]
begin = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
taken = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
with open(result, "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), *taken], file)
"""


MACHINE = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
"""What a benchmark runs on, as documents say it."""


def spread(seconds: Sequence[float]) -> str:
    """Write a median, with the least and the most."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a command took: seconds of wall clock and of processor time, and the peak of its largest process in MB."""

    seconds: float
    processor: float
    megabytes: float
    printed: str


def measure(
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
) -> Taken:
    """Run a command once. Ends the benchmark when its exit code is none of `codes`."""
    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        result, out = Path(scratch, "result"), Path(scratch, "out")
        starter = [sys.executable, "-I", "-S", "-c", _STARTER, str(result), *command]
        with out.open("w") as file:
            subprocess.run(
                starter,
                cwd=folder,
                env=environment or os.environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=True,
            )
        code, *taken = json.loads(result.read_text())
        printed = out.read_text(errors="replace")
    if code not in codes:
        msg = f"{' '.join(command)} exited with {code}: {printed[-3000:]}"
        raise SystemExit(msg)
    return Taken(*taken, printed)
