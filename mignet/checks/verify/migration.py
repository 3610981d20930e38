"""One virtual machine's migration: which way it went, or where it is stuck.

KubeVirt writes the address that a migration went to into the VirtualMachineInstance; nothing else proves which network
it used. Source: KubeVirt's API, VirtualMachineInstanceMigrationState.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from components.ownership import labels
from config.finding import Finding, rule
from mignet.kube.client import ClusterError
from mignet.kube.kinds import EVENT, INSTANCE, MIGRATION, POD
from mignet.kube.kubevirt.pods import HANDLER, LABEL, moment, read_pod
from mignet.kube.network.sandbox_errors import reason
from mignet.kube.snapshot import Judged, Read, judge, look
from mignet.kube.source import current_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object
    from mignet.kube.snapshot import Snapshot

    Ask = Callable[[Stack, str], Awaitable[tuple[Object, ...]]]
    """Return the virtual machines of that name on a stack's cluster, of all namespaces. Raises ClusterError."""

POLL_SECONDS = 0.5
REFUSED = {"refused", "forbidden", "conflict"}
"""Reasons of errors by which a server that was reached says no."""
JOB = "kubevirt.io/migrationJobUID"
"""The label of a migration's target pod; its value is the migration's uid."""
DONE = {"Succeeded", "Failed"}
RUNNING = "Running"
WAITING = "WaitingForSync"
"""The phase of a virtual machine that is to arrive from another cluster, and of a migration whose other side is."""


@dataclass(frozen=True, slots=True)
class Move:
    """A look at one virtual machine. `peers` are the other stacks of the segment; `migration` the one that we made.

    `elsewhere` is the machine as the clusters of other stacks have it, by the stack's name: None when they do not, and
    an error when they could not be asked. Empty when it was not asked for.
    """

    seen: Snapshot
    namespace: str
    name: str
    peers: tuple[Stack, ...] = ()
    migration: Object | None = None
    refusal: ClusterError | None = None
    """Why the API server did not let us make one."""
    elsewhere: Mapping[str, Object | ClusterError | None] = field(default_factory=dict)
    now: datetime = field(default_factory=current_time)

    @property
    def stack(self) -> Stack:
        """The stack whose cluster was looked at."""
        return self.seen.stack

    @property
    def key(self) -> str:
        """How a finding names the virtual machine."""
        return f"VirtualMachineInstance {self.namespace}/{self.name}"

    @property
    def instance(self) -> Object | None:
        """The running virtual machine."""
        return self.seen.one(INSTANCE, self.name, self.namespace)

    @property
    def phase(self) -> str:
        """The phase of the virtual machine; Running, unless it does not."""
        return str((self.instance or {}).get("status", {}).get("phase") or "not started")

    @property
    def open(self) -> tuple[Object, ...]:
        """The migrations of this machine that have not ended, the oldest first."""
        arrives = self.phase == WAITING
        found = (
            each
            for each in self.seen.all(MIGRATION, self.namespace)
            if each.get("status", {}).get("phase") not in DONE
            and (each["spec"].get("vmiName") == self.name or (arrives and "receive" in each["spec"]))
        )
        return tuple(sorted(found, key=lambda each: str(each["metadata"]["creationTimestamp"])))

    @property
    def others(self) -> tuple[str, ...]:
        """The UIDs that this machine has, or had, on other clusters: of its last migration's source and target."""
        live = self.instance or {"metadata": {}}
        return tuple(uid for uid in _uids(live) if uid != live["metadata"].get("uid"))

    @property
    def has_left(self) -> bool:
        """Whether its last migration, which has ended, went to another cluster: the target there has another UID."""
        target = self.state.get("targetState", {}).get("virtualMachineInstanceUID")
        return bool(self.state.get("completed") and target in self.others)

    @property
    def runs_at(self) -> tuple[str, ...]:
        """The stacks on whose clusters the same machine runs, this one left out."""
        return tuple(name for name, each in self.elsewhere.items() if isinstance(each, dict) and _runs(each))

    @property
    def unasked(self) -> str:
        """Why nobody knows whether it runs elsewhere; empty when somebody does."""
        if not self.others or self.runs_at or any(isinstance(each, dict) for each in self.elsewhere.values()):
            return ""
        errors = [f"{name}: {each}" for name, each in self.elsewhere.items() if isinstance(each, ClusterError)]
        return "; ".join(errors) if errors or self.elsewhere else "no other stack of this segment has a file here"

    @property
    def state(self) -> dict[str, Any]:
        """What is known of the migration: of our own, when we made one, else of the last one."""
        state: dict[str, Any] = (self.instance or {}).get("status", {}).get("migrationState") or {}
        if self.migration is None:
            return state
        if state.get("migrationUid") == self.migration["metadata"]["uid"]:
            return state
        return self.migration.get("status", {}).get("migrationState") or {}

    @property
    def address(self) -> Address | None:
        """The address that the migration went to."""
        text = self.state.get("targetNodeAddress") or self.state.get("targetState", {}).get("nodeAddress")
        try:
            # The target's handler may add a port.
            return None if not text else ipaddress.ip_address(text.strip("[]"))
        except ValueError:
            return None

    @property
    def place(self) -> Stack | None:
        """The stack whose slice that address is in: of this cluster, or of the one that the machine moved to."""
        address = self.address
        return next((each for each in (self.stack, *self.peers) if any(address in span for span in each.spans)), None)

    @property
    def proven(self) -> str:
        """Say what the address proves."""
        place = self.place
        where = "" if place is None or place.name == self.stack.name else f" on cluster {place.name}"
        node = self.state.get("targetNode") or self.state.get("targetState", {}).get("node")
        to = f" to node {node}" if node else ""
        return f"{self.namespace}/{self.name} migrated{to}{where} over {self.address}, of the migration network"


def reads(namespace: str, name: str, stack: Stack) -> list[Read]:
    """Return what is read about a virtual machine."""
    return [
        Read(INSTANCE, namespace, name),
        Read(MIGRATION, namespace),
        Read(POD, stack.cluster.namespace, labels={LABEL: HANDLER}),
    ]


async def look_at(
    cluster: Cluster, stack: Stack, namespace: str, name: str, peers: Sequence[Stack] = (), *, ask: Ask | None = None
) -> Move:
    """Look at a virtual machine, and with `ask` on the clusters of `peers` where it has gone to or come from.

    Raises ClusterError when it may not be read on its own cluster.
    """
    seen = await look(cluster, stack, reads(namespace, name, stack))
    for _, error in seen.unread:
        raise error
    move = Move(seen, namespace, name, tuple(peers))
    if ask is None or not move.state.get("completed"):
        return move
    answers = await asyncio.gather(*(_elsewhere(move, ask, peer) for peer in peers))
    return replace(move, elsewhere=dict(zip((peer.name for peer in peers), answers, strict=True)))


async def _elsewhere(move: Move, ask: Ask, peer: Stack) -> Object | ClusterError | None:
    try:
        found = await ask(peer, move.name)
    except ClusterError as error:
        return error
    own = (move.instance or {})["metadata"]["uid"]
    # Either side may know the other.
    return next((each for each in found if each["metadata"]["uid"] in move.others or own in _uids(each)), None)


def _uids(instance: Object) -> list[str]:
    """Return the UIDs of both sides of a machine's last migration, as far as it names them."""
    state = instance.get("status", {}).get("migrationState") or {}
    uids = ((state.get(side) or {}).get("virtualMachineInstanceUID") for side in ("sourceState", "targetState"))
    return [str(uid) for uid in uids if uid]


def _runs(instance: Object) -> bool:
    return bool(instance.get("status", {}).get("phase") == RUNNING)


def _age(move: Move, live: Object) -> str:
    """Return how long ago an object was made: `40 s`, `12 min`, `5 h`, `3 days`."""
    seconds = max(0, int((move.now - moment(live["metadata"]["creationTimestamp"])).total_seconds()))
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < most * size:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86400} days"


@rule("vm-runs-twice")
def runs_twice(move: Move) -> Iterator[Finding]:
    """One machine that runs on two clusters writes to its disks, and answers for its addresses, twice.

    It comes of a migration that one side takes for failed and the other for done (kubevirt#17261).
    """
    if move.phase == RUNNING and move.state.get("completed") and move.runs_at:
        yield Finding(
            move.key,
            None,
            f"runs here and on the cluster of {', '.join(move.runs_at)} too, after one migration",
            "Find out which of the two has served its users since, and stop the other one; migrate neither before",
        )


@rule("vm-left")
def left(move: Move) -> Iterator[Finding]:
    """A machine that has left is not to be migrated from here: it may run where it went."""
    if not move.has_left or (move.phase == RUNNING and move.runs_at):
        return
    where = f"it runs on the cluster of {', '.join(move.runs_at)}" if move.runs_at else "it does not run there"
    if move.unasked:
        where = f"nobody could say whether it runs there ({move.unasked})"
    rule_ = f"is {move.phase} here, and its last migration went to another cluster; {where}"
    yield Finding(move.key, None, rule_, _there(move))


@rule("vm-left")
def stays(move: Move) -> Iterator[Finding]:
    """A migration that ended well leaves nothing behind: what runs here still, and nobody saw there, is not proven."""
    if move.phase == RUNNING and not move.runs_at and not move.state.get("failed"):
        yield from left(move)


def _there(move: Move) -> str:
    """Say where to look at a machine that is not to be migrated from here."""
    if not move.runs_at:
        return "Look on the cluster that it went to whether it runs there, before anything else is done with it here"
    return f"Look at it there: mignet verify {move.runs_at[0]} --vm {move.namespace}/{move.name}"


@rule("vm-migrating")
def migrating(move: Move) -> Iterator[Finding]:
    """A second migration beside an open one never ends: KubeVirt takes one at a time (kubevirt#18259)."""
    for each in move.open[:1]:
        name, phase = each["metadata"]["name"], each.get("status", {}).get("phase") or "not looked at by KubeVirt"
        side = ", and receives from another cluster" if "receive" in each["spec"] else ""
        yield Finding(
            move.key,
            None,
            f"is still migrating: VirtualMachineInstanceMigration {name} is {phase}{side}, and {_age(move, each)} old",
            f"Verify again when it has ended, or cancel it: oc -n {move.namespace} delete vmim {name}",
        )


@rule("vm-not-running")
def not_running(move: Move) -> Iterator[Finding]:
    """KubeVirt takes a migration of a machine that does not run, and lets it wait for ever."""
    if move.instance is not None and move.phase != RUNNING and not move.open and not move.has_left:
        yield Finding(
            move.key,
            None,
            f"is {move.phase}, not {RUNNING}: it cannot be migrated",
            "See why, and start it; or choose another virtual machine",
        )


@rule("vm-missing")
def missing(move: Move) -> Iterator[Finding]:
    """Only a virtual machine that runs can migrate."""
    if move.instance is None:
        remedy = "Start it, or correct the name: NAMESPACE/NAME of a VirtualMachineInstance"
        yield Finding(move.key, None, "does not exist", remedy)


@rule("vm-not-migratable")
def not_migratable(move: Move) -> Iterator[Finding]:
    """KubeVirt refuses to migrate a virtual machine whose disks or devices cannot move; between clusters, disks can."""
    if move.open or move.has_left or move.phase != RUNNING:
        return
    for condition in (move.instance or {}).get("status", {}).get("conditions", ()):
        if condition["type"] == "LiveMigratable" and condition["status"] == "False":
            why = condition.get("message") or condition.get("reason", "")
            remedy = "Choose another virtual machine, or fix that"
            rule_ = f"cannot migrate: {why}"
            if _storage_moves(move):
                rule_ = f"cannot migrate within this cluster, but to another one: {why}"
                remedy = "Migrate it to another cluster, which copies its disks; or choose another virtual machine"
            yield Finding(move.key, None, rule_, remedy)


def _storage_moves(move: Move) -> bool:
    """Whether KubeVirt could migrate the machine if its disks were copied, as they are between clusters."""
    conditions = (move.instance or {}).get("status", {}).get("conditions", ())
    return any(each["type"] == "StorageLiveMigratable" and each["status"] == "True" for each in conditions)


@rule("vm-never-migrated", "vm-migrating", "vm-migration-failed", "vm-other-network", "vm-before-network")
def went_over_the_network(move: Move) -> Iterator[Finding]:
    """The target's address is the proof: in the slice of the cluster that the machine moved to, or another network."""
    if move.instance is None or any(found for each in (runs_twice, stays, migrating) for found in each(move)):
        return
    state, stack = move.state, move.stack.name
    again = f"Migrate it: mignet verify {stack} --migrate {move.namespace}/{move.name}"
    if move.has_left:
        again = _there(move)
    elif move.phase != RUNNING:
        again = "Start it first; it can be migrated then"
    if not state:
        yield Finding(move.key, None, "has never migrated", again, code="vm-never-migrated", stack=stack)
    elif state.get("failed"):
        why = reason(state.get("failureReason") or "KubeVirt gives no reason")
        rule_ = f"did not move, its migration failed: {why}"
        yield Finding(move.key, None, rule_, f"Fix that. {again}", code="vm-migration-failed", stack=stack)
    elif not state.get("completed"):
        remedy = "Verify again when it has ended"
        yield Finding(move.key, None, "is still migrating", remedy, code="vm-migrating", stack=stack)
    elif move.place is None:
        address = None if move.address is None else str(move.address)
        if _before_network(move):
            ended = state.get("endTimestamp")
            rule_ = f"is where it migrated to at {ended}, before virt-handler was on the network"
            yield Finding(move.key, address, rule_, again, code="vm-before-network", stack=stack)
            return
        kind = "the pod network" if str(state.get("migrationNetworkType")).lower() == "pod" else "another network"
        spans = " and ".join(str(span) for each in (move.stack, *move.peers) for span in each.spans)
        rule_ = f"is where it migrated to: {kind}, outside of {spans}"
        remedy = "See that the virt-handlers of both nodes have migration0 (mignet verify), and migrate it again"
        yield Finding(move.key, address, rule_, remedy, code="vm-other-network", stack=stack)


def _before_network(move: Move) -> bool:
    """Tell whether the migration ended before the target node's virt-handler, as it is now, got its network."""
    ended, node = move.state.get("endTimestamp"), move.state.get("targetNode")
    pods = [pod for live in move.seen.all(POD, move.stack.cluster.namespace) if (pod := read_pod(live))]
    here = [pod.networked for pod in pods if pod.node == node] or [pod.networked for pod in pods]
    return bool(ended and here and moment(ended) < min(here))


@rule("migration-failed", "migration-unfinished")
def ended_well(move: Move) -> Iterator[Finding]:
    """A migration that does not move says why in several places: its conditions, the instance, the target's pod."""
    made = move.migration
    if made is None:
        return
    phase = made.get("status", {}).get("phase") or "not looked at by KubeVirt"
    key = f"VirtualMachineInstanceMigration {move.namespace}/{made['metadata']['name']}"
    if phase == "Failed":
        why = move.state.get("failureReason") or _conditions(made) or _target(move) or "KubeVirt gives no reason"
        rule_, remedy = f"failed: {reason(why)}", "Fix that, and migrate it again"
        yield Finding(key, None, rule_, remedy, code="migration-failed")
    elif phase != "Succeeded":
        why = _target(move) or _conditions(made)
        rule_ = f"has not ended in time, and is {phase}" + (f": {reason(why)}" if why else "")
        remedy = (
            "It goes on; verify later with --vm, or cancel it: oc -n"
            f" {move.namespace} delete vmim {made['metadata']['name']}"
        )
        yield Finding(key, None, rule_, remedy, code="migration-unfinished")


@rule("migration-refused")
def refused(move: Move) -> Iterator[Finding]:
    """What KubeVirt's webhooks and the API server refuse is no trouble of the cluster, and names what to do."""
    error = move.refusal
    if error is None:
        return
    words = str(error)
    if error.reason == "forbidden":
        remedy = f"Ask for the right to create virtualmachineinstancemigrations in namespace {move.namespace}"
    elif "in-flight" in words or "in progress" in words:
        remedy = (
            f"Verify again when that one has ended: mignet verify {move.stack.name} --vm {move.namespace}/{move.name}"
        )
    else:
        remedy = "Fix what it says, or choose another virtual machine"
    yield Finding(move.key, None, f"is not migrated: {words}", remedy)


LAST = (missing, runs_twice, stays, migrating, went_over_the_network)
BEFORE = (missing, runs_twice, left, migrating, not_running, not_migratable)
ALL = (*LAST, not_running, not_migratable)
"""All that can be said of a machine without migrating it."""
RULES = (*BEFORE, went_over_the_network, ended_well, refused)


def _conditions(live: Object) -> str:
    return "; ".join(
        each["message"]
        for each in live.get("status", {}).get("conditions", ())
        if each.get("message") and each["status"] == "True"
    )


def _target(move: Move) -> str:
    """Return why the pod that the machine is to move into does not run: the scheduler's word, or a warning about it."""
    pods = [
        each for each in move.seen.all(POD, move.namespace) if each["metadata"].get("labels", {}).get(JOB) == _uid(move)
    ]
    for pod in pods:
        for condition in pod.get("status", {}).get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition.get("message", ""))
    names = {pod["metadata"]["name"] for pod in pods}
    warnings = [
        each["message"]
        for each in move.seen.all(EVENT, move.namespace)
        if each.get("involvedObject", {}).get("name") in names and each.get("message")
    ]
    return str(warnings[-1]) if warnings else ""


def _uid(move: Move) -> str:
    return "" if move.migration is None else str(move.migration["metadata"]["uid"])


async def migrate(
    cluster: Cluster, before: Move, *, within: float, progress: Callable[[str], None]
) -> tuple[Judged, Move]:
    """Migrate a virtual machine: create a migration, follow it for at most `within` seconds, and judge its address.

    The one thing here that changes a cluster. What was made stays: KubeVirt keeps it with the machine's history. Raises
    ClusterError when the API server refuses.
    """
    manifest = {
        "metadata": {
            "generateName": "mignet-verify-",
            "namespace": before.namespace,
            "labels": labels(before.stack.name),
        },
        "spec": {"vmiName": before.name},
    }
    try:
        made = await cluster.create(MIGRATION, manifest, before.namespace)
    except ClusterError as error:
        if error.reason not in REFUSED:
            raise
        return judge((refused,), replace(before, refusal=error)), before
    name, deadline, said = made["metadata"]["name"], time.monotonic() + within, ""
    while True:
        phase = made.get("status", {}).get("phase") or "created"
        if phase != said:
            progress(f"{before.namespace}/{before.name} migrates ({name}): {phase}")
            said = phase
        if phase in DONE or time.monotonic() >= deadline:
            break
        await asyncio.sleep(max(min(POLL_SECONDS, deadline - time.monotonic()), 0))
        # One that somebody deletes is as it was last seen.
        made = await cluster.get(MIGRATION, name, before.namespace) or made
    after = await _afterwards(cluster, before, made)
    judged = judge((ended_well,), after)
    return (judged if judged.findings else judge(LAST, after)), after


async def _afterwards(cluster: Cluster, before: Move, made: Object) -> Move:
    """Look at the machine once more, and at why the target's pod does not run, when the migration did not succeed."""
    more = []
    if made.get("status", {}).get("phase") != "Succeeded":
        more = [
            Read(POD, before.namespace, labels={JOB: made["metadata"]["uid"]}),
            Read(EVENT, before.namespace, fields={"type": "Warning"}),
        ]
    seen = await look(cluster, before.stack, [*reads(before.namespace, before.name, before.stack), *more])
    return Move(seen, before.namespace, before.name, before.peers, made)
