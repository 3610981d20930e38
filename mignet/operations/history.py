"""The history of a project: what its chains tell, whether they fit together, and Pulumi's own updates beside it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from config.finding import ConfigError, Finding, Remark
from config.loading import load_stack
from mignet.fleet import history
from mignet.fleet.chain import Read
from mignet.fleet.history import Kept, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.files.project_files import Project
    from mignet.fleet.history import Entry

PARALLEL = 4
"""Stacks whose updates Pulumi is asked for at a time."""
SLACK = timedelta(seconds=2)
"""Between the clocks and the whole seconds of two who tell of one thing."""


@dataclass(frozen=True, slots=True)
class History:
    """What happened, the oldest first; what is wrong with how it is kept; and what could not be asked for."""

    entries: tuple[Entry, ...]
    chains: tuple[Kept, ...]
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Remark, ...] = field(default=())


def read(project: Project, *, head: str | None = None) -> History:
    """Read a project's history and hold it against itself, and against the hash of one of its lines kept elsewhere."""
    kept, findings = [], []
    for chain in (history.changes_of(project), history.looks_of(project)):
        try:
            found = chain.read()
        except OSError as error:
            found = Read()
            found.wrong(chain.name, 0, f"it cannot be read: {error}")
        kept.append(Kept(chain, found))
        if found.problem:
            findings.append(_broken(str(found.problem)))
    if head is not None and not any(each.startswith(head) for one in kept for each in one.read.hashes):
        findings.append(
            _broken(f"no line has the hash {head}: it was written anew since then, or that line is dropped by now")
        )
    changes, looks = (each.read.lines for each in kept)
    entries = sorted([*history.entries(changes), *history.looks(looks)], key=lambda each: each.time)
    remarks = (Remark("", remark) for each in kept for remark in each.read.remarks)
    return History(tuple(entries), tuple(kept), tuple(findings), tuple(remarks))


def _broken(rule: str) -> Finding:
    remedy = (
        "What stands there cannot be trusted from that line on; hold it against a copy, or the clusters' audit logs."
        " Move the folder away to begin a new one"
    )
    return Finding("history", None, rule, remedy, code="history-broken", stack="mignet")


async def with_pulumi(found: History, project: Project, names: Sequence[str]) -> History:
    """Return the history with the updates that Pulumi itself tells of, as far as they are no runs of ours."""
    from mignet.engines import pulumi_engine

    limit = asyncio.Semaphore(PARALLEL)

    async def ask(name: str) -> list[Entry] | str:
        async with limit:
            try:
                stack = load_stack(name, project.stack_values(name))
                return await pulumi_engine.updates(project, stack)
            except ConfigError:
                return "its file cannot be read, which says where Pulumi's state is"
            except (OSError, ValueError) as error:
                return str(error)

    told = dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))
    more: list[Entry] = []
    left_out = list(found.left_out)
    for name, updates in told.items():
        if isinstance(updates, str):
            left_out.append(Remark(name, f"Pulumi's own updates are not shown: {updates}"))
        else:
            ours = [each for each in found.entries if each.stack == name and each.engine == "pulumi"]
            more += (each for each in updates if not _is_ours(each, ours))
    entries = sorted([*found.entries, *more], key=lambda each: each.time)
    return History(tuple(entries), found.chains, found.findings, tuple(left_out))


def _is_ours(update: Entry, ours: Iterable[Entry]) -> bool:
    """Whether an update was begun by a run that the history has: it bears its name, and is of its time.

    A name can be written by anybody, so that it hides nothing that was done at another time.
    """
    at = moment(update.time)
    for each in ours:
        begun = moment(each.time)
        if at is None or begun is None or not each.changes_clusters or update.run != each.run:
            continue
        if begun - SLACK <= at <= begun + timedelta(seconds=each.seconds or 0) + SLACK:
            return True
    return False


def chosen(
    entries: Iterable[Entry],
    *,
    stacks: Sequence[str] | None = None,
    verbs: Sequence[str] | None = None,
    since: datetime | None = None,
) -> list[Entry]:
    """Return those about the stacks and verbs (all when None), since a time; one without a time is never left out."""
    return [
        each
        for each in entries
        if (stacks is None or each.stack in stacks)
        and (not verbs or each.verb in verbs)
        and (since is None or (at := moment(each.time)) is None or at >= since)
    ]


def worth_telling(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries without the looks between the first and the last of those that found the same in a row."""
    rows: dict[str, list[int]] = {}
    dropped: set[int] = set()
    for place, each in enumerate(entries):
        if not each.is_look:
            continue
        row = rows.setdefault(each.stack, [])
        if row and (entries[row[0]].drift, entries[row[0]].said) != (each.drift, each.said):
            row.clear()
        dropped |= set(row[1:])
        row[1:] = []
        row.append(place)
    return [each for place, each in enumerate(entries) if place not in dropped]
