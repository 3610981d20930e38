"""Reports as text for a terminal; colours go where there is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from config.finding import folded, shown, visible
from mignet.checks.drift_rules import SHOWN_AS_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mignet.kube.diff import FieldChange, ObjectChange, Report

_SIGNS: dict[str, tuple[str, str | None]] = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "delete": ("-", "red"),
    "relinquish": ("-", "yellow"),
    "same": (" ", None),
}
_COLOURS = {"error": "red", "warning": "yellow", "info": "blue", "waived": "green"}
_DONE = {"create": "created", "update": "updated", "delete": "deleted", "relinquish": "given back", "same": "unchanged"}
_TO_DO = {
    "create": "to create",
    "update": "to update",
    "delete": "to delete",
    "relinquish": "to give back",
    "same": "unchanged",
}


def show(report: Report, *, err: bool = False, planned: bool = False) -> None:
    """Print one stack's report: each object, each field old → new, and whom a field is taken from.

    What is only `planned` has not been done yet.
    """
    for line in _lines(report, planned=planned):
        typer.echo(line, err=err)


def _styled(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    return typer.style(visible(text), fg=fg, bold=bold) if fg or bold else visible(text)


def _lines(report: Report, *, planned: bool) -> Iterable[str]:
    yield _styled(f"{report.stack}: {report.verb} ({report.engine} engine)", bold=True)
    for warning in report.warnings:
        yield _styled(f"  warning: {report.stack}: {warning}", fg="yellow")
    for change in report.changes:
        yield from _change_lines(change, drift=report.verb == "drift")
    if report.verb == "drift":
        yield from _beside(report)
    if report.error:
        for sentence in report.error.splitlines():
            yield _styled(f"  error: {report.stack}: {sentence}", fg="red")
    elif report.verb == "drift":
        clean = "no drift, as far as it was judged" if report.not_judged else "no drift"
        yield _styled(f"  {'drift' if report.drifted else clean}: {summary(report)}")
    elif report.changes:
        yield _styled(f"  {summary(report, planned=planned)}")
    else:
        yield "  nothing of this stack is on the cluster"


def summary(report: Report, *, planned: bool = False) -> str:
    """Count a report's changes in one line."""
    done = report.verb in {"up", "destroy"} and not planned and not report.declined
    words = _DONE if done else _TO_DO
    counts = {operation: sum(c.operation == operation for c in report.changes) for operation in words}
    return ", ".join(f"{count} {words[operation]}" for operation, count in counts.items() if count)


def _beside(report: Report) -> Iterable[str]:
    """Yield what no field shows, and what Pulumi says."""
    for finding in folded(report.findings):
        if finding.code not in SHOWN_AS_FIELDS:
            kind = "waived" if finding.waived is not None else finding.severity
            yield _styled(f"  {kind}: {finding.code}: {finding}", fg=_COLOURS[kind])
    yield from (_styled(f"  {report.stack}: {sentence}") for sentence in report.left_out)
    if report.pulumi is None:
        if report.engine == "direct":
            yield "  Pulumi: no view of its own; the direct engine keeps no state"
        return
    for change in report.pulumi.changes:
        sign, colour = _SIGNS[change.operation]
        paths = f" ({', '.join(each.path for each in change.fields)})" if change.fields else ""
        yield _styled(f"  Pulumi: {sign} {change.operation:<10} {change.key}{paths}", fg=colour)
    for sentence in report.apart:
        yield _styled(f"  {sentence}", fg="yellow")


def _change_lines(change: ObjectChange, *, drift: bool = False) -> Iterable[str]:
    sign, colour = _SIGNS[change.operation]
    where = f"{change.namespace}/" if change.namespace else ""
    yield _styled(f"  {sign} {change.operation:<10} {change.kind} {where}{change.name}", fg=colour)
    for each in change.fields:
        # Labels and annotations of a whole object are the same for every stack; the JSON has them.
        if change.operation in {"create", "delete"} and each.path.startswith("metadata."):
            continue
        yield _styled(f"      {_field(change, each, drift=drift)}")


def _field(change: ObjectChange, each: FieldChange, *, drift: bool) -> str:
    if change.operation == "create":
        return f"{each.path}: {shown(each.new, limit=300)}"
    if each.old == each.new:
        line = f"{each.path}: {shown(each.new)} (becomes ours too)"
    elif each.same_meaning:
        line = f"{each.path}: the same configuration in another form: {_value(each.new)}"
    else:
        line = f"{each.path}: {_value(each.old)} → {_value(each.new)}"
    if drift and change.operation == "update":
        return f"{line}   {_writer(each)}"
    return f"{line}   taken over from {each.owner}" if each.owner else line


def _writer(each: FieldChange) -> str:
    if each.by is None:
        return "nobody owns it, and nobody else left a trace"
    return f"set by {each.by}" if each.by.owns else f"nobody owns it; the object's last writer: {each.by}"


def _value(value: object) -> str:
    return "(none)" if value is None else shown(value, limit=160)
