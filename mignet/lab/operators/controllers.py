"""The controllers of DaemonSets and Deployments, for the two workloads of KubeVirt: pods made, replaced and counted.

There are no ReplicaSets: the pods of the Deployment name it as their owner themselves.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING

from mignet.kube.kinds import DAEMON_SET, DEPLOYMENT, NODE, POD
from mignet.kube.kubevirt.sync_controllers import SyncControllers
from mignet.kube.network.node_network import Node
from mignet.lab.operators import faults
from mignet.lab.operators.cluster_view import STAND_IN, World, conditions
from mignet.lab.operators.pods import is_ready
from mignet.lab.operators.templates import HANDLER, SYNCHRONIZER, fingerprint, owner_reference

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
HASH = {HANDLER: "controller-revision-hash", SYNCHRONIZER: "pod-template-hash"}
"""The label that says of which template a pod is."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    for pod in world.all(POD, **{STAND_IN: "true"}):
        # The kubelet's part in the deletion of a pod: here, nothing is left to end.
        if "deletionTimestamp" in pod["metadata"]:
            await world.delete(POD, pod)
    await _handlers(world)
    await _synchronizers(world)


async def _handlers(world: World) -> None:
    daemon_set = world.one(DAEMON_SET, HANDLER)
    nodes = [node["metadata"]["name"] for node in sorted_nodes(world) if not _tainted(node)]
    pods = pods_of(world, HANDLER)
    if daemon_set is None:
        for pod in pods:
            await world.delete(POD, pod)
        return
    wanted = fingerprint(daemon_set["spec"]["template"])
    by_node = await _one_a_node(world, pods)
    pods = list(by_node.values())
    for node in nodes:
        if node not in by_node:
            name = f"{HANDLER}-{_suffix()}"
            await world.create(POD, _pod(daemon_set, name, node, faults.shape(world.faults, HANDLER, node, nodes)))
    up_to_date, to_go = [], []
    for node, pod in by_node.items():
        if node not in nodes or _of_other_faults(world, pod, HANDLER, nodes):
            await world.delete(POD, pod)
        elif _hash(pod) == wanted:
            up_to_date.append(pod)
        else:
            to_go.append(pod)
    away = len(nodes) - len([pod for pod in pods if is_ready(pod)])
    for pod in sorted(to_go, key=lambda pod: nodes.index(pod["spec"]["nodeName"])):
        # One that does not run is replaced whatever the others do.
        if is_ready(pod):
            if away >= _most_away(daemon_set, len(nodes)):
                continue
            away += 1
        await world.delete(POD, pod)
    ready = len([pod for pod in pods if is_ready(pod)])
    status = {
        "currentNumberScheduled": len(by_node),
        "desiredNumberScheduled": len(nodes),
        "numberAvailable": ready,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberUnavailable": max(0, len(nodes) - ready),
        "observedGeneration": daemon_set["metadata"]["generation"],
        "updatedNumberScheduled": len(up_to_date),
    }
    if world.settled:
        # As the API server writes it: a count of none is left out where that is allowed.
        optional = {"numberAvailable", "numberUnavailable", "updatedNumberScheduled"}
        shown = {key: value for key, value in status.items() if value or key not in optional}
        await world.report(DAEMON_SET, daemon_set, shown, manager="kube-controller-manager")


async def _one_a_node(world: World, pods: list[Object]) -> dict[str, Object]:
    """Return one pod of each node, and delete the others: a create whose answer was lost was made twice."""
    by_node: dict[str, Object] = {}
    for pod in pods:
        if by_node.setdefault(pod["spec"]["nodeName"], pod) is not pod:
            await world.delete(POD, pod)
    return by_node


async def _synchronizers(world: World) -> None:
    deployment = world.one(DEPLOYMENT, SYNCHRONIZER)
    pods = pods_of(world, SYNCHRONIZER)
    if deployment is None:
        for pod in pods:
            await world.delete(POD, pod)
        return
    replicas, wanted = deployment["spec"]["replicas"], fingerprint(deployment["spec"]["template"])
    place = SyncControllers(replicas, deployment["spec"]["template"]["spec"])
    nodes = [node["metadata"]["name"] for node in sorted_nodes(world) if place.may_run_on(Node.read(node, None))]
    if not nodes:
        return
    for pod in pods:
        if pod["spec"]["nodeName"] not in nodes or _of_other_faults(world, pod, SYNCHRONIZER, nodes):
            await world.delete(POD, pod)
    new = [pod for pod in pods if _hash(pod) == wanted]
    old = [pod for pod in pods if _hash(pod) != wanted]
    # Of two replicas, 25 % surge is one more and 25 % away is none.
    if len(new) < replicas and len(pods) <= replicas:
        taken = [pod["spec"]["nodeName"] for pod in pods]
        node = min(nodes, key=lambda name: (taken.count(name), name))
        name = f"{SYNCHRONIZER}-{wanted}-{_suffix()[:5]}"
        await world.create(POD, _pod(deployment, name, node, faults.shape(world.faults, SYNCHRONIZER, node, nodes)))
    ready = [pod for pod in pods if is_ready(pod)]
    surplus = sorted(old, key=is_ready) if len(ready) > replicas or len(new) == replicas else []
    surplus += [pod for pod in old if not is_ready(pod)]
    for pod in surplus[: max(0, len(pods) - replicas)]:
        await world.delete(POD, pod)
    if world.settled:
        await _report_deployment(world, deployment, pods, new, ready)


async def _report_deployment(
    world: World, deployment: Object, pods: list[Object], new: list[Object], ready: list[Object]
) -> None:
    replicas = deployment["spec"]["replicas"]
    done = len(new) == len(pods) == len(ready) == replicas
    counts = {
        "replicas": len(pods),
        "updatedReplicas": len(new),
        "readyReplicas": len(ready),
        "availableReplicas": len(ready),
        "unavailableReplicas": max(0, max(len(pods), replicas) - len(ready)),
    }
    old = deployment.get("status", {}).get("conditions", [])
    available = len(ready) >= replicas
    found = conditions(
        old,
        reason="MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if available else 'does not have'} minimum availability.",
        Available="True" if available else "False",
    )
    found += conditions(
        old,
        reason="NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
        message=f"{len(new)} of {replicas} replicas are up to date.",
        Progressing="True",
    )
    for each in found:
        same: Object = next((known for known in old if known["type"] == each["type"]), {})
        kept = all(same.get(key) == each[key] for key in ("status", "reason", "message"))
        each["lastUpdateTime"] = same["lastUpdateTime"] if kept else each["lastTransitionTime"]
    status = {key: value for key, value in counts.items() if value}
    status |= {"conditions": found, "observedGeneration": deployment["metadata"]["generation"]}
    await world.report(DEPLOYMENT, deployment, status, manager="kube-controller-manager")


def sorted_nodes(world: World) -> list[Object]:
    """Return the nodes by name."""
    return sorted(world.all(NODE), key=lambda node: str(node["metadata"]["name"]))


def pods_of(world: World, workload: str) -> list[Object]:
    """Return the pods of one of the two workloads that are not about to go."""
    return [
        pod
        for pod in world.all(POD, **{"kubevirt.io": workload})
        if pod["metadata"]["namespace"] == world.namespace and "deletionTimestamp" not in pod["metadata"]
    ]


def _tainted(node: Object) -> bool:
    return any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints", ()))


def _most_away(daemon_set: Object, nodes: int) -> int:
    value = daemon_set["spec"]["updateStrategy"].get("rollingUpdate", {}).get("maxUnavailable", 1)
    return value if isinstance(value, int) else max(1, math.ceil(nodes * int(value.rstrip("%")) / 100))


def _of_other_faults(world: World, pod: Object, workload: str, nodes: list[str]) -> bool:
    """Whether a pod was made under other faults than those that are on: it is then made anew."""
    made_under = pod["metadata"].get("annotations", {}).get(faults.SHAPE, "")
    return bool(made_under != faults.shape(world.faults, workload, pod["spec"]["nodeName"], nodes))


def of_template(pod: Object, template: Object) -> bool:
    """Tell whether a pod was made from a template."""
    return _hash(pod) == fingerprint(template)


def _hash(pod: Object) -> str | None:
    labels: dict[str, str] = pod["metadata"].get("labels", {})
    return labels.get(HASH[labels["kubevirt.io"]])


def _pod(owner: Object, name: str, node: str, shape: str) -> Object:
    template = owner["spec"]["template"]
    workload = owner["metadata"]["name"]
    labels = template["metadata"]["labels"] | {HASH[workload]: fingerprint(template)}
    annotations = template["metadata"].get("annotations", {}) | ({faults.SHAPE: shape} if shape else {})
    return {
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"] | {"nodeName": node},
    }


def _suffix() -> str:
    return uuid.uuid4().hex[:5]
