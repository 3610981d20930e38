"""Which fields of a live object belong to a field manager, read from its managedFields."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mignet.kinds import Object


def owned_paths(live: Object, manager: str) -> set[str]:
    """Return the dotted paths of the fields that `manager` owns by server-side apply; list items are left out."""
    return {
        path
        for entry in live["metadata"].get("managedFields", ())
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
        for path in _leaves(entry.get("fieldsV1", {}), "")
    }


def _leaves(fields: Mapping[str, Mapping[str, object]], path: str) -> Iterator[str]:
    for key, below in fields.items():
        if not key.startswith("f:"):
            continue
        inner = f"{path}.{key[2:]}" if path else key[2:]
        if below:
            yield from _leaves(below, inner)  # type: ignore[arg-type]
        else:
            yield inner
