"""Routed sites of any shape: what is accepted has one route that leads to every other site, and no address twice.

The oracle is a routing table of its own: it reads the rendered JSON, and knows nothing of the models that wrote it.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.fleet import Fleet
from config.loading import load_stack, read_stack
from config.rules.fleet_rules import check_fleet
from config.stack import Stack
from mignet.operations import allocate
from mignet.operations.allocate import Holding

SUPERNETS = {4: ipaddress.ip_network("10.200.0.0/20"), 6: ipaddress.ip_network("fd00:200::/56")}
NEXT = {4: ipaddress.ip_network("10.200.16.0/20"), 6: ipaddress.ip_network("fd00:200:0:100::/56")}
"""The networks behind them: a subnet of theirs is in no supernet."""
Sites = dict[str, dict[int, Any]]


@st.composite
def subnets(draw: st.DrawFn, version: int, *, astray: bool) -> Any:
    around = NEXT[version] if astray and draw(st.integers(0, 9)) == 0 else SUPERNETS[version]
    more = draw(st.integers(2, 7))
    return next(itertools.islice(around.subnets(prefixlen_diff=more), draw(st.integers(0, 2**more - 1)), None))


@st.composite
def any_sites(draw: st.DrawFn) -> Sites:
    """Sites as they come: with common parts, and outside of the supernet."""
    versions = draw(st.sampled_from([(4,), (6,), (4, 6)]))
    names = "abcdef"[: draw(st.integers(1, 6))]
    return {name: {version: draw(subnets(version, astray=True)) for version in versions} for name in names}


@st.composite
def good_sites(draw: st.DrawFn) -> Sites:
    """Sites side by side, as a careful hand writes them."""
    versions = draw(st.sampled_from([(4,), (6,), (4, 6)]))
    count = draw(st.integers(2, 5))
    found: Sites = {name: {} for name in "abcde"[:count]}
    for version in versions:
        parts = list(SUPERNETS[version].subnets(prefixlen_diff=3))
        for name, part in zip(found, draw(st.permutations(parts)), strict=False):
            found[name][version] = next(iter(part.subnets(prefixlen_diff=draw(st.integers(0, 3)))))
    return found


def segment(sites: Sites) -> dict[str, Any]:
    versions = sorted(next(iter(sites.values())))
    return {
        "supernet": [str(SUPERNETS[version]) for version in versions],
        "sites": {
            name: {
                "subnet": [str(subnet) for subnet in own.values()],
                "gateway": [str(subnet.network_address + 1) for subnet in own.values()],
            }
            for name, own in sites.items()
        },
    }


def values(sites: Sites, site: str, **more: Any) -> dict[str, Any]:
    attachment = {"type": "macvlan", "name": "m", "master": "eth1"}
    own = {"cluster": {"context": site, "nodes": 3}, "attachment": attachment, "site": site}
    return own | {"segment": segment(sites)} | more


def is_sound(sites: Sites) -> bool:
    subnets = [subnet for own in sites.values() for subnet in own.values()]
    pairs = itertools.combinations(subnets, 2)
    inside = all(subnet.subnet_of(SUPERNETS[subnet.version]) for subnet in subnets)
    return inside and not any(one.version == other.version and one.overlaps(other) for one, other in pairs)


@given(any_sites())
def test_sites_are_accepted_when_they_lie_side_by_side_in_the_supernet_and_else_not(sites: Sites) -> None:
    codes = {each.code for each in read_stack("s", values(sites, "a"))[1] if each.blocks}
    assert (not codes) == is_sound(sites), codes
    assert codes <= {"site-overlap", "site-outside"}


def next_hop(stack: Stack, address: Any) -> Any:
    """Return where a pod sends a packet: None is the link itself; a pod's own default route is of another network."""
    ipam = json.loads(stack.cni_json)["ipam"]
    links = [ipaddress.ip_network(each["range"]) for each in ipam.get("ipRanges", [ipam])]
    table = [(link, None) for link in links]
    table += [(ipaddress.ip_network(each["dst"]), ipaddress.ip_address(each["gw"])) for each in ipam["routes"]]
    fitting = [(net.prefixlen, hop) for net, hop in table if net.version == address.version and address in net]
    assert fitting, f"{address} leaves by the pod network"
    return max(fitting, key=lambda each: each[0])[1]


@given(good_sites(), st.data())
def test_every_address_of_every_other_site_is_behind_the_own_gateway_and_none_of_the_own_site(
    sites: Sites, data: st.DataObject
) -> None:
    for site, own in sites.items():
        stack = load_stack(site, values(sites, site))
        for other, theirs in sites.items():
            for version, subnet in theirs.items():
                address = subnet[data.draw(st.integers(0, subnet.num_addresses - 1))]
                expected = None if site == other else own[version].network_address + 1
                assert next_hop(stack, address) == expected


@given(good_sites(), st.data())
def test_a_new_site_changes_no_attachment(sites: Sites, data: st.DataObject) -> None:
    new = data.draw(st.sampled_from(sorted(sites)))
    before = {name: own for name, own in sites.items() if name != new}
    for site in before:
        assert load_stack(site, values(before, site)).cni_json == load_stack(site, values(sites, site)).cni_json


@given(good_sites(), st.data())
def test_allocating_gives_each_stack_a_part_of_its_site_and_the_fleet_has_no_finding(
    sites: Sites, data: st.DataObject
) -> None:
    members = data.draw(st.lists(st.sampled_from(sorted(sites)), min_size=1, max_size=4))
    held: list[Holding] = []
    stacks = []
    for number, site in enumerate(members):
        name = f"s{number}"
        own = values(sites, site) | {"cluster": {"context": name, "nodes": 3}}
        draft = load_stack(name, own)
        spans = allocate.place(held, {name: (draft, 7)})[name]
        for span in spans:
            assert any(span.first in subnet and span.last in subnet for subnet in sites[site].values())
        stack = load_stack(name, own | {"slice": allocate.slice_value(spans)})
        held.append(Holding(name, stack.segment, stack.slices))
        stacks.append(stack)
    assert list(check_fleet(Fleet(tuple(stacks)))) == []
    (group,) = Fleet(tuple(stacks)).segments
    assert {each.name for each in group} == {each.name for each in stacks}
