"""How a run goes, on stderr: on a terminal a live line for each stack, elsewhere a line for each change."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self, get_args

from config.finding import visible
from mignet.fleet.concurrency import State

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType


TELL_SECONDS = 60.0
"""Between two lines about one wait, or about the run as a whole, where there is no terminal."""
SPARE_LINES = 4
"""Lines of a terminal that stay free, so that what was told last is still seen above the live ones."""


def counted(states: Collection[State]) -> str:
    """Count clusters by how far they are, or how they ended: `100 clusters: 85 done, 10 failed, 5 timed out`."""
    counts = Counter(states)
    told = ", ".join(f"{counts[state]} {state}" for state in get_args(State) if counts[state])
    return f"{len(states)} clusters: {told}"


class Board:
    """What is shown of a run while it is under way. Use it as a context manager; a stack alone has no end to tell."""

    def __init__(self, names: Sequence[str]) -> None:
        self._begun = self._told = time.monotonic()
        self._states: dict[str, State] = dict.fromkeys(names, "waiting")
        self._since: dict[str, float] = {}
        self._lines: dict[str, str] = {}
        self._live: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = _Live(self)
            self._live.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()
        self._live = None

    def pause(self) -> None:
        """Take the live lines away, so that something else may be shown, or asked."""
        if self._live:
            self._live.pause()

    def watch(self, name: str, state: State, said: str = "") -> None:
        """Show a stack's new state."""
        ended = state not in {"waiting", "running"}
        if self._states.get(name) == state and said == self._lines.get(name, ""):
            return
        said = "\n".join(map(visible, said.split("\n")))
        self._states[name] = state
        self._lines[name] = said
        if state == "running":
            self._since.setdefault(name, time.monotonic())
            if self._live:
                self._live.resume()
        elif ended and len(self._states) > 1 and not self._live:
            first = said.partition("\n")[0]
            if first or state != "done":
                self.tell(f"{name}: {first if first.startswith(state) else f'{state}: {first}' if first else state}")
            self._tell_counts()

    def _tell_counts(self) -> None:
        """Show how many are how far, once a minute."""
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self.tell(f"{self._counts()}, {now - self._begun:.0f} s")

    def _counts(self) -> str:
        return counted(self._states.values())

    def say(self, name: str, line: str) -> None:
        """Show what a stack waits for."""
        self._lines[name] = visible(line)
        if not self._live:
            self.tell(f"{name}: {line}")

    def tell(self, line: str) -> None:
        """Show a line about the run as a whole."""
        if self._live:
            self._live.tell(visible(line))
        else:
            print(visible(line), file=sys.stderr, flush=True)  # noqa: T201

    def rows(self, room: int) -> list[tuple[bool, str, str]]:
        """Return what fits into so many lines: whether the stack runs, its line, and for how long.

        Those that run come first, then those that did not end well, then a count of all.
        """
        running = [name for name, state in self._states.items() if state == "running"]
        ended_badly = [
            name for name, state in self._states.items() if state in {"failed", "timed out", "stopped", "not started"}
        ]
        shown = [*running, *reversed(ended_badly)]
        fitting = shown if len(shown) < room else shown[: max(room - 1, 0)]
        rows = []
        for name in fitting:
            state, line = self._states[name], self._lines.get(name, "").partition("\n")[0]
            seconds = f"{time.monotonic() - self._since[name]:.0f} s" if state == "running" else ""
            text = (
                line or "…" if state == "running" or line.startswith(state) else f"{state}: {line}" if line else state
            )
            rows.append((state == "running", visible(f"{name}: {text}"), seconds))
        if len(self._states) > 1:
            rows.append((False, self._counts(), f"{time.monotonic() - self._begun:.0f} s"))
        return rows


class _Live:
    """The board on a terminal, which only it needs rich for."""

    def __init__(self, board: Board) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        console, spinner = Console(file=sys.__stderr__), Spinner("dots")

        def table() -> Table:
            grid = Table.grid(padding=(0, 1))
            for runs, line, seconds in board.rows(max(console.height - SPARE_LINES, 1)):
                text = Text(line, no_wrap=True, overflow="ellipsis")
                grid.add_row(spinner if runs else " ", text, Text(seconds, style="dim"))
            return grid

        self._console = console
        self._live = Live(console=console, get_renderable=table, transient=True, refresh_per_second=8)

    def resume(self) -> None:
        if not self._live.is_started:
            self._live.start()

    def pause(self) -> None:
        if self._live.is_started:
            self._live.stop()

    def tell(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)
