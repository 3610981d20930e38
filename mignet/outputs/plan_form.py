"""The one form in which a plan is shown: what happens to each object and field, who owned it, and what that means.

Lines as values: the terminal and Markdown write them. Before a run they are in the future tense, after it in the past.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import yaml

from config.finding import shown, visible
from config.types.json_text import parse_json
from mignet.fleet.results import not_judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mignet.kube.diff import FieldChange, ObjectChange, Report

Tone = Literal["created", "changed", "deleted", "plain"]
_SIGNS: dict[str, tuple[str, Tone]] = {
    "create": ("+", "created"),
    "update": ("~", "changed"),
    "delete": ("-", "deleted"),
    "relinquish": ("-", "changed"),
    "same": ("=", "plain"),
}
_DONE = {"create": "created", "update": "changed", "delete": "deleted", "relinquish": "released"}
"""Also as an object's fate in the future tense: `will be created`."""
_FIRST = ("cniVersion", "name", "type", "apiVersion", "kind", "metadata", "spec")
"""Keys that come first in YAML; the others follow by the alphabet, and what is nested after what is not."""
_INTERNAL = ("metadata.annotations.pulumi.com/", "metadata.annotations.migration-network.io/")
_LONG = 1_000_000
"""Characters of a value: nothing of a plan is cut."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan. `sign` stands before it, `depth` is how far it is indented, in steps."""

    text: str
    depth: int = 0
    sign: str = " "
    tone: Tone = "plain"


def is_done(report: Report) -> bool:
    """Whether the report is about what was done, not about what would be."""
    return report.verb in {"up", "destroy"} and not report.declined


def headline(report: Report, *, planned: bool) -> str:
    """Say in a few words what happens to a stack, without its name."""
    if report.error:
        return "failed"
    if report.verb == "drift":
        return _drift_headline(report)
    counts = counted([report], planned=planned)
    if counts:
        return counts
    return "no changes" if report.changes else "nothing of this stack is on the cluster"


def _drift_headline(report: Report) -> str:
    if report.drifted:
        count = sum(change.operation != "same" for change in report.changes)
        return f"drift in {count} object{'' if count == 1 else 's'}" if count else "drift"
    return "no drift, as far as it was judged" if report.not_judged else "no drift"


def counted(reports: Iterable[Report], *, planned: bool) -> str:
    """Count what happens to objects: `1 object will be created, 2 changed; 3 fields taken over`; empty when nothing."""
    changes = [change for report in reports for change in report.changes]
    parts: list[str] = []
    for operation, word in _DONE.items():
        count = sum(change.operation == operation for change in changes)
        if count and not parts:
            verb = "will be " if planned else ""
            parts.append(f"{count} object{'' if count == 1 else 's'} {verb}{word}")
        elif count:
            parts.append(f"{count} {word}")
    taken = sum(len(change.taken) for change in changes if change.operation == "update")
    over = f"; {taken} field{'' if taken == 1 else 's'} taken over" if taken else ""
    return ", ".join(parts) + over if parts else ""


def lines(report: Report, *, planned: bool, verbose: bool = False, means: bool = True) -> Iterator[Line]:
    """Yield what happens to each object of a stack, then what is left alone, and then what all of it means."""
    for change in report.changes:
        if change.operation != "same":
            yield from _object(change, drift=report.verb == "drift", planned=planned, verbose=verbose)
    alone = [change.key for change in report.changes if change.operation == "same"]
    if alone and (report.changed or verbose):
        yield Line(f"left alone: {', '.join(alone)}", 1)
    if means:
        # What is running now is for who decides.
        yield from (Line(f"{report.stack}: {each}", 1) for each in (report.means if planned else report.means[:1]))


def _object(change: ObjectChange, *, drift: bool, planned: bool, verbose: bool) -> Iterator[Line]:
    sign, tone = _SIGNS[change.operation]
    yield Line(f"{change.key} {_fate(change, drift=drift, planned=planned)}", 1, sign, tone)
    fields = [each for each in change.fields if verbose or is_said(change, each)]
    if len(fields) < len(change.fields) and not fields and change.operation == "update":
        yield Line("only annotations and labels of this tool's own (--verbose shows them)", 3)
    parent = ""
    for each in fields:
        above, _, last = each.field.rpartition(".") if not each.inside else (each.field, "", ".".join(each.inside))
        # The key of a label or an annotation has dots of its own.
        for whole in ("metadata.annotations.", "metadata.labels."):
            if each.field.startswith(whole):
                above, last = whole[:-1], each.field.removeprefix(whole)
        if above and above != parent:
            yield Line(f"{above}:", 3)
        parent = above
        yield from _field(change, each, last or each.field, 4 if above else 3, drift=drift)


def _fate(change: ObjectChange, *, drift: bool, planned: bool) -> str:
    if drift:
        return {"create": "is not there", "update": "differs"}.get(change.operation, "is no longer declared")
    word = _DONE[change.operation]
    more = ": its fields return to their defaults" if change.operation == "relinquish" else ""
    return f"{'will be' if planned else 'was'} {word}{more}"


def is_said(change: ObjectChange, each: FieldChange) -> bool:
    """Whether a field is anything to a reader: how Pulumi goes about it, and the labels of a whole object, are not."""
    if change.operation in {"create", "delete"}:
        return not each.field.startswith("metadata.")
    return not each.field.startswith(_INTERNAL)


def _field(change: ObjectChange, each: FieldChange, name: str, depth: int, *, drift: bool) -> Iterator[Line]:
    old, new = _structured(each.old), _structured(each.new)
    if change.operation == "create":
        yield from _block(name, new, depth, "created")
        return
    if change.operation == "delete":
        yield from _block(name, old, depth, "deleted")
        return
    note = _note(change, each, drift=drift)
    if each.old == each.new:
        owned = "as declared, but this stack does not own it" if drift else "as it is; this stack becomes an owner, too"
        yield Line(f"{name}: {shown(each.new, limit=_LONG)}, {owned}{note}", depth)
    elif isinstance(old, dict | list) or isinstance(new, dict | list):
        yield Line(f"{name}:{' the same configuration in another form' if each.same_meaning else ''}{note}", depth)
        if not each.same_meaning:
            yield from _differences(old, new, depth + 1)
    else:
        yield Line(f"{name}: {_value(each.old)} → {_value(each.new)}{note}", depth, tone="changed")


def _note(change: ObjectChange, each: FieldChange, *, drift: bool) -> str:
    if drift and change.operation == "update":
        if each.by is None:
            return "   it has no owner, and no other writer left a trace"
        return (
            f"   set by {each.by}" if each.by.owns else f"   it has no owner; the last writer of the object: {each.by}"
        )
    return f"   taken over from {each.owner}" if each.owner else ""


def _structured(value: Any) -> Any:
    """Return text that holds a JSON object (the configuration of a network) as that object."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def _block(name: str, value: Any, depth: int, tone: Tone) -> Iterator[Line]:
    if isinstance(value, dict | list) and value:
        yield Line(f"{name}:", depth, tone=tone)
        yield from (Line(each, depth + 1, tone=tone) for each in as_yaml(value))
    else:
        yield Line(f"{name}: {_value(value)}", depth, tone=tone)


def _differences(old: Any, new: Any, depth: int) -> Iterator[Line]:
    tones: dict[str, Tone] = {"+": "created", "-": "deleted"}
    for each in difflib.ndiff(as_yaml(old), as_yaml(new)):
        sign, text = each[0], each[2:]
        if sign != "?":
            yield Line(f"{sign} {text}", depth, tone=tones.get(sign, "plain"))


def as_yaml(value: Any) -> Sequence[str]:
    """Write a value as YAML, its keys in a fixed order; None has no lines."""
    if value is None:
        return []
    text: str = yaml.dump(
        _ordered(value), Dumper=_Lines, sort_keys=False, default_flow_style=False, width=_LONG, allow_unicode=True
    )
    return [visible(line) for line in text.removesuffix("...\n").removesuffix("\n").split("\n")]


class _Lines(yaml.SafeDumper):
    """Writes each value on one line."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if "\n" in value else None)


_Lines.add_representer(str, _text)


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (_rank(key), isinstance(value[key], dict | list), key))
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(each) for each in value] if isinstance(value, list | tuple) else value


def _rank(key: str) -> int:
    return _FIRST.index(key) if key in _FIRST else len(_FIRST)


def _value(value: object) -> str:
    return "(none)" if value is None else shown(value, limit=_LONG)


def total(reports: Sequence[Report], *, planned: bool) -> str:
    """Say in one line what happens to all stacks, and how many there are of each kind."""
    failed = sum(bool(report.error) for report in reports)
    changed = sum(not report.error and report.changed for report in reports)
    same = len(reports) - failed - changed
    parts: list[str] = [
        counted([each for each in reports if not each.error], planned=planned),
        f"{same} stack{'' if same == 1 else 's'} without changes" if same and (failed or changed) else "",
        "" if failed or changed else "no changes",
        f"{failed} failed" if failed else "",
    ]
    return f"{_stacks(reports)}: {'; '.join(filter(None, parts))}"


def drift_total(reports: Sequence[Report]) -> str:
    """Say in one line how many stacks have drifted, and how many rules could not be judged."""
    drifted, failed = sum(report.drifted for report in reports), sum(bool(report.error) for report in reports)
    same = len(reports) - drifted - failed
    parts = [
        f"{drifted} with drift" if drifted else "",
        f"{failed} failed" if failed else "",
        "no drift" if not (drifted or failed) else f"{same} without drift" if same else "",
        not_judged({report.stack: report.not_judged for report in reports}),
    ]
    return f"{_stacks(reports)}: {'; '.join(filter(None, parts))}"


def _stacks(reports: Sequence[Report]) -> str:
    engine = f" ({reports[0].engine} engine)" if reports else ""
    return f"{len(reports)} stack{'' if len(reports) == 1 else 's'}{engine}"
