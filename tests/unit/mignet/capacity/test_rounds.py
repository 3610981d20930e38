"""One migration: rounds, throttling, post-copy, a pause, and what never ends."""

from __future__ import annotations

import math

import pytest

from mignet.capacity.drain import Done, Shares, Task, drain
from mignet.capacity.rounds import DOWNTIME, Ending, Guest, Terms

MIB = 2**20
LINK = 100 * MIB
PLAIN = Terms()


def migrate(guest: Guest, terms: Terms = PLAIN, link: float = LINK) -> Done:
    (done,) = drain([Task("vm", "node", guest, terms)], Shares(1, 1, link))
    return done


def test_an_idle_guest_is_sent_once() -> None:
    done = migrate(Guest(1000 * MIB, 0, 0))
    assert done.ending is Ending.PRE_COPY
    assert done.end == pytest.approx(10, abs=0.1)
    assert done.sent == pytest.approx(1000 * MIB)
    assert 0 < done.stopped <= DOWNTIME


def test_what_is_written_is_sent_again_until_it_fits_into_the_downtime() -> None:
    idle, writing = migrate(Guest(1000 * MIB, 0, 0)), migrate(Guest(1000 * MIB, 50 * MIB, 500 * MIB))
    assert writing.ending is Ending.PRE_COPY
    assert writing.end > idle.end * 1.5
    assert writing.stopped <= DOWNTIME + 0.01


def test_a_guest_that_writes_as_fast_as_the_link_sends_never_ends() -> None:
    done = migrate(Guest(1000 * MIB, 400 * MIB, 500 * MIB))
    assert (done.ending, done.end) == (Ending.NEVER, math.inf)


def test_a_working_set_that_fits_into_the_downtime_ends_whatever_its_rate() -> None:
    assert migrate(Guest(1000 * MIB, 4000 * MIB, 20 * MIB)).ending is Ending.PRE_COPY


def test_auto_converge_slows_a_busy_guest_down_until_it_ends() -> None:
    guest = Guest(1000 * MIB, 200 * MIB, 500 * MIB)
    assert migrate(guest).ending is Ending.NEVER
    done = migrate(guest, Terms(auto_converge=True))
    assert done.ending is Ending.AUTO_CONVERGE
    assert done.end < 120


def test_auto_converge_does_little_to_a_guest_that_makes_up_for_it() -> None:
    guest = Guest(1000 * MIB, 200 * MIB, 500 * MIB)
    lazy = Guest(1000 * MIB, 200 * MIB, 500 * MIB, busy=0.1)
    assert migrate(lazy, Terms(auto_converge=True)).end > migrate(guest, Terms(auto_converge=True)).end


@pytest.mark.parametrize(
    ("terms", "ending"),
    [
        (Terms(timeout=15), Ending.TIMED_OUT),
        (Terms(timeout=15, post_copy=True), Ending.POST_COPY),
        (Terms(timeout=15, pause=True), Ending.PAUSED),
    ],
)
def test_when_the_time_is_over_the_limits_say_what_happens(terms: Terms, ending: Ending) -> None:
    guest = Guest(1000 * MIB, 400 * MIB, 500 * MIB)
    done = migrate(guest, terms)
    assert done.ending is ending
    if ending is Ending.TIMED_OUT:
        assert done.end == pytest.approx(15)
    else:
        # All that was dirty at that moment is sent after it, and nothing more.
        assert 15 < done.end < 15 + 500 / 100 + 1
    assert (done.stopped > 1) is (ending is Ending.PAUSED)


def test_post_copy_is_not_bound_by_the_bandwidth_limit_and_a_pause_is() -> None:
    guest = Guest(1000 * MIB, 400 * MIB, 500 * MIB)
    post_copy = migrate(guest, Terms(20 * MIB, timeout=80, post_copy=True))
    paused = migrate(guest, Terms(20 * MIB, timeout=80, pause=True))
    assert post_copy.end - 80 < (paused.end - 80) / 3


def test_a_bandwidth_limit_and_a_link_bound_it_alike() -> None:
    guest = Guest(1000 * MIB, 5 * MIB, 100 * MIB)
    limited, narrow = migrate(guest, Terms(20 * MIB)), migrate(guest, link=20 * MIB)
    assert limited.end == pytest.approx(narrow.end, rel=0.02)


def test_multifd_rounds_what_a_turn_sends_up_to_whole_packets() -> None:
    assert Terms(32 * MIB, channels=8).spent == 35 * MIB
    assert Terms(32 * MIB).spent == 32 * MIB
    assert Terms(channels=8).spent == math.inf


def test_disks_come_before_the_memory() -> None:
    plain, with_disks = migrate(Guest(1000 * MIB, 0, 0)), migrate(Guest(1000 * MIB, 0, 0, disks=3000 * MIB))
    assert with_disks.end == pytest.approx(plain.end + 30, abs=0.2)


def test_a_timeout_may_come_while_disks_are_copied() -> None:
    done = migrate(Guest(1000 * MIB, 0, 0, disks=3000 * MIB), Terms(timeout=20, post_copy=True))
    assert (done.ending, done.end) == (Ending.TIMED_OUT, pytest.approx(20))
