"""Whatever a fleet looks like, allocating gives what is free, the best-fitting part of it, and moves nothing."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.planning.allocation import FreeSpace, NoRoom, Wish, allocate
from config.types.addressing import AddressRange

BASES = {4: int(ipaddress.ip_address("10.200.4.0")), 6: int(ipaddress.ip_address("fd00:200::400"))}


def make(version: int, first: int, last: int) -> AddressRange:
    kind: Any = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return AddressRange(kind(first), kind(last))


def members(*ranges: AddressRange) -> set[int]:
    return {each for one in ranges for each in range(int(one.first), int(one.last) + 1)}


@dataclass
class Fleet:
    """A segment with slices that are disjoint, and what is to be allocated in it."""

    subnet: Any
    kept_free: list[AddressRange]
    slices: dict[str, AddressRange]
    wishes: list[Wish]

    def allocate(self) -> tuple[dict[str, AddressRange], list[NoRoom]]:
        return allocate(self.subnet, kept_free=self.kept_free, slices=self.slices.values(), wishes=self.wishes)

    def free(self, subnet: Any = None) -> set[int]:
        usable = members(AddressRange.usable(subnet or self.subnet))
        return usable - members(*self.kept_free, *self.slices.values())


@st.composite
def fleets(draw: st.DrawFn, *, most_wishes: int = 4, avoid: bool = False) -> Fleet:
    version = draw(st.sampled_from([4, 6]))
    length = 32 if version == 4 else 128
    bits = draw(st.integers(3, 7))
    size = 2**bits
    # Anywhere in the next wider subnet, so that its other half may lie on either side.
    base = BASES[version] + draw(st.integers(0, 3)) * size
    kind: Any = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    subnet = kind((base, length - bits))

    marks = sorted(draw(st.sets(st.integers(1, size - 2), max_size=min(12, size - 2))))
    ranges = [make(version, base + one, base + other) for one, other in zip(marks[::2], marks[1::2], strict=False)]
    kinds = draw(st.lists(st.booleans(), min_size=len(ranges), max_size=len(ranges)))
    kept_free = [one for one, kept in zip(ranges, kinds, strict=True) if kept]
    if draw(st.booleans()):
        gateway = base + draw(st.integers(1, size - 2))
        kept_free.append(make(version, gateway, gateway))
    slices = {
        f"old-{index}": one
        for index, (one, kept) in enumerate(zip(ranges, kinds, strict=True))
        if not kept and not any(one.overlaps(other) for other in kept_free)
    }
    wishes = []
    for index in range(draw(st.integers(1, most_wishes))):
        grows = [name for name in slices if name not in {wish.stack for wish in wishes}]
        name = draw(st.sampled_from([*grows, f"new-{index}"]))
        blocks: tuple[AddressRange, ...] = ()
        if avoid:
            first = base + draw(st.integers(0, size - 1))
            blocks = (make(version, first, min(base + size - 1, first + draw(st.integers(0, 9)))),)
        wishes.append(Wish(name, draw(st.integers(1, size)), slices.get(name), blocks))
    return Fleet(subnet, kept_free, slices, wishes)


single = fleets(most_wishes=1)


def usable_of(wish: Wish, given_: AddressRange) -> int:
    return len(members(given_) - members(*wish.avoid))


@given(fleets() | fleets(avoid=True))
def test_what_is_given_overlaps_no_other_slice_nor_the_gateway_nor_a_reserved_part(fleet: Fleet) -> None:
    granted, _ = fleet.allocate()
    all_slices = list((fleet.slices | granted).values())
    assert sum(one.size for one in all_slices) == len(members(*all_slices)), "pairwise disjoint"
    assert not members(*all_slices) & members(*fleet.kept_free)
    assert members(*granted.values()) <= members(AddressRange.usable(fleet.subnet))


@given(fleets() | fleets(avoid=True))
def test_it_is_exactly_as_large_as_wanted_and_a_larger_slice_never_shrinks(fleet: Fleet) -> None:
    granted, refused = fleet.allocate()
    assert granted.keys() | {each.wish.stack for each in refused} == {wish.stack for wish in fleet.wishes}
    for wish in fleet.wishes:
        if wish.stack not in granted:
            continue
        found = granted[wish.stack]
        if wish.current is not None and usable_of(wish, wish.current) >= wish.size:
            assert found == wish.current
        else:
            assert usable_of(wish, found) == wish.size


@given(fleets() | fleets(avoid=True))
def test_a_slice_that_grows_keeps_all_of_its_addresses(fleet: Fleet) -> None:
    granted, _ = fleet.allocate()
    for wish in fleet.wishes:
        if wish.current is not None and wish.stack in granted:
            assert members(wish.current) <= members(granted[wish.stack])


@given(single)
def test_a_new_slice_is_the_start_of_the_smallest_free_part_that_fits_and_of_the_lowest_of_those(fleet: Fleet) -> None:
    (wish,) = fleet.wishes
    granted, _ = fleet.allocate()
    if wish.current is not None or wish.stack not in granted:
        return
    gaps: list[list[int]] = []
    for address in sorted(fleet.free()):
        if gaps and gaps[-1][-1] == address - 1:
            gaps[-1].append(address)
        else:
            gaps.append([address])
    best = min((gap for gap in gaps if len(gap) >= wish.size), key=len)
    assert int(granted[wish.stack].first) == best[0]


@given(single)
def test_a_slice_grows_at_its_end_when_that_is_enough_else_at_its_start(fleet: Fleet) -> None:
    (wish,) = fleet.wishes
    granted, _ = fleet.allocate()
    if wish.current is None or wish.stack not in granted or not wish.missing:
        return
    free, found = fleet.free(), granted[wish.stack]
    first, last = int(wish.current.first), int(wish.current.last)
    if set(range(last + 1, last + 1 + wish.missing)) <= free:
        assert found.first == wish.current.first
    elif set(range(first - wish.missing, first)) <= free:
        assert found.last == wish.current.last


def fits(wish: Wish, free: set[int]) -> bool:
    """Tell by trying every place there is."""
    if wish.current is None:
        return any(free.issuperset(range(start, start + wish.size)) for start in free)
    first, last, missing = int(wish.current.first), int(wish.current.last), wish.missing
    return any(
        free.issuperset([*range(first - before, first), *range(last + 1, last + 1 + missing - before)])
        for before in range(missing + 1)
    )


@given(single)
def test_no_room_is_said_only_when_it_is_true(fleet: Fleet) -> None:
    (wish,) = fleet.wishes
    assert fits(wish, fleet.free()) is not bool(fleet.allocate()[1])


@given(single)
def test_the_subnet_that_is_proposed_fits_and_no_smaller_one_does(fleet: Fleet) -> None:
    (wish,) = fleet.wishes
    _, refused = fleet.allocate()
    for each in refused:
        wider = fleet.subnet
        while not fits(wish, fleet.free(wider)) and wider.prefixlen > fleet.subnet.prefixlen - 4:
            wider = wider.supernet()
        if fits(wish, fleet.free(wider)):
            assert each.smallest == wider
        else:
            assert each.smallest is None or each.smallest.prefixlen < wider.prefixlen


@given(fleets())
def test_everybody_fits_into_the_subnet_that_is_proposed(fleet: Fleet) -> None:
    _, refused = fleet.allocate()
    proposed = {each.smallest for each in refused}
    assert len(proposed) <= 1
    for wider in proposed - {None}:
        granted, still = allocate(wider, kept_free=fleet.kept_free, slices=fleet.slices.values(), wishes=fleet.wishes)
        assert not still
        assert granted.keys() == {wish.stack for wish in fleet.wishes}


@given(fleets(), st.randoms())
def test_the_order_in_which_stacks_are_named_does_not_matter(fleet: Fleet, random: Any) -> None:
    first = fleet.allocate()
    random.shuffle(fleet.wishes)
    assert fleet.allocate() == first


@given(fleets())
def test_what_is_free_afterwards_is_what_was_free_without_what_was_given(fleet: Fleet) -> None:
    space = FreeSpace(AddressRange.usable(fleet.subnet), [*fleet.kept_free, *fleet.slices.values()])
    given_: list[AddressRange] = []
    for wish in fleet.wishes:
        found = space.take(wish.size) if wish.current is None else space.grow(wish.current, wish.missing)
        given_ += [found] if found else []
    assert members(*space.parts) == fleet.free() - members(*given_)
    assert space.largest() == max((part.size for part in space.parts), default=0)
