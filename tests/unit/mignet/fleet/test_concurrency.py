"""Many clusters at a time: bounds, failures that stay alone, stops at a safe point."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from config.finding import UserError
from mignet.fleet.concurrency import Ended, Pace, State, Stop, interruptible, side_by_side

Work = dict[str, Callable[[], Awaitable[str]]]


def run(
    work: Work, pace: Pace, stop: Stop | None = None, *, changing: bool = True
) -> tuple[dict[str, Ended[str]], list[tuple[str, State]]]:
    seen: list[tuple[str, State]] = []

    async def all_of_it() -> dict[str, Ended[str]]:
        return await side_by_side(
            work,
            pace=pace,
            stop=stop or Stop(),
            error=lambda result: "it is bad" if result == "bad" else None,
            watch=lambda name, state, _why: seen.append((name, state)),
            changing=changing,
        )

    return asyncio.run(all_of_it()), seen


def says(result: str) -> Callable[[], Awaitable[str]]:
    async def work() -> str:
        await asyncio.sleep(0)
        return result

    return work


def test_what_nobody_foresaw_on_one_cluster_is_its_own_line_and_ends_no_other() -> None:
    async def broken() -> str:
        return str({}["nothing"])

    ended, _ = run({"a": broken, "b": says("good")}, Pace())
    assert ended["b"].state == "done"
    assert ended["a"].state == "failed"
    assert ended["a"].why.startswith("mignet itself failed, please report it: KeyError: 'nothing' (test_concurrency")


def test_what_a_user_can_fix_is_said_as_it_is_and_no_fault_of_ours() -> None:
    async def broken() -> str:
        msg = "kubeconfig is not readable; correct it"
        raise UserError(msg)

    ended, _ = run({"a": broken, "b": says("good")}, Pace())
    assert (ended["a"].state, ended["a"].why) == ("failed", "kubeconfig is not readable; correct it")
    assert ended["b"].state == "done"


def test_a_wait_of_its_own_that_is_over_is_told_where_no_time_was_given() -> None:
    async def late() -> str:
        raise TimeoutError

    ended, _ = run({"a": late}, Pace())
    assert (ended["a"].state, ended["a"].why) == ("timed out", "did not end in time")


async def hangs() -> str:
    await asyncio.Event().wait()
    raise AssertionError


@given(st.lists(st.sampled_from(["good", "bad"]), max_size=20), st.integers(1, 5))
def test_never_more_than_so_many_run_and_every_one_ends_as_it_would_alone(results: list[str], most: int) -> None:
    running, peak = set(), 0

    def counted(name: str, result: str) -> Callable[[], Awaitable[str]]:
        async def work() -> str:
            nonlocal peak
            running.add(name)
            peak = max(peak, len(running))
            await asyncio.sleep(0)
            running.remove(name)
            return result

        return work

    work = {f"s{number}": counted(f"s{number}", result) for number, result in enumerate(results)}
    ended, _ = run(work, Pace(at_a_time=most))
    assert [each.result for each in ended.values()] == results
    assert [each.state for each in ended.values()] == ["done" if each == "good" else "failed" for each in results]
    assert peak == min(most, len(results))


def test_one_that_hangs_costs_its_own_time_only() -> None:
    ended, seen = run({"a": hangs, "b": says("good"), "c": hangs}, Pace(seconds=0.05))
    assert [each.state for each in ended.values()] == ["timed out", "done", "timed out"]
    assert ended["a"].why == "did not end within 0.05 s"
    assert ("b", "done") in seen


def test_fail_fast_starts_no_other() -> None:
    ended, _ = run({"a": says("good"), "b": says("bad"), "c": says("good")}, Pace(at_a_time=1, fail_fast=True))
    assert [each.state for each in ended.values()] == ["done", "failed", "not started"]
    assert ended["c"].why == "not started: b failed, and --fail-fast was given"
    ended, _ = run({"a": hangs, "b": says("good")}, Pace(at_a_time=1, seconds=0.01, fail_fast=True))
    assert [each.state for each in ended.values()] == ["timed out", "not started"]


def test_ctrl_c_lets_running_ones_end_and_starts_no_other() -> None:
    stop, told = Stop(), list[str]()

    async def interrupted() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.01)
        return "good"

    before = signal.getsignal(signal.SIGINT)
    with interruptible(stop, told.append):
        ended, _ = run({"a": interrupted, "b": says("good")}, Pace(at_a_time=1), stop)
    assert [each.state for each in ended.values()] == ["done", "not started"]
    assert ended["b"].why == "not started: ctrl-c"
    assert [line.partition(":")[0] for line in told] == ["stopping"]
    assert signal.getsignal(signal.SIGINT) == before


def test_ctrl_c_breaks_off_what_changes_nothing() -> None:
    stop, told = Stop(), list[str]()

    async def interrupted() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return await hangs()

    with interruptible(stop, told.append):
        ended, _ = run({"a": interrupted, "b": hangs, "c": hangs}, Pace(at_a_time=2), stop, changing=False)
    assert [each.state for each in ended.values()] == ["stopped", "stopped", "not started"]
    assert ended["b"].why == "stopped by ctrl-c while it was looked at; nothing was changed"


def test_a_cluster_s_time_is_counted_over_all_of_a_run() -> None:
    """It has its seconds once, not once for each thing that is done to it."""

    async def both() -> list[State]:
        spent = {"a": 5.0, "b": 0.0}
        work: Work = {"a": hangs, "b": says("good")}
        ended = await side_by_side(
            work, pace=Pace(seconds=5), stop=Stop(), error=lambda _: None, changing=True, spent=spent
        )
        return [each.state for each in ended.values()]

    assert asyncio.run(both()) == ["timed out", "done"]
