"""The books of whereabouts as its custom resources hold them: a pool for each range, a reservation for each address.

Names and keys as in whereabouts 0.9: a pool is `[<network_name>-]<range>`, with `:` and `/` as `-`; an allocation is
keyed by the offset from the network's address.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, Any

from mignet.kube.kinds import IP_POOL, IP_RESERVATION, POD
from mignet.lab import whereabouts
from mignet.lab.operators.cluster_view import MULTUS_NAMESPACE, World
from mignet.lab.operators.templates import INTERFACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mignet.kube.kinds import Object
    from mignet.lab.whereabouts import Interface

MANAGER = "whereabouts"
"""The field manager of the pools."""

OURS = "1ab"
"""What the container ids of the stand-ins' pods begin with: a real one is a hash, as is the rest of these."""


def container_id(pod: Object) -> str:
    """Return the id that a container runtime would give to the sandbox of a pod."""
    return (OURS + hashlib.sha256(pod["metadata"]["uid"].encode()).hexdigest())[:64]


def reference(pod: Object) -> str:
    """Return what a lease calls its pod."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


async def lease(world: World, pod: Object, ipam: dict[str, Any], *, interface: str) -> tuple[Interface, ...]:
    """Give a pod its addresses, as the plugin does, and book them. Raises whereabouts.RefusedError.

    A pod that has its lease already gets the same again.
    """
    owner = container_id(pod)
    held = [
        ipaddress.ip_interface(f"{address}/{network.prefixlen}")
        for network, address, allocation in allocations(world, ipam.get("network_name", ""))
        if allocation["id"] == owner
    ]
    return tuple(held) or await grant(world, ipam, owner=owner, podref=reference(pod), interface=interface)


async def grant(
    world: World, ipam: dict[str, Any], *, owner: str, podref: str, interface: str = INTERFACE
) -> tuple[Interface, ...]:
    """Give the lowest free addresses to somebody, and book them. Raises whereabouts.RefusedError."""
    given = whereabouts.give(ipam, books(world, ipam))
    for each in given:
        await book(world, each, ipam, {"id": owner, "podref": podref, "ifname": interface})
    return given


async def book(world: World, given: Interface, ipam: dict[str, Any], allocation: dict[str, str]) -> None:
    """Write one address into its pool, and reserve it in the cluster."""
    network, network_name = given.network, ipam.get("network_name", "")
    offset = str(int(given.ip) - int(network.network_address))
    name = pool_name(str(network), network_name)
    pool = world.one(IP_POOL, name, MULTUS_NAMESPACE)
    if pool is None:
        metadata = {"name": name, "namespace": MULTUS_NAMESPACE}
        spec = {"range": str(network), "allocations": {offset: allocation}}
        await world.create(IP_POOL, {"metadata": metadata, "spec": spec}, manager=MANAGER)
    else:
        spec = pool["spec"] | {"allocations": pool["spec"]["allocations"] | {offset: allocation}}
        await world.replace(IP_POOL, pool | {"spec": spec}, manager=MANAGER)
    if ipam.get("enable_overlapping_ranges", True):
        name = reservation_name(str(given.ip), network_name)
        if world.one(IP_RESERVATION, name, MULTUS_NAMESPACE) is None:
            metadata = {"name": name, "namespace": MULTUS_NAMESPACE}
            spec = {"podref": allocation["podref"], "ifname": allocation["ifname"], "containerid": allocation["id"]}
            await world.create(IP_RESERVATION, {"metadata": metadata, "spec": spec}, manager=MANAGER)
    await world.refresh()


async def free(world: World) -> None:
    """Give back what pods held that are gone: what the kubelet has the plugins do when it ends a pod."""
    alive = {container_id(pod) for pod in world.all(POD)}
    await release(world, lambda owner: owner.startswith(OURS) and owner not in alive)


async def release(world: World, gone: Callable[[str], bool]) -> None:
    """Give back every lease of an owner who is gone."""
    for pool in world.all(IP_POOL):
        kept = {key: each for key, each in pool["spec"]["allocations"].items() if not gone(each["id"])}
        if kept != pool["spec"]["allocations"]:
            spec = pool["spec"] | {"allocations": kept}
            await world.replace(IP_POOL, pool | {"spec": spec}, manager=MANAGER)
    for reservation in world.all(IP_RESERVATION):
        if gone(reservation["spec"].get("containerid", "")):
            await world.delete(IP_RESERVATION, reservation)


def allocations(
    world: World, network_name: str
) -> list[tuple[whereabouts.Network, whereabouts.Address, dict[str, str]]]:
    """Return every lease of the pools of one network name: the network, the address, and whose it is."""
    found = []
    for pool in world.all(IP_POOL):
        network = ipaddress.ip_network(pool["spec"]["range"])
        if pool["metadata"]["name"] != pool_name(str(network), network_name):
            continue
        for offset, allocation in pool["spec"]["allocations"].items():
            found.append((network, network.network_address + int(offset), allocation))
    return found


def pool_name(network: str, network_name: str) -> str:
    """Return the name of the IPPool of a range."""
    return "-".join(filter(None, [network_name, network.replace(":", "-").replace("/", "-")]))


def reservation_name(address: str, network_name: str) -> str:
    """Return the name of the reservation of an address."""
    text = f"{address}0" if address.endswith(":") else address
    return "-".join(filter(None, [network_name, text.replace(":", "-")]))


def books(world: World, ipam: dict[str, Any]) -> whereabouts.Books:
    """Return what is booked, for the allocator."""
    found = whereabouts.Books()
    for network, address, _ in allocations(world, ipam.get("network_name", "")):
        found.pools.setdefault(network, whereabouts.Pool(network)).readable.add(int(address))
    for reservation in world.all(IP_RESERVATION):
        name, prefix = reservation["metadata"]["name"], ipam.get("network_name", "")
        text = name.removeprefix(f"{prefix}-") if prefix else name
        try:
            address = ipaddress.ip_address(text if "." in text else text.replace("-", ":"))
        except ValueError:
            continue  # Of another network name.
        found.everywhere[address.version].add(int(address))
    return found
