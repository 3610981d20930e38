"""Whose the fields of a live object are, and who wrote them last: read from its managedFields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mignet.kube.diff import Writer
from mignet.kube.hyperconverged_versions import path_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mignet.kube.kinds import Object


def owned_paths(live: Object, manager: str) -> set[str]:
    """Return the dotted paths of the fields that `manager` owns by server-side apply; list items are left out."""
    return {
        path
        for entry in live["metadata"].get("managedFields", ())
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
        for path in _paths(live, entry)
    }


def owners(live: Object) -> Iterator[tuple[str, Writer]]:
    """Yield each dotted path of a field, with each that owns it; a list whose items are owned counts as a field."""
    for entry in live["metadata"].get("managedFields", ()):
        writer = _writer(entry)
        for path in _paths(live, entry, lists=True):
            yield path, writer


def taken_over(live: Object, applied: Object, *, ours: str) -> dict[str, str]:
    """Return who loses which field, by dotted path, when an apply by force makes `applied` of the live object.

    It is read from the managedFields of both, so that it is what the API server itself would call a conflict.
    """
    left = {(writer.manager, writer.operation, path) for path, writer in owners(applied)}
    return {
        path: writer.manager
        for path, writer in owners(live)
        if writer.manager != ours and (writer.manager, writer.operation, path) not in left
    }


def writer_of(live: Object, path: str, *, ours: str) -> Writer | None:
    """Return who set what stands at a dotted path: of several owners the last one that is not `ours`, else that.

    When nobody owns the field, somebody removed it: then whoever else wrote to the object after `ours`, and None
    without such a one.
    """
    found = [writer for owned, writer in owners(live) if meet(owned, path)]
    if found:
        return max(found, key=lambda writer: (writer.manager != ours, writer.time))
    # Writing a status is another matter.
    entries = [_writer(entry, owns=False) for entry in live["metadata"].get("managedFields", ())]
    last = max((each for each in entries if not each.subresource), key=lambda writer: writer.time, default=None)
    return last if last is not None and last.manager != ours else None


def meet(one: str, other: str) -> bool:
    """Whether two dotted paths are the same, or one lies within the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _paths(live: Object, entry: Mapping[str, Any], *, lists: bool = False) -> Iterator[str]:
    """Yield the fields of an entry at the paths that they have in the version in which the object was read."""
    read = live.get("apiVersion", "")
    for path in _leaves(entry.get("fieldsV1", {}), "", lists=lists):
        yield path_in(path, written=entry.get("apiVersion", read), read=read)


def _writer(entry: Mapping[str, str], *, owns: bool = True) -> Writer:
    known = {"manager": entry.get("manager", "unknown"), "operation": entry.get("operation", "Update")}
    return Writer(**known, time=entry.get("time", ""), subresource=entry.get("subresource", ""), owns=owns)


def _leaves(fields: Mapping[str, Mapping[str, object]], path: str, *, lists: bool = False) -> Iterator[str]:
    if lists and path and any(key[:2] in {"k:", "v:", "i:"} for key in fields):
        yield path
    for key, below in fields.items():
        if not key.startswith("f:"):
            continue
        inner = f"{path}.{key[2:]}" if path else key[2:]
        if below:
            yield from _leaves(below, inner, lists=lists)  # type: ignore[arg-type]
        else:
            yield inner
