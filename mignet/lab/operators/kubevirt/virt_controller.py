"""virt-controller: starts virtual machines, and takes each migration through its phases.

There are no virt-launcher pods: a machine that runs is its VirtualMachineInstance alone. Migrations between clusters
are the work of `between_clusters`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mignet.kube.kinds import INSTANCE, MIGRATION
from mignet.kube.kubevirt.machines import TARGET
from mignet.lab.operators.cluster_view import World, conditions, now
from mignet.lab.operators.controllers import pods_of
from mignet.lab.operators.pods import interface_addresses, is_ready
from mignet.lab.operators.templates import HANDLER

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

MANAGER = "virt-controller"
PHASES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded")
FINAL = {"Succeeded", "Failed"}


async def step(world: World) -> None:
    """Do what is to be done next."""
    for instance in world.all(INSTANCE):
        if not instance.get("status", {}).get("phase"):
            await _start(world, instance)
    for migration in world.all(MIGRATION):
        if "sendTo" in migration["spec"] or "receive" in migration["spec"]:
            continue
        if migration.get("status", {}).get("phase") not in FINAL and "deletionTimestamp" not in migration["metadata"]:
            await _advance(world, migration)


async def _start(world: World, instance: Object) -> None:
    if instance["metadata"].get("annotations", {}).get(TARGET) == "true":
        status = instance.get("status", {}) | {"phase": "WaitingForSync"}
        await world.replace(INSTANCE, instance | {"status": status}, manager=MANAGER)
        return
    handlers = [pod for pod in pods_of(world, HANDLER) if is_ready(pod)]
    if not handlers:
        return
    found = conditions([], reason="", message="", Ready="True", LiveMigratable="True")
    found = [{key: value for key, value in each.items() if value} for each in found]
    node = min(pod["spec"]["nodeName"] for pod in handlers)
    status = {"phase": "Running", "nodeName": node, "migrationMethod": "LiveMigration", "conditions": found}
    metadata = instance["metadata"]
    labels = {"labels": metadata.get("labels", {}) | {"kubevirt.io/nodeName": node}}
    # The definition has no subresource for it.
    await world.replace(INSTANCE, instance | {"metadata": metadata | labels, "status": status}, manager=MANAGER)


async def _advance(world: World, migration: Object) -> None:
    """Take a migration one phase further."""
    status = migration.get("status", {})
    phase = status.get("phase", "")
    if not world.lasted(("migration", migration["metadata"]["uid"], phase), world.pace.phase):
        return
    instance = world.one(INSTANCE, migration["spec"].get("vmiName", ""), migration["metadata"]["namespace"])
    if instance is None or instance.get("status", {}).get("phase") != "Running":
        await report(world, migration, "Pending" if phase in {"", "Pending"} else "Failed")
        return
    following = PHASES[PHASES.index(phase) + 1] if phase else PHASES[0]
    if phase == "Running" and "migration-hangs" in world.faults:
        return
    if phase == "Running" and "migration-fails" in world.faults:
        following = "Failed"
    state = _state(world, migration, instance, following)
    if state is None:
        return
    if state:
        changed = instance["status"] | {"migrationState": state}
        if following == "Succeeded":
            changed["nodeName"] = state["targetNode"]
        await world.replace(INSTANCE, instance | {"status": changed}, manager=MANAGER)
    await report(world, migration, following, state if following in FINAL else None)


def _state(world: World, migration: Object, instance: Object, phase: str) -> Object | None:
    """Return the state of the migration in `phase`, as the machine shows it: empty before it has one.

    None while no other node could take the machine.
    """
    if PHASES.index(phase if phase in PHASES else "Running") < PHASES.index("Scheduled"):
        return {}
    uid, name = migration["metadata"]["uid"], instance["metadata"]["name"]
    state: Object = instance["status"].get("migrationState", {})
    if state.get("migrationUid") != uid:
        target = other_node(world, instance["status"]["nodeName"])
        if target is None:
            return None
        state = {
            "migrationUid": uid,
            "mode": "PreCopy",
            "startTimestamp": now(),
            "sourceNode": instance["status"]["nodeName"],
            "sourcePod": f"virt-launcher-{name}-{hashlib.sha256(instance['metadata']['uid'].encode()).hexdigest()[:5]}",
            "targetNode": target["spec"]["nodeName"],
            "targetPod": f"virt-launcher-{name}-{hashlib.sha256(uid.encode()).hexdigest()[:5]}",
        }
    if phase in {"TargetReady", "Running"} and "targetNodeAddress" not in state:
        state = state | listening(world, state, uid)
    for side in ("source", "target"):
        both = {"migrationUID": uid, "node": state[f"{side}Node"], "pod": state[f"{side}Pod"]}
        both["virtualMachineInstanceUID"] = instance["metadata"]["uid"]
        state = state | {f"{side}State": state.get(f"{side}State", {}) | both}
    if phase == "Succeeded":
        state = state | {"completed": True, "endTimestamp": now(), "targetNodeDomainDetected": True}
    if phase == "Failed":
        reason = "Live migration failed: unable to connect to server: Connection timed out"
        state = state | {"completed": True, "failed": True, "endTimestamp": now(), "failureReason": reason}
    return state


def listening(world: World, state: Object, uid: str) -> Object:
    """Return where the target's virt-handler listens: random ports for the two that libvirt knows by number."""
    handler = next((pod for pod in pods_of(world, HANDLER) if pod["spec"]["nodeName"] == state["targetNode"]), None)
    if handler is None:
        return {}
    # virt-handler takes the first that the kernel lists: IPv4 before IPv6, whatever the order of assignment.
    on_network = sorted(interface_addresses(handler), key=lambda each: ":" in each)
    addresses = [] if "migration-on-pod-network" in world.faults else on_network
    address = addresses[0] if addresses else handler["status"].get("podIP", "")
    first = 33000 + int(hashlib.sha256(uid.encode()).hexdigest()[:3], 16)
    ports = {str(first): 0, str(first + 1): 49152, str(first + 2): 49153}
    return {
        "targetNodeAddress": address,
        "targetDirectMigrationNodePorts": ports,
        "migrationNetworkType": "Migration" if addresses else "Pod",
        "targetState": state.get("targetState", {}) | {"nodeAddress": address, "directMigrationNodePorts": ports},
    }


def other_node(world: World, source: str) -> Object | None:
    """Return the virt-handler of a node that could take a machine, any but `source`."""
    ready = [pod for pod in pods_of(world, HANDLER) if is_ready(pod) and pod["spec"]["nodeName"] != source]
    return min(ready, key=lambda pod: str(pod["spec"]["nodeName"]), default=None)


async def report(world: World, migration: Object, phase: str, state: Object | None = None) -> None:
    """Write the phase of a migration, if it is another, and its state once it has ended."""
    status = migration.get("status", {})
    if status.get("phase") == phase:
        return
    passed = [*status.get("phaseTransitionTimestamps", ()), {"phase": phase, "phaseTransitionTimestamp": now()}]
    changed = status | {"phase": phase, "phaseTransitionTimestamps": passed}
    if state:
        changed["migrationState"] = state
    await world.report(MIGRATION, migration, changed, manager=MANAGER)
