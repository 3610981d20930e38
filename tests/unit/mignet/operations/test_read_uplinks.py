"""The uplink of policies that are there, as a stack file's section, with the attachment that goes with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.finding import ConfigError
from config.loading import load_stack
from config.segment import Segment
from config.types.model import parse
from mignet.kube.network.uplink_reading import Reading, read
from mignet.operations import new_links
from mignet.operations.read_uplinks import ReadUplink, read_uplinks

Object = dict[str, Any]
SEGMENT = {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000}
WORKERS = {"node-role.kubernetes.io/worker": ""}
MASTERS = {"node-role.kubernetes.io/control-plane": ""}
VLAN = {"name": "mig0", "type": "vlan", "state": "up", "vlan": {"base-iface": "eth1", "id": "2001"}}
BOND = {"name": "bond1", "type": "bond", "state": "up", "link-aggregation": {"mode": "802.3ad", "slaves": ["e0", "e1"]}}
ON_BOND = VLAN | {"vlan": {"base-iface": "bond1", "id": 2001}}
OVS = {"name": "br-phy", "type": "ovs-bridge", "state": "up", "bridge": {"port": [{"name": "eth1"}]}}
LINUX = {"name": "br-mig", "type": "linux-bridge", "state": "up", "bridge": {"port": [{"name": "eth1"}]}}
MAPPED = {"bridge-mappings": [{"localnet": "mig", "bridge": "br-phy"}, {"localnet": "tenants", "bridge": "br-phy"}]}


def policy(name: str, *interfaces: Object, selector: Object | None = None, **state: Any) -> Object:
    spec: Object = {"desiredState": ({"interfaces": [*interfaces]} if interfaces else {}) | state}
    return {"metadata": {"name": name}, "spec": spec | ({"nodeSelector": selector} if selector else {})}


def segment(**keys: Any) -> Segment:
    found = parse(Segment, SEGMENT | keys, stack="dev", key="segment")
    assert isinstance(found, Segment)
    return found


def found(*policies: Object, end: str | None = None, kept: Object | None = None) -> ReadUplink:
    names = [each["metadata"]["name"] for each in policies]
    return read_uplinks(names, policies, segment(), end=end, name="migration", kept=kept)


@pytest.mark.parametrize(
    ("declared", "end", "attachment", "uplink"),
    [
        (
            policy("one", VLAN),
            None,
            {"type": "macvlan", "name": "migration", "master": "mig0", "mode": "bridge"},
            {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        ),
        (
            policy("one", LINUX),
            None,
            {"type": "bridge", "name": "migration", "bridge": "br-mig", "vlan": 2001, "preserveDefaultVlan": False},
            {"bridge": {"name": "br-mig", "port": "eth1"}},
        ),
        (
            policy("one", OVS, ovn=MAPPED),
            None,
            {"type": "localnet", "name": "migration", "physicalNetworkName": "mig"},
            {
                "ovsBridge": {"name": "br-phy", "port": "eth1"},
                "localnets": [{"localnet": "mig"}, {"localnet": "tenants"}],
            },
        ),
        (
            policy("one", OVS, ovn=MAPPED),
            "tenants",
            {"type": "localnet", "name": "migration", "physicalNetworkName": "tenants"},
            {
                "ovsBridge": {"name": "br-phy", "port": "eth1"},
                "localnets": [{"localnet": "mig"}, {"localnet": "tenants"}],
            },
        ),
        # What the user names is what is read of a policy that makes more.
        (
            policy("one", LINUX, VLAN),
            "mig0",
            {"type": "macvlan", "name": "migration", "master": "mig0", "mode": "bridge"},
            {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        ),
    ],
)
def test_what_a_policy_makes_is_the_uplink_and_its_top_is_attached_to(
    declared: Object, end: str | None, attachment: Object, uplink: Object
) -> None:
    one = found(declared, end=end)
    assert (one.attachment, one.uplink) == (attachment, uplink)
    sections = {"segment": SEGMENT, "cluster": {"context": "dev", "crossCluster": False}}
    load_stack("dev", sections | {"attachment": dict(one.attachment), "uplink": dict(one.uplink)})


def test_policies_of_several_kinds_of_nodes_are_groups_with_a_line_for_each_thing_lost() -> None:
    workers = policy("mig.workers", BOND | {"description": "to rack 1"}, ON_BOND, selector=WORKERS)
    masters = policy("mig.masters", VLAN, selector=MASTERS, routes={"config": []})
    both = found(workers, masters)
    assert both.uplink == {
        "nodeGroups": [
            {
                "name": "mig-workers",
                "nodeSelector": WORKERS,
                "bond": {"name": "bond1", "ports": ["e0", "e1"], "mode": "802.3ad"},
                "vlan": {"name": "mig0"},
            },
            {"name": "mig-masters", "nodeSelector": MASTERS, "vlan": {"baseInterface": "eth1", "name": "mig0"}},
        ]
    }
    assert "policy mig.workers: not in the stack file: bond1.description: to rack 1" in both.lines
    assert 'policy mig.masters: not in the stack file: routes: {"config": []}' in both.lines
    assert "policy mig.masters: says nothing of it, and the stack does: mig0.mtu: 9000" in both.lines


def test_a_network_that_is_kept_keeps_its_attachment_and_gets_the_uplink_under_it() -> None:
    kept = {"type": "localnet", "name": "nad-lm", "cniName": "tenants", "adopt": True}
    one = found(policy("one", OVS, LINUX, ovn=MAPPED), kept=kept)
    assert one.attachment == kept
    assert one.uplink["ovsBridge"] == {"name": "br-phy", "port": "eth1"}
    assert "policy one: not in the stack file: all of br-mig" in one.lines


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        (
            policy("one", OVS),
            "mignet: --uplink-from br-phy makes the Open vSwitch bridge br-phy, and maps no localnet to it. Add the",
        ),
        (
            policy("one", {"name": "eth1", "type": "ethernet", "state": "up", "mtu": 9000}),
            "mignet: --uplink-from one makes no bond, VLAN, bridge or bridge mapping, only all of eth1. Attach to it",
        ),
        (
            policy(
                "one", BOND | {"link-aggregation": {"mode": "802.3ad", "port": ["{{ capture.a.interfaces.0.name }}"]}}
            ),
            "mignet: --uplink-from one: uplink.bond.ports[0] {{ capture.a.interfaces.0.name }} is not an interface",
        ),
        (
            policy("one", BOND | {"link-aggregation": {"mode": "802.3ad", "port": ["e0"], "options": {"new": 1}}}),
            "mignet: --uplink-from one: uplink.bond.options.new",
        ),
        (policy("one", VLAN | {"vlan": "eth1"}), "mignet: --uplink-from one makes no bond, VLAN, bridge or bridge"),
    ],
)
def test_what_a_stack_file_cannot_say_at_all_is_one_line(declared: Object, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(declared)
    assert str(caught.value).startswith(line), str(caught.value)


def test_a_policy_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError) as caught:
        read_uplinks(["two"], [policy("one", VLAN)], segment(), end=None, name="migration")
    assert str(caught.value) == (
        "mignet: --uplink-from two is no NodeNetworkConfigurationPolicy of the cluster. Policies there: one"
    )


@pytest.mark.parametrize("flags", [{"vlan": "7"}, {"bond": "eth1,eth2"}])
def test_flags_that_make_something_else_are_refused_beside_it(flags: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        new_links.read(policies=["one"], **flags)
    assert str(caught.value).startswith(f"mignet: --uplink-from one excludes --{next(iter(flags))}: ")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "type", "port", "vlan", "bridge", "link-aggregation", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(listed=ANYTHING, ovn=ANYTHING, kind=st.sampled_from(["bond", "vlan", "ovs-bridge", "linux-bridge"]), of=ANYTHING)
def test_nothing_that_somebody_wrote_into_a_policy_ends_in_a_fault(
    listed: object, ovn: object, kind: str, of: object
) -> None:
    odd = {"name": "i", "type": kind, "bridge": of, "vlan": of, "link-aggregation": of, "mtu": of}
    for interfaces in (listed, [odd]):
        state = {"interfaces": interfaces, "ovn": ovn}
        one = read({"metadata": {"name": "one"}, "spec": {"desiredState": state}}, segment())
        assert isinstance(one, Reading)
