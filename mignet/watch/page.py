"""The report page out of what a watch knows: no cluster is asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Remark
from mignet import report
from mignet.checks.peers.endpoint import Side
from mignet.fleet import survey
from mignet.report.collect import Sighting
from mignet.report.rendering import page as pages

if TYPE_CHECKING:
    from config.files.project_files import Project
    from mignet.watch.fleet import Fleet, Watching

UNSEEN = (
    "a watch looks with the eyes of drift and verify only: paths between clusters, limits, drains and what preflight"
    " finds are in the page that mignet report writes"
)


def sightings(fleet: Fleet) -> list[Sighting]:
    """Return what is known of each stack, and of those whose cluster is lost, that."""
    return [_sighting(one) for one in fleet.stacks.values()]


def render(project: Project, found: list[Sighting], *, site: str | None = None) -> str:
    """Write the page. It takes a while for a fleet of hundreds."""
    names = [each.name for each in found]
    files, _ = report.files_of(project, names)
    made = report.assemble(project, names, files, found, asked=True)
    return pages.render(made, site=site)


def _sighting(one: Watching) -> Sighting:
    if one.lost is not None:
        finding = survey.trouble(one.stack, one.lost)
        return Sighting(one.stack, side=Side(one.stack, one.lost.kept()), findings=(finding,))
    left_out = (*one.drift.left_out, *one.verify.left_out)
    return Sighting(
        one.stack,
        side=Side(one.stack),
        findings=(*one.drift.findings, *one.verify.findings),
        left_out=(*(Remark(one.stack.name, each) for each in left_out), Remark("", UNSEEN)),
        not_judged=one.drift.not_judged + one.verify.not_judged,
    )
