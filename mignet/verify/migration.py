"""One virtual machine's migration: which way it went, or where it is stuck.

KubeVirt writes the address that a migration went to into the VirtualMachineInstance; nothing else proves which network
it used. Source: KubeVirt's API, VirtualMachineInstanceMigrationState.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.ownership import labels
from config.findings import Finding, rule
from mignet.kinds import EVENT, INSTANCE, MIGRATION, POD
from mignet.snapshot import Read, judge, look
from mignet.verify.errors import reason
from mignet.verify.pods import HANDLER, LABEL, moment, read_pod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from config.addressing import Address
    from config.stack import Stack
    from mignet.cluster import Cluster
    from mignet.kinds import Object
    from mignet.snapshot import Judged, Snapshot

POLL_SECONDS = 0.5
JOB = "kubevirt.io/migrationJobUID"
"""The label of a migration's target pod; its value is the migration's uid."""
DONE = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class Move:
    """A look at one virtual machine. `peers` are the other stacks of the segment; `migration` the one that we made."""

    seen: Snapshot
    namespace: str
    name: str
    peers: tuple[Stack, ...] = ()
    migration: Object | None = None

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
    return [Read(INSTANCE, namespace, name), Read(POD, stack.cluster.namespace, labels={LABEL: HANDLER})]


async def look_at(cluster: Cluster, stack: Stack, namespace: str, name: str, peers: Sequence[Stack] = ()) -> Move:
    """Look at a virtual machine. Raises ClusterError when it may not be read."""
    seen = await look(cluster, stack, reads(namespace, name, stack))
    for _, error in seen.unread:
        raise error
    return Move(seen, namespace, name, tuple(peers))


@rule("vm-missing")
def missing(move: Move) -> Iterator[Finding]:
    """Only a virtual machine that runs can migrate."""
    if move.instance is None:
        remedy = "Start it, or correct the name: NAMESPACE/NAME of a VirtualMachineInstance"
        yield Finding("error", "vm-missing", move.stack.name, move.key, None, "does not exist", remedy)


@rule("vm-not-migratable")
def not_migratable(move: Move) -> Iterator[Finding]:
    """KubeVirt refuses to migrate a virtual machine whose disks or devices cannot move."""
    for condition in (move.instance or {}).get("status", {}).get("conditions", ()):
        if condition["type"] == "LiveMigratable" and condition["status"] == "False":
            why = condition.get("message") or condition.get("reason", "")
            remedy = "Choose another virtual machine, or mend that"
            rule_ = f"cannot migrate: {why}"
            yield Finding("error", "vm-not-migratable", move.stack.name, move.key, None, rule_, remedy)


@rule("vm-never-migrated", "vm-migrating", "vm-migration-failed", "vm-other-network", "vm-before-network")
def went_over_the_network(move: Move) -> Iterator[Finding]:
    """The target's address is the proof: in the slice of the cluster that the machine moved to, or another network."""
    if move.instance is None:
        return
    state, stack = move.state, move.stack.name
    again = f"Migrate it: mignet verify {stack} --migrate {move.namespace}/{move.name}"
    if not state:
        yield Finding("error", "vm-never-migrated", stack, move.key, None, "has never migrated", again)
    elif state.get("failed"):
        why = reason(state.get("failureReason") or "KubeVirt gives no reason")
        rule_ = f"did not move, its migration failed: {why}"
        yield Finding("error", "vm-migration-failed", stack, move.key, None, rule_, f"Mend that. {again}")
    elif not state.get("completed"):
        remedy = "Verify again when it has ended"
        yield Finding("error", "vm-migrating", stack, move.key, None, "is still migrating", remedy)
    elif move.place is None:
        address = None if move.address is None else str(move.address)
        if _before_network(move):
            ended = state.get("endTimestamp")
            rule_ = f"is where it migrated to at {ended}, before virt-handler was on the network"
            yield Finding("error", "vm-before-network", stack, move.key, address, rule_, again)
            return
        kind = "the pod network" if str(state.get("migrationNetworkType")).lower() == "pod" else "another network"
        spans = " and ".join(str(span) for each in (move.stack, *move.peers) for span in each.spans)
        rule_ = f"is where it migrated to: {kind}, outside of {spans}"
        remedy = "See that the virt-handlers of both nodes have migration0 (mignet verify), and migrate it again"
        yield Finding("error", "vm-other-network", stack, move.key, address, rule_, remedy)


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
        rule_, remedy = f"failed: {reason(why)}", "Mend that, and migrate it again"
        yield Finding("error", "migration-failed", move.stack.name, key, None, rule_, remedy)
    elif phase != "Succeeded":
        why = _target(move) or _conditions(made)
        rule_ = f"has not ended in time, and is {phase}" + (f": {reason(why)}" if why else "")
        remedy = (
            "It goes on; verify later with --vm, or cancel it: oc -n"
            f" {move.namespace} delete vmim {made['metadata']['name']}"
        )
        yield Finding("error", "migration-unfinished", move.stack.name, key, None, rule_, remedy)


LAST = (missing, went_over_the_network)
BEFORE = (missing, not_migratable)
RULES = (missing, not_migratable, went_over_the_network, ended_well)


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
    made = await cluster.create(MIGRATION, manifest, before.namespace)
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
