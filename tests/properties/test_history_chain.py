"""Whatever is edited, removed or put into another order in a history, the check finds it."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mignet.fleet.chain import Bounds, Chain

LINES = 12


@cache
def kept() -> Path:
    """A chain of several files, with a torn line that was closed over."""
    folder = Path(tempfile.mkdtemp(prefix="chain-"))
    chain = Chain(folder, "changes", Bounds(bytes=6000, files=4))
    for number in range(LINES):
        chain.append([{"verb": "up", "stack": f"s{number}", "plan": [{"old": number, "new": "ü\x1b"}]}])
        if number == 4:
            with chain.files[-1].open("ab") as file:
                file.write(b'{"verb":"up","sta')
    assert chain.read().problem is None
    assert len(chain.files) > 1
    return folder


def with_lines(change) -> Chain:  # type: ignore[no-untyped-def]
    """Return a copy of the chain whose lines, of all its files one after another, went through `change`."""
    folder = Path(tempfile.mkdtemp(prefix="changed-"))
    try:
        for each in kept().iterdir():
            shutil.copy(each, folder)
        chain = Chain(folder, "changes", Bounds(bytes=6000, files=4))
        pairs = [(path, line) for path in chain.files for line in path.read_bytes().splitlines(keepends=True)]
        changed = change([line for _, line in pairs])
        for path in chain.files:
            path.write_bytes(b"")
        for (path, _), line in zip(pairs, changed, strict=False):
            with path.open("ab") as file:
                file.write(line)
        with chain.files[-1].open("ab") as file:
            file.writelines(changed[len(pairs) :])
        found = chain.read()
        # What was done to it does not heal by what is written next.
        chain.append([{"verb": "destroy"}])
        again = chain.read()
    finally:
        shutil.rmtree(folder)
    assert again.problem, found.problem
    assert found.problem
    return chain


COUNT = LINES + 1
"""The torn one is a line as well."""


@given(line=st.integers(0, COUNT - 1), at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_any_other_byte_in_any_line_is_found(line: int, at: int, byte: int) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        old = lines[line]
        place = at % len(old)
        # A byte is put in where the same one stands, so that something is changed always.
        new = bytes([byte]) + old[place:] if old[place] == byte else bytes([byte]) + old[place + 1 :]
        return [*lines[:line], old[:place] + new, *lines[line + 1 :]]

    with_lines(change)


@given(first=st.integers(0, COUNT - 1), count=st.integers(1, COUNT))
def test_any_line_that_was_removed_is_found_at_the_end_as_well(first: int, count: int) -> None:
    with_lines(lambda lines: lines[:first] + lines[first + count :])


@given(one=st.integers(0, COUNT - 1), other=st.integers(0, COUNT - 1))
def test_lines_in_another_order_and_one_twice_are_found(one: int, other: int) -> None:
    def swapped(lines: list[bytes]) -> list[bytes]:
        lines[one], lines[other] = lines[other], lines[one]
        return lines

    if one != other:
        with_lines(swapped)
    with_lines(lambda lines: [*lines[:other], lines[one], *lines[other:]])


@given(line=st.integers(0, COUNT - 1), most=st.integers(0, 10_000))
def test_what_is_cut_off_within_a_line_is_found(line: int, most: int) -> None:
    def cut(lines: list[bytes]) -> list[bytes]:
        return [*lines[:line], lines[line][: most % len(lines[line])]]

    with_lines(cut)
