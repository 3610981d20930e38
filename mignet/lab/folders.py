"""Where the lab keeps its things, and how: XDG folders, modes 0700 and 0600, and a lock between processes."""

import contextlib
import fcntl
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs.unix import Unix

from config.files.file_text import replace


def state_folder() -> Path:
    """Return the lab's default folder: `$XDG_STATE_HOME` (else `~/.local/state`) `/migration-network/lab`.

    `~` is the home of the account, whatever `$HOME` says, as in the stack files that name the lab's kubeconfig.
    """
    # The XDG specification: a relative path there is ignored.
    if not Path(os.environ.get("XDG_STATE_HOME", "")).is_absolute():
        with contextlib.suppress(KeyError):
            return Path(pwd.getpwuid(os.getuid()).pw_dir, ".local", "state", "migration-network", "lab")
    return Unix("migration-network").user_state_path / "lab"


def cache_folder() -> Path:
    """Return the folder of what can be built again: `$XDG_CACHE_HOME` (else `~/.cache`) `/migration-network`."""
    return Unix("migration-network").user_cache_path


def private_folder(path: Path) -> Path:
    """Make the folder `path`, and those above it, unless it exists; only its owner may enter it (mode 0700)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write `path`, mode 0600, in one step: a reader sees the old content or the new one."""
    replace(path, content, mode=0o600)


@contextlib.contextmanager
def locked(path: Path, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; wait for another process that holds it, after calling `on_wait` once.

    The kernel frees the lock when its holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
