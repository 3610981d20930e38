"""The leases of whereabouts, as its IPPools hold them.

A pool is an object of one cluster, named after the range, `[network_name-]<range with : and / as ->`; its leases are
keyed by an address' distance from the network address. Source: whereabouts, and what the real plugin writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.attachment.ipam import Whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.stack import Stack
    from config.types.addressing import Address, Network
    from mignet.kube.kinds import Object


@dataclass(frozen=True, slots=True)
class Lease:
    """An address and the pod that has it, as `namespace/name`."""

    address: Address
    pod: str


def leases_of(stack: Stack) -> bool:
    """Tell whether the stack's addresses are leases of whereabouts."""
    return isinstance(stack.attachment.ipam, Whereabouts)


def pool_name(subnet: Network, network_name: str | None) -> str:
    """Return the name of the pool of a range.

    >>> pool_name(ipaddress.ip_network("10.200.5.0/24"), None)
    '10.200.5.0-24'
    """
    text = str(subnet).replace(":", "-").replace("/", "-")
    return text if network_name is None else f"{network_name}-{text}"


def leased(stack: Stack, live: Iterable[Object]) -> dict[Address, str]:
    """Return every address that the live pools of the stack's subnets have given, with the pod that has it."""
    ipam = stack.attachment.ipam
    if not isinstance(ipam, Whereabouts):
        return {}
    subnets = {pool_name(part.subnet, ipam.network_name): part.subnet for part in stack.parts}
    return {
        lease.address: lease.pod
        for pool in live
        if pool["metadata"]["name"] in subnets
        for lease in leases(subnets[pool["metadata"]["name"]], pool)
    }


def leases(subnet: Network, pool: Object) -> Iterator[Lease]:
    """Yield the leases of a subnet's live pool."""
    for offset, entry in (pool.get("spec", {}).get("allocations") or {}).items():
        yield Lease(subnet.network_address + int(offset), entry.get("podref", ""))
