"""A webhook is told each change at least once within bounds, and is never in the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mignet.watch import webhook
from mignet.watch.changes import Change
from mignet.watch.webhook import Webhook


def sent(
    answers: list[int], count: int, monkeypatch: pytest.MonkeyPatch, token: Path | None = None
) -> tuple[Webhook, list[bytes], list[Change]]:
    """Send so many changes to a receiver that answers so, and 204 after that; return what it took."""
    monkeypatch.setattr(webhook.Backoff, "next", lambda _: 0.0)
    taken: list[bytes] = []
    told: list[Change] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            taken.append(head + await reader.readexactly(length))
            code = answers.pop(0) if answers else 204
            writer.write(b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" % code)

    async def run() -> Webhook:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        one = Webhook(f"http://127.0.0.1:{port}/", token, tell=told.append)
        for number in range(count):
            one.put(Change("drift-began", f"stack-{number}"))
        task = asyncio.create_task(one.run())
        await one.drained(10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
        return one

    return asyncio.run(run()), taken, told


def test_what_fails_for_a_while_is_sent_again_as_the_same_change(monkeypatch: pytest.MonkeyPatch) -> None:
    one, taken, told = sent([503, 429], 2, monkeypatch)
    assert (one.sent, one.failures, one.dropped) == (2, 2, 0)
    assert len({json.loads(each.partition(b"\r\n\r\n")[2])["id"] for each in taken[:3]}) == 1
    assert not told


@pytest.mark.parametrize("code", [302, 400, 401])
def test_what_is_refused_or_sent_elsewhere_is_dropped_at_once_and_said(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, taken, told = sent([code], 1, monkeypatch)
    assert (one.sent, one.dropped, len(taken)) == (0, 1, 1)
    assert [each.what for each in told] == ["webhook-dropped"]
    assert f"it answered {code}" in told[0].sentence


def test_of_one_that_is_broken_for_good_it_lets_go_after_so_many_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    one, taken, told = sent([500] * webhook.ATTEMPTS, 1, monkeypatch)
    assert (len(taken), one.dropped, len(told)) == (webhook.ATTEMPTS, 1, 1)


def test_more_than_may_wait_is_dropped_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MOST_WAITING", 3)
    one, taken, told = sent([], 5, monkeypatch)
    assert one.sent == 3
    assert [each.what for each in told] == ["webhook-dropped"] * 2
    assert b"stack-2" in taken[0]


def test_the_token_is_read_anew_and_told_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("the-secret\n")
    _, taken, _ = sent([], 1, monkeypatch, path)
    assert b"authorization: bearer the-secret" in taken[0].lower()
    path.write_text("not\none line ü")
    _, taken, told = sent([], 1, monkeypatch, path)
    assert not taken
    assert "not" not in told[0].sentence.partition("was not taken")[2].replace("not sent", "")


def test_without_the_token_s_file_none_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, taken, _ = sent([], 1, monkeypatch, token=tmp_path / "token")
    assert one.sent == 1
    assert b"authorization" not in taken[0].lower()
