"""Changes as values: what happens to an object, field by field. Both engines report with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from config.types.json_text import parse_json

if TYPE_CHECKING:
    from config.finding import Finding

Operation = Literal["create", "update", "delete", "relinquish", "same"]
"""`relinquish`: our fields of an object that is not ours are given back; the object stays."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who wrote something, as the API server noted it (managedFields).

    `operation` is Apply or Update, `time` in UTC as ISO 8601 to the second, `subresource` empty for the object itself.
    Without `owns`, nobody owns the field any more, and this is the object's last writer.
    """

    manager: str
    operation: str
    time: str
    subresource: str = ""
    owns: bool = True

    def __str__(self) -> str:
        through = f", {self.subresource}" if self.subresource else ""
        return f"{self.manager} ({self.operation}{through}) at {self.time}"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changes. `owner` is the field manager it is taken from, when it is taken from one.

    `by` is who set the live value, and when; None when the API server kept no trace of it. With `same_meaning`, only
    the form of a configuration changes, which no pod notices.
    """

    path: str
    old: Any
    new: Any
    owner: str | None = None
    by: Writer | None = None
    same_meaning: bool = False

    @property
    def extended(self) -> bool:
        """Whether somebody put items into a list beyond what is declared, all of which is there."""
        old, new = self.old, self.new
        return isinstance(old, list) and isinstance(new, list) and old != new and all(item in old for item in new)

    @property
    def beyond(self) -> list[Any]:
        """The items beyond what is declared, of a list that is extended."""
        return [item for item in self.old if item not in self.new]


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What happens to one object. `namespace` is empty for what belongs to the whole cluster."""

    operation: Operation
    kind: str
    namespace: str
    name: str
    fields: tuple[FieldChange, ...] = ()

    @property
    def key(self) -> str:
        """The object as a sentence names it: `Kind namespace/name`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def taken(self) -> tuple[FieldChange, ...]:
        """The fields that are taken from another field manager."""
        return tuple(change for change in self.fields if change.owner)


@dataclass(frozen=True, slots=True)
class PulumiView:
    """What Pulumi itself says of a stack after a refresh, with its own fields; `error` when it stopped."""

    changes: tuple[ObjectChange, ...] = ()
    error: str | None = None

    @property
    def changed(self) -> bool:
        """Whether Pulumi would change anything."""
        return any(change.operation != "same" for change in self.changes)


@dataclass(frozen=True, slots=True)
class Report:
    """What one verb found or did on one stack. `error` is a sentence when it failed.

    `findings` are the reasons of an error, as far as they are findings. They and the last four are for drift: what the
    rules say, what could not be judged, how many rules that are, what Pulumi itself sees (None with the direct engine,
    which keeps no state), and in sentences where that differs from `changes`.
    """

    stack: str
    verb: str
    engine: str
    changes: tuple[ObjectChange, ...] = ()
    warnings: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    left_out: tuple[str, ...] = ()
    not_judged: int = 0
    pulumi: PulumiView | None = None
    apart: tuple[str, ...] = ()
    declined: bool = False
    """Whether somebody answered no, so that none of the changes was made."""

    @property
    def changed(self) -> bool:
        """Whether anything differs from what is declared."""
        return any(change.operation != "same" for change in self.changes)

    @property
    def drifted(self) -> bool:
        """Whether this is drift: a change, for us or for Pulumi, or a finding, more than information and not waived."""
        return self.error is None and (
            self.changed
            or any(finding.severity != "info" and finding.waived is None for finding in self.findings)
            or (self.pulumi is not None and self.pulumi.changed)
        )

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        findings = [asdict(finding) | {"message": str(finding)} for finding in self.findings]
        return asdict(self) | {"findings": findings, "changed": self.changed, "drifted": self.drifted}


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
        parsed = parse_json(old), parse_json(new)
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
