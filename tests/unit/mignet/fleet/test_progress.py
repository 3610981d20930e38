"""The board of a run: what fits of it."""

from __future__ import annotations

import pytest

from mignet.fleet.progress import Board


@pytest.fixture
def board() -> Board:
    """A hundred stacks: 16 run, 30 failed, 4 are done, and the rest waits."""
    names = [f"s{number:03}" for number in range(100)]
    one = Board(names)
    one.tell = lambda _line: None  # type: ignore[method-assign]
    for name in names[:50]:
        one.watch(name, "running")
    for name in names[:30]:
        one.watch(name, "failed", f"context {name} is unreachable\nand more")
    for name in names[46:50]:
        one.watch(name, "done")
    return one


@pytest.mark.parametrize("room", [1, 2, 10, 20, 60])
def test_those_that_run_come_first_then_what_failed_last_and_the_last_line_counts_all(board: Board, room: int) -> None:
    rows = board.rows(room)
    assert len(rows) == min(room, 16 + 30 + 1)
    assert rows[-1][1] == "100 clusters: 50 waiting, 16 running, 4 done, 30 failed"
    shown = [text for _, text, _ in rows[:-1]]
    assert shown[:16] == [f"s{number:03}: …" for number in range(30, 46)][: room - 1]
    if room > 17:
        assert shown[16] == "s029: failed: context s029 is unreachable"
