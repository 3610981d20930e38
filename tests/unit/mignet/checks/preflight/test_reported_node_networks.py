"""Node networks out of public reports, reduced to what was written there: the right answer, and nothing beside it."""

from __future__ import annotations

from typing import Any

import pytest
from preflight_traps import CONFIG, merged

from config.loading import load_stack
from mignet.checks.preflight import nodes, policies
from mignet.checks.preflight.seen import Seen
from mignet.kube.kinds import NETWORK_ATTACHMENT, NODE, NODE_NETWORK_STATE, NODE_POLICY
from mignet.kube.network.nic_choice import judge as judge_nics
from mignet.kube.snapshot import Read, judge

Object = dict[str, Any]
MACVLAN: Object = {"type": "macvlan", "name": "migration", "master": "eth1"}
BRIDGE: Object = {"type": "bridge", "name": "migration", "vlan": 2001, "preserveDefaultVlan": False}
LOCALNET: Object = {"type": "localnet", "name": "mig", "physicalNetworkName": "mig"}
ACCESS: Object = {"waivers": {"vlan-untagged": "the bridge tags", "uplink-untagged": "access ports"}}
BR_EX: Object = {"name": "br-ex", "type": "ovs-interface", "controller": "br-ex", "default-route": True}
MAPPED: Object = {"bridge-mappings": [{"localnet": "mig", "bridge": "br-phy"}]}


def snapshot(interfaces: tuple[Object, ...], config: Object, foreign: tuple[Object, ...] = (), **state: Any) -> Seen:
    listed = [{"type": "ethernet", "state": "up"} | each for each in interfaces]
    routes = [
        {"destination": "0.0.0.0/0", "next-hop-interface": each["name"]}
        for each in listed
        if each.pop("default-route", 0)
    ]
    # A node has more NICs than a report is about; one alone is a finding of its own.
    listed += [{"name": name, "type": "ethernet", "state": "down"} for name in ("eth8", "eth9")]
    current = {"interfaces": listed, "routes": {"running": routes}} | state
    node = {"metadata": {"name": "a", "labels": {"kubevirt.io/schedulable": "true"}}}
    found: dict[Read, Any] = {
        Read(NODE): (node,),
        Read(NODE_NETWORK_STATE): ({"metadata": {"name": "a"}, "status": {"currentState": current}},),
        Read(NODE_POLICY): foreign,
        Read(NETWORK_ATTACHMENT): (),
    }
    cluster = {"context": "dev", "crossCluster": False}
    return Seen(load_stack("dev", merged(CONFIG, {"cluster": cluster} | config)), found)


def as_object(name: str) -> Object:
    return {"name": name}


SLB: Object = {"mode": "balance-slb", "port": [{"name": "eth0"}, {"name": "eth1"}]}


@pytest.mark.parametrize(
    ("interfaces", "config", "state", "right"),
    [
        pytest.param(
            (
                {
                    "name": "br-phy",
                    "type": "ovs-bridge",
                    "bridge": {
                        "port": [{"name": "ovs-bond", "link-aggregation": SLB}, {"name": "patch-phy-to-br-int"}]
                    },
                },
                {"name": "eth0", "mtu": 1500},
                {"name": "eth1", "mtu": 1500},
            ),
            {"attachment": LOCALNET},
            {"ovn": MAPPED},
            {("error", "nic-mtu"): ["stands on eth0 with MTU 1500", "stands on eth1 with MTU 1500"]},
            id="nics-inside-an-ovs-bond",
        ),
        pytest.param(
            ({"name": "br-phy", "type": "ovs-bridge", "bridge": {"port": [{"name": "patch-vmnet-to-br-int"}]}},),
            {"attachment": LOCALNET},
            {"ovn": MAPPED},
            {("error", "bridge-without-nic"): ["only patch-vmnet-to-br-int"]},
            id="bridge-with-only-ovn-s-patch-port",
        ),
        pytest.param(
            (
                {
                    "name": "br-phy",
                    "type": "ovs-bridge",
                    "bridge": {"port": [{"name": "patch-vmnet-to-br-int"}, {"name": "bond0"}]},
                },
            ),
            {"attachment": LOCALNET},
            {"ovn": MAPPED},
            {("error", "bridge-without-nic"): ["only patch-vmnet-to-br-int, bond0"]},
            id="bridge-with-a-bond-that-is-gone",
        ),
        pytest.param(
            (BR_EX,),
            {"attachment": MACVLAN | {"master": "br-ex"}},
            {},
            {("error", "nic-default-route"): ["has the default route"]},
            id="macvlan-on-br-ex",
        ),
        pytest.param(
            ({"name": "br-mig", "type": "linux-bridge", "bridge": {"port": [{"name": "eth1"}]}}, {"name": "eth1"}),
            {"attachment": MACVLAN | {"master": "br-mig"}},
            {},
            {},
            id="macvlan-on-a-linux-bridge",
        ),
        pytest.param(
            (
                {"name": "br-mig", "type": "linux-bridge", "bridge": {"port": [{"name": "eth1"}]}},
                {"name": "eth1", "mtu": 1500},
            ),
            {"attachment": MACVLAN | {"master": "br-mig"}},
            {},
            {("error", "nic-mtu"): ["stands on eth1 with MTU 1500"]},
            id="macvlan-on-a-linux-bridge-whose-port-is-looked-at",
        ),
        *(
            pytest.param(
                (
                    {"name": "br1", "type": "linux-bridge", "bridge": {"port": [{"name": "eth1.x"} | filter_]}},
                    {"name": "eth1.x", "type": "vlan", "vlan": {"id": tag, "base-iface": "eth1"}}
                    if tag
                    else {"name": "eth1.x"},
                    {"name": "eth1"},
                ),
                {"attachment": BRIDGE | {"bridge": "br1"} | attachment, **ACCESS},
                {},
                right,
                id=f"bridge-tags-twice-{name}",
            )
            for name, tag, filter_, attachment, right in (
                ("same", 2001, {}, {}, {("error", "uplink-double-tag"): ["attachment.vlan tags with 2001 already"]}),
                (
                    "differs",
                    300,
                    {},
                    {"vlan": None, "preserveDefaultVlan": None},
                    {("error", "nic-vlan"): ["which tags VLAN 300, and segment.vlan is 2001"]},
                ),
                (
                    "trunk",
                    0,
                    {"vlan": {"mode": "trunk", "trunk-tags": [{"id": 100}]}},
                    {},
                    {
                        ("error", "uplink-trunk"): [
                            "a trunk of VLAN 100, which does not let VLAN 2001 of the attachment"
                        ]
                    },
                ),
            )
        ),
        *(
            pytest.param(
                (
                    {"name": "eth0", "default-route": True},
                    {"name": "eth0.2001", "type": "vlan", "vlan": {"id": 2001, "base-iface": "eth0"}},
                )[: 1 if uplink else 2],
                {"attachment": MACVLAN | {"master": "eth0.2001"}} | uplink,
                {},
                {("warning", "default-route-shared"): ["has the default route: the kernel passes tagged frames"]},
                id=f"vlan-above-the-default-route-{'declared' if uplink else 'there'}",
            )
            for uplink in ({}, {"uplink": {"vlan": {"baseInterface": "eth0"}}})
        ),
        *(
            pytest.param(
                (
                    BR_EX,
                    {"name": "br-ex", "type": "ovs-bridge", "bridge": {"port": [{"name": "bond0"}, {"name": "br-ex"}]}},
                    {"name": "bond0", "type": "bond", "link-aggregation": {"port": ["eth0"]}, "controller": "br-ex"},
                    {"name": "eth0", "controller": "bond0"},
                    {"name": "bond0.2001", "type": "vlan", "vlan": {"id": 2001, "base-iface": "bond0"}},
                )[: 4 if uplink else 5],
                {"attachment": MACVLAN | {"master": "bond0.2001"}} | uplink,
                {},
                {("warning", "default-route-shared"): ["carries the default route of br-ex: the kernel passes"]},
                id=f"vlan-above-the-bond-of-br-ex-{'declared' if uplink else 'there'}",
            )
            for uplink in ({}, {"uplink": {"vlan": {"baseInterface": "bond0"}}})
        ),
        pytest.param(
            (BR_EX,),
            {"attachment": LOCALNET, "uplink": {"localnet": {"localnet": "mig", "bridge": "br-ex"}}},
            {},
            {("warning", "nic-default-route"): ["NIC br-ex has the default route: OVN shares that bridge"]},
            id="localnet-on-br-ex",
        ),
        *(
            pytest.param(
                (
                    {
                        "name": "bond0",
                        "type": "bond",
                        "link-aggregation": {key: [as_(each) for each in ("ens1", "ens2")]},
                    },
                    {"name": "ens1", "max-mtu": 4000},
                    {"name": "ens2"},
                ),
                {"segment": {"mtu": 9126, "vlan": None}, "attachment": MACVLAN | {"master": "bond0"}},
                {},
                {("error", "nic-mtu"): ["stands on ens1 with MTU at most 4000, and 9126 is needed"]},
                id=f"members-max-mtu-{key}-{as_.__name__}",
            )
            for key in ("port", "ports", "slaves")
            for as_ in (str, as_object)
        ),
    ],
)
def test_a_reported_network_gets_its_right_answer(
    interfaces: tuple[Object, ...], config: Object, state: Object, right: dict[tuple[str, str], list[str]]
) -> None:
    found = judge((*nodes.RULES, *policies.RULES), snapshot(interfaces, config, **state)).findings
    said = [str(each) for each in found]
    assert {(each.severity, each.code) for each in found} == right.keys(), said
    for (_, code), sentences in right.items():
        assert all(any(sentence in str(each) for each in found if each.code == code) for sentence in sentences), said


ETH1: Object = {"name": "eth1", "mtu": 9000}
TAGGED: Object = {"name": "eth1.2001", "type": "vlan", "vlan": {"id": 2001, "base-iface": "eth1"}, "mtu": 9000}
STRAY: Object = {"name": "eth1.300", "type": "vlan", "vlan": {"id": 300, "base-iface": "eth1"}, "mtu": 9000}
ON_BRM: Object = {"type": "bridge", "name": "migration", "bridge": "brm", "vlan": 2001, "preserveDefaultVlan": False}
OVS_BOND: Object = {
    "name": "br-phy",
    "type": "ovs-bridge",
    "bridge": {"port": [{"name": "ob", "link-aggregation": {"mode": "balance-slb", "port": ["eth1", "eth2"]}}]},
}


def br1(mode: str = "trunk", tag: int | None = None, *tags: int) -> Object:
    """A Linux bridge with eth1 as its port, and that port's filter."""
    vlan: Object = {"mode": mode} | ({"tag": tag} if tag else {})
    vlan |= {"trunk-tags": [{"id": each} for each in tags]} if tags else {}
    return {"name": "br1", "type": "linux-bridge", "mtu": 9000, "bridge": {"port": [{"name": "eth1", "vlan": vlan}]}}


def bond(mode: str) -> Object:
    return {"name": "bond0", "type": "bond", "mtu": 9000, "link-aggregation": {"mode": mode, "port": ["eth1", "eth2"]}}


def over_bond(mode: str) -> tuple[Object, ...]:
    bridge = {"name": "br1", "type": "linux-bridge", "mtu": 9000, "bridge": {"port": [{"name": "bond0"}]}}
    return bridge, bond(mode), ETH1, {"name": "eth2", "mtu": 9000}


@pytest.mark.parametrize(
    ("interfaces", "config", "right"),
    [
        pytest.param(
            (ETH1, TAGGED),
            {"uplink": {"bridge": {"name": "brm", "port": "eth1.2001"}}, "attachment": ON_BRM, **ACCESS},
            {"uplink-double-tag": "eth1.2001 is a VLAN interface, which tags with 2001 what attachment.vlan tags with"},
            id="the uplink's bridge on a VLAN interface, and a tag of the attachment's",
        ),
        pytest.param(
            (ETH1, STRAY),
            {
                "uplink": {"bridge": {"name": "brm", "port": "eth1.300"}},
                "attachment": ON_BRM | {"vlan": None},
                **ACCESS,
            },
            {"nic-vlan": "eth1.300 tags VLAN 300, and segment.vlan is 2001"},
            id="the uplink's bridge on a VLAN interface of another tag",
        ),
        pytest.param(
            (ETH1, TAGGED),
            {
                "uplink": {"bridge": {"name": "brm", "port": "eth1.2001"}},
                "attachment": ON_BRM | {"vlan": None},
                **ACCESS,
            },
            {},
            id="the uplink's bridge on the segment's VLAN interface",
        ),
        pytest.param(
            (ETH1, TAGGED),
            {
                "uplink": {"ovsBridge": {"name": "brm", "port": "eth1.2001"}, "localnet": {"localnet": "mig"}},
                "attachment": LOCALNET,
                **ACCESS,
            },
            {"uplink-double-tag": "what segment.vlan tags with 2001 already; virt-handler may run there. Set"},
            id="the uplink's OVS bridge on a VLAN interface",
        ),
        pytest.param(
            (ETH1, STRAY),
            {
                "uplink": {"vlan": {"baseInterface": "eth1.300", "name": "mig0"}},
                "attachment": MACVLAN | {"master": "mig0"},
            },
            {"uplink-double-tag": "which tags with 300 what the uplink's VLAN interface tags with 2001 already"},
            id="the uplink's VLAN on a VLAN interface",
        ),
        pytest.param(
            (ETH1, br1("access", 300)),
            {"attachment": MACVLAN | {"master": "br1"}, **ACCESS},
            {"uplink-trunk": "br1 has port eth1, an access port of VLAN 300, which does not let untagged frames pass"},
            id="macvlan on a bridge whose port is of another VLAN",
        ),
        pytest.param(
            (
                ETH1,
                br1("trunk", None, 100),
                {"name": "br1.2001", "type": "vlan", "mtu": 9000, "vlan": {"id": 2001, "base-iface": "br1"}},
            ),
            {"attachment": MACVLAN | {"master": "br1.2001"}},
            {"uplink-trunk": "stands on br1, which has port eth1, a trunk of VLAN 100, which does not let VLAN 2001"},
            id="macvlan on a VLAN of a bridge whose trunk lacks it",
        ),
        pytest.param(
            (
                ETH1,
                br1("trunk", None, 100, 2001),
                {"name": "br1.2001", "type": "vlan", "mtu": 9000, "vlan": {"id": 2001, "base-iface": "br1"}},
            ),
            {"attachment": MACVLAN | {"master": "br1.2001"}},
            {},
            id="macvlan on a VLAN of a bridge whose trunk has it",
        ),
        *(
            pytest.param(
                over_bond(mode),
                {"attachment": BRIDGE | {"bridge": "br1"}},
                {"uplink-bond-bridged": f"br1 stands on bond0, a bond of mode {mode}, which does not go with a bridge"}
                if mode.startswith(("balance-a", "balance-r"))
                else {},
                id=f"an existing bridge on a bond of {mode}",
            )
            for mode in ("balance-alb", "balance-rr", "active-backup", "802.3ad", "balance-xor")
        ),
        pytest.param(
            over_bond("balance-tlb")[1:],
            {"uplink": {"bridge": {"name": "brm", "port": "bond0"}}, "attachment": ON_BRM},
            {"uplink-bond-bridged": "bond0 is a bond of mode balance-tlb"},
            id="the uplink's bridge on an existing bond",
        ),
        pytest.param(
            over_bond("balance-tlb")[1:],
            {"attachment": MACVLAN | {"master": "bond0"}, **ACCESS},
            {},
            id="macvlan on such a bond",
        ),
        pytest.param(
            (OVS_BOND, ETH1, {"name": "eth2"}),
            {"attachment": MACVLAN | {"master": "ob"}, **ACCESS},
            {"nic-type": "ob is of type ovs-bond, and attachment.type macvlan takes a NIC, a VLAN interface"},
            id="macvlan on a bond of Open vSwitch",
        ),
        pytest.param(
            (OVS_BOND, ETH1, {"name": "eth2"}),
            {"attachment": MACVLAN | {"master": "eth1"}, **ACCESS},
            {"nic-enslaved": "eth1 is a port of ob; virt-handler may run there. Free it, or use attachment.type"},
            id="macvlan on a member of such a bond",
        ),
        pytest.param(
            (
                {"name": "br1", "type": "linux-bridge", "mtu": 9000, "bridge": {"port": [{"name": "eth1.2001"}]}},
                ETH1,
                TAGGED,
            ),
            {"attachment": BRIDGE | {"bridge": "br1", "vlan": None, "vlanTrunk": [{"id": 2001}]}},
            {"uplink-double-tag": "what attachment.vlanTrunk tags with 2001 already"},
            id="a trunk of the attachment on a VLAN interface",
        ),
        pytest.param(
            (
                bond("802.3ad") | {"mtu": 1500},
                {"name": "eth1", "mtu": 1500, "max-mtu": 4000},
                {"name": "eth2", "mtu": 1500},
            ),
            {"attachment": MACVLAN | {"master": "bond0"}, **ACCESS},
            {"nic-mtu": "stands on eth1 with MTU at most 4000, and 9000 is needed; virt-handler may run there. Lower"},
            id="a member that cannot have the MTU",
        ),
        pytest.param(
            (bond("802.3ad"), ETH1 | {"max-mtu": 0}, {"name": "eth2", "mtu": 9000}),
            {"attachment": MACVLAN | {"master": "bond0"}, **ACCESS},
            {},
            id="a member without a limit",
        ),
        pytest.param(
            (
                {
                    "name": "br-x",
                    "type": "ovs-bridge",
                    "bridge": {"port": [{"name": "eth1", "vlan": {"mode": "trunk", "trunk-tags": [{"id": 2001}]}}]},
                },
                {"name": "mig0", "type": "ovs-interface", "controller": "br-x", "mtu": 9000},
                ETH1,
            ),
            {"attachment": MACVLAN | {"master": "mig0"}, **ACCESS},
            {},
            id="an internal port of Open vSwitch, which may have a tag of its own",
        ),
        pytest.param(
            (
                {"name": "br-phy", "type": "ovs-bridge", "bridge": {"port": [{"name": "dpdk0"}]}},
                {"name": "dpdk0", "type": "ovs-interface", "controller": "br-phy", "dpdk": {"devargs": "0000:af:00.1"}},
            ),
            {"attachment": LOCALNET},
            {},
            id="a NIC that was given to DPDK",
        ),
        pytest.param(
            (
                {"name": "br1", "type": "linux-bridge", "mtu": 9000, "bridge": {"port": [{"name": "vx0"}]}},
                {"name": "vx0", "type": "vxlan", "mtu": 9000, "vxlan": {"id": 7, "remote": "192.0.2.9"}},
            ),
            {"attachment": BRIDGE | {"bridge": "br1"}},
            {},
            id="a tunnel without a base",
        ),
    ],
)
def test_what_stands_on_what_is_judged_all_the_way_down(
    interfaces: tuple[Object, ...], config: Object, right: dict[str, str]
) -> None:
    mapped = {"ovn": MAPPED} if any(each["name"] == "br-phy" for each in interfaces) else {}
    found = judge((*nodes.RULES, *policies.RULES), snapshot(interfaces, config, **mapped)).findings
    said = {each.code: str(each) for each in found}
    assert said.keys() == right.keys(), said
    assert all(sentence in said[code] for code, sentence in right.items()), said


def test_many_nodes_that_differ_in_numbers_are_one_line() -> None:
    many = [
        (
            {"metadata": {"name": f"n{each}", "labels": {"kubevirt.io/schedulable": "true"}}},
            {
                "metadata": {"name": f"n{each}"},
                "status": {
                    "currentState": {
                        "interfaces": [
                            {"name": "bond0", "type": "bond", "state": "up", "mtu": 9000}
                            | {"link-aggregation": {"port": [f"enp{each}s0"]}},
                            {"name": f"enp{each}s0", "type": "ethernet", "state": "up", "mtu": 1500},
                            {"name": "eth0", "type": "ethernet", "state": "up"},
                        ]
                    }
                },
            },
        )
        for each in range(300)
    ]
    one = snapshot((), {"attachment": MACVLAN | {"master": "bond0"}, **ACCESS})
    found = {
        **one.found,
        Read(NODE): tuple(node for node, _ in many),
        Read(NODE_NETWORK_STATE): tuple(s for _, s in many),
    }
    (finding,) = judge((nodes.nic_mtu,), Seen(one.stack, found)).findings
    assert finding.key == "NIC bond0"
    assert "stands on enp0s0 with MTU 1500, and 9000 is needed, on n0, and alike on 299 more nodes" in finding.rule


def test_a_linux_bridge_port_of_one_vlan_is_no_judge_of_an_ovs_port_by_another_name() -> None:
    """An access port of the OVS bridge that leads to the NIC counts; that of the patch to br-ex does not."""
    ports = [{"name": "patch-phy-to-ex", "vlan": {"mode": "access", "tag": 100}}, {"name": "eth1"}]
    interfaces = ({"name": "br-phy", "type": "ovs-bridge", "bridge": {"port": ports}}, {"name": "eth1", "mtu": 9000})
    seen = snapshot(interfaces, {"attachment": LOCALNET}, ovn=MAPPED)
    assert judge(nodes.RULES, seen).findings == ()
    ports[1]["vlan"] = {"mode": "access", "tag": 100}
    (finding,) = judge(nodes.RULES, snapshot(interfaces, {"attachment": LOCALNET}, ovn=MAPPED)).findings
    assert finding.code == "uplink-trunk"


ACCESS_PORT: Object = {"mode": "access", "tag": 300}
RANGES: Object = {"mode": "trunk", "trunk-tags": [{"id": 7}, {"id-range": {"min": 100, "max": 2000}}]}
NATIVE: Object = RANGES | {"enable-native": True, "tag": 2001}
TWO_NICS = ({"name": "eth0", "mtu": 9000}, {"name": "eth1", "mtu": 9000})


@pytest.mark.parametrize("kind", ["linux-bridge", "ovs-bridge"])
@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ([("eth1", ACCESS_PORT)], "has port eth1, an access port of VLAN 300, which does not let VLAN 2001"),
        ([("eth1", RANGES)], "has port eth1, a trunk of VLAN 7, 100-2000, which does not let VLAN 2001"),
        ([("eth1", {"mode": "access", "tag": 2001})], None),
        ([("eth1", RANGES | {"trunk-tags": [{"id-range": {"min": 2000, "max": 2001}}]})], None),
        ([("eth1", NATIVE)], None),
        ([("eth0", ACCESS_PORT), ("eth1", RANGES)], "has port eth0, an access port of VLAN 300"),
        # One port of two leads to the segment: the other one is for something else.
        ([("eth0", ACCESS_PORT), ("eth1", NATIVE)], None),
    ],
)
def test_a_bridge_that_is_there_lets_the_attachments_vlan_pass(
    kind: str, ports: list[tuple[str, Object]], said: str | None
) -> None:
    bridge = {"name": "br-phy", "type": kind, "bridge": {"port": [{"name": name, "vlan": of} for name, of in ports]}}
    attachment = LOCALNET if kind == "ovs-bridge" else BRIDGE | {"bridge": "br-phy"}
    seen = snapshot((bridge, *TWO_NICS), {"attachment": attachment}, ovn=MAPPED)
    found = [each for each in judge(nodes.RULES, seen).findings if each.code == "uplink-trunk"]
    assert [each.severity for each in found] == ["error"] * (0 if said is None else len(ports))
    assert said is None or said in str(found[0])


def test_the_port_that_is_a_bond_of_open_vswitch_has_to_carry_the_vlan_too() -> None:
    port = {"name": "ovs-bond", "link-aggregation": SLB, "vlan": ACCESS_PORT}
    bridge = {"name": "br-phy", "type": "ovs-bridge", "bridge": {"port": [port]}}
    (finding,) = judge(nodes.RULES, snapshot((bridge, *TWO_NICS), {"attachment": LOCALNET}, ovn=MAPPED)).findings
    assert (finding.severity, finding.code) == ("error", "uplink-trunk")
    assert "has port ovs-bond, an access port of VLAN 300" in finding.rule


OVS_UPLINK: Object = {
    "ovsBridge": {
        "name": "br-phy",
        "ports": [{"name": "ovs-bond", "linkAggregation": {"mode": "balance-slb", "ports": ["eth0", "eth1"]}}],
    },
    "localnet": {"localnet": "mig"},
}


def test_the_nics_of_the_uplinks_own_bond_in_its_own_bridge_are_nobody_elses_ports() -> None:
    """They were said to be ports of ovs-bond, an error with each second up."""
    bridge = {
        "name": "br-phy",
        "type": "ovs-bridge",
        "bridge": {"port": [{"name": "ovs-bond", "link-aggregation": SLB}]},
    }
    config = {"attachment": LOCALNET, "uplink": OVS_UPLINK}
    assert judge(nodes.RULES, snapshot((bridge, *TWO_NICS), config, ovn=MAPPED)).findings == ()
    elsewhere = bridge | {"name": "br-other"}
    found = judge(nodes.RULES, snapshot((elsewhere, *TWO_NICS), config)).findings
    assert [each.code for each in found] == ["nic-enslaved", "nic-enslaved"]


def test_what_the_nics_of_an_ovs_bond_can_have_at_most_counts_before_it_is_made() -> None:
    """nmstate sets their MTU, as far as they can."""
    there = ({"name": "eth0", "mtu": 1500}, {"name": "eth1", "mtu": 1500, "max-mtu": 4000})
    (finding,) = judge(nodes.RULES, snapshot(there, {"attachment": LOCALNET, "uplink": OVS_UPLINK})).findings
    assert (finding.code, finding.key) == ("nic-mtu", "Node a NIC eth1")
    assert "has MTU at most 4000, and 9000 is needed" in finding.rule


def test_uplink_takes_host_addresses() -> None:
    address = {"enabled": True, "address": [{"ip": "192.168.22.71", "prefix-length": 26}]}
    vlan = {"name": "eth1.3876", "type": "vlan", "vlan": {"id": 3876, "base-iface": "eth1"}}
    policy = {"metadata": {"name": "nfs-vlan"}, "spec": {"desiredState": {"interfaces": [vlan | {"ipv4": address}]}}}
    config = {
        "segment": {"vlan": 3876},
        "attachment": MACVLAN | {"master": "eth1.3876"},
        "uplink": {"vlan": {"baseInterface": "eth1"}},
    }
    (finding,) = judge(
        (*nodes.RULES, *policies.RULES), snapshot(({"name": "eth1"}, vlan | {"ipv4": address}), config, (policy,))
    ).findings
    assert (finding.severity, finding.code, finding.key) == ("error", "uplink-host-address", "NIC eth1.3876")
    assert "192.168.22.71/26 on a (declared by NodeNetworkConfigurationPolicy nfs-vlan)" in finding.rule
    assert finding.remedy.startswith("Remove uplink and attach to eth1.3876 as it is")


def test_foreign_policy_declares_our_interface() -> None:
    interfaces = [{"name": "eth3", "state": "down"}, {"name": "bond1", "ipv4": {"dhcp": True}}]
    policy = {"metadata": {"name": "other"}, "spec": {"desiredState": {"interfaces": interfaces}}}
    config = {
        "attachment": MACVLAN | {"master": "bond1"},
        "uplink": {"bond": {"name": "bond1", "ports": ["eth3", "eth4"], "mode": "802.3ad"}},
        **ACCESS,
    }
    there = ({"name": "eth3"}, {"name": "eth4"})
    (finding,) = judge((*nodes.RULES, *policies.RULES), snapshot(there, config, (policy,))).findings
    assert (finding.severity, finding.code) == ("error", "policy-shared")
    assert finding.key == "NodeNetworkConfigurationPolicy other"
    assert "eth3 (state: down); bond1 (ipv4.enabled: true)" in finding.rule


def test_init_does_not_recommend_a_vlan_above_the_bond_of_br_ex() -> None:
    """It said `tags segment.vlan` and nothing else, and chose it."""
    seen = snapshot(
        (
            {"name": "br-ex", "type": "ovs-bridge", "bridge": {"port": [{"name": "bond0"}, {"name": "br-ex"}]}},
            BR_EX,
            {"name": "bond0", "type": "bond", "link-aggregation": {"port": ["eth0"]}, "controller": "br-ex"},
            {"name": "eth0", "controller": "bond0"},
            {"name": "bond0.2001", "type": "vlan", "vlan": {"id": 2001, "base-iface": "bond0"}},
        ),
        {"attachment": MACVLAN},
    )
    (nic,) = (each for each in judge_nics(seen.nodes, seen.stack.segment) if each.name == "bond0.2001")
    assert nic.against[0].startswith(
        "stands on bond0, which carries the default route of br-ex: the kernel passes tagged"
    )


@pytest.mark.parametrize("more", [{}, {"name": "dpdk0", "type": "ovs-interface", "dpdk": {"devargs": "0000:af:00.1"}}])
def test_a_nic_that_was_given_to_dpdk_is_a_second_one(more: Object) -> None:
    one = snapshot((), {"attachment": MACVLAN})
    interfaces = [{"name": "eth0", "type": "ethernet", "state": "up"}, *([more] if more else [])]
    states = ({"metadata": {"name": "a"}, "status": {"currentState": {"interfaces": interfaces}}},)
    found = judge((nodes.nic_single,), Seen(one.stack, {**one.found, Read(NODE_NETWORK_STATE): states})).findings
    assert [each.code for each in found] == ([] if more else ["nic-single"])
