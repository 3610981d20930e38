"""The state that nmstate gets for each combination of layers, beside the same written by hand as YAML."""

from typing import Any

import pytest
import yaml

from config.loading import load_stack
from config.segment import Segment
from config.stack import Stack
from config.uplink import Uplink, made, uses

SEGMENT = {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000}
SLICE = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
WORKERS = {"node-role.kubernetes.io/worker": ""}


def macvlan(master: str) -> dict[str, Any]:
    return {"type": "macvlan", "name": "migration", "master": master}


def bridge(**keys: Any) -> dict[str, Any]:
    return {"type": "bridge", "name": "migration", "bridge": "br-mig", "preserveDefaultVlan": False, **keys}


def stack(uplink: dict[str, Any], attachment: dict[str, Any], segment: dict[str, Any] | None = None) -> Stack:
    sections = {"segment": segment or SEGMENT, "cluster": {"context": "dev"}, "slice": SLICE}
    return load_stack("dev", sections | {"attachment": attachment, "uplink": uplink})


VLAN_ON_NIC = """
interfaces:
- name: eth1
  state: up
  mtu: 9000
- name: eth1.2001
  type: vlan
  state: up
  mtu: 9000
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  vlan: {base-iface: eth1, id: 2001}
"""
VLAN_ON_BOND = """
interfaces:
- {name: ens1f0, state: up, mtu: 9100}
- {name: ens1f1, state: up, mtu: 9100}
- name: bond1
  type: bond
  state: up
  mtu: 9100
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  link-aggregation:
    mode: 802.3ad
    options: {miimon: 100, lacp_rate: fast}
    port: [ens1f0, ens1f1]
- name: mig0
  type: vlan
  state: up
  mtu: 9000
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  vlan: {base-iface: bond1, id: 2001}
"""
BRIDGE_ON_NIC = """
interfaces:
- name: eth1
  state: up
  mtu: 9000
- name: br-mig
  type: linux-bridge
  state: up
  mtu: 9000
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  bridge:
    options: {stp: {enabled: false}}
    port:
    - name: eth1
      vlan: {mode: trunk, trunk-tags: [{id: 2001}]}
"""
BRIDGE_ON_VLAN_ON_BOND = """
interfaces:
- {name: eth1, state: up, mtu: 9000}
- {name: eth2, state: up, mtu: 9000}
- name: bond1
  type: bond
  state: up
  mtu: 9000
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  link-aggregation: {mode: active-backup, port: [eth1, eth2]}
- name: bond1.2001
  type: vlan
  state: up
  mtu: 9000
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  vlan: {base-iface: bond1, id: 2001}
- name: br-mig
  type: linux-bridge
  state: up
  mtu: 9000
  ipv4: {enabled: false}
  ipv6: {enabled: false}
  bridge:
    options: {stp: {enabled: true}}
    port: [{name: bond1.2001}]
"""
BOND1 = {"name": "bond1", "ports": ["eth1", "eth2"], "mode": "active-backup"}
BOND_802_3AD = {
    "name": "bond1",
    "ports": ["ens1f0", "ens1f1"],
    "mode": "802.3ad",
    "options": {"miimon": 100, "lacp_rate": "fast"},
}


@pytest.mark.parametrize(
    ("uplink", "attachment", "by_hand"),
    [
        ({"vlan": {"baseInterface": "eth1"}}, macvlan("eth1.2001"), VLAN_ON_NIC),
        ({"bond": BOND_802_3AD, "vlan": {"name": "mig0"}, "baseMtu": 9100}, macvlan("mig0"), VLAN_ON_BOND),
        ({"bridge": {"name": "br-mig", "port": "eth1"}}, bridge(vlan=2001), BRIDGE_ON_NIC),
        ({"bridge": {"name": "br-mig", "port": "eth1", "trunk": [2001]}}, bridge(vlan=2001), BRIDGE_ON_NIC),
        ({"bond": BOND1, "vlan": {}, "bridge": {"name": "br-mig", "stp": True}}, bridge(), BRIDGE_ON_VLAN_ON_BOND),
    ],
)
def test_each_combination_of_layers_is_what_an_administrator_would_write(
    uplink: dict[str, Any], attachment: dict[str, Any], by_hand: str
) -> None:
    (policy,) = stack(uplink, attachment).policies
    assert policy.spec == {"desiredState": yaml.safe_load(by_hand)}


def test_a_localnet_is_mapped_to_its_open_vswitch_bridge() -> None:
    uplink = {"ovsBridge": {"name": "ovs-mig", "port": "eth1"}, "localnet": {"localnet": "migration"}}
    by_hand = """
    interfaces:
    - name: eth1
      state: up
    - name: ovs-mig
      type: ovs-bridge
      state: up
      bridge:
        allow-extra-patch-ports: true
        options: {stp: false}
        port: [{name: eth1}]
    ovn:
      bridge-mappings:
      - {localnet: migration, bridge: ovs-mig, state: present}
    """
    attachment = {"type": "macvlan", "name": "migration", "master": "ovs-mig"}
    (policy,) = stack(uplink, attachment, {"subnet": "10.200.5.0/24"}).policies
    assert policy.spec == {"desiredState": yaml.safe_load(by_hand)}


def test_a_mapping_to_a_bridge_that_is_there_makes_no_interface() -> None:
    group = Uplink.model_validate({"localnet": {"localnet": "migration", "bridge": "br-ex"}})
    segment = Segment.model_validate({"subnet": "10.200.5.0/24"})
    assert made(group, segment) == frozenset()
    assert uses(group, segment) == frozenset()


def test_groups_with_other_nics_end_in_one_name_and_have_a_policy_each() -> None:
    groups = [
        {
            "name": "workers",
            "nodeSelector": WORKERS,
            "bond": BOND1,
            "vlan": {"name": "mig0"},
            "maxUnavailable": "30%",
        },
        {"name": "masters", "nodeSelector": CONTROL_PLANE, "vlan": {"baseInterface": "eth3", "name": "mig0"}},
    ]
    workers, masters = stack({"nodeGroups": groups}, macvlan("mig0")).policies
    assert (workers.spec["nodeSelector"], masters.spec["nodeSelector"]) == (WORKERS, CONTROL_PLANE)
    assert (workers.spec["maxUnavailable"], "maxUnavailable" in masters.spec) == ("30%", False)
    assert workers.name.startswith("migration-dev-workers-")
    assert masters.name.startswith("migration-dev-masters-")


def test_a_policys_name_changes_with_what_it_makes_and_with_nothing_else() -> None:
    def name(uplink: dict[str, Any], master: str) -> str:
        (policy,) = stack(uplink, macvlan(master)).policies
        return policy.name

    first = name({"vlan": {"baseInterface": "eth1", "name": "mig0"}}, "mig0")
    assert name({"vlan": {"baseInterface": "eth2", "name": "mig0"}, "baseMtu": 9100}, "mig0") == first
    assert name({"vlan": {"baseInterface": "eth1", "name": "mig1"}}, "mig1") != first


def test_the_nics_below_are_known_without_what_stands_upon_them() -> None:
    segment = Segment.model_validate({"subnet": "10.200.5.0/24", "vlan": 2001})
    group = Uplink.model_validate_json(
        '{"bond": {"name": "bond1", "ports": ["eth1", "eth2"], "mode": "802.3ad"}, "vlan": {},'
        ' "bridge": {"name": "br-mig", "port": "bond1.2001"}}'
    )
    assert uses(group, segment) == {"eth1", "eth2"}
    assert made(group, segment) == {"bond1", "bond1.2001", "br-mig"}


def test_mtus_never_grow_from_the_bottom_up() -> None:
    (policy,) = stack({"bond": BOND1, "vlan": {}, "baseMtu": 9216, "mtu": 9000}, macvlan("bond1.2001")).policies
    mtus = [interface["mtu"] for interface in policy.spec["desiredState"]["interfaces"]]
    assert mtus == sorted(mtus, reverse=True) == [9216, 9216, 9216, 9000]
