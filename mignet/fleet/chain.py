"""Files that are only appended to, each line bound to the one before by its hash, so that what is changed shows.

A chain lies in files `NAME-NUMBER.jsonl` (the number of its first line), of which the last is written to. `NAME.head`
has the number and the hash of the last line: a chain alone cannot tell that its end was cut off.

The hash of a line is the SHA-256 of the hash before it and of the line itself without its hash, as JSON with sorted
keys, without spaces, in ASCII; each line has both, and its number, from 1.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from config.files.file_text import check, read_bytes, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MOST_BYTES = 16 << 20
"""Of one chain, all its files together."""
MOST_DAYS = 731
"""How long a line is kept at least, unless the chain gets too long."""
FILES = 4
"""Parts in which what is too long or too old is dropped."""
LINE_BYTES = 64 << 10
"""The most that a line has; longer ones are refused."""
LOCK_SECONDS = 5.0
"""How long another process that appends is waited for."""
_START = "0" * 64
"""What the first line of all has for the hash before it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept. A file is closed at its share of both, so that the oldest part can be dropped whole."""

    bytes: int = MOST_BYTES
    days: float = MOST_DAYS
    files: int = FILES


@dataclass(frozen=True, slots=True)
class Problem:
    """The first line that does not fit: its file, its place there from 1, and what that means."""

    file: str
    place: int
    meaning: str

    def __str__(self) -> str:
        return f"{self.file} line {self.place}: {self.meaning}" if self.place else f"{self.file}: {self.meaning}"


@dataclass(slots=True)
class Read:
    """A chain as it was read: its lines in order, as far as they are JSON, and whether they fit together."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    head: str = _START
    """Hash of the last line."""
    number: int = 0
    """Number of the last line."""
    problem: Problem | None = None
    remarks: list[str] = field(default_factory=list)
    """What is no problem, and worth knowing: a torn line, older ones that were dropped."""
    hashes: set[str] = field(default_factory=set)
    """Of all lines that fit."""

    def wrong(self, file: str, place: int, meaning: str) -> None:
        """Note a line that does not fit; the first one stays."""
        self.problem = self.problem or Problem(file, place, meaning)


@dataclass(frozen=True, slots=True)
class _End:
    """Where a chain ends: the last line's number and hash, and what stands behind it that is none."""

    number: int = 0
    hash: str = _START
    torn: bytes = b""
    open: bool = False
    """Whether no line's end is behind that."""
    time: object = None
    """Of the last line."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain of lines in a folder."""

    folder: Path
    name: str
    bounds: Bounds = Bounds()

    @property
    def files(self) -> list[Path]:
        """Its files, the oldest first."""
        return sorted(self.folder.glob(f"{self.name}-*.jsonl"))

    @property
    def head(self) -> Path:
        """The file that has its last line's number and hash."""
        return self.folder / f"{self.name}.head"

    def append(self, bodies: Sequence[Mapping[str, Any]], *, now: datetime | None = None) -> list[int]:
        """Append lines, all of them in one write, and return their numbers; each gets the `time` of now, in UTC.

        A line that a killed process left torn is closed over. Raises OSError when that is not possible, also when
        another process appends for more than LOCK_SECONDS, and ValueError for what is longer than LINE_BYTES.
        """
        now = now or datetime.now(UTC)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            files = self.files
            if not files and not self.head.exists():
                self._write_head(0, _START)
            end, first = self._end(files[-1]) if files else (_End(), None)
            torn = end.torn
            if (noted := self._noted()) and noted[0] >= end.number:
                # What the head knows of and the file lacks, nobody heals: the gap shows for ever.
                end = _End(*noted, torn, end.open)
            path, dropped = self._place(files, first, now, end)
            extra: dict[str, Any] = {}
            if torn:
                extra["closes"] = _closes(torn)
            if dropped:
                last = self._end(dropped[-1])[0]
                extra["dropped"] = {"number": last.number, "hash": last.hash}
            number, before = end.number, end.hash
            text, numbers = [], []
            for body in bodies:
                number += 1
                line = _line({"time": stamp(now), **body, **extra, "number": number, "before": before})
                if len(line) > LINE_BYTES:
                    msg = f"a line of the history would have {len(line):,} bytes"
                    raise ValueError(msg)
                before, extra = json.loads(line)["hash"], {}
                text.append(line)
                numbers.append(number)
            _append(path, (b"\n" if end.open else b"") + b"".join(text))
            self._write_head(number, before)
            for each in dropped:
                each.unlink(missing_ok=True)
        return numbers

    def read(self) -> Read:
        """Read the chain, and hold each line against the one before. Raises OSError when it cannot be read."""
        with contextlib.ExitStack() as held:
            # Who may only read does so while another one may append; then the two may not fit for a moment.
            with contextlib.suppress(OSError):
                held.enter_context(self._locked())
            return self._read()

    def _read(self) -> Read:
        found = Read()
        files = self.files
        if not files and not self.head.exists():
            return found
        pending: tuple[str, int, bytes] | None = None
        begins = {(1, _START)}
        begin: tuple[int, str] | None = None
        for path in files:
            content = read_bytes(path, most=2 * self.bounds.bytes + (1 << 20))
            parts = content.split(b"\n")
            for place, raw in enumerate(parts, 1):
                ended = place < len(parts)
                if not raw and not ended:
                    continue
                line = _parsed(raw)
                if line is not None and ended:
                    found.lines.append(line)
                if line is None or not ended or not _is_whole(line, raw):
                    first, at, behind = pending or (path.name, place, None)
                    pending = (first, at, raw if behind is None else behind + b"\n" + raw)
                    continue
                fits = begin is None or (line["number"], line["before"]) == (found.number + 1, found.head)
                if pending and fits and line.get("closes") == _closes(pending[2]):
                    found.remarks.append(f"{pending[0]} line {pending[1]} {_TORN}")
                elif pending:
                    found.wrong(pending[0], pending[1], _EDITED)
                elif line.get("closes"):
                    found.wrong(path.name, place, "it closes over a torn line that is not there: that one was removed")
                elif not fits:
                    found.wrong(path.name, place, _misfit(line["number"], found.number))
                pending = None
                begin = begin or (line["number"], line["before"])
                begins |= _dropped(line)
                found.number, found.head = line["number"], line["hash"]
                found.hashes.add(line["hash"])
        self._judge_begin(found, files, begin, begins)
        self._judge_end(found, files, pending)
        return found

    def _judge_begin(
        self, found: Read, files: Sequence[Path], begin: tuple[int, str] | None, begins: set[tuple[int, str]]
    ) -> None:
        if begin is None:
            return
        if begin not in begins:
            if found.problem and (found.problem.file, found.problem.place) == (files[0].name, 1):
                return
            meaning = f"it is number {begin[0]}, and no line says that those before were dropped: they were removed"
            found.problem = Problem(files[0].name, 1, meaning)
        elif begin[0] > 1:
            found.remarks.append(
                f"it begins with number {begin[0]}: older lines were dropped, as more than"
                f" {self.bounds.bytes >> 20} MiB or {self.bounds.days / 365.5:.0f} years are not kept"
            )

    def _judge_end(self, found: Read, files: Sequence[Path], pending: tuple[str, int, bytes] | None) -> None:
        noted = self._noted()
        if noted is None:
            found.wrong(self.head.name, 0, "it is gone or no head: whether lines are missing at the end cannot be told")
        elif noted[0] > found.number:
            if pending:
                found.wrong(pending[0], pending[1], _EDITED)
            count = noted[0] - found.number
            cut = f"the head knows of {count} more: {'it was' if count == 1 else 'they were'} removed, or cut off"
            found.wrong(files[-1].name if files else self.head.name, 0, f"after number {found.number} {cut}")
        elif noted[1] != _START and noted[1] not in found.hashes:
            found.wrong(self.head.name, 0, f"its number {noted[0]} has another hash than the line: one was replaced")
        elif noted[0] < found.number:
            found.remarks.append(
                f"{found.number - noted[0]} of its last lines are not in {self.head.name}: whoever wrote them was"
                " killed in between, or they were added by hand"
            )
        if pending:
            path = self.folder / pending[0]
            if path.stat().st_size and not _ends(path):
                found.remarks.append(f"{pending[0]} line {pending[1]} {_TORN}; the next one closes over it")
            else:
                found.wrong(pending[0], pending[1], _EDITED)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            until = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        msg = f"another process has written to it for {LOCK_SECONDS:g} s"
                        raise TimeoutError(msg) from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(handle)

    def _place(self, files: Sequence[Path], first: object, now: datetime, end: _End) -> tuple[Path, Sequence[Path]]:
        """Return the file to append to, and those that go because of it."""
        bounds = self.bounds
        following = self.folder / f"{self.name}-{end.number + 1:09}.jsonl"
        if not files:
            return following, ()
        age = timedelta(days=bounds.days / bounds.files)
        begun = _time(first)
        full = files[-1].stat().st_size > bounds.bytes // bounds.files or (begun is not None and now - begun > age)
        if not full or end.torn or following in files:
            return files[-1], ()
        dropped, room = [], bounds.bytes - bounds.bytes // bounds.files
        size = sum(path.stat().st_size for path in files)
        for path in files:
            last = _time(self._end(path)[0].time)
            if size <= room and (last is None or now - last <= timedelta(days=bounds.days)):
                break
            dropped.append(path)
            size -= path.stat().st_size
        return following, dropped

    def _end(self, path: Path) -> tuple[_End, object]:
        """Return where a file ends, and the time of its first line."""
        with open(path, "rb", opener=_plainly) as file:
            check(path, os.fstat(file.fileno()), most=2 * self.bounds.bytes + (1 << 20))
            first = _parsed(file.readline(LINE_BYTES + 1).rstrip(b"\n"))
            size = file.seek(0, os.SEEK_END)
            # A whole line, and what is torn behind it.
            file.seek(max(0, size - 4 * LINE_BYTES))
            parts = file.read().split(b"\n")
        unended = bool(parts[-1])
        torn = [parts.pop()]
        while parts:
            raw = parts.pop()
            line = _parsed(raw)
            if line is not None and _is_whole(line, raw):
                return _End(line["number"], line["hash"], _torn(torn), unended, line.get("time")), (first or {}).get(
                    "time"
                )
            torn.insert(0, raw)
        return _End(torn=_torn(torn), open=unended), (first or {}).get("time")

    def _noted(self) -> tuple[int, str] | None:
        """Return the number and the hash that the head has; None when it is gone, or no head."""
        try:
            content = json.loads(read_bytes(self.head, most=4096))
            number, digest = content["number"], content["hash"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        if type(number) is not int or number < 0 or not isinstance(digest, str) or len(digest) != len(_START):
            return None
        return number, digest

    def _write_head(self, number: int, digest: str) -> None:
        replace(self.head, _canonical({"number": number, "hash": digest}) + b"\n", mode=0o600)


_EDITED = "it is not what was written: it was edited"
_TORN = "is torn: whoever wrote it was killed, or the disk was full"


def _misfit(number: int, before: int) -> str:
    if number > before + 1:
        count = number - before - 1
        return f"it is number {number}, after {before}: {count} line{'s' if count > 1 else ''} before it removed"
    if number <= before:
        return f"it is number {number}, after {before}: lines were put into another order, or one twice"
    return f"its number {number} follows, and the hash before it is another line's: that one was replaced"


def stamp(moment: datetime) -> str:
    """Write a time as lines have it: in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def _line(body: Mapping[str, Any]) -> bytes:
    return _canonical({**body, "hash": _hash(body)}) + b"\n"


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(str(body["before"]).encode() + _canonical(body)).hexdigest()


def _torn(parts: Sequence[bytes]) -> bytes:
    """Put what is no line together, as `read` does: what ends with a line's end has none behind it."""
    return b"\n".join(parts[:-1] if len(parts) > 1 and not parts[-1] else parts)


def _dropped(line: Mapping[str, Any]) -> set[tuple[int, str]]:
    """Return where the chain may begin since a line, which says what was dropped."""
    told = line.get("dropped")
    match told:
        case {"number": int(number), "hash": str(digest)}:
            return {(number + 1, digest)}
        case _:
            return set()


def _closes(torn: bytes) -> dict[str, Any]:
    return {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _is_whole(line: Mapping[str, Any], raw: bytes) -> bool:
    """Whether a line is what was written, to the byte; of what kind its values are is known then."""
    body = {key: value for key, value in line.items() if key != "hash"}
    try:
        return (
            type(line.get("number")) is int
            and isinstance(line.get("before"), str)
            and line.get("hash") == _hash(body)
            and _canonical(line) == raw
        )
    except (ValueError, RecursionError):
        return False


def _append(path: Path, content: bytes) -> None:
    """Write at the end of a file, and to the disk. Raises OSError; what was written of it stays, torn."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    handle = os.open(path, flags, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _ends(path: Path) -> bool:
    with open(path, "rb", opener=_plainly) as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
