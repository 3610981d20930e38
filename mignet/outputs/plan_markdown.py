"""A stack's report in Markdown, for a comment on a pull request: what is going to change, as a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import shown, visible
from mignet.outputs.as_markdown import plain
from mignet.outputs.terminal import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mignet.kube.diff import FieldChange, ObjectChange, Report

MOST = 500
"""Characters of a value that are shown."""

# `!` is what code hosts colour as neither added nor removed.
_SIGNS = {"create": "+", "update": "!", "delete": "-", "relinquish": "-"}


def render(reports: Iterable[Report]) -> str:
    """Write a section for each stack: what is done in one line, warnings, and each field as a diff."""
    return "\n".join(line for report in reports for line in _section(report))


def _section(report: Report) -> Iterator[str]:
    what = "failed" if report.error else summary(report) or "nothing of this stack is on the cluster"
    yield f"### {plain(report.stack)}: {what}"
    yield ""
    for sentence in (report.error or "").splitlines():
        yield f"- ❌ {plain(report.stack)}: {plain(sentence)}"
    for sentence in report.warnings:
        yield f"- ⚠️ {plain(report.stack)}: {plain(sentence)}"
    if report.error or report.warnings:
        yield ""
    changes = [change for change in report.changes if change.operation != "same"]
    if changes:
        yield "```diff"
        for change in changes:
            yield from _object(change)
        yield "```"
        yield ""


def _object(change: ObjectChange) -> Iterator[str]:
    yield visible(f"{_SIGNS[change.operation]} {change.operation} {change.key}")
    for each in change.fields:
        # As on the terminal: labels of a whole object are the same for every stack.
        if change.operation in {"create", "delete"} and each.path.startswith("metadata."):
            continue
        yield from _field(each)


def _field(each: FieldChange) -> Iterator[str]:
    if each.old == each.new:
        yield visible(f"    {each.path}: {shown(each.new, limit=MOST)} (becomes ours too)")
        return
    owner = f"   (taken over from {each.owner})" if each.owner else ""
    if each.old is not None:
        yield visible(f"-   {each.path}: {shown(each.old, limit=MOST)}{owner}")
    if each.new is not None:
        yield visible(f"+   {each.path}: {shown(each.new, limit=MOST)}")
