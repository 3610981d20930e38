"""Keep a fleet's state, and judge each stack again when something changes that may matter to it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
import time
import zlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from config.files.project_files import Project
from config.finding import ConfigError, Finding, UserError, sentences, unforeseen, waived
from config.loading import load_stack
from mignet.checks import limits, preflight
from mignet.checks.drift_rules import watches
from mignet.checks.peers.endpoint import Side
from mignet.checks.peers.slim import Concerned, slim
from mignet.checks.verify import Patience, verify
from mignet.fleet.survey import trouble
from mignet.kube.client import ClusterError
from mignet.kube.snapshot import Snapshot
from mignet.kube.watched import RARELY, Kept, Watched
from mignet.operations import apply, drift
from mignet.report import collect, measured_by
from mignet.report.digest import between as held_against
from mignet.report.digest import digest_of
from mignet.watch.changes import Change, between, told, told_of_peers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set
    from pathlib import Path

    from config.stack import Stack
    from mignet.kube import snapshot
    from mignet.kube.diff import Report
    from mignet.kube.kubevirt.pods import Pod
    from mignet.outputs.openmetrics import Verb
    from mignet.report.collect import Sighting
    from mignet.report.digest import Between
    from mignet.watch.changes import Identity

DEBOUNCE = 0.5
"""Seconds from a change to its judgement: several come together."""
VERIFY_GAP = 30.0
"""Seconds between two looks of verify at one cluster, at least: it asks the API server for what no watch keeps."""
LEAST_PAUSE = 1.0
"""Seconds between two judgements of one stack that nothing but the time asks for."""
JUDGEMENT_SECONDS = 30.0
"""That a judgement may take, with what is read through for it."""
AT_A_TIME = 8
"""Judgements, and lists: what they hold is in memory at the same time."""
VERIFIED_AT_A_TIME = 4
"""Looks of verify, which read a cluster's nodes and virtual machines."""
SEEN_AT_A_TIME = 1
"""Looks with all eyes: each reads all of a cluster's nodes and virtual machines."""
SEEING_SHARE = 0.5
"""Of a processor, the part that they may take."""
COMPARE_GAP = 5.0
"""Seconds between two comparisons of all clusters, at least."""
COMPARING_SHARE = 0.05
"""Of the time, the part that comparisons may take."""
FILES_SECONDS = 2.0
"""Between two looks at the files."""
STUCK_SECONDS = 120.0
"""That a judgement may wait for its turn; after that the watch itself is not healthy."""

NO_LOOK = frozenset(f"cluster-{reason}" for reason in ("kubeconfig", "other-cluster", "unreachable", "unauthorized"))
"""Codes of the findings that a cluster did not answer, or not as the one that is meant."""


def packed(value: object) -> bytes:
    """Return a value of our own classes small; `unpacked` gives it back, in this process."""
    return zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), 6)


def unpacked(value: bytes) -> Any:
    """Return what was packed."""
    return pickle.loads(zlib.decompress(value))  # noqa: S301 (our own, never from elsewhere)


@dataclass(frozen=True, slots=True)
class Judged:
    """What one verb last said of a stack: its findings, when it looked (Unix seconds), and how long that took."""

    findings: tuple[Finding, ...] = ()
    not_judged: int = 0
    left_out: tuple[str, ...] = ()
    when: float | None = None
    seconds: float | None = None
    undecided: Set[str] = frozenset()
    """Codes that could not be judged: what was known of them stays."""
    dark: frozenset[str] = frozenset()
    """Stacks whose clusters are not seen: what was known between this one and them stays."""
    whole: bool = True
    """Whether it came to a judgement: where it did not, nothing that it found before has ended for that."""

    @classmethod
    def of(cls, judged: snapshot.Judged, begun: float) -> Self:
        """Return what came of rules now; the look began then, on the clock of time.monotonic."""
        return cls(
            judged.findings,
            judged.not_judged,
            tuple(judged.sentences()),
            time.time(),
            time.monotonic() - begun,
            undecided=judged.undecided,
        )


@dataclass(slots=True)
class Watching:
    """One stack, what is kept of its cluster, and what was last said of it."""

    stack: Stack
    kept: Kept
    dirty: asyncio.Event
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    report: Report | None = None
    drift: Judged = field(default_factory=Judged)
    verify: Judged = field(default_factory=Judged)
    preflight: Judged = field(default_factory=Judged)
    limits: Judged = field(default_factory=Judged)
    peers: Judged = field(default_factory=Judged)
    ready_to: tuple[int, int] | None = None
    """How many paths from it to its peers there are, and how many of them are ready."""
    full: bytes | None = None
    """What the page needs of the last look with all eyes: a Digest, packed."""
    side: bytes | None = None
    """What peers needs of it: a Side made small, without its stack, and pods with addresses, packed."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while its cluster can be looked at."""
    lost: ClusterError | None = None
    drifted: bool | None = None
    known: dict[Identity, Finding] = field(default_factory=dict)
    verified: float = 0.0
    """When verify last looked, on the clock of time.monotonic; 0 before."""
    unverified: bool = True
    """Whether something changed since."""
    waits_since: float | None = None
    """Since when a judgement waits for its turn, on the same clock."""

    @property
    def rarely(self) -> tuple[tuple[Verb, Judged], ...]:
        """What the verbs but drift last said."""
        return (
            ("preflight", self.preflight),
            ("verify", self.verify),
            ("limits", self.limits),
            ("peers", self.peers),
        )

    @property
    def state(self) -> str:
        """How it stands: `kept`, `lost`, or `starting` while its cluster is listed."""
        if self.lost is not None:
            return "lost"
        return "kept" if self.drift.when is not None else "starting"


class Fleet:
    """The watch over a fleet: `run` keeps and judges until it is cancelled; all else is what is known now."""

    def __init__(
        self,
        folder: Path,
        choose: Callable[[Project], Sequence[str]],
        *,
        tell: Callable[[Change], None],
        every: float = RARELY,
    ) -> None:
        self._folder, self._choose, self._tell, self._every = folder, choose, tell, every
        self.project = Project.find(folder)
        self.stacks: dict[str, Watching] = {}
        self.refused: dict[str, tuple[Finding, ...]] = {}
        """What is wrong with the files of stacks that are not watched for it, or as an older file said."""
        self.judgements = self.failures = 0
        self._files: dict[Path, object] = {}
        self._gate = asyncio.Semaphore(AT_A_TIME)
        self._looks = asyncio.Semaphore(AT_A_TIME)
        self._verifies = asyncio.Semaphore(VERIFIED_AT_A_TIME)
        self._sees = asyncio.Semaphore(SEEN_AT_A_TIME)
        self._sides = asyncio.Event()
        self.between: Between | None = None
        """What was last found between the clusters."""

    @property
    def stuck(self) -> list[str]:
        """The stacks whose judgement has been waiting for too long."""
        now = time.monotonic()
        return [
            name
            for name, each in self.stacks.items()
            if each.waits_since is not None and now - each.waits_since > STUCK_SECONDS
        ]

    async def run(self) -> None:
        """Keep the fleet, until this is cancelled."""
        comparing = asyncio.create_task(self._comparing())
        try:
            self.read_files()
            while True:
                await asyncio.sleep(FILES_SECONDS)
                self.read_files()
        finally:
            tasks = [comparing, *(task for each in self.stacks.values() for task in each.tasks)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def read_files(self) -> None:
        """Read what has changed of the files: a stack with mistakes is kept on as it was read before."""
        shared = self._changed(self.project.directory / "Pulumi.yaml", self.project.directory / "__main__.py")
        try:
            if shared:
                self.project = Project.find(self._folder)
            names = list(self._choose(self.project))
        except UserError as error:
            self._refuse("", error)
            return
        if self.refused.pop("", None):
            self._tell(Change("files-read", sentence="the project's files can be read again"))
        for name in [each for each in self.stacks if each not in names]:
            self._remove(name)
            self._tell(Change("stack-removed", name, "is watched no more: its file is gone, or is not chosen"))
        self.refused = {name: each for name, each in self.refused.items() if name in names}
        for name in names:
            # Both are looked at: `or` would forget one of two changes.
            if self._changed(self.project.stack_file(name)) | shared or name not in self.stacks | self.refused:
                self._read(name)

    def _read(self, name: str) -> None:
        try:
            stack = load_stack(name, self.project.stack_values(name))
        except ConfigError as error:
            self._refuse(name, error)
            return
        if self.refused.pop(name, None):
            self._tell(Change("files-read", name, "its file can be read again"))
        before = self.stacks.get(name)
        if before is not None and before.stack.values == stack.values:
            before.dirty.set()
            return
        if before is not None:
            self._remove(name)
        self._add(stack, before)

    def _refuse(self, name: str, error: UserError) -> None:
        findings = (
            error.findings
            if isinstance(error, ConfigError)
            else (Finding("Pulumi.yaml", None, str(error), "", code="project-file", stack=name),)
        )
        if self.refused.get(name) != findings:
            self.refused[name] = findings
            said = sentences(name, findings)
            kept = "; it is watched as it was read before" if name in self.stacks else "; it is not watched"
            self._tell(Change("files-refused", name, said + (kept if name else "")))

    def _changed(self, *paths: Path) -> bool:
        differs = False
        for path in paths:
            found: object = None
            with contextlib.suppress(OSError):
                stat = path.stat()
                found = stat.st_mtime_ns, stat.st_size, stat.st_ino
            differs |= self._files.get(path) != found
            self._files[path] = found
        return differs

    def _add(self, stack: Stack, before: Watching | None) -> None:
        dirty = asyncio.Event()
        kept = Kept(stack.cluster, self.project.directory, watches(stack), changed=dirty.set)
        watching = Watching(stack, kept, dirty)
        if before is None:
            self._tell(Change("stack-added", stack.name, f"is watched, by context {stack.cluster.context}"))
        else:
            watching.known, watching.drifted, watching.lost = before.known, before.drifted, before.lost
        self._sides.set()
        self.stacks[stack.name] = watching
        watching.tasks = [
            asyncio.create_task(kept.keep(gate=self._gate), name=f"keep {stack.name}"),
            asyncio.create_task(self._judging(watching), name=f"judge {stack.name}"),
            asyncio.create_task(self._seeing(watching), name=f"see {stack.name}"),
        ]

    def _remove(self, name: str) -> None:
        for task in self.stacks.pop(name).tasks:
            task.cancel()
        self._sides.set()

    async def _judging(self, one: Watching) -> None:
        while True:
            try:
                async with asyncio.timeout(self._until_due(one)):
                    await one.dirty.wait()
                await asyncio.sleep(DEBOUNCE)
            except TimeoutError:
                pass
            changed = one.dirty.is_set()
            one.dirty.clear()
            try:
                await self._judge(one, changed=changed)
            except Exception as error:
                # A mistake of ours in one stack is no end of the watch.
                self.failures += 1
                self._tell(Change("failed", one.stack.name, f"mignet itself failed: {unforeseen(error)}"))
            finally:
                one.waits_since = None

    def _until_due(self, one: Watching) -> float:
        """Return the seconds until a stack is judged again though nothing changed."""
        if one.lost is not None or not one.kept.ready:
            # What brings it back is a change; a look that came to no end is made again.
            return VERIFY_GAP
        after = VERIFY_GAP if one.unverified else self._every * random.uniform(0.8, 1.0)  # noqa: S311
        # Never at once, whatever a judgement came to: nobody else would have a turn.
        return max(one.verified + after - time.monotonic(), LEAST_PAUSE)

    async def _judge(self, one: Watching, *, changed: bool) -> None:
        one.unverified |= changed
        if one.kept.lost is not None:
            self._lose(one, one.kept.lost)
            return
        if not one.kept.ready:
            return
        one.waits_since = time.monotonic()
        async with self._looks:
            one.waits_since = None
            await self._look(one)
        if one.lost is not None or (one.verified and time.monotonic() - one.verified < VERIFY_GAP):
            return
        one.waits_since = time.monotonic()
        async with self._verifies:
            one.waits_since = None
            await self._verify(one)

    def _lose(self, one: Watching, error: ClusterError) -> None:
        if one.lost is None:
            self._tell(Change("cluster-lost", one.stack.name, str(error), code=f"cluster-{error.reason}"))
            self._sides.set()
        one.lost = error
        one.answers.clear()

    def _found(self, one: Watching) -> None:
        if one.lost is not None:
            one.lost = None
            self._tell(Change("cluster-back", one.stack.name, "answers again"))
            self._sides.set()
        one.answers.set()

    async def _look(self, one: Watching) -> None:
        """Compare what is declared with what is kept."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(JUDGEMENT_SECONDS), Watched(one.kept) as cluster:
                report = await drift.look_at(self.project, one.stack, cluster)
        except TimeoutError:
            self._lose(one, ClusterError("unreachable", f"did not answer in {JUDGEMENT_SECONDS:.0f} s"))
            return
        except ClusterError as error:
            self._lose(one, error.kept())
            return
        self.judgements += 1
        unseen = next((each for each in report.findings if each.code in NO_LOOK), None)
        if one.kept.lost is not None:
            # It was lost while it was looked at.
            self._lose(one, one.kept.lost)
            return
        if unseen is not None:
            self._lose(one, ClusterError("unreachable", unseen.sentence))
            return
        self._found(one)
        one.report = report
        one.drift = Judged(
            report.all_findings,
            report.not_judged,
            report.left_out,
            time.time(),
            time.monotonic() - begun,
            undecided=report.undecided,
            whole=report.error is None,
        )
        if report.error is None and report.drifted is not bool(one.drifted):
            differs = [str(change.key) for change in report.changes if change.operation != "same"]
            sentence = (
                f"differs from what is declared: {', '.join(differs)}" if differs else "differs from what is declared"
            )
            what = Change("drift-began", one.stack.name, sentence, "drift")
            self._tell(what if report.drifted else Change("drift-ended", one.stack.name, "is as declared", "drift"))
        if report.error is None:
            one.drifted = report.drifted
        self._compare(one)

    async def _verify(self, one: Watching) -> None:
        """Judge whether the pods use the network; what no watch keeps is read for it."""
        begun = time.monotonic()
        one.unverified, one.verified = False, begun
        manifests = partial(apply.manifests, self.project, one.stack)
        try:
            async with asyncio.timeout(JUDGEMENT_SECONDS), Watched(one.kept, seconds=None) as cluster:
                verdict = await verify(one.stack, cluster, declared=manifests, patience=Patience(0, 0))
        except ConfigError as error:
            one.verify = Judged(error.findings, when=time.time(), whole=False)
        except TimeoutError:
            self._lose(one, ClusterError("unreachable", f"did not answer in {JUDGEMENT_SECONDS:.0f} s"))
            return
        except ClusterError as error:
            # Verify needs more rights, and more APIs, than a comparison.
            found = trouble(one.stack, error)
            if found.code in NO_LOOK:
                self._lose(one, error.kept())
                return
            one.verify = Judged((found,), when=time.time(), whole=False)
        else:
            findings = tuple(waived(one.stack.name, verdict.judged.findings, one.stack.waivers))
            one.verify = Judged.of(replace(verdict.judged, findings=findings), begun)
        self._compare(one)

    async def _seeing(self, one: Watching) -> None:
        """Look with all eyes of a report, rarely: once the cluster answers, and then again and again."""
        while True:
            await one.answers.wait()
            async with self._sees:
                begun = time.thread_time()
                try:
                    await self._see(one)
                except Exception as error:
                    self.failures += 1
                    self._tell(Change("failed", one.stack.name, f"mignet itself failed: {unforeseen(error)}"))
                # Of processor time: one that hangs takes none.
                await asyncio.sleep((time.thread_time() - begun) * (1 / SEEING_SHARE - 1))
            await asyncio.sleep(self._every * random.uniform(0.8, 1.0))  # noqa: S311

    async def _see(self, one: Watching) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(JUDGEMENT_SECONDS), Watched(one.kept, seconds=None) as cluster:
                seen = await collect.through(self.project, one.stack, cluster)
        except TimeoutError:
            self._unseen(one, ClusterError("unreachable", f"did not answer in {JUDGEMENT_SECONDS:.0f} s"))
            return
        except ClusterError as error:
            self._unseen(one, error.kept())
            return
        if one.lost is not None or isinstance(seen.side.outcome, ClusterError):
            self._unseen(one, seen.side.outcome if isinstance(seen.side.outcome, ClusterError) else one.lost)
            return
        self.judgements += 1
        one.full = packed(digest_of(seen))
        one.side = packed_side(seen)
        for verb, judged in seen.judged.items():
            found = Judged.of(judged, begun)
            if verb == "verify":
                one.verify, one.verified = found, begun
            elif verb == "preflight":
                one.preflight = found
            else:
                one.limits = found
        self._compare(one)
        self._sides.set()

    def _unseen(self, one: Watching, error: ClusterError | None) -> None:
        """Keep what was known, and say that it could not be judged again; the watches say whether a cluster is lost."""

        def again(judged: Judged, codes: frozenset[str]) -> Judged:
            why = (f"not judged again: {error}",)
            when = judged.when or time.time()
            return replace(judged, not_judged=len(codes), left_out=why, when=when, undecided=codes)

        one.preflight = again(one.preflight, preflight.CODES)
        one.limits = again(one.limits, limits.CODES)

    async def _comparing(self) -> None:
        """Hold the clusters against each other, rarely, beside the watch."""
        while True:
            await self._sides.wait()
            begun = time.monotonic()
            try:
                await self._compare_all()
            except Exception as error:
                self.failures += 1
                self._tell(Change("failed", sentence=f"mignet itself failed: {unforeseen(error)}"))
            took = time.monotonic() - begun
            await asyncio.sleep(max(COMPARE_GAP, took / COMPARING_SHARE))

    async def _compare_all(self) -> None:
        self._sides.clear()
        before = dict(self.stacks)
        sights = [(one.stack, one.lost, one.side) for one in before.values()]
        begun, when = time.monotonic(), time.time()
        found, ready = await asyncio.to_thread(_compared, self.project, sights)
        seconds = time.monotonic() - begun
        self.between = found
        dark = frozenset(stack.name for stack, lost, side in sights if lost is not None or side is None)
        by_stack: dict[str, list[Finding]] = {name: [] for name in before}
        for finding in found.findings:
            by_stack.setdefault(finding.stack, []).append(finding)
        for name, one in before.items():
            # A cluster that is lost keeps what is known of it; one that was not seen yet has nothing to tell.
            if self.stacks.get(name) is one and one.lost is None and one.side is not None:
                one.peers = Judged(
                    tuple(by_stack[name]),
                    found.not_judged.get(name, 0),
                    when=when,
                    seconds=seconds,
                    undecided=found.undecided.get(name, frozenset()),
                    dark=dark,
                )
                one.ready_to = len(before) - 1, ready.get(name, 0)
                self._compare(one)

    def _compare(self, one: Watching) -> None:
        """Tell which findings began and ended since the last judgement."""
        now: dict[Identity, Finding] = {}
        for verb, judged in (("drift", one.drift), *one.rarely):
            # Of a cluster that does not answer, that is told already.
            found = [each for each in judged.findings if each.code not in NO_LOOK]
            now |= told_of_peers(one.stack.name, found) if verb == "peers" else told(verb, found)
            # Not looked yet: what is known from before a change of the file stays until then.
            now |= {
                key: each
                for key, each in one.known.items()
                if key[0] == verb
                and (
                    judged.when is None or not judged.whole or each.code in judged.undecided or each.peer in judged.dark
                )
                and not each.code.startswith("cluster-")
            }
        for change in between(one.stack.name, one.known, now):
            self._tell(change)
        one.known = now


Sight = tuple["Stack", "ClusterError | None", "bytes | None"]
"""A stack, why its cluster is lost, and its side as it was last seen."""


def _compared(project: Project, sights: Sequence[Sight]) -> tuple[Between, dict[str, int]]:
    """Hold clusters against each other; also return from each stack how many paths are ready."""
    concerned = Concerned()
    for stack, lost, kept in sights:
        if kept is not None and lost is None:
            concerned.add(_side(stack, kept)[0])
    sides, attached = [], {}
    for stack, lost, kept in sights:
        side, pods = Side(stack, lost), None
        if kept is not None and lost is None:
            side, pods = _side(stack, kept)
            side = concerned.of(side)
        sides.append(side)
        if pods is not None:
            attached[stack.name] = pods
    checkup, unread = measured_by(project)
    found = held_against(sides, attached, checkup, unread=unread)
    return found, dict(found.ways.sends)


def packed_side(seen: Sighting) -> bytes:
    """Return what clusters are held against each other by, packed."""
    side = slim(seen.side)
    return packed((side.seen and side.seen.found, side.certified, collect.attached(seen)))


def _side(stack: Stack, kept: bytes) -> tuple[Side, tuple[Pod, ...] | None]:
    found, certified, pods = unpacked(kept)
    return Side(stack, None if found is None else Snapshot(stack, found), certified), pods
