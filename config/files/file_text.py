"""The one place that reads a file, a regular one of a size that is looked at first, and that writes one: whole."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1 << 20
"""Of a stack file, and of Pulumi.yaml: some thousand times what one needs."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """Return what a file holds, at most so many bytes.

    Raises OSError for what is longer, or no regular file: nothing waits for a FIFO's writer, and a device has no end.
    """
    with open(path, "rb", opener=_at_once) as file:
        check(path, os.fstat(file.fileno()), most=most)
        # What grows meanwhile, and what /proc says has no length, is not believed.
        content = file.read(most + 1)
    if len(content) > most:
        raise _too_long(path, most)
    return content


def _at_once(path: str, flags: int) -> int:
    # A FIFO would be waited for until somebody writes to it.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """Return the text of a file. Raises as `read_bytes` does, and UnicodeDecodeError when it is not UTF-8."""
    # Pulumi takes the mark of other systems' editors away too.
    return read_bytes(path, most=most).decode().removeprefix("\ufeff")


def check(path: Path, found: os.stat_result, *, most: int = MOST_BYTES) -> None:
    """Raise OSError unless what `os.stat` found can be read as `read_bytes` does."""
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    if found.st_size > most:
        raise _too_long(path, most)


def write_whole(path: Path, text: str) -> None:
    r"""Write a file, and the folders above it, so that a reader finds either the old or the new one whole.

    A link of somebody else's is replaced, not followed, and so is one that leads nowhere; a device or a FIFO is written
    to. A file's mode stays. Half a character is written as `\ud800`. Raises OSError, and leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and path.exists() and path.lstat().st_uid == os.geteuid():
        path = path.resolve()
    content = text.encode("utf-8", "backslashreplace")
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    replace(path, content, mode=path.stat().st_mode & 0o7777 if path.is_file() and not path.is_symlink() else None)


def replace(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Put a file with this content, and this mode (None: as any new file), in one step where `path` is.

    Raises OSError, and leaves what was there then.
    """
    new = beside(path)
    try:
        write_new(new, content, mode=mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """Return a hidden name in the same folder, which no list of stack files has."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def write_new(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file that is not there to the disk. Raises OSError, for a link that was put there, too."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode), "wb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _too_long(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is longer than {most:,} bytes", str(path))
