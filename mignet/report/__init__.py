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
from mignet.checks import peers
from mignet.fleet import last_checkup
from mignet.fleet.results import HOURS
from mignet.kube.source import current_time
from mignet.report import collect, history
from mignet.report.address_usage import SubnetBooks, books
from mignet.report.grouping import Told, told
from mignet.report.reachability import Ways, ways
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
    about = set(names)
    stacks = [each.stack for each in sightings]
    own = [
        finding
        for finding in (*files.findings, *(each for stack in files.fleet.stacks for each in stack.findings))
        if finding.stack in about
    ]
    fleet = [each for each in files.between() if not about.isdisjoint({each.stack, each.peer})]
    live = [finding for each in sightings for finding in each.findings]
    runs, unread = history.runs(project)
    try:
        measured = last_checkup.last(project, checkup, hours=hours)
    except ValueError as error:
        measured = None
        unread.append(str(error))
    between = peers.compare([each.side for each in sightings], measured if asked else None)
    of_checkup = last_checkup.about(measured, names) if measured else []
    findings = folded(_once([*own, *fleet, *live, *collect.between(sightings), *between.findings, *of_checkup]))
    seen = [remark for each in sightings for remark in each.left_out]
    left_out = [*unread, *map(str, (*seen, *between.left_out))]
    if files.left_out:
        left_out.insert(0, files.left_out)
    if measured and not measured.counts:
        left_out.append(f"what a checkup measures is {measured.words}")
    elif measured:
        left_out += (f"checkup: {sentence}" for sentence in measured.left_out)
    elif len(sightings) > 1:
        left_out.append("no checkup was found, which measures the paths between the nodes")
    return Report(
        project=project.name,
        made=current_time(),
        stacks=tuple(names),
        asked=asked,
        seen=tuple(each.name for each in sightings if each.fitness or each.verdict or each.side.seen),
        books=books(files.fleet.stacks, sightings),
        sites=tuple(sites_of(stacks, measured)),
        paths=tuple(path_of(each, measured) for each in sightings),
        ways=ways(between),
        checkup=measured,
        limits={each.name: each.limits for each in sightings if each.limits is not None},
        drains={each.name: each.drains for each in sightings if each.drains},
        findings=told(findings),
        runs=tuple(runs),
        writes=tuple(history.writes(sightings)),
        left_out=tuple(dict.fromkeys(left_out)),
        not_judged=Counter({each.name: each.not_judged for each in sightings}) + Counter(between.not_judged),
    )


_RANK = {"error": 0, "warning": 1, "info": 2}


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each finding once, errors first: several eyes see one thing."""
    # A value may be a list, which nothing can be looked up by.
    found = {
        (each.stack, each.code, each.key, json.dumps(each.value, default=str), each.rule): each for each in findings
    }
    return tuple(sorted(found.values(), key=lambda each: (each.waived is not None, _RANK[each.severity])))
