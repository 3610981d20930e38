"""The report as one HTML page that needs nothing else: no network, no file, and hardly any script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from config.finding import few, natural, shown, visible
from mignet.fleet.last_checkup import outcome
from mignet.fleet.results import not_judged
from mignet.outputs.topics import page_address, topics
from mignet.report import checkups, drain_plans, limit_groups
from mignet.report import status as tones
from mignet.report.rendering import diagrams, drift_strip, palette, svg, timeline
from mignet.report.status import RANK, SIGNS, WORDS, Tone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mignet.report import Report
    from mignet.report.address_usage import Use
    from mignet.report.drift_spans import Drifts
    from mignet.report.grouping import Told
    from mignet.report.topology import Path

MOST_FINDINGS = 20
"""Findings of one code that are listed; of more, the page says how many there are."""
MOST_WRITES = 30
MOST_LEFT_OUT = 60


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """Findings of one code and tone; `more` are those that are not listed."""

    code: str
    tone: Tone
    kind: str
    findings: tuple[Told, ...]
    more: int
    stacks: int

    @property
    def why(self) -> str:
        """Why it matters, as the documents say it; empty where they say nothing."""
        said: str = topics()["codes"].get(self.code, {}).get("why", "")
        return said

    @property
    def remedy(self) -> str:
        """The way out, when it is the same for all that are listed."""
        remedies = {each.finding.remedy for each in self.findings}
        return remedies.pop() if len(remedies) == 1 and len(self.findings) > 1 and self.kind != "waived" else ""

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.findings) + self.more


@dataclass(frozen=True, slots=True)
class Row:
    """One cluster's line in the table."""

    name: str
    tone: Tone
    uses: tuple[Use, ...]
    path: Path
    sends: int
    takes: int
    others: int
    errors: int
    warnings: int


def render(report: Report, *, site: str | None = None) -> str:
    """Return the page; the code of each finding leads to its part of the documents, where their `site` is given."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = f"{palette.variables(':root')}\n{_read('page.css')}\n{svg.style()}\n{timeline.STYLE}\n{drift_strip.STYLE}"
    script = _read("page.js")
    strips = [diagrams.strip(number, each) for number, each in enumerate(report.books, 1)]
    ways = diagrams.grid(report.ways) if len(report.stacks) > 1 else None
    return environment.get_template(
        "page.html.j2"
    ).render(
        report=report,
        head=headline(report),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'",
        # Both are files of this package, and no part of them comes from outside.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        groups=grouped(report.findings),
        page_of=lambda code: page_address(code, site) if site else None,
        rows=list(rows(report)),
        strips=[(strip, [_drawn(strip, width) for width in (svg.WIDE, svg.NARROW)]) for strip in strips],
        sites=diagrams.sites(report.sites) if report.sites else None,
        chains=diagrams.chains(report.paths),
        grid=ways,
        measured=diagrams.measured(report.checkup) if report.checkup and report.checkup.ways else None,
        measured_tone=checkups.tone(report.checkup) if report.checkup else "idle",
        limits=limit_groups.groups(report.limits),
        drains=[
            (plan, [_timeline(plan, width) for width in (svg.WIDE, svg.NARROW)])
            for plan in drain_plans.plans(report.drains)
        ],
        drift=[_strip(report.drift, width) for width in (svg.WIDE, svg.NARROW)] if report.drift.rows else [],
        more_drift=max(len(report.drift.rows) - drift_strip.MOST_ROWS, 0),
        few=few,
        outcome=outcome(report.checkup),
        signs=SIGNS,
        words=WORDS,
        shown=shown,
        not_judged=not_judged,
        writes=report.writes[:MOST_WRITES],
        more_writes=max(len(report.writes) - MOST_WRITES, 0),
        left_out=report.left_out[:MOST_LEFT_OUT],
        more_left_out=max(len(report.left_out) - MOST_LEFT_OUT, 0),
    )


def _shown(value: object) -> object:
    # What is marked up already was made so here, of text that was written in this way.
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawn(strip: diagrams.Strip, width: int) -> Markup:
    return Markup(svg.inline(strip, width=width))  # noqa: S704 (every text in it is escaped there)


def _timeline(plan: drain_plans.Plan, width: int) -> Markup:
    return Markup(timeline.drawn(plan, width=width))  # noqa: S704 (every text in it is escaped there)


def _strip(drift: Drifts, width: int) -> Markup:
    return Markup(drift_strip.drawn(drift, width=width))  # noqa: S704 (every text in it is escaped there)


def _read(name: str) -> str:
    return (files("mignet.report.rendering") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@dataclass(frozen=True, slots=True)
class Headline:
    """The first line of a report, which answers whether there is anything to do."""

    tone: Tone
    text: str


def headline(report: Report) -> Headline:
    """Return it."""
    unseen = len(report.stacks) - len(report.seen)
    if report.errors:
        tone: Tone = "bad"
        hit = {name for each in report.findings if each.finding.blocks for name in each.about}
        where = f" on {len(hit)} cluster{'s' if len(hit) > 1 else ''}" if len(report.stacks) > 1 else ""
        text = f"{report.errors} error{'s' if report.errors > 1 else ''}{where}: migrations fail, or will"
    elif report.not_judged:
        tone, text = "warn", f"It is not known whether it works: {not_judged(report.not_judged)}"
    elif report.warnings:
        tone, text = "warn", f"It works, with {report.warnings} warning{'s' if report.warnings > 1 else ''}"
    elif doubtful := sum(path.tone in {"bad", "warn"} for path in report.paths):
        tone, text = "warn", f"It works, and the path of {doubtful} cluster{'s' if doubtful > 1 else ''} is doubtful"
    elif not report.asked:
        tone, text = "idle", "The files agree with each other; no cluster was asked"
    elif unseen:
        tone, text = "warn", f"{unseen} of {len(report.stacks)} clusters could not be seen"
    else:
        tone, text = "good", "Every cluster is on the network, and every path is ready"
        if len(report.stacks) == 1:
            text = "The cluster is on the network"
        elif not report.ways.of:
            text = "Every cluster is on its network; no two of them share a segment, so that there is no path between"
        text += f", as the clusters' objects say; {outcome(report.checkup)}"
    return Headline(tone, text)


def grouped(findings: Iterable[Told], most: int = MOST_FINDINGS) -> list[FindingGroup]:
    """Put findings together by code, errors first; within a code, at most so many are kept."""
    by_code: dict[tuple[str, str], list[Told]] = {}
    for each in findings:
        kind = "waived" if each.finding.waived is not None else each.finding.severity
        by_code.setdefault((kind, each.finding.code), []).append(each)
    return [
        FindingGroup(
            code,
            tones.of(same[0].finding),
            kind,
            tuple(same[:most]),
            max(len(same) - most, 0),
            len({name for each in same for name in each.about}),
        )
        for (kind, code), same in by_code.items()
    ]


def rows(report: Report) -> Iterator[Row]:
    """Return a line for each cluster, those in trouble first."""
    return iter(sorted(_rows(report), key=lambda row: (-RANK[row.tone], -row.errors, -row.warnings, natural(row.name))))


def _rows(report: Report) -> Iterator[Row]:
    paths = {path.stack: path for path in report.paths}
    errors: dict[str, int] = dict.fromkeys(report.stacks, 0)
    warnings = dict(errors)
    for each in report.findings:
        for name in errors.keys() & set(each.about):
            errors[name] += each.finding.blocks
            warnings[name] += each.finding.severity == "warning" and each.finding.waived is None
    for name in report.stacks:
        if name not in paths:
            continue
        uses = tuple(use for books in report.books for use in books.uses if use.stack == name)
        against: Tone = (
            "bad"
            if errors[name]
            else "warn"
            if warnings[name] or report.not_judged.get(name)
            else "good"
            if name in report.seen
            else "idle"
        )
        tone = _worst([against, *(each for each in (paths[name].tone, *(use.tone for use in uses)) if each != "idle")])
        ways = report.ways
        yield Row(
            name,
            tone,
            uses,
            paths[name],
            ways.sends.get(name, 0),
            ways.takes.get(name, 0),
            len(paths) - 1,
            errors[name],
            warnings[name],
        )


def _worst(found: Sequence[Tone]) -> Tone:
    return max(found, key=lambda tone: RANK[tone])
