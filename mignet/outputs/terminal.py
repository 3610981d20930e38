"""Reports as text for a terminal; colours, and lines that are wrapped, go where there is no terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from config.finding import folded, visible
from mignet.checks.drift_rules import SHOWN_AS_FIELDS
from mignet.outputs import plan_form
from mignet.outputs.as_table import COLOURS, kind_of
from mignet.outputs.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mignet.kube.diff import Report

_TONES: dict[plan_form.Tone, str | None] = {"created": "green", "changed": "yellow", "deleted": "red", "plain": None}


def show(reports: Sequence[Report], *, err: bool = False, planned: bool | None = None, verbose: bool = False) -> None:
    """Print a plan: a section for each stack that is not as declared, and a line that counts all of them.

    What is `planned` has not been done yet; None asks the reports. Of several stacks, those without changes are only
    counted.
    """
    stream = sys.stderr if err else sys.stdout
    alike: dict[str, list[Report]] = {}
    for report in reports:
        if report.error and not report.changes and not report.warnings:
            alike.setdefault(report.error, []).append(report)
    for report in reports:
        same = alike.get(report.error or "", ())
        if len(same) > 1:
            # A cause that many share is said once, with their names.
            if report is same[0]:
                for line in _failed(same):
                    typer.echo(wrapped(line, stream), err=err)
            continue
        before = not plan_form.is_done(report) if planned is None else planned
        if len(reports) == 1 or verbose or _says_something(report):
            for line in _lines(report, planned=before, verbose=verbose):
                typer.echo(wrapped(line, stream), err=err)
    if all(report.verb == "drift" for report in reports):
        last = plan_form.drift_total(reports)
    else:
        before = any(not plan_form.is_done(report) for report in reports) if planned is None else planned
        last = plan_form.total(reports, planned=before)
    typer.echo(wrapped(last, stream), err=err)


def _failed(same: Sequence[Report]) -> Iterator[str]:
    yield _styled(f"{', '.join(each.stack for each in same)}: failed", bold=True)
    for sentence in (same[0].error or "").splitlines():
        yield _styled(f"  error: {sentence}", fg="red")


def _says_something(report: Report) -> bool:
    return bool(
        report.error or report.changed or report.warnings or report.drifted or report.findings or report.left_out
    )


def _styled(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    return typer.style(visible(text), fg=fg, bold=bold) if fg or bold else visible(text)


def _lines(report: Report, *, planned: bool, verbose: bool) -> Iterator[str]:
    yield _styled(f"{report.stack}: {plan_form.headline(report, planned=planned)}", bold=True)
    for sentence in (report.error or "").splitlines():
        yield _styled(f"  error: {report.stack}: {sentence}", fg="red")
    for warning in report.warnings:
        yield _styled(f"  warning: {report.stack}: {warning}", fg="yellow")
    for each in plan_form.lines(report, planned=planned, verbose=verbose):
        begin = f"  {each.sign} " if each.depth == 1 and each.sign != " " else "  " * each.depth
        yield _styled(f"{begin}{visible(each.text)}", fg=_TONES[each.tone])
    if report.verb == "drift":
        yield from _beside(report, verbose=verbose)


def _beside(report: Report, *, verbose: bool) -> Iterator[str]:
    """Yield what no field shows, and what Pulumi says."""
    for finding in folded(report.findings):
        if finding.code not in SHOWN_AS_FIELDS:
            kind = kind_of(finding)
            yield _styled(f"  {kind}: {finding.code}: {finding}", fg=COLOURS[kind])
    yield from (_styled(f"  {report.stack}: {sentence}") for sentence in report.left_out)
    if report.pulumi is None:
        if report.engine == "direct" and verbose:
            yield "  Pulumi: no view of its own; the direct engine keeps no state"
        return
    for change in report.pulumi.changes:
        if change.operation != "same" or verbose:
            paths = f" ({', '.join(each.path for each in change.fields)})" if change.fields else ""
            yield _styled(f"  Pulumi would {change.operation} {change.key}{paths}", fg="yellow")
    for sentence in report.apart:
        yield _styled(f"  {sentence}", fg="yellow")
