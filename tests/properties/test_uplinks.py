"""Whatever an uplink is made of: nmstate takes the policy, removal takes it all back, and reading finds it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nmstate_library import Nmstate

from config.segment import Segment
from config.types.model import parse
from config.uplink import NodeGroup, made, uses
from config.uplink.rendering import desired_state
from mignet.kube.network.nmstate import removal_state
from mignet.kube.network.uplink_reading import read

NICS = ("eth1", "eth2", "ens1f0", "ens1f1", "enp4s0u2u1", "bond9")
VLANS = st.integers(1, 4094)
MTUS = st.sampled_from([1400, 1500, 9000, 9100])
FLAGS = st.sampled_from([None, True, False])
BOND_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "active-backup": [{}, {"miimon": 100}, {"miimon": "140", "fail_over_mac": "active"}],
    "802.3ad": [{}, {"miimon": 100, "lacp_rate": "fast", "xmit_hash_policy": "layer3+4"}],
    "balance-xor": [{}, {"xmit_hash_policy": "vlan+srcmac", "balance-slb": 1}, {"xmit_hash_policy": "layer2+3"}],
    "balance-rr": [{}, {"packets_per_slave": 2}],
    "balance-tlb": [{}, {"miimon": 100}],
    "balance-alb": [{}],
    "broadcast": [{}],
}


def given_keys(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["none", "access", "trunk", "native"]))
    if kind == "none":
        return {}
    if kind == "access":
        return {"access": draw(VLANS)}
    ends = sorted(draw(st.lists(VLANS, min_size=2, max_size=4, unique=True)))
    trunk: list[Any] = [
        ends[0],
        *({"minID": one, "maxID": two} for one, two in zip(ends[1::2], ends[2::2], strict=False)),
    ]
    return {"trunk": trunk} | ({"native": draw(VLANS)} if kind == "native" else {})


@st.composite
def uplinks(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a node group that holds what its rules ask for: any stack of layers, on NICs that are used once."""
    nics = draw(st.permutations(NICS))
    free = iter(nics)
    group: dict[str, Any] = {}
    if draw(st.booleans()):
        mode = draw(st.sampled_from(sorted(BOND_OPTIONS)))
        ports = [next(free), next(free)]
        options = draw(st.sampled_from(BOND_OPTIONS[mode]))
        source = draw(st.sampled_from([None, *ports]))
        group["bond"] = {"name": "bond1", "ports": ports, "mode": mode} | given_keys(copyMacFrom=source)
        group["bond"] |= {"options": options} if options else {}
    if draw(st.booleans()):
        base = {} if "bond" in group else {"baseInterface": next(free)}
        group["vlan"] = base | {"id": draw(VLANS), "name": draw(st.sampled_from(["mig0", "eth1.2001"]))}
    below = "mig0" if (group.get("vlan") or {}).get("name") == "mig0" else None
    below = below or ("eth1.2001" if "vlan" in group else "bond1" if "bond" in group else None)
    kind = draw(st.sampled_from(["none", "linux", "ovs"]))
    if kind == "linux":
        port = {} if below else {"port": next(free)}
        group["bridge"] = {"name": "br-mig", "stp": draw(st.booleans())} | port | draw(filters())
        group["bridge"] |= given_keys(multicastSnooping=draw(FLAGS))
    elif kind == "ovs":
        group["ovsBridge"] = {"name": "br-phy", "stp": draw(st.booleans())}
        group["ovsBridge"] |= given_keys(multicastSnooping=draw(FLAGS), rstp=draw(FLAGS))
        group["ovsBridge"] |= draw(ovs_ports(below, free))
    localnets = draw(st.lists(st.sampled_from(["mig", "tenant-a", "tenant-b"]), max_size=3, unique=True))
    mappings = [
        {"localnet": each} | ({} if kind == "ovs" and draw(st.booleans()) else {"bridge": "br-ex"})
        for each in localnets
    ]
    if len(mappings) == 1:
        group["localnet"] = mappings[0]
    elif mappings:
        group["localnets"] = mappings
    if not group:
        group["vlan"] = {"baseInterface": next(free), "id": 7, "name": "mig0"}
    lower, upper = sorted((draw(MTUS), draw(MTUS)))
    return group | draw(st.sampled_from([{}, {"mtu": lower}, {"mtu": lower, "baseMtu": upper}]))


@st.composite
def ovs_ports(draw: st.DrawFn, below: str | None, free: Iterator[str]) -> dict[str, Any]:
    if draw(st.booleans()):
        return {} if below else {"port": next(free)}
    ports: list[dict[str, Any]] = []
    if below:
        ports.append({"name": below} | draw(filters()))
    if not below or draw(st.booleans()):
        mode = draw(st.sampled_from(["active-backup", "balance-slb", "balance-tcp", "lacp"]))
        bond: dict[str, Any] = {"mode": mode, "ports": [next(free), next(free)]}
        delay = st.sampled_from([None, 0, 200])
        bond |= given_keys(updelay=draw(delay), downdelay=draw(delay))
        bond |= draw(st.sampled_from([{}, {"otherConfig": {"lacp-time": "fast"}}]))
        ports.append({"name": "ovs-bond", "linkAggregation": bond} | draw(filters()))
    return {"ports": ports}


def segment(mtu: int | None) -> Segment:
    found = parse(Segment, {"subnet": "10.200.5.0/24"} | given_keys(mtu=mtu), stack="dev", key="segment")
    assert isinstance(found, Segment), found
    return found


def node_group(written: dict[str, Any]) -> NodeGroup:
    found = parse(NodeGroup, written, stack="dev", key="uplink")
    assert isinstance(found, NodeGroup), [str(each) for each in found]
    return found


@pytest.fixture(scope="module")
def nmstate() -> Iterator[Nmstate]:
    with Nmstate() as program:
        yield program


TAGS = st.sampled_from([(), (2001,), (100, 2001)])
REUSED = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@REUSED
@given(written=uplinks(), tags=TAGS, mtu=st.sampled_from([None, 1400]))
def test_nmstate_takes_every_policy_that_an_uplink_renders(
    written: dict[str, Any], tags: tuple[int, ...], mtu: int | None, nmstate: Nmstate
) -> None:
    state = desired_state(node_group(written), segment(mtu), tags)
    assert nmstate.refusal(state) == "", json.dumps(written)


@REUSED
@given(written=uplinks())
def test_nmstate_takes_the_state_that_takes_an_uplink_back_and_it_names_what_was_made(
    written: dict[str, Any], nmstate: Nmstate
) -> None:
    group = node_group(written)
    undone, left = removal_state(desired_state(group, segment(None)), {})
    gone = {each["name"] for each in undone.get("interfaces", ()) if each["state"] == "absent"}
    kept = {each["name"] for each in undone.get("interfaces", ()) if each["state"] == "up"}
    assert gone == made(group, segment(None))
    assert left == []
    assert kept <= uses(group, segment(None))
    assert nmstate.refusal({key: value for key, value in undone.items() if key == "interfaces"}) == ""


@settings(max_examples=300, deadline=None)
@given(written=uplinks(), tags=TAGS)
def test_what_an_uplink_renders_is_read_back_without_a_loss(written: dict[str, Any], tags: tuple[int, ...]) -> None:
    state = desired_state(node_group(written), segment(None), tags)
    found = read({"metadata": {"name": "read"}, "spec": {"desiredState": state}}, segment(None), tags=tags)
    assert found.refused == (), json.dumps(written)
    assert (found.lost, found.added) == ((), ()), json.dumps(written)
