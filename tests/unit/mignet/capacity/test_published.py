"""The model against what others measured and published: docs/migration-model.md, whose table is computed here anew."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest

from mignet.capacity import rounds
from mignet.capacity.drain import Shares, Task, drain
from mignet.capacity.estimate import EFFICIENCY, IN_USE, OVERHEAD
from mignet.capacity.rounds import Guest, Terms

PAGE = Path(__file__).parents[4] / "docs" / "migration-model.md"
KIB, MIB, GIB, GB = 2**10, 2**20, 2**30, 10**9
GBIT = GB / 8
SLOW, TCP = EFFICIENCY
PLAIN = Terms()
OLD_DEFAULT, DEFAULT = Terms(bandwidth=32 * MIB), Terms(bandwidth=128 * MIB)
"""QEMU's MAX_THROTTLE until 5.1, and since 5.2."""
PAGES = 4 * KIB
WAREHOUSE = 28_235_307 * KIB
"""What the run with auto-converge sent of the guest of rows 8 and 9: as much is in use at most."""


@dataclass(frozen=True)
class Case:
    """One computation: guests that leave at one time."""

    guest: Guest
    link: float
    terms: Terms = PLAIN
    count: int = 1

    def takes(self) -> float:
        tasks = [Task(str(place), "node", self.guest, self.terms) for place in range(self.count)]
        return max(done.end for done in drain(tasks, Shares(self.count, self.count, self.link)))


@dataclass(frozen=True)
class Point:
    """A measurement in seconds, infinite for one that did not end, with what is computed: one case, or the extremes."""

    measured: float
    cases: tuple[Case, ...]
    looks: int = rounds.THROTTLE_LOOKS
    observed: float = inf
    """How long one that did not end was watched."""


def idle(memory: float) -> Guest:
    return Guest(memory, 0, 0)


def unknown_use(memory: float, link: float, terms: Terms = PLAIN, count: int = 1) -> tuple[Case, ...]:
    """Return the best and the worst that `mignet capacity` assumes where nobody measured what is in use."""
    ends = zip(IN_USE, reversed(EFFICIENCY), strict=True)
    return tuple(Case(idle(memory * used), link * part, terms, count) for used, part in ends)


def warehouse(working_set: float, link: float) -> Case:
    return Case(Guest(WAREHOUSE, 67_551 * PAGES, working_set), link, Terms(downtime=4))


def stress(memory: float, rate: float) -> Case:
    return Case(Guest(memory, rate, GIB), TCP * GBIT, Terms(auto_converge=True))


STRESS = (stress(1.1 * GIB, 0.5 * GIB), stress(2 * GIB, 4 * GIB))
POINTS = {
    1: Point(46.063, tuple(Case(idle(54 * unit), TCP * 10 * GBIT, Terms(channels=8)) for unit in (GB, GIB))),
    2: Point(7.5, (Case(idle(8 * GIB), 9.5 * GBIT),)),
    3: Point(4.0, (Case(idle(8 * GIB), 26 * GBIT),)),
    4: Point(11.834, (Case(idle(389_137 * KIB), TCP * 10 * GBIT, OLD_DEFAULT),)),
    5: Point(11.619, (Case(idle(379_699 * KIB), TCP * 10 * GBIT, OLD_DEFAULT),)),
    6: Point(28.606, (Case(idle(3_722_913 * KIB), 100 * GBIT, DEFAULT),)),
    7: Point(5.115, (Case(idle(659_532 * KIB), 100 * GBIT, DEFAULT),)),
    8: Point(inf, (warehouse(WAREHOUSE, TCP * 20 * GBIT),), observed=1487.503),
    9: Point(
        inf,
        tuple(warehouse(size, 383_749_347 * KIB / 1487.503) for size in (2_753_372 * KIB, WAREHOUSE)),
        observed=1487.503,
    ),
    10: Point(252, STRESS),
    11: Point(252, STRESS, looks=3),
    12: Point(2.07, unknown_use(8 * GIB, 10 * GBIT, Terms(downtime=0.01))),
    13: Point(4.9, unknown_use(512 * MIB, GBIT)),
    14: Point(15.3, unknown_use(16 * GIB, GBIT)),
    15: Point(163, unknown_use(64 * GIB, 25 * GBIT, count=10)),
}
FIXED = {"kube-burner": (8, 12), "Telmate": (6, 6)}
"""Seconds that are no copying, by source."""


def rows(first: str) -> list[list[str]]:
    """Return the cells of the table in the page whose head begins so."""
    table = PAGE.read_text().split(f"\n{first}", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def measured(point: Point) -> str:
    return f"not in {int(point.observed):,} s" if point.measured == inf else f"{point.measured:.1f} s"


def model(low: float, high: float) -> str:
    if low == high:
        return f"{low:.1f} s"
    return f"{low:.1f} s to never" if high == inf else f"{low:.1f} to {high:.1f} s"


def error(point: Point, low: float, high: float) -> str:
    if low < high and low <= point.measured <= high:
        return "inside"
    if point.measured == inf:
        return "wrong"
    nearest = low if point.measured < low else high
    return f"{nearest / point.measured - 1:+.1%}" + (" at least" if low < high else "")


@pytest.mark.parametrize("number", POINTS)
def test_the_table_tells_what_the_model_makes_of_a_measurement(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    point = POINTS[number]
    monkeypatch.setattr(rounds, "THROTTLE_LOOKS", point.looks)
    ends = [case.takes() for case in point.cases]
    low, high = min(ends), max(ends)
    (row,) = (cells for cells in rows("| | source |") if cells[0] == str(number))
    assert row[-3:] == [measured(point), model(low, high), error(point, low, high)]


def test_the_table_has_a_row_for_each_measurement() -> None:
    assert [int(cells[0]) for cells in rows("| | source |")] == list(POINTS)


def test_what_is_published_of_fixed_costs_lies_in_what_is_assumed() -> None:
    told = rows("| source | whole |")
    for source, (least, most) in FIXED.items():
        (row,) = (cells for cells in told if cells[0].startswith(source))
        assert row[-1].startswith(f"{least} s" if least == most else f"{least} to {most} s")
        assert OVERHEAD[0] <= least <= most <= OVERHEAD[1]
