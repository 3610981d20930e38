"""A cluster's objects as watches keep them: looked at as often as one likes, without asking the API server again.

What no watch keeps is read through, and kept for a while. Nothing is ever written through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from config.finding import unforeseen
from mignet.kube.client import Cluster, ClusterError, ExpiredError
from mignet.kube.snapshot import STOPS, OneLook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from config.cluster import Cluster as ClusterConfig
    from mignet.kube.client import Event
    from mignet.kube.kinds import Kind, Object

LASTS = (300, 600)
"""Seconds after which the API server ends a watch, one of these: not all of a fleet's at the same time."""
MOST_PAUSE = 60.0
"""Seconds between two attempts at what fails again and again."""
REFUSED_PAUSE = 300.0
"""Seconds until something is asked for again that is not served, or that nobody granted."""
SHORT = 5.0
"""Seconds: a watch that ends sooner was hardly one."""
MOST_OBJECTS = 20_000
MOST_BYTES = 64 << 20
"""Of what one watch keeps."""
RARELY = 300.0
"""Seconds for which what is read through counts, for whoever is content with that."""
_LARGE = 1_000
"""Bytes from which on an object is kept compressed."""
_VOLATILE = ("lastHeartbeatTime", "lastProbeTime")


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next attempt, in seconds: twice as long each time, up to `most`, a part at random."""

    first: float = 1.0
    most: float = MOST_PAUSE
    _attempts: int = 0

    def next(self) -> float:
        """Return the next pause: between half and all of what it may be."""
        longest: float = min(self.most, self.first * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """Begin anew, as something worked."""
        self._attempts = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """What a watch is about: objects of a kind, in one namespace or in all, of one name, or with one of some labels."""

    kind: Kind
    namespace: str | None = None
    name: str | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def holds_object(self, kind: Kind, name: str, namespace: str | None) -> bool:
        """Tell whether an object of that name is among them, if it exists."""
        here = self.namespace is None or self.namespace == namespace
        return self.kind == kind and here and self.name in {None, name} and not self.labels

    def holds_list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str], fields: Mapping[str, str]
    ) -> bool:
        """Tell whether all objects of a list are among them."""
        here = self.namespace is None or self.namespace == namespace
        named = self.name is None or fields.get("metadata.name") == self.name
        labelled = all(labels.get(key) in values for key, values in self.labels.items())
        return self.kind == kind and here and named and labelled and not fields.keys() - {"metadata.name"}

    @property
    def selector(self) -> dict[str, Any]:
        """The same, as the API server is asked for it."""
        fields = {"metadata.name": self.name} if self.name else {}
        return {"namespace": self.namespace, "labels": dict(self.labels), "fields": fields}


@dataclass(slots=True)
class Tally:
    """What happened to the watches of a cluster, counted; `last` is when one last told something, in Unix seconds."""

    relists: int = 0
    events: int = 0
    errors: int = 0
    last: float | None = None


class Store:
    """The objects of one watch."""

    def __init__(self, watch: Watch, changed: Callable[[], None], tally: Tally) -> None:
        self.watch = watch
        self.error: ClusterError | None = None
        """Why they are not known, where that concerns this watch alone."""
        self.listed = False
        self._changed = changed
        self._tally = tally
        self._objects: dict[tuple[str, str], bytes] = {}

    @property
    def known(self) -> bool:
        """Whether there is something to say: the objects, or why not."""
        return self.listed or self.error is not None

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def size(self) -> int:
        """Bytes of the objects."""
        return sum(map(len, self._objects.values()))

    def get(self, name: str, namespace: str | None) -> Object | None:
        """Return one object. Raises ClusterError where they are not known."""
        self._check()
        packed = self._objects.get((namespace or "" if self.watch.kind.namespaced else "", name))
        return None if packed is None else _unpacked(packed)

    def all(self, namespace: str | None) -> Iterator[Object]:
        """Yield the objects, or those of one namespace. Raises ClusterError where they are not known."""
        self._check()
        for (where, _), packed in list(self._objects.items()):
            if namespace is None or where == namespace:
                yield _unpacked(packed)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error.kept()
        if not self.listed:
            msg = f"{self.watch.kind} was not listed yet"
            raise ClusterError("unreachable", msg)

    def replace(self, objects: Sequence[Object]) -> None:
        """Take a list in the place of all that was known."""
        packed = {_key(each): _packed(each) for each in objects}
        differs = (
            not self.listed
            or self.error is not None
            or packed.keys() != self._objects.keys()
            or any(_differ(self._objects[key], each) for key, each in packed.items())
        )
        self._objects, self.listed, self.error = packed, True, None
        self._bound()
        if differs:
            self._changed()

    def take(self, event: Event) -> None:
        """Take what happened to an object. Raises ClusterError where there is too much to keep."""
        self._tally.events += event.happened != "BOOKMARK"
        self._tally.last = time.time()
        if event.happened == "BOOKMARK":
            return
        key = _key(event.live)
        before = self._objects.get(key)
        if event.happened == "DELETED":
            self._objects.pop(key, None)
            differs = before is not None
        else:
            self._objects[key] = after = _packed(event.live)
            differs = before is None or _differ(before, after)
            if before is None:
                self._bound()
        if differs:
            self._changed()

    def _bound(self) -> None:
        if len(self._objects) > MOST_OBJECTS or self.size > MOST_BYTES:
            count = len(self._objects)
            self._objects = {}
            msg = f"{count:,} objects of {self.watch.kind} are more than a watch keeps"
            raise ClusterError("refused", msg)

    async def keep(self, cluster: Cluster, *, gate: asyncio.Semaphore) -> None:
        """List the objects and follow what happens to them, for ever.

        `gate` holds back lists that would be made at the same time. Raises ClusterError when nothing can be read of the
        cluster at all; what only this watch is refused, it tells, and tries again later.
        """
        pause = Backoff()
        again = False
        while True:
            try:
                async with gate:
                    objects, version = await _insisting(lambda: cluster.listed(self.watch.kind, **self.watch.selector))
                    self._tally.relists += again
                    self._tally.last = time.time()
                    again = True
                    self.replace(objects)
                    del objects
                await self._follow(cluster, version, pause)
            except ExpiredError:
                wait = pause.next()
            except ClusterError as error:
                self._tally.errors += 1
                if error.reason in STOPS:
                    raise
                wait = REFUSED_PAUSE if error.reason in {"forbidden", "not-served"} else pause.next()
                told = self.error is None or str(self.error) != str(error)
                self.error = error.kept()
                if told:
                    self._changed()
            await asyncio.sleep(wait)

    async def _follow(self, cluster: Cluster, version: str, pause: Backoff) -> None:
        """Follow one watch after another. One that breaks is begun again, once; then the cluster is lost."""
        broken = False
        while True:
            begun = time.monotonic()
            try:
                events = cluster.watch(
                    self.watch.kind,
                    **self.watch.selector,
                    since=version,
                    seconds=random.randint(*LASTS),  # noqa: S311
                )
                async with contextlib.aclosing(events):
                    async for event in events:
                        self.take(event)
                        version, broken = event.version, False
            except ClusterError as error:
                if error.reason != "unreachable" or broken:
                    raise
                self._tally.errors += 1
                broken = True
            if time.monotonic() - begun >= SHORT:
                pause.reset()
            if broken or time.monotonic() - begun < SHORT:
                await asyncio.sleep(pause.next())


class Kept:
    """All that is kept of one cluster: its watches, and what was read through them. Ends with the task of `keep`."""

    def __init__(
        self, config: ClusterConfig, base: Path, watches: Sequence[Watch], *, changed: Callable[[], None]
    ) -> None:
        self.config, self.base = config, base
        self.tally = Tally()
        self.lost: ClusterError | None = None
        """Why nothing can be read of the cluster now."""
        self.stores = tuple(Store(each, changed, self.tally) for each in watches)
        self._changed = changed
        self._read: dict[object, tuple[float, bytes | ClusterError]] = {}
        self._reading: dict[object, asyncio.Lock] = {}

    @property
    def ready(self) -> bool:
        """Whether all watches have something to say."""
        return self.lost is None and all(each.known for each in self.stores)

    @property
    def objects(self) -> int:
        """How many objects the watches keep."""
        return sum(map(len, self.stores))

    async def keep(self, *, gate: asyncio.Semaphore) -> None:
        """Keep it, for ever: what cannot be reached is tried again, after a pause that grows."""
        pause = Backoff()
        while True:
            begun = time.monotonic()
            try:
                # Opened anew each time: the kubeconfig may be another one by then.
                async with Cluster(self.config, base=self.base) as cluster:
                    await self._with(cluster, gate)
            except ClusterError as error:
                self._lose(error.kept())
            except Exception as error:
                self.tally.errors += 1
                self._lose(ClusterError("refused", f"mignet itself failed, please report it: {unforeseen(error)}"))
            if time.monotonic() - begun > MOST_PAUSE:
                pause.reset()
            await asyncio.sleep(pause.next())

    def _lose(self, error: ClusterError) -> None:
        told = self.lost is None or str(self.lost) != str(error)
        self.lost = error
        for store in self.stores:
            store.listed, store.error = False, None
        self._read.clear()
        if told:
            self._changed()

    async def _with(self, cluster: Cluster, gate: asyncio.Semaphore) -> None:
        tasks = [asyncio.ensure_future(each.keep(cluster, gate=gate)) for each in self.stores]
        try:
            while not all(each.known for each in self.stores):
                await self._first(tasks, seconds=0.2)
            if self.lost is not None:
                self.lost = None
                self._changed()
            await self._first(tasks, seconds=None)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _first(self, tasks: Sequence[asyncio.Future[None]], *, seconds: float | None) -> None:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def through(self, key: object, read: Callable[[], Awaitable[Any]], *, seconds: float) -> Any:
        """Return what was read within so many seconds, else read it. Raises what reading raised."""
        async with self._reading.setdefault(key, asyncio.Lock()):
            then, kept = self._read.get(key, (0.0, b""))
            if not kept or time.monotonic() - then > seconds:
                try:
                    answer = await _insisting(read)
                except ClusterError as error:
                    if error.reason in STOPS:
                        raise
                    kept = error.kept()
                else:
                    kept = zlib.compress(msgspec.json.encode(answer), 1)
                self._forget()
                self._read[key] = time.monotonic(), kept
        if isinstance(kept, ClusterError):
            raise kept.kept()
        return msgspec.json.decode(zlib.decompress(kept))

    def _forget(self) -> None:
        """Let go of what nobody asked for in a long time."""
        now = time.monotonic()
        self._read = {key: each for key, each in self._read.items() if now - each[0] < 2 * RARELY}
        self._reading = {key: each for key, each in self._reading.items() if key in self._read or each.locked()}


async def _insisting(read: Callable[[], Awaitable[Any]]) -> Any:
    """Read, and once more where a connection breaks at once: one of several API servers may have ended."""
    begun = time.monotonic()
    try:
        return await read()
    except ClusterError as error:
        if error.reason != "unreachable" or time.monotonic() - begun > SHORT:
            raise
    return await read()


class Watched(OneLook):
    """What stands for a connection to a cluster that is watched. It reads, and never writes.

    What no watch keeps is read through, unless that was done within so many `seconds`; with None for them it is read
    once through this connection, and kept no longer.
    """

    def __init__(self, kept: Kept, *, seconds: float | None = RARELY) -> None:
        super().__init__(kept.config, base=kept.base)
        self._kept_of = kept
        self._seconds = seconds
        # What reads much has connections of its own, which end with it: kept open, they would take more than is kept.
        self._apart = None if seconds is not None else self

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return one object as it is kept, else read it."""
        self._check()
        for store in self._kept_of.stores:
            if store.watch.holds_object(kind, name, namespace):
                return store.get(name, namespace)
        key = ("get", kind, name, namespace)
        found: Object | None = await self._through(key, Cluster.get, kind, name, namespace)
        return found

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """Return the objects of a kind as they are kept, else read them."""
        self._check()
        labels, fields = labels or {}, fields or {}
        for store in self._kept_of.stores:
            if store.watch.holds_list(kind, namespace, labels, fields):
                return [each for each in store.all(namespace) if _has(each, labels, fields)]
        key = ("list", kind, namespace, tuple(sorted(labels.items())), tuple(sorted(fields.items())))
        found: list[Object] = await self._through(
            key, Cluster.list, kind, namespace=namespace, labels=labels, fields=fields
        )
        return found

    async def _through(self, key: object, read: Callable[..., Awaitable[Any]], *what: Any, **how: Any) -> Any:
        if self._seconds is None:
            return await self._once(key, _insisting(lambda: read(self, *what, **how)))
        return await self._kept_of.through(key, lambda: read(self, *what, **how), seconds=self._seconds)

    async def serves(self, kind: Kind) -> bool:
        """Tell whether a kind is served, as discovery last said."""
        found: bool = await self._kept_of.through(
            ("serves", kind), lambda: super(Watched, self).serves(kind), seconds=RARELY
        )
        return found

    def _check(self) -> None:
        if self._kept_of.lost is not None:
            raise self._kept_of.lost.kept()

    async def apply(self, manifest: Object, *, manager: str, force: bool, dry_run: bool) -> Object:  # noqa: ARG002
        """Refuse to. Raises ClusterError."""
        raise _writes_nothing()

    async def create(self, kind: Kind, manifest: Object, namespace: str | None = None) -> Object:  # noqa: ARG002
        """Refuse to. Raises ClusterError."""
        raise _writes_nothing()

    async def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:  # noqa: ARG002
        """Refuse to. Raises ClusterError."""
        raise _writes_nothing()


def _writes_nothing() -> ClusterError:
    return ClusterError("forbidden", "a watch writes nothing to a cluster, and tries nothing there")


def _has(live: Object, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    own = live["metadata"].get("labels") or {}
    named = fields.get("metadata.name") in {None, live["metadata"]["name"]}
    return named and all(own.get(key) == value for key, value in labels.items())


def _key(live: Object) -> tuple[str, str]:
    return live["metadata"].get("namespace") or "", live["metadata"]["name"]


def _packed(live: Object) -> bytes:
    """Write an object small, without its version, which every touch changes."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "resourceVersion"}
    written = msgspec.json.encode(live | {"metadata": metadata}, order="sorted")
    return b"z" + zlib.compress(written, 1) if len(written) > _LARGE else written


def _unpacked(packed: bytes) -> Object:
    found: Object = msgspec.json.decode(zlib.decompress(packed[1:]) if packed[:1] == b"z" else packed)
    return found


def _differ(before: bytes, after: bytes) -> bool:
    """Tell whether an object says something else: that its status was written again says nothing."""
    return before != after and _told(_unpacked(before)) != _told(_unpacked(after))


def _told(live: Object) -> Object:
    metadata = live["metadata"]
    if isinstance(managers := metadata.get("managedFields"), list):
        own = [each for each in managers if isinstance(each, dict) and each.get("subresource") != "status"]
        live = live | {"metadata": metadata | {"managedFields": own}}
    status = live.get("status")
    if isinstance(status, dict) and isinstance(conditions := status.get("conditions"), list):
        quiet = [
            {key: value for key, value in each.items() if key not in _VOLATILE} if isinstance(each, dict) else each
            for each in conditions
        ]
        live = live | {"status": status | {"conditions": quiet}}
    return live
