"""One look at a cluster: what was read of it, all at once, and what could not be read, for rules to judge."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from config.finding import unforeseen
from mignet.kube.client import Cluster, ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from config.cluster import Cluster as ClusterConfig
    from config.finding import Finding, Rule
    from config.stack import Stack
    from mignet.kube.kinds import Kind, Object

Subject = TypeVar("Subject")
T = TypeVar("T")
Other = TypeVar("Other")

STOPS = {"kubeconfig", "unreachable", "unauthorized"}
"""Reasons for which nothing at all can be read of a cluster."""


@dataclass(frozen=True, slots=True)
class Read:
    """What to read: one object when it has a name, else all of a kind, in one namespace or (None) in all of them.

    `labels` and `fields` (such as `metadata.name`) narrow a list down; an object must have all of them.
    """

    kind: Kind
    namespace: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)


class UnreadError(Exception):
    """A rule asked for what could not be read."""

    def __init__(self, kind: Kind, error: ClusterError) -> None:
        self.kind = kind
        self.error = error
        super().__init__(str(error))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one cluster held. Objects are plain dicts, as the API server serves them."""

    stack: Stack
    found: Mapping[Read, tuple[Object, ...] | ClusterError]

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Object, ...]:
        """Return all objects of a kind that were read, or those of one namespace.

        Raises UnreadError when a read of that kind was refused, and KeyError when there was none.
        """
        objects: dict[tuple[str, str], Object] = {}
        asked = False
        for read, outcome in self.found.items():
            if read.kind != kind or (namespace and read.namespace not in {None, namespace}):
                continue
            asked = True
            if isinstance(outcome, ClusterError):
                raise UnreadError(kind, outcome)
            for each in outcome:
                where = each["metadata"].get("namespace", "")
                if namespace is None or where == namespace:
                    objects[where, each["metadata"]["name"]] = each
        if not asked:
            raise KeyError(kind)
        return tuple(objects.values())

    def one(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None when it is not there. Raises as `all` does."""
        return next((each for each in self.all(kind, namespace) if each["metadata"]["name"] == name), None)

    def with_(self, other: Snapshot) -> Snapshot:
        """Return both looks as one; what both read, `other` knows better."""
        return Snapshot(self.stack, {**self.found, **other.found})

    @property
    def unread(self) -> tuple[tuple[Read, ClusterError], ...]:
        """What could not be read, and why."""
        return tuple((read, outcome) for read, outcome in self.found.items() if isinstance(outcome, ClusterError))


class OneLook(Cluster):
    """A connection that reads each thing once: all that look at the cluster through it see the same, and ask less."""

    def __init__(self, config: ClusterConfig, *, base: Path) -> None:
        super().__init__(config, base=base)
        self._read: dict[object, asyncio.Task[Any]] = {}

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Read one object, the first time."""
        return await self._once((kind, name, namespace), super().get(kind, name, namespace))

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """Read the objects of a kind, the first time."""
        narrowed = (tuple(sorted((labels or {}).items())), tuple(sorted((fields or {}).items())))
        reading = super().list(kind, namespace=namespace, labels=labels, fields=fields)
        return await self._once((kind, namespace, narrowed), reading)

    async def _once(self, key: object, reading: Coroutine[Any, Any, T]) -> T:
        if key in self._read:
            reading.close()
        else:
            self._read[key] = asyncio.ensure_future(reading)
        # Who no longer wants it takes it from nobody else.
        answer: T = await asyncio.shield(self._read[key])
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reading in self._read.values():
            reading.cancel()
        await asyncio.gather(*self._read.values(), return_exceptions=True)
        # They hold all that was read, until somebody collects cycles.
        self._read.clear()
        await super().__aexit__(kind, error, trace)


async def look(cluster: Cluster, stack: Stack, reads: Iterable[Read]) -> Snapshot:
    """Read all of it at the same time. Raises ClusterError when nothing can be read at all."""
    wanted = tuple(dict.fromkeys(reads))
    outcomes = await asyncio.gather(*(_one(cluster, read) for read in wanted))
    for outcome in outcomes:
        if isinstance(outcome, ClusterError) and outcome.reason in STOPS:
            raise outcome
    return Snapshot(stack, dict(zip(wanted, outcomes, strict=True)))


async def _one(cluster: Cluster, read: Read) -> tuple[Object, ...] | ClusterError:
    try:
        if read.name is None:
            return tuple(
                await cluster.list(read.kind, namespace=read.namespace, labels=read.labels, fields=read.fields)
            )
        found = await cluster.get(read.kind, read.name, read.namespace)
    except ClusterError as error:
        # Access is checked before an API is looked for: without it, what nobody installed is refused as well.
        if error.reason == "forbidden" and not await cluster.serves(read.kind):
            return ClusterError("not-served", f"discovery does not list {read.kind}; its operator is not installed")
        return error.kept()
    return () if found is None else (found,)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules found, and the codes that could not be judged, each with what could not be read."""

    findings: tuple[Finding, ...]
    left_out: Mapping[str, ClusterError] = field(default_factory=dict)
    unasked: frozenset[str] = frozenset()
    """Codes that there was no use in asking for, as something before them is wrong."""

    @property
    def undecided(self) -> frozenset[str]:
        """Codes of which nobody knows whether they would be found: what was known of them before has not ended."""
        unread = (code for code, error in self.left_out.items() if error.reason != "not-served")
        return self.unasked.union(each.partition(" ")[0] for each in unread)

    @property
    def not_judged(self) -> int:
        """How many rules could not be judged; those about an API that the cluster does not have do not apply to it."""
        return sum(error.reason != "not-served" for error in self.left_out.values())

    def sentences(self) -> list[str]:
        """Say what was not judged or does not apply, and why: one sentence for each reason."""
        by_reason: dict[tuple[str, str], list[str]] = {}
        for code, error in self.left_out.items():
            what = "does not apply" if error.reason == "not-served" else "not judged"
            by_reason.setdefault((what, str(error)), []).append(code)
        return [f"{what}: {', '.join(codes)}, as {reason}" for (what, reason), codes in by_reason.items()]


ODD = (AttributeError, LookupError, TypeError, ValueError)
"""What an object of another form than its API promises leads to."""


def known(value: Callable[[], T]) -> T | None:
    """Return what comes of looking closer; None where that takes what could not be read, or is in no form to be.

    The rules that need it say why.
    """
    try:
        return value()
    except (UnreadError, *ODD):
        return None


def where_served(read: Callable[[], T], otherwise: Other) -> T | Other:
    """Return what was read; `otherwise` where its API is not there, as no operator installed it. Raises UnreadError."""
    try:
        return read()
    except UnreadError as unread:
        if unread.error.reason == "not-served":
            return otherwise
        raise


def judge(rules: Iterable[Rule[Subject]], subject: Subject) -> Judged:
    """Hold a subject against rules. One that asks for what could not be read finds nothing, and is left out.

    So is one that meets an object of another form than its API promises: what other rules find is not lost for it.
    """
    findings: list[Finding] = []
    left_out: dict[str, ClusterError] = {}
    for each in rules:
        try:
            findings.extend(each(subject))
        except UnreadError as unread:
            left_out |= dict.fromkeys(each.codes, unread.error)
        except ODD as error:
            why = f"an object on the cluster has another form than its API promises: {unforeseen(error)}"
            left_out |= dict.fromkeys(each.codes, ClusterError("refused", why))
    return Judged(tuple(findings), left_out)
