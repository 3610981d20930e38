"""Send what a watch tells to a webhook: each change at least once within bounds, and never in the way of the watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

import httpx2

from mignet.kube.watched import Backoff
from mignet.watch.changes import Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_WAITING = 1_000
"""Changes that wait to be sent; the oldest is dropped for one more."""
ATTEMPTS = 10
"""To send one: over some ten minutes, with pauses up to MOST_PAUSE."""
MOST_PAUSE = 120.0
TIMEOUT = 10.0
"""Seconds for one attempt."""
_TRY_AGAIN = frozenset({408, 425, 429})


class Webhook:
    """Where changes are sent as JSON, with a bearer token where there is a file with one."""

    def __init__(self, url: str, token: Path | None, *, tell: Callable[[Change], None]) -> None:
        self._url, self._token, self._tell = url, token, tell
        self._waiting: deque[Change] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.sent = self.failures = self.dropped = 0

    def put(self, change: Change) -> None:
        """Have a change sent. Returns at once."""
        if change.what == "webhook-dropped":
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._drop(f"more than {MOST_WAITING} changes wait to be sent")
        self._waiting.append(change)
        self._more.set()
        self._idle.clear()

    @property
    def waiting(self) -> int:
        """How many changes are still to be sent."""
        return len(self._waiting)

    async def run(self) -> None:
        """Send, until this is cancelled."""
        async with httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
            while True:
                while self._waiting:
                    change = self._waiting.popleft()
                    await self._send(client, change)
                self._more.clear()
                self._idle.set()
                await self._more.wait()

    async def drained(self, seconds: float) -> None:
        """Wait until all is sent, for at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def _send(self, client: httpx2.AsyncClient, change: Change) -> None:
        pause = Backoff(most=MOST_PAUSE)
        why = ""
        for _ in range(ATTEMPTS):
            try:
                headers = {"Content-Type": "application/json"}
                if self._token is not None:
                    # The Secret of a webhook that demands none has only its URL.
                    with contextlib.suppress(FileNotFoundError):
                        headers["Authorization"] = f"Bearer {self._token.read_text(encoding='utf-8').strip()}"
                async with client.stream("POST", self._url, content=change.as_json(), headers=headers) as response:
                    code = response.status_code
                if 200 <= code < 300:
                    self.sent += 1
                    return
                why = f"it answered {code}"
                if code < 500 and code not in _TRY_AGAIN:
                    self.failures += 1
                    break
            except (httpx2.HTTPError, OSError, ValueError) as error:
                # Not what it says: a header that cannot be sent is repeated in it.
                why = type(error).__name__
            self.failures += 1
            await asyncio.sleep(pause.next())
        self._drop(f"{change.what} of {change.stack} was not taken: {why}")

    def _drop(self, why: str) -> None:
        self.dropped += 1
        self._tell(Change("webhook-dropped", sentence=f"a change was not sent to the webhook: {why}"))
