"""The kubelet and multus of every node for the pods of a checkup: each has a namespace, and its command runs there."""

from __future__ import annotations

import json
import signal
from ipaddress import IPv4Interface, ip_address, ip_interface
from typing import TYPE_CHECKING

from mignet.kube.kinds import CONFIG_MAP, NETWORK_ATTACHMENT, POD
from mignet.lab.dataplane import cni
from mignet.lab.dataplane.cni import PluginError, Runtime
from mignet.lab.dataplane.plane import TWICE
from mignet.lab.dataplane.sandbox import Sandbox
from mignet.lab.errors import LabError
from mignet.lab.operators.cluster_view import now
from mignet.lab.operators.kube_api import RefusedError
from mignet.lab.operators.kubelet import status_of, stuck
from mignet.lab.operators.network import multus, pools
from mignet.lab.operators.pods import network_status

if TYPE_CHECKING:
    from pathlib import Path

    from mignet.kube.kinds import Object
    from mignet.lab.dataplane.plane import Node, Plane
    from mignet.lab.operators.cluster_view import World

CHECKUP = "migration-network.io/checkup"
"""The label of a checkup's pods. Nothing else runs here: any other pod is an object alone."""

ENDED = {"Succeeded", "Failed"}
RETRY = 1.0
"""Seconds until a sandbox that could not be made is tried again."""

UNKNOWN = 137
"""The exit code that a kubelet reports of a container that was gone when it came back."""


class Kubelet:
    """The kubelet of every node of one cluster; the pods' files are in `folder`."""

    def __init__(self, plane: Plane, cluster: str, folder: Path) -> None:
        self._plane = plane
        self._cluster = cluster
        self._folder = folder
        self._sandboxes: dict[str, Sandbox] = {}
        self._tries: dict[str, int] = {}

    async def step(self, world: World) -> None:
        """Do what is to be done next for each pod of a checkup."""
        pods = [pod for pod in world.all(POD) if CHECKUP in pod["metadata"].get("labels", {})]
        if any(_is_new(pod) and pod["metadata"]["uid"] not in self._sandboxes for pod in pods):
            # A fault that was switched before a pod was created is to hold for it.
            await world.renew(CONFIG_MAP, NETWORK_ATTACHMENT)
        try:
            self._plane.follow(world, self._cluster)
        except LabError as error:
            # Said, and tried again.
            raise RefusedError(str(error)) from error
        for gone in self._sandboxes.keys() - {pod["metadata"]["uid"] for pod in pods}:
            self._close(gone)
        for pod in pods:
            await self._advance(world, pod)

    def close(self) -> None:
        """End every pod."""
        for uid in list(self._sandboxes):
            self._close(uid)

    async def _advance(self, world: World, pod: Object) -> None:
        sandbox = self._sandboxes.get(pod["metadata"]["uid"])
        node = self._plane.node(self._cluster, pod["spec"].get("nodeName", ""))
        if node is None:
            return
        if "deletionTimestamp" in pod["metadata"]:
            await self._delete(world, pod, sandbox)
        elif pod["status"].get("phase") in ENDED:
            return
        elif sandbox is None and pod["status"].get("podIP"):
            # It ran when somebody ended the process of these stand-ins.
            await self._end(world, pod, UNKNOWN, "ContainerStatusUnknown")
        elif sandbox is None:
            await self._make(world, pod, node)
        elif not pod["status"].get("podIP"):
            # Somebody was faster with a change of the pod.
            await self._report(world, pod, sandbox)
        else:
            sandbox.show(pod)
            if sandbox.exit_code is not None:
                await self._end(world, pod, sandbox.exit_code, "Error" if sandbox.exit_code else "Completed")
            elif world.lasted(("deadline", sandbox.uid), pod["spec"].get("activeDeadlineSeconds", 10**6)):
                sandbox.signal(signal.SIGKILL)
                await self._end(world, pod, 128 + signal.SIGKILL, "DeadlineExceeded")

    async def _make(self, world: World, pod: Object, node: Node) -> None:
        uid = pod["metadata"]["uid"]
        tries = self._tries.get(uid, 0)
        if tries and not world.lasted(("retry", uid, tries), RETRY):
            return
        self._tries[uid] = tries + 1
        sandbox = Sandbox(pod, self._folder)
        try:
            sandbox.statuses = await multus.attach(world, pod)
            for found in sandbox.statuses[1:]:
                found.update(self._attach(world, pod, node, sandbox, found))
            sandbox.show(pod)
            await sandbox.start(pod, world.awake.set)
        except (multus.SandboxError, PluginError, LabError) as error:
            self._abandon(sandbox)
            refused = error if isinstance(error, multus.SandboxError) else multus.SandboxError(str(error))
            await stuck(world, pod, refused)
            # Asked now, so that the world wakes up for it.
            world.lasted(("retry", uid, tries + 1), RETRY)
        except BaseException:
            # Nobody refused: the next round tries at once.
            self._abandon(sandbox)
            self._tries[uid] = tries
            raise
        else:
            # From here on it is known, whatever the API server answers.
            self._sandboxes[uid] = sandbox
            await self._report(world, pod, sandbox)

    def _abandon(self, sandbox: Sandbox) -> None:
        sandbox.close()
        self._plane.leave(sandbox.uid)

    async def _report(self, world: World, pod: Object, sandbox: Sandbox) -> None:
        """Say that a pod runs, and its addresses."""
        annotations = pod["metadata"].get("annotations", {}) | network_status(sandbox.statuses)
        annotated = pod | {"metadata": pod["metadata"] | {"annotations": annotations}}
        pod = await world.replace(POD, annotated, manager="multus")
        address = sandbox.statuses[0]["ips"][0]
        running = {"running": {"startedAt": now()}}
        status = status_of(world, pod, "Running", running, ready=True) | {"podIP": address, "podIPs": [{"ip": address}]}
        await world.report(POD, pod, status, manager="kubelet")
        # The next pod must not get the same address.
        await world.refresh()

    def _attach(self, world: World, pod: Object, node: Node, sandbox: Sandbox, found: Object) -> Object:
        """Attach a pod as its NetworkAttachmentDefinition says, with the addresses that the model of its IPAM gave."""
        namespace, _, name = found["name"].partition("/")
        definition = world.one(NETWORK_ATTACHMENT, name, namespace) or {}
        config = json.loads(definition["spec"]["config"])
        if not (self._plane.plugins / str(config["type"])).exists():
            raise PluginError(f"the lab's data plane has no CNI plugin {config['type']}; it has bridge and macvlan")
        vlan = self._plane.prepare(world, node, config)
        owner = pools.container_id(pod)
        ipam = config.get("ipam") or {}
        if ipam.get("type") == "whereabouts":
            leased = pools.allocations(world, ipam.get("network_name", ""))
            mine = [(network, address) for network, address, each in leased if each["id"] == owner]
            given = [ip_interface(f"{address}/{network.prefixlen}") for network, address in mine]
            if TWICE in node.faults:
                for each in given:
                    if isinstance(each, IPv4Interface):
                        self._plane.impersonate(sandbox.uid, node, each, vlan)
            for route in ipam.get("routes", ()):
                self._plane.have_gateway(ip_address(route["gw"]), given, vlan)
            ipam = cni.static(list(map(str, given)), ipam)
        elif ipam.get("type") == "host-local":
            ipam |= {"dataDir": str(self._folder / "host-local" / pod["spec"]["nodeName"])}
        runnable = cni.stand_in(config, ipam)
        return sandbox.attach(Runtime(self._plane.plugins, node.host.space), runnable, found["interface"])

    async def _delete(self, world: World, pod: Object, sandbox: Sandbox | None) -> None:
        if sandbox is not None and sandbox.exit_code is None:
            sandbox.signal(signal.SIGTERM)
            # Its end wakes the world up; what does not end in time is killed.
            if not world.lasted(("grace", sandbox.uid), pod["metadata"].get("deletionGracePeriodSeconds", 30)):
                return
        self._close(pod["metadata"]["uid"])
        await self._release(world, pod)
        await world.delete(POD, pod)

    async def _end(self, world: World, pod: Object, code: int, reason: str) -> None:
        """Report the end of a pod, and give back what it held."""
        sandbox = self._sandboxes.get(pod["metadata"]["uid"])
        status = pod.get("status", {})
        old = (status.get("containerStatuses") or [{}])[0].get("state", {}).get("running", {})
        ended = {
            "exitCode": code,
            "reason": "Error" if reason == "DeadlineExceeded" else reason,
            "message": sandbox.message if sandbox else "",
            "startedAt": old.get("startedAt", now()),
            "finishedAt": now(),
            "containerID": f"cri-o://{pools.container_id(pod)}",
        }
        wanted = status_of(world, pod, "Failed" if code else "Succeeded", {"terminated": ended}, ready=False)
        if reason == "DeadlineExceeded":
            wanted |= {"reason": reason, "message": "Pod was active on the node longer than the specified deadline"}
        # Reported first: what it left is read from the files that go with it.
        await world.report(POD, pod, wanted, manager="kubelet")
        self._close(pod["metadata"]["uid"])
        await self._release(world, pod)

    async def _release(self, world: World, pod: Object) -> None:
        owner = pools.container_id(pod)
        await pools.release(world, lambda each: each == owner)

    def _close(self, uid: str) -> None:
        self._plane.leave(uid)
        self._tries.pop(uid, None)
        if sandbox := self._sandboxes.pop(uid, None):
            sandbox.close()


def _is_new(pod: Object) -> bool:
    return pod["status"].get("phase") not in ENDED and "deletionTimestamp" not in pod["metadata"]
