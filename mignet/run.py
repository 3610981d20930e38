"""Run a verb on one stack or on many, with either engine: stacks in, reports out."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Literal

from config.findings import ConfigError, Finding
from config.fleet_files import read_fleet
from config.stack import Stack, load_stack
from mignet.changes import ObjectChange, Report
from mignet.cluster import Cluster, ClusterError, ConflictError
from mignet.engines import direct_engine
from mignet.engines.evaluation import Declaration, evaluate
from mignet.guards import GuardError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from config.project_files import Project

Verb = Literal["preview", "up", "drift", "destroy"]
Engine = Literal["pulumi", "direct"]

PARALLEL = 16
"""Clusters that the direct engine works on at a time."""


def choose_engine(wanted: str) -> tuple[Engine, str | None]:
    """Return the engine for `auto`, `pulumi` or `direct`, and a line to say when auto had no choice.

    Raises ConfigError when Pulumi is wanted and not there.
    """
    if wanted == "direct":
        return "direct", None
    if shutil.which("pulumi"):
        return "pulumi", None
    if wanted == "auto":
        return "direct", "the Pulumi CLI is not on PATH: using the direct engine (same program, no Pulumi state)"
    remedy = "Install it (https://www.pulumi.com/docs/install/), or use --engine direct"
    raise ConfigError([Finding("error", "engine-missing", "mignet", "--engine", wanted, "is not on PATH", remedy)])


def load(project: Project, names: Sequence[str]) -> list[Stack]:
    """Read the named stacks. Raises ConfigError with every mistake in all of them."""
    findings: list[Finding] = []
    stacks = []
    for name in names:
        try:
            stacks.append(load_stack(name, project.stack_values(name)))
        except ConfigError as error:
            findings.extend(error.findings)
    if findings:
        raise ConfigError(findings)
    return stacks


def check_fleet(project: Project, stacks: Sequence[Stack]) -> list[str]:
    """Hold the stacks against all others of the project; return what else to say, in lines.

    Raises ConfigError when a rule between stacks forbids to apply one of them.
    """
    files = read_fleet(project, known=stacks)
    blocking = files.blocking(stack.name for stack in stacks)
    if blocking:
        raise ConfigError(blocking)
    return [files.left_out] if files.left_out else []


def declare(project: Project, stack: Stack) -> Declaration:
    """Evaluate the program for one stack."""
    return evaluate(project, stack.name, project.stack_values(stack.name))


async def direct(
    project: Project, stacks: Sequence[Stack], verb: Verb, *, confirm: Callable[[list[Report]], bool]
) -> list[Report]:
    """Run a verb with the direct engine, all stacks side by side. One stack's failure does not stop the others.

    `confirm` sees the reports of what would change, and says whether `up` and `destroy` go on.
    """
    declarations = {stack.name: declare(project, stack) for stack in stacks}
    limit = asyncio.Semaphore(PARALLEL)

    async def planned(stack: Stack) -> tuple[Report, list[direct_engine.Step]]:
        plan = direct_engine.plan_removal if verb == "destroy" else direct_engine.plan
        try:
            async with limit, Cluster(stack.cluster, base=project.directory) as cluster:
                steps = await plan(stack, declarations[stack.name], cluster)
        except (GuardError, ClusterError, ConflictError) as error:
            return _report(stack, verb, error=_sentences(stack, error)), []
        outputs = {} if verb == "destroy" else declarations[stack.name].outputs
        return _report(stack, verb, tuple(step.change for step in steps), outputs=outputs), steps

    async def carried_out(stack: Stack, report: Report, steps: list[direct_engine.Step]) -> Report:
        if report.error:
            return report
        act = direct_engine.carry_out_removal if verb == "destroy" else direct_engine.carry_out
        try:
            async with limit, Cluster(stack.cluster, base=project.directory) as cluster:
                await act(steps, cluster)
        except (ClusterError, ConflictError, direct_engine.ReadBackError) as error:
            return _report(stack, verb, report.changes, error=_sentences(stack, error))
        return report

    plans = await asyncio.gather(*(planned(stack) for stack in stacks))
    reports = [report for report, _ in plans]
    if verb in {"preview", "drift"} or not confirm(reports):
        return reports
    return list(
        await asyncio.gather(
            *(carried_out(stack, report, steps) for stack, (report, steps) in zip(stacks, plans, strict=True))
        )
    )


def _report(
    stack: Stack,
    verb: Verb,
    changes: tuple[ObjectChange, ...] = (),
    *,
    outputs: Mapping[str, object] | None = None,
    error: str | None = None,
) -> Report:
    return Report(
        stack=stack.name,
        verb=verb,
        engine="direct",
        changes=changes,
        warnings=tuple(str(finding) for finding in stack.findings),
        outputs=outputs or {},
        error=error,
    )


def _sentences(stack: Stack, error: Exception) -> str:
    return str(error) if isinstance(error, GuardError) else f"{stack.name}: {error}"
