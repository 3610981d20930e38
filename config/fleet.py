"""The fleet: all stacks of a project, and what they hand out on the segments that they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from config.attachment.ipam import Dhcp, Static, Whereabouts
from config.types.addressing import AddressRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from config.segment import Segment
    from config.sites import RoutedSegment
    from config.stack import Stack
    from config.types.addressing import Network

Owner = TypeVar("Owner")


@dataclass(frozen=True)
class Fleet:
    """The stacks whose files lie in one project, as far as they could be read.

    `shared` is the segment of Pulumi.yaml, when it has one; `overriding` names the stacks whose file sets a segment
    all the same.
    """

    stacks: tuple[Stack, ...]
    shared: Segment | RoutedSegment | None = None
    overriding: frozenset[str] = frozenset()

    @cached_property
    def segments(self) -> tuple[tuple[Stack, ...], ...]:
        """The stacks by segment: between those of one, migrations run.

        Two stacks are on one segment when their subnets share an address, or the supernets of their sites do.
        """
        return self._joined(lambda segment: segment.supernets or segment.subnets)

    @cached_property
    def links(self) -> tuple[tuple[Stack, ...], ...]:
        """The stacks by subnet: those of one are neighbours on one L2 network. Of sites, each has a subnet."""
        return self._joined(lambda segment: segment.subnets)

    def _joined(self, networks: Callable[[Segment], Sequence[Network]]) -> tuple[tuple[Stack, ...], ...]:
        members: dict[Segment, list[Stack]] = {}
        for stack in self.stacks:
            members.setdefault(stack.segment, []).append(stack)
        roots = {segment: segment for segment in members}

        def root(segment: Segment) -> Segment:
            while roots[segment] is not segment:
                roots[segment] = roots[roots[segment]]
                segment = roots[segment]
            return segment

        subnets = [(AddressRange(net[0], net[-1]), segment) for segment in members for net in networks(segment)]
        for _, one, _, other in _sweep(subnets):
            roots[root(other)] = root(one)
        groups: dict[Segment, list[Stack]] = {}
        for segment, stacks in members.items():
            groups.setdefault(root(segment), []).extend(stacks)
        return tuple(tuple(sorted(group, key=lambda stack: stack.name)) for group in groups.values())

    @cached_property
    def by_name(self) -> Mapping[str, Stack]:
        """The stacks by name."""
        return {stack.name: stack for stack in self.stacks}


@dataclass(frozen=True, slots=True)
class Collision:
    """Two stacks that hand out the same addresses: `common` is a range that both have."""

    one: Stack
    other: Stack
    common: AddressRange


def handed_out(stack: Stack) -> Iterator[AddressRange]:
    """Yield the ranges that a stack's IPAM gives to pods; none when another party gives them (DHCP)."""
    ipam = stack.attachment.ipam
    if isinstance(ipam, Static):
        for address in dict.fromkeys(each.address.ip for each in ipam.addresses):
            yield AddressRange(address, address)
    elif not isinstance(ipam, Dhcp):
        for part in stack.parts:
            yield from ipam.free(part)


def takes_whole_subnet(stack: Stack) -> bool:
    """Tell whether a stack hands out its segment's addresses without any limit of its own."""
    ipam = stack.attachment.ipam
    limited = isinstance(ipam, Dhcp | Static) or (isinstance(ipam, Whereabouts) and ipam.exclude)
    return not stack.slices and not limited


def collisions(stacks: Iterable[Stack], *, accepted: Callable[[Stack], bool]) -> Iterator[Collision]:
    """Yield pairs of stacks that hand out the same addresses, in O(n log n).

    Every stack that collides with another one is in at least one pair. Not every pair is there: ten thousand copies of
    one file would make fifty million. A collision with a stack that is `accepted` hides no other: the rest is looked at
    by itself, too.
    """
    parts = [(part, stack) for stack in stacks for part in handed_out(stack)]
    seen: set[frozenset[str]] = set()
    for among in (parts, [(part, stack) for part, stack in parts if not accepted(stack)]):
        for part, one, other_part, other in _sweep(among):
            pair = frozenset((one.name, other.name))
            common = part.clipped(other_part)
            if pair not in seen and common is not None:
                seen.add(pair)
                yield Collision(one, other, common)


def _sweep(parts: Sequence[tuple[AddressRange, Owner]]) -> Iterator[tuple[AddressRange, Owner, AddressRange, Owner]]:
    """Yield each range that overlaps one that starts before it, behind the one of those that reaches farthest."""
    ordered = sorted(
        ((part.first.version, int(part.first), int(part.last), index) for index, (part, _) in enumerate(parts)),
        key=itemgetter(0, 1, 2, 3),
    )
    far_version, far_last, far = 0, -1, 0
    for version, first, last, index in ordered:
        if version == far_version and first <= far_last:
            yield *parts[far], *parts[index]
        if version != far_version or last > far_last:
            far_version, far_last, far = version, last, index
