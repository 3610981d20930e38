"""Changes as values: what happens to an object, field by field. Both engines report with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Operation = Literal["create", "update", "delete", "relinquish", "same"]
"""`relinquish`: our fields of an object that is not ours are given back; the object stays."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changes. `owner` is the field manager it is taken from, when it is taken from one."""

    path: str
    old: Any
    new: Any
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What happens to one object. `namespace` is empty for what belongs to the whole cluster."""

    operation: Operation
    kind: str
    namespace: str
    name: str
    fields: tuple[FieldChange, ...] = ()

    @property
    def taken(self) -> tuple[FieldChange, ...]:
        """The fields that are taken from another field manager."""
        return tuple(change for change in self.fields if change.owner)


@dataclass(frozen=True, slots=True)
class Report:
    """What one verb found or did on one stack. `error` is a sentence when it failed."""

    stack: str
    verb: str
    engine: str
    changes: tuple[ObjectChange, ...] = ()
    warnings: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def changed(self) -> bool:
        """Whether anything differs from what is declared."""
        return any(change.operation != "same" for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self) | {"changed": self.changed}


_ABSENT = object()


def differences(old: object, new: object, path: str = "") -> Iterator[FieldChange]:
    """Yield each field that differs between two JSON values, by path; None stands for a field that is not there.

    Text that holds JSON on both sides (the configuration in a NetworkAttachmentDefinition) is compared inside, and its
    fields are written as `spec.config{mtu}`.
    """
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif isinstance(old, Mapping) and new is _ABSENT:
        for key, value in sorted(old.items()):
            yield from differences(value, _ABSENT, f"{path}.{key}")
    elif isinstance(new, Mapping) and old is _ABSENT:
        for key, value in sorted(new.items()):
            yield from differences(_ABSENT, value, f"{path}.{key}")
    elif isinstance(old, str) and isinstance(new, str) and (inside := _both_json(old, new)):
        inner = list(differences(*inside))
        # The same JSON in another spelling is still another string to everybody who compares it.
        yield from (FieldChange(f"{path}{{{c.path}}}", c.old, c.new) for c in inner)
        if not inner:
            yield FieldChange(path, old, new)
    else:
        yield FieldChange(path, None if old is _ABSENT else old, None if new is _ABSENT else new)


def _both_json(old: str, new: str) -> tuple[object, object] | None:
    try:
        parsed = json.loads(old), json.loads(new)
    except ValueError:
        return None
    return parsed if all(isinstance(value, dict) for value in parsed) else None


def declared_differences(declared: object, live: object, path: str = "") -> Iterator[FieldChange]:
    """Yield what of `declared` the live object does not hold, and what it holds beyond in lists that are declared.

    Fields that are not declared are nobody's business here. A list counts as a whole: an appended item is a change.
    """
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        for key, value in declared.items():
            yield from declared_differences(value, live.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif isinstance(declared, Sequence) and not isinstance(declared, str) and isinstance(live, Sequence):
        if len(declared) != len(live) or any(
            any(declared_differences(one, other)) for one, other in zip(declared, live, strict=True)
        ):
            yield FieldChange(path, live, declared)
    else:
        yield from differences(live, declared, path)
