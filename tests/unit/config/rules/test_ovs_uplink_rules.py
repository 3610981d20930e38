"""Mistakes in the ports of an Open vSwitch bridge, in localnets and in VLAN filters, as they print."""

from __future__ import annotations

from typing import Any

import pytest

from config.finding import ConfigError
from config.loading import load_stack
from config.stack import Stack

LOCALNET = {"type": "localnet", "name": "migration", "physicalNetworkName": "mig"}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "bond1"}
BRIDGE = {"type": "bridge", "name": "migration", "bridge": "br-mig", "vlan": 2001, "preserveDefaultVlan": False}
SLB = {"mode": "balance-slb", "ports": ["eth1", "eth2"]}
BOND = {"name": "bond1", "ports": ["eth1", "eth2"], "mode": "active-backup"}
WORKERS = {"node-role.kubernetes.io/worker": ""}
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


def stack(uplink: dict[str, Any], attachment: dict[str, Any], **sections: Any) -> Stack:
    values = {
        "segment": {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000},
        "cluster": {"context": "dev"},
        "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
        "attachment": attachment,
        "uplink": uplink,
    }
    return load_stack("dev", values | sections)


def ovs(*ports: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ovsBridge": {"name": "br-phy", "ports": list(ports)}, "localnet": {"localnet": "mig"}} | more


def slb(**more: Any) -> dict[str, Any]:
    return {"name": "ovs-bond", "linkAggregation": SLB} | more


@pytest.mark.parametrize(
    ("uplink", "attachment", "line"),
    [
        (
            ovs() | {"ovsBridge": {"name": "br-phy", "port": "eth1", "ports": [slb()]}},
            LOCALNET,
            "dev: uplink.ovsBridge.port eth1 stands beside ports. Write it as one of ports",
        ),
        (
            ovs({"name": "eth1"}, slb()),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[1].linkAggregation.ports[0] eth1 is a port already. Name each once",
        ),
        (
            ovs(slb(name="eth2")),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].name eth2 is a port already. Name each once",
        ),
        (
            ovs(slb(name="br-phy")),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].name br-phy is the bridge itself. Name its NICs, and their bond otherwise",
        ),
        (
            ovs({"name": "b", "linkAggregation": {"mode": "balance-slb", "ports": ["eth1"]}}),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].linkAggregation.ports eth1 is the only NIC, and Open vSwitch makes"
            " a bond of",
        ),
        (
            ovs({"name": "b", "linkAggregation": {"mode": "802.3ad", "ports": ["eth1", "eth2"]}}),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].linkAggregation.mode 802.3ad",
        ),
        (
            ovs({"name": "eth1"}, bond=BOND),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].name eth1 is a port of bond bond1, which takes all its traffic."
            " Leave it out",
        ),
        (
            ovs({"name": "eth3"}, bond=BOND),
            LOCALNET,
            'dev: uplink.ovsBridge.ports ["eth3"] pass by bond1, which nothing uses then. Name bond1 among them, or',
        ),
        (
            ovs(slb(access=2001, trunk=[2001])),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].access 2001 is combined with trunk or native, and a port is one or"
            " the other.",
        ),
        (
            ovs(slb(native=2001)),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].native 2001 is given without a trunk. Write access: 2001 where no"
            " other VLAN",
        ),
        (
            ovs(slb(access=300)),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].access 300 does not let VLAN 2001 of the attachment pass. Write"
            " 2001, or leave",
        ),
        (
            ovs(slb(trunk=[7, {"minID": 100, "maxID": 2000}])),
            LOCALNET,
            'dev: uplink.ovsBridge.ports[0].trunk [7, "100-2000"] does not let VLAN 2001 of the attachment pass. Write',
        ),
        (
            ovs(slb(trunk=[{"minID": 200, "maxID": 100}])),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].trunk[0].maxID 100 is below minID 200. Swap them",
        ),
        (
            ovs(slb(trunk=[4095])),
            LOCALNET,
            "dev: uplink.ovsBridge.ports[0].trunk[0].id 4095 is above 4094",
        ),
        (
            ovs(slb(access=2001)),
            LOCALNET | {"vlanID": 0},
            "dev: uplink.ovsBridge.ports[0].access 2001 lets only frames of that tag inside the bridge pass, and the"
            " attachment sends untagged ones. Set attachment.vlanID: 2001, or leave access out",
        ),
        (
            {"bridge": {"name": "br-mig", "port": "eth1", "access": 7}},
            BRIDGE,
            "dev: uplink.bridge.access 7 does not let VLAN 2001 of the attachment pass. Write 2001, or leave it out",
        ),
        (
            ovs(slb(), localnets=[{"localnet": "mig"}]),
            LOCALNET,
            "dev: uplink.localnets[0].localnet mig is mapped already. Map each once",
        ),
        (
            {"localnets": [{"localnet": "mig"}]},
            LOCALNET,
            "dev: uplink.localnets[0].bridge is required without an ovsBridge. Name the bridge that leads to"
            " the segment",
        ),
        (
            ovs(slb()) | {"localnet": None, "localnets": [{"localnet": "a"}, {"localnet": "b"}]},
            LOCALNET,
            "dev: attachment.physicalNetworkName mig is not what uplink makes (a or b). Write a or b, or rename it",
        ),
        (
            {"bond": BOND | {"copyMacFrom": "eth3"}},
            MACVLAN,
            "dev: uplink.bond.copyMacFrom eth3 is none of the NICs below. Choose eth1, eth2",
        ),
        (
            {"bond": BOND, "bridge": {"name": "br-mig", "copyMacFrom": "bond1"}},
            BRIDGE,
            "dev: uplink.bridge.copyMacFrom bond1 is none of the NICs below. Choose eth1, eth2",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(uplink: dict[str, Any], attachment: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stack({key: value for key, value in uplink.items() if value is not None}, attachment)
    lines = str(caught.value).splitlines()
    assert [each for each in lines if line in each], lines
    assert len(lines) == 1, lines


@pytest.mark.parametrize(
    ("uplink", "said"),
    [
        (ovs(slb()), []),
        (ovs(slb(trunk=[{"minID": 2000, "maxID": 2001}], native=7)), []),
        # One port that leads to the segment is enough.
        (ovs(slb(trunk=[2001]), {"name": "eth3", "access": 300}), []),
        (
            ovs(slb(access=2001)),
            [
                "dev: uplink.ovsBridge.ports[0] takes the tag off, and segment.vlan is 2001; right only where"
                " the switch"
                " ports of these nodes are access ports of VLAN 2001. Leave it out where they are trunk ports"
            ],
        ),
        (
            ovs(slb(trunk=[7], native=2001)),
            [
                "dev: uplink.ovsBridge.ports[0] takes the tag off, and segment.vlan is 2001; right only where"
                " the switch"
                " ports of these nodes are access ports of VLAN 2001. Leave it out where they are trunk ports"
            ],
        ),
        (
            ovs(slb(), localnets=[{"localnet": "tenants", "bridge": "br-ex"}]),
            [
                "dev: uplink.localnets[0].bridge br-ex has the default route: OVN shares that bridge between"
                " the cluster's"
                " own traffic and migrations, which works, and slows both. Use another NIC, or waive"
                " default-route-shared"
                " with the reason and set bandwidthPerMigration; or map it to another bridge"
            ],
        ),
    ],
)
def test_what_carries_the_vlan_is_fine_and_where_the_switch_has_to_tag_a_warning_says_so(
    uplink: dict[str, Any], said: list[str]
) -> None:
    found = stack(uplink, LOCALNET, cluster={"context": "dev", "defaultRouteInterface": "br-ex"}).findings
    assert [str(finding) for finding in found] == said


NODES = ({"name": "workers", "nodeSelector": WORKERS}, {"name": "masters", "nodeSelector": CONTROL_PLANE})
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a NIC under a VLAN": (
        {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        {"vlan": {"baseInterface": "ens1f0", "name": "mig0"}},
        MACVLAN | {"master": "mig0"},
    ),
    "a bond under a VLAN": (
        {"bond": BOND, "vlan": {"name": "mig0"}},
        {"bond": BOND | {"name": "bond9", "ports": ["ens1f0", "ens1f1"]}, "vlan": {"name": "mig0"}},
        MACVLAN | {"master": "mig0"},
    ),
    "a bond alone": ({"bond": BOND}, {"bond": BOND | {"ports": ["ens1f0", "ens1f1"]}}, MACVLAN),
    "a Linux bridge": (
        {"bridge": {"name": "br-mig", "port": "eth1"}},
        {"bond": BOND | {"ports": ["ens1f0", "ens1f1"]}, "bridge": {"name": "br-mig"}},
        BRIDGE,
    ),
    "an OVS bridge": (
        {"ovsBridge": {"name": "br-phy", "port": "eth1"}, "localnet": {"localnet": "mig"}},
        {"ovsBridge": {"name": "br-data", "port": "ens1f0"}, "localnet": {"localnet": "mig"}},
        LOCALNET,
    ),
    "an OVS bond": (
        ovs(slb()),
        ovs({"name": "ovs-bond", "linkAggregation": {"mode": "balance-tcp", "ports": ["ens1f0", "ens1f1"]}}),
        LOCALNET,
    ),
    "several localnets, and one beside": (
        {"localnets": [{"localnet": "mig", "bridge": "br-ex"}, {"localnet": "tenants", "bridge": "br-ex"}]},
        ovs(slb()),
        LOCALNET,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_nodes_have_nics_of_other_names_for_every_kind_of_uplink(kind: str) -> None:
    first, second, attachment = KINDS[kind]
    groups = {"nodeGroups": [NODES[0] | first, NODES[1] | second]}
    found = stack(groups, attachment, cluster={"context": "dev", "crossCluster": False})
    one, two = found.policies
    assert [finding for finding in found.findings if finding.severity == "error"] == []
    assert (one.spec["nodeSelector"], two.spec["nodeSelector"]) == (WORKERS, CONTROL_PLANE)
    names = [
        {each["name"] for each in policy.spec["desiredState"].get("interfaces", ()) if "type" not in each}
        for policy in (one, two)
    ]
    assert not names[0] & names[1]
    assert names[0] | names[1]


def test_a_group_that_maps_another_localnet_is_not_served() -> None:
    groups = {"nodeGroups": [NODES[0] | ovs(slb()), NODES[1] | ovs(slb()) | {"localnet": {"localnet": "other"}}]}
    with pytest.raises(ConfigError) as caught:
        stack(groups, LOCALNET)
    assert str(caught.value).startswith(
        "dev: uplink.nodeGroups[1] ends in localnet other and uplink.nodeGroups[0] in mig; one attachment serves all"
    )
