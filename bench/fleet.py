"""Measure `mignet check` on fleets of 100, 1,000 and 10,000 stack files: `python bench/fleet.py`.

Whole processes, start to exit. Writes docs/benchmarks-fleet.md.
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import MACHINE, measure, spread

SIZES = (100, 1_000, 10_000)
SUBNETS = ("10.0.0.0/12", "fd00:200::/64")
MIGNET = Path(sys.executable).parent / "mignet"

_PROJECT = """name: migration-network
runtime: python
config:
  segment:
    type: object
    default: {{subnet: {subnet}, vlan: 2001, mtu: 9000, gateway: {gateway}, reserved: [{reserved}]}}
"""

_STACK = """# Cluster {name}: as an administrator writes it.
config:
  migration-network:cluster:
    context: {name}
    namespace: openshift-cnv
    nodes: {nodes}
  migration-network:attachment:
    type: macvlan
    name: migration
    master: {master}
    mode: bridge
  migration-network:slice:
    rangeStart: {start}
    rangeEnd: {end}
  migration-network:hyperConverged:
    liveMigration:
      completionTimeoutPerGiB: 800
      parallelMigrationsPerCluster: 5
      parallelOutboundMigrationsPerNode: 2
      progressTimeout: 150
  migration-network:otherNetworks:
    machine: 172.16.{third}.0/24
    pods: [172.20.0.0/14]
    services: 172.30.0.0/16
"""


def write_fleet(folder: Path, stacks: int, *, subnet: str) -> None:
    """Write a project with so many stack files, whose slices follow each other from the middle of every space."""
    network = ipaddress.ip_network(subnet)
    (folder / "Pulumi.yaml").write_text(
        _PROJECT.format(subnet=subnet, gateway=network[1], reserved=f"{network[2]}-{network[9]}"), encoding="utf-8"
    )
    share = min(100, (network.num_addresses - 32) // stacks)
    for index in range(stacks):
        name = f"cluster-{index:05}"
        first = network[16 + index * share]
        text = _STACK.format(
            name=name,
            # Never more than fit, with the sync controllers and the headroom.
            nodes=3 + index % (share // 2),
            master=("eth1", "ens2f0", "bond1")[index % 3],
            start=first,
            end=first + share - 1,
            third=index % 256,
        )
        (folder / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Measure each size, print a table, and write docs/benchmarks-fleet.md unless only some sizes were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    rows = []
    for subnet, size in itertools.product(SUBNETS, arguments.sizes):
        with tempfile.TemporaryDirectory(prefix="mignet-fleet-") as scratch:
            write_fleet(Path(scratch), size, subnet=subnet)
            runs = [measure([str(MIGNET), "check", "--all"], Path(scratch)) for _ in range(arguments.runs)]
        seconds = [each.seconds for each in runs]
        processor = statistics.median(each.processor for each in runs)
        peak = max(each.megabytes for each in runs)
        rows.append(f"| {subnet} | {size:,} | {spread(seconds)} | {processor:.2f} | {peak:.0f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    lines = [
        "# Benchmarks of fleets\n",
        "`mignet check --all` on stack files with slices side by side in one subnet; whole processes, start to exit;",
        f"median of {arguments.runs} runs (least to most in brackets), all in one run of `make bench` on {MACHINE}.",
        "It is one process; processor seconds are user and system, memory is its peak.\n",
        "| subnet | stacks | seconds | processor seconds | MB |",
        "|---|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.sizes == SIZES:
        (Path(__file__).parents[1] / "docs" / "benchmarks-fleet.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
