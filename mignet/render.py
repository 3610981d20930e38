"""Reports and findings as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from config.findings import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from mignet.changes import FieldChange, ObjectChange, Report

_SIGNS = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "delete": ("-", "red"),
    "relinquish": ("-", "yellow"),
    "same": (" ", "dim"),
}
_DONE = {"create": "created", "update": "updated", "delete": "deleted", "relinquish": "given back", "same": "unchanged"}
_TO_DO = {
    "create": "to create",
    "update": "to update",
    "delete": "to delete",
    "relinquish": "to give back",
    "same": "unchanged",
}


def show(report: Report, console: Console) -> None:
    """Print one stack's report: each object, each field old → new, and whom a field is taken from."""
    console.print(Text(f"{report.stack}: {report.verb} ({report.engine} engine)", style="bold"))
    for warning in report.warnings:
        console.print(Text(f"  warning: {warning}", style="yellow"), soft_wrap=True)
    for change in report.changes:
        for line in _change_lines(change):
            console.print(line, soft_wrap=True)
    if report.error:
        for sentence in report.error.splitlines():
            console.print(Text(f"  error: {sentence}", style="red"), soft_wrap=True)
    elif report.changes:
        console.print(Text(f"  {summary(report)}"))
    else:
        console.print(Text("  nothing of this stack is on the cluster"))


def summary(report: Report) -> str:
    """Count a report's changes in one line."""
    words = _DONE if report.verb in {"up", "destroy"} else _TO_DO
    counts = {operation: sum(c.operation == operation for c in report.changes) for operation in words}
    return ", ".join(f"{count} {words[operation]}" for operation, count in counts.items() if count)


def _change_lines(change: ObjectChange) -> Iterable[Text]:
    sign, style = _SIGNS[change.operation]
    yield Text(f"  {sign} {change.operation:<10} {change.kind} {change.namespace}/{change.name}", style=style)
    for each in change.fields:
        yield Text(f"      {_field(change, each)}")


def _field(change: ObjectChange, each: FieldChange) -> str:
    if change.operation == "create":
        return f"{each.path}: {shown(each.new, limit=300)}"
    if each.old == each.new:
        line = f"{each.path}: {shown(each.new)} (becomes ours too)"
    else:
        line = f"{each.path}: {_value(each.old)} → {_value(each.new)}"
    return f"{line}   taken over from {each.owner}" if each.owner else line


def _value(value: object) -> str:
    return "(none)" if value is None else shown(value, limit=160)
