"""The flags of `mignet init` for a VLAN, a bond and a localnet: what they write, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import forked
import pytest

from config.finding import ConfigError
from config.loading import load_stack
from config.segment import Segment
from config.uplink.rendering import desired_state
from mignet.kube.network.localnets import Mapped
from mignet.kube.network.nic_choice import Nic
from mignet.operations import new_links
from mignet.operations.new_links import BOND, Links

PLAIN: dict[str, Any] = {"subnet": "10.200.5.0/24"}
TAGGED = PLAIN | {"vlan": 2001, "mtu": 9000}


def sections(segment: dict[str, Any], chosen: Nic | None = None, **flags: str) -> dict[str, Any]:
    one = Segment.model_validate(segment)
    found = new_links.sections(new_links.read(**flags), one, chosen, name="migration")
    load_stack("dev", {"segment": segment, "cluster": {"context": "dev"}, **found})
    return found


@pytest.mark.parametrize(
    ("segment", "flags", "attachment", "uplink"),
    [
        (TAGGED, {"vlan": "2001", "master": "eth1"}, {"master": "eth1.2001"}, {"vlan": {"baseInterface": "eth1"}}),
        (
            PLAIN,
            {"vlan": "7", "master": "eth1"},
            {"master": "eth1.7"},
            {"vlan": {"baseInterface": "eth1", "id": 7}},
        ),
        # The kernel takes 15 characters.
        (
            TAGGED,
            {"vlan": "2001", "master": "enp4s0u2u1"},
            {"master": "enp4s0u2u1.2001"},
            {"vlan": {"baseInterface": "enp4s0u2u1"}},
        ),
        (
            TAGGED,
            {"vlan": "2001", "master": "enp4s0u2u1x"},
            {"master": "mig2001"},
            {"vlan": {"baseInterface": "enp4s0u2u1x", "name": "mig2001"}},
        ),
        (
            TAGGED,
            {"bond": "ens1f0,ens1f1"},
            {"master": BOND},
            {"bond": {"name": BOND, "ports": ["ens1f0", "ens1f1"], "mode": "active-backup"}},
        ),
        (
            TAGGED,
            {"bond": "a,b,c:802.3ad", "vlan": "2001"},
            {"master": f"{BOND}.2001"},
            {"bond": {"name": BOND, "ports": ["a", "b", "c"], "mode": "802.3ad"}, "vlan": {"id": 2001}},
        ),
        (TAGGED, {"localnet": "physnet"}, {"physicalNetworkName": "physnet"}, None),
        (TAGGED, {"localnet": "physnet", "vlan": "2001"}, {"physicalNetworkName": "physnet"}, None),
        (PLAIN, {"localnet": "physnet", "vlan": "7"}, {"physicalNetworkName": "physnet", "vlanID": 7}, None),
    ],
)
def test_a_flag_writes_its_sections(
    segment: dict[str, Any], flags: dict[str, str], attachment: dict[str, Any], uplink: dict[str, Any] | None
) -> None:
    found = sections(segment, **flags)
    kind = {"type": "localnet"} if "localnet" in flags else {"type": "macvlan", "mode": "bridge"}
    assert found["attachment"] == {"name": "migration"} | kind | attachment
    assert found.get("uplink") == uplink


def test_a_vlan_stands_on_the_nic_that_was_chosen_and_puts_the_tag_on() -> None:
    found = sections(PLAIN, Nic("eth2", (), (), 1), vlan="7")
    stack = load_stack("dev", {"segment": PLAIN, "cluster": {"context": "dev"}, **found})
    assert stack.uplink is not None
    *_, vlan = desired_state(stack.uplink, stack.segment)["interfaces"]
    assert (vlan["name"], vlan["vlan"]) == ("eth2.7", {"base-iface": "eth2", "id": 7})


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"vlan": "0"}, "--vlan 0 is no VLAN ID, which is a number from 1 to 4094. Write it as --vlan 2001"),
        ({"vlan": "4095"}, "--vlan 4095 is no VLAN ID"),
        ({"vlan": "-1"}, "--vlan -1 is no VLAN ID"),
        ({"vlan": "\u0667"}, "--vlan \u0667 is no VLAN ID"),
        ({"vlan": ""}, "--vlan  is no VLAN ID"),
        ({"vlan": "7", "master": "eth1.7"}, "--vlan 7 is put on by --master eth1.7 already, as its name says. Leave"),
        ({"bond": "eth1"}, "--bond eth1 is one NIC, and a bond is made of two or more. Write it as --bond ens1f0,"),
        ({"bond": "eth1,eth1"}, "--bond eth1 is a port already. Name each NIC once"),
        ({"bond": "eth1,eth2:lacp"}, "--bond lacp is not an allowed value. Use 'active-backup', '802.3ad', "),
        ({"bond": "eth1,e th2"}, "--bond e th2 is not an interface name"),
        ({"bond": f"eth1,{BOND}"}, f"--bond {BOND} is the bond itself. Name its NICs"),
        (
            {"bond": "a,b", "master": "eth1"},
            "--bond a,b excludes --master: the bond is the interface. Give one of them",
        ),
        ({"localnet": "a b"}, "--localnet a b is not a CNI network name. Use letters"),
        ({"localnet": "net", "master": "eth1"}, "--localnet net excludes --master: OVN reaches it through a bridge of"),
        ({"localnet": "net", "bond": "a,b"}, "--localnet net excludes --bond: OVN reaches it through a bridge of"),
    ],
)
def test_a_mistake_is_one_line_of_value_rule_and_remedy(flags: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        new_links.read(**flags)
    (finding,) = refused.value.findings
    assert str(finding).startswith(f"mignet: {line}")
    assert "\n" not in str(finding)


def test_another_vlan_than_the_segments_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: net\nconfig: {segment: {default: {subnet: 10.0.0.0/24, vlan: 5}}}\n")
    given = ("init", "dev", "--context", "dev", "--master", "eth1", "--vlan", "7")
    result = forked.mignet(*given, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (
        2,
        "mignet: --vlan 7 is not segment.vlan 5 of Pulumi.yaml: this cluster would be alone on its VLAN. Correct one of"
        " the two\n",
    )
    assert [each.name for each in tmp_path.iterdir()] == ["Pulumi.yaml"]


def test_new_takes_the_same_flags_and_has_no_use_for_them_without_a_cluster(tmp_path: Path) -> None:
    for flags, said in (
        (("--vlan", "0"), "--vlan 0 is no VLAN ID"),
        (("--vlan", "7"), "and without --from-cluster none is written"),
    ):
        result = forked.mignet("new", str(tmp_path / "net"), *flags, cwd=tmp_path)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert said in result.stderr
    assert not (tmp_path / "net").exists()


NICS = (Nic("eth0", (), ("has the default route on all 3 nodes",), 1), Nic("eth1", ("is there",), (), 1))
LOCALNETS = (Mapped("physnet", ("br-mig",)), Mapped("some", ("br-x",), missing=("b", "c")))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"localnet": "physnet"}, None),
        (
            {"localnet": "other"},
            "--localnet other is the localnet of no bridge mapping on the nodes. Localnets",
        ),
        (
            {"localnet": "some"},
            "--localnet some has no bridge mapping on b, c. Map it on every node that runs virt",
        ),
        ({"bond": "eth1,eth2"}, "--bond eth2 is a NIC of no node. NICs there: eth0, eth1"),
        ({"bond": "eth1,eth0"}, "--bond eth0 has the default route on all 3 nodes. Name NICs that nothing else uses"),
    ],
)
def test_what_the_nodes_cannot_do_is_refused(flags: dict[str, str], line: str | None) -> None:
    links = new_links.read(**flags)
    if line is None:
        new_links.against_nodes(links, NICS, LOCALNETS)
        return
    with pytest.raises(ConfigError) as refused:
        new_links.against_nodes(links, NICS, LOCALNETS)
    assert str(refused.value.findings[0]).startswith(f"mignet: {line}")


@pytest.mark.parametrize(
    ("flags", "there", "line"),
    [
        ({"master": "eth1", "vlan": "7"}, {"eth1", "eth1.7"}, "--vlan would make eth1.7, which is on nodes already"),
        ({"bond": "a,b"}, {"a", "b", BOND}, f"--bond would make {BOND}, which is on nodes already"),
        ({"bond": "a,b", "vlan": "7"}, {"a", "b", f"{BOND}.7"}, f"--vlan would make {BOND}.7, which is on nodes"),
        ({"master": "eth1", "vlan": "7"}, {"eth1", "eth2.7"}, None),
        ({"master": "eth1"}, {"eth1"}, None),
    ],
)
def test_nothing_is_made_over_what_is_there(flags: dict[str, str], there: set[str], line: str | None) -> None:
    found = sections(PLAIN, **flags)
    if line is None:
        new_links.against_interfaces(found, there)
        return
    with pytest.raises(ConfigError) as refused:
        new_links.against_interfaces(found, there)
    assert str(refused.value.findings[0]).startswith(f"mignet: {line}")


MACVLAN = {"type": "macvlan", "name": "mig", "master": "eth1.7"}
LOCALNET = {"type": "localnet", "name": "mig", "physicalNetworkName": "physnet"}


@pytest.mark.parametrize(
    ("links", "attachment", "same"),
    [
        (Links(), MACVLAN, True),
        (Links(master="eth1.7"), MACVLAN, True),
        (Links(master="eth2"), MACVLAN, False),
        (Links(master="eth1", vlan=7), MACVLAN, False),
        (Links(localnet="physnet"), MACVLAN, False),
        (Links(), LOCALNET, True),
        (Links(localnet="physnet"), LOCALNET, True),
        (Links(localnet="physnet", vlan=2001), LOCALNET, True),
        (Links(localnet="physnet", vlan=5), LOCALNET, False),
        (Links(localnet="mig"), {"type": "localnet", "name": "mig"}, True),
        (Links(localnet="other"), LOCALNET, False),
        (Links(master="eth1"), LOCALNET, False),
    ],
)
def test_a_network_in_use_is_kept_where_no_flag_asks_for_another(
    links: Links, attachment: dict[str, Any], *, same: bool
) -> None:
    assert links.keeps(attachment, Segment.model_validate(TAGGED)) is same
