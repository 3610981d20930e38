"""Work on many clusters side by side: so many at a time, each for so long, and to a safe point when asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from config.finding import UserError, unforeseen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

Result = TypeVar("Result")
State = Literal["waiting", "running", "done", "failed", "timed out", "stopped", "not started"]

CTRL_C = "ctrl-c"

PARALLEL = 16
"""Clusters at a time, where nothing but waiting for their answers is in the way."""


class StoppedError(UserError):
    """Work ended at a safe point, as it was asked to; the sentence says at which."""


@dataclass(slots=True)
class Stop:
    """Whether work is to end at the next safe point, and why. Clusters that wait are not started then."""

    reason: str | None = None
    broken_off: bool = False
    """Whether nothing is waited for any more, not even a safe point."""
    _tell: list[Callable[[], object]] = field(default_factory=list)

    @property
    def asked(self) -> bool:
        """Whether it was asked for."""
        return self.reason is not None

    def ask(self, reason: str) -> None:
        """Ask for it; the first reason stays."""
        self.reason = self.reason or reason
        for tell in self._tell:
            tell()

    @contextlib.contextmanager
    def told(self, tell: Callable[[], object]) -> Iterator[None]:
        """Have `tell` called when it is asked for meanwhile, from a signal's handler, too."""
        self._tell.append(tell)
        try:
            yield
        finally:
            self._tell.remove(tell)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes through its clusters.

    `at_a_time` None leaves it to who does the work. `seconds` is what each cluster has, from its own start on; None is
    without end. `fail_fast` starts no other cluster after the first that failed.
    """

    at_a_time: int | None = None
    seconds: float | None = None
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class Ended(Generic[Result]):
    """How one cluster's work ended, and why it did not end well; `result` is None unless it ran to its own end."""

    state: State
    result: Result | None = None
    why: str = ""


async def side_by_side(
    work: Mapping[str, Callable[[], Awaitable[Result]]],
    *,
    pace: Pace,
    stop: Stop,
    error: Callable[[Result], str | None],
    watch: Callable[[str, State, str], None] = lambda _name, _state, _why: None,
    changing: bool = False,
    spent: dict[str, float] | None = None,
) -> dict[str, Ended[Result]]:
    """Do all of it and return how each ended, in the order given. One that fails stops no other.

    `error` says of a result why it is a failure; `watch` is told whenever a cluster's state changes, and why. Work that
    is `changing` a cluster ends by itself when asked to stop, with StoppedError; any other is broken off. `spent` has
    the seconds that each cluster took of its time in earlier work, and is brought up to date.
    """
    limit = asyncio.Semaphore(pace.at_a_time or PARALLEL)
    used = {} if spent is None else spent

    async def one(name: str) -> Ended[Result]:
        async with limit:
            if stop.asked:
                return Ended("not started", why=f"not started: {stop.reason}")
            watch(name, "running", "")
            begun = time.monotonic()
            ended: Ended[Result]
            try:
                left = None if pace.seconds is None else max(pace.seconds - used.get(name, 0.0), 0.0)
                async with asyncio.timeout(left):
                    result = await (work[name]() if changing else _unless(stop, work[name]()))
            except TimeoutError as late:
                within = "in time" if pace.seconds is None else f"within {pace.seconds:g} s"
                ended = Ended("timed out", why=str(late) or f"did not end {within}")
            except StoppedError as stopped:
                ended = Ended("stopped", why=str(stopped))
            except UserError as known:
                ended = Ended("failed", why=str(known))
            except Exception as mistake:
                ended = Ended("failed", why=f"mignet itself failed, please report it: {unforeseen(mistake)}")
            else:
                why = error(result)
                ended = Ended("done", result) if why is None else Ended("failed", result, why)
            used[name] = used.get(name, 0.0) + time.monotonic() - begun
            if pace.fail_fast and ended.state in {"failed", "timed out"}:
                stop.ask(f"{name} failed, and --fail-fast was given")
            return ended

    async def watched(name: str) -> Ended[Result]:
        ended = await one(name)
        watch(name, ended.state, ended.why)
        return ended

    return dict(zip(work, await asyncio.gather(*(watched(name) for name in work)), strict=True))


async def _unless(stop: Stop, work: Awaitable[Result]) -> Result:
    """Do the work, or break it off when ctrl-c asks for it: it changes nothing, so that any point is a safe one."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def break_off() -> None:
        # One cluster's failure is no reason to lose what another one is about to say.
        if stop.reason == CTRL_C:
            loop.call_soon_threadsafe(task.cancel)

    with stop.told(break_off):
        try:
            return await task
        except asyncio.CancelledError:
            # Also cancelled when a deadline is over; then that is said.
            if stop.reason != CTRL_C or (current := asyncio.current_task()) is None or current.cancelling():
                raise
            msg = f"stopped by {CTRL_C} while it was looked at; nothing was changed"
            raise StoppedError(msg) from None


@contextlib.contextmanager
def interruptible(stop: Stop, tell: Callable[[str], None]) -> Iterator[None]:
    """Let the first ctrl-c ask for a stop at the next safe point; the second one breaks off.

    Only the main thread can; elsewhere it changes nothing.
    """

    def first(_number: int, _frame: object) -> None:
        stop.ask(CTRL_C)
        signal.signal(signal.SIGINT, second)
        tell("stopping: no other cluster is started, running ones go on to a safe point; ctrl-c again breaks off")

    def second(_number: int, _frame: object) -> None:
        stop.broken_off = True
        signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, first)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
