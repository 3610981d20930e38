"""A folder for the temporary files of one Pulumi, whose Kubernetes provider writes kubeconfigs and removes none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "mignet-pulumi-"
_LOCK = "lock"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that only its owner may enter, and remove it at the end with all that is in it.

    What a run that was killed has left of its own is removed first, unless its Pulumi is still at work.
    """
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{PREFIX}*"):
        _clear(left)
    # It has its name only once it is held: nobody takes it for one that was left.
    new = Path(tempfile.mkdtemp(prefix=".mignet-"))
    with (new / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = new.rename(base / f"{PREFIX}{new.name.removeprefix('.mignet-')}")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _clear(folder: Path) -> None:
    with contextlib.suppress(OSError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _in_use(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Tell whether a Pulumi was started with this folder: it outlives a mignet that is killed.

    Its plugins may outlive it in turn, and do nothing any more.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "pulumi" and process.environ().get("TMPDIR") == str(folder):
                return True
    return False
