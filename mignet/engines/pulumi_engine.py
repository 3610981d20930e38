"""The Pulumi engine: the same verbs through Pulumi's Automation API, and the same report values.

What happens to an object is Pulumi's word (its engine events). Old values, new values and owners of the fields are the
API server's (a dry run of ours), because Pulumi asks nobody at the first preview of an object.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from pulumi import automation

from config.files.file_text import read_text
from config.types.json_text import parse_json
from mignet.engines import state_folder
from mignet.engines.inline_stack import REFUSED, InlineStack
from mignet.engines.temporary_folder import temporary_folder
from mignet.fleet.concurrency import CTRL_C, StoppedError
from mignet.fleet.history import Entry
from mignet.fleet.progress import TELL_SECONDS
from mignet.fleet.survey import trouble
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.diff import FieldChange, ObjectChange, Operation, PulumiView, Report, differences
from mignet.kube.kinds import HYPERCONVERGED_V1
from mignet.kube.kubeconfig import PULUMI_ENVIRONMENT, KubeconfigError, path_of
from mignet.kube.lease import HeldError, gone, held
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.run_context import Course

MEMORY_BYTES = 250 * 2**20
"""What a run of Pulumi on one stack takes, its plugins included."""
HISTORY_SECONDS = 20.0
"""How long Pulumi may take to list a stack's updates."""
UPDATES = 100
"""The most of them that are asked for."""
GRACE_SECONDS = 10.0
"""What Pulumi has to end in order, before it is told again."""
HASTE_SECONDS = 1.0
"""The same when nothing is waited for any more."""
_FREE = "pulumi cancel frees it"
_CANCELLED = re.compile(r"cancel|interrupt", re.IGNORECASE)

_Events = list[automation.EngineEvent]
_Act = Callable[[automation.Stack, _Events], None]

_OPERATIONS: dict[str, Operation] = {
    "create": "create",
    "create-replacement": "create",
    "update": "update",
    "delete": "delete",
    "delete-replaced": "delete",
    "same": "same",
}


async def preview(
    project: Project, stacks: Sequence[Stack], verb: str, plans: Mapping[str, Report], course: Course, *, last: bool
) -> dict[str, Report]:
    """Ask Pulumi what the verb would do to each stack; `plans` are the dry runs of the same verb, by stack."""
    foresee = _preview_destroy if verb == "destroy" else _preview
    return await _side_by_side(project, stacks, plans, foresee, course, last=last)


async def act(
    project: Project,
    stacks: Sequence[Stack],
    verb: str,
    plans: Mapping[str, Report],
    course: Course,
    *,
    first: Callable[[Stack, Report], Awaitable[Report]],
    read_back: Callable[[Stack, Report], Awaitable[Report]],
    last: bool,
) -> dict[str, Report]:
    """Run `up` or `destroy` on each stack.

    Before an `up`, `first` does what Pulumi would not, and returns an error when it failed; `read_back` looks at the
    cluster after it, and says what it lacks.

    While something is changed, a stack is held on its cluster, too: Pulumi's own lock is no word to the direct engine,
    nor to a run with another state backend.
    """
    work: _Act = partial(_destroy if verb == "destroy" else _up, run=course.run)
    then = None if verb == "destroy" else read_back
    return await _side_by_side(project, stacks, plans, work, course, changing=True, last=last, first=first, then=then)


async def views(project: Project, stacks: Sequence[Stack], course: Course) -> dict[str, PulumiView]:
    """Return what Pulumi itself says of each stack, by name, after it has looked at the cluster; fields are its own."""
    empty = {stack.name: Report(stack.name, "drift", "pulumi") for stack in stacks}
    seen = await _side_by_side(project, stacks, empty, _preview, course)
    return {name: PulumiView(report.changes, report.error) for name, report in seen.items()}


async def _side_by_side(
    project: Project,
    stacks: Sequence[Stack],
    plans: Mapping[str, Report],
    act: _Act,
    course: Course,
    *,
    changing: bool = False,
    last: bool = True,
    first: Callable[[Stack, Report], Awaitable[Report]] | None = None,
    then: Callable[[Stack, Report], Awaitable[Report]] | None = None,
) -> dict[str, Report]:
    at_a_time = course.pace.at_a_time or parallel()

    async def one(stack: Stack) -> Report:
        plan = plans[stack.name]
        try:
            async with _held(project, stack) if changing and plan.changed else contextlib.nullcontext():
                if first is not None:
                    plan = await first(stack, plan)
                if plan.error:
                    return plan
                report = await _in_thread(project, stack, plan, act, course=course, executor=executor)
                return report if report.error or then is None else await then(stack, report)
        except (ClusterError, HeldError) as error:
            found = (trouble(stack, error),) if isinstance(error, ClusterError) else ()
            return replace(plan, error=str(error), findings=found)

    with ThreadPoolExecutor(max_workers=at_a_time) as executor:
        ends = await course.through(
            {stack.name: partial(one, stack) for stack in stacks},
            error=lambda report: report.error,
            at_a_time=at_a_time,
            changing=changing,
            last=last,
        )
    return {name: ended.result or replace(plans[name], error=ended.why) for name, ended in ends.items()}


@contextlib.asynccontextmanager
async def _held(project: Project, stack: Stack) -> AsyncIterator[None]:
    async with Cluster(stack.cluster, base=project.directory) as cluster, held(stack, cluster):
        yield


async def _in_thread(
    project: Project, stack: Stack, plan: Report, act: _Act, *, course: Course, executor: ThreadPoolExecutor
) -> Report:
    """Let Pulumi work on a stack. When its time is over, it is interrupted, and ends in order as far as it can."""
    work = partial(_run_one, project, stack, plan, act)
    running = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        begun = time.monotonic()
        while not (await asyncio.wait([running], timeout=TELL_SECONDS))[0]:
            course.say(stack.name, f"Pulumi is at work since {time.monotonic() - begun:.0f} s")
        report = running.result()
    except asyncio.CancelledError:
        if not await _interrupted(stack, running, at_once=course.stop.broken_off):
            msg = f"was out of time, and Pulumi had to be killed; its lock may stay: {_FREE}"
        else:
            msg = "was out of time; Pulumi was interrupted, and ended in order"
        if course.stop.reason == CTRL_C:
            raise
        raise TimeoutError(msg) from None
    if report.error and course.stop.reason == CTRL_C and _CANCELLED.search(report.error):
        msg = f"stopped by {CTRL_C}: Pulumi ended in order; run again for the rest"
        raise StoppedError(msg)
    return report


async def _interrupted(stack: Stack, running: asyncio.Future[Report], *, at_once: bool) -> bool:
    """Interrupt Pulumi's process on a stack until its work ends; return whether it ended without being killed."""
    begun, told = time.monotonic(), Counter[int]()
    orderly, grace = True, HASTE_SECONDS if at_once else GRACE_SECONDS
    while not running.done():
        waited = time.monotonic() - begun
        for process in _processes(stack.name):
            # The first one lets it end in order, the second one breaks off what it waits for.
            if told[process.pid] <= waited / grace:
                told[process.pid] += 1
                orderly = orderly and told[process.pid] < 3
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGINT if orderly else signal.SIGKILL)
        await asyncio.wait([running], timeout=0.2)
    return orderly


def _processes(stack: str) -> list[psutil.Process]:
    """Return the Pulumi processes on a stack that this one has started."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            line = child.cmdline()
            if "--stack" in line and line[line.index("--stack") + 1 :][:1] == [stack]:
                found.append(child)
    return found


def parallel() -> int:
    """Return how many Pulumi processes to run at a time: one a core, as far as the memory that is free goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, psutil.virtual_memory().available // MEMORY_BYTES))


def _preview(stack: automation.Stack, events: _Events) -> None:
    stack.preview(refresh=True, on_event=events.append)


def _up(stack: automation.Stack, events: _Events, *, run: str) -> None:
    stack.up(refresh=True, on_event=events.append, message=f"mignet up, run {run}")


def _preview_destroy(stack: automation.Stack, events: _Events) -> None:
    stack.preview_destroy(refresh=True, on_event=events.append)


def _destroy(stack: automation.Stack, events: _Events, *, run: str) -> None:
    # Without a refresh, an object that is gone would be created to be given back.
    stack.destroy(refresh=True, on_event=events.append, message=f"mignet destroy, run {run}")


def _run_one(project: Project, stack: Stack, report: Report, act: _Act) -> Report:
    """Let Pulumi act on one stack. The lock of a run that is dead for certain is freed first."""
    with temporary_folder() as folder:
        variables = environment(project, stack) | {"TMPDIR": str(folder)}
        return _run_with(variables, project, stack, report, act)


def _run_with(variables: dict[str, str], project: Project, stack: Stack, report: Report, act: _Act) -> Report:
    events: _Events = []
    if path := state_folder.emptied(os.environ | variables, project.name, stack.name):
        warning = f"removed {path}, which a Pulumi that was killed had left empty"
        report = replace(report, warnings=(*report.warnings, warning))
    try:
        selected = InlineStack(stack.name, project.directory, variables)
        try:
            _acted(selected, events, act)
        except automation.ConcurrentUpdateError as error:
            holder = holder_of(str(error))
            if not (holder and holder.dead):
                free = f"pulumi cancel --stack {stack.name}"
                return replace(report, error=f"another run holds this stack{holder or ''}; if it is dead, run: {free}")
            selected.cancel()
            warning = f"freed the lock of a run that is dead{holder}"
            report = replace(report, warnings=(*report.warnings, warning))
            events.clear()
            _acted(selected, events, act)
    except automation.ConcurrentUpdateError as error:
        message = f"another run holds this stack{holder_of(str(error)) or ''}"
        return replace(report, error=message)
    except automation.CommandError as error:
        told = "\n".join(_imported(events)) or _errors(stack.name, events, error)
        return replace(report, changes=changes(events, report), error=told)
    wrong = "\n".join(_imported(events)) if act in {_preview, _preview_destroy} else ""
    return replace(report, changes=changes(events, report), error=wrong or None)


def _acted(stack: InlineStack, events: _Events, act: _Act) -> None:
    """Let Pulumi act on a stack, which is made where the state backend has none of that name."""
    try:
        act(stack, events)
    except automation.StackNotFoundError:
        stack.workspace.create_stack(stack.name)
        act(stack, events)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a stack's lock in a state backend of files, as Pulumi says it."""

    user: str
    host: str
    pid: int
    since: str
    local: bool
    """Whether the backend is a folder: only processes of machines that share it can hold its locks."""

    @property
    def dead(self) -> bool:
        """Whether it is certain that this process is no more: it was one of this machine, and is gone."""
        return self.local and self.host == socket.gethostname() and gone(self.pid, self.since)

    def __str__(self) -> str:
        return f" ({self.user}@{self.host} (pid {self.pid}), since {self.since})"


async def updates(project: Project, stack: Stack) -> list[Entry]:
    """Return the updates that Pulumi's backend tells of a stack, the latest UPDATES at most, the oldest first.

    Who ran them, Pulumi does not say here. Raises OSError when it does not answer within HISTORY_SECONDS, and
    ValueError when it says why not, or what is no list of updates.
    """
    command = ["pulumi", "stack", "history", "--json", "--non-interactive", "--page-size", str(UPDATES)]
    process = await asyncio.create_subprocess_exec(
        *command, "--stack", stack.name,
        cwd=project.directory,
        env=os.environ | environment(project, stack),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(HISTORY_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        msg = f"Pulumi did not answer within {HISTORY_SECONDS:g} s"
        raise TimeoutError(msg) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        raise ValueError(_plain(said[-1]) if said else "Pulumi failed")
    told = parse_json(out.decode(errors="replace")) if out.strip() else []
    if not isinstance(told, list):
        msg = "Pulumi printed no list of updates"
        raise ValueError(msg)  # noqa: TRY004 (of what it printed, not of our own values)
    return [_update(stack.name, each) for each in reversed(told) if isinstance(each, dict)]


def _update(stack: str, told: Mapping[str, Any]) -> Entry:
    """Return one update of Pulumi's history; nothing of its config is read."""
    around = told.get("environment")
    around = around if isinstance(around, dict) else {}
    counts = told.get("resourceChanges")
    counts = counts if isinstance(counts, dict) else {}
    begun, ended = (str(told.get(key, "")) for key in ("startTime", "endTime"))
    seconds = None
    with contextlib.suppress(ValueError):
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
    dirty = around.get("git.dirty")
    by_mignet = re.fullmatch(r"mignet \w+, run ([0-9a-f]+)", str(told.get("message", "")))
    return Entry(
        begun,
        str(told.get("kind", "")),
        stack,
        {"succeeded": "done", "in-progress": "begun"}.get(str(told.get("result")), str(told.get("result", ""))),
        known="Pulumi",
        engine="pulumi",
        commit=str(around["git.head"]) if "git.head" in around else None,
        dirty=None if dirty is None else dirty == "true",
        said=", ".join(f"{count} {operation}" for operation, count in counts.items()),
        seconds=seconds,
        source="pulumi",
        run=by_mignet[1] if by_mignet else "",
    )


def holder_of(message: str) -> Holder | None:
    """Read who holds a stack's lock from Pulumi's message; None when it does not say.

    Source: Pulumi's backend/diy/lock.go: `created by USER@HOST (pid PID) at TIME`, behind the URL of the lock's file.
    """
    match = re.search(r"created by (.+)@(\S+) \(pid (\d+)\) at (\S+)", message)
    return Holder(match[1], match[2], int(match[3]), match[4], "file://" in message) if match else None


def environment(project: Project, stack: Stack) -> dict[str, str]:
    """Return what Pulumi needs beyond this process's environment: the lab's stacks have a backend of their own.

    It stands in a file beside their kubeconfig.
    """
    kubeconfig = path_of(stack.cluster, project.directory)
    if "PULUMI_BACKEND_URL" in os.environ or kubeconfig is None:
        return {}
    path = kubeconfig.with_name(PULUMI_ENVIRONMENT)
    try:
        found = parse_json(read_text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) and "\0" not in each for each in found.values()):
        msg = f"{path} has no environment variables for Pulumi; make it anew with mignet lab up, or remove it"
        raise KubeconfigError(msg)
    return found


def changes(events: Sequence[automation.EngineEvent], plan: Report) -> tuple[ObjectChange, ...]:
    """Read what happened to each object from Pulumi's events; the fields come from the dry run where it has them."""
    planned = {(each.kind, each.namespace, each.name): each for each in plan.changes}
    found: dict[tuple[str, str, str], ObjectChange] = {}
    for event in events:
        step = event.resource_pre_event.metadata if event.resource_pre_event else None
        if step is None or not step.type.startswith("kubernetes:") or str(step.op.value) not in _OPERATIONS:
            continue
        state = step.new or step.old
        if state is None:
            continue
        manifest: dict[str, Any] = dict(state.inputs or {})
        key = _key(manifest)
        operation = _OPERATIONS[str(step.op.value)]
        if step.type.endswith("Patch"):
            # The object is not ours: taking up some of its fields is no creation, and letting go of them no deletion.
            patched: dict[str, Operation] = {"create": "update", "delete": "relinquish"}
            operation = patched.get(operation, operation)
        plan_ = planned.get(key)
        if plan_ is not None and plan_.operation == "update":
            # What Pulumi creates and stands there, it adopts; and lists that are too long, it does not see.
            adopted = operation == "create"
            operation = "update" if adopted or any(each.extended for each in plan_.fields) else operation
        fields: tuple[FieldChange, ...] = ()
        if operation != "same":
            fields = planned[key].fields if key in planned else ()
            fields = fields or _from_event(step, manifest)
        found[key] = ObjectChange(operation, *key, fields)
    return tuple(found.values())


def _imported(events: Sequence[automation.EngineEvent]) -> Iterator[str]:
    """Say which objects Pulumi would delete that the stack declares, or of which it only has some fields."""
    kept: set[tuple[str, str, str]] = set()
    deleted: list[tuple[tuple[str, str, str], str]] = []
    for event in events:
        step = event.resource_pre_event.metadata if event.resource_pre_event else None
        state = step and (step.new or step.old)
        if step is None or not state or not step.type.startswith("kubernetes:") or step.type.endswith("Patch"):
            continue
        key = _key(dict(state.inputs or {}))
        if step.op.value == "delete":
            deleted.append((key, step.urn))
        elif step.op.value in {"create", "update", "same"}:
            kept.add(key)
    for key, urn in deleted:
        kind, namespace, name = key
        if kind == HYPERCONVERGED_V1.kind or key in kept:
            yield (
                f"Pulumi's state holds {kind} {namespace}/{name} as somebody has imported or renamed it there, and"
                f" would delete it on the cluster; run: pulumi state delete '{urn}' --force --target-dependents"
            )


def _key(manifest: dict[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _from_event(step: Any, manifest: dict[str, Any]) -> tuple[FieldChange, ...]:
    live = dict(step.old.outputs) if step.old else {}
    return tuple(
        change
        for path in step.detailed_diff or ()
        for change in differences(value_at(live, path), value_at(manifest, path), path)
    )


def _errors(stack: str, events: Sequence[automation.EngineEvent], error: automation.CommandError) -> str:
    messages = [
        _plain(event.diagnostic_event.message)
        for event in events
        if event.diagnostic_event and event.diagnostic_event.severity == "error"
    ]
    told = [
        message
        for message in messages
        if message and message != REFUSED and not re.fullmatch(r"(update|preview|destroy) failed", message)
    ]
    if told:
        # Our own program names its stack, as plain `pulumi` prints what it says.
        return "\n".join(line.removeprefix(f"{stack}: ") for each in dict.fromkeys(told) for line in each.splitlines())
    lines = [line.strip().removeprefix("stderr: ") for line in str(error).splitlines()]
    said = [line for line in lines if line and not re.match(r"(code|stdout|stderr):", line)]
    if not said and re.search(rf"^ code: (-{signal.SIGINT:d}|{128 + signal.SIGINT})$", str(error), re.MULTILINE):
        # Ctrl-c reaches all of a terminal's processes: the short ones that choose the stack end without a word.
        return "Pulumi was interrupted before it began"
    return next((line for line in said if "error:" in line), said[-1] if said else "Pulumi failed")


def _plain(message: str) -> str:
    """Remove Pulumi's colour directives, such as <{%reset%}>."""
    return re.sub(r"<\{%.*?%\}>", "", message).strip()
