"""A folder as Pulumi's state backend: what a Pulumi that was killed in the middle of a write leaves there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = "file://"


def emptied(environment: Mapping[str, str], project: str, stack: str) -> str | None:
    """Remove a stack's `.json.attrs` when it is empty; return its path then.

    Pulumi writes a state whole or not at all, and beside it this file in place, about the content's type. Killed there,
    it leaves an empty one, and says `failed to load checkpoint: EOF` from then on; without it, it reads the state.
    `environment` is Pulumi's; a backend that is no folder, or that no variable names, is left alone.
    """
    backend = environment.get("PULUMI_BACKEND_URL", "")
    if not backend.startswith(_FOLDER):
        return None
    folder = Path(backend.removeprefix(_FOLDER).partition("?")[0]).expanduser()
    path = folder / ".pulumi" / "stacks" / project / f"{stack}.json.attrs"
    try:
        if path.stat().st_size:
            return None
        path.unlink()
    except OSError:
        return None
    return str(path)
