"""What is waited for, on stderr: a live line for each stack on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def shown() -> Iterator[Callable[[str, str], None]]:
    """Yield the function that is told a stack and what it waits for."""
    if not sys.stderr.isatty():
        yield lambda stack, line: print(f"{stack}: {line}", file=sys.stderr, flush=True)  # noqa: T201
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    begun, lines = time.monotonic(), dict[str, str]()
    spinner = Spinner("dots")

    def table() -> Table:
        grid = Table.grid(padding=(0, 1))
        for stack, line in lines.items():
            grid.add_row(spinner, Text(f"{stack}: {line}"), Text(f"{time.monotonic() - begun:.0f} s", style="dim"))
        return grid

    with Live(console=Console(stderr=True), get_renderable=table, transient=True, refresh_per_second=8):
        yield lines.__setitem__
