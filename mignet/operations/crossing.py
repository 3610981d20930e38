"""Proof across clusters: a small machine of our own goes from one cluster to another and back, and is removed again.

Nothing is created before both clusters were found fit, and both stacks are held meanwhile: whatever of an earlier run
is there then was left by one that was killed, and goes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from config.finding import Finding, Remark
from mignet.checks import crossing
from mignet.checks.crossing import End, Left, Leg, Need, Stuck
from mignet.checks.peers import look_through, pair_rules
from mignet.checks.peers.pair_rules import Pair
from mignet.checks.verify.migration import DONE, REFUSED, RUNNING, WAITING
from mignet.fleet import survey
from mignet.fleet.concurrency import CTRL_C, StoppedError
from mignet.fleet.results import Checked
from mignet.kube import lease
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import EVENT, INSTANCE, KUBEVIRT, MACHINE, MIGRATION, POD
from mignet.kube.kubevirt import machines
from mignet.kube.kubevirt.machines import CROSSING
from mignet.kube.kubevirt.pods import HANDLER, LABEL
from mignet.kube.kubevirt.sync_controllers import sync_port
from mignet.kube.rbac import denied, to_cross
from mignet.kube.snapshot import Judged, UnreadError, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.results import Crossing
    from mignet.fleet.run_context import Course
    from mignet.kube.kinds import Kind, Object

POLL_SECONDS = 0.5
TELL_SECONDS = 60.0
"""How often is said that something still goes on."""
SETTLE_SECONDS = 10.0
"""What the instances may take to follow migrations that have ended."""
ALONE_SECONDS = 20.0
"""How long one side is waited for whose other side has failed."""
REMOVE_SECONDS = 90.0
"""How long a cluster has to let a machine go."""


@dataclass(slots=True)
class Place:
    """One cluster of the two, and its connection."""

    stack: Stack
    cluster: Cluster

    @property
    def namespace(self) -> str:
        """Where the machine is: KubeVirt's own namespace, which is there on every cluster."""
        return self.stack.cluster.namespace

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Create an object of ours. Raises _NoMachineError when the cluster refuses it, and ClusterError."""
        try:
            return await self.cluster.create(kind, manifest, self.namespace)
        except ClusterError as error:
            if error.reason not in REFUSED:
                raise
            name = manifest["metadata"]["name"].removesuffix("-in").removesuffix("-out")
            stuck = Stuck(
                End(self.stack), name, "", refusal=f"{kind.kind}: {error}", forbidden=error.reason == "forbidden"
            )
            raise _NoMachineError(stuck) from error

    async def instance(self, name: str) -> Object | None:
        """Return the machine's instance."""
        return await self.cluster.get(INSTANCE, name, self.namespace)

    async def warnings(self, name: str) -> tuple[str, ...]:
        """Return what events say of the machine and its pods, the newest last; nothing when they cannot be read."""
        with contextlib.suppress(ClusterError):
            events = await self.cluster.list(EVENT, namespace=self.namespace, fields={"type": "Warning"})
            about = (
                each
                for each in events
                if name in str(each.get("involvedObject", {}).get("name")) and each.get("message")
            )
            return tuple(str(each["message"]) for each in about)
        return ()

    async def left(self) -> list[tuple[Kind, str]]:
        """Return what is there of this run, or of one before it."""
        ours = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
        found: list[tuple[Kind, str]] = []
        for kind in (MIGRATION, MACHINE):
            for each in await self.cluster.list(kind, namespace=self.namespace, labels=ours):
                found += [(kind, each["metadata"]["name"])] if CROSSING in each["metadata"].get("labels", {}) else []
        return found


class _NoMachineError(Exception):
    """The machine does not come as far as to migrate."""

    def __init__(self, stuck: Stuck) -> None:
        self.stuck = stuck
        super().__init__(stuck.name)


class _BrokenOffError(Exception):
    """Somebody asked for an end with ctrl-c."""


@dataclass(slots=True)
class Run:
    """One run over two clusters: there, and back."""

    one: Place
    other: Place
    within: float
    """Seconds that each way has, with what comes before it."""
    course: Course
    model: str | None = None
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    firmware: str = field(default_factory=lambda: str(uuid.uuid4()))
    findings: list[Finding] = field(default_factory=list)
    ways: list[Crossing] = field(default_factory=list)
    arrives: Place | None = None
    """Where the machine was sent last: what is there is removed first."""
    _told: str = ""
    _when: float = 0.0

    @property
    def name(self) -> str:
        """The name of the machine."""
        return machines.name_of_run(self.run)

    async def go(self) -> None:
        """Go there and back, as far as it goes well. Raises ClusterError, _NoMachineError and _BrokenOffError."""
        begun = time.monotonic()
        sender = self.one
        await sender.create(
            MACHINE, machines.machine(sender.stack, self.run, self.firmware, receives=False, model=self.model)
        )
        await self._until(sender, RUNNING, begun)
        for number, (source, target) in enumerate(((self.one, self.other), (self.other, self.one))):
            if number:
                # Its place is taken until then, and what waits there must be a new one.
                await self.clear()
                begun = time.monotonic()
            leg = await self._way(number, source, target, begun)
            self.ways.append(leg.result)
            self.findings += judge(crossing.WAY, leg).findings
            if not leg.done:
                return

    async def _way(self, number: int, source: Place, target: Place, begun: float) -> Leg:
        """Have the machine go one way, and return how that ended."""
        self.arrives = target
        made = machines.machine(target.stack, self.run, self.firmware, receives=True, model=self.model)
        await target.create(MACHINE, made)
        await self._until(target, WAITING, begun)
        kubevirt = next(iter(await target.cluster.list(KUBEVIRT, namespace=target.namespace)), None) or {}
        addresses = kubevirt.get("status", {}).get("synchronizationAddresses") or [""]
        incoming = await target.create(MIGRATION, machines.receiving(target.stack, self.run, number))
        asked = time.monotonic()
        outgoing = await source.create(MIGRATION, machines.sending(source.stack, self.run, number, str(addresses[0])))
        leg = Leg(
            End(source.stack, migration=outgoing),
            End(target.stack, migration=incoming),
            self.name,
            str(addresses[0]),
            sync_port(kubevirt),
        )
        settled: float | None = None
        while True:
            leg = await self._seen(leg, source, target, asked)
            now = time.monotonic()
            self._tell(source, f"{self.name} goes from {leg.path}: {leg.source.moving}, {leg.target.moving}")
            if leg.done:
                break
            ended = {leg.source.moving, leg.target.moving}
            settled = settled or (now if ended & DONE else None)
            if ended == {"Failed"} or now - begun > self.within:
                break
            # One side that has failed may not hear of the other; one that has ended well waits for it.
            final = settled and (ended <= DONE or "Failed" in ended)
            if settled and final and now - settled > (SETTLE_SECONDS if ended <= DONE else ALONE_SECONDS):
                break
            await self._pause()
        if leg.done:
            handlers = await source.cluster.list(POD, namespace=source.namespace, labels={LABEL: HANDLER})
            return replace(leg, source=replace(leg.source, handlers=tuple(handlers)))
        warnings = [await each.warnings(self.name) for each in (source, target)]
        return replace(
            leg,
            source=replace(leg.source, warnings=warnings[0]),
            target=replace(leg.target, warnings=warnings[1]),
        )

    async def _seen(self, leg: Leg, source: Place, target: Place, asked: float) -> Leg:
        """Look at both sides once more; a migration that somebody removed is as it was last."""

        async def look(end: End, place: Place) -> End:
            made = end.migration or {}
            migration = await place.cluster.get(MIGRATION, made["metadata"]["name"], place.namespace)
            return replace(end, instance=await place.instance(self.name), migration=migration or made)

        one, other = await asyncio.gather(look(leg.source, source), look(leg.target, target))
        return replace(leg, source=one, target=other, seconds=time.monotonic() - asked)

    async def _until(self, place: Place, phase: str, begun: float) -> None:
        """Wait until the machine is as far. Raises _NoMachineError when it is not in time."""
        while True:
            live = await place.instance(self.name)
            end = End(place.stack, live)
            self._tell(place, f"{self.name} is {end.phase} on {place.stack.name}")
            if end.phase == phase:
                return
            late = time.monotonic() - begun
            if late > self.within or end.phase == "Failed":
                end = replace(end, warnings=await place.warnings(self.name))
                raise _NoMachineError(Stuck(end, self.name, phase, late))
            await self._pause()

    async def clear(self) -> None:
        """Remove what is not needed for the way back: the machine that has left, and the migrations."""
        self.course.say(self.one.stack.name, f"removing {self.name} where it has left")
        for place in (self.one, self.other):
            for kind, name in await place.left():
                if kind == MIGRATION:
                    await place.cluster.delete(kind, name, place.namespace)
        await self.one.cluster.delete(MACHINE, self.name, self.one.namespace)
        begun = time.monotonic()
        while await self.one.left() or await self.one.instance(self.name):
            if time.monotonic() - begun > self.within:
                end = End(self.one.stack, await self.one.instance(self.name))
                raise _NoMachineError(Stuck(end, self.name, "gone", time.monotonic() - begun))
            await self._pause()

    def _tell(self, place: Place, line: str) -> None:
        """Say how far it is when that has changed, and each minute."""
        now = time.monotonic()
        if line != self._told or now - self._when >= TELL_SECONDS:
            self.course.say(place.stack.name, line)
            self._told, self._when = line, now

    async def _pause(self) -> None:
        if self.course.stop.asked:
            raise _BrokenOffError
        await asyncio.sleep(POLL_SECONDS)


async def prove(project: Project, stack: Stack, other: Stack, *, within: float, course: Course) -> Checked:
    """Move a machine of our own from a stack's cluster to another's and back, and say by which addresses it went.

    Each way has `within` seconds. Both clusters are looked at before; what is not fit is what is found then.
    """
    tasks: list[asyncio.Task[Checked]] = []

    async def shared() -> Checked:
        """Do it once: it is one piece of work on both clusters."""
        if not tasks:
            tasks.append(asyncio.create_task(_prove(project, stack, other, within, course)))
        return await tasks[0]

    ends = await course.through(
        {stack.name: shared, other.name: shared},
        error=lambda checked: survey.blocking(checked.findings),
        changing=True,
        timed=False,
    )
    ended = ends[stack.name]
    return ended.result or Checked(project, (stack.name, other.name), (survey.unseen(stack.name, ended),), ())


async def _prove(project: Project, stack: Stack, other: Stack, within: float, course: Course) -> Checked:
    names = (stack.name, other.name)
    async with contextlib.AsyncExitStack() as open_:
        places: list[Place] = []
        for each in (stack, other):
            try:
                cluster = await open_.enter_async_context(Cluster(each.cluster, base=project.directory))
            except ClusterError as error:
                return Checked(project, names, (survey.trouble(each, error),), ())
            places.append(Place(each, cluster))
        one, there = places
        fit, model = await _fit(one, there)
        checked = Checked(
            project,
            names,
            fit.findings,
            tuple(Remark(stack.name, sentence) for sentence in fit.sentences()),
            not_judged=survey.counted({stack.name: fit.not_judged}),
        )
        if checked.blocks:
            return checked
        # In one order, so that of two runs over the same two clusters one gets both.
        for place in sorted(places, key=lambda place: place.stack.name):
            try:
                await open_.enter_async_context(lease.held(place.stack, place.cluster))
            except (lease.HeldError, ClusterError) as error:
                return replace(checked, findings=(*checked.findings, _held(place.stack, error)))
        run = Run(one, there, within, course, model)
        findings = await _carried_out(run, places, course)
    proven = [Remark(way.source, way.sentence) for way in run.ways if way.proven]
    return replace(checked, findings=(*checked.findings, *findings), proven=tuple(proven), crossings=tuple(run.ways))


async def _carried_out(run: Run, places: Sequence[Place], course: Course) -> list[Finding]:
    """Do it, and remove everything again, however it ends."""
    left = await _removed(places, course, "left by a run that was killed")
    if left:
        return left
    stopped = False
    try:
        await run.go()
    except _NoMachineError as known:
        run.findings += judge((crossing.not_started,), known.stuck).findings
    except ClusterError as error:
        # Which of the two it was stands in front of every error.
        named = (each for each in places if str(error).startswith(f"context {each.stack.cluster.context} "))
        run.findings.append(survey.trouble(next(named, places[0]).stack, error))
    except _BrokenOffError:
        stopped = True
    except asyncio.CancelledError:
        where = " and ".join(each.stack.name for each in places)
        course.tell(f"{run.name} may be left on {where}; the next run of this command removes it")
        raise
    order = sorted(places, key=lambda each: each is not run.arrives)
    left = await _removed(order, course, "removing the test machine")
    if stopped:
        msg = f"stopped by {CTRL_C}; " + (" ".join(each.sentence for each in left) or "the test machine is removed")
        raise StoppedError(msg)
    return [*run.findings, *left]


async def _removed(places: Iterable[Place], course: Course, why: str) -> list[Finding]:
    """Remove all that is ours: first what cancels a migration, then the machines, one cluster after the other.

    Where a machine was sent to comes first: it must not go on to run once its source is gone.
    """
    findings: list[Finding] = []
    kept: list[tuple[Place, list[tuple[Kind, str]]]] = []
    for place in places:
        try:
            found = await place.left()
            for kind, name in found:
                if kind == MIGRATION:
                    await place.cluster.delete(kind, name, place.namespace)
        except ClusterError as error:
            findings += _left(place, [(MACHINE, "mignet-crossing-*")], str(error))
            continue
        if found:
            kept.append((place, found))
    for place, found in kept:
        course.say(place.stack.name, f"{why}: {', '.join(dict.fromkeys(name for _, name in found))}")
        try:
            findings += await _gone(place, [name for kind, name in found if kind == MACHINE])
        except ClusterError as error:
            findings += _left(place, found, str(error))
    return findings


async def _gone(place: Place, names: Sequence[str]) -> list[Finding]:
    for name in names:
        await place.cluster.delete(MACHINE, name, place.namespace)
    begun = time.monotonic()
    while True:
        rest = await place.left()
        rest += [(INSTANCE, name) for name in names if await place.instance(name)]
        if not rest:
            return []
        if time.monotonic() - begun > REMOVE_SECONDS:
            return _left(place, rest, f"it is still there after {REMOVE_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


def _left(place: Place, found: Sequence[tuple[Kind, str]], why: str) -> list[Finding]:
    names = tuple(f"{kind.kind} {place.namespace}/{name}" for kind, name in found)
    return list(judge((crossing.left_behind,), Left(place.stack, names, why)).findings)


async def _fit(one: Place, other: Place) -> tuple[Judged, str | None]:
    """Look whether both clusters are fit, and return a CPU model that both have."""
    sides = await asyncio.gather(*(look_through(each.cluster, each.stack) for each in (one, other)))
    findings: list[Finding] = []
    left_out: dict[str, ClusterError] = {}

    def hold(judged: Judged) -> None:
        findings.extend(judged.findings)
        left_out.update(judged.left_out)

    for side in sides:
        if isinstance(side.outcome, ClusterError):
            return Judged((survey.trouble(side.stack, side.outcome),)), None
        hold(judge(crossing.SIDE, side))
        if "peer-kubevirt" in left_out:
            # Without it nobody knows where the other side is to call.
            return Judged((*findings, survey.trouble(side.stack, left_out["peer-kubevirt"]))), None
    if not any(each.blocks for each in findings):
        hold(judge(crossing.PAIR, Pair(*sides)))
    model = None
    with contextlib.suppress(UnreadError):
        model = pair_rules.common_model(*sides)
    if model is None:
        judged = judge((pair_rules.processors,), Pair(*sides))
        hold(replace(judged, findings=tuple(replace(each, severity="error") for each in judged.findings)))
    for place in (one, other):
        missing = await denied(place.cluster, to_cross(place.stack))
        hold(judge((crossing.right_missing,), Need(place.stack, missing)))
    return Judged(tuple(findings), left_out), model


def _held(stack: Stack, error: lease.HeldError | ClusterError) -> Finding:
    if isinstance(error, ClusterError):
        return survey.trouble(stack, error)
    return judge((crossing.held,), Need(stack, held=str(error))).findings[0]
