"""The report: all that is known of a fleet in one value, which the page, the pictures and the Markdown show.

It reads what preflight, verify, peers and limits read, and changes nothing; with files alone it says what it could not
see.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.files.fleet_files import read_fleet
from config.finding import folded
from mignet.fleet import last_checkup
from mignet.fleet.results import HOURS
from mignet.kube.source import current_time
from mignet.report import collect, history
from mignet.report.address_usage import SubnetBooks, books
from mignet.report.digest import Between, Digest, between, digest_of
from mignet.report.drift_spans import Drifts, drifts
from mignet.report.grouping import Told, told
from mignet.report.sites import Site, sites_of
from mignet.report.topology import Path, path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path as File

    from config.files.fleet_files import FleetFiles
    from config.files.project_files import Project
    from config.finding import Finding
    from config.stack import Stack
    from mignet.capacity.estimate import Evacuation
    from mignet.checks.limits import Outcome
    from mignet.fleet.last_checkup import Checkup
    from mignet.fleet.run_context import Course
    from mignet.report.collect import Sighting
    from mignet.report.history import Run, Write
    from mignet.report.reachability import Ways


@dataclass(frozen=True, slots=True)
class Report:
    """What a report shows. `made` is in UTC; `asked` is whether clusters were looked at, `seen` has those that were."""

    project: str
    made: datetime
    stacks: tuple[str, ...]
    asked: bool
    seen: tuple[str, ...]
    books: tuple[SubnetBooks, ...]
    sites: tuple[Site, ...]
    """The routed sites that the stacks are in; none where all are in one subnet."""
    paths: tuple[Path, ...]
    ways: Ways
    checkup: Checkup | None
    limits: Mapping[str, tuple[Outcome, ...]]
    """What the virtual machines of each cluster get, where that was seen."""
    drains: Mapping[str, Mapping[str, Evacuation]]
    """How each node of a cluster is drained, where that can be told."""
    findings: tuple[Told, ...]
    drift: Drifts
    """What the looks at drift found over time, as this machine's history has it."""
    runs: tuple[Run, ...]
    writes: tuple[Write, ...]
    left_out: tuple[str, ...]
    not_judged: Mapping[str, int]
    """How many rules could not be judged, for each cluster that was asked where there are any."""

    @property
    def errors(self) -> int:
        """Findings that stop something."""
        return sum(each.finding.blocks for each in self.findings)

    @property
    def warnings(self) -> int:
        """Warnings that nobody waived."""
        return sum(each.finding.severity == "warning" and each.finding.waived is None for each in self.findings)


def files_of(project: Project, names: Sequence[str]) -> tuple[FleetFiles, list[Stack]]:
    """Read the fleet, and return with it the stacks of these names that can be read."""
    files = read_fleet(project, also=names)
    return files, [files.fleet.by_name[name] for name in names if name in files.fleet.by_name]


async def look(
    project: Project,
    names: Sequence[str],
    course: Course | None,
    *,
    checkup: File | None = None,
    hours: float = HOURS,
) -> Report:
    """Make the report of these stacks; without a course, of their files alone.

    `checkup` is a result of mignet checkup, the last one when it is None; it counts for `hours`. Raises OSError when it
    cannot be read.
    """
    files, stacks = files_of(project, names)
    if course is None:
        found = [collect.from_files(stack) for stack in stacks]
    else:
        found = await collect.see(project, stacks, course)
    return assemble(project, names, files, found, asked=course is not None, checkup=checkup, hours=hours)


def assemble(
    project: Project,
    names: Sequence[str],
    files: FleetFiles,
    sightings: Sequence[Sighting],
    *,
    asked: bool,
    checkup: File | None = None,
    hours: float = HOURS,
) -> Report:
    """Put a report together out of what was seen. `names` are the stacks that it is about."""
    sides = [each.side for each in sightings]
    attached = {each.name: pods for each in sightings if (pods := collect.attached(each)) is not None}
    measured, unread = measured_by(project, checkup, hours=hours)
    apart = between(sides, attached, measured, asked=asked, unread=unread)
    return put_together(project, names, files, [digest_of(each) for each in sightings], apart)


def measured_by(
    project: Project, checkup: File | None = None, *, hours: float = HOURS
) -> tuple[Checkup | None, tuple[str, ...]]:
    """Return the checkup that a report is made with, if there is one, and a sentence where it cannot be read."""
    try:
        return last_checkup.last(project, checkup, hours=hours), ()
    except ValueError as error:
        return None, (str(error),)


def put_together(
    project: Project, names: Sequence[str], files: FleetFiles, digests: Sequence[Digest], apart: Between
) -> Report:
    """Put a report together out of what is known of each stack, and between these, in the same order."""
    measured, stacks = apart.checkup, apart.stacks
    about = set(names)
    own = [
        finding
        for finding in (*files.findings, *(each for stack in files.fleet.stacks for each in stack.findings))
        if finding.stack in about
    ]
    fleet = [each for each in files.between() if not about.isdisjoint({each.stack, each.peer})]
    live = [finding for each in digests for finding in each.findings]
    runs, unread_runs = history.runs(project)
    made = current_time()
    drift, doubtful = drifts(project, names, made)
    of_checkup = last_checkup.about(measured, names) if measured else []
    findings = folded(_once([*own, *fleet, *live, *apart.findings, *of_checkup]))
    seen = [remark for each in digests for remark in each.left_out]
    left_out = [*unread_runs, *doubtful, *apart.unread, *map(str, (*seen, *apart.left_out))]
    if files.left_out:
        left_out.insert(0, files.left_out)
    if measured and not measured.counts:
        left_out.append(f"what a checkup measures is {measured.words}")
    elif measured:
        left_out += (f"checkup: {sentence}" for sentence in measured.left_out)
    elif len(digests) > 1:
        left_out.append("no checkup was found, which measures the paths between the nodes")
    return Report(
        project=project.name,
        made=made,
        stacks=tuple(names),
        asked=apart.asked,
        seen=tuple(each.name for each in digests if each.seen),
        books=books(files.fleet.stacks, [(stack, each.leases) for stack, each in zip(stacks, digests, strict=True)]),
        sites=tuple(sites_of(stacks, measured)),
        paths=tuple(path_of(stack, each.lanes, measured) for stack, each in zip(stacks, digests, strict=True)),
        ways=apart.ways,
        checkup=measured,
        limits={each.name: each.limits for each in digests if each.limits is not None},
        drains={each.name: each.drains for each in digests if each.drains},
        findings=told(findings),
        drift=drift,
        runs=tuple(runs),
        writes=tuple(history.writes(write for each in digests for write in each.writes)),
        left_out=tuple(dict.fromkeys(left_out)),
        not_judged=Counter({each.name: each.not_judged for each in digests}) + Counter(apart.not_judged),
    )


_RANK = {"error": 0, "warning": 1, "info": 2}


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each finding once, errors first: several eyes see one thing."""
    # A value may be a list, which nothing can be looked up by.
    found = {
        (each.stack, each.code, each.key, json.dumps(each.value, default=str), each.rule): each for each in findings
    }
    return tuple(sorted(found.values(), key=lambda each: (each.waived is not None, _RANK[each.severity])))
