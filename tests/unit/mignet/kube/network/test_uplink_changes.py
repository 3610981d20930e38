"""What a preview says of a change of an uplink: what it does to the migrations that run and to virt-handlers."""

from __future__ import annotations

from typing import Any

import pytest

from config.loading import load_stack
from config.stack import Stack
from mignet.kube.diff import ObjectChange, differences
from mignet.kube.network.uplink_changes import effects
from mignet.operations.apply import _on_uplink

VALUES: dict[str, Any] = {
    "segment": {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000},
    "cluster": {"context": "dev", "crossCluster": False},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
    "waivers": {"uplink-untagged": "access ports"},
}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "mig0"}
BRIDGE = {"type": "bridge", "name": "migration", "bridge": "br-mig", "vlan": 2001, "preserveDefaultVlan": False}
LOCALNET = {"type": "localnet", "name": "migration", "physicalNetworkName": "mig"}
VLAN = {"vlan": {"baseInterface": "eth1", "name": "mig0"}}
BOND = {"name": "mig0", "ports": ["eth1", "eth2"], "mode": "active-backup"}


def stack(attachment: dict[str, Any], uplink: dict[str, Any], **segment: Any) -> Stack:
    values = VALUES | {"segment": VALUES["segment"] | segment, "attachment": attachment, "uplink": uplink}
    return load_stack("dev", values)


def said(old: Stack, new: Stack) -> list[str]:
    (one,), (two,) = old.policies, new.policies
    prefix = f"NodeNetworkConfigurationPolicy {two.name} "
    found = list(effects(new, two.name, differences({"spec": one.spec}, {"spec": two.spec})))
    assert all(each.startswith(prefix) for each in found)
    return [each.removeprefix(prefix) for each in found]


MADE_ANEW = (
    "every macvlan interface on it goes, migrations that run fail, and virt-handlers that run have no migration0 until"
    " their pods are deleted, node by node; until every node has changed, changed nodes and others do not reach each"
    " other"
)


def test_another_vlan_or_nic_makes_the_interface_anew_and_takes_the_macvlans_along() -> None:
    before = stack(MACVLAN, VLAN)
    assert said(before, stack(MACVLAN, VLAN, vlan=2002)) == [
        f"makes mig0 anew (vlan.id 2001 becomes 2002): {MADE_ANEW}"
    ]
    # The NIC of before is named no more; it was there before us, and stays.
    other = stack(MACVLAN, {"vlan": {"baseInterface": "eth2", "name": "mig0"}})
    assert said(before, other) == [f"makes mig0 anew (vlan.base-iface eth1 becomes eth2): {MADE_ANEW}"]


def test_a_smaller_mtu_shrinks_a_macvlan_and_a_larger_one_waits_for_a_restart() -> None:
    before = stack(MACVLAN, VLAN)
    smaller = said(before, stack(MACVLAN, VLAN, mtu=1500))
    assert [each.partition(":")[0] for each in smaller] == [
        "changes the MTU of eth1 from 9000 to 1500",
        "changes the MTU of mig0 from 9000 to 1500",
    ]
    assert all("shrink at once, and migrations that run hang" in each for each in smaller)
    larger = said(stack(MACVLAN, VLAN, mtu=1500), before)
    assert all(each.endswith("keep their old one until their pods are deleted, node by node") for each in larger)


def test_other_ports_keep_the_interface() -> None:
    before = stack(MACVLAN, {"bond": BOND})
    (line,) = said(before, stack(MACVLAN, {"bond": BOND | {"ports": ["eth1", "eth3"]}}))
    assert line.startswith(
        "changes the ports of mig0 from eth1, eth2 to eth1, eth3: virt-handlers keep their interface"
    )


def test_a_bridge_or_a_localnet_that_leads_elsewhere_cuts_its_pods_off() -> None:
    uplink = {"vlan": None, "bridge": {"name": "br-mig", "port": "eth1"}}
    (line,) = said(stack(BRIDGE, uplink), stack(BRIDGE, uplink | {"bridge": {"name": "br-mig", "port": "eth2"}}))
    assert line.startswith("changes the ports of br-mig from eth1 to eth2")
    one, two = (stack(LOCALNET, {"localnet": {"localnet": "mig", "bridge": name}}) for name in ("br-a", "br-b"))
    (line,) = said(one, two)
    assert line.startswith(
        "maps localnet mig to br-b instead of br-a: virt-handlers keep their addresses and are cut off"
    )
    assert "migrations that run fail, and until every node has changed" in line


def test_what_nothing_stands_on_is_not_said() -> None:
    before = stack(MACVLAN, VLAN)
    assert said(before, before) == []
    assert said(before, stack(MACVLAN, VLAN | {"maxUnavailable": 1})) == []


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_an_interface_of_another_name_takes_the_old_one_off_unless_the_attachment_goes_with_it(operation: str) -> None:
    """A VLAN's default name holds its tag, so that another tag is another policy: the old one is removed at the end."""
    old, new = stack(MACVLAN | {"master": "eth1.2001"}, {"vlan": {"baseInterface": "eth1"}}), stack(MACVLAN, VLAN)
    (policy,) = old.policies
    kind, network = "NodeNetworkConfigurationPolicy", "NetworkAttachmentDefinition"
    changes = [
        ObjectChange("update" if operation == "update" else "delete", network, "openshift-cnv", "migration"),
        ObjectChange("delete", kind, "", policy.name, tuple(differences(policy.spec, {}, "spec"))),
    ]
    found = list(_on_uplink(new, changes))
    assert len(found) == (operation == "update")
    assert all("takes eth1.2001 off the nodes: every macvlan interface on it goes" in each for each in found)
    # The same interface in a policy of another name stays.
    assert list(_on_uplink(old, changes)) == []


def test_an_interface_that_all_pods_have_left_for_another_attachment_is_taken_off_without_a_warning() -> None:
    old = stack(MACVLAN | {"master": "eth1.2001"}, {"vlan": {"baseInterface": "eth1"}})
    new = stack(MACVLAN | {"rollout": "rename"}, VLAN)
    (policy,) = old.policies
    kind, network = "NodeNetworkConfigurationPolicy", "NetworkAttachmentDefinition"
    gone = ObjectChange("delete", kind, "", policy.name, tuple(differences(policy.spec, {}, "spec")))
    made = ObjectChange("create", network, "openshift-cnv", new.network)
    left = ObjectChange("delete", network, "openshift-cnv", "migration")
    assert list(_on_uplink(new, [made, left, gone])) == []
    # An attachment that is made beside the old one moves nobody before the interface goes.
    assert len(list(_on_uplink(new, [made, gone]))) == 1


def ovs(mode: str, members: tuple[str, ...] = ("eth1", "eth2"), **port: Any) -> Stack:
    bond = {"name": "ovs-bond", "linkAggregation": {"mode": mode, "ports": list(members)}}
    return stack(LOCALNET, {"ovsBridge": {"name": "br-phy", "ports": [bond | port]}, "localnet": {"localnet": "mig"}})


def test_another_mode_of_a_bond_inside_a_bridge_or_other_nics_in_it_are_told() -> None:
    assert said(ovs("balance-slb"), ovs("balance-tcp")) == [
        "changes the mode of ovs-bond from balance-slb to balance-tcp: its link is away for a moment, and stays away"
        " where the switch's ports are not set up for that"
    ]
    (line,) = said(ovs("balance-slb"), ovs("balance-slb", ("eth1", "eth3")))
    assert line.startswith("changes the ports of br-phy from ovs-bond, eth1, eth2 to ovs-bond, eth1, eth3: ")
    before, after = ({"bond": BOND | {"mode": mode}} for mode in ("active-backup", "802.3ad"))
    (line,) = said(stack(MACVLAN, before), stack(MACVLAN, after))
    assert line.startswith("changes the mode of mig0 from active-backup to 802.3ad: ")


def test_what_a_port_lets_through_from_now_on_is_told() -> None:
    lets = "lets other VLANs pass port ovs-bond of br-phy"
    dropped = "frames of any other are dropped from then on, and migrations that run in such a VLAN hang"
    ranges = [7, {"minID": 2000, "maxID": 2001}]
    assert said(ovs("balance-slb"), ovs("balance-slb", trunk=ranges)) == [
        f"{lets} (7, 2000-2001 instead of all): {dropped}"
    ]
    assert said(ovs("balance-slb", trunk=ranges), ovs("balance-slb", access=2001)) == [
        f"{lets} (2001 alone instead of 7, 2000-2001): {dropped}"
    ]
    assert said(ovs("balance-slb", access=2001), ovs("balance-slb", access=2001)) == []
