"""virt-operator: keeps virt-handler and the sync controller as the KubeVirt wants them, and says how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.kube.kinds import DAEMON_SET, DEPLOYMENT, KUBEVIRT, POD
from mignet.lab.operators import templates
from mignet.lab.operators.cluster_view import World, conditions
from mignet.lab.operators.controllers import of_template, pods_of
from mignet.lab.operators.pods import interface_addresses, is_ready
from mignet.lab.operators.templates import (
    GATE,
    HANDLER,
    KUBEVIRT_NAME,
    NEXT_VERSION,
    OLD_VERSION,
    RESTARTED,
    SYNCHRONIZER,
    VERSION,
    VIRT_OPERATOR,
)

if TYPE_CHECKING:
    from mignet.kube.kinds import Kind, Object

CANARY, REST = 1, "10%"
"""How many virt-handlers may be away at a time: first one, to see that it comes up, then a part of all."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    kubevirt = world.one(KUBEVIRT, KUBEVIRT_NAME)
    if kubevirt is None:
        return
    configuration = kubevirt["spec"]["configuration"]
    network = configuration["migrations"].get("network") or None
    if "annotation-missing" in world.faults:
        network = None
    generation = kubevirt["metadata"]["generation"]
    changed = await _keep(world, DAEMON_SET, templates.handler(kubevirt, network=network), network, generation)
    if GATE in configuration["developerConfiguration"]["featureGates"]:
        changed |= await _keep(
            world, DEPLOYMENT, templates.synchronizer(kubevirt, network=network), network, generation
        )
    elif (deployment := world.one(DEPLOYMENT, SYNCHRONIZER)) is not None:
        await world.delete(DEPLOYMENT, deployment)
        changed = True
    if changed:
        return
    await _canary(world)
    await _report(world, kubevirt)


async def _keep(world: World, kind: Kind, wanted: Object, network: str | None, generation: int) -> bool:
    """Create a workload, or have it ask for another network or place; whether something was or will be written."""
    there = world.one(kind, wanted["metadata"]["name"])
    if there is None:
        await world.create(kind, wanted, manager=VIRT_OPERATOR)
        return True
    was = there["spec"]["template"]
    if _restarting(world, kind, was):
        template = templates.annotated(was, network, without=RESTARTED)
        await world.replace(kind, there | {"spec": there["spec"] | {"template": template}}, manager=VIRT_OPERATOR)
        return True
    template, spec = templates.annotated(_placed(was, wanted["spec"]["template"]), network), there["spec"]
    replicas = {"replicas": wanted["spec"]["replicas"]} if kind == DEPLOYMENT else {}
    if template == was and replicas.items() <= spec.items():
        return False
    if world.lasted(("virt-operator", kind, generation, network), world.pace.notice):
        spec = spec | replicas | {"template": template}
        await world.replace(kind, there | {"spec": spec}, manager=VIRT_OPERATOR)
    return True


def _placed(template: Object, wanted: Object) -> Object:
    """Return a template whose pods may run where those of another may."""
    rest = {key: value for key, value in template["spec"].items() if key not in templates.PLACEMENT}
    place = {key: wanted["spec"][key] for key in templates.PLACEMENT if wanted["spec"].get(key)}
    return template | {"spec": rest | place}


def _restarting(world: World, kind: Kind, template: Object) -> bool:
    """Tell whether somebody restarts a workload, and it is time to take that back.

    virt-operator puts its own template back as soon as it looks: of the virt-handlers one is made anew by then
    (kubevirt#11489), of the sync controllers none goes before another one is ready.
    """
    if RESTARTED not in template["metadata"]["annotations"]:
        return False
    return kind == DEPLOYMENT or any(of_template(pod, template) for pod in pods_of(world, HANDLER))


async def _canary(world: World) -> None:
    """Let more virt-handlers go at a time once the first new one is there, and go back when all are."""
    daemon_set = world.one(DAEMON_SET, HANDLER)
    if daemon_set is None or daemon_set.get("status", {}).get("observedGeneration") != _generation(daemon_set):
        return
    status, spec = daemon_set["status"], daemon_set["spec"]
    updated, wanted = status.get("updatedNumberScheduled", 0), status["desiredNumberScheduled"]
    away = CANARY if updated in {0, wanted} or status.get("numberUnavailable") else REST
    now = spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"]
    if now == away or (now == REST and updated < wanted):
        return
    strategy = spec["updateStrategy"] | {"rollingUpdate": {"maxUnavailable": away}}
    await world.replace(DAEMON_SET, daemon_set | {"spec": spec | {"updateStrategy": strategy}}, manager=VIRT_OPERATOR)


async def _report(world: World, kubevirt: Object) -> None:
    status, generation = kubevirt.get("status", {}), _generation(kubevirt)
    ready = _rolled_out(world)
    old = status.get("conditions", [])
    if ready:
        if not world.lasted(("available", generation), world.pace.late):
            return
        reason, message = "AllComponentsReady", "All components are ready."
    else:
        reason, message = "DeploymentInProgress", f"Deploying version {VERSION} with registry stand-in.invalid/kubevirt"
    found = conditions(
        old,
        reason=reason,
        message=message,
        Available="True" if ready else "False",
        Progressing="False" if ready else "True",
        Degraded="False",
    )
    found += conditions(old, reason="AllResourcesCreated", message="All resources were created.", Created="True")
    addresses = _synchronization_addresses(world)
    faults = {"version-next": NEXT_VERSION, "version-old": OLD_VERSION}
    version = next((found for name, found in faults.items() if name in world.faults), VERSION)
    upgrading = "upgrade-running" in world.faults
    # Once deployed, it stays so while workloads roll, and while it is upgraded (pkg/virt-operator/kubevirt.go).
    deployed = ready or status.get("phase") == "Deployed"
    wanted = {
        "conditions": found,
        "observedGeneration": generation,
        "observedKubeVirtVersion": version,
        "operatorVersion": version,
        "phase": "Deployed" if deployed else "Deploying",
        "targetKubeVirtVersion": NEXT_VERSION if upgrading else version,
    } | ({"synchronizationAddresses": addresses} if addresses else {})
    await world.report(KUBEVIRT, kubevirt, wanted, manager=VIRT_OPERATOR)


def _rolled_out(world: World) -> bool:
    daemon_set, deployment = world.one(DAEMON_SET, HANDLER), world.one(DEPLOYMENT, SYNCHRONIZER)
    if daemon_set is None or not _observed(daemon_set):
        return False
    status = daemon_set["status"]
    wanted = status["desiredNumberScheduled"]
    if not wanted == status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0):
        return False
    if deployment is None:
        return True
    replicas, status = deployment["spec"]["replicas"], deployment.get("status", {})
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return _observed(deployment) and counts == [replicas] * 3


def _synchronization_addresses(world: World) -> list[str]:
    """Return where the leader among the sync controllers listens: the oldest that is ready."""
    ready = [pod for pod in world.all(POD, **{"kubevirt.io": SYNCHRONIZER}) if is_ready(pod)]
    ready.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    if not ready:
        return []
    if "sync-stale" in world.faults:
        ready = [pod for pod in world.all(POD, **{"kubevirt.io": HANDLER}) if is_ready(pod)][:1] or ready
    addresses = [] if "sync-on-pod-network" in world.faults else interface_addresses(ready[0])
    addresses = addresses or [ready[0]["status"]["podIP"]]
    # One of each family, IPv4 first as the kernel lists them.
    of_families = {":" in each: each for each in reversed(addresses)}
    return [f"[{each}]:9185" if v6 else f"{each}:9185" for v6, each in sorted(of_families.items())]


def _generation(item: Object) -> int:
    return int(item["metadata"]["generation"])


def _observed(item: Object) -> bool:
    return bool(item.get("status", {}).get("observedGeneration", 0) >= _generation(item))
