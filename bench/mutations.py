"""Read 200,000 mutated documents as the program reads them, and count what broke: `python bench/mutations.py`.

Stack files and Pulumi.yaml (`mignet check` in every form of output), kubeconfigs, records of runs, results of checkups
and CNI configurations. Prints seeds and counts; exits 1 when a document led to a traceback, to "itself failed", to
control characters in an output, or took more than a second. A process that died counts as broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

import mutations

CHUNK = 2_000
"""Documents for each seed, so that one that broke something is found again soon."""
SHOWN = 20


def main() -> int:
    """Run the campaign, and return the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=1, help="the first seed; each chunk has the next one")
    arguments.add_argument("--count", type=int, default=200_000)
    given = arguments.parse_args()
    seeds = range(given.seed, given.seed + -(-given.count // CHUNK))
    begun, counts, broken, slowest = time.monotonic(), Counter[str](), list[str](), 0.0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for seed, running in [(seed, pool.submit(mutations.run, seed, CHUNK)) for seed in seeds]:
            try:
                outcome = running.result()
            except BrokenProcessPool:
                broken.append(f"seed {seed}: the process died")
                break
            counts += outcome.counts
            slowest = max(slowest, outcome.slowest)
            broken += (f"seed {seed}: {each}" for each in outcome.broken)
    print(f"seeds {seeds[0]} to {seeds[-1]}, {CHUNK:,} documents each, in {time.monotonic() - begun:.0f} s")
    for name, count in sorted(counts.items()):
        print(f"{count:>8,}  {name}")
    print(f"the slowest took {slowest:.2f} s; {len(broken)} broke something")
    print("\n".join(broken[:SHOWN]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
