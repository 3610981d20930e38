"""The HyperConverged operator: copies the settings of the HyperConverged into the KubeVirt, and its state back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonpatch

from mignet.kube.kinds import KUBEVIRT
from mignet.kube.objects import value_at
from mignet.lab.operators import templates
from mignet.lab.operators.cluster_view import World, conditions
from mignet.lab.operators.templates import GATE, HYPERCONVERGED_NAME, HYPERCONVERGED_OPERATOR, KUBEVIRT_NAME

if TYPE_CHECKING:
    from mignet.kube.kinds import Object


PATCHES = "kubevirt.kubevirt.io/jsonpatch"
"""The annotation with JSON patches, which are applied to the KubeVirt after its own fields."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    hyperconverged = world.one(world.hyperconverged, HYPERCONVERGED_NAME)
    if hyperconverged is None or "operator-asleep" in world.faults:
        return
    generation = hyperconverged["metadata"]["generation"]
    migrations = _migrations(hyperconverged)
    patches = (hyperconverged["metadata"].get("annotations") or {}).get(PATCHES)
    gate = _gate(hyperconverged) and "gate-missing" not in world.faults
    kubevirt = world.one(KUBEVIRT, KUBEVIRT_NAME)
    made = templates.kubevirt(hyperconverged, migrations=migrations, gate=gate, placement=_placement(hyperconverged))
    if kubevirt is None:
        await world.create(KUBEVIRT, made, manager=HYPERCONVERGED_OPERATOR)
        return
    if patches is not None:
        await _patched(world, hyperconverged, kubevirt, made, patches)
        return
    configuration = kubevirt["spec"]["configuration"]
    gates = configuration["developerConfiguration"]["featureGates"]
    wanted_gates = [each for each in gates if each != GATE] + ([GATE] if gate else [])
    infra = made["spec"].get("infra")
    same_place = kubevirt["spec"].get("infra") == infra
    if configuration.get("migrations") != migrations or (GATE in gates) != gate or not same_place:
        if not world.lasted(("hyperconverged", generation, str(configuration.get("migrations"))), world.pace.notice):
            return
        developer = configuration["developerConfiguration"] | {"featureGates": wanted_gates}
        spec = {key: value for key, value in kubevirt["spec"].items() if key != "infra"}
        spec |= {"configuration": configuration | {"migrations": migrations, "developerConfiguration": developer}}
        spec |= {} if infra is None else {"infra": infra}
        await world.replace(KUBEVIRT, kubevirt | {"spec": spec}, manager=HYPERCONVERGED_OPERATOR)
        return
    await _report(world, hyperconverged, kubevirt)


async def _patched(world: World, hyperconverged: Object, kubevirt: Object, made: Object, patches: str) -> None:
    """Hold the KubeVirt to its own fields with the annotation's patches over them; what is no patch changes nothing.

    Source: hyperconverged-cluster-operator, controllers: paths begin with /spec/, and all patches count, or none.
    """
    try:
        operations = json.loads(patches)
        if not all(each["path"].startswith("/spec/") for each in operations):
            await _refused(world, hyperconverged, "can only modify spec fields")
            return
        spec = jsonpatch.JsonPatch(operations).apply({"spec": made["spec"]})["spec"]
    except (ValueError, TypeError, KeyError, jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        await _refused(world, hyperconverged, str(error))
        return
    if kubevirt["spec"] != spec:
        await world.replace(KUBEVIRT, kubevirt | {"spec": spec}, manager=HYPERCONVERGED_OPERATOR)
        return
    await _report(world, hyperconverged, kubevirt)


async def _refused(world: World, hyperconverged: Object, why: str) -> None:
    """Say that the annotation cannot be applied."""
    message = f"invalid jsonPatch in the {PATCHES} annotation: {why}"
    status, generation = hyperconverged.get("status", {}), hyperconverged["metadata"]["generation"]
    old = status.get("conditions", [])
    others = [each for each in old if each["type"] != "ReconcileComplete"]
    broken = conditions(old, reason="InvalidJsonPatch", message=message, ReconcileComplete="False")
    found = [each | {"observedGeneration": generation} for each in (*broken, *others)]
    wanted = status | {"conditions": found, "observedGeneration": generation}
    await world.report(world.hyperconverged, hyperconverged, wanted, manager=HYPERCONVERGED_OPERATOR)


async def _report(world: World, hyperconverged: Object, kubevirt: Object) -> None:
    """Say how far the KubeVirt is: the generation at once, the conditions late."""
    if "conditions-stale" in world.faults or "status" not in kubevirt:
        return
    status, generation = hyperconverged.get("status", {}), hyperconverged["metadata"]["generation"]
    shown = _is(hyperconverged, "Available", "True")
    ready = "conditions-early" in world.faults or _is(kubevirt, "Available", "True")
    if status.get("observedGeneration") != generation:
        # The trap of the real one: a new generation with the conditions of the old one.
        ready = shown
    elif ready == shown or not world.lasted(("report", generation, ready), world.pace.late):
        return
    found = _conditions(status.get("conditions", []), kubevirt, ready=ready)
    found = [each | {"observedGeneration": generation} for each in found]
    wanted = status | {"conditions": found, "observedGeneration": generation}
    wanted["systemHealthStatus"] = "healthy" if ready else "warning"
    await world.report(world.hyperconverged, hyperconverged, wanted, manager=HYPERCONVERGED_OPERATOR)


def _conditions(old: list[Object], kubevirt: Object, *, ready: bool) -> list[Object]:
    done = {"reason": "ReconcileCompleted", "message": "Reconcile completed successfully"}
    if ready:
        waits = done
    else:
        says = next((each["message"] for each in kubevirt["status"]["conditions"] if each["type"] == "Progressing"), "")
        waits = {"reason": "KubeVirtProgressing", "message": f"KubeVirt is progressing: {says}"}
    yes, no = ("True", "False") if ready else ("False", "True")
    return [
        *conditions(old, **done, ReconcileComplete="True"),
        *conditions(old, **waits, Available=yes, Progressing=no),
        *conditions(old, **done, Degraded="False"),
        *conditions(old, **waits, Upgradeable=yes),
    ]


def _is(item: Object, condition: str, status: str) -> bool:
    found = item.get("status", {}).get("conditions", [])
    return any(each["type"] == condition and each["status"] == status for each in found)


def _migrations(hyperconverged: Object) -> Object:
    spec: Object = hyperconverged["spec"]
    if hyperconverged["apiVersion"].endswith("/v1"):
        spec = spec.get("virtualization", {})
    return dict(spec.get("liveMigrationConfig", {}))


def _placement(hyperconverged: Object) -> Object | None:
    """Return where the parts of KubeVirt's infrastructure are to run, None when nobody says."""
    in_v1 = hyperconverged["apiVersion"].endswith("/v1")
    path = "spec.deployment.nodePlacements.infra" if in_v1 else "spec.infra.nodePlacement"
    found = value_at(hyperconverged, path)
    return found if isinstance(found, dict) else None


def _gate(hyperconverged: Object) -> bool:
    """Whether migrations between clusters are on. In v1 they are, unless the list of gates says otherwise."""
    gates = hyperconverged["spec"].get("featureGates")
    if hyperconverged["apiVersion"].endswith("/v1"):
        disabled = [each["name"].lower() for each in gates or () if each.get("state") == "Disabled"]
        return "decentralizedlivemigration" not in disabled
    return bool((gates or {}).get("decentralizedLiveMigration"))
