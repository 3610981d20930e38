"""The policies of an uplink: the state that nmstate shall make of a group's nodes, and the policies' names.

Sources: nmstate's state schema, kubernetes-nmstate's policies.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.uplink import made, uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.segment import Segment
    from config.uplink import NodeGroup, Uplink


def desired_state(group: NodeGroup, segment: Segment, tags: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return what nmstate shall make of a group's nodes. `tags` are those that the attachment itself puts on.

    An interface that is there before has no `type` here: nmstate takes it from the node, be it a NIC or a bond made at
    installation. Its addresses are left alone. So `type` marks what is ours to remove.
    """
    interfaces = [
        {"name": name, "state": "up", **_mtu(group, segment, base=True)} for name in sorted(uses(group, segment))
    ]
    interfaces += _layers(group, segment, tags)
    state: dict[str, Any] = {"interfaces": interfaces} if interfaces else {}
    if group.mappings:
        mappings = [
            {"localnet": each.localnet, "bridge": group.mapped_bridge(each), "state": "present"}
            for each in group.mappings
        ]
        state["ovn"] = {"bridge-mappings": mappings}
    return state


def _layers(group: NodeGroup, segment: Segment, tags: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    if bond := group.bond:
        aggregation: dict[str, Any] = {"mode": bond.mode, "port": list(bond.ports)}
        if options := bond.options.written():
            aggregation["options"] = options
        more = _mtu(group, segment, base=True) | _mac(bond.copy_mac_from)
        yield _interface(bond.name, "bond", **more, **{"link-aggregation": aggregation})
    if group.vlan:
        vlan = {"base-iface": group.vlan_base, "id": group.vlan_id(segment)}
        yield _interface(str(group.vlan_name(segment)), "vlan", **_mtu(group, segment, base=False), vlan=vlan)
    if bridge := group.bridge:
        (port,) = group.bridge_ports(segment)
        filtered = bridge.vlan_state(() if group.vlan else tags)
        options = {"stp": {"enabled": bridge.stp}} | _given("multicast-snooping", bridge.multicast_snooping)
        inside: dict[str, Any] = {"options": options, "port": [{"name": port} | filtered]}
        more = _mtu(group, segment, base=False) | _mac(bridge.copy_mac_from)
        yield _interface(bridge.name, "linux-bridge", **more, bridge=inside)
    if ovs := group.ovs_bridge:
        options = {"stp": ovs.stp} | _given("rstp", ovs.rstp) | _given("mcast-snooping-enable", ovs.multicast_snooping)
        ports = (
            [{"name": name} for name in group.bridge_ports(segment)]
            if ovs.ports is None
            else [port.state() for port in ovs.ports]
        )
        # OVN puts patch ports into it; without this key nmstate would remove them.
        inside = {"allow-extra-patch-ports": True, "options": options, "port": ports}
        yield {"name": ovs.name, "type": "ovs-bridge", "state": "up", "bridge": inside}


def _given(key: str, value: bool | None) -> dict[str, Any]:  # noqa: FBT001
    return {} if value is None else {key: value}


def _mac(source: str | None) -> dict[str, Any]:
    return {} if source is None else {"copy-mac-from": source}


def _interface(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "state": "up", "ipv4": {"enabled": False}, "ipv6": {"enabled": False}, **more}


def _mtu(group: NodeGroup, segment: Segment, *, base: bool) -> dict[str, Any]:
    mtu = group.mtu_on(segment, base=base)
    return {} if mtu is None else {"mtu": mtu}


@dataclass(frozen=True, slots=True)
class Policy:
    """A NodeNetworkConfigurationPolicy: its name and its spec."""

    group: str | None
    name: str
    spec: dict[str, Any]


def policies(stack: str, uplink: Uplink, segment: Segment, tags: tuple[int, ...] = ()) -> Iterator[Policy]:
    """Return one policy for each node group of a stack."""
    for group in uplink.groups:
        spec: dict[str, Any] = {"nodeSelector": dict(group.node_selector)} if group.node_selector else {}
        if group.max_unavailable is not None:
            spec["maxUnavailable"] = group.max_unavailable
        spec["desiredState"] = desired_state(group, segment, tags)
        yield Policy(group.name, policy_name(stack, group, segment), spec)


def policy_name(stack: str, group: NodeGroup, segment: Segment) -> str:
    """Return a policy's name: the stack's, the group's, and a hash of the names of what it makes.

    nmstate leaves behind what is no longer in a policy. With the hash, another interface is another policy, and the old
    one is removed the way that takes its interfaces off the nodes.
    """
    localnets = sorted(each.localnet for each in group.mappings) or [""]
    content = " ".join((*sorted(made(group, segment)), *(f"localnet:{each}" for each in localnets)))
    parts = ("migration", stack, group.name, hashlib.sha256(content.encode()).hexdigest()[:6])
    return "-".join(re.sub(r"[^a-z0-9.-]", "-", part.lower()) for part in parts if part)
