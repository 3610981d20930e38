"""A subnet as a map: which addresses are used by which stack, free, reserved, or the gateway's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from config.types.addressing import AddressRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.types.addressing import Address, Network

Kind = Literal["used", "free", "reserved", "gateway"]


@dataclass(frozen=True, slots=True)
class Part:
    """Addresses of one kind, both ends inclusive; those that are used name their stack."""

    kind: Kind
    span: AddressRange
    stack: str | None = None

    @property
    def name(self) -> str:
        """The stack, or the kind."""
        return self.stack or self.kind


@dataclass(frozen=True, slots=True)
class Overlap:
    """Addresses that two have: two stacks, or a stack and what must be kept free."""

    span: AddressRange
    one: Part
    other: Part

    @property
    def between(self) -> tuple[str, str]:
        """The names of both."""
        return self.one.name, self.other.name


@dataclass(frozen=True, slots=True)
class AddressMap:
    """One subnet, its parts in order of their first address, and who of the fleet has no slice in it."""

    subnet: Network
    parts: tuple[Part, ...]
    overlaps: tuple[Overlap, ...]
    without_slice: tuple[str, ...] = ()

    @property
    def usable(self) -> AddressRange:
        """The addresses that can be given, gateway and reserved ones among them."""
        return AddressRange.usable(self.subnet)

    @property
    def free(self) -> int:
        """Number of addresses that nobody has."""
        return sum(part.span.size for part in self.parts if part.kind == "free")

    @property
    def largest_free(self) -> int:
        """Size of the largest free part."""
        return max((part.span.size for part in self.parts if part.kind == "free"), default=0)

    @property
    def used(self) -> int:
        """Number of addresses in slices, each counted once."""
        slices = [part.span for part in self.parts if part.kind == "used"]
        return self.usable.size - sum(left.size for left in self.usable.without(slices))

    @property
    def kept_free(self) -> int:
        """Number of addresses that are the gateway's or reserved, and in no slice."""
        return self.usable.size - self.free - self.used

    @property
    def largest_share(self) -> float:
        """The largest free part as a share of all that is free: 1 when it is in one piece, or when nothing is free."""
        return self.largest_free / self.free if self.free else 1.0

    @property
    def fragmentation(self) -> float:
        """1 minus that share: 0 when what is free is in one piece."""
        return round(1 - self.largest_share, 4)


def draw(
    subnet: Network,
    *,
    gateway: Address | None,
    reserved: Iterable[AddressRange],
    slices: Mapping[str, AddressRange],
    without_slice: Iterable[str] = (),
) -> AddressMap:
    """Put together the map of one subnet."""
    taken = [Part("used", span, stack) for stack, span in slices.items()]
    taken += [Part("reserved", span) for span in reserved]
    if gateway is not None:
        taken.append(Part("gateway", AddressRange(gateway, gateway)))
    free = [Part("free", span) for span in AddressRange.usable(subnet).without(part.span for part in taken)]
    parts = sorted([*taken, *free], key=lambda part: (int(part.span.first), int(part.span.last), part.name))
    return AddressMap(subnet, tuple(parts), tuple(_overlaps(parts)), tuple(sorted(without_slice)))


def _overlaps(parts: list[Part]) -> Iterator[Overlap]:
    """Yield where a part runs into the one before it that reaches furthest; they are sorted by their first address."""
    furthest: Part | None = None
    for part in parts:
        shared = None if furthest is None else part.span.clipped(furthest.span)
        # A gateway that is reserved as well is nothing to say.
        if furthest is not None and shared is not None and "used" in {part.kind, furthest.kind}:
            yield Overlap(shared, furthest, part)
        if furthest is None or int(part.span.last) > int(furthest.span.last):
            furthest = part
