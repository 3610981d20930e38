"""The addresses of a report: each subnet as a map, and what each cluster has of it, uses, and is going to need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mignet.kube.kinds import IP_POOL
from mignet.kube.network.whereabouts import leased, leases_of
from mignet.kube.snapshot import UnreadError
from mignet.operations import allocate
from mignet.operations.allocate import Holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.planning.address_map import AddressMap
    from config.planning.demand import Demand
    from config.stack import Stack
    from config.types.addressing import Address, AddressRange
    from mignet.report.collect import Sighting
    from mignet.report.status import Tone


@dataclass(frozen=True, slots=True)
class Use:
    """What one cluster has of one subnet. `size` counts the addresses that pods can get; all are numbers of addresses.

    `leases` are those that whereabouts has given out of the slice, in order; None when its books were not seen.
    """

    stack: str
    span: AddressRange
    size: int | None
    leases: tuple[Address, ...] | None
    demand: Demand | None
    has_slice: bool

    @property
    def needed(self) -> int | None:
        """The forecast: what a full rollout with all its headroom takes, or what is leased already, if that is more."""
        leased_ = len(self.leases or ())
        if self.demand is None:
            return leased_ or None
        return max(self.demand.total, leased_)

    @property
    def tone(self) -> Tone:
        """Whether the slice does for the forecast."""
        if self.size is None or (self.demand is None and self.leases is None):
            return "idle"
        if self.leases is not None and len(self.leases) >= self.size:
            return "bad"
        return "warn" if (self.needed or 0) > self.size else "good"

    @property
    def words(self) -> str:
        """The same in a sentence."""
        if self.size is None:
            return "another party gives the addresses, and keeps track of them"
        used = "leases not seen" if self.leases is None else f"{len(self.leases)} of {self.size} leased"
        if self.demand is None:
            return f"{used}; no forecast without cluster.nodes"
        left = self.size - (self.needed or 0)
        room = f"{left} to spare" if left >= 0 else f"{-left} too few"
        return f"{used}; {self.demand.total} needed: {room}"

    @property
    def details(self) -> str:
        """The same with what the forecast is the sum of."""
        return self.words if self.demand is None else f"{self.words} ({self.demand})"


@dataclass(frozen=True, slots=True)
class SubnetBooks:
    """A subnet's map, and the uses of those clusters that the report is about, in the order of their addresses."""

    plan: AddressMap
    uses: tuple[Use, ...]


def books(fleet: Sequence[Stack], seen: Iterable[tuple[Stack, tuple[Address, ...] | None]]) -> tuple[SubnetBooks, ...]:
    """Draw up the books of every subnet that these stacks are on, each with its leases; None where they are not known.

    On the map stands the whole `fleet`.
    """
    seen = list(seen)
    subnets = {part.subnet for stack, _ in seen for part in stack.parts}
    held = [_holding(stack) for stack in fleet]
    return tuple(SubnetBooks(plan, _uses(plan, seen)) for plan in allocate.maps(held) if plan.subnet in subnets)


def _holding(stack: Stack) -> Holding:
    return Holding(stack.name, stack.segment, stack.slices, stack.attachment.ipam.type)


def _uses(plan: AddressMap, seen: Sequence[tuple[Stack, tuple[Address, ...] | None]]) -> tuple[Use, ...]:
    found = []
    for stack, given in seen:
        for part in stack.parts:
            if part.subnet == plan.subnet:
                leases = None if given is None else tuple(each for each in given if each in part.span)
                found.append(Use(stack.name, part.span, stack.capacity, leases, stack.demand_sum, bool(stack.slices)))
    return tuple(sorted(found, key=lambda use: (int(use.span.first), use.stack)))


def leases_seen(seen: Sighting) -> tuple[Address, ...] | None:
    """Return the leases as peers read them, in order, None when nobody could."""
    if not leases_of(seen.stack) or seen.side.seen is None:
        return None
    try:
        found = leased(seen.stack, seen.side.seen.all(IP_POOL))
    except UnreadError:
        return None
    return tuple(sorted(found, key=int))
