"""Files that are only appended to."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mignet.fleet import chain as chains
from mignet.fleet.chain import Bounds, Chain

NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)


def _append(folder: Path, who: int) -> None:
    for number in range(40):
        Chain(folder, "changes").append([{"who": who, "at": number}])


def test_two_processes_that_append_at_once_make_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_append, args=(tmp_path, who)) for who in (1, 2)]
    for each in both:
        each.start()
    for each in both:
        each.join(60)
        assert each.exitcode == 0
    found = Chain(tmp_path, "changes").read()
    assert (found.problem, found.remarks, found.number) == (None, [], 80)
    assert [[each["at"] for each in found.lines if each["who"] == who] for who in (1, 2)] == [list(range(40))] * 2


def test_a_torn_line_is_told_and_closed_over_by_the_next_append(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "changes")
    chain.append([{"verb": "up"}])
    (path,) = chain.files
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"verb":"des')
    torn = chain.read()
    assert torn.problem is None
    assert torn.remarks == [
        "changes-000000001.jsonl line 2 is torn: whoever wrote it was killed, or the disk was full;"
        " the next one closes over it"
    ]
    chain.append([{"verb": "drift"}])
    found = chain.read()
    assert found.problem is None
    assert [each["verb"] for each in found.lines] == ["up", "drift"]
    assert found.remarks == [torn.remarks[0].partition(";")[0]]
    # What is torn is part of the chain from then on.
    path.write_bytes(path.read_bytes().replace(b'"des', b'"dex'))
    assert "edited" in str(chain.read().problem)


def test_two_torn_lines_in_a_row_are_closed_over_as_one(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "changes")
    chain.append([{"verb": "up"}])
    with chain.files[0].open("ab") as file:
        file.write(b"{\n")
    chain.append([{"verb": "up"}])
    with chain.files[0].open("ab") as file:
        file.write(b'{"a\n{"b')
    chain.append([{"verb": "drift"}])
    assert chain.read().problem is None
    assert len(chain.read().lines) == 3


def test_a_run_that_was_killed_before_it_noted_the_head_is_no_problem(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "changes")
    chain.append([{"verb": "up"}])
    head = chain.head.read_bytes()
    chain.append([{"verb": "up"}])
    chain.head.write_bytes(head)
    found = chain.read()
    assert found.problem is None
    assert found.remarks[0].startswith("1 of its last lines are not in changes.head")
    chain.append([{"verb": "up"}])
    assert (chain.read().problem, chain.read().remarks, chain.read().number) == (None, [], 3)


def test_old_files_are_dropped_and_the_rest_still_fits_together(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "changes", Bounds(bytes=8000, files=4))
    for number in range(60):
        chain.append([{"at": number}])
    found = chain.read()
    assert found.problem is None
    assert found.number == 60
    assert len(chain.files) in {3, 4}
    assert sum(path.stat().st_size for path in chain.files) < 8000 + 4 * 400
    assert found.lines[0]["number"] > 1
    assert found.remarks[0].startswith(f"it begins with number {found.lines[0]['number']}: older lines were dropped")
    chain.files[0].unlink()
    assert "no line says that those before were dropped" in str(chain.read().problem)


def test_a_file_is_closed_at_its_share_of_the_time_and_goes_when_all_of_it_is_old(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "changes", Bounds(days=400, files=4))
    for month in range(30):
        now = NOW + timedelta(days=30 * month)
        chain.append([{"month": month}], now=now)
    found = chain.read()
    assert found.problem is None
    oldest = datetime.fromisoformat(found.lines[0]["time"])
    assert timedelta(days=400) <= NOW + timedelta(days=30 * 29) - oldest <= timedelta(days=620)


def test_what_holds_the_lock_is_waited_for_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(tmp_path, "changes")
    chain.append([{"verb": "up"}])
    monkeypatch.setattr(chains, "LOCK_SECONDS", 0.05)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process has written to it for"):
            chain.append([{"verb": "up"}])
        # Who reads does so all the same.
        assert chain.read().number == 1


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "new", "changes")
    chain.append([{"verb": "up"}])
    assert {path.stat().st_mode & 0o077 for path in [chain.folder, *chain.folder.iterdir()]} == {0}


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"number": 1e999}',
        b"[" * 100_000,
        b'{"number":1,"before":[],"hash":{}}',
        b'{"a":NaN}',
    ],
    ids=lambda line: repr(line[:20]),
)
def test_whatever_stands_there_is_a_problem_and_no_fault_of_ours(tmp_path: Path, line: bytes) -> None:
    chain = Chain(tmp_path, "changes")
    chain.append([{"verb": "up"}])
    with chain.files[0].open("ab") as file:
        file.write(line + b"\n")
    assert "edited" in str(chain.read().problem)
    for head in (b"[]", b'{"number":-1,"hash":"x"}', b"\xff", b'{"number":true,"hash":null}'):
        chain.head.write_bytes(head)
        assert chain.read().problem
    chain.append([{"verb": "up"}])


def test_the_hash_is_what_the_documents_say(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "changes")
    chain.append([{"verb": "up"}, {"verb": "dröft"}])
    one, other = (json.loads(line) for line in chain.files[0].read_bytes().splitlines())
    digest = other.pop("hash")
    text = json.dumps(other, sort_keys=True, separators=(",", ":"))
    assert digest == hashlib.sha256((one["hash"] + text).encode()).hexdigest()
    assert other["before"] == one["hash"]
