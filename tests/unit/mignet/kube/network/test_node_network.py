"""What lies under an interface of a node: one walk for every rule, over nodes as reported and over any graph."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mignet.kube.network.node_network import Node, addresses_of, passes

Object = dict[str, Any]


def nic(name: str, kind: str = "ethernet", **keys: Any) -> Object:
    return {"name": name, "type": kind, "state": "up"} | {key.replace("_", "-"): value for key, value in keys.items()}


def vlan(name: str, base: str, tag: int) -> Object:
    return nic(name, "vlan", vlan={"id": tag, "base-iface": base})


def bridge(name: str, *ports: str | Object, kind: str = "linux-bridge", key: str = "port") -> Object:
    return nic(name, kind, bridge={key: [{"name": port} if isinstance(port, str) else port for port in ports]})


def node(*interfaces: Object, route: str | None = None) -> Node:
    routes = [{"destination": "0.0.0.0/0", "next-hop-interface": route}] if route else []
    state = {"interfaces": list(interfaces), "routes": {"running": routes}}
    return Node.read({"metadata": {"name": "a"}}, {"status": {"currentState": state}})


def names(of: Node, top: str) -> list[str]:
    return [layer.name for layer in of.below(top)]


SLB = {"name": "ovs-bond", "link-aggregation": {"mode": "balance-slb", "port": [{"name": "eth0"}, {"name": "eth1"}]}}


@pytest.mark.parametrize("key", ["port", "ports", "slaves"])
@pytest.mark.parametrize("as_objects", [False, True])
def test_a_bonds_members_are_found_however_they_are_listed(key: str, *, as_objects: bool) -> None:
    members = [{"name": each} if as_objects else each for each in ("eth0", "eth1")]
    bond = nic("bond0", "bond", link_aggregation={"mode": "802.3ad", key: members})
    one = node(bond, nic("eth0"), nic("eth1"), vlan("bond0.7", "bond0", 7))
    assert names(one, "bond0.7") == ["bond0.7", "bond0", "eth0", "eth1"]
    assert one.masters() == {"eth0": "bond0", "eth1": "bond0"}


def test_nics_inside_an_ovs_bond_are_under_its_bridge() -> None:
    one = node(bridge("br-phy", SLB, "patch-phy-to-br-int", kind="ovs-bridge"), nic("eth0"), nic("eth1"))
    assert names(one, "br-phy") == ["br-phy", "ovs-bond", "eth0", "eth1"]
    assert [layer.name for layer in one.nics("br-phy")] == ["eth0", "eth1"]
    assert one.masters()["eth0"] == "ovs-bond"


def test_a_bridge_is_no_port_of_itself() -> None:
    internal = nic("br-ex", "ovs-interface", controller="br-ex")
    one = node(bridge("br-ex", "eth0", "br-ex", kind="ovs-bridge"), internal, nic("eth0"), route="br-ex")
    assert one.masters() == {"eth0": "br-ex"}
    assert one.carries_default_route() == {"br-ex": "br-ex", "eth0": "br-ex"}
    # Reported without its bridge, too.
    assert node(internal, route="br-ex").masters() == {}


def test_an_internal_port_stands_on_its_bridge_and_its_siblings_are_apart_from_it() -> None:
    bridge_ = bridge("br1", "eth0", "node0", "other0", kind="ovs-bridge")
    ports = [nic(name, "ovs-interface", controller="br1") for name in ("node0", "other0")]
    one = node(bridge_, *ports, nic("eth0"), route="node0")
    assert names(one, "node0") == ["node0", "br1", "eth0"]
    assert set(one.carries_default_route()) == {"node0", "br1", "eth0"}
    assert one.shares_default_route("other0") == ("br1", "node0")


PATCHED = (
    bridge("br-ex", "br-ex", "patch-ex-to-phy", "patch-br-ex-to-br-int", kind="ovs-bridge"),
    nic("br-ex", "ovs-interface", controller="br-ex"),
    bridge("br-phy", {"name": "patch-phy-to-ex", "vlan": {"mode": "access", "tag": 100}}, SLB, kind="ovs-bridge"),
    nic("patch-ex-to-phy", "ovs-interface", patch={"peer": "patch-phy-to-ex"}),
    nic("patch-phy-to-ex", "ovs-interface", patch={"peer": "patch-ex-to-phy"}),
    nic("patch-br-ex-to-br-int", "ovs-interface", patch={"peer": "patch-br-int-to-br-ex"}),
    bridge("br-int", "patch-br-int-to-br-ex", "patch-br-int-to-x", kind="ovs-bridge"),
    nic("patch-br-int-to-br-ex", "ovs-interface", patch={"peer": "patch-br-ex-to-br-int"}),
    bridge("br-x", "patch-x-to-br-int", kind="ovs-bridge"),
    nic("patch-x-to-br-int", "ovs-interface", patch={"peer": "patch-br-int-to-x"}),
    nic("patch-br-int-to-x", "ovs-interface", patch={"peer": "patch-x-to-br-int"}),
    nic("eth0"),
    nic("eth1"),
)
"""The layout of linuxelitebr/openshift-balance-slb, and a mapped bridge that nobody gave a NIC."""


def test_a_patch_leads_from_a_bridge_without_a_nic_to_the_one_that_has_it_and_never_through_br_int() -> None:
    one = node(*PATCHED, route="br-ex")
    assert names(one, "br-ex") == ["br-ex", "br-phy", "ovs-bond", "eth0", "eth1"]
    assert set(one.carries_default_route()) == {"br-ex", "br-phy", "ovs-bond", "eth0", "eth1"}
    assert one.nics("br-x") == ()


@pytest.mark.parametrize(
    ("interfaces", "found"),
    [
        ([bridge("br", "patch-vmnet-to-br-int", kind="ovs-bridge")], []),
        ([bridge("br", "bond0", kind="ovs-bridge")], []),
        ([bridge("br", "bond0"), nic("bond0", "bond", link_aggregation={"port": []})], []),
        ([bridge("br", "veth1"), nic("veth1", "veth")], []),
        ([bridge("br", "eth1.7"), vlan("eth1.7", "eth1", 7)], []),
        ([bridge("br", "eth1.7"), vlan("eth1.7", "eth1", 7), nic("eth1")], ["eth1"]),
        ([bridge("br"), nic("eth1", controller="br")], ["eth1"]),
        # A type that nmstate does not know, such as a team's, may be a NIC.
        ([bridge("br", "team0"), nic("team0", "unknown")], ["team0"]),
    ],
)
def test_only_nics_that_exist_count(interfaces: list[Object], found: list[str]) -> None:
    assert [layer.name for layer in node(*interfaces).nics("br")] == found


def test_what_is_in_a_vrf_is_a_port_of_nothing() -> None:
    assert node(nic("vrf0", "vrf"), nic("eth1", controller="vrf0")).masters() == {}


def test_tags_add_up_on_the_way_down() -> None:
    one = node(bridge("br", "eth1.7.8"), vlan("eth1.7.8", "eth1.7", 8), vlan("eth1.7", "eth1", 7), nic("eth1"))
    assert {layer.name: layer.tags for layer in one.below("br")} == {
        "br": (),
        "eth1.7.8": (8,),
        "eth1.7": (8, 7),
        "eth1": (8, 7),
    }


TRUNK: Object = {"mode": "trunk", "trunk-tags": [{"id": 100}, {"id-range": {"min": 200, "max": 500}}]}


@pytest.mark.parametrize(
    ("filter_", "tag", "kind", "does"),
    [
        ({}, 7, "linux-bridge", True),
        (TRUNK, 100, "linux-bridge", True),
        (TRUNK, 500, "ovs-bridge", True),
        (TRUNK, 501, "linux-bridge", False),
        # NetworkManager leaves the default VLAN on a Linux bridge's trunk; Open vSwitch passes what is listed.
        (TRUNK, 0, "linux-bridge", True),
        (TRUNK, 0, "ovs-bridge", False),
        (TRUNK | {"enable-native": True, "tag": 101}, 101, "linux-bridge", True),
        (TRUNK | {"enable-native": True, "tag": 101}, 0, "linux-bridge", False),
        ({"mode": "access", "tag": 100}, 100, "linux-bridge", True),
        ({"mode": "access", "tag": 100}, 7, "ovs-bridge", False),
        ({"mode": "access", "tag": 100}, 0, "linux-bridge", False),
        ({"mode": "access", "tag": 1}, 0, "linux-bridge", True),
        ({"mode": "access", "tag": 0}, 7, "ovs-bridge", True),
    ],
)
def test_what_a_port_lets_out(filter_: Object, tag: int, kind: str, *, does: bool) -> None:
    assert passes(filter_, tag, kind=kind) is does


NAMES = [f"i{number}" for number in range(6)]
KINDS = ["ethernet", "bond", "vlan", "linux-bridge", "ovs-bridge", "ovs-interface", "veth", "vrf", "unknown"]


@st.composite
def anything(draw: st.DrawFn) -> Node:
    """Any interfaces over any others, cycles and all: no node reports this, and none must hang us."""
    name = st.sampled_from(NAMES)
    interfaces = []
    for each in draw(st.lists(name, unique=True)):
        one = nic(each, draw(st.sampled_from(KINDS)))
        if draw(st.booleans()):
            one["bridge"] = {"port": [{"name": port} for port in draw(st.lists(name, max_size=3))]}
            one["bridge"]["port"].append({"name": "b", "link-aggregation": {"port": draw(st.lists(name, max_size=2))}})
        if draw(st.booleans()):
            one["link-aggregation"] = {"port": draw(st.lists(name, max_size=3))}
        if draw(st.booleans()):
            one["vlan"] = {"id": draw(st.integers(1, 4094)), "base-iface": draw(name)}
        if draw(st.booleans()):
            one["controller"] = draw(name)
        if draw(st.booleans()):
            one["patch"] = {"peer": draw(name)}
        interfaces.append(one)
    return node(*interfaces, route=draw(st.none() | name))


@given(anything(), st.sampled_from(NAMES))
def test_a_walk_ends_and_meets_each_interface_once_with_what_is_above_it(one: Node, top: str) -> None:
    found = one.below(top)
    assert found[0].name == top
    seen: set[str | None] = {None}
    for layer in found:
        assert layer.above in seen
        assert layer.name not in seen
        assert layer.above is None or layer.name in one.under(layer.above)
        seen.add(layer.name)
    # Closed: what lies under one of them is among them.
    assert {each for layer in found for each in one.under(layer.name)} <= seen


@given(anything(), st.sampled_from(NAMES))
def test_what_carries_a_default_route_lies_under_it_and_never_shares_it(one: Node, name: str) -> None:
    carriers = one.carries_default_route()
    assert all(low in {layer.name for layer in one.below(top)} for low, top in carriers.items())
    shared = one.shares_default_route(name)
    assert (shared is None) or (name not in carriers and carriers[shared[0]] == shared[1])


@pytest.mark.parametrize(
    ("interface", "found"),
    [
        ({"ipv4": {"address": [{"ip": "10.0.0.1", "prefix-length": 24}]}}, ["10.0.0.1/24"]),
        ({"ipv4": None, "ipv6": {"address": None}}, []),
        ({"ipv4": {"address": [{"ip": "10.0.0.1"}, {"prefix-length": 24}, "10.0.0.2", {"ip": "x"}]}}, ["10.0.0.1/32"]),
    ],
)
def test_addresses_are_read_whatever_is_left_out(interface: dict[str, Any], found: list[str]) -> None:
    assert list(map(str, addresses_of(interface))) == found
