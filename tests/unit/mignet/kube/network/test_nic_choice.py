"""Which NIC may carry migrations: every reason for and against one, from what nmstate reports of the nodes."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from config.segment import Segment
from config.types.model import parse
from mignet.kube.network.nic_choice import Layer, best, judge
from mignet.kube.network.node_network import Node, machine_networks


def segment(**keys: Any) -> Segment:
    parsed = parse(Segment, {"subnet": "10.200.5.0/24", "mtu": 9000} | keys, stack="dev", key="segment")
    assert isinstance(parsed, Segment)
    return parsed


def nic(name: str, **keys: Any) -> dict[str, Any]:
    address = keys.pop("address", None)
    ip, _, prefix = (address or "").partition("/")
    ipv4 = {"enabled": True, "address": [{"ip": ip, "prefix-length": int(prefix)}]} if address else {"enabled": False}
    return {
        "name": name,
        "type": "ethernet",
        "state": "up",
        "mtu": 9000,
        "ipv4": ipv4,
        "ipv6": {"enabled": False},
    } | keys


def node(name: str, *interfaces: dict[str, Any], route: str | None = "eth0", schedulable: bool = True) -> Node:
    labels = {"kubevirt.io/schedulable": "true"} if schedulable else {}
    addresses = [{"type": "InternalIP", "address": "192.168.10.20"}, {"type": "Hostname", "address": name}]
    routes = [{"destination": "0.0.0.0/0", "next-hop-interface": route}] if route else []
    return Node.read(
        {"metadata": {"name": name, "labels": labels}, "status": {"addresses": addresses}},
        {"status": {"currentState": {"interfaces": list(interfaces), "routes": {"running": routes}}}},
    )


ETH0 = nic("eth0", mtu=1500, address="192.168.10.20/24")


def against(name: str, *nodes: Node, **keys: Any) -> tuple[str, ...]:
    return next(each.against for each in judge(nodes, segment(**keys)) if each.name == name)


def test_a_nic_that_is_up_everywhere_with_nothing_on_it_is_chosen_and_says_why() -> None:
    nodes = [node("a", ETH0, nic("eth1")), node("b", ETH0, nic("eth1"))]
    chosen = best(judge(nodes, segment()))
    assert chosen is not None
    assert (chosen.name, chosen.against) == ("eth1", ())
    assert str(chosen) == (
        "for: is up on all 2 nodes; has no other address, no default route and no bridge or bond above it; MTU 9000,"
        " enough for segment.mtu 9000"
    )


@pytest.mark.parametrize(
    ("interfaces", "reason"),
    [
        ([], "is missing on b"),
        ([nic("eth1", state="down")], "is down on b"),
        ([nic("eth1", mtu=8999)], "has MTU 8999, below segment.mtu 9000, on b"),
        ([nic("eth1", address="10.9.0.5/24")], "has an address of 10.9.0.0/24 on b"),
        ([nic("eth1", type="veth")], "is of type veth on b"),
        ([nic("eth1", controller="bond0")], "is a port of bond0 on b"),
        ([nic("eth1"), nic("br1", type="linux-bridge", bridge={"port": [{"name": "eth1"}]})], "is a port of br1 on b"),
        ([nic("eth1"), nic("bond0", **{"link-aggregation": {"port": ["eth1"]}})], "is a port of bond0 on b"),
        ([nic("eth1", vlan={"id": 7, "base-iface": "eth2"})], "tags VLAN 7, and segment.vlan is 2001, on b"),
    ],
)
def test_each_reason_against_a_nic_names_the_node(interfaces: list[dict[str, Any]], reason: str) -> None:
    nodes = [node("a", ETH0, nic("eth1")), node("b", ETH0, *interfaces)]
    assert against("eth1", *nodes, vlan=2001) == (reason,)
    assert "eth1" not in {each.name for each in judge(nodes, segment(vlan=2001)) if not each.against}


@pytest.mark.parametrize("destination", ["0.0.0.0/0", "::/0"])
def test_the_nic_of_the_default_route_is_never_chosen_in_either_family(destination: str) -> None:
    one = node("a", nic("eth0"), route=None)
    routes = {"running": [{"destination": destination, "next-hop-interface": "eth0"}]}
    one = Node(one.name, one.schedulable, one.addresses, {**one.state, "routes": routes})
    assert against("eth0", one) == ("has the default route on the only node a",)


def test_a_nic_below_the_default_route_is_not_chosen_however_deep_it_lies() -> None:
    """eth0 and eth1 are a bond, the bond carries a VLAN, the VLAN is in the OVS bridge that has the route."""
    one = node(
        "a",
        nic("eth0", controller="bond0"),
        nic("eth1", controller="bond0"),
        nic("eth2"),
        nic("bond0", type="bond", **{"link-aggregation": {"port": ["eth0", "eth1"]}}),
        nic("bond0.5", type="vlan", vlan={"id": 5, "base-iface": "bond0"}),
        nic("br-ex", type="ovs-bridge", bridge={"port": [{"name": "bond0.5"}, {"name": "br-ex"}]}),
        nic("br-ex", type="ovs-interface", controller="br-ex", address="192.168.10.20/24"),
        route="br-ex",
    )
    judged = {each.name: each.against for each in judge([one], segment())}
    only = "on the only node a"
    assert judged == {
        "eth0": (f"carries the default route of br-ex {only}", f"is a port of bond0 {only}"),
        "eth1": (f"carries the default route of br-ex {only}", f"is a port of bond0 {only}"),
        "eth2": (),
        "bond0": (f"carries the default route of br-ex {only}",),
        "bond0.5": (f"carries the default route of br-ex {only}", f"is a port of br-ex {only}"),
    }
    assert [str(each) for each in machine_networks([one])] == ["192.168.10.0/24"]


def test_what_a_macvlan_cannot_sit_on_is_not_listed() -> None:
    kinds = ["loopback", "ovs-interface", "ovs-bridge", "veth", "dummy"]
    one = node("a", *(nic(f"if-{kind[:9]}", type=kind) for kind in kinds), nic("eth1"))
    assert [each.name for each in judge([one], segment())] == ["eth1"]


@pytest.mark.parametrize("route", ["eth0", "br-ex"])
def test_a_vlan_above_the_default_route_is_not_chosen_and_hears_both_truths(route: str) -> None:
    """An existing bond0.2001 whose bond is a port of br-ex looked as good as a NIC of its own."""
    bridge = [
        nic("br-ex", type="ovs-bridge", bridge={"port": [{"name": "eth0"}, {"name": "br-ex"}]}),
        nic("br-ex", type="ovs-interface", controller="br-ex"),
    ]
    tagged = nic("eth0.2001", type="vlan", vlan={"id": 2001, "base-iface": "eth0"})
    one = node("a", nic("eth0"), tagged, *(bridge if route == "br-ex" else []), route=route)
    (reason,) = against("eth0.2001", one, vlan=2001)
    assert reason.startswith("stands on eth0, which")
    assert "the kernel passes tagged frames there, but Red Hat's documents advise against it" in reason
    assert best(judge([one], segment(vlan=2001))) is None


def test_a_linux_bridge_with_a_nic_may_be_chosen_and_one_without_is_not() -> None:
    bridge = nic("br1", type="linux-bridge", bridge={"port": [{"name": "eth1"}]})
    chosen = best(judge([node("a", nic("eth1"), bridge)], segment()))
    assert chosen is not None
    assert chosen.name == "br1"
    empty = nic("virbr0", type="linux-bridge", bridge={"port": []})
    assert against("virbr0", node("a", empty)) == ("has no NIC as its port on the only node a",)


def test_an_interface_that_tags_the_segments_vlan_is_better_than_a_bare_nic() -> None:
    tagged = nic("eth1.2001", type="vlan", vlan={"id": 2001, "base-iface": "eth1"})
    chosen = best(judge([node("a", nic("eth1"), tagged)], segment(vlan=2001)))
    assert chosen is not None
    assert chosen.name == "eth1.2001"
    assert "tags segment.vlan 2001" in chosen.speaks_for


def test_of_equals_none_is_chosen() -> None:
    assert best(judge([node("a", nic("eth1"), nic("eth2"))], segment())) is None
    assert best([]) is None


def test_an_address_of_the_segment_itself_speaks_not_against_a_nic() -> None:
    assert against("eth1", node("a", nic("eth1", address="10.200.5.7/24"))) == ()


def test_a_link_local_address_speaks_not_against_a_nic() -> None:
    link_local = {"enabled": True, "address": [{"ip": "fe80::1", "prefix-length": 64}]}
    assert against("eth1", node("a", nic("eth1", ipv6=link_local))) == ()


def test_a_segment_without_mtu_takes_any() -> None:
    assert against("eth1", node("a", nic("eth1", mtu=1500)), mtu=None) == ()


def test_nodes_that_run_no_virt_handler_do_not_count_but_are_named_for_the_sync_controller() -> None:
    nodes = [node("w", nic("eth1")), node("control-0", ETH0, schedulable=False)]
    (one,) = judge(nodes, segment())
    assert one.against == ()
    assert one.speaks_for[-1].startswith("but is missing on control-0, where the sync controller")


def test_a_node_of_which_nmstate_says_nothing_speaks_against_every_nic() -> None:
    silent = Node.read({"metadata": {"name": "b", "labels": {"kubevirt.io/schedulable": "true"}}}, None)
    assert against("eth1", node("a", nic("eth1")), silent) == ("is not known (no NodeNetworkState) on b",)


def test_many_nodes_are_counted_and_few_are_named() -> None:
    bad = [node(f"n{n}", nic("eth1", state="down")) for n in range(5)]
    assert against("eth1", *bad) == ("is down on all 5 nodes",)
    assert against("eth1", *bad, node("x", nic("eth1"))) == ("is down on n0, n1, n2 and 2 more",)


def test_machine_networks_are_those_of_the_internal_addresses() -> None:
    one = node("a", ETH0, nic("eth1", address="10.9.0.5/24"))
    assert machine_networks([one, one]) == [ipaddress.ip_network("192.168.10.0/24")]


@pytest.mark.parametrize(
    ("under", "interface", "reason"),
    [
        # An uplink sets a NIC up, and its MTU.
        ("vlan", {"state": "down"}, None),
        ("vlan", {"mtu": 1500}, None),
        ("bond", {"state": "down", "mtu": 1500}, None),
        # A NIC keeps its addresses under a VLAN; a bond takes them.
        ("vlan", {"address": "10.9.0.5/24"}, None),
        ("bond", {"address": "10.9.0.5/24"}, "has an address of 10.9.0.0/24 on the only node a"),
        ("vlan", {"type": "vlan", "vlan": {"id": 7, "base-iface": "eth0"}}, "is of type vlan on the only node a"),
        ("vlan", {"type": "bond"}, None),
        ("bond", {"type": "bond"}, "is of type bond on the only node a"),
    ],
)
def test_under_an_uplink_other_things_speak_against_a_nic(
    under: Layer, interface: dict[str, Any], reason: str | None
) -> None:
    nodes = [node("a", ETH0, nic("eth1", **interface))]
    judged = next(each for each in judge(nodes, segment(vlan=7), under=under) if each.name == "eth1")
    assert (judged.against[0] if judged.against else None) == reason


def test_a_free_nic_comes_before_one_that_has_addresses_or_is_down() -> None:
    nodes = [node("a", ETH0, nic("eth1"), nic("eth2", address="10.9.0.5/24"), nic("eth3", state="down"))]
    chosen = best(judge(nodes, segment(), under="vlan"))
    assert chosen is not None
    assert str(chosen) == (
        "for: is there on the only node a; has no other address, no default route and no bridge or bond above it"
    )
