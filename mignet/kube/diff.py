"""Changes as values: what happens to an object, field by field. Both engines report with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from config.finding import Finding, Subject
from config.types.json_text import parse_json

Operation = Literal["create", "update", "delete", "relinquish", "same"]
"""`relinquish`: our fields of an object that is not ours are released; the object stays."""


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
    """One field that changes: `field` is its dotted path, `inside` the keys within the JSON that its text holds.

    `owner` is the field manager it is taken from, when it is taken from one.

    `by` is who set the live value, and when; None when the API server kept no trace of it. With `same_meaning`, only
    the form of a configuration changes, which no pod notices.
    """

    field: str
    old: Any
    new: Any
    owner: str | None = None
    by: Writer | None = None
    same_meaning: bool = False
    inside: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The field as a sentence names it: `spec.config{ipam.range}`."""
        return f"{self.field}{{{'.'.join(self.inside)}}}" if self.inside else self.field

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
    def key(self) -> Subject:
        """The object as a sentence names it: `Kind namespace/name`."""
        return Subject.of(self.kind, f"{self.namespace}/{self.name}" if self.namespace else self.name)

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

    `findings` are the reasons of an error, as far as they are findings. They and the next five are for drift: what the
    rules say, what could not be judged, how many rules that are and which, what Pulumi itself sees (None with the
    direct engine, which keeps no state), and in sentences where that differs from `changes`.
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
    undecided: frozenset[str] = frozenset()
    pulumi: PulumiView | None = None
    apart: tuple[str, ...] = ()
    declined: bool = False
    """Whether somebody answered no, so that none of the changes was made."""
    applied: bool = False
    """Whether an error is that the cluster holds something else than what had just been applied."""
    means: tuple[str, ...] = ()
    """What the changes set off on the cluster, each as the rest of a sentence that begins with the stack."""

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

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """The findings, and one for each sentence of an error that none of them tells: Pulumi's own, say."""
        if self.error is None or any(
            each.code.startswith("cluster-") or each.sentence in self.error for each in self.findings
        ):
            return self.findings
        lines = self.error.splitlines()
        untold = (Finding("cluster", None, each, "", code="run-failed", stack=self.stack) for each in lines)
        return (*self.findings, *untold)


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
        yield from (
            FieldChange(path, each.old, each.new, inside=(*each.field.split("."), *each.inside)) for each in inner
        )
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
