"""Hold the model of migrations against real QEMU, and write docs/migration-model.md's table: `python bench/qemu.py`.

Needs root, and Debian's qemu-system-x86 and nasm. Some 130 migrations, two at a time, take 20 minutes. With
`--rows FILE` the measurements are kept there, or those that it holds are judged again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

from measuring import MACHINE
from qemu_pairs import MISSING, Case, Measured, measure, predict, root

from mignet.capacity.rounds import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mignet.capacity.drain import Done

PAGE = Path(__file__).parents[1] / "docs" / "migration-model.md"
MARK = "<!-- measured -->\n"
EDGE = 0.1
"""Part of the dirty rate by which a case must be away from where it would end otherwise, to be held to that."""
MEDIAN, MOST, SHARE = 0.05, 0.15, 0.95
LANES = 2


def groups() -> Iterator[list[Case]]:  # noqa: PLR0912 - a list of cases
    """Yield what is migrated at one time."""
    for memory, slower in ((128, 8), (256, 8), (384, 6)):
        bandwidth = memory // slower
        for part in (16, 4, 2):
            for ratio in (0.0, 0.2, 0.5, 0.8, 1.4):
                yield [Case(memory, memory // part, bandwidth * ratio, bandwidth, 100)]
    for downtime in (0.05, 0.1, 0.6, 1.0, 2.0):
        for ratio in (0.4, 0.9):
            yield [Case(256, 64, 32 * ratio, 32, 100, downtime=downtime)]
    for working_set in (32, 96):
        for ratio in (0.8, 1.2, 2.0, 4.0):
            yield [Case(256, working_set, 32 * ratio, 32, 100, auto_converge=True, busy=True, longest=80)]
        for ratio in (0.7, 1.0):
            yield [Case(256, working_set, 32 * ratio, 32, 100, auto_converge=True, longest=80)]
    for after in (3.0, 9.0, 13.0):
        for working_set, ratio in ((64, 1.5), (128, 3.0), (16, 0.5)):
            yield [Case(256, working_set, 32 * ratio, 32, 48, post_copy=after)]
            yield [Case(256, working_set, 32 * ratio, 32, 100, pause=after)]
    for memory, channels in ((256, 8), (256, 4), (384, 8)):
        for ratio in (0.1, 0.5, 0.8, 1.4):
            yield [Case(memory, memory // 4, 32 * ratio, 32, 100, channels=channels)]
    for link in (20, 40, 64):
        for ratio in (0.1, 0.5, 0.8):
            yield [Case(256, 64, link * ratio, None, link)]
    for count, bandwidth, link in ((2, 32, 48), (3, 32, 64), (3, 16, 64), (4, None, 80), (5, 32, 80), (5, 24, 64)):
        yield [Case(160, 32, 2.0 * place, bandwidth, link) for place in range(count)]
    yield [Case(memory, 32, 4.0, None, 60) for memory in (64, 128, 192, 256)]


def measured(rows: Path | None) -> list[list[Measured]]:
    """Measure all, or read what was measured before."""
    if rows is not None and rows.exists():
        return [
            [Measured(**{**each, "case": Case(**each["case"])}) for each in group]
            for group in json.loads(rows.read_text(encoding="utf-8"))
        ]
    every = list(groups())
    count = sum(map(len, every))
    print(f"{count} migrations", flush=True)

    def one(place: int) -> list[Measured]:
        found = measure(every[place], f"mignet-q{place}")
        for each, said in zip(found, predict(found), strict=True):
            print(each.case, each.dirty_rate, each.seconds, round(said.end, 2), said.ending, flush=True)
        return found

    # What keeps a processor busy, or shares a link, runs alone.
    alone = [place for place, group in enumerate(every) if len(group) > 1 or group[0].busy]
    found: dict[int, list[Measured]] = {}
    with ThreadPoolExecutor(LANES) as pool:
        beside = [place for place in range(len(every)) if place not in alone]
        found |= dict(zip(beside, pool.map(one, beside), strict=True))
    found |= {place: one(place) for place in alone}
    result = [found[place] for place in range(len(every))]
    if rows is not None:
        rows.write_text(json.dumps([[asdict(each) for each in group] for group in result]), encoding="utf-8")
    return result


def ended(done: Done, case: Case) -> bool:
    """Tell whether a migration ends within the time that is watched."""
    return done.ending is not Ending.NEVER and done.end <= case.longest


def table(found: Sequence[Sequence[Measured]]) -> tuple[str, bool]:
    """Return the table with what it says as a whole, and whether the model is as good as asked for."""
    lines, errors, as_set, wrong, edge = [], [], [], [], 0
    for group in found:
        near = zip(*(predict(group, factor=1 + sign * EDGE) for sign in (-1, 1)), strict=True)
        for each, said, exact, around in zip(group, predict(group), predict(group, as_set=True), near, strict=True):
            case = each.case
            ends = ended(said, case)
            close = len({ends, *(ended(other, case) for other in around)}) > 1
            edge += close
            error = None
            if each.seconds is not None and ends:
                error = said.end / each.seconds - 1
                errors.append(abs(error))
                as_set.append(abs(exact.end / each.seconds - 1))
            elif (each.seconds is not None) != ends and not close:
                wrong.append(case)
            cells = (
                case.memory,
                case.working_set,
                f"{case.rate:.1f}",
                f"{each.dirty_rate:.1f}",
                case.bandwidth or "",
                case.link,
                case.options + (f"{', ' if case.options else ''}{len(group)} at a time" if len(group) > 1 else ""),
                "never" if each.seconds is None else f"{each.seconds:.1f}",
                f"{said.end:.1f}, {said.ending}" if ends else "never",
                "" if error is None else f"{error:+.1%}",
                "yes" if close else "",
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    within = sum(each <= MOST for each in errors) / len(errors)
    median = statistics.median(errors)
    good = median <= MEDIAN and within >= SHARE and not wrong
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
    judged = len(lines) - edge
    head = (
        f"{len(lines)} migrations, {version.split('(')[0].strip()} with TCG, {MACHINE}. Of the {len(errors)} that end,"
        f" the predicted time is off by {median:.1%} in the median,"
        f" {statistics.quantiles(errors, n=20)[-1]:.1%} in 19 of 20, {max(errors):.1%} at most;"
        f" {within:.1%} are within {MOST:.0%}. With the rate that was set, in place of the one that calc-dirty-rate"
        f" measured, the median is {statistics.median(as_set):.1%}. Whether a migration ends is predicted right in"
        f" {judged - len(wrong)} of the {judged} that are {EDGE:.0%} or more of the dirty rate away from the edge.\n\n"
        "| memory MiB | working set MiB | rate set MiB/s | calc-dirty-rate MiB/s | bandwidth MiB/s | link MiB/s | how |"
        " QEMU s | model s | error | near the edge |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n", good


def main() -> None:
    """Measure, and write the table; exit 1 where the model is worse than it says it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path)
    arguments = parser.parse_args()
    if MISSING or not root():
        raise SystemExit(f"needs root, and {', '.join(MISSING) or 'nothing else'}")
    text, good = table(measured(arguments.rows))
    before = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(before.split(MARK)[0] + MARK + text, encoding="utf-8")
    print(text.split("\n")[0])
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
