"""The report in Markdown, with the drawings as Mermaid, for a comment on a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few
from mignet.fleet.last_checkup import outcome
from mignet.fleet.results import not_judged
from mignet.outputs.as_markdown import plain
from mignet.report import checkups, drain_plans, limit_groups
from mignet.report.rendering import diagrams, mermaid
from mignet.report.rendering.page import grouped, headline, rows
from mignet.report.status import SIGNS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.report import Report

MOST = 10
"""Findings of one code, and pictures of paths."""
MOST_ROWS = 40
MOST_LEFT_OUT = 20
MOST_SPANS = 3
"""Of one cluster's drift."""


def render(report: Report) -> str:
    """Return the report; of many clusters those with something against them."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    head = headline(report)
    yield f"## {SIGNS[head.tone]} Migration network: {plain(head.text)}"
    yield ""
    seen = f"{len(report.seen)} of {len(report.stacks)} clusters" if report.asked else "the stack files alone"
    measured = outcome(report.checkup)
    unjudged = f"; {not_judged(report.not_judged)}" if report.not_judged else ""
    yield (
        f"{report.ways.ready} of {report.ways.of} paths are ready; seen from {seen}, {report.made:%Y-%m-%d %H:%M}"
        f" UTC, from objects; {measured}{unjudged}."
    )
    yield ""
    yield from _findings(report)
    yield from _addresses(report)
    if report.sites:
        picture = diagrams.sites(report.sites)
        yield from (f"### {picture.title}", "", plain(picture.words), "", mermaid.draw(picture), "")
    yield "### From the nodes to virt-handler"
    yield ""
    drawn = diagrams.chains(report.paths)
    for each in drawn[:MOST]:
        yield from (f"**{plain(each.title)}**: {plain(each.words)}", "", mermaid.draw(each), "")
    if left := [each.title for each in drawn[MOST:]]:
        yield from (f"Not drawn: {plain('; '.join(left[:MOST_ROWS]))}{_more(left, MOST_ROWS)}", "")
    if len(report.stacks) > 1:
        grid = diagrams.grid(report.ways)
        yield from (f"### {grid.title}", "", mermaid.draw(grid), "")
        yield f"| from, to | {' | '.join(map(plain, grid.heads))} |"
        yield f"|---{'|---' * len(grid.heads)}|"
        for name, row in zip(grid.heads, grid.cells, strict=True):
            cells = (
                f"{'' if cell.tone == 'idle' else SIGNS[cell.tone]} {cell.text} {plain(cell.code)}" for cell in row
            )
            yield f"| {plain(name)} | {' | '.join(' '.join(cell.split()) for cell in cells)} |"
        yield ""
    if report.checkup:
        sign = SIGNS[checkups.tone(report.checkup)]
        yield from ("### The last checkup", "", f"{sign} {plain(report.checkup.words)}", "")
        broken = report.checkup.broken if report.checkup.counts else ()
        yield from (f"- ✕ {plain(way.words)}" for way in broken[:MOST])
        if more := _more(broken, MOST):
            yield f"-{more}"
        yield ""
    yield from _limits(report)
    yield from _drains(report)
    yield from _drift(report)
    if report.left_out:
        yield from ("### What was not seen", "")
        yield from (f"- {plain(sentence)}" for sentence in report.left_out[:MOST_LEFT_OUT])
        if more := _more(report.left_out, MOST_LEFT_OUT):
            yield f"-{more}"


def _findings(report: Report) -> Iterator[str]:
    if not report.findings:
        return
    yield from ("### Findings", "", "| | what | remedy |", "|---|---|---|")
    for group in grouped(report.findings, MOST):
        for each in group.findings:
            finding = each.finding
            what = str(finding).removesuffix(finding.remedy).strip() if finding.waived is None else str(finding)
            if len(each.others) > 1:
                what = f"{each.stack} and {len(each.others)} others, such as {what}"
            yield f"| {SIGNS[group.tone]} {group.kind} `{group.code}` | {plain(what)} | {plain(finding.remedy)} |"
        if group.more:
            yield f"| {SIGNS[group.tone]} {group.kind} `{group.code}` | and {group.more} more | |"
    yield ""


def _limits(report: Report) -> Iterator[str]:
    found = limit_groups.groups(report.limits)
    if found:
        yield from ("### Limits of migrations", "")
    for group in found[:MOST]:
        count = ", ".join(each.words for each in group.columns) or "no virtual machine runs"
        yield f"**{plain(few(group.stacks))}**: {count}"
        yield ""
        if group.columns:
            heads = (f"{each.words}: {few(each.machines, of=each.count)}" for each in group.columns)
            yield f"| limit | {' | '.join(map(plain, heads))} |"
            yield f"|---{'|---' * len(group.columns)}|"
            for key, values in group.rows:
                cells = [
                    "same"
                    if index and each == values[0]
                    else "not set"
                    if each is None
                    else f"{each.words} ({each.source})"
                    for index, each in enumerate(values)
                ]
                yield f"| {plain(key)} | {' | '.join(map(plain, cells))} |"
            yield ""
        if group.more:
            yield from (
                f"And {group.more} other groups of virtual machines: mignet limits {plain(group.stacks[0])}",
                "",
            )
    if more := _more(found, MOST):
        yield from (f"{more.strip().capitalize()} groups of clusters", "")


def _drains(report: Report) -> Iterator[str]:
    plans = drain_plans.plans(report.drains)
    if plans:
        yield from (
            "### If a node is drained",
            "",
            "| cluster | node | virtual machines | drained after | what stays |",
        )
        yield "|---|---|---|---|---|"
    for plan in plans:
        for node in plan.nodes:
            cells = (plan.stack, node.name, str(node.machines), node.words, node.stays or "nothing")
            yield f"| {' | '.join(map(plain, cells))} |"
        if plan.more:
            yield f"| {plain(plan.stack)} | and {plan.more} more, which take no longer | | | |"
    if plans:
        yield ""


def _drift(report: Report) -> Iterator[str]:
    found = report.drift.rows
    if not found:
        return
    yield from ("### Drift over time", "", "| cluster | now | last found |", "|---|---|---|")
    for row in found[:MOST_ROWS]:
        spans = "; ".join(each.words for each in row.spans[-MOST_SPANS:])
        yield f"| {plain(row.stack)} | {SIGNS[row.tone]} {row.spans[-1].state} | {plain(spans)} |"
    if more := _more(found, MOST_ROWS):
        yield f"|{more} | | |"
    yield ""


def _addresses(report: Report) -> Iterator[str]:
    yield from ("### Addresses", "")
    for number, books in enumerate(report.books, 1):
        strip = diagrams.strip(number, books)
        yield from (f"**{plain(strip.title)}**", "", mermaid.draw(strip), "")
    found = list(rows(report))
    listed = found if len(found) <= MOST_ROWS else [row for row in found if row.tone in {"bad", "warn"}]
    yield from ("| cluster | slice | use and forecast | path |", "|---|---|---|---|")
    for row in listed[:MOST_ROWS]:
        for use in row.uses:
            words = f"{SIGNS[use.tone]} {plain(use.details)}"
            yield (
                f"| {plain(row.name)} | {plain(str(use.span))} | {words} |"
                f" {SIGNS[row.path.tone]} {WORDS[row.path.tone]} |"
            )
    if rest := len(found) - len(listed[:MOST_ROWS]):
        yield f"| and {rest} more | | | |"
    yield ""


def _more(items: object, most: int) -> str:
    count = len(items) - most  # type: ignore[arg-type]
    return f" and {count} more" if count > 0 else ""
