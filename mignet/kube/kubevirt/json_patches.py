"""JSON patches that the HyperConverged operator applies to the KubeVirt object after its own fields.

The annotation overrides what the HyperConverged says, and one that replaces a parent drops everything in it: the
documented example sets `/spec/configuration/migrations` as a whole, and with it no network and no limit.
Source: hyperconverged-cluster-operator's docs/cluster-configuration.md and its issue 1201; RFC 6902 for the operations.
The annotations for CDI, for the network add-ons and for SSP are about objects that hold nothing of a stack's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.finding import shown
from config.limits import same_quantity
from config.types.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.stack import Stack
    from mignet.kube.kinds import Object

ANNOTATION = "kubevirt.kubevirt.io/jsonpatch"
_MIGRATIONS = ("spec", "configuration", "migrations")
_ABSENT = object()
_UNKNOWN = object()
"""Stands for a value that is copied or moved from elsewhere in the KubeVirt object."""


@dataclass(frozen=True, slots=True)
class Override:
    """One operation of the annotation, and what it makes of the settings that the stack declares."""

    place: str
    """Its place in the annotation, such as `1 of 2`."""
    operation: str
    """Its `op`."""
    path: str
    """Its `path`, a JSON pointer."""
    value: object
    """Its `value`; None without one."""
    drops: tuple[str, ...]
    """The settings that it takes away."""
    sets: Mapping[str, object]
    """The settings that it sets to something else."""

    @property
    def sentence(self) -> str:
        """What it does, as the rest of a sentence that begins with the object."""
        value = "" if self.value is None else f" {shown(self.value)}"
        does = [f"drops {', '.join(self.drops)}"] if self.drops else []
        if self.sets:
            said = (
                f"{name} to " + ("another field's value" if new is _UNKNOWN else shown(new))
                for name, new in self.sets.items()
            )
            does.append(f"sets {', '.join(said)}")
        return (
            f"annotation {ANNOTATION}, operation {self.place} ({self.operation} {self.path}{value})"
            f" {' and '.join(does)}: the operator applies it to KubeVirt after what the HyperConverged says"
        )

    @property
    def remedy(self) -> str:
        """What to do about it."""
        whole = not self.path.startswith("/".join(("", *_MIGRATIONS, "")))
        instead = (
            f"; what else it sets goes one by one (path /{'/'.join(_MIGRATIONS)}/KEY)"
            if whole and self.operation in {"add", "replace"}
            else ""
        )
        return f"Take that operation out of the annotation{instead}"


def overrides(stack: Stack, hyperconverged: Object | None) -> list[Override]:
    """Return the operations of the annotation that leave KubeVirt something else than the stack declares.

    An annotation that is no list of operations gives none: the operator refuses it as a whole.
    """
    wanted: dict[str, object] = stack.hyper_converged.limits(stack.network)
    held: dict[str, object] = dict(wanted)
    last: dict[str, int] = {}
    operations = _operations(hyperconverged)
    for index, each in enumerate(operations):
        for name in wanted:
            new = _after(each, (*_MIGRATIONS, name))
            if new is not None:
                held[name], last[name] = new[0], index
    broken = {name: index for name, index in sorted(last.items()) if not _same(held[name], wanted[name])}
    return [
        Override(
            f"{index + 1} of {len(operations)}",
            str(operations[index]["op"]),
            str(operations[index]["path"]),
            operations[index].get("value"),
            tuple(name for name, by in broken.items() if by == index and held[name] is _ABSENT),
            {name: held[name] for name, by in broken.items() if by == index and held[name] is not _ABSENT},
        )
        for index in sorted(set(broken.values()))
    ]


def _operations(hyperconverged: Object | None) -> list[Mapping[str, Any]]:
    annotations = (hyperconverged or {"metadata": {}})["metadata"].get("annotations") or {}
    try:
        found = parse_json(annotations.get(ANNOTATION) or "[]")
    except ValueError:
        return []
    known = isinstance(found, list) and all(
        isinstance(each, dict) and isinstance(each.get("op"), str) and isinstance(each.get("path"), str)
        for each in found
    )
    return found if known else []


def _after(operation: Mapping[str, Any], target: tuple[str, ...]) -> tuple[object] | None:
    """Return what one operation makes of the value at `target`; None when it leaves it as it is."""
    op, path = operation["op"], _keys(operation["path"])
    source = _keys(operation["from"]) if isinstance(operation.get("from"), str) else None
    if op in {"add", "replace", "copy", "move"} and target[: len(path)] == path:
        value: object = operation.get("value") if op in {"add", "replace"} else _UNKNOWN
        for key in target[len(path) :]:
            if value is not _UNKNOWN:
                value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
        return (value,)
    gone = path if op == "remove" else source if op == "move" else None
    return (_ABSENT,) if gone is not None and target[: len(gone)] == gone else None


def _keys(pointer: str) -> tuple[str, ...]:
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])


def _same(one: object, other: object) -> bool:
    if one is _ABSENT or one is _UNKNOWN:
        return False
    if one == other and isinstance(one, bool) == isinstance(other, bool):
        return True
    return isinstance(one, str) and same_quantity(one, other)
