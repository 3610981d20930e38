"""Work on many clusters side by side: so many at a time, each for so long, and to a safe point when asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

Result = TypeVar("Result")
State = Literal["waiting", "running", "done", "failed", "timed out", "not started"]


@dataclass(slots=True)
class Stop:
    """Whether work is to end at the next safe point, and why. Clusters that wait are not started then."""

    reason: str | None = None

    @property
    def asked(self) -> bool:
        """Whether it was asked for."""
        return self.reason is not None

    def ask(self, reason: str) -> None:
        """Ask for it; the first reason stays."""
        self.reason = self.reason or reason


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes through its clusters.

    `seconds` is what each cluster has, from its own start on; None is without end. `fail_fast` starts no other cluster
    after the first that failed.
    """

    at_a_time: int = 16
    seconds: float | None = None
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class Ended(Generic[Result]):
    """How one cluster's work ended; `result` is None unless it ran to its own end."""

    state: State
    result: Result | None = None
    why: str = ""


async def side_by_side(
    work: Mapping[str, Callable[[], Awaitable[Result]]],
    *,
    pace: Pace,
    stop: Stop,
    failed: Callable[[Result], bool],
    watch: Callable[[str, State], None] = lambda _name, _state: None,
) -> dict[str, Ended[Result]]:
    """Do all of it and return how each ended, in the order given. One that fails stops no other.

    `failed` judges a result; `watch` is told whenever a cluster's state changes.
    """
    limit = asyncio.Semaphore(pace.at_a_time)

    async def one(name: str) -> Ended[Result]:
        async with limit:
            if stop.asked:
                return Ended("not started", why=f"{name}: not started: {stop.reason}")
            watch(name, "running")
            ended: Ended[Result]
            try:
                async with asyncio.timeout(pace.seconds):
                    result = await work[name]()
            except TimeoutError:
                ended = Ended("timed out", why=f"{name}: did not end within {pace.seconds:.0f} s")
            else:
                ended = Ended("failed" if failed(result) else "done", result)
            if pace.fail_fast and ended.state != "done":
                stop.ask(f"{name} failed, and --fail-fast was given")
            return ended

    async def watched(name: str) -> Ended[Result]:
        ended = await one(name)
        watch(name, ended.state)
        return ended

    return dict(zip(work, await asyncio.gather(*(watched(name) for name in work)), strict=True))


@contextlib.contextmanager
def interruptible(stop: Stop, tell: Callable[[str], None]) -> Iterator[None]:
    """Let the first ctrl-c ask for a stop at the next safe point; the second one breaks off.

    Only the main thread can; elsewhere it changes nothing.
    """

    def first(_number: int, _frame: object) -> None:
        stop.ask("ctrl-c")
        signal.signal(signal.SIGINT, before)
        tell("stopping: no other cluster is started, running ones go on to a safe point; ctrl-c again breaks off")

    try:
        before = signal.signal(signal.SIGINT, first)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
