"""The books of whereabouts: which addresses of the slice are leased, to whom, and how long they will do.

A pool is an object of one cluster, named after the range, `[network_name-]<range with : and / as ->`; its leases are
keyed by an address' distance from the network address. Source: whereabouts, and what the real plugin writes.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from config.attachment.ipam import Whereabouts
from config.finding import Finding, few, rule
from config.planning.demand import SURGE, demand_of
from config.types.addressing import AddressRange
from mignet.checks.verify.addresses import holders
from mignet.checks.verify.rollout import wanted
from mignet.kube.client import ClusterError
from mignet.kube.kinds import IP_POOL, IP_RESERVATION, POD
from mignet.kube.kubevirt.pods import HANDLER, SYNC
from mignet.kube.network.whereabouts import Lease, leases, pool_name
from mignet.kube.snapshot import Read, UnreadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.address_share import Part
    from config.stack import Stack
    from config.types.addressing import Address, Network
    from mignet.checks.verify.sight import Sight
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod
    from mignet.kube.snapshot import Snapshot

NO_ADDRESS = "could not allocate ip"
"""What whereabouts says, in small letters, when its range is full."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The pool of one of the stack's subnets."""

    name: str
    part: Part
    given: tuple[AddressRange, ...]
    """What pods of this stack can get."""
    leases: tuple[Lease, ...]

    @property
    def size(self) -> int:
        """Number of addresses that pods of this stack can get."""
        return sum(each.size for each in self.given)

    @property
    def inside(self) -> list[Lease]:
        """Leases in the stack's part."""
        return [lease for lease in self.leases if lease.address in self.part.span]

    @property
    def free(self) -> int:
        """Addresses of the stack that nobody has."""
        return self.size - sum(any(lease.address in each for each in self.given) for lease in self.leases)

    def __str__(self) -> str:
        return f"{len(self.inside)} of {self.size} addresses leased in IPPool {self.name}"


def pools(sight: Sight) -> list[Pool]:
    """Return the pools of the stack that exist, one for each subnet. Raises UnreadError."""
    ipam = sight.stack.attachment.ipam
    if not isinstance(ipam, Whereabouts):
        return []
    live = {each["metadata"]["name"]: each for each in sight.seen.all(IP_POOL)}
    found = []
    for part in sight.stack.parts:
        name = pool_name(part.subnet, ipam.network_name)
        if name in live:
            found.append(Pool(name, part, tuple(ipam.free(part)), tuple(leases(part.subnet, live[name]))))
    return found


def full(sight: Sight) -> bool:
    """Tell whether one of the pools has nothing left. Raises UnreadError."""
    return any(not pool.free for pool in pools(sight))


def strangers(seen: Snapshot, known: Iterable[str]) -> list[Read]:
    """Return reads of the pods, as far as they are not known, that hold leases of the stack's subnets."""
    ipam = seen.stack.attachment.ipam
    if not isinstance(ipam, Whereabouts):
        return []
    try:
        live = seen.all(IP_POOL)
    except UnreadError:
        return []
    held = {
        lease.pod
        for part in seen.stack.parts
        for pool in live
        if pool["metadata"]["name"] == pool_name(part.subnet, ipam.network_name)
        for lease in leases(part.subnet, pool)
    }
    unknown = sorted(held - set(known))
    named = (each.partition("/") for each in unknown if "/" in each)
    return [Read(POD, namespace, fields={"metadata.name": name}) for namespace, _, name in islice(named, LOOKED_UP)]


LOOKED_UP = 200
"""Pods that are looked up one by one to see whether a lease is leaked; the others are not judged."""


@rule("pool-missing")
def pool_missing(sight: Sight) -> Iterator[Finding]:
    """Pods with addresses of the slice, and no pool of its range: another configuration made them, in other books."""
    found = {pool.name for pool in pools(sight)}
    ipam, addresses = sight.stack.attachment.ipam, list(holders(sight.attached))
    if not isinstance(ipam, Whereabouts):
        return
    for part in sight.stack.parts:
        name = pool_name(part.subnet, ipam.network_name)
        if name in found or not any(address in part.span for address in addresses):
            continue
        others = [each["metadata"]["name"] for each in sight.seen.all(IP_POOL) if _overlaps(each, part.subnet)]
        there = f"; there is {', '.join(others)}" if others else ""
        yield Finding(
            f"IPPool {name}",
            None,
            f"does not exist, and pods have addresses of {part.span}{there}",
            "See which attachment the pods were made from; restart them when it is the right one",
        )


def _overlaps(pool: Object, subnet: Network) -> bool:
    try:
        return ipaddress.ip_network(pool.get("spec", {}).get("range", ""), strict=False).overlaps(subnet)
    except (ValueError, TypeError):
        return False


@rule("lease-outside")
def lease_outside(sight: Sight) -> Iterator[Finding]:
    """A lease in another cluster's part of the range is given by that cluster, too."""
    for pool in pools(sight):
        outside = [lease for lease in pool.leases if lease.address not in pool.part.span]
        # What the pods themselves show is said of them.
        shown = set(holders(sight.living))
        unsaid = [lease for lease in outside if lease.address not in shown]
        if unsaid:
            lease = unsaid[0]
            more = f" (and {len(unsaid) - 1} more)" if len(unsaid) > 1 else ""
            yield Finding(
                f"IPPool {pool.name}",
                str(lease.address),
                f"is leased to {lease.pod}, and outside of this cluster's slice {pool.part.span}{more}",
                "See which attachment of this range gives it; restart that pod when it is fixed",
            )


@rule("lease-leaked", severity="warning")
def lease_leaked(sight: Sight) -> Iterator[Finding]:
    """The lease of a pod that is gone takes an address until whereabouts' reconciler finds it, once a day at best."""
    pods = {pod.reference: pod for pod in sight.pods}
    for pool in pools(sight):
        held: defaultdict[str, set[Address]] = defaultdict(set)
        for lease in pool.leases:
            held[lease.pod].add(lease.address)
        leaked = [lease for lease in pool.inside if _leaked(sight, pods.get(lease.pod), held[lease.pod], lease)]
        if leaked:
            some = few(f"{lease.address} of {lease.pod}" for lease in leaked)
            yield Finding(
                f"IPPool {pool.name}",
                None,
                f"has {len(leaked)} lease{'s' if len(leaked) > 1 else ''} of pods that are gone: {some}",
                "whereabouts' reconciler takes them back; see that it runs (mignet preflight), or remove those entries",
            )


def _leaked(sight: Sight, pod: Pod | None, held: set[Address], lease: Lease) -> bool:
    """Tell whether no pod has a lease: there is none of that name, or it has another lease and uses that one.

    `held` are the addresses that the pool has given to that name.
    """
    if pod is not None:
        used = set(() if pod.link is None else pod.link.addresses)
        return lease.address not in used and not used.isdisjoint(held)
    outcome = sight.holders.get(lease.pod)
    return outcome is not None and not isinstance(outcome, ClusterError) and not outcome


@rule("pool-runs-out", severity="warning")
def pool_runs_out(sight: Sight) -> Iterator[Finding]:
    """Each rollout needs an address beyond the pods' own; without one it stops at the first pod."""
    handler, sync = (sight.workload(role) for role in (HANDLER, SYNC))
    nodes, syncs = (0 if each is None else wanted(each) for each in (handler, sync))
    to_come = max(nodes, sight.stack.cluster.nodes or 0)
    demand = demand_of(sight.stack.cluster, nodes=to_come, sync_controllers=syncs)
    for pool in pools(sight):
        if demand is None or (pool.free >= SURGE and pool.size >= demand.total and pool.size >= nodes + syncs + SURGE):
            continue
        most = pool.size - syncs - SURGE
        yield Finding(
            f"IPPool {pool.name}",
            None,
            f"has {pool.free} of {pool.size} addresses free; they do for {max(most, 0)} nodes, and there are {nodes}"
            f" (it needs {demand.total}: {demand})",
            f"Give the stack more addresses: mignet allocate {sight.stack.name}, then mignet up",
        )


@rule("reservation-stray", severity="warning")
def reservation_stray(sight: Sight) -> Iterator[Finding]:
    """Whereabouts gives no address that is reserved, on behalf of whichever pool: a stray one is lost to the slice."""
    ipam = sight.stack.attachment.ipam
    if not isinstance(ipam, Whereabouts):
        return
    there, network_name = pools(sight), ipam.network_name
    leases = {lease.address: lease.pod for pool in there for lease in pool.leases}
    spans = [pool.part.span for pool in there]
    strays = []
    for each in sight.seen.all(IP_RESERVATION):
        address = _reserved(each["metadata"]["name"], network_name)
        owner = each.get("spec", {}).get("podref", "")
        if address is None or not any(address in span for span in spans) or leases.get(address) == owner:
            continue
        has = f"the lease is {leases[address]}'s" if address in leases else "there is no such lease"
        strays.append((each["metadata"], f"keeps {address} for {owner}, and {has}"))
    if strays:
        metadata, said = strays[0]
        more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
        yield Finding(
            f"OverlappingRangeIPReservation {metadata['namespace']}/{metadata['name']}{more}",
            None,
            said,
            "Delete it when that pod is gone; else see which attachment of an overlapping range the pod uses",
        )


def _reserved(name: str, network_name: str | None) -> Address | None:
    """Return the address that a reservation of one network is named after: its name in front, `:` written as `-`.

    None for one of another network: it keeps no address from this one.

    >>> _reserved("mig-1-fd00-200--5", "mig-1")
    IPv6Address('fd00:200::5')
    """
    if network_name is not None:
        if not name.startswith(f"{network_name}-"):
            return None
        name = name.removeprefix(f"{network_name}-")
    for text in (name, name.replace("-", ":")):
        try:
            return ipaddress.ip_address(text)
        except ValueError:
            continue
    return None


RULES = (pool_missing, lease_outside, lease_leaked, pool_runs_out, reservation_stray)


def used(stack: Stack, addresses: Iterable[Address]) -> str:
    """Write addresses as ranges, those of the segment's first family first."""
    parts = []
    addresses = list(addresses)
    for part in stack.parts:
        here = sorted(int(address) for address in addresses if address.version == part.subnet.version)
        parts += [str(each) for each in _ranges(part.subnet, here)]
    return ", ".join(parts)


def _ranges(subnet: Network, numbers: list[int]) -> Iterator[AddressRange]:
    first = subnet.network_address
    start = end = None
    for number in [*numbers, None]:
        if end is not None and number is not None and number <= end + 1:
            end = number
            continue
        if start is not None and end is not None:
            yield AddressRange(first + (start - int(first)), first + (end - int(first)))
        start = end = number
