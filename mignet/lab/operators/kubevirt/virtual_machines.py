"""virt-controller's part for virtual machines: each has an instance, or none, as its run strategy says.

Source: KubeVirt, pkg/virt-controller/watch/vm/vm.go (syncRunStrategy). Snapshots, volumes and restarts are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.kube.kinds import INSTANCE, MACHINE
from mignet.kube.kubevirt.machines import RECEIVER, RESTORED_STRATEGY, TARGET
from mignet.kube.objects import value_at
from mignet.lab.operators.kubevirt.virt_controller import MANAGER

if TYPE_CHECKING:
    from mignet.kube.kinds import Object
    from mignet.lab.operators.cluster_view import World

FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
_STOPPED = {"Succeeded", "Failed"}


async def step(world: World) -> None:
    """Do what is to be done next."""
    for machine in world.all(MACHINE):
        metadata = machine["metadata"]
        instance = world.one(INSTANCE, metadata["name"], metadata["namespace"])
        if "deletionTimestamp" in metadata:
            await _end(world, machine, instance)
        elif FINALIZER not in metadata.get("finalizers", ()):
            finalizers = [*metadata.get("finalizers", ()), FINALIZER]
            await _written(world, machine | {"metadata": metadata | {"finalizers": finalizers}})
        else:
            await _keep(world, machine, instance)


async def _end(world: World, machine: Object, instance: Object | None) -> None:
    if "machine-stays" in world.faults:
        return
    if instance is not None:
        await world.delete(INSTANCE, instance)
        return
    metadata = machine["metadata"]
    kept = [each for each in metadata.get("finalizers", ()) if each != FINALIZER]
    await _written(world, machine | {"metadata": metadata | {"finalizers": kept}})


async def _keep(world: World, machine: Object, instance: Object | None) -> None:
    """Start or stop the instance, or go over to the strategy that counts once a migration has ended."""
    strategy = machine["spec"].get("runStrategy", "Halted")
    completed = bool(value_at(instance or {}, "status.migrationState.completed"))
    if instance is None:
        if "machine-idle" not in world.faults and strategy in {"Always", "Once", "RerunOnFailure", RECEIVER}:
            await world.create(INSTANCE, _instance(machine), manager=MANAGER)
        return
    phase = instance.get("status", {}).get("phase", "")
    if strategy == RECEIVER and completed and instance["metadata"].get("annotations", {}).get(TARGET) != "true":
        restored = machine["metadata"].get("annotations", {}).get(RESTORED_STRATEGY, RECEIVER)
        if restored != RECEIVER:
            await _written(world, machine | {"spec": machine["spec"] | {"runStrategy": restored}})
            return
    elif strategy == "Always" and phase in _STOPPED:
        if completed and value_at(instance, "status.migrationState.targetState.syncAddress"):
            # It runs on the other cluster now.
            await _written(world, machine | {"spec": machine["spec"] | {"runStrategy": "Halted"}})
        else:
            await world.delete(INSTANCE, instance)
        return
    elif strategy == "Halted":
        await world.delete(INSTANCE, instance)
        return
    shown = {"WaitingForSync": "WaitingForReceiver", "Running": "Running", "Succeeded": "Stopped"}
    status = {"created": True, "ready": phase == "Running", "printableStatus": shown.get(phase, "Starting")}
    await world.report(MACHINE, machine, machine.get("status", {}) | status, manager=MANAGER)


def _instance(machine: Object) -> Object:
    metadata, template = machine["metadata"], machine["spec"]["template"]
    of_template = template.get("metadata") or {}
    annotations = dict(of_template.get("annotations") or {})
    if machine["spec"].get("runStrategy") == RECEIVER:
        annotations[TARGET] = "true"
    owner = {"apiVersion": MACHINE.api_version, "kind": MACHINE.kind, "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": dict(of_template.get("labels") or {}),
            "annotations": annotations,
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": template["spec"],
    }


async def _written(world: World, machine: Object) -> None:
    await world.replace(MACHINE, machine, manager=MANAGER)
