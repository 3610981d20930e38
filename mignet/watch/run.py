"""Run a watch until it is ended: the fleet, the webhook, the server and the log, as one."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
import time
from typing import TYPE_CHECKING, Literal

from mignet.outputs.openmetrics import CONTENT_TYPE
from mignet.watch import metrics, page
from mignet.watch.fleet import Fleet
from mignet.watch.server import Answer, Page, Server, as_json
from mignet.watch.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from config.files.project_files import Project
    from mignet.watch.changes import Change
    from mignet.watch.server import Listen

Log = Literal["text", "json"]
PAGE_SECONDS = 15.0
"""For which the page that was made last is served again."""
LAST_SECONDS = 3.0
"""For what is still to be sent to the webhook, when the watch is ended."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'"


class _Site:
    """What the server answers."""

    def __init__(self, fleet: Fleet, webhook: Webhook | None, docs: str | None) -> None:
        self._fleet, self._webhook, self._docs = fleet, webhook, docs
        self._making = asyncio.Lock()
        self._made: tuple[float, bytes] | None = None

    @property
    def pages(self) -> dict[str, Page]:
        return {"/": Page(self._page), "/metrics": Page(self._metrics), "/healthz": Page(self._health, open=True)}

    async def _metrics(self) -> Answer:
        return Answer(200, metrics.render(self._fleet, self._webhook).encode(), CONTENT_TYPE)

    async def _health(self) -> Answer:
        """Say whether the watch itself works: that a cluster does not answer is no fault of it."""
        stuck = self._fleet.stuck
        states = [each.state for each in self._fleet.stacks.values()]
        counted = {state: states.count(state) for state in metrics.STATES}
        told = {"status": "stuck" if stuck else "ok", "stacks": counted, "refused": len(self._fleet.refused)}
        return as_json(503 if stuck else 200, told | {"stuck": len(stuck)})

    async def _page(self) -> Answer:
        async with self._making:
            if self._made is None or time.monotonic() - self._made[0] > PAGE_SECONDS:
                found = page.known(self._fleet)
                # Beside the watch, which goes on meanwhile.
                text = await asyncio.to_thread(page.render, self._fleet.project, *found, site=self._docs)
                self._made = time.monotonic(), text.encode()
        return Answer(200, self._made[1], "text/html; charset=utf-8", (("Content-Security-Policy", _POLICY),))


def _give_memory_back() -> None:
    """Have glibc give back what is free: a watch reads much that it does not keep, and in more than one thread.

    Its parameters are those of malloc.h. Another C library has none, and needs none.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, 128 << 10), (_MMAP_THRESHOLD, 64 << 10)):
            mallopt(parameter, value)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


async def run(
    folder: Path,
    choose: Callable[[Project], Sequence[str]],
    *,
    listen: Listen,
    webhook: tuple[str, Path | None] | None,
    log: Log,
    every: float,
    docs: str | None,
) -> None:
    """Watch until SIGINT or SIGTERM comes; a second one ends it at once. Raises ListenError, and UserError."""
    _give_memory_back()
    sender: Webhook | None = None

    def tell(change: Change) -> None:
        print(change.as_json() if log == "json" else change.as_line(), flush=True)  # noqa: T201
        if sender is not None:
            sender.put(change)

    fleet = Fleet(folder, choose, tell=tell, every=every)
    if webhook is not None:
        sender = Webhook(*webhook, tell=tell)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        ended.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    site = _Site(fleet, sender, docs)
    async with Server(listen, site.pages).serving() as url:
        print(f"serving {url}, {url}metrics and {url}healthz", file=sys.stderr, flush=True)  # noqa: T201
        tasks = [asyncio.create_task(fleet.run())]
        if sender is not None:
            tasks.append(asyncio.create_task(sender.run()))
        waiting = asyncio.create_task(ended.wait())
        try:
            done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
            for task in done & set(tasks):
                task.result()
            if sender is not None:
                await sender.drained(LAST_SECONDS)
        finally:
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
