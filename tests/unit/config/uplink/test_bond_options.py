"""Options of a bond: nmstate's closed list, its types, and what goes with which mode."""

import json
from typing import Any, get_args

import pytest

from config import stack as _stack  # noqa: F401  (makes every model known)
from config.finding import ConfigError
from config.loading import load_stack
from config.types.model import Model

SEGMENT = {"subnet": "10.200.5.0/24", "vlan": 2001}


def values(mode: str, *, options: Any, **more: Any) -> dict[str, Any]:
    bond = {"name": "bond1", "ports": ["eth1", "eth2"], "mode": mode, "options": options}
    return {
        "segment": SEGMENT,
        "cluster": {"context": "dev"},
        "attachment": {"type": "macvlan", "name": "migration", "master": "bond1.2001"},
        "uplink": {"bond": bond, "vlan": {}},
        **more,
    }


def mistakes(stack: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_stack("dev", stack)
    return [str(finding) for finding in refused.value.findings]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        # RHsyseng/rhcos-slb, nmstate/nmstate#839: booleans, and nmstate's own spelling with a hyphen.
        ("balance-xor", {"xmit_hash_policy": "vlan+srcmac", "balance-slb": True}),
        ("balance-xor", {"xmit_hash_policy": 5, "balance_slb": 1}),
        ("802.3ad", {"miimon": 100, "lacp_rate": "fast", "xmit_hash_policy": "layer2+3", "min_links": 1}),
        ("802.3ad", {"miimon": "140", "lacp_rate": 1, "ad_actor_system": "02:00:00:00:00:01", "lacp_active": True}),
        ("active-backup", {"miimon": "100", "primary": "eth1", "fail_over_mac": "active"}),
        ("active-backup", {"arp_interval": 100, "arp_ip_target": "10.0.0.1,10.0.0.2", "arp_validate": "filter_active"}),
        ("active-backup", {"arp_interval": 1, "ns_ip6_target": ["fd00::1", "fd00::2"], "miimon": 0}),
        ("balance-tlb", {"tlb_dynamic_lb": False, "miimon": "0x64", "use_carrier": "on"}),
        ("balance-rr", {"packets_per_slave": 2, "all_slaves_active": "dropped", "resend_igmp": 1}),
        ("active-backup", {}),
    ],
)
def test_what_nmstate_takes_goes_to_the_nodes_as_it_was_written(mode: str, options: dict[str, Any]) -> None:
    stack = load_stack("dev", values(mode, options=options))
    assert not stack.findings, stack.findings
    interfaces = stack.policies[0].spec["desiredState"]["interfaces"]
    (bond,) = [each for each in interfaces if each["name"] == "bond1"]
    assert bond["link-aggregation"].get("options", {}) == options


@pytest.mark.parametrize(
    ("mode", "options", "line"),
    [
        (
            "active-backup",
            {"miimon": 100, "arp_interval": 100},
            "dev: uplink.bond.options.arp_interval 100 and miimon 100 exclude each other. Keep one of the two",
        ),
        (
            "active-backup",
            {"lacp_rate": "fast"},
            "dev: uplink.bond.options.lacp_rate fast is refused in mode active-backup. Leave it out, or use 802.3ad",
        ),
        (
            "802.3ad",
            {"arp_interval": 100},
            "dev: uplink.bond.options.arp_interval 100 is refused in mode 802.3ad. miimon: 100 does it in every mode",
        ),
        (
            "802.3ad",
            {"primary": "eth1"},
            "dev: uplink.bond.options.primary eth1 is refused in mode 802.3ad. Leave it out, or use active-backup or"
            " balance-tlb or balance-alb",
        ),
        (
            "active-backup",
            {"primary": "eth9"},
            "dev: uplink.bond.options.primary eth9 is not a port of the bond. Choose eth1, eth2",
        ),
        (
            "active-backup",
            {"arp_ip_target": "10.0.0.1"},
            "dev: uplink.bond.options.arp_ip_target 10.0.0.1 is probed only with an arp_interval. Add"
            " arp_interval: 100",
        ),
        (
            "802.3ad",
            {"balance-slb": True},
            "dev: uplink.bond.options.balance-slb true needs mode balance-xor and xmit_hash_policy vlan+srcmac. Set"
            " both, or leave it out",
        ),
        (
            "active-backup",
            {"use_carrier": 2},
            "dev: uplink.bond.options.use_carrier 2 is neither true nor false. Write true or false",
        ),
        (
            "active-backup",
            {"fail_over_mac": "always"},
            "dev: uplink.bond.options.fail_over_mac always is not a value of this option. Choose none, active, follow",
        ),
        (
            "active-backup",
            {"miimon": None},
            "dev: uplink.bond.options.miimon is not a whole number from 0 to 2147483647. Correct it, or leave it out",
        ),
        (
            "802.3ad",
            {"ad_actor_system": "01:00:5e:00:00:01"},
            "dev: uplink.bond.options.ad_actor_system 01:00:5e:00:00:01 is no address of one host. Write a unicast"
            " address, such as '02:00:00:00:00:01'",
        ),
        (
            "active-backup",
            {"arp_interval": 100},
            "dev: uplink.bond.options.arp_interval 100 has nobody to probe. Add arp_ip_target or ns_ip6_target, or use"
            " miimon: 100",
        ),
        (
            "active-backup",
            {"miimon": 0, "updelay": 200},
            "dev: uplink.bond.options.updelay 200 needs miimon. Set miimon: 100",
        ),
        (
            "active-backup",
            {"miimon": "0", "downdelay": 200},
            "dev: uplink.bond.options.downdelay 200 needs miimon. Set miimon: 100",
        ),
        *(
            (
                mode,
                {"arp_missed_max": 3},
                f"dev: uplink.bond.options.arp_missed_max 3 is refused in mode {mode}. miimon: 100 does it in every"
                " mode",
            )
            for mode in ("802.3ad", "balance-tlb", "balance-alb")
        ),
        (
            "active-backup",
            {"num_grat_arp": 2, "num_unsol_na": 3},
            "dev: uplink.bond.options.num_unsol_na 3 and num_grat_arp 2 are one setting. Keep one of the two",
        ),
        (
            "active-backup",
            {"arp_interval": 100, "ns_ip6_target": "fd00::1"},
            "dev: uplink.bond.options.ns_ip6_target fd00::1 is not a list of at most 16 IPv6 addresses. Write [fd00::1,"
            " fd00::2]",
        ),
    ],
)
def test_what_nmstate_refuses_is_one_line_with_the_path_that_was_written(
    mode: str, options: dict[str, Any], line: str
) -> None:
    assert mistakes(values(mode, options=options)) == [line]


def test_an_unknown_option_is_one_line_with_the_nearest_name() -> None:
    (line,) = mistakes(values("active-backup", options={"mimon": 100}))
    assert line.startswith("dev: uplink.bond.options.mimon 100 is not a key of BondOptions. Did you mean miimon?")


@pytest.mark.parametrize("mode", ["balance-rr", "broadcast", "balance-tlb", "balance-alb"])
@pytest.mark.parametrize("kind", ["bridge", "ovsBridge"])
def test_a_mode_that_loses_frames_under_a_bridge_is_a_warning(mode: str, kind: str) -> None:
    bond = {"name": "bond1", "ports": ["eth1", "eth2"], "mode": mode}
    attachment: dict[str, Any] = {
        "type": "bridge",
        "name": "m",
        "bridge": "br1",
        "vlan": 2001,
        "preserveDefaultVlan": False,
    }
    uplink: dict[str, Any] = {"bond": bond, kind: {"name": "br1"}}
    if kind == "ovsBridge":
        attachment = {"type": "localnet", "name": "m", "physicalNetworkName": "mig"}
        uplink |= {"localnet": {"localnet": "mig"}}
    stack = load_stack("dev", values(mode, options={}, attachment=attachment, uplink=uplink))
    (finding,) = stack.findings
    assert str(finding).startswith(f"dev: uplink.bond.mode {mode} does not go with {kind} upon it")
    assert finding.severity == "warning"


@pytest.mark.parametrize("mode", ["active-backup", "802.3ad", "balance-xor"])
def test_the_other_modes_go_with_a_bridge(mode: str) -> None:
    bond = {"name": "bond1", "ports": ["eth1", "eth2"], "mode": mode}
    attachment = {"type": "bridge", "name": "m", "bridge": "br1", "vlan": 2001, "preserveDefaultVlan": False}
    uplink = {"bond": bond, "bridge": {"name": "br1"}}
    assert not load_stack("dev", values(mode, options={}, attachment=attachment, uplink=uplink)).findings


def test_an_option_of_another_mode_is_a_warning() -> None:
    (finding,) = load_stack("dev", values("active-backup", options={"xmit_hash_policy": "layer2+3"})).findings
    assert str(finding) == (
        "dev: uplink.bond.options.xmit_hash_policy layer2+3 does nothing in mode active-backup. Leave it out, or use"
        " balance-xor or 802.3ad or balance-tlb or balance-alb"
    )


@pytest.mark.parametrize("value", [True, 0, 5001, 1.5, "x", "0%", "101%", [1], {"a": 1}])
def test_a_value_of_two_types_is_refused_in_one_line(value: object) -> None:
    uplink = {"vlan": {"baseInterface": "bond1"}, "maxUnavailable": value}
    shown = json.dumps(value) if not isinstance(value, str) else value
    assert mistakes(values("802.3ad", options={}, uplink=uplink)) == [
        f"dev: uplink.maxUnavailable {shown} is neither a number of nodes (1 to 5000) nor a share of them."
        " Write 1, or 50%"
    ]


def test_no_key_is_a_union_of_plain_types() -> None:
    """pydantic reports such a union by its members, with a line and an inner name (`.int`, `.str`) for each."""

    def models(base: type[Model]) -> list[type[Model]]:
        return [each for below in base.__subclasses__() for each in (below, *models(below))]

    def plain(annotation: object) -> set[object]:
        return {each for each in get_args(annotation) if each in {int, str, bool, float}}

    unions = [
        f"{model.__name__}.{name}"
        for model in models(Model)
        for name, field in model.model_fields.items()
        if len(plain(field.annotation)) > 1 or any(len(plain(each)) > 1 for each in get_args(field.annotation))
    ]
    assert unions == []


@pytest.mark.parametrize(
    ("attachment", "key"),
    [
        ({"type": "localnet", "name": "m", "physicalNetworkName": "mig"}, "segment.vlan 2001"),
        ({"type": "localnet", "name": "m", "physicalNetworkName": "mig", "vlanID": 2001}, "attachment.vlanID 2001"),
        ({"type": "bridge", "name": "m", "bridge": "br1", "vlan": 2001}, "attachment.vlan 2001"),
        ({"type": "bridge", "name": "m", "bridge": "br1", "vlanTrunk": [{"id": 2001}]}, "attachment.vlanTrunk 2001"),
    ],
)
def test_a_second_tag_is_named_by_the_key_that_was_written(attachment: dict[str, Any], key: str) -> None:
    if attachment["type"] == "localnet":
        uplink = {"vlan": {"baseInterface": "eth1"}, "ovsBridge": {"name": "br1"}, "localnet": {"localnet": "mig"}}
    else:
        uplink = {"vlan": {"baseInterface": "eth1"}, "bridge": {"name": "br1"}}
        attachment = attachment | {"preserveDefaultVlan": False}
    lines = mistakes(values("802.3ad", options={}, attachment=attachment, uplink=uplink))
    assert [line for line in lines if line.startswith(f"dev: {key} tags what uplink.vlan tags with 2001 again.")]
