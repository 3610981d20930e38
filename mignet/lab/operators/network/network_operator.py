"""The cluster network operator: multus, the CNI plugins, and the reconciler of whereabouts when it is told of it.

Their pods are not made: the DaemonSets say that they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.kube.kinds import DAEMON_SET, DEFINITION, OPENSHIFT_OPERATOR_NETWORK
from mignet.lab.operators.cluster_view import MULTUS_NAMESPACE, World
from mignet.lab.operators.controllers import sorted_nodes

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

MANAGER = "cluster-network-operator"
FAULTS = "lab.migration-network/faults"
RECONCILER = "whereabouts-reconciler"
SHIM: Object = {
    "name": "whereabouts-shim",
    "namespace": "default",
    "rawCNIConfig": ('{"name":"whereabouts-shim","cniVersion":"0.3.1","type":"bridge","ipam":{"type":"whereabouts"}}'),
    "type": "Raw",
}
"""What OpenShift's documents have an administrator add, so that the reconciler runs."""

WHEREABOUTS = ("ippools.whereabouts.cni.cncf.io", "overlappingrangeipreservations.whereabouts.cni.cncf.io")
"""The definitions that come with whereabouts."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    await _definitions(world)
    network = world.one(OPENSHIFT_OPERATOR_NETWORK, "cluster")
    if network is None:
        spec = {"additionalNetworks": [SHIM], "disableMultiNetwork": False, "managementState": "Managed"}
        await world.create(OPENSHIFT_OPERATOR_NETWORK, {"metadata": {"name": "cluster"}, "spec": spec})
        return
    network = await _shim(world, network)
    told = any('"whereabouts"' in each.get("rawCNIConfig", "") for each in _additional(network))
    whereabouts = "whereabouts-missing" not in world.faults
    wanted = {
        "multus": "multus-missing" not in world.faults,
        "multus-additional-cni-plugins": "multus-missing" not in world.faults,
        RECONCILER: told and whereabouts,
    }
    for name, runs in wanted.items():
        await _daemon_set(world, name, runs=runs)


async def _shim(world: World, network: Object) -> Object:
    """Take the additional network away while the fault is on, and put it back once it is off."""
    marked = FAULTS in network["metadata"].get("annotations", {})
    wanted = "reconciler-missing" in world.faults
    if marked == wanted:
        return network
    others = [each for each in _additional(network) if each["name"] != SHIM["name"]]
    annotations = {key: each for key, each in network["metadata"].get("annotations", {}).items() if key != FAULTS}
    if wanted:
        annotations[FAULTS] = "reconciler-missing"
    spec = network["spec"] | {"additionalNetworks": others if wanted else [*others, SHIM]}
    changed = network | {"spec": spec, "metadata": network["metadata"] | {"annotations": annotations}}
    return await world.replace(OPENSHIFT_OPERATOR_NETWORK, changed)


def _additional(network: Object) -> list[Object]:
    return list(network["spec"].get("additionalNetworks") or ())


async def _daemon_set(world: World, name: str, *, runs: bool) -> None:
    there = world.one(DAEMON_SET, name, MULTUS_NAMESPACE)
    if there is None:
        if runs:
            await world.create(DAEMON_SET, _made(name), manager=MANAGER)
        return
    if not runs:
        await world.delete(DAEMON_SET, there)
        return
    nodes = len(sorted_nodes(world))
    counts = ("currentNumberScheduled", "desiredNumberScheduled", "numberAvailable", "numberReady")
    status = dict.fromkeys(counts, nodes) | {"updatedNumberScheduled": nodes, "numberMisscheduled": 0}
    status["observedGeneration"] = there["metadata"]["generation"]
    await world.report(DAEMON_SET, there, status, manager="kube-controller-manager")


def _made(name: str) -> Object:
    labels = {"app": name}
    container = {"name": name, "image": f"stand-in.invalid/openshift/{name}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "hostNetwork": True}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "namespace": MULTUS_NAMESPACE, "labels": labels}, "spec": spec}


async def _definitions(world: World) -> None:
    """Take the definitions of whereabouts away while it is missing, and serve the slim ones again after that."""
    missing = "whereabouts-missing" in world.faults
    if missing == world.whereabouts_removed:
        return
    for name in WHEREABOUTS:
        if missing:
            await world.delete(DEFINITION, {"metadata": {"name": name}})
        else:
            await _serve(world, name)
    world.whereabouts_removed = missing


async def _serve(world: World, name: str) -> None:
    from mignet.lab.seeding.definitions import SLIM, load

    if await world.read(DEFINITION, name) is None:
        slim = next(each for each in load(SLIM, hco_release="") if each["metadata"]["name"] == name)
        await world.create(DEFINITION, slim)
