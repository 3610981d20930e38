"""Measure verbs on 1,000 stacks whose clusters take no connection: `python bench/unreachable.py`.

All are contexts of one kubeconfig, each with an address of its own on this machine where nobody listens. Whole
processes, start to exit. Writes docs/benchmarks-unreachable.md.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

import yaml
from fleet import MIGNET, write_fleet
from measuring import MACHINE, measure, spread

STACKS, RUNS = 1_000, int(os.environ.get("BENCH_RUNS", "3"))
VERBS = {
    "peers": ["peers"],
    "verify": ["verify", "--all", "--timeout", "0"],
    "preflight": ["preflight", "--all"],
    "report": ["report"],
}
PORT = 20_000


def write_kubeconfig(path: Path) -> None:
    """Write the contexts of all stacks."""
    numbers = range(STACKS)
    server = "https://127.0.0.1:{}"
    content = {
        "clusters": [{"name": f"c{n}", "cluster": {"server": server.format(PORT + n)}} for n in numbers],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": f"cluster-{n:05}", "context": {"cluster": f"c{n}", "user": "u"}} for n in numbers],
    }
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config"} | content), encoding="utf-8")


def main() -> None:
    """Measure, print a table, and write it."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        folder = Path(scratch)
        write_fleet(folder, STACKS, subnet="10.0.0.0/12")
        (folder / "__main__.py").write_bytes((Path(__file__).parents[1] / "__main__.py").read_bytes())
        write_kubeconfig(folder / "kubeconfig")
        environment = os.environ | {"KUBECONFIG": str(folder / "kubeconfig"), "XDG_STATE_HOME": str(folder / "state")}
        for verb, arguments in VERBS.items():
            taken = [
                measure([str(MIGNET), *arguments], folder, environment=environment, codes=(0, 1)) for _ in range(RUNS)
            ]
            seconds = [each.seconds for each in taken]
            processor = statistics.median(each.processor for each in taken)
            rows.append(
                f"| {verb} | {spread(seconds)} | {processor:.2f} | {max(each.megabytes for each in taken):.0f} |"
            )
            print(rows[-1], file=sys.stderr, flush=True)
    lines = [
        "# Benchmarks of clusters that cannot be reached\n",
        f"Verbs on {STACKS:,} stacks whose clusters take no connection; whole processes; median of {RUNS} runs",
        f"(least to most in brackets), all in one run of `make bench` on {MACHINE}. Memory is the process' peak.\n",
        "| verb | seconds | processor seconds | MB |",
        "|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    (Path(__file__).parents[1] / "docs" / "benchmarks-unreachable.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
