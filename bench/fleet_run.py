"""Measure previews of a fleet as whole processes, side by side in one run, and write docs/benchmarks-fleet-run.md.

Peers: `kubectl diff --server-side` one stack after the other, from PATH or built from tools/go.mod; Pulumi as this
project runs it, where it is on PATH. Memory is the largest process that a command ran, and for Pulumi all of them
together at their peak.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fleets import FleetSpace
from support import BIN, REAL_CRDS, pulumi_there

from bench import kubectl
from mignet.lab.folders import cache_folder
from mignet.lab.lab import Lab

STACKS, RUNS = int(os.environ.get("BENCH_STACKS", "100")), int(os.environ.get("BENCH_RUNS", "5"))
FEW = 10
"""Stacks for what takes seconds each."""


def measure(command: list[str], space: FleetSpace, *, runs: int, codes: tuple[int, ...] = (0,)) -> str:
    """Run a command so often, after one run that does not count; return a row of seconds, processor seconds and MB."""
    seconds, processor, memory = [], [], []
    for index in range(runs + 1):
        begin = time.perf_counter()
        environment = space.workspace.environment | {"XDG_STATE_HOME": str(space.folder / "state")}
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=space.folder, env=environment, stdout=quiet, stderr=quiet)
        peak, ended = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        ended.set()
        watcher.join()
        if os.waitstatus_to_exitcode(status) not in codes:
            msg = f"{' '.join(command)} exited with {os.waitstatus_to_exitcode(status)}"
            raise SystemExit(msg)
        if index:
            seconds.append(time.perf_counter() - begin)
            processor.append(usage.ru_utime + usage.ru_stime)
            memory.append(max(peak[0], usage.ru_maxrss / 1024))
    spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
    return f"{spread} | {statistics.median(processor):.2f} | {max(memory):.0f}"


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    """Keep the most memory that a process and all below it had together, in MB."""
    while not ended.wait(0.05):
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in family) / 2**20)
        except psutil.Error:
            continue


def rows(space: FleetSpace, few: list[str]) -> list[str]:
    """Measure what is there."""
    mignet = str(BIN / "mignet")
    found = []

    def row(title: str, stacks: int, command: list[str], *, codes: tuple[int, ...] = (0,), runs: int = RUNS) -> None:
        print(f"measuring {title} ...", file=sys.stderr)
        found.append(f"| {title} | {stacks} | {measure(command, space, runs=runs, codes=codes)} |")

    preview = [mignet, "preview"]
    row("mignet preview, direct engine", STACKS, [*preview, "--all", "--engine", "direct"])
    client = kubectl(cache_folder())
    if client:
        script = space.folder / "diff.sh"
        lines = []
        for name in space.sites:
            manifest = space.folder / f"{name}.manifest"
            manifest.write_text(space.workspace.run("mignet", "render", name).out)
            on_it = f"--kubeconfig {space.kubeconfig} --context {name} -f {manifest}"
            lines.append(f"{client} diff --server-side --force-conflicts --field-manager=migration-network {on_it}")
        script.write_text("\n".join([*lines, "true"]) + "\n")
        row("kubectl diff, one after the other", STACKS, ["sh", str(script)])
    row("mignet preview, direct engine", FEW, [*preview, *few, "--engine", "direct"])
    if pulumi_there:
        for number in (None, 1, 2, 4):
            at_a_time = [] if number is None else ["--at-a-time", str(number)]
            title = f"mignet preview, Pulumi engine, {'as it chooses' if number is None else f'{number} at a time'}"
            row(title, FEW, [*preview, *few, "--engine", "pulumi", *at_a_time], runs=min(RUNS, 3))
    return found


def main() -> None:
    """Bring a lab up, measure, write docs/benchmarks-fleet-run.md."""
    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        lab = Lab(Path(scratch) / "lab", crds=REAL_CRDS if REAL_CRDS.is_dir() else None, operators=False)
        lab.up(lambda line: print(line, file=sys.stderr))
        try:
            space = FleetSpace(Path(scratch) / "fleet", lab)
            space.create(STACKS)
            found = rows(space, list(space.sites)[:FEW])
        finally:
            lab.down()
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    lines = [
        "# Benchmarks of runs over many clusters\n",
        "Previews of stacks with two objects each, on two API servers of the same machine, none of them applied yet;",
        f"whole processes, start to exit; median of {RUNS} runs (Pulumi: {min(RUNS, 3)}) after one that does not count",
        "(least to most in brackets), all in one run of `make bench` on",
        f"{machine}. Memory is the peak of all processes of a command together.\n",
        "| | stacks | seconds | processor seconds | MB |",
        "|---|---|---|---|---|",
        *found,
    ]
    if not pulumi_there:
        lines.append("\nPulumi was not there in this run.")
    text = "\n".join(lines) + "\n"
    (ROOT / "docs" / "benchmarks-fleet-run.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
