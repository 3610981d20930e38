"""Ranges hold for any addresses, IPv4 and IPv6: nothing lost, nothing given twice."""

from __future__ import annotations

import ipaddress
import json

from hypothesis import given
from hypothesis import strategies as st

from config.finding import ConfigError
from config.loading import load_stack
from config.types.addressing import AddressRange

BASES = {4: int(ipaddress.ip_address("10.200.0.0")), 6: int(ipaddress.ip_address("fd00:200::"))}


def address(version: int, offset: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return kind(BASES[version] + offset)


def ranges(version: int, *, most: int = 600) -> st.SearchStrategy[AddressRange]:
    ends = st.tuples(st.integers(0, most), st.integers(0, most)).map(sorted)
    return ends.map(lambda pair: AddressRange(address(version, pair[0]), address(version, pair[1])))


def members(one: AddressRange) -> set[int]:
    return set(range(int(one.first), int(one.last) + 1))


versions = st.sampled_from([4, 6])
one_family = versions.flatmap(lambda v: st.tuples(ranges(v), st.lists(ranges(v), max_size=6)))
pairs = versions.flatmap(lambda v: st.tuples(ranges(v), ranges(v)))


@given(one_family)
def test_what_is_left_is_exactly_what_was_not_taken(case: tuple[AddressRange, list[AddressRange]]) -> None:
    whole, taken = case
    left = list(whole.without(taken))
    expected = members(whole).difference(*map(members, taken))
    assert set().union(*map(members, left)) == expected
    assert sum(part.size for part in left) == len(expected), "no part overlaps another"
    assert [int(part.first) for part in left] == sorted(int(part.first) for part in left)


@given(pairs)
def test_overlap_and_clipping_agree_with_the_sets_of_addresses(case: tuple[AddressRange, AddressRange]) -> None:
    one, other = case
    common = members(one) & members(other)
    assert one.overlaps(other) == other.overlaps(one) == bool(common)
    clipped = one.clipped(other)
    assert (set() if clipped is None else members(clipped)) == common


@given(versions.flatmap(ranges))
def test_cidrs_cover_the_range_and_nothing_else(one: AddressRange) -> None:
    covered = [int(each) for block in one.cidrs() for each in block]
    assert covered == sorted(members(one))


@given(versions.flatmap(ranges))
def test_a_range_reads_back_as_it_is_written(one: AddressRange) -> None:
    assert AddressRange.parse(str(one)) == one


slices = versions.flatmap(
    lambda v: st.tuples(
        st.just(v),
        st.integers(20, 30) if v == 4 else st.integers(64, 126),
        st.integers(-3, 300),
        st.integers(-3, 300),
        st.integers(0, 300),
        st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20)), max_size=3),
    )
)


@given(slices)
def test_an_accepted_slice_never_holds_the_gateway_a_reserved_or_an_unusable_address(
    case: tuple[int, int, int, int, int, list[tuple[int, int]]],
) -> None:
    version, prefix, start, end, gateway, reserved = case
    subnet = ipaddress.ip_network(f"{address(version, 0)}/{prefix}")
    values = {
        "segment": {
            "subnet": str(subnet),
            "gateway": str(address(version, gateway)),
            "reserved": [f"{address(version, first)}-{address(version, first + more)}" for first, more in reserved],
        },
        "cluster": {"context": "x"},
        "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
        "slice": {"rangeStart": str(address(version, start)), "rangeEnd": str(address(version, end))},
    }
    last = int(subnet.broadcast_address)
    wanted = set(range(BASES[version] + start, BASES[version] + end + 1))
    kept_free = {BASES[version] + gateway, BASES[version], last}
    for first, more in reserved:
        kept_free |= set(range(BASES[version] + first, BASES[version] + first + more + 1))
    inside = {BASES[version] < each < last for each in wanted} == {True}
    consistent = 0 < gateway < subnet.num_addresses - 1 and all(
        first + more < subnet.num_addresses for first, more in reserved
    )
    try:
        stack = load_stack("dev", values)
    except ConfigError:
        assert not (consistent and inside and not wanted & kept_free), "a fine slice is accepted"
    else:
        assert consistent
        assert inside
        assert not wanted & kept_free
        assert stack.capacity == len(wanted)
        ipam = json.loads(stack.cni_json)["ipam"]
        assert (ipam["range_start"], ipam["range_end"]) == (str(address(version, start)), str(address(version, end)))
        assert "exclude" not in ipam
