"""Every mistake gets one line: stack, key path, value, rule, remedy. All of a file are reported at once."""

import json
from typing import Any

import pytest

from config.finding import ConfigError
from config.loading import load_stack

GOOD: dict[str, Any] = {
    "segment": {
        "subnet": "10.200.5.0/24",
        "vlan": 2001,
        "mtu": 9000,
        "gateway": "10.200.5.1",
        "reserved": ["10.200.5.250-10.200.5.254"],
    },
    "cluster": {"context": "dev"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
    "hyperConverged": {"liveMigration": {"progressTimeout": 150}},
    "otherNetworks": {"machine": "10.0.0.0/16", "cluster": ["10.128.0.0/14"]},
}
BRIDGE = {"type": "bridge", "name": "migration", "bridge": "br-mig"}
IPVLAN = {"type": "ipvlan", "name": "migration", "master": "eth1"}
LOCALNET = {"type": "localnet", "name": "migration"}
IPV6 = {"segment": {"subnet": "fd00:5::/64"}, "slice": {"rangeStart": "fd00:5::1:1", "rangeEnd": "fd00:5::1:9"}}


def with_(section: str, **keys: Any) -> dict[str, Any]:
    return GOOD | {section: {**GOOD.get(section, {}), **keys}}


def mistakes(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_stack("dev", values)
    return str(caught.value).splitlines()


def test_the_good_configuration_is_accepted() -> None:
    stack = load_stack("dev", GOOD)
    assert str(stack.span) == "10.200.5.10-10.200.5.60"
    assert stack.capacity == 51
    assert not stack.findings


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            with_("slice", rangeEnd="10.200.5.9"),
            "dev: slice.rangeEnd 10.200.5.9 comes before rangeStart 10.200.5.10; whereabouts ignores such an end and"
            " hands out addresses up to the end of the subnet. Swap them",
        ),
        (
            with_("slice", rangeEnd="10.200.6.9"),
            "dev: slice.rangeEnd 10.200.6.9 is not a usable address of subnet 10.200.5.0/24; whereabouts ignores it and"
            " hands out addresses of other clusters. Use addresses of 10.200.5.1-10.200.5.254",
        ),
        (
            with_("slice", rangeStart="10.200.5.0"),
            "dev: slice.rangeStart 10.200.5.0 is not a usable address of subnet 10.200.5.0/24",
        ),
        (
            with_("slice", rangeStart="10.200.5.1"),
            "dev: slice 10.200.5.1-10.200.5.60 contains the segment's gateway 10.200.5.1. Move rangeStart or rangeEnd",
        ),
        (
            with_("slice", rangeEnd="10.200.5.251"),
            "dev: slice 10.200.5.10-10.200.5.251 contains the segment's reserved part 10.200.5.250-10.200.5.254",
        ),
        (with_("slice", rangeEnd="fd00::9"), "dev: slice.rangeEnd fd00::9 is IPv6 and rangeStart 10.200.5.10 is IPv4"),
        (with_("slice", rangeEnd="10.200.5.060"), "dev: slice.rangeEnd 10.200.5.060 is not an IP address."),
        (
            with_("segment", subnet="10.200.5.1/24"),
            "dev: segment.subnet 10.200.5.1/24 has bits set behind its prefix length. The subnet is 10.200.5.0/24",
        ),
        (with_("segment", subnet="10.200.5.0"), "dev: segment.subnet 10.200.5.0 is not a subnet in CIDR form."),
        (with_("segment", vlan=4095), "dev: segment.vlan 4095 is above 4094. The maximum is 4094"),
        (with_("segment", vlan="5"), 'dev: segment.vlan "5" is not a whole number. Write a number without quotes'),
        (with_("segment", vlan=True), "dev: segment.vlan true is not a whole number."),
        (with_("segment", mtu=9000.5), "dev: segment.mtu 9000.5 is not a whole number."),
        (with_("segment", gateway="10.1.1.1"), "dev: segment.gateway 10.1.1.1 is not a usable address of subnet"),
        (with_("segment", reserved=["10.1.1.1"]), "dev: segment.reserved[0] 10.1.1.1 is not inside subnet"),
        (
            with_("segment", reserved=["10.200.5.9-10.200.5.2"]),
            "dev: segment.reserved[0] 10.200.5.9-10.200.5.2 is neither an address nor a range that ends at or after",
        ),
        (
            GOOD
            | {
                "segment": {"subnet": "169.254.5.0/24"},
                "slice": {"rangeStart": "169.254.5.1", "rangeEnd": "169.254.5.9"},
            },
            "dev: segment.subnet 169.254.5.0/24 is not a unicast subnet",
        ),
        (
            with_("otherNetworks", machine="10.200.0.0/16"),
            "dev: segment.subnet 10.200.5.0/24 overlaps otherNetworks.machine 10.200.0.0/16. Choose a subnet",
        ),
        (with_("cluster", kubeconfig="apiVersion: v1\nkind: Config"), "dev: cluster.kubeconfig apiVersion: v1 kind"),
        (with_("cluster", namespace="Not.A.Label"), "dev: cluster.namespace Not.A.Label is not a DNS-1123 label"),
        (with_("cluster", nodes=100), "dev: slice 10.200.5.10-10.200.5.60 has 51 addresses, and the cluster needs 123"),
        (with_("attachment", name="my.net"), "dev: attachment.name my.net is not a DNS-1123 label"),
        (with_("attachment", master="ens1f0.100.verylong"), "dev: attachment.master ens1f0.100.verylong is not an"),
        (with_("attachment", mtu=9001), "dev: attachment.mtu 9001 is above segment.mtu 9000. Leave it out"),
        (with_("attachment", bridge="br0"), "dev: attachment.bridge br0 is not a key of type macvlan. Its keys: name,"),
        (with_("attachment", mastr="e"), "dev: attachment.mastr e is not a key of type macvlan. Did you mean master?"),
        (GOOD | {"attachment": {"type": "macvlan", "name": "x"}}, "dev: attachment.master is required. Add it"),
        (GOOD | {"attachment": {"name": "x"}}, "dev: attachment.type is required. Add it"),
        (with_("attachment", type="vhost"), "dev: attachment.type vhost is not a type that is known here. Choose"),
        (
            GOOD | {"attachment": {"type": "sriov", "name": "x", "resourceName": "y"}},
            "dev: attachment.type sriov is not supported for virt-handler: KubeVirt attaches the migration network by"
            " its name alone, and requests no SR-IOV device for the pods. Use macvlan or a bridge on the physical",
        ),
        (
            GOOD | {"attachment": {"type": "host-device", "device": "eth1"}},
            "dev: attachment.type host-device moves the NIC itself into one pod, and virt-handler and the"
            " synchronization controller of a node both need it. Use macvlan on that NIC",
        ),
        (
            with_("attachment", name="m" * 55, rollout="rename"),
            f"dev: attachment.name {'m' * 55} is 55 characters long, and rollout rename puts 9 more behind it. Use at"
            " most 54, so that the whole is a DNS-1123 label",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"name": "m" * 55, "vlan": 2001, "rollout": "rename"}},
            f"dev: attachment.name {'m' * 55} is 55 characters long",
        ),
        (
            {key: GOOD[key] for key in ("segment", "cluster")} | {"attachment": IPVLAN | {"ipam": {"type": "dhcp"}}},
            "dev: attachment.ipam.type dhcp cannot work with ipvlan: all its interfaces share the NIC's MAC address, by"
            " which DHCP tells clients. Use whereabouts, or macvlan",
        ),
        (
            GOOD | {"attachment": IPVLAN | {"mode": "l3s"}},
            "dev: attachment.mode l3s answers no ARP, so that other nodes reach a pod only by a route to each address,"
            " which nobody makes. Use l2",
        ),
        (GOOD | {"attachment": IPVLAN | {"mode": "bridge"}}, "dev: attachment.mode bridge is not an allowed value."),
        (GOOD | {"attachment": {"type": "ipvlan", "name": "x"}}, "dev: attachment.master is required. Add it"),
        (
            GOOD | {"attachment": BRIDGE | {"type": "cnv-bridge", "vlan": 7}},
            "dev: attachment.vlan 7 is not segment.vlan 2001; this cluster would be alone on its VLAN.",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"type": "cnv-bridge", "vlanTrunk": [{"id": 0}]}},
            "dev: attachment.vlanTrunk[0].id 0 is below 1. The minimum is 1",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"type": "cnv-bridge", "bridg": "x"}},
            "dev: attachment.bridg x is not a key of type bridge or cnv-bridge. Did you mean bridge?",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"vlanTrunk": [{"id": 5}, {"minID": 2002, "maxID": 2010}]}},
            "dev: attachment.vlanTrunk does not let segment.vlan 2001 through, so that no packet of a migration passes."
            " Write vlan: 2001 for what pods send untagged, or add {id: 2001}",
        ),
        (
            GOOD | {"attachment": LOCALNET | {"vlanID": 7}},
            "dev: attachment.vlanID 7 is not segment.vlan 2001; this cluster would be alone on its VLAN. Leave it out",
        ),
        (
            GOOD | {"attachment": LOCALNET | {"vlan": 2001}},
            "dev: attachment.vlan 2001 is not the key of the tag in OVN. Write vlanID, or leave it to segment.vlan",
        ),
        (GOOD | {"attachment": LOCALNET | {"master": "e"}}, "dev: attachment.master e is not a key of type localnet."),
        (
            GOOD | {"attachment": LOCALNET | {"ipam": {"type": "whereabouts"}}},
            'dev: attachment.ipam {"type": "whereabouts"} cannot be combined with localnet: OVN has its own address'
            " management, and refuses a network with ipam. Remove it; the slice becomes excludeSubnets",
        ),
        (
            GOOD | {"attachment": LOCALNET | {"cniName": "ovn-kubernetes"}},
            "dev: attachment.cniName ovn-kubernetes is a name that OVN-Kubernetes keeps for itself; it refuses the",
        ),
        (
            GOOD | {"attachment": LOCALNET, "cluster": {"context": "dev", "nodes": 100}},
            "dev: slice 10.200.5.10-10.200.5.60 has 51 addresses, and the cluster needs 123",
        ),
        (
            {key: GOOD[key] for key in ("segment", "cluster")}
            | {"segment": {"subnet": "10.9.0.0/30", "reserved": ["10.9.0.1-10.9.0.2"]}, "attachment": LOCALNET},
            "dev: segment.reserved leaves no address for pods: gateway and reserved ones take the whole subnet.",
        ),
        (
            GOOD | {"attachment": LOCALNET} | IPV6,
            "dev: slice fd00:5::1:1-fd00:5::1:9 goes beyond fd00:5::1-fd00:5::ffff, which is all that OVN hands out of"
            " an IPv6 subnet. Move the slice",
        ),
        (with_("attachment", ipam={"type": "dhcp"}), "dev: slice 10.200.5.10-10.200.5.60 has no effect with"),
        (
            with_("attachment", ipam={"type": "whereabouts", "exclude": ["10.200.5.1/24"]}),
            "dev: attachment.ipam.exclude[0] 10.200.5.1/24 has bits set behind its prefix length.",
        ),
        (
            with_("attachment", ipam={"type": "whereabouts", "exclude": ["10.200.5.0/26"]}),
            "dev: attachment.ipam leaves no address: gateway, reserved and excluded ones take the whole range.",
        ),
        (GOOD | {"attachment": BRIDGE | {"vlan": 7}}, "dev: attachment.vlan 7 is not segment.vlan 2001; this cluster"),
        (GOOD | {"attachment": BRIDGE | {"vlan": 4095}}, "dev: attachment.vlan 4095 is above 4094."),
        (
            GOOD | {"attachment": BRIDGE | {"hairpinMode": True, "promiscMode": True}},
            "dev: attachment.promiscMode true cannot be combined with hairpinMode true; the plugin refuses every pod.",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"isDefaultGateway": True, "isGateway": False}},
            "dev: attachment.isGateway false contradicts isDefaultGateway true",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"ipMasqBackend": "nftables"}},
            "dev: attachment.ipMasqBackend nftables has no effect without ipMasq true.",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"vlanTrunk": [{"id": 5}, {"minID": 5}]}},
            "dev: attachment.vlanTrunk[1].id is neither a single VLAN nor a range. Write {id: 100}, or {minID: 100,",
        ),
        (
            GOOD | {"attachment": BRIDGE | {"vlanTrunk": [{"minID": 9, "maxID": 5}]}},
            "dev: attachment.vlanTrunk[0].maxID 5 is below minID 9. Swap them",
        ),
        (
            with_("hyperConverged", onConflict="force"),
            "dev: hyperConverged.onConflict force is not an allowed value. Use 'take-over' or 'fail'",
        ),
        (
            with_("hyperConverged", liveMigration={"network": "x"}),
            "dev: hyperConverged.liveMigration.network x is not a key of LiveMigration.",
        ),
        (
            with_("hyperConverged", liveMigration={"progressTimeout": -1}),
            "dev: hyperConverged.liveMigration.progressTimeout -1 is below 0. The minimum is 0",
        ),
        (
            with_("hyperConverged", liveMigration={"bandwidthPerMigration": "64"}),
            'dev: hyperConverged.liveMigration.bandwidthPerMigration "64" is less than 1Mi bytes per second',
        ),
        (
            with_("hyperConverged", liveMigration={"bandwidthPerMigration": "64 MB"}),
            "dev: hyperConverged.liveMigration.bandwidthPerMigration 64 MB is not a quantity of bytes per second.",
        ),
        (
            with_(
                "hyperConverged",
                liveMigration={"parallelMigrationsPerCluster": 2, "parallelOutboundMigrationsPerNode": 3},
            ),
            "dev: hyperConverged.liveMigration.parallelOutboundMigrationsPerNode 3 is above parallelMigrations",
        ),
        (GOOD | {"attachmnt": {}}, "dev: attachmnt is not a config key. Did you mean attachment? Keys: segment,"),
        (GOOD | {"cluster": "prod"}, "dev: cluster prod is not a mapping. Write it as key: value lines"),
        (
            {key: value for key, value in GOOD.items() if key != "segment"},
            "dev: segment is required. Set it in Pulumi.yaml under config.segment.default, so that all stacks share it",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place_the_rule_and_the_remedy(values: dict[str, Any], line: str) -> None:
    (only,) = mistakes(values)
    assert only.startswith(line)


def test_all_mistakes_of_a_stack_are_reported_at_once() -> None:
    lines = mistakes(
        {
            "segmnt": {},
            "segment": {"subnet": "10.200.5.1/24", "vlan": 0},
            "cluster": {"context": ""},
            "slice": {"rangeStart": "10.200.5.9", "rangeEnd": "10.200.5.1"},
            "attachment": {"type": "bridge", "name": "UPPER", "vlan": -1},
            "hyperConverged": {"apiVersion": "v2", "liveMigration": {"progressTimeout": -1}},
        }
    )
    assert [line.split()[1] for line in lines] == [
        "segment.subnet",
        "segment.vlan",
        "cluster.context",
        "attachment.name",
        "attachment.vlan",
        "slice.rangeEnd",
        "hyperConverged.apiVersion",
        "hyperConverged.liveMigration.progressTimeout",
        "segmnt",
    ]


def test_ipvlan_that_routes_is_accepted_with_a_reason() -> None:
    attachment = {"attachment": IPVLAN | {"mode": "l3"}}
    (finding,) = load_stack("dev", GOOD | attachment | {"waivers": {"ipvlan-l3": "BGP announces them"}}).findings
    assert (finding.code, finding.waived) == ("ipvlan-l3", "BGP announces them")


def test_values_reach_the_models_as_json_text_too() -> None:
    """The Pulumi engine passes structured values as JSON text."""
    assert load_stack("dev", {key: json.dumps(value) for key, value in GOOD.items()}) == load_stack("dev", GOOD)


@pytest.mark.parametrize(
    ("attachment", "codes"),
    [
        ({"ipam": {"type": "static", "addresses": [{"address": "10.200.5.9/24"}]}}, ["ipam-duplicates"]),
        ({"ipam": {"type": "host-local"}}, ["ipam-duplicates"]),
        (BRIDGE | {"vlan": 2001}, ["bridge-default-vlan"]),
        (BRIDGE | {"vlan": 2001, "preserveDefaultVlan": False}, []),
        ({"type": "bridge", "name": "x", "vlan": 2001, "preserveDefaultVlan": False}, ["bridge-default"]),
        (BRIDGE | {"isGateway": True, "ipMasq": True}, ["bridge-gateway", "bridge-gateway", "vlan-untagged"]),
        (BRIDGE, ["vlan-untagged"]),
        (BRIDGE | {"vlan": 0}, ["vlan-untagged"]),
        (BRIDGE | {"vlanTrunk": [{"id": 2001}], "preserveDefaultVlan": False}, ["vlan-untagged"]),
        (BRIDGE | {"vlan": 2001, "vlanTrunk": [{"id": 5}], "preserveDefaultVlan": False}, []),
        (LOCALNET, []),
        (LOCALNET | {"vlanID": 2001}, []),
        (LOCALNET | {"vlanID": 0}, ["vlan-untagged"]),
        (LOCALNET | {"rollout": "rename"}, ["localnet-rename"]),
        (IPVLAN, []),
        ({"mode": "private"}, ["macvlan-mode"]),
        ({"mode": "vepa"}, ["macvlan-mode"]),
        ({"mode": "passthru"}, ["macvlan-mode"]),
    ],
)
def test_what_is_allowed_and_likely_not_meant_is_a_warning(attachment: dict[str, Any], codes: list[str]) -> None:
    macvlan = {"type": "macvlan", "name": "m", "master": "eth1"}
    values = {"segment": GOOD["segment"], "cluster": GOOD["cluster"]}
    whole = attachment if "type" in attachment else macvlan | attachment
    assert [finding.code for finding in load_stack("dev", values | {"attachment": whole}).findings] == codes
