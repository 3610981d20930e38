"""Write stack files: in one step each, and one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING

from config.files.file_text import beside, read_bytes, write_new
from config.finding import ConfigError, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from config.files.project_files import Project


@contextlib.contextmanager
def locked(project: Project, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """Keep other processes of this tool from writing stack files; wait for one that does, after calling `on_wait`.

    The lock is on the project's folder itself: nothing is left behind, and the kernel frees it when its holder ends.
    """
    folder = os.open(project.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def read(project: Project, stack: str) -> str:
    """Return the text of a stack file with its line ends as they are."""
    return read_bytes(project.stack_file(stack)).decode()


def write(project: Project, texts: Mapping[str, str]) -> None:
    """Replace the files of stacks by new texts: a reader sees the old text or the new one; modes and links stay.

    All new texts are on the disk before the first file is replaced. Raises ConfigError when the folder or a file cannot
    be written.
    """
    ready: dict[str, tuple[Path, Path]] = {}
    stack = ""
    try:
        for stack, text in texts.items():
            path = project.stack_file(stack).resolve()
            ready[stack] = path, beside(path)
            write_new(ready[stack][1], text.encode(), mode=path.stat().st_mode & 0o7777)
        for path, new in ready.values():
            new.replace(path)
    except OSError as error:
        raise _not_written(project, stack, error) from error
    finally:
        for _, new in ready.values():
            new.unlink(missing_ok=True)


def create(project: Project, stack: str, text: str) -> None:
    """Write the file of a new stack. Raises ConfigError when there is one already: it is never overwritten."""
    path = project.stack_file(stack)
    new = beside(path)
    try:
        write_new(new, text.encode())
        # Unlike a rename, a link does not take the place of a file that came up meanwhile.
        os.link(new, path)
    except FileExistsError:
        raise exists(project, stack) from None
    except OSError as error:
        raise _not_written(project, stack, error) from error
    finally:
        new.unlink(missing_ok=True)


def unset(project: Project, stack: str) -> str | None:
    """Return the text of the file that Pulumi has made of a new stack; None for any other file.

    `pulumi new` and `pulumi stack init` keep there what they encrypt with, and nothing else.
    """
    if not project.stack_file(stack).is_file():
        return None
    text = read(project, stack)
    return text if re.fullmatch(r"((encryptionsalt|encryptedkey|secretsprovider): \S+\n?)+", text) else None


def exists(project: Project, stack: str) -> ConfigError:
    """Return the error that a stack has a file already."""
    name = project.stack_file(stack).name
    rule, remedy = "exists, and is never overwritten", "Edit it, or choose another name for the stack"
    return ConfigError([Finding(name, None, rule, remedy, code="stack-file-exists", stack=stack)])


def _not_written(project: Project, stack: str, error: OSError) -> ConfigError:
    name, rule = project.stack_file(stack).name, f"cannot be written: {error.strerror}"
    remedy = "Correct that, and run it again; the old file is as it was"
    return ConfigError([Finding(name, None, rule, remedy, code="stack-file-unwritable", stack=stack)])
