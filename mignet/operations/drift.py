"""Drift: what differs on the clusters from what the stacks declare, in our eyes and in Pulumi's. Changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from config.finding import ConfigError, Finding, sentences, waived
from mignet.checks.drift_rules import CODES, RULES, Seen, reads
from mignet.engines import direct_engine
from mignet.fleet.history import Book
from mignet.fleet.survey import dark, unseen
from mignet.kube.client import ClusterError
from mignet.kube.diff import Report
from mignet.kube.snapshot import judge, look
from mignet.kube.source import opened
from mignet.operations.apply import Engine, declared
from mignet.operations.versus_pulumi import apart
from mignet.program.guards import GuardError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.engines.evaluation import Declaration
    from mignet.fleet.concurrency import Ended
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster
    from mignet.kube.diff import PulumiView


async def drift(project: Project, stacks: Sequence[Stack], engine: Engine, course: Course) -> list[Report]:
    """Look at every stack's cluster, and with the Pulumi engine through Pulumi's eyes, too.

    A cluster that cannot be looked at is an error in its report, and stops no other.
    """

    async def one(stack: Stack) -> Report:
        try:
            async with opened(stack.cluster, base=project.directory) as cluster:
                return await look_at(project, stack, cluster)
        except ClusterError as error:
            return _dark(stack, error)

    work = {stack.name: partial(one, stack) for stack in stacks}
    ends = await course.through(work, error=lambda report: report.error, last=engine == "direct")
    ours = [ended.result or _without_end(name, ended) for name, ended in ends.items()]
    if engine == "direct":
        await Book(project, "drift", engine, course.tell, course.run).look(ours)
        return ours
    from mignet.engines import pulumi_engine

    reached = [stack for stack, report in zip(stacks, ours, strict=True) if not report.error]
    views = await pulumi_engine.views(project, reached, course)
    both = [_side_by_side(report, views.get(report.stack)) for report in ours]
    await Book(project, "drift", engine, course.tell, course.run).look(both)
    return both


async def look_at(project: Project, stack: Stack, cluster: Cluster) -> Report:
    """Look at one stack's cluster. What keeps it from being looked at is an error in its report, and findings."""
    report = _report(stack)
    try:
        return await _look_at(stack, asyncio.ensure_future(declared(project, stack)), cluster, report)
    except ClusterError as error:
        return _dark(stack, error)
    except ConfigError as error:
        return replace(report, error=sentences(stack.name, error.findings), findings=error.findings)
    except GuardError as error:
        if isinstance(cause := error.__cause__, ClusterError) and cause.reason == "not-gathered":
            return _dark(stack, cause)
        unfit = (Finding("cluster", None, each, "", code="cluster-unfit", stack=stack.name) for each in error.sentences)
        return replace(report, error=str(error), findings=tuple(unfit))


def _dark(stack: Stack, error: ClusterError) -> Report:
    """Return the report of a cluster that could not be looked at."""
    judged = dark(stack, error, codes={"changes", *CODES})
    report = replace(_report(stack), findings=judged.findings, left_out=tuple(judged.sentences()))
    return replace(report, not_judged=judged.not_judged, error=str(error) if judged.findings else None)


def _report(stack: Stack) -> Report:
    return Report(stack.name, "drift", "direct", warnings=tuple(each.sentence for each in stack.findings))


def _without_end(name: str, ended: Ended[Report]) -> Report:
    return Report(name, "drift", "direct", error=ended.why, findings=(unseen(name, ended),))


async def _look_at(stack: Stack, declaring: asyncio.Future[Declaration], cluster: Cluster, report: Report) -> Report:
    snapshot, steps = await asyncio.gather(
        look(cluster, stack, reads(stack)),
        direct_engine.plan(stack, declaring, cluster, only_look=True),
        return_exceptions=True,
    )
    # Of a dead cluster both speak, and the look says why.
    if isinstance(snapshot, BaseException):
        raise snapshot
    if isinstance(steps, BaseException):
        raise steps
    changes = tuple(step.change for step in steps)
    judged = judge(RULES, Seen(snapshot, changes))
    return replace(
        report,
        changes=changes,
        outputs=declaring.result().outputs,
        findings=tuple(waived(stack.name, judged.findings, stack.waivers)),
        left_out=tuple(judged.sentences()),
        not_judged=judged.not_judged,
        undecided=judged.undecided,
    )


def _side_by_side(report: Report, view: PulumiView | None) -> Report:
    report = replace(report, engine="pulumi", pulumi=view)
    if view is None:
        return report
    # That Pulumi stops at what we found is part of the answer; that it stops at anything else leaves it open.
    error = view.error if not report.drifted else None
    return replace(report, apart=tuple(apart(report, view)), error=error)
