"""What the stand-ins of one cluster see, and how they act on it: every stand-in is a step from one to the other."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mignet.kube import kinds
from mignet.lab.operators.kube_api import MANAGER, Api

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from mignet.kube.kinds import Kind, Object

MULTUS_NAMESPACE = "openshift-multus"
"""Where the pools of whereabouts are on OpenShift."""

TOOLKIT_NAMESPACE = "openshift-mtv"
"""Where the migration toolkit is on OpenShift."""

SWITCHBOARD = "lab-faults"
"""The ConfigMap in KubeVirt's namespace whose keys are the faults that are on; its values, what they are about."""

STAND_IN = "lab.migration-network/stand-in"
"""The label of everything that a stand-in made."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long the stand-ins take, in seconds. The defaults roll three nodes out in about two seconds."""

    notice: float = 0.1
    """From a change to the operator's reaction."""
    start: float = 0.3
    """From a pod's creation until it is ready."""
    late: float = 0.2
    """From the last ready pod to the conditions that say so."""
    phase: float = 0.3
    """Each phase of a migration."""


QUICK = Pace(notice=0.0, start=0.0, late=0.0, phase=0.0)
"""Every step is still taken, and seen by whoever watches."""


class World:
    """One cluster, as it was when `refresh` returned last, and all writes to it.

    `namespace` is KubeVirt's; `hyperconverged` is the kind in the version in which this cluster stores it.
    """

    def __init__(
        self,
        api: Api,
        *,
        hyperconverged: Kind,
        namespace: str,
        pace: Pace,
        number: int,
        peers: Callable[[], Awaitable[list[Object]]],
        beyond: Mapping[str, Api],
    ) -> None:
        self.namespace = namespace
        self.number = number
        """Of this cluster among the lab's, from 0."""
        self.pace = pace
        self.hyperconverged = hyperconverged
        self.peers = peers
        """Return the virt-handler pods of the other clusters."""
        self.beyond = beyond
        """The API servers of the other clusters, by their names."""
        self.peer_authorities: dict[str, str] = {}
        """The certificate of each other cluster's own authority, in PEM form, by the cluster's name."""
        self._api = api
        self._scopes: dict[Kind, str | None] = {
            hyperconverged: namespace,
            kinds.KUBEVIRT: namespace,
            kinds.DAEMON_SET: None,
            kinds.DEPLOYMENT: namespace,
            kinds.POD: None,
            kinds.CONFIG_MAP: namespace,
            kinds.FORKLIFT: TOOLKIT_NAMESPACE,
            kinds.CLUSTER_USER_NETWORK: None,
            kinds.NAMESPACE: None,
            kinds.NETWORK_ATTACHMENT: None,
            kinds.NODE: None,
            kinds.NODE_NETWORK_STATE: None,
            kinds.NODE_POLICY: None,
            kinds.NODE_ENACTMENT: None,
            kinds.IP_POOL: MULTUS_NAMESPACE,
            kinds.IP_RESERVATION: MULTUS_NAMESPACE,
            kinds.MACHINE: None,
            kinds.INSTANCE: None,
            kinds.MIGRATION: None,
            kinds.OPENSHIFT_NETWORK: None,
            kinds.OPENSHIFT_OPERATOR_NETWORK: None,
        }
        self._found: dict[Kind, list[Object]] = {}
        # What to read again, and how old it may be: None is not at all.
        self._dirty: dict[Kind, int | None] = dict.fromkeys(self._scopes)
        self._since: dict[Hashable, float] = {}
        self._asked: set[Hashable] = set()
        self._due: float | None = None
        self._said: set[str] = set()
        self.whereabouts_removed = False
        """Whether its definitions were taken away."""
        self.awake = asyncio.Event()

    async def watch(self, kind: Kind) -> None:
        """Wake up on every change of a kind, for ever."""
        async for _ in self._api.changes(kind, self._scopes[kind]):
            # The event comes out of the server's cache: what that holds is new enough.
            self._dirty.setdefault(kind, 0)
            self.awake.set()

    def learn(self, peer: str, authority: str | None) -> None:
        """Know the authority of another cluster, and wake up when it is a new one."""
        if authority is not None and self.peer_authorities.get(peer) != authority:
            self.peer_authorities[peer] = authority
            self.awake.set()

    @property
    def kinds(self) -> list[Kind]:
        """Every kind that is looked at."""
        return list(self._scopes)

    async def refresh(self) -> None:
        """Read again what has changed since the last time."""
        dirty, self._dirty = self._dirty, {}
        try:
            lists = await asyncio.gather(
                *(self._api.list(kind, self._scopes[kind], at_least=version) for kind, version in dirty.items())
            )
        except BaseException:
            self._dirty |= dict.fromkeys(dirty)
            raise
        self._found |= dict(zip(dirty, lists, strict=True))

    async def renew(self, *some: Kind) -> None:
        """Read kinds as they are now, whether their changes were heard of or not."""
        self._dirty |= dict.fromkeys(some)
        await self.refresh()

    def begin(self) -> None:
        """Begin a round: nothing is waited for yet."""
        self._asked, self._due = set(), None
        self.awake.clear()

    def end(self) -> None:
        """End a round that was whole: what was not asked about any more begins anew when it is asked about again."""
        self._since = {key: since for key, since in self._since.items() if key in self._asked}

    @property
    def settled(self) -> bool:
        """Whether nothing was written since `refresh`, and nothing changed."""
        return not self._dirty

    @property
    def due(self) -> float | None:
        """Seconds until something has lasted as long as was asked; None when nothing is waited for."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def lasted(self, what: Hashable, seconds: float) -> bool:
        """Whether this was asked in every round for so many seconds; the world wakes up when it has."""
        self._asked.add(what)
        end = self._since.setdefault(what, time.monotonic()) + seconds
        if end <= time.monotonic():
            return True
        self._due = min(end, self._due or end)
        return False

    def has_said(self, what: str) -> bool:
        """Whether this was said."""
        return what in self._said

    def said(self, what: str) -> bool:
        """Whether this was asked before, ever: for what is said once."""
        before = what in self._said
        self._said.add(what)
        return before

    def all(self, kind: Kind, **labels: str) -> list[Object]:
        """Return the objects of a kind that have these labels."""
        return [item for item in self._found[kind] if labels.items() <= item["metadata"].get("labels", {}).items()]

    def one(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None; of KubeVirt's namespace unless another is given."""
        where = (namespace or self.namespace) if kind.namespaced else None
        for item in self._found[kind]:
            if item["metadata"]["name"] == name and item["metadata"].get("namespace") == where:
                return item
        return None

    @property
    def faults(self) -> dict[str, str]:
        """The faults that are on, and what they are about."""
        switchboard = self.one(kinds.CONFIG_MAP, SWITCHBOARD)
        return dict((switchboard or {}).get("data") or {})

    async def create(self, kind: Kind, item: Object, *, manager: str = MANAGER) -> Object:
        """Create an object, labelled as made by a stand-in."""
        metadata = item["metadata"]
        labelled = metadata | {"labels": metadata.get("labels", {}) | {STAND_IN: "true"}}
        return await self._written(kind, self._api.create(kind, item | {"metadata": labelled}, manager=manager))

    async def replace(self, kind: Kind, item: Object, *, manager: str = MANAGER) -> Object:
        """Write an object that was read in this round."""
        return await self._written(kind, self._api.replace(kind, item, manager=manager))

    async def report(self, kind: Kind, item: Object, status: Object, *, manager: str = MANAGER) -> None:
        """Write the status of an object that was read in this round, if it is another."""
        if item.get("status", {}) != status:
            wanted = item | {"status": status}
            await self._written(kind, self._api.replace(kind, wanted, manager=manager, status=True))

    async def delete(self, kind: Kind, item: Object) -> None:
        """Delete an object; it is gone when this returns."""
        await self._written(kind, self._api.delete(kind, item))

    async def read(self, kind: Kind, name: str) -> Object | None:
        """Return an object that is not of a kind that is looked at, or None."""
        return await self._api.get(kind, name)

    async def _written(self, kind: Kind, write: Awaitable[Object]) -> Object:
        """Wait for a write, and read that kind again at the next refresh, as new as the write."""
        if kind not in self._scopes:
            return await write
        # Before it has answered, and when it has not said when it was: not older than now.
        self._dirty[kind] = None
        before = self._dirty
        done = await write
        version = done.get("metadata", {}).get("resourceVersion")
        if version is not None and self._dirty is before:
            self._dirty[kind] = int(version)
        return done


def now() -> str:
    """Return the time as Kubernetes writes it: to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(old: list[Object], *, reason: str, message: str, **statuses: str) -> list[Object]:
    """Return one condition for each status; one that has not changed keeps its time."""
    known = {each["type"]: each for each in old}
    found = []
    for kind, status in statuses.items():
        before = known.get(kind, {})
        time_ = before.get("lastTransitionTime") if before.get("status") == status else None
        found.append(
            {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": time_ or now()}
        )
    return found
