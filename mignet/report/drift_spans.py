"""Drift over time, as the looks at it tell: of each stack, from when until when it had drifted, and what mignet did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from mignet.fleet import history

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.files.project_files import Project
    from mignet.fleet.history import Entry
    from mignet.report.status import Tone

DAYS = 30
"""What is shown, up to now."""
State = Literal["none", "drifted", "not seen"]
TONES: dict[State, Tone] = {"none": "good", "drifted": "warn", "not seen": "idle"}


@dataclass(frozen=True, slots=True)
class Span:
    """Looks in a row that found the same; it lasts until the next one that found something else, or until now."""

    begin: datetime
    end: datetime
    state: State
    looks: int
    changes: int
    """The most that a look of it found."""
    by: tuple[str, ...]

    @property
    def words(self) -> str:
        """What was found, and when."""
        found = {"none": "no drift", "not seen": "could not be looked at"}.get(self.state)
        if found is None:
            by = f" by {', '.join(self.by)}" if self.by else ""
            found = f"drift, {self.changes} change{'' if self.changes == 1 else 's'}{by}"
        looks = f"{self.looks} look{'' if self.looks == 1 else 's'}"
        return f"{self.begin:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}: {found} ({looks})"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that mignet did to the cluster."""

    time: datetime
    verb: str
    outcome: str
    who: str

    @property
    def words(self) -> str:
        """Say it."""
        return f"{self.time:%Y-%m-%d %H:%M}: {self.verb} {self.outcome}, by {self.who or 'somebody'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One stack; `spans` are in order, without a gap after the first look."""

    stack: str
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]

    @property
    def drifted(self) -> timedelta:
        """How long it had drifted, as far as looks tell."""
        return sum((each.end - each.begin for each in self.spans if each.state == "drifted"), timedelta())

    @property
    def tone(self) -> Tone:
        """How it stands since the last look."""
        return TONES[self.spans[-1].state] if self.spans else "idle"


@dataclass(frozen=True, slots=True)
class Drifts:
    """All stacks of which the history tells, those that have drifted now or had for longest first."""

    begin: datetime
    end: datetime
    rows: tuple[Row, ...] = ()


def drifts(project: Project, names: Sequence[str], now: datetime) -> tuple[Drifts, list[str]]:
    """Return what the history of this machine tells of stacks, and a sentence for what of it cannot be believed."""
    unread = []
    lines: list[list[dict[str, Any]]] = []
    for chain in (history.looks_of(project), history.changes_of(project)):
        try:
            read = chain.read()
        except OSError as error:
            unread.append(f"the history cannot be read: {error}")
            lines.append([])
            continue
        if read.problem:
            unread.append(f"the history was tampered with: {read.problem} (mignet history --check)")
        lines.append(read.lines)
    return of(history.looks(lines[0]), history.entries(lines[1]), names, now), unread


def of(looks: Iterable[Entry], changes: Iterable[Entry], names: Sequence[str], now: datetime) -> Drifts:
    """Put looks and changes together, stack by stack."""
    about, begin = set(names), now - timedelta(days=DAYS)
    seen: dict[str, list[tuple[datetime, Entry]]] = {}
    for each in looks:
        at = history.moment(each.time)
        if each.stack in about and at is not None and at <= now:
            seen.setdefault(each.stack, []).append((at, each))
    marks: dict[str, list[Mark]] = {}
    for each in changes:
        at = history.moment(each.time)
        if each.stack in about and at is not None and begin <= at <= now and each.changes_clusters:
            marks.setdefault(each.stack, []).append(Mark(at, each.verb, each.outcome, each.who))
    rows = [Row(name, tuple(_spans(found, begin, now)), tuple(marks.get(name, ()))) for name, found in seen.items()]
    rows = sorted((row for row in rows if row.spans), key=lambda row: (row.tone == "good", -row.drifted, row.stack))
    first = min((row.spans[0].begin for row in rows), default=now)
    return Drifts(max(begin, first), now, tuple(rows))


def _spans(found: Sequence[tuple[datetime, Entry]], begin: datetime, now: datetime) -> list[Span]:
    ordered = sorted(found, key=lambda one: one[0])
    spans: list[Span] = []
    for (at, each), (end, _) in pairwise([*ordered, (now, None)]):
        if each is None or end < begin:
            continue
        state, drift = _state(each), each.drift
        changes, by = (drift.changes, drift.by) if drift else (0, ())
        before = spans[-1] if spans else None
        if before and before.state == state:
            by = tuple(dict.fromkeys((*before.by, *by)))
            spans[-1] = Span(before.begin, end, state, before.looks + 1, max(before.changes, changes), by)
        else:
            spans.append(Span(max(at, begin), end, state, 1, changes, by))
    return spans


def _state(look: Entry) -> State:
    if look.drift is None:
        return "not seen"
    return "drifted" if look.drift.changes or look.drift.codes else "none"
