"""Run a verb on one stack or on many, with either engine: stacks in, reports out."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from config.findings import ConfigError, Finding
from config.fleet_files import read_fleet
from config.stack import Stack, load_stack
from mignet import looks, roles
from mignet.changes import ObjectChange, Report
from mignet.cluster import Cluster, ClusterError, ConflictError
from mignet.engines import direct_engine
from mignet.engines.evaluation import Declaration, ProgramError, evaluate
from mignet.guards import GuardError, stale_handlers
from mignet.preflight import preflight as fitness
from mignet.uplinks import UplinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from config.project_files import Project
    from mignet.checked import Checked

Verb = Literal["preview", "up", "destroy"]
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


async def preflight(project: Project, stacks: Sequence[Stack]) -> Checked:
    """Look whether the stacks' clusters are fit for them, all side by side; nothing is changed."""
    return await looks.look_at(
        project, stacks, lambda stack, cluster: fitness(stack, cluster, needed=roles.to_observe(stack))
    )


def refused(checked: Checked, stacks: Sequence[Stack], verb: Verb, engine: Engine) -> list[Report]:
    """Return a report for each stack that preflight found an error in: nothing is done for these."""
    found = {stack.name: [each for each in checked.findings if each.stack == stack.name] for stack in stacks}
    return [
        replace(
            _report(stack, verb, error="\n".join(str(each) for each in found[stack.name] if each.blocks)), engine=engine
        )
        for stack in stacks
        if any(each.blocks for each in found[stack.name])
    ]


def declare(project: Project, stack: Stack) -> Declaration:
    """Evaluate the program for one stack. Raises ConfigError when the program refuses."""
    try:
        return evaluate(project, stack.name, project.stack_values(stack.name))
    except ProgramError as error:
        mistake = Finding("error", "program", stack.name, "__main__.py", None, str(error), "Mend the program")
        raise ConfigError([mistake]) from error


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
            return _report(stack, verb, error=sentences(stack, error)), []
        outputs = {} if verb == "destroy" else declarations[stack.name].outputs
        return _report(stack, verb, tuple(step.change for step in steps), outputs=outputs), steps

    async def carried_out(stack: Stack, report: Report, steps: list[direct_engine.Step]) -> Report:
        if report.error:
            return report
        act = direct_engine.carry_out_removal if verb == "destroy" else direct_engine.carry_out
        try:
            async with limit, Cluster(stack.cluster, base=project.directory) as cluster:
                left = await act(stack, steps, cluster)
        except (ClusterError, ConflictError, UplinkError, direct_engine.ReadBackError) as error:
            return _report(stack, verb, report.changes, error=sentences(stack, error))
        return replace(report, warnings=(*report.warnings, *(f"{stack.name}: {line}" for line in left)))

    plans = await asyncio.gather(*(planned(stack) for stack in stacks))
    reports = [report for report, _ in plans]
    if verb == "preview" or not confirm(reports):
        return reports
    return list(
        await asyncio.gather(
            *(carried_out(stack, report, steps) for stack, (report, steps) in zip(stacks, plans, strict=True))
        )
    )


def with_pulumi(
    project: Project, stacks: Sequence[Stack], verb: Verb, *, confirm: Callable[[list[Report]], bool] | None
) -> list[Report]:
    """Run a verb through Pulumi. What the reports say of fields, and the reading back, are dry runs of ours.

    `confirm` as for `direct`; None stands for a yes that was given already.
    """
    from mignet.engines import pulumi_engine

    def dry_run(wanted: Verb) -> list[Report]:
        return asyncio.run(direct(project, stacks, wanted, confirm=lambda _: False))

    def read_back(reports: list[Report]) -> list[Report]:
        left = {plan.stack: plan for plan in dry_run("preview")}
        return [report if report.error else _held(report, left[report.stack]) for report in reports]

    return pulumi_engine.run(project, stacks, verb, dry_run(verb), confirm=confirm, read_back=read_back)


def _held(report: Report, left: Report) -> Report:
    """Return the report of an `up`, as a failure when a look at the cluster afterwards finds something left to do."""
    lost = [
        f"{change.kind} {change.name} {each.path} is {each.old}, not {each.new}"
        for change in left.changes
        for each in change.fields
    ]
    reason = left.error or (f"the API server holds something else: {'; '.join(lost)}" if lost else None)
    return replace(report, error=f"{report.stack}: was applied, but {reason}") if reason else report


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
        warnings=(*map(str, stack.findings), *_stale_handlers(stack, changes)),
        outputs=outputs or {},
        error=error,
    )


def _stale_handlers(stack: Stack, changes: Iterable[ObjectChange]) -> Iterator[str]:
    for change in changes:
        if change.operation == "update" and change.name == stack.network:
            yield from stale_handlers(stack, change.fields)


def sentences(stack: Stack, error: Exception) -> str:
    """Return what an error says, the stack before each line of it."""
    if isinstance(error, GuardError):
        return str(error)
    return "\n".join(f"{stack.name}: {line}" for line in str(error).splitlines())
