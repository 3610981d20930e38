"""Every mistake in an uplink, as it prints."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from config.attachment import AnyAttachment
from config.attachment.tags import attachment_tags
from config.finding import ConfigError
from config.loading import load_stack
from config.rules.uplink_rules import attached_to
from config.segment import Segment

VLAN = {"vlan": {"baseInterface": "eth1"}}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "eth1.2001"}
BRIDGE = {"type": "bridge", "name": "migration", "bridge": "br-mig", "preserveDefaultVlan": False}
WORKERS = {"node-role.kubernetes.io/worker": ""}
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
DEFAULT_ROUTE_ETH1 = {"context": "dev", "defaultRouteInterface": "eth1"}
BOND = {"name": "bond1", "ports": ["eth1", "eth2"], "mode": "active-backup"}


def values(uplink: dict[str, Any] | None, attachment: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "segment": {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000},
        "cluster": {"context": "dev"},
        "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
        "attachment": attachment,
        **({"uplink": uplink} if uplink else {}),
        **sections,
    }


def groups(*each: dict[str, Any]) -> dict[str, Any]:
    return {"nodeGroups": list(each)}


def vlan(name: str, selector: dict[str, str], interface: str) -> dict[str, Any]:
    return {"name": name, "nodeSelector": selector, "vlan": {"baseInterface": "eth1", "name": interface}}


@pytest.mark.parametrize(
    ("stack", "line"),
    [
        (
            values({"bond": BOND | {"ports": ["eth1", "eth1"]}}, MACVLAN | {"master": "bond1"}),
            "dev: uplink.bond.ports[1] eth1 is a port already. Name each NIC once",
        ),
        (
            values({"bond": BOND | {"ports": ["bond1"]}}, MACVLAN),
            "dev: uplink.bond.ports[0] bond1 is the bond itself. Name its NICs",
        ),
        (
            values({"bond": BOND, "vlan": {"baseInterface": "eth1"}}, MACVLAN),
            "dev: uplink.vlan.baseInterface eth1 is a port of bond bond1, which takes all its traffic. Leave it out to",
        ),
        (
            values({"vlan": {}}, MACVLAN),
            "dev: uplink.vlan.baseInterface is required without a bond. Name the NIC, such as eth1",
        ),
        (
            values({"bridge": {"name": "br-mig"}}, BRIDGE),
            "dev: uplink.bridge.port is required without a bond or vlan. Name the NIC, such as eth1",
        ),
        (
            values({"mtu": 9000}, MACVLAN),
            "dev: uplink.vlan is not there, nor is bond, bridge, ovsBridge or localnet: the uplink makes"
            " nothing. Add one",
        ),
        (
            values({"bridge": {"name": "b", "port": "eth1"}, "ovsBridge": {"name": "o", "port": "eth1"}}, BRIDGE),
            "dev: uplink.ovsBridge o stands beside bridge b. Keep one",
        ),
        (
            values({"ovsBridge": {"name": "br-ex", "port": "eth1"}}, MACVLAN),
            "dev: uplink.ovsBridge.name br-ex belongs to OVN-Kubernetes. Choose another name, such as br-mig",
        ),
        (
            values({"localnet": {"localnet": "migration"}}, MACVLAN),
            "dev: uplink.localnet.bridge is required without an ovsBridge. Name the bridge that leads to the segment",
        ),
        (
            values({"localnet": {"localnet": "a:b", "bridge": "br-ex"}}, MACVLAN),
            "dev: uplink.localnet.localnet a:b is not a physical network's name. Leave out blanks, colons and commas",
        ),
        (
            values(VLAN | {"mtu": 9000, "baseMtu": 1500}, MACVLAN),
            "dev: uplink.baseMtu 1500 is below mtu 9000; the kernel refuses it. Raise it",
        ),
        (
            values(VLAN | {"baseMtu": 1500}, MACVLAN),
            "dev: uplink.baseMtu 1500 is below the 9000 of what stands upon it; the kernel refuses it. Raise it, or",
        ),
        (
            values(VLAN | {"mtu": 1500}, MACVLAN),
            "dev: uplink.mtu 1500 is below the 9000 of the pods. Leave it out to use the segment's",
        ),
        (
            values(VLAN | {"maxUnavailable": "150%"}, MACVLAN),
            "dev: uplink.maxUnavailable 150% is neither a number of nodes (1 to 5000) nor a share of them. Write 1, or",
        ),
        (
            values(VLAN | {"nodeSelector": {"role in": "a"}}, MACVLAN),
            'dev: uplink.nodeSelector {"role in": "a"} has role in=a, which is no label of a node. Write labels and',
        ),
        (
            values(VLAN | {"nodeSelector": {"rack": 5}}, MACVLAN),
            "dev: uplink.nodeSelector.rack 5 is not text. Put it in quotes",
        ),
        (
            values(VLAN | groups(vlan("a", WORKERS, "mig0")), MACVLAN),
            "dev: uplink.nodeGroups is combined with keys of a single group (vlan). Move them into the groups",
        ),
        (
            values(groups({"vlan": {"baseInterface": "eth1"}}), MACVLAN),
            "dev: uplink.nodeGroups[0].name is required. Add it, such as workers",
        ),
        (
            values(groups(vlan("a", WORKERS, "mig0"), vlan("a", CONTROL_PLANE, "mig0")), MACVLAN),
            "dev: uplink.nodeGroups[1].name a is another group's too. Rename one",
        ),
        (
            values(groups(vlan("a", WORKERS, "mig0"), vlan("b", WORKERS, "mig0")), MACVLAN),
            'dev: uplink.nodeGroups[1].nodeSelector {"node-role.kubernetes.io/worker": ""} selects nodes'
            " of group a too;"
            " two policies would fight over them. Select other nodes, or merge the groups",
        ),
        (
            values(groups(vlan("a", {}, "mig0"), vlan("b", WORKERS, "mig0")), MACVLAN),
            "selects nodes of group a too; two policies would fight over them",
        ),
        (
            values({"vlan": {"baseInterface": "enp175s0f0np0"}}, MACVLAN),
            "dev: uplink.vlan.name is not set, and enp175s0f0np0.2001 is 18 characters long: the kernel takes 15. Write"
            " a shorter vlan.name, such as mig0",
        ),
        (
            # What a localnet is called so by is the key that is wrong.
            values({"localnet": {"localnet": "mig", "bridge": "br-ex"}}, {"type": "localnet", "name": "other"}),
            "dev: attachment.name other is not what uplink makes (mig). Write mig, or rename it in the uplink",
        ),
        (
            values(
                {"localnet": {"localnet": "mig", "bridge": "br-ex"}},
                {"type": "localnet", "name": "m", "cniName": "other"},
            ),
            "dev: attachment.cniName other is not what uplink makes (mig). Write mig, or rename it in the uplink",
        ),
        (
            values(VLAN | {"name": "g" * 60}, MACVLAN),
            f"dev: uplink.name {'g' * 60} makes the policy's name migration-dev-{'g' * 60}-d74ffa 81 characters",
        ),
        (
            values({"vlan": {"baseInterface": "eth1"}}, MACVLAN, segment={"subnet": "10.200.5.0/24"}),
            "dev: uplink.vlan.id is required while segment.vlan is not set. Set segment.vlan in"
            " Pulumi.yaml, so that all",
        ),
        (
            values({"vlan": {"baseInterface": "eth1", "id": 7, "name": "mig0"}}, MACVLAN | {"master": "mig0"}),
            "dev: uplink.vlan.id 7 is not segment.vlan 2001; this cluster would be alone on its VLAN. Leave it out to",
        ),
        (
            values({"bond": BOND, "vlan": {"baseInterface": "eth3", "name": "mig0"}}, MACVLAN | {"master": "mig0"}),
            "dev: uplink.vlan.baseInterface eth3 passes by bond bond1, which nothing uses then. Leave it"
            " out, or remove",
        ),
        (
            values(VLAN | {"bridge": {"name": "br-mig", "port": "eth2"}}, BRIDGE),
            "dev: uplink.bridge.port eth2 passes by eth1.2001, which nothing uses then. Leave it out to use eth1.2001",
        ),
        (
            values(groups(vlan("a", WORKERS, "mig0"), vlan("b", CONTROL_PLANE, "mig1")), MACVLAN | {"master": "mig0"}),
            "dev: uplink.nodeGroups[1] ends in interface mig1 and uplink.nodeGroups[0] in mig0; one"
            " attachment serves all"
            " nodes. Give both the same name, such as vlan.name: mig0",
        ),
        (
            values(VLAN, MACVLAN | {"master": "eth1"}),
            "dev: attachment.master eth1 is not what uplink makes (eth1.2001). Write eth1.2001, or rename it in the",
        ),
        (
            values(VLAN, BRIDGE),
            "dev: attachment.bridge br-mig is not what uplink makes (eth1.2001).",
        ),
        (
            values({"bridge": {"name": "br-mig", "port": "eth1"}}, MACVLAN | {"master": "eth1"}),
            "dev: attachment.master eth1 is a port of the bridge or bond that uplink makes, which takes"
            " all its traffic."
            " Use type bridge, or leave the bridge out",
        ),
        (
            values({"bond": BOND}, MACVLAN | {"master": "eth1"}),
            "dev: attachment.master eth1 is a port of the bridge or bond that uplink makes, which takes"
            " all its traffic."
            " Write bond1",
        ),
        (
            values(VLAN | {"bridge": {"name": "br-mig"}}, BRIDGE | {"vlan": 2001}),
            "dev: attachment.vlan 2001 tags what uplink.vlan tags with 2001 again. Leave it out, or"
            " remove the vlan layer",
        ),
        (
            values({"bridge": {"name": "br-mig", "port": "eth1", "trunk": [7]}}, BRIDGE | {"vlan": 2001}),
            "dev: uplink.bridge.trunk [7] does not let VLAN 2001 of the attachment pass. Leave it out to let exactly",
        ),
        (
            values({"bridge": {"name": "br-mig", "port": "eth1", "trunk": [2001]}}, BRIDGE),
            "dev: uplink.bridge.trunk [2001] lets only tagged frames pass, and the attachment sends untagged ones. Set",
        ),
        (
            values({"bond": BOND}, MACVLAN | {"master": "bond1"}, cluster=DEFAULT_ROUTE_ETH1),
            "dev: uplink.bond.ports[0] eth1 is the NIC of the default route. Use another NIC",
        ),
        (
            values(None, MACVLAN | {"master": "eth1"}, cluster=DEFAULT_ROUTE_ETH1),
            "dev: attachment.master eth1 is the NIC of the default route: migrations would starve the cluster's own"
            " traffic. Use another NIC",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(stack: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_stack("dev", stack)
    lines = str(caught.value).splitlines()
    assert any(line in each for each in lines), lines


@pytest.mark.parametrize(
    ("stack", "code"),
    [
        (values({"vlan": {"baseInterface": "enp175s0f0np0"}}, MACVLAN), "uplink-name-long"),
        (values(VLAN, MACVLAN, segment={"subnet": "10.200.5.0/24"}), "uplink-vlan-missing"),
        (
            values(groups(vlan("a", WORKERS, "mig0"), vlan("b", CONTROL_PLANE, "mig1")), MACVLAN | {"master": "mig0"}),
            "uplink-top-differs",
        ),
    ],
)
def test_a_name_that_is_wrong_in_the_uplink_is_not_held_against_the_attachment_too(
    stack: dict[str, Any], code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_stack("dev", stack)
    assert [finding.code for finding in caught.value.findings] == [code]


@pytest.mark.parametrize(
    ("stack", "line"),
    [
        (
            values({"bridge": {"name": "br-mig", "port": "eth1"}}, BRIDGE),
            "dev: uplink sends untagged frames, and segment.vlan is 2001; right only where the switch"
            " ports of these nodes"
            " are access ports of VLAN 2001. Add a vlan layer where they are trunk ports",
        ),
        (
            values(VLAN | {"nodeSelector": WORKERS}, MACVLAN),
            "dev: uplink has no group for control-plane nodes, where the sync controllers of cross-cluster migration"
            " run unless spec.infra.nodePlacement of the HyperConverged names others; they would stay in"
            " ContainerCreating. Add a group for node-role.kubernetes.io/control-plane, or waive this where they run"
            " elsewhere, or set cluster.crossCluster: false",
        ),
        *(
            (
                values(uplink, MACVLAN, cluster=DEFAULT_ROUTE_ETH1),
                f"dev: {key} has the default route: the kernel passes tagged frames"
                " there, but Red Hat's documents advise against it, and migrations fill the link of the nodes' own"
                " traffic. Use another NIC, or waive default-route-shared with the reason and set"
                " bandwidthPerMigration",
            )
            # Declared by us or there already, it is the same.
            for uplink, key in (
                (VLAN, "uplink.vlan.baseInterface eth1 is to carry a VLAN interface, and"),
                (None, "attachment.master eth1.2001 stands on eth1, which"),
            )
        ),
    ],
)
def test_what_is_likely_not_meant_is_a_warning(stack: dict[str, Any], line: str) -> None:
    assert [str(finding) for finding in load_stack("dev", stack).findings] == [line]


SHARED = (
    "the kernel passes tagged frames there, but Red Hat's documents advise against it, and migrations fill the link of"
    " the nodes' own traffic. Use another NIC, or waive default-route-shared with the reason and set"
    " bandwidthPerMigration"
)


@pytest.mark.parametrize(
    ("route", "uplink", "attachment", "line"),
    [
        (
            "bond0",
            {"bridge": {"name": "br-mig", "port": "bond0.2001"}},
            BRIDGE,
            f"dev: uplink.bridge.port bond0.2001 stands on bond0, which has the default route: {SHARED}",
        ),
        (
            "bond0.178",
            {"vlan": {"baseInterface": "bond0"}},
            MACVLAN | {"master": "bond0.2001"},
            "dev: uplink.vlan.baseInterface bond0 is to carry a VLAN interface, and carries the default route of"
            f" bond0.178: {SHARED}",
        ),
        (
            "br-ex",
            {"localnet": {"localnet": "mig", "bridge": "br-ex"}},
            {"type": "localnet", "name": "mig"},
            "dev: uplink.localnet.bridge br-ex has the default route: OVN shares that bridge between the cluster's own"
            " traffic and migrations, which works, and slows both. Use another NIC, or waive default-route-shared with"
            " the reason and set bandwidthPerMigration; or map it to another bridge",
        ),
    ],
)
def test_what_shares_the_default_route_is_said_whatever_layer_it_is(
    route: str, uplink: dict[str, Any], attachment: dict[str, Any], line: str
) -> None:
    found = load_stack("dev", values(uplink, attachment, cluster={"context": "dev", "defaultRouteInterface": route}))
    assert line in [str(finding) for finding in found.findings]


@pytest.mark.parametrize(
    ("uplink", "cluster"),
    [
        (VLAN, {}),
        (VLAN | {"nodeSelector": WORKERS}, {"crossCluster": False}),
        (VLAN | {"nodeSelector": CONTROL_PLANE}, {"crossCluster": True}),
        (VLAN, {"defaultRouteInterface": "eth0"}),
    ],
)
def test_what_covers_the_nodes_that_need_it_is_fine(uplink: dict[str, Any], cluster: dict[str, Any]) -> None:
    assert not load_stack("dev", values(uplink, MACVLAN, cluster={"context": "dev", **cluster})).findings


@pytest.mark.parametrize("selector", [{"migration": "true"}, WORKERS])
def test_where_the_sync_controllers_run_the_files_do_not_say_so_it_is_a_warning(selector: dict[str, str]) -> None:
    """Hosted control planes have no control-plane nodes, and the placement may name any."""
    uplink = VLAN | {"nodeSelector": selector}
    stack = load_stack("dev", values(uplink, MACVLAN, cluster={"context": "dev", "crossCluster": True}))
    assert [finding.code for finding in stack.findings] == ["uplink-control-plane"]


def test_a_stack_that_could_not_be_rendered_cannot_waive_the_reason() -> None:
    stack = values(VLAN, MACVLAN, segment={"subnet": "10.200.5.0/24"}, waivers={"uplink-vlan-missing": "because"})
    with pytest.raises(ConfigError, match="is no rule that can be waived"):
        load_stack("dev", stack)


@pytest.mark.parametrize(
    ("attachment", "needs", "tags"),
    [
        ({"type": "macvlan", "master": "eth1"}, ("master", "eth1"), ()),
        ({"type": "ipvlan", "master": "eth1"}, ("master", "eth1"), ()),
        (
            {"type": "bridge", "bridge": "br0", "vlan": 5, "vlanTrunk": [{"minID": 6, "maxID": 7}]},
            ("bridge", "br0"),
            (5, 6, 7),
        ),
        ({"type": "bridge"}, None, ()),
        ({"type": "localnet"}, ("physicalNetworkName", "m"), (2001,)),
        ({"type": "localnet", "physicalNetworkName": "phys", "vlanID": 0}, ("physicalNetworkName", "phys"), ()),
    ],
)
def test_an_attachments_needs_are_read_from_whichever_type_it_is(
    attachment: dict[str, Any], needs: tuple[str, str] | None, tags: tuple[int, ...]
) -> None:
    segment = Segment.model_validate_json('{"subnet": "10.200.5.0/24", "vlan": 2001}')
    read = TypeAdapter(AnyAttachment).validate_json(json.dumps(attachment | {"name": "m"}))
    assert attached_to(read) == needs
    assert attachment_tags(read, segment) == tags
