"""What an uplink meets on the nodes: each way in which another policy, or what is there, stands against it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from preflight_traps import CONFIG, merged

from components.ownership import labels
from config.loading import load_stack
from config.stack import Stack
from mignet.kube import kinds
from mignet.kube.client import Cluster
from mignet.kube.network.node_network import Node
from mignet.kube.network.uplink_conflicts import disagreeing, findings
from mignet.program import guards

Object = dict[str, Any]
MACVLAN = {"type": "macvlan", "name": "migration", "master": "mig0"}
VLAN = {"vlan": {"baseInterface": "eth1", "name": "mig0"}}
BOND = {"bond": {"name": "bond1", "ports": ["eth3", "eth4"], "mode": "802.3ad"}, "vlan": {"name": "mig0"}}
LOCALNET = {"localnet": {"localnet": "mig", "bridge": "br-mig"}}


def stack(uplink: Object, **more: Any) -> Stack:
    attachment = (
        MACVLAN if "vlan" in uplink else {"type": "localnet", "name": "migration", "physicalNetworkName": "mig"}
    )
    return load_stack("dev", merged(CONFIG, {"attachment": attachment, "uplink": uplink, **more}))


def nic(name: str, **keys: Any) -> Object:
    return {"name": name, "type": "ethernet", "state": "up"} | keys


def objects(name: str, *interfaces: Object, **state: Any) -> tuple[Object, Object]:
    current = {"interfaces": list(interfaces)} | state
    return (
        {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}},
        {"metadata": {"name": name}, "status": {"currentState": current}},
    )


def node(name: str, *interfaces: Object, **state: Any) -> Node:
    return Node.read(*objects(name, *interfaces, **state))


def policy(*interfaces: Object, selector: Object | None = None, of: str = "", state: Any = None) -> Object:
    desired = {"interfaces": list(interfaces)} if state is None else state
    spec = {"desiredState": desired} | ({} if selector is None else {"nodeSelector": selector})
    return {"metadata": {"name": "other", "labels": labels(of) if of else {}}, "spec": spec}


def found(one: Stack, nodes: list[Node], *policies: Object) -> list[tuple[str, str, str]]:
    return [(each.severity, each.code, each.rule) for each in findings(one, nodes, policies)]


@pytest.mark.parametrize(
    ("uplink", "other", "severity", "says"),
    [
        (VLAN, policy({"name": "mig0", "state": "absent"}), "error", "declares mig0 (state: absent), as"),
        (VLAN, policy({"name": "mig0", "type": "vlan", "vlan": {"id": "7"}}), "error", 'mig0 (vlan.id: "7")'),
        # A number as a text is the same number; another stack of ours may share a layer.
        (
            VLAN,
            policy({"name": "mig0", "vlan": {"id": "2001"}}, of="dev-2"),
            "warning",
            "declares mig0, as this stack's",
        ),
        (VLAN, policy({"name": "mig0", "ipv4": {"enabled": True, "dhcp": True}}), "error", "mig0 (ipv4.enabled: true)"),
        (VLAN, policy({"name": "mig0", "ipv6": {"autoconf": True}}), "error", "mig0 (ipv6.enabled: true)"),
        (VLAN, policy(nic("eth1", mtu=1500)), "error", "eth1 (mtu: 1500)"),
        (BOND, policy({"name": "bond1", "link-aggregation": {"slaves": ["eth3"]}}), "error", "bond1 (ports: "),
        (
            BOND,
            policy({"name": "bond1", "link-aggregation": {"mode": "active-backup"}}),
            "error",
            "link-aggregation.mode",
        ),
        (
            BOND,
            policy({"name": "br9", "type": "linux-bridge", "bridge": {"port": [{"name": "eth3"}]}}),
            "error",
            "eth3 (a port of br9)",
        ),
        (
            LOCALNET,
            policy(state={"ovn": {"bridge-mappings": [{"localnet": "mig", "bridge": "br-x"}]}}),
            "error",
            "localnet mig (to br-x, not br-mig)",
        ),
        (
            LOCALNET,
            policy(state={"ovn": {"bridge-mappings": [{"localnet": "mig", "state": "absent"}]}}),
            "error",
            "localnet mig (absent)",
        ),
        (
            LOCALNET,
            policy(state={"ovn": {"bridge-mappings": [{"localnet": "mig", "bridge": "br-mig"}]}}),
            "warning",
            "declares localnet mig, as",
        ),
    ],
)
def test_a_policy_that_declares_the_same_is_named_with_what_it_says(
    uplink: Object, other: Object, severity: str, says: str
) -> None:
    one = stack(uplink)
    ((how, code, rule),) = found(one, [node("a")], other)
    assert (how, code) == (severity, "policy-shared")
    assert says in rule
    # On other nodes it is nobody's business.
    other["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "b"}
    assert found(one, [node("a")], other) == []


@pytest.mark.parametrize(
    "other",
    [
        policy(nic("eth1", mtu=9000)),
        policy(nic("eth1", description="storage", ipv4={"enabled": True, "dhcp": True})),
        # Tagged frames reach the VLAN interface before they reach a bridge.
        policy({"name": "br9", "type": "linux-bridge", "bridge": {"port": [{"name": "eth1"}]}}),
        policy({"name": "eth1.7", "type": "vlan", "vlan": {"id": 7, "base-iface": "eth1"}}),
        policy({"name": "eth1", "mtu": "{{ capture.base.interfaces.0.mtu }}"}),
        policy(state="interfaces: []"),
        policy(state={}),
        policy({"name": "mig0", "state": "absent"}, of="dev"),
    ],
)
def test_a_policy_that_agrees_or_is_our_own_is_no_finding(other: Object) -> None:
    assert found(stack(VLAN), [node("a", nic("eth1"))], other) == []


def test_what_our_own_policy_made_is_ours_whatever_it_carries() -> None:
    there = {"name": "mig0", "type": "vlan", "state": "up", "vlan": {"id": 2001, "base-iface": "eth1"}}
    there["ipv4"] = {"enabled": True, "address": [{"ip": "192.168.22.71", "prefix-length": 26}]}
    one = node("a", nic("eth1"), there)
    assert [code for _, code, _ in found(stack(VLAN), [one])] == ["uplink-host-address"]
    assert found(stack(VLAN), [one], policy({"name": "mig0"}, of="dev")) == []


@pytest.mark.parametrize(
    ("interface", "route", "says"),
    [
        ({"name": "bond1", "type": "bond", "link-aggregation": {"port": ["eth3", "eth4"]}}, None, "(bond) on a, and"),
        (
            {"name": "bond1", "type": "bond", "link-aggregation": {"port": ["eth3", "eth4"]}},
            "bond1",
            "is there already (bond) and carries the default route on a, and no policy of this stack made it: up would"
            " take it over, and destroy remove it from under its users",
        ),
        ({"name": "mig0", "type": "vlan", "vlan": {"id": 2001, "base-iface": "bond1"}}, None, "(vlan) on a"),
    ],
)
def test_what_is_there_and_not_ours_is_an_error(interface: Object, route: str | None, says: str) -> None:
    routes = {"running": [{"destination": "0.0.0.0/0", "next-hop-interface": route}] if route else []}
    one = node("a", nic("eth3"), nic("eth4"), interface | {"state": "up"}, routes=routes)
    ((severity, code, rule),) = found(stack(BOND), [one])
    assert (severity, code) == ("error", "uplink-existing")
    assert says in rule


def test_a_link_local_address_and_an_address_of_the_base_are_left_to_the_nodes() -> None:
    """A VLAN's base keeps its addresses: the policy says nothing of them."""
    local = {"enabled": True, "address": [{"ip": "fe80::1", "prefix-length": 64}]}
    own = {"enabled": True, "address": [{"ip": "10.9.0.5", "prefix-length": 24}]}
    assert found(stack(VLAN), [node("a", nic("eth1", ipv4=own, ipv6=local))]) == []


def test_two_others_that_disagree_are_named_once_for_all_nodes() -> None:
    one, two = policy(nic("eth1", mtu=9000)), policy(nic("eth1", mtu=1500))
    two["metadata"] = {"name": "second"}
    nodes = [(node(f"n{number}"), ["mig0", "eth1"]) for number in range(5)]
    (finding,) = disagreeing(stack(VLAN), nodes, [one, two])
    assert finding.key == "NodeNetworkConfigurationPolicy other"
    assert "so does second with mtu: 1500 on n0, n1, n2 and 2 more" in finding.rule


BRIDGE = {"name": "br1", "type": "linux-bridge"}


def trunk(*tags: int) -> Object:
    return BRIDGE | {
        "bridge": {"port": [{"name": "eth1", "vlan": {"mode": "trunk", "trunk-tags": [{"id": t} for t in tags]}}]}
    }


def bond(name: str, *ports: str, key: str = "port") -> Object:
    listed = [{"name": each, "priority": 1} for each in ports] if key == "ports-config" else list(ports)
    return {"name": name, "type": "bond", "state": "up", "link-aggregation": {"mode": "802.3ad", key: listed}}


@pytest.mark.parametrize(
    ("one", "two", "used", "says"),
    [
        (trunk(2001), trunk(100), ["br1", "eth1"], 'so does second with port eth1.vlan.trunk-tags: [{"id": 100}]'),
        (bond("bond8", "eth1"), bond("bond9", "eth1", "eth5"), ["bond8", "eth1"], "with it as a port of bond9"),
        (nic("eth1", mtu=9000), bond("bond9", "eth1", "eth5"), ["eth1.2001", "eth1"], "with it as a port of bond9"),
    ],
    ids=["the trunk of a port", "a port of two bonds", "a base that is a port"],
)
def test_two_others_disagree_by_what_they_say_of_ports(one: Object, two: Object, used: list[str], says: str) -> None:
    first, second = policy(one), policy(two)
    second["metadata"] = {"name": "second"}
    (finding,) = disagreeing(stack(VLAN), [(node("a"), used)], [first, second])
    assert says in finding.rule


def test_two_others_disagree_by_the_bridge_that_they_map_the_localnet_to() -> None:
    def mapped(bridge: str) -> Object:
        return policy(state={"ovn": {"bridge-mappings": [{"localnet": "mig", "bridge": bridge}]}})

    first, second = mapped("br-phy"), mapped("br-ex")
    second["metadata"] = {"name": "second"}
    one = stack(LOCALNET | {"ovsBridge": {"name": "br-mig", "port": "eth1"}})
    (finding,) = disagreeing(one, [(node("a"), [])], [first, second])
    assert (
        "declares localnet mig, which the attachment uses, and so does second with a mapping to br-ex" in finding.rule
    )
    assert list(disagreeing(one, [(node("a"), [])], [first, first])) == []


@pytest.mark.parametrize(
    ("one", "two", "used"),
    [
        # One makes the bond of the NIC that the other sets up: that is how layers are shared.
        (nic("eth1", mtu=9000), bond("bond9", "eth1", "eth5"), ["bond9", "eth1"]),
        (trunk(2001), trunk(2001), ["br1", "eth1"]),
        (bond("bond8", "eth1"), bond("bond8", "eth1"), ["bond8", "eth1"]),
    ],
)
def test_others_that_agree_are_no_matter(one: Object, two: Object, used: list[str]) -> None:
    second = policy(two)
    second["metadata"] = {"name": "second"}
    assert list(disagreeing(stack(VLAN), [(node("a"), used)], [policy(one), second])) == []


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (bond("bond9", "eth3", key="ports-config"), "eth3 (a port of bond9)"),
        (nic("eth3", ipv4={"enabled": True, "dhcp": True}), "eth3 (ipv4.enabled: true)"),
    ],
)
def test_a_policy_of_others_that_needs_what_is_to_be_a_port_is_an_error(theirs: Object, says: str) -> None:
    ((severity, code, rule),) = found(stack(BOND), [node("a", nic("eth3"), nic("eth4"))], policy(theirs))
    assert (severity, code) == ("error", "policy-shared")
    assert says in rule


def test_a_policy_of_others_that_turns_ip_off_on_a_port_agrees() -> None:
    theirs = policy(nic("eth3", ipv4={"enabled": False}, ipv6={"enabled": False}))
    assert found(stack(BOND), [node("a", nic("eth3"), nic("eth4"))], theirs) == []


class Answers:
    """A cluster that serves these nodes, and no policy."""

    def __init__(self, *pairs: tuple[Object, Object]) -> None:
        self.pairs = pairs

    async def list(self, kind: kinds.Kind, **_: Any) -> list[Object]:
        index = {kinds.NODE: 0, kinds.NODE_NETWORK_STATE: 1}.get(kind)
        return [] if index is None else [pair[index] for pair in self.pairs]

    async def get(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize("waivers", [{}, {"uplink-existing": "it becomes this stack's"}])
def test_the_programs_guard_refuses_what_is_not_waived(waivers: dict[str, str]) -> None:
    bond = {"name": "bond1", "type": "bond", "state": "up", "link-aggregation": {"port": ["eth3", "eth4"]}}
    cluster = cast("Cluster", Answers(objects("a", nic("eth3"), nic("eth4"), bond)))
    asked = guards.uplinks(stack(BOND, waivers=waivers), cluster)
    if waivers:
        assert asyncio.run(asked) == ()
        return
    with pytest.raises(guards.GuardError, match=r"^NIC bond1 is there already"):
        asyncio.run(asked)
