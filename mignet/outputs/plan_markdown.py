"""A stack's report in Markdown, for a comment on a pull request: what is going to change, as a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import visible
from mignet.outputs import plan_form
from mignet.outputs.as_markdown import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mignet.kube.diff import Report

# `!` is what code hosts colour as neither added nor removed.
_MARKS: dict[plan_form.Tone, str] = {"created": "+", "changed": "!", "deleted": "-", "plain": " "}


def render(reports: Sequence[Report]) -> str:
    """Write a section for each stack that is not as declared, and a line that counts all of several."""
    planned = any(not plan_form.is_done(report) for report in reports)
    shown = [each for each in reports if len(reports) == 1 or each.changed or each.error or each.warnings]
    lines = [line for report in shown for line in _section(report)]
    if len(reports) > 1:
        lines.append(plain(plan_form.total(reports, planned=planned)))
    return "\n".join(lines)


def _section(report: Report) -> Iterator[str]:
    planned = not plan_form.is_done(report)
    yield f"### {plain(report.stack)}: {plain(plan_form.headline(report, planned=planned))}"
    yield ""
    for sentence in (report.error or "").splitlines():
        yield f"- ❌ {plain(report.stack)}: {plain(sentence)}"
    for sentence in (*report.warnings, *report.means):
        yield f"- ⚠️ {plain(report.stack)}: {plain(sentence)}"
    if report.error or report.warnings or report.means:
        yield ""
    if report.changed:
        yield "```diff"
        for each in plan_form.lines(report, planned=planned, means=False):
            yield visible(f"{_MARKS[each.tone]} {'  ' * (each.depth - 1)}{each.text}")
        yield "```"
        yield ""
