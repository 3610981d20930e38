"""A file's path as the reader of an output sees it: relative, with slashes."""

from __future__ import annotations

import os
from pathlib import Path


def relative(path: Path, base: Path) -> str:
    """Return `path` relative to the folder `base`, with slashes on every system."""
    return Path(os.path.relpath(path, base)).as_posix()
