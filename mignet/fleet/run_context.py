"""The course of one run over stacks: its pace, its stop, its record and what is shown of it, as one value."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mignet.fleet import progress
from mignet.fleet.concurrency import Ended, Pace, State, Stop, interruptible, side_by_side
from mignet.fleet.journal import RunRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mignet.fleet.journal import StackRun

Result = TypeVar("Result")


@dataclass(slots=True)
class Course:
    """How a run goes through its stacks, in one phase after another: preflight, plan, apply, verify.

    A stack's time is counted over all of them.
    """

    pace: Pace = field(default_factory=Pace)
    stop: Stop = field(default_factory=Stop)
    watch: Callable[[str, State, str], None] = lambda _name, _state, _said: None
    say: Callable[[str, str], None] = lambda _name, _line: None
    """Shows what a stack waits for."""
    tell: Callable[[str], None] = lambda _line: None
    """Shows a line about the run as a whole."""
    pause: Callable[[], None] = lambda: None
    """Takes live lines away, before something else is shown, or asked."""
    run: str = field(default_factory=partial(secrets.token_hex, 6))
    """What tells this run from every other in the history, and in Pulumi's own."""
    ended: dict[str, State] = field(default_factory=dict)
    """How each stack's work ended in the last phase that it was in."""
    _spent: dict[str, float] = field(default_factory=dict)

    @property
    def spent(self) -> Mapping[str, float]:
        """The seconds that each stack has taken up to now."""
        return self._spent

    async def through(
        self,
        work: Mapping[str, Callable[[], Awaitable[Result]]],
        *,
        error: Callable[[Result], str | None],
        at_a_time: int | None = None,
        changing: bool = False,
        last: bool = True,
        timed: bool = True,
    ) -> dict[str, Ended[Result]]:
        """Do a phase's work on all stacks side by side; return how each ended, in the order given.

        `error` says of a result why it is a failure. `at_a_time` holds unless the user gave a number. A stack that is
        done waits for the next phase unless this one is the `last`; one that is not done has ended. Without `timed`,
        the work keeps an end of its own.
        """

        def watch(name: str, state: State, why: str) -> None:
            self.watch(name, "waiting" if state == "done" and not last else state, why)

        pace = self.pace if self.pace.at_a_time or at_a_time is None else replace(self.pace, at_a_time=at_a_time)
        if not timed:
            pace = replace(pace, seconds=None)
        ends = await side_by_side(
            work, pace=pace, stop=self.stop, error=error, watch=watch, changing=changing, spent=self._spent
        )
        self.ended |= {name: end.state for name, end in ends.items()}
        return ends


@contextlib.contextmanager
def under_way(
    verb: str,
    engine: str,
    names: Sequence[str],
    *,
    pace: Pace,
    paths: Sequence[Path] = (),
    before: Mapping[str, StackRun] | None = None,
) -> Iterator[Course]:
    """Run a verb over stacks: show it, record it in `paths`, and let ctrl-c stop it at a safe point.

    `before` are the stacks that the run which this one takes up was done with; None when it takes up none.
    """
    begun, stop = time.monotonic(), Stop()
    record = RunRecord.begin(verb, engine, names, paths, before=before)
    with progress.Board(names) as board, interruptible(stop, board.tell):

        def watch(name: str, state: State, said: str = "") -> None:
            record.watch(name, state, said)
            board.watch(name, state, said)

        try:
            yield Course(pace, stop, watch, board.say, board.tell, board.pause)
        except BaseException:
            # It has not ended: what is under way stands there as it is.
            record.write()
            if stop.broken_off:
                cut = [name for name, run in record.stacks.items() if run.state == "running"]
                left = f"{', '.join(cut)} may be half done" if cut else "no cluster was being worked on"
                board.tell(f"broken off: {left}; run it again, or --only-failed for what is left")
            raise
        for name, run in record.stacks.items():
            if run.state == "waiting":
                watch(name, "not started", f"not started: {stop.reason or 'nothing was to be done'}")
        record.end()
        if record.unwritten:
            board.tell(f"the record of this run could not be written ({record.unwritten}): --only-failed knows another")
    if not names:
        board.tell("the last run left nothing to do")
    states = [record.stacks[name].state for name in names]
    if len(names) > 1 and set(states) != {"done"}:
        board.tell(f"{progress.counted(states)} in {time.monotonic() - begun:.0f} s")
