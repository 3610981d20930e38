"""Measure previews of a fleet as whole processes, side by side in one run, and write docs/benchmarks-fleet-run.md.

Peers: `kubectl diff --server-side` one stack after the other, and plain Pulumi, several stacks side by side; from PATH,
or built. Memory is the largest process that a command ran, and for Pulumi all of them
together at their peak.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

from fleets import FleetSpace, full_server
from measuring import MACHINE, spread
from support import BIN, REAL_CRDS

from bench import kubectl
from mignet.kube.client import CONNECT_SECONDS
from mignet.lab.folders import cache_folder
from mignet.lab.lab import Lab
from mignet.lab.pulumi_programs import programs

STACKS, RUNS = int(os.environ.get("BENCH_STACKS", "100")), int(os.environ.get("BENCH_RUNS", "3"))
FEW = int(os.environ.get("BENCH_FEW", "10"))
"""Stacks for what takes seconds each."""


@dataclass
class Row:
    """A command over so many stacks, and what each of its runs took: seconds, processor seconds and MB."""

    title: str
    stacks: int
    command: list[str]
    warms_up: bool = True
    """Whether its first run does not count; of those that take many seconds, one warms up for all."""
    folder: Path | None = None
    """Where it runs, when that is not the fleet's own folder."""
    code: int = 0
    took: list[tuple[float, float, float]] = field(default_factory=list)

    def run(self, space: FleetSpace) -> None:
        """Run it once more."""
        begin = time.perf_counter()
        environment = space.workspace.environment | {"XDG_STATE_HOME": str(space.folder / "state")}
        quiet = subprocess.DEVNULL
        folder = self.folder or space.folder
        process = subprocess.Popen(self.command, cwd=folder, env=environment, stdout=quiet, stderr=quiet)
        peak, ended = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        ended.set()
        watcher.join()
        if os.waitstatus_to_exitcode(status) != self.code:
            msg = f"{' '.join(self.command)} exited with {os.waitstatus_to_exitcode(status)}"
            raise SystemExit(msg)
        self.took.append((seconds, usage.ru_utime + usage.ru_stime, max(peak[0], usage.ru_maxrss / 1024)))

    def __str__(self) -> str:
        """Write it as a row of a table."""
        seconds, processor, memory = zip(*self.took[self.warms_up :], strict=True)
        worked = f"{statistics.median(processor):.2f}"
        return f"| {self.title} | {self.stacks} | {spread(seconds)} | {worked} | {max(memory):.0f} |"


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    """Keep the most memory that a process and all below it had together, in MB."""
    while not ended.wait(0.05):
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in family) / 2**20)
        except psutil.Error:
            continue


def beside_dead_ones(space: FleetSpace, address: str) -> Path:
    """Copy a fleet, with another address for one cluster in ten."""
    copy = FleetSpace(space.folder.parent / "dead", space.lab)
    shutil.copytree(space.folder, copy.folder, symlinks=True)
    for file in copy.folder.glob("Pulumi.*.yaml"):
        file.write_text(file.read_text().replace(str(space.kubeconfig), str(copy.kubeconfig)))
    copy.elsewhere(dict.fromkeys(list(space.sites)[::10], address))
    return copy.folder


def rows(space: FleetSpace, few: list[str], dead: Path) -> list[Row]:
    """Return what is there to be measured."""
    preview = [str(BIN / "mignet"), "preview"]
    everyone = [*preview, "--all", "--engine", "direct"]
    found = [
        Row("mignet preview, direct engine", STACKS, everyone),
        Row("mignet preview, direct engine, one in ten does not answer", STACKS, everyone, folder=dead, code=1),
        Row("mignet preview, direct engine", FEW, [*preview, *few, "--engine", "direct"]),
    ]
    client = kubectl(cache_folder())
    if client:
        script = space.folder / "diff.sh"
        lines = []
        for name in few:
            manifest = space.folder / f"{name}.manifest"
            manifest.write_text(space.workspace.run("mignet", "render", name).out)
            on_it = f"--kubeconfig {space.kubeconfig} --context {name} -f {manifest}"
            lines.append(f"{client} diff --server-side --force-conflicts --field-manager=migration-network {on_it}")
        script.write_text("\n".join([*lines, "true"]) + "\n")
        found.append(Row("kubectl diff, one after the other", FEW, ["sh", str(script)]))
    found += [
        Row(
            f"mignet preview, Pulumi engine, {'as it chooses' if number is None else f'{number} at a time'}",
            FEW,
            [*preview, *few, "--engine", "pulumi", *([] if number is None else ["--at-a-time", str(number)])],
            warms_up=number is None,
        )
        for number in (None, 2, 3, 4)
    ]
    plain = f"printf '%s\\n' {' '.join(few)} | xargs -P {{}} -I STACK pulumi preview --non-interactive --stack STACK"
    found += [
        Row(f"plain pulumi preview, {number} at a time", FEW, ["sh", "-c", plain.format(number)], warms_up=False)
        for number in (1, 2, 3, 4)
    ]
    return found


def main() -> None:
    """Bring a lab up, measure, write docs/benchmarks-fleet-run.md."""
    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        lab = Lab(Path(scratch) / "lab", crds=REAL_CRDS if REAL_CRDS.is_dir() else None, operators=False)
        lab.up(lambda line: print(line, file=sys.stderr))
        os.environ["PATH"] = programs.path(lambda line: print(line, file=sys.stderr))
        try:
            space = FleetSpace(Path(scratch) / "fleet", lab)
            space.create(STACKS)
            with full_server() as address:
                found = rows(space, list(space.sites)[:FEW], beside_dead_ones(space, address))
                # In turn: what else the machine does then meets all of them alike.
                for number in range(RUNS + 1):
                    for row in (row for row in found if number or row.warms_up):
                        print(f"run {number} of {RUNS}: {row.title}, {row.stacks} stacks", file=sys.stderr, flush=True)
                        row.run(space)
        finally:
            lab.down()
    load = os.getloadavg()[0]
    lines = [
        "# Benchmarks of runs over many clusters\n",
        "Previews of stacks with two objects each, on one API server of the same machine, none of them applied yet;",
        f"whole processes, start to exit; median of {RUNS} runs (least to most in brackets), all in turn, after",
        "one that does not count (one for all of Pulumi's), in one `make bench` on",
        f"{MACHINE}, with a load of {load:.1f} at its end.",
        "Memory is the peak of all processes of a command together. What does not answer takes no connection: it is",
        f"given up after {CONNECT_SECONDS:.0f} s.\n",
        "| | stacks | seconds | processor seconds | MB |",
        "|---|---|---|---|---|",
        *map(str, found),
    ]
    text = "\n".join(lines) + "\n"
    (ROOT / "docs" / "benchmarks-fleet-run.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
