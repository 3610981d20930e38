"""Many migrations: the limits of how many at a time, and what they share."""

from __future__ import annotations

import math

import pytest

from mignet.capacity.drain import Shares, Task, drain
from mignet.capacity.link import share
from mignet.capacity.rounds import Ending, Guest, Terms

MIB = 2**20


def tasks(count: int, node: str = "a", memory: float = 100, **terms: float) -> list[Task]:
    return [Task(f"{node}{place}", node, Guest(memory * MIB, 0, 0), Terms(**terms)) for place in range(count)]


def test_so_many_at_a_time_leave_a_node() -> None:
    done = drain(tasks(4, bandwidth=10 * MIB), Shares(per_node=2, per_cluster=5, link=1000 * MIB))
    assert [round(each.begin) for each in done] == [0, 0, 10, 10]
    assert max(each.end for each in done) == pytest.approx(20, abs=0.7)


def test_the_cluster_s_limit_counts_over_all_nodes() -> None:
    both = [*tasks(2, "a", bandwidth=10 * MIB), *tasks(2, "b", bandwidth=10 * MIB)]
    done = drain(both, Shares(per_node=2, per_cluster=3, link=1000 * MIB))
    assert sorted(round(each.begin) for each in done) == [0, 0, 0, 10]


def test_what_runs_at_one_time_shares_the_node_s_link() -> None:
    done = drain(tasks(2), Shares(per_node=2, per_cluster=5, link=10 * MIB))
    assert [each.end for each in done] == [pytest.approx(20, abs=0.3)] * 2


def test_nodes_share_what_leads_to_another_cluster() -> None:
    both = [*tasks(1, "a"), *tasks(1, "b")]
    apart = drain(both, Shares(2, 5, link=10 * MIB))
    together = drain(both, Shares(2, 5, link=10 * MIB, between=10 * MIB))
    assert [each.end for each in apart] == [pytest.approx(10, abs=0.3)] * 2
    assert [each.end for each in together] == [pytest.approx(20, abs=0.3)] * 2


def test_the_overhead_takes_a_place_but_nothing_of_the_link() -> None:
    done = drain(tasks(2), Shares(per_node=1, per_cluster=5, link=10 * MIB, overhead=5))
    assert [each.end for each in done] == [pytest.approx(15, abs=0.3), pytest.approx(30, abs=0.5)]


def test_one_that_never_ends_keeps_its_place_and_those_behind_it_never_begin() -> None:
    stuck = Task("stuck", "a", Guest(100 * MIB, 500 * MIB, 90 * MIB), Terms())
    done = drain([stuck, *tasks(1)], Shares(per_node=1, per_cluster=5, link=10 * MIB))
    assert {each.name: (each.ending, each.begin) for each in done} == {
        "stuck": (Ending.NEVER, 0.0),
        "a0": (Ending.NEVER, math.inf),
    }


def test_one_that_was_steady_goes_on_when_another_leaves_it_the_link() -> None:
    writes = Task("writes", "a", Guest(100 * MIB, 12 * MIB, 90 * MIB), Terms())
    alone = drain([writes], Shares(2, 5, link=20 * MIB))
    shared = drain([writes, *tasks(1, memory=3000)], Shares(2, 5, link=20 * MIB))
    assert alone[0].ending is Ending.PRE_COPY
    (late,) = [each for each in shared if each.name == "writes"]
    assert late.ending is Ending.PRE_COPY
    assert late.end > 200


@pytest.mark.parametrize(
    ("link", "wants", "given"),
    [
        (100, [20, 60, 60], [20, 40, 40]),
        (100, [60, 20, 60], [40, 20, 40]),
        (100, [10, 10], [10, 10]),
        (90, [math.inf, math.inf, math.inf], [30, 30, 30]),
        (90, [], []),
    ],
)
def test_a_link_is_shared_in_equal_parts_none_more_than_it_wants(
    link: float, wants: list[float], given: list[float]
) -> None:
    assert share(link, wants) == pytest.approx(given)
