"""Run a verb on one stack or on many, with either engine: stacks in, reports out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, Protocol

from config.files.fleet_files import read_fleet
from config.finding import ConfigError, Finding, Remark, few, folded, is_not, sentences
from mignet.engines import direct_engine
from mignet.fleet import survey
from mignet.fleet.concurrency import CTRL_C, StoppedError
from mignet.fleet.progress import TELL_SECONDS
from mignet.kube import lease, source
from mignet.kube.client import Cluster, ClusterError, ConflictError
from mignet.kube.diff import ObjectChange, Report
from mignet.kube.kinds import HYPERCONVERGED_V1, NETWORK_ATTACHMENT, NODE_POLICY
from mignet.kube.network.nmstate import UplinkError
from mignet.kube.network.uplink_changes import effects
from mignet.operations.apply.consequences import consequences, migrations_ended, restarts
from mignet.operations.apply.in_the_way import in_the_way
from mignet.operations.apply.recorded import recorded
from mignet.operations.apply.shown_plan import not_applied
from mignet.program.guards import GuardError, stale_handlers, switch, will_be_written_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.engines.evaluation import Declaration
    from mignet.fleet.concurrency import Ended
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course
    from mignet.kube.kinds import Object
    from mignet.kube.snapshot import Judged

WAIT_FOR_MIGRATIONS = 600.0
"""Seconds that a change which restarts virt-handlers waits for migrations to end, where nobody says otherwise."""
Verb = Literal["preview", "up", "destroy"]
Engine = Literal["pulumi", "direct"]


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
    raise ConfigError([Finding("--engine", wanted, "is not on PATH", remedy, code="engine-missing", stack="mignet")])


def check_fleet(project: Project, stacks: Sequence[Stack]) -> list[str]:
    """Hold the stacks against all others of the project; return what else to say, in lines.

    Raises ConfigError when a rule between stacks forbids to apply one of them.
    """
    files = read_fleet(project, known=stacks)
    blocking = files.blocking(stack.name for stack in stacks)
    if blocking:
        raise ConfigError(blocking)
    return [files.left_out] if files.left_out else []


async def preflight(project: Project, stacks: Sequence[Stack], course: Course, *, last: bool = True) -> Checked:
    """Look whether the stacks' clusters are fit for them, all side by side; nothing is changed."""
    # All the rules of preflight and verify: a preview has no need of them.
    from mignet.checks.preflight import RULES
    from mignet.checks.preflight import preflight as fitness
    from mignet.operations import roles

    identities: dict[str, str] = {}
    unknown: dict[str, ClusterError] = {}

    async def look(stack: Stack, cluster: Cluster) -> Judged:
        judged = await fitness(stack, cluster, needed=roles.to_observe(stack))
        try:
            identities[stack.name] = await cluster.identity()
        except ClusterError as error:
            unknown[stack.name] = error
        return judged

    seen = await survey.look_at(project, stacks, look, course, last=last)
    return replace(_apart(seen, stacks, identities, unknown), rules=len(RULES))


def _apart(
    checked: Checked, stacks: Sequence[Stack], identities: Mapping[str, str], unknown: Mapping[str, ClusterError]
) -> Checked:
    """Return what preflight found, and the stacks whose contexts lead to one cluster, as far as that can be told."""
    untold = {name: error for name, error in unknown.items() if len(stacks) > 1}
    return replace(
        checked,
        findings=(*checked.findings, *survey.one_cluster(stacks, lambda stack: identities.get(stack.name))),
        left_out=(
            *checked.left_out,
            *(Remark(name, f"not judged: cluster-shared, as {untold[name]}") for name in untold),
        ),
        not_judged=Counter(checked.not_judged) + Counter(untold.keys()),
    )


def refused(
    checked: Checked, stacks: Sequence[Stack], verb: Verb, engine: Engine, *, allow_not_judged: bool
) -> list[Report]:
    """Return a report for each stack that preflight found an error in, or could not judge: nothing is done there."""
    reports = []
    for stack in stacks:
        blocking = tuple(each for each in checked.findings if each.stack == stack.name and each.blocks)
        lines = [each.sentence for each in folded(blocking)]
        if not lines and not allow_not_judged and (count := checked.not_judged.get(stack.name)):
            lines.append(
                f"{count} rule{'s' if count > 1 else ''} of preflight could not be judged, so that nobody"
                " knows whether the cluster is fit. Give this user what mignet export role apply writes, or accept it"
                " with --allow-not-judged"
            )
        if lines:
            report = _report(stack, verb, error="\n".join(lines))
            reports.append(replace(report, engine=engine, findings=blocking))
    return reports


def declare(project: Project, stack: Stack) -> Declaration:
    """Evaluate the program for one stack. Raises ConfigError when the program refuses."""
    # Pulumi takes a fifth of a start, and clusters are read meanwhile.
    from mignet.engines.evaluation import ProgramError

    path, values = (
        project.directory / "__main__.py",
        json.dumps(stack.values or project.stack_values(stack.name), default=str),
    )
    try:
        return _evaluated(path, path.stat().st_mtime_ns if path.exists() else 0, project.name, stack.name, values)
    except ProgramError as error:
        raise ConfigError([_refusing(stack, str(error))]) from error


def _refusing(stack: Stack, why: str) -> Finding:
    return Finding("__main__.py", None, why, "Fix the program", code="program", stack=stack.name)


@lru_cache(maxsize=1024)
def _evaluated(program: Path, _written: int, project: str, stack: str, values: str) -> Declaration:
    """Evaluate the program once for all phases of a run: it declares the same as long as its config is the same."""
    from mignet.engines.evaluation import evaluate

    return evaluate(program, project, stack, json.loads(values))


async def declared(project: Project, stack: Stack) -> Declaration:
    """Return what the program declares, evaluated beside the requests that are under way. Raises as `declare` does."""
    if held := source.declaration(stack.name):
        from mignet.engines.evaluation import Declaration

        if "refused" in held:
            raise ConfigError([_refusing(stack, str(held["refused"]))])
        return Declaration.kept(held)
    # In one thread of its own: Pulumi keeps one stack at a time, and would pump this loop while it waits.
    return await asyncio.get_running_loop().run_in_executor(_EVALUATOR, declare, project, stack)


async def manifests(project: Project, stack: Stack) -> tuple[Object, ...]:
    """Return the objects that the program declares. Raises as `declare` does."""
    return tuple(each.manifest for each in (await declared(project, stack)).objects)


_EVALUATOR = ThreadPoolExecutor(max_workers=1, thread_name_prefix="program")


class Act(Protocol):
    """What carries a plan out on some of its stacks."""

    async def __call__(self, stacks: Sequence[Stack], *, last: bool) -> dict[str, Report]:
        """Return a report for each stack, by name; `last` as for a phase of a course."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a verb would do to each stack, by name, and what does it."""

    reports: dict[str, Report]
    act: Act


async def plan(
    project: Project,
    stacks: Sequence[Stack],
    verb: Verb,
    engine: Engine,
    course: Course,
    *,
    asked: bool,
    force: bool = False,
    wait_for_migrations: float = WAIT_FOR_MIGRATIONS,
    known_as: str | None = None,
) -> Plan:
    """Plan a verb on all stacks, side by side. One stack's failure is an error in its report, and stops no other.

    With the Pulumi engine, Pulumi itself is asked when somebody is `asked` who will look at it. What they have agreed
    to is all that is carried out: a stack whose plan is another one by then is left as it is. With `force`, what is in
    the way of a destroy is only warned of. A change that restarts virt-handlers waits until no migration runs, for at
    most `wait_for_migrations` seconds, after which it is an error; not with `force`. The history has what is carried
    out as `known_as`, else as the verb.
    """
    foresee = partial(_planned, project, verb=verb, force=force)
    quiet: Quiet = partial(_quiet, project, course, seconds=None if force or verb != "up" else wait_for_migrations)
    if engine == "direct":
        last = verb == "preview"
        made = await _direct(project, stacks, verb, course, last=last, asked=asked, foresee=foresee, quiet=quiet)
    else:
        made = await _with_pulumi(project, stacks, verb, course, asked=asked, foresee=foresee, quiet=quiet)
    return recorded(made, project, known_as or verb, engine, course)


async def _quiet(
    project: Project, course: Course, stack: Stack, report: Report, *, seconds: float | None
) -> str | None:
    """Wait until nothing runs that the changes would fail; return why they are not to be made."""
    if seconds is None or not restarts(report.changes):
        return None
    told: dict[str, tuple[float, float]] = {}

    def tell(names: list[str]) -> None:
        count = f"{len(names)} migration{'' if len(names) == 1 else 's'}"
        wait = direct_engine.Wait(f"{count} to end ({few(names)})", seconds, "nothing is changed")
        _tell_waiting(course, stack, wait, told)
        if course.stop.reason == CTRL_C:
            msg = f"stopped by {CTRL_C}: nothing was changed"
            raise StoppedError(msg)

    try:
        async with Cluster(stack.cluster, base=project.directory) as cluster:
            return await migrations_ended(cluster, seconds=seconds, told=tell)
    except ClusterError as error:
        return str(error)


async def _direct(
    project: Project,
    stacks: Sequence[Stack],
    verb: Verb,
    course: Course,
    *,
    last: bool,
    asked: bool,
    foresee: Foresee,
    quiet: Quiet,
) -> Plan:
    first: dict[str, list[direct_engine.Step]] = {}

    async def planned(stack: Stack) -> Report:
        report, first[stack.name] = await foresee(stack)
        return report

    async def carried_out(stack: Stack) -> Report:
        report = reports[stack.name]
        act = direct_engine.carry_out_removal if verb == "destroy" else direct_engine.carry_out
        if in_flight := await quiet(stack, report):
            return replace(report, error=in_flight)
        try:
            async with (
                Cluster(stack.cluster, base=project.directory) as cluster,
                lease.held(stack, cluster) if report.changed else contextlib.nullcontext() as hold,
            ):
                steps = first[stack.name]
                if hold:
                    # Only who holds the lease knows that the plan is about what is there.
                    report, steps = await _planned_again(stack, report, foresee, asked=asked)
                if report.error:
                    return report

                told: dict[str, tuple[float, float]] = {}

                def between(done: int, waits_for: direct_engine.Wait | None = None) -> None:
                    if hold:
                        hold.still_ours()
                    if waits_for:
                        _tell_waiting(course, stack, waits_for, told)
                    if course.stop.reason == CTRL_C:
                        count = f"{done} of {len(steps)} objects done"
                        if waits_for and waits_for.goes_on:
                            count += f", and {waits_for.goes_on} by themselves"
                        msg = f"stopped by {CTRL_C} at a safe point: {count}; run again for the rest"
                        raise StoppedError(msg)

                left = await act(stack, steps, cluster, between=between)
        except (ClusterError, ConflictError, UplinkError, direct_engine.ReadBackError, lease.HeldError) as error:
            return replace(_failed(stack, verb, error), changes=report.changes)
        return replace(report, warnings=(*report.warnings, *left))

    async def act(stacks: Sequence[Stack], *, last: bool) -> dict[str, Report]:
        work = {stack.name: partial(carried_out, stack) for stack in stacks}
        ends = await course.through(work, error=_error, changing=True, last=last)
        return {stack.name: ended_as(stack, verb, ends[stack.name], reports[stack.name]) for stack in stacks}

    work = {stack.name: partial(planned, stack) for stack in stacks}
    ends = await course.through(work, error=_error, last=last)
    reports = {stack.name: ended_as(stack, verb, ends[stack.name]) for stack in stacks}
    return Plan(reports, act)


def _tell_waiting(course: Course, stack: Stack, wait: direct_engine.Wait, told: dict[str, tuple[float, float]]) -> None:
    """Say what is waited for, since when and how long at most; `told` has when each wait began, and was told of."""
    now = time.monotonic()
    which = wait.goes_on or wait.after
    begun, last = told.get(which, (now, now - TELL_SECONDS))
    if now - last >= TELL_SECONDS:
        bound = f"of at most {wait.seconds:.0f} s, after which {wait.after}"
        course.say(stack.name, f"waiting for {wait.words} ({now - begun:.0f} s {bound})")
        told[which] = (begun, now)


async def _planned(
    project: Project, stack: Stack, *, verb: Verb, force: bool = False
) -> tuple[Report, list[direct_engine.Step]]:
    foresee = direct_engine.plan_removal if verb == "destroy" else direct_engine.plan
    try:
        async with Cluster(stack.cluster, base=project.directory) as cluster:
            declaring = asyncio.ensure_future(declared(project, stack))
            steps = await foresee(stack, declaring, cluster)
            obstacles = await in_the_way(stack, cluster) if verb == "destroy" and steps else []
            means = await consequences(stack, (step.change for step in steps), cluster)
    except (ConfigError, GuardError, ClusterError, ConflictError) as error:
        return _failed(stack, verb, error), []
    outputs = {} if verb == "destroy" else declaring.result().outputs
    report = _report(stack, verb, tuple(step.change for step in steps), outputs=outputs)
    report = replace(report, means=means)
    if obstacles and not force:
        return replace(report, error="\n".join(f"{each}, or use --force" for each in obstacles)), []
    if verb == "destroy":
        return replace(report, warnings=(*report.warnings, *obstacles)), steps
    back = will_be_written_back(stack, (step.live for step in steps))
    return replace(report, warnings=(*report.warnings, *_switch(stack, report.changes), *back)), steps


Quiet = Callable[["Stack", "Report"], Awaitable[str | None]]
"""Waits for migrations that a stack's changes would fail; says why the changes are not to be made."""
Foresee = Callable[["Stack"], Awaitable["tuple[Report, list[direct_engine.Step]]"]]
"""Plans a stack: what would be done, and its steps."""


async def _planned_again(
    stack: Stack, shown: Report, foresee: Foresee, *, asked: bool
) -> tuple[Report, list[direct_engine.Step]]:
    """Plan a stack once more, before anything is done.

    Another plan is an error where somebody was `asked`, and where there was nothing to do, so that nobody holds it.
    """
    report, steps = await foresee(stack)
    changed = not_applied(shown.changes, report.changes) if asked or not shown.changed else None
    return replace(report, engine=shown.engine, error=report.error or changed), steps


async def _with_pulumi(
    project: Project,
    stacks: Sequence[Stack],
    verb: Verb,
    course: Course,
    *,
    asked: bool,
    foresee: Foresee,
    quiet: Quiet,
) -> Plan:
    """Plan a verb through Pulumi. What the reports say of fields, and the reading back, are dry runs of ours."""
    from mignet.engines import pulumi_engine

    dry = await _direct(project, stacks, verb, course, last=False, asked=asked, foresee=foresee, quiet=quiet)
    reports = {name: replace(report, engine="pulumi") for name, report in dry.reports.items()}

    async def read_back(stack: Stack, report: Report) -> Report:
        left, _ = await _planned(project, stack, verb="preview")
        return _held(report, left)

    async def first(stack: Stack, report: Report) -> Report:
        if in_flight := await quiet(stack, report):
            return replace(report, error=in_flight)
        again, _ = await _planned_again(stack, dry.reports[stack.name], foresee, asked=asked)
        if not again.error and verb == "up":
            again = replace(again, error=await _shortened(project, stack, again))
        if asked and not again.error:
            # What Pulumi said of it is what was shown.
            return report
        return replace(again, engine="pulumi")

    async def act(stacks: Sequence[Stack], *, last: bool) -> dict[str, Report]:
        return await pulumi_engine.act(
            project, stacks, verb, reports, course, first=first, read_back=read_back, last=last
        )

    if verb == "preview" or asked:
        sound = [stack for stack in stacks if not reports[stack.name].error]
        reports |= await pulumi_engine.preview(project, sound, verb, reports, course, last=verb == "preview")
    return Plan(reports, act)


async def _shortened(project: Project, stack: Stack, report: Report) -> str | None:
    """Take away what somebody appended to lists of the stack's; return an error when that failed.

    Pulumi compares no more items of a list than are declared, and leaves the others. Its own run comes after, so that
    it sees the objects as they are then.
    """
    if not any(each.extended for change in report.changes for each in change.fields):
        return None
    left, steps = await _planned(project, stack, verb="preview")
    if left.error:
        return left.error
    longer = [step for step in steps if any(each.extended for each in step.change.fields)]
    try:
        async with Cluster(stack.cluster, base=project.directory) as cluster:
            await direct_engine.carry_out(stack, longer, cluster, between=lambda *_: None)
    except (ClusterError, ConflictError, UplinkError, direct_engine.ReadBackError) as error:
        return sentences_of(stack, error)
    return None


def _error(report: Report) -> str | None:
    return report.error


def ended_as(stack: Stack, verb: Verb, ended: Ended[Report], planned: Report | None = None) -> Report:
    """Return the report of a stack's work, or one that says why it came to no end."""
    return ended.result or _report(stack, verb, planned.changes if planned else (), error=ended.why)


def _held(report: Report, left: Report) -> Report:
    """Return the report of an `up`, as a failure when a look at the cluster afterwards finds something left to do."""
    lost = [
        f"{change.kind} {change.name} {each.path} {is_not(each.old, each.new)}"
        for change in left.changes
        for each in change.fields
    ]
    reason = left.error or (f"the API server holds something else: {'; '.join(lost)}" if lost else None)
    return replace(report, error=f"was applied, but {reason}", applied=bool(lost)) if reason else report


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
        warnings=(
            *(each.sentence for each in stack.findings),
            *_stale_handlers(stack, changes),
            *_on_uplink(stack, changes),
        ),
        outputs=outputs or {},
        error=error,
    )


def _failed(stack: Stack, verb: Verb, error: Exception) -> Report:
    found = (survey.trouble(stack, error),) if isinstance(error, ClusterError) else ()
    applied = isinstance(error, direct_engine.ReadBackError)
    return replace(_report(stack, verb, error=sentences_of(stack, error)), findings=found, applied=applied)


def _stale_handlers(stack: Stack, changes: Iterable[ObjectChange]) -> Iterator[str]:
    for change in changes:
        if change.operation == "update" and change.name == stack.network:
            yield from stale_handlers(stack, change.fields)


def _switch(stack: Stack, changes: Iterable[ObjectChange]) -> Iterator[str]:
    for change in changes:
        for each in change.fields:
            if change.kind == HYPERCONVERGED_V1.kind and each.path.endswith(".network"):
                yield from switch(stack, each.old)


def _on_uplink(stack: Stack, changes: Iterable[ObjectChange]) -> Iterator[str]:
    """Say what a change of a policy does to what stands on it; where the attachment goes as well, nothing does.

    Nor does anything stand on a policy that goes when the pods have moved to an attachment of another name.
    """
    changes = list(changes)
    of_attachments = {(each.operation, each.name) for each in changes if each.kind == NETWORK_ATTACHMENT.kind}
    if ("delete", stack.network) in of_attachments:
        return
    moves = ("create", stack.network) in of_attachments and any(done == "delete" for done, _ in of_attachments)
    for change in changes:
        if change.operation == "delete" and moves:
            continue
        if change.kind == NODE_POLICY.kind and change.operation in {"update", "delete"}:
            yield from effects(stack, change.name, change.fields, removed=change.operation == "delete")


def sentences_of(stack: Stack, error: Exception) -> str:
    """Return what an error says of a stack."""
    return sentences(stack.name, error.findings) if isinstance(error, ConfigError) else str(error)
