"""Who else holds addresses of the migration network's range while a fault of the pool is on."""

from __future__ import annotations

import copy
import hashlib
import ipaddress
import json
from typing import TYPE_CHECKING, Any

from mignet.kube.kinds import KUBEVIRT, NETWORK_ATTACHMENT, POD
from mignet.lab import whereabouts
from mignet.lab.operators.controllers import sorted_nodes
from mignet.lab.operators.network import pools
from mignet.lab.operators.pods import interface_addresses
from mignet.lab.operators.templates import HANDLER, INTERFACE, KUBEVIRT_NAME, NETWORKS

if TYPE_CHECKING:
    from mignet.kube.kinds import Object
    from mignet.lab.operators.cluster_view import World

NAMESPACE = "default"
TENANT = "lab.migration-network/tenant"
LEAKED = "1ea4"
"""What the container ids of leaked leases begin with."""

TWICE = "1ea5"
"""What the container id of a lease begins with whose address a peer has given, too."""

LEAKS = 8
"""Leases that leak when the fault does not say how many."""

NEARLY = 1
"""Addresses that a nearly full pool has left when the fault does not say how many."""

MOST = 500
"""Pods that are made at most to fill a pool: a range that is not cut into slices is not filled."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    ipam = _ipam(world)
    await _leaks(world, ipam)
    await _of_a_peer(world, ipam)
    await _fill(world, ipam)


def _ipam(world: World) -> dict[str, Any] | None:
    """Return the IPAM configuration of the network in use, None unless it is one of whereabouts."""
    kubevirt = world.one(KUBEVIRT, KUBEVIRT_NAME)
    network = kubevirt["spec"]["configuration"]["migrations"].get("network") if kubevirt else None
    definition = world.one(NETWORK_ATTACHMENT, network) if network else None
    try:
        ipam = json.loads((definition or {}).get("spec", {}).get("config", "{}")).get("ipam", {})
    except (ValueError, AttributeError):
        return None
    return dict(ipam) if ipam.get("type") == "whereabouts" else None


async def _leaks(world: World, ipam: dict[str, Any] | None) -> None:
    about = world.faults.get("leases-leaked")
    if about is None:
        await pools.release(world, lambda owner: owner.startswith(LEAKED))
        return
    if ipam is None:
        return
    leaked = [each for _, _, each in pools.allocations(world, ipam.get("network_name", "")) if _leaked(each)]
    for number in range(len(leaked), int(about or LEAKS)):
        name = f"{HANDLER}-{hashlib.sha256(str(number).encode()).hexdigest()[:5]}"
        owner = (LEAKED + hashlib.sha256(name.encode()).hexdigest())[:64]
        try:
            await pools.grant(world, ipam, owner=owner, podref=f"{world.namespace}/{name}")
        except whereabouts.RefusedError:
            return  # The pool is full of them.


async def _of_a_peer(world: World, ipam: dict[str, Any] | None) -> None:
    """Book an address that a virt-handler of another cluster has: whereabouts here does not know that cluster."""
    if "lease-of-peer" not in world.faults:
        await pools.release(world, lambda owner: owner.startswith(TWICE))
        return
    if ipam is None or any(
        each["id"].startswith(TWICE) for _, _, each in pools.allocations(world, ipam.get("network_name", ""))
    ):
        return
    if taken := next(filter(None, map(interface_addresses, await world.peers())), None):
        given = ipaddress.ip_interface(f"{taken[0]}/{ipaddress.ip_network(ipam['range'], strict=False).prefixlen}")
        allocation = {"id": TWICE.ljust(64, "0"), "podref": f"{NAMESPACE}/elsewhere", "ifname": INTERFACE}
        await pools.book(world, given, ipam, allocation)


def _leaked(allocation: dict[str, str]) -> bool:
    return allocation["id"].startswith(LEAKED)


async def _fill(world: World, ipam: dict[str, Any] | None) -> None:
    tenants = world.all(POD, **{TENANT: "true"})
    left = 0 if "pool-full" in world.faults else None
    if "pool-nearly-full" in world.faults:
        left = int(world.faults["pool-nearly-full"] or NEARLY)
    if left is None or ipam is None:
        for pod in tenants:
            await world.delete(POD, pod)
        return
    # One that is on its way already takes an address, too.
    waiting = len([pod for pod in tenants if not pod["status"].get("podIP")])
    free = _free(world, ipam) - waiting
    network = world.one(KUBEVIRT, KUBEVIRT_NAME)
    workers = [node["metadata"]["name"] for node in sorted_nodes(world) if not node["spec"].get("taints")]
    if network is None or not workers:
        return
    name = network["spec"]["configuration"]["migrations"]["network"]
    for number in range(len(tenants), len(tenants) + max(0, free - left)):
        await world.create(POD, _tenant(number, f"{world.namespace}/{name}@net1", workers[number % len(workers)]))


def _free(world: World, ipam: dict[str, Any]) -> int:
    books = copy.deepcopy(pools.books(world, ipam))
    for number in range(MOST):
        try:
            whereabouts.give(ipam, books)
        except whereabouts.RefusedError:
            return number
    return MOST


def _tenant(number: int, network: str, node: str) -> Object:
    return {
        "metadata": {
            "name": f"tenant-{number:03}",
            "namespace": NAMESPACE,
            "labels": {TENANT: "true"},
            "annotations": {NETWORKS: network},
        },
        "spec": {"nodeName": node, "containers": [{"name": "tenant", "image": "stand-in.invalid/tenant"}]},
    }
