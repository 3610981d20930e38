"""The report page out of what a watch knows: no cluster is asked for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from config.finding import Remark
from mignet import report
from mignet.checks.peers.endpoint import Side
from mignet.fleet import survey
from mignet.report import digest as digests
from mignet.report.rendering import page as pages
from mignet.watch.fleet import unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.kube.client import ClusterError
    from mignet.report import Report
    from mignet.report.digest import Between, Digest
    from mignet.watch.fleet import Fleet, Judged, Watching

NOT_YET = "was not looked at with all eyes yet: its path, limits, drains and what preflight finds are not here"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one stack."""

    stack: Stack
    lost: ClusterError | None
    full: bytes | None
    judged: tuple[Judged, ...]

    @property
    def digest(self) -> Digest:
        """The same, unpacked."""
        if self.lost is not None:
            finding = survey.trouble(self.stack, self.lost)
            return replace(digests.unseen(self.stack, self.lost), findings=(finding,))
        found: Digest = unpacked(self.full) if self.full else digests.unseen(self.stack)
        said = [each for judged in self.judged for each in judged.left_out]
        if self.full is None:
            said.append(NOT_YET)
        return replace(
            found,
            findings=tuple(finding for each in self.judged for finding in each.findings),
            left_out=tuple(Remark(self.stack.name, each) for each in said),
            not_judged=sum(each.not_judged for each in self.judged),
        )


def known(fleet: Fleet) -> tuple[list[Known], Between | None]:
    """Return what is known of each stack, and between them, as it is now."""
    return [_known(one) for one in fleet.stacks.values()], fleet.between


def _known(one: Watching) -> Known:
    # What peers found of it is in what is known between them.
    judged = (one.drift, *(judged for verb, judged in one.rarely if verb != "peers"))
    return Known(one.stack, one.lost, one.full, judged)


def assembled(project: Project, found: Sequence[Known], apart: Between | None) -> Report:
    """Make the report. It takes a while for a fleet of hundreds."""
    names = [each.stack.name for each in found]
    files, _ = report.files_of(project, names)
    if apart is None or [each.name for each in apart.stacks] != names:
        # Not held against each other yet.
        apart = digests.between([Side(each.stack, each.lost) for each in found], {}, None)
    apart = replace(apart, stacks=tuple(each.stack for each in found))
    return report.put_together(project, names, files, [each.digest for each in found], apart)


def render(project: Project, found: Sequence[Known], apart: Between | None, *, site: str | None = None) -> str:
    """Write the page."""
    return pages.render(assembled(project, found, apart), site=site)
