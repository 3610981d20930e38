"""The kubelet of every node: makes the sandbox of each new pod, and starts it, or says why not."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from mignet.kube.kinds import EVENT, NODE, POD
from mignet.lab.operators import faults
from mignet.lab.operators.cluster_view import STAND_IN, World, conditions, now
from mignet.lab.operators.kube_api import StaleError
from mignet.lab.operators.network import multus, pools
from mignet.lab.operators.pods import interface_addresses, network_status
from mignet.lab.operators.templates import HANDLER, INTERFACE, NETWORK_STATUS

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

CREATING = {"waiting": {"reason": "ContainerCreating"}}

PANIC = (
    "panic: no IP found on migration0\n\ngoroutine 1 [running]:\nmain.(*virtHandlerApp).Run(0x0)\n"
    "\tcmd/virt-handler/virt-handler.go:310 +0x1\nmain.main()\n\tcmd/virt-handler/virt-handler.go:661 +0x1\n"
)
"""The end of virt-handler's log when migration0 has no address; the place in the source is made up."""


async def step(world: World) -> None:
    """Do what is to be done next for each pod that has a node."""
    await pools.free(world)
    for pod in world.all(POD, **{STAND_IN: "true"}):
        if not pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
            continue
        if not pod["status"].get("podIP"):
            await _sandbox(world, pod)
        elif not pod["status"]["containerStatuses"][0].get("started"):
            await _start(world, pod)


async def _sandbox(world: World, pod: Object) -> None:
    try:
        statuses = await multus.attach(world, pod)
    except multus.SandboxError as error:
        await stuck(world, pod, error)
        return
    if "multus-missing" not in world.faults:
        annotations = pod["metadata"].get("annotations", {}) | network_status(statuses)
        annotated = pod | {"metadata": pod["metadata"] | {"annotations": annotations}}
        pod = await world.replace(POD, annotated, manager="multus")
    address = statuses[0]["ips"][0]
    status = status_of(world, pod, "Pending", CREATING, ready=False) | {"podIP": address, "podIPs": [{"ip": address}]}
    await world.report(POD, pod, status, manager="kubelet")
    # The next pod must not get the same address.
    await world.refresh()


async def stuck(world: World, pod: Object, error: multus.SandboxError) -> None:
    """Say of a pod why its sandbox cannot be made."""
    await world.report(POD, pod, status_of(world, pod, "Pending", CREATING, ready=False), manager="kubelet")
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    owner = pools.container_id(pod)
    sandbox = f"k8s_{name}_{pod['metadata']['namespace']}_{uid}_0"
    message = (
        f"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create pod network sandbox "
        f"{sandbox}({owner}): error adding pod {pod['metadata']['namespace']}_{name} to CNI network "
        f'"multus-cni-network": plugin type="multus-shim" name="multus-cni-network" failed (add): CmdAdd (shim): CNI '
        f"request failed with status 400: 'ContainerID:\"{owner}\"': {error}"
    )
    if error.not_found:
        await _event(world, pod, "NoNetworkFound", str(error).rpartition("getKubernetesDelegate: ")[2], "multus")
    await _event(world, pod, "FailedCreatePodSandBox", message, "kubelet")


async def _start(world: World, pod: Object) -> None:
    shape = pod["metadata"].get("annotations", {}).get(faults.SHAPE, "")
    key = ("start", pod["metadata"]["uid"])
    if not world.lasted(key, world.pace.start) or "handler-held" in shape.split(","):
        await world.report(POD, pod, status_of(world, pod, "Pending", CREATING, ready=False), manager="kubelet")
    elif _panics(pod):
        await _crash(world, pod)
    else:
        running = {"running": {"startedAt": now()}}
        await world.report(POD, pod, status_of(world, pod, "Running", running, ready=True), manager="kubelet")


def _panics(pod: Object) -> bool:
    """Whether virt-handler finds migration0, and no address on it."""
    interfaces = pod["metadata"].get("annotations", {}).get(NETWORK_STATUS, "")
    is_handler = pod["metadata"]["labels"].get("kubevirt.io") == HANDLER
    return is_handler and f'"{INTERFACE}"' in interfaces and not interface_addresses(pod)


async def _crash(world: World, pod: Object) -> None:
    """Leave a pod as one looks whose program has panicked, and will be started again after a while."""
    if pod["status"].get("containerStatuses", [{}])[0].get("restartCount"):
        return
    ended = {
        "containerID": f"cri-o://{pools.container_id(pod)}",
        "exitCode": 2,
        "reason": "Error",
        "message": PANIC,
        "startedAt": now(),
        "finishedAt": now(),
    }
    text = f"back-off 10s restarting failed container={HANDLER} pod={pod['metadata']['name']}"
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
    status = status_of(world, pod, "Running", waiting, ready=False)
    status["containerStatuses"][0] |= {"restartCount": 1, "lastState": {"terminated": ended}}
    await world.report(POD, pod, status, manager="kubelet")
    await _event(world, pod, "BackOff", f"Back-off restarting failed container {HANDLER}", "kubelet")


def status_of(world: World, pod: Object, phase: str, state: Object, *, ready: bool) -> Object:
    """Return the status of a pod in that phase, whose one container is in that state."""
    old = pod.get("status", {})
    container = pod["spec"]["containers"][0]
    flag = "True" if ready else "False"
    found = conditions(old.get("conditions", []), reason="", message="", Initialized="True", PodScheduled="True")
    words = {"reason": "", "message": ""}
    if not ready:
        words = {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{container['name']}]",
        }
    found += conditions(old.get("conditions", []), **words, Ready=flag, ContainersReady=flag)
    found = [{key: value for key, value in each.items() if value} for each in found]
    status: Object = {
        "phase": phase,
        "conditions": found,
        "qosClass": old.get("qosClass", "BestEffort"),
        "startTime": old.get("startTime", now()),
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "started": ready,
                "restartCount": 0,
                "state": state,
                "lastState": {},
            }
        ],
    }
    node = world.one(NODE, pod["spec"]["nodeName"]) or {}
    hosts = [each["address"] for each in node.get("status", {}).get("addresses", ()) if each["type"] == "InternalIP"]
    if hosts:
        status |= {"hostIP": hosts[0], "hostIPs": [{"ip": hosts[0]}]}
    status |= {key: old[key] for key in ("podIP", "podIPs") if key in old}
    return status


async def _event(world: World, pod: Object, reason: str, message: str, component: str) -> None:
    """Say something about a pod, once."""
    metadata = pod["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']} {reason} {message}".encode()).hexdigest()[:16]
    event: Object = {
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": reason,
        "message": message,
        "type": "Warning",
        "count": 1,
        "firstTimestamp": now(),
        "lastTimestamp": now(),
        "source": {"component": component, "host": pod["spec"]["nodeName"]},
    }
    if world.said(event["metadata"]["name"]):
        return
    # It may have been said before these stand-ins were started anew.
    with contextlib.suppress(StaleError):
        await world.create(EVENT, event, manager="kubelet")
