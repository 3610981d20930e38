"""Where Pulumi's view of drift and ours differ, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.checks.drift_rules import NOT_IN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.kube.diff import FieldChange, ObjectChange, PulumiView, Report


def apart(report: Report, view: PulumiView) -> Iterator[str]:
    """Yield a sentence for each thing that one of the two sees and the other does not."""
    if view.error:
        yield f"Pulumi stops, and says nothing of what else differs: {view.error.splitlines()[0]}"
        return
    theirs = {change.key: change for change in view.changes}
    for change in report.changes:
        yield from _object(change, theirs.pop(change.key, None))
    for change in theirs.values():
        if change.operation != "same":
            yield f"Only Pulumi would {change.operation} {change.key}: its state knows it, and the stack does not"
    for finding in report.findings:
        if finding.code in NOT_IN_FIELDS and finding.severity != "info" and finding.waived is None:
            yield f"Pulumi misses this: {finding.code} on {finding.key}; {NOT_IN_FIELDS[finding.code]}"


def _object(ours: ObjectChange, theirs: ObjectChange | None) -> Iterator[str]:
    if theirs is None:
        if ours.operation == "delete":
            yield f"Pulumi misses this: {ours.key}, left over; it is not in Pulumi's state"
        elif ours.operation != "same":
            yield f"Pulumi misses this: {ours.key}, to {ours.operation}"
        return
    if ours.operation == "same" and theirs.operation != "same":
        why = (
            "its state does not know the object, which is there as declared; mignet up takes it in"
            if theirs.operation == "create" or not theirs.fields
            else f"it compares {', '.join(each.path for each in theirs.fields)} with its state, and the API server"
            " holds what is declared"
        )
        yield f"Only Pulumi would {theirs.operation} {ours.key}: {why}"
    elif theirs.operation not in {ours.operation, "same"}:
        yield f"Pulumi would {theirs.operation} {ours.key}, which is to {ours.operation} in our eyes"
    elif ours.operation == "update":
        seen = {each.field for each in theirs.fields}
        for each in ours.fields:
            if not any(_meet(path, each.field) for path in seen):
                yield f"Pulumi misses this: {each.path} of {ours.key}; {_why(each)}"


def _meet(one: str, other: str) -> bool:
    return one == other or one.startswith((f"{other}.", f"{other}[")) or other.startswith(f"{one}.")


def _why(each: FieldChange) -> str:
    if each.old == each.new:
        return "its value is the declared one, and Pulumi does not look at whose it is"
    if isinstance(each.old, list) and isinstance(each.new, list):
        return "items appended to a list, which it compares as far as its own go"
    return "its comparison with its state shows nothing there"
