"""Whatever a guest and its limits are: the model ends, and what is worse takes longer."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mignet.capacity.drain import Done, Shares, Task, drain
from mignet.capacity.link import share
from mignet.capacity.rounds import Ending, Guest, Terms

MIB = 2**20

guests = st.builds(
    Guest,
    memory=st.floats(1, 2000).map(lambda each: each * MIB),
    dirty_rate=st.floats(0, 2000).map(lambda each: each * MIB),
    working_set=st.floats(0, 1000).map(lambda each: each * MIB),
    disks=st.sampled_from([0.0, 500.0 * MIB]),
    busy=st.sampled_from([0.05, 0.5, 1.0]),
)
terms = st.builds(
    Terms,
    bandwidth=st.one_of(st.just(math.inf), st.floats(1, 500).map(lambda each: each * MIB)),
    timeout=st.one_of(st.just(math.inf), st.floats(1, 500)),
    auto_converge=st.booleans(),
    post_copy=st.booleans(),
    pause=st.booleans(),
    downtime=st.floats(0.01, 5),
    channels=st.sampled_from([0, 8]),
)
links = st.floats(1, 2000).map(lambda each: each * MIB)


def migrate(guest: Guest, own: Terms, link: float) -> Done:
    (done,) = drain([Task("vm", "node", guest, own)], Shares(1, 1, link))
    return done


@given(guests, terms, links)
def test_it_ends_in_one_of_the_known_ways(guest: Guest, own: Terms, link: float) -> None:
    done = migrate(guest, own, link)
    assert math.isfinite(done.end) is (done.ending is not Ending.NEVER)
    if done.ending not in {Ending.NEVER, Ending.TIMED_OUT}:
        assert done.sent >= guest.memory * 0.999
        assert done.end >= guest.memory / link * 0.9 - own.downtime
    if done.ending is Ending.TIMED_OUT:
        assert abs(done.end - own.timeout) < 0.001
    assert (done.ending is Ending.NEVER) <= math.isinf(own.timeout)
    assert (done.ending is Ending.POST_COPY) <= own.post_copy
    assert (done.ending is Ending.PAUSED) <= own.pause


@given(guests, links)
def test_an_idle_guest_is_never_slower_than_one_that_writes(guest: Guest, link: float) -> None:
    assert migrate(replace(guest, dirty_rate=0.0), Terms(), link).end <= migrate(guest, Terms(), link).end + 0.2


@given(st.floats(0, 1000), st.lists(st.floats(0, 1000), max_size=8))
def test_a_link_is_shared_out_whole_and_to_nobody_more_than_it_wants(link: float, wants: list[float]) -> None:
    given_ = share(link, wants)
    assert all(each <= want + 1e-9 for each, want in zip(given_, wants, strict=True))
    assert abs(sum(given_) - min(link, sum(wants))) < 1e-6


@given(st.lists(st.tuples(guests, terms), min_size=1, max_size=6), st.integers(1, 3), st.integers(1, 4), links)
def test_a_drain_keeps_to_its_limits(
    each: list[tuple[Guest, Terms]], per_node: int, per_cluster: int, link: float
) -> None:
    tasks = [Task(str(place), str(place % 2), *one) for place, one in enumerate(each)]
    done = drain(tasks, Shares(per_node, per_cluster, link, overhead=1.0))
    assert sorted(one.name for one in done) == sorted(task.name for task in tasks)
    for one in done:
        beside = [other for other in done if other.begin <= one.begin < other.end]
        if math.isfinite(one.begin):
            assert len(beside) <= per_cluster
            assert sum(other.node == one.node for other in beside) <= per_node
