"""Measure `mignet allocate` into fleets of 100, 1,000 and 10,000 stack files: `python bench/allocate.py`.

A new cluster gets a slice in a /12 and in an IPv6 /64 whose slices leave gaps of many sizes. Whole processes, start to
exit. Writes docs/benchmarks-allocate.md.
"""

from __future__ import annotations

import ipaddress
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import MACHINE, Taken, measure, spread

SIZES = (100, 1_000, 10_000)
SUBNETS = ("10.0.0.0/12", "fd00:200::/64")
RUNS = 3
NODES = 30
MIGNET = Path(sys.executable).parent / "mignet"
DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks-allocate.md"

_STACK = """# Cluster {name}
config:
  migration-network:cluster: {{context: {name}, namespace: openshift-cnv, nodes: {nodes}}}
  migration-network:attachment:
    type: macvlan
    name: migration
    master: eth1
    mode: bridge
"""
_SLICE = """\
  migration-network:slice:
    rangeStart: {first}
    rangeEnd: {last}
"""


def write_fleet(folder: Path, size: int, subnet: str) -> None:
    """Write `size` stacks with slices of 50 addresses, and one stack, `new`, without."""
    network = ipaddress.ip_network(subnet)
    project = f"name: migration-network\nconfig: {{segment: {{default: {{subnet: '{subnet}'}}}}}}\n"
    (folder / "Pulumi.yaml").write_text(project, encoding="utf-8")
    start = 1
    for index in range(size):
        slice_ = _SLICE.format(first=network[start], last=network[start + 49])
        text = _STACK.format(name=f"c{index}", nodes=40) + slice_
        (folder / f"Pulumi.c{index}.yaml").write_text(text, encoding="utf-8")
        start += 50 + index * 7 % 41
    (folder / "Pulumi.new.yaml").write_text(_STACK.format(name="new", nodes=NODES), encoding="utf-8")


def allocated(folder: Path) -> Taken:
    """Allocate once, and take it back."""
    taken = measure([str(MIGNET), "allocate", "new"], folder)
    measure([str(MIGNET), "release", "new", "--yes"], folder)
    return taken


def main() -> None:
    """Measure each size in each subnet and write the document."""
    rows = []
    for subnet in SUBNETS:
        for size in SIZES:
            with tempfile.TemporaryDirectory(prefix="mignet-allocate-") as scratch:
                write_fleet(Path(scratch), size, subnet)
                runs = [allocated(Path(scratch)) for _ in range(RUNS)]
            wall, work = [each.seconds for each in runs], [each.processor for each in runs]
            peak = max(each.megabytes for each in runs)
            rows.append(f"| {subnet} | {size:,} | {spread(wall)} | {statistics.median(work):.2f} | {peak:.0f} |")
            print(rows[-1], file=sys.stderr, flush=True)
    lines = [
        "# Benchmarks of allocate",
        "",
        "`mignet allocate new` into a fleet of so many other stack files, all of which it reads; whole processes, from",
        f"start to exit; median of {RUNS} runs (least to most in brackets), in one `make bench` on {MACHINE}.",
        "",
        "| subnet | stacks | seconds | of these on a processor | MB at most |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Wanted: under 5 s and 500 MB for 10,000 stacks, growing no faster than n log n.",
    ]
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
