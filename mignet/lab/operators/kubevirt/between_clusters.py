"""Migrations between two clusters: what virt-controller, virt-handler and the sync controllers of each side do of them.

Each side has an instance and a migration of its own; nobody writes on the other cluster. The sync controllers tell each
other what is in the status of these: here each side looks at the other one's. Source: KubeVirt 1.6 to 1.9,
pkg/synchronization-controller, pkg/virt-controller/watch/migration/migration.go (processMigrationPhase), watch/vmi/
lifecycle.go, pkg/virt-handler/migration-source.go and migration-target.go.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mignet.kube.kinds import CONFIG_MAP, INSTANCE, KUBEVIRT, MIGRATION
from mignet.kube.kubevirt.feature_gates import version
from mignet.kube.kubevirt.machines import TARGET
from mignet.lab.operators.cluster_view import SWITCHBOARD, World, conditions, now
from mignet.lab.operators.kubevirt import ca_bundles
from mignet.lab.operators.kubevirt.virt_controller import FINAL, MANAGER, PHASES, listening, other_node, report
from mignet.lab.operators.templates import GATE, KUBEVIRT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.kube.kinds import Object
    from mignet.lab.operators.kube_api import Api

SEND, RECEIVE = "sendTo", "receive"
WAITING, FAILURE = "WaitingForSync", "DecentralizedLiveMigrationFailure"
_COURSE = {SEND: ("Synchronizing", *PHASES), RECEIVE: (WAITING, *PHASES)}
_UNTOLD = "waiting for incoming synchronization, unable to proceed"
_UNAVAILABLE = "rpc error: code = Unavailable desc = connection error: desc = "
_HANDSHAKE = f'{_UNAVAILABLE}"transport: authentication handshake failed: '
_NEVER_SEEN = "the domain was never observed on the target after the migration completed"
_FROM_ALPN = (1, 7)
_OF_TARGET = (
    "targetNode",
    "targetPod",
    "targetNodeAddress",
    "targetDirectMigrationNodePorts",
    "migrationNetworkType",
)
"""What the target alone knows."""


@dataclass(frozen=True)
class Side:
    """What one cluster is connected by."""

    kubevirt: Object
    bundle: Object | None
    faults: Mapping[str, str]

    @property
    def address(self) -> str:
        """Where the leading sync controller can be reached, as KubeVirt publishes it."""
        return str(next(iter(self.kubevirt.get("status", {}).get("synchronizationAddresses") or ()), ""))

    @property
    def has_gate(self) -> bool:
        """Whether there are sync controllers at all."""
        return GATE in self.kubevirt["spec"]["configuration"]["developerConfiguration"]["featureGates"]


@dataclass(frozen=True)
class Other:
    """The other side of a migration: its cluster, and its objects as far as there are any."""

    side: Side
    migration: Object | None = None
    instance: Object | None = None

    @property
    def state(self) -> Object:
        """What its instance says of this migration, and of no other."""
        state: Object = (self.instance or {}).get("status", {}).get("migrationState") or {}
        uid = (self.migration or {"metadata": {}})["metadata"].get("uid")
        known = [(state.get(each) or {}).get("migrationUID") for each in ("sourceState", "targetState")]
        return state if uid in known else {}


async def step(world: World) -> None:
    """Do what is to be done next."""
    for migration in world.all(MIGRATION):
        role = next((each for each in (SEND, RECEIVE) if each in migration["spec"]), None)
        if role and migration.get("status", {}).get("phase") not in FINAL:
            await _advance(world, migration, role)


async def _advance(world: World, migration: Object, role: str) -> None:
    """Take a migration one phase further, if the other side is as far."""
    metadata, phase = migration["metadata"], migration.get("status", {}).get("phase", "")
    instance = world.one(INSTANCE, migration["spec"].get("vmiName", ""), metadata["namespace"])
    state = (instance or {}).get("status", {}).get("migrationState") or {}
    if state.get("migrationUid") == metadata["uid"] and state.get("completed"):
        await report(world, migration, "Failed" if state.get("failed") else "Succeeded", state)
        return
    if instance is None or instance.get("status", {}).get("phase") in FINAL:
        await report(world, migration, "Failed")
        return
    if not world.lasted(("migration", metadata["uid"], phase), world.pace.phase):
        return
    if not phase:
        await _write(world, instance, _first(migration, instance, role))
        await report(world, migration, _COURSE[role][0])
        return
    other, why = await _other(world, migration, role)
    waits = phase == _COURSE[role][0]
    if other is None or (waits and not other.state):
        await _say(world, migration, instance, why)
    elif other.migration is None:
        ended = _ended(state, failed="the migration was canceled on the other cluster")
        await _write(world, instance, ended, phase=WAITING if role == RECEIVE else None)
    elif phase == "Running":
        await _finish(world, instance, state, role, other)
    else:
        await _go_on(world, migration, instance, role, other)


def _first(migration: Object, instance: Object, role: str) -> Object:
    uid = migration["metadata"]["uid"]
    own = {"migrationUID": uid, "virtualMachineInstanceUID": instance["metadata"]["uid"]}
    if role == RECEIVE:
        return {"targetState": own, "sourceState": {}}
    own |= {"node": instance["status"].get("nodeName", ""), "pod": _pod(instance), "nodeSelectors": {}}
    # Its own address stands on neither side: by that KubeVirt tells which one it is.
    return {"sourceState": own, "targetState": {"syncAddress": migration["spec"][SEND]["connectURL"]}}


async def _go_on(world: World, migration: Object, instance: Object, role: str, other: Other) -> None:
    uid, course = migration["metadata"]["uid"], _COURSE[role]
    following = course[course.index(migration["status"]["phase"]) + 1]
    state = dict(instance["status"]["migrationState"])
    phase = None
    if role == SEND:
        told = {key: value for key, value in other.state.get("targetState", {}).items() if key != "syncAddress"}
        state["targetState"] = state["targetState"] | told
        needs = {"Pending": "migrationUID", "Scheduled": "pod", "PreparingTarget": "node", "TargetReady": "nodeAddress"}
        if following in needs and needs[following] not in told:
            return
        if following == "Running":
            state |= {"startTimestamp": now(), "mode": "PreCopy"}
        state |= {key: other.state[key] for key in _OF_TARGET if key in other.state}
    else:
        state["sourceState"] = other.state.get("sourceState", {}) | {"syncAddress": other.side.address}
        if following == "Scheduling":
            phase = "Scheduling"
        if following == "Scheduled":
            handler = other_node(world, "")
            if handler is None:
                return
            place = {"node": handler["spec"]["nodeName"], "pod": _pod(instance)}
            state["targetState"] = state["targetState"] | place
            state |= {"targetNode": place["node"], "targetPod": place["pod"]}
        if following == "TargetReady":
            state |= listening(world, state, uid)
            phase = "Scheduled"
        if following == "Running":
            if "startTimestamp" not in other.state:
                return
            state |= {"startTimestamp": other.state["startTimestamp"], "mode": "PreCopy"}
    source = state["sourceState"]
    state |= {"migrationUid": uid, "sourceNode": source.get("node", ""), "sourcePod": source.get("pod", "")}
    await _write(world, instance, state, phase=phase)
    await report(world, migration, following)


async def _finish(world: World, instance: Object, state: Object, role: str, other: Other) -> None:
    """End a migration that copies memory: the source decides how, and the target hears of it."""
    failed = None
    if role == SEND:
        if "migration-hangs" in world.faults:
            return
        if "migration-fails" in world.faults:
            failed = "Live migration failed: unable to connect to server: Connection timed out"
        elif "crossing-runs-twice" in other.side.faults:
            failed = "Live migration failed: the connection to the target was lost"
        await _write(world, instance, _ended(state, failed=failed), phase=None if failed else "Succeeded")
        return
    if not other.state.get("completed"):
        return
    if "crossing-target-lost" in world.faults:
        await _write(world, instance, _ended(state, failed=_NEVER_SEEN), phase="Failed")
    elif other.state.get("failed") and "crossing-runs-twice" not in world.faults:
        await _write(world, instance, _ended(state, failed=other.state.get("failureReason", "")), phase=WAITING)
    else:
        await _write(world, instance, _ended(state), phase="Running")


def _ended(state: Object, failed: str | None = None) -> Object:
    ended = {"completed": True, "endTimestamp": now()}
    return (
        state
        | ended
        | ({"targetNodeDomainDetected": True} if failed is None else {"failed": True, "failureReason": failed})
    )


async def _write(world: World, instance: Object, state: Object, *, phase: str | None = None) -> None:
    """Write what an instance says of its migration; nothing is in its way any more."""
    kept = [each for each in instance["status"].get("conditions", ()) if each["type"] != FAILURE]
    status = instance["status"] | {"migrationState": state, "conditions": kept} | ({"phase": phase} if phase else {})
    metadata = instance["metadata"]
    if phase == "Running":
        node = state["targetNode"]
        found = conditions(kept, reason="", message="", Ready="True", LiveMigratable="True")
        found = [{key: value for key, value in each.items() if value} for each in found]
        status |= {"nodeName": node, "conditions": found, "migrationMethod": "LiveMigration"}
        annotations = {key: each for key, each in metadata.get("annotations", {}).items() if key != TARGET}
        labels = metadata.get("labels", {}) | {"kubevirt.io/nodeName": node}
        metadata = metadata | {"annotations": annotations, "labels": labels}
    await world.replace(INSTANCE, instance | {"metadata": metadata, "status": status}, manager=MANAGER)


async def _say(world: World, migration: Object, instance: Object, why: str) -> None:
    """Say in the conditions of both objects why nothing moves."""
    known = instance["status"].get("conditions", [])
    if why and not any(each["type"] == FAILURE and each.get("message") == why for each in known):
        (said,) = conditions([], reason="DecentralizedNotLiveMigratable", message=why, **{FAILURE: "True"})
        status = instance["status"] | {"conditions": [each for each in known if each["type"] != FAILURE] + [said]}
        await world.replace(INSTANCE, instance | {"status": status}, manager=MANAGER)
        blocked = {"type": "decentralizedMigrationBlocked", "status": "True", "reason": said["reason"], "message": why}
        changed = migration["status"] | {"conditions": [blocked]}
        await world.report(MIGRATION, migration, changed, manager=MANAGER)


async def _other(world: World, migration: Object, role: str) -> tuple[Other | None, str]:
    """Return the other side, None when the two do not talk, and what is in the way as this side knows it."""
    untold = _UNTOLD if role == RECEIVE else ""
    url, wanted = migration["spec"].get(SEND, {}).get("connectURL"), migration["spec"][role]["migrationID"]
    own = _own(world)
    for api in world.beyond.values():
        there = None if own is None else await _there(world, api)
        if own is None or there is None:
            continue
        if role == SEND and there.address != url:
            continue
        found = [each for each in await api.list(MIGRATION) if _is_of(each, role, wanted, own)]
        reached, answered = _broken(own, there), _broken(there, own)
        if role == RECEIVE:
            if not found:
                continue
            # Until it was reached itself it asks nobody.
            reached = "" if answered else reached
        if reached or answered:
            return None, reached or untold
        if not found:
            return Other(there), untold
        name, namespace = found[0]["spec"].get("vmiName", ""), found[0]["metadata"]["namespace"]
        return Other(there, found[0], await api.get(INSTANCE, name, namespace)), untold
    started = migration["status"]["phase"] != _COURSE[role][0]
    if role == RECEIVE and started and own is not None:
        return Other(own), untold
    return None, untold or f'{_UNAVAILABLE}"transport: Error while dialing: dial tcp {url}: connect: no route to host"'


def _is_of(migration: Object, role: str, wanted: str, own: Side) -> bool:
    """Whether a migration of another cluster is the other side of one that has this role and this ID here."""
    if role == SEND:
        return bool(migration["spec"].get(RECEIVE, {}).get("migrationID") == wanted)
    sent = migration["spec"].get(SEND, {})
    return bool(sent.get("migrationID") == wanted and sent.get("connectURL") == own.address)


def _own(world: World) -> Side | None:
    kubevirt = world.one(KUBEVIRT, KUBEVIRT_NAME)
    return None if kubevirt is None else Side(kubevirt, world.one(CONFIG_MAP, ca_bundles.NAME), world.faults)


async def _there(world: World, api: Api) -> Side | None:
    kubevirt = await api.get(KUBEVIRT, KUBEVIRT_NAME, world.namespace)
    if kubevirt is None:
        return None
    bundle, switchboard = [await api.get(CONFIG_MAP, name, world.namespace) for name in (ca_bundles.NAME, SWITCHBOARD)]
    return Side(kubevirt, bundle, (switchboard or {}).get("data") or {})


def _broken(one: Side, other: Side) -> str:
    """Say what keeps the sync controller of one cluster from calling that of the other; nothing if it can."""
    if not other.has_gate or not other.address:
        return f'{_UNAVAILABLE}"transport: Error while dialing: dial tcp {other.address}: connect: connection refused"'
    if "sync-unreachable" in other.faults:
        return f'{_UNAVAILABLE}"transport: Error while dialing: dial tcp {other.address}: i/o timeout"'
    if len({version(each.kubevirt) < _FROM_ALPN for each in (one, other)}) == 2:
        return f'{_HANDSHAKE}credentials: cannot check peer: missing selected ALPN property"'
    shown = ca_bundles.owned(other.bundle)
    if shown is None or ca_bundles.expiry(shown) <= datetime.now(UTC):
        return f'{_HANDSHAKE}tls: failed to verify certificate: x509: certificate has expired or is not yet valid"'
    if shown not in (one.bundle or {}).get("data", {}).get("ca-bundle", ""):
        return f'{_HANDSHAKE}tls: failed to verify certificate: x509: certificate signed by unknown authority"'
    return ""


def _pod(instance: Object) -> str:
    unique = hashlib.sha256(instance["metadata"]["uid"].encode()).hexdigest()[:5]
    return f"virt-launcher-{instance['metadata']['name']}-{unique}"
