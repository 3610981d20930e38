"""A node's network as kubernetes-nmstate reports it (NodeNetworkState): what lies under an interface.

One model for all who judge: VLANs, bonds, bridges, Open vSwitch bridges with their bonds and patch ports, down to the
NICs. Pure, given the objects. Sources: nmstate's state schema, and what it reports of real nodes.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.types.addressing import Address, Network
    from mignet.kube.kinds import Object

INTEGRATION_BRIDGE = "br-int"
"""OVN's own bridge, which joins pods and all mapped bridges: no NIC is reached through it."""

_DEFAULTS = {"0.0.0.0/0", "::/0"}
PORTS = ("port", "ports", "slaves", "ports-config")
"""How nmstate names what belongs to a bond or a bridge: now, in policies of old, longer ago, and with its settings."""
_ON_BASE = ("vlan", "vxlan", "mac-vlan", "mac-vtap", "macsec", "ipvlan")
"""What stands on another interface, which it names as base-iface."""
_VIRTUAL = {
    *("bond", "linux-bridge", "ovs-bridge", "ovs-interface", "ovs-bond", "veth", "dummy", "loopback", "tun", "vrf"),
    *_ON_BASE,
}
"""Types that are no NIC by themselves, whatever may lie under them. A type that nmstate does not know may be one."""
_LEADS_NOWHERE = {"veth", "ovs-interface"}
"""A pod's end of a veth pair and an internal port are ports of a bridge, and no way out of the node."""


def _is_way_out(interface: Mapping[str, Any]) -> bool:
    """Tell whether something virtual leads out of the node by itself: a NIC given to DPDK, a tunnel without a base."""
    tunnel = interface.get("vxlan")
    return bool(interface.get("dpdk")) or (isinstance(tunnel, dict) and not tunnel.get("base-iface"))


@dataclass(frozen=True, slots=True)
class Layer:
    """One interface under another one, or the topmost itself.

    `above` is what it was reached from. `tags` are the VLAN tags that a frame has got on its way from the top down to
    here; `filter` is the VLAN filter of the port that it is in a bridge (nmstate's `vlan` of a port).
    """

    name: str
    kind: str
    facts: Mapping[str, Any] | None
    """What nmstate reports; None when the node has no such interface."""
    above: str | None = None
    tags: tuple[int, ...] = ()
    filter: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_nic(self) -> bool:
        """Whether it is a NIC that the node has."""
        return self.facts is not None and (self.kind not in _VIRTUAL or _is_way_out(self.facts))


@dataclass(frozen=True)
class Node:
    """A node: its InternalIP addresses, its labels, and what nmstate says of it (empty when it says nothing)."""

    name: str
    schedulable: bool
    addresses: tuple[Address, ...]
    state: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, node: Object, state: Object | None) -> Node:
        """Read a Node, and its NodeNetworkState when there is one."""
        metadata = node["metadata"]
        return cls(
            metadata["name"],
            schedulable=metadata.get("labels", {}).get("kubevirt.io/schedulable") == "true",
            addresses=tuple(
                ipaddress.ip_address(each["address"])
                for each in node.get("status", {}).get("addresses", [])
                if each["type"] == "InternalIP"
            ),
            state=(state or {}).get("status", {}).get("currentState", {}),
            labels=metadata.get("labels", {}),
            taints=tuple(node.get("spec", {}).get("taints") or ()),
        )

    @property
    def lasting_taints(self) -> tuple[Mapping[str, Any], ...]:
        """The taints that keep pods away for good: those of a node that is cordoned, or not ready, pass."""
        return tuple(
            taint
            for taint in self.taints
            if taint.get("effect") in {"NoSchedule", "NoExecute"}
            and not taint.get("key", "").startswith("node.kubernetes.io/")
        )

    @cached_property
    def interfaces(self) -> dict[str, Mapping[str, Any]]:
        """The interfaces by name."""
        # An OVS bridge and its internal port share a name; the port has the addresses.
        listed = sorted(self.state.get("interfaces", []), key=lambda each: each.get("type") != "ovs-bridge")
        return {each["name"]: each for each in listed}

    @cached_property
    def ethernet_nics(self) -> int:
        """How many NICs it has, those given to DPDK included."""
        listed = self.state.get("interfaces", ())
        return sum(each.get("type") == "ethernet" or bool(each.get("dpdk")) for each in listed)

    @property
    def default_route(self) -> set[str]:
        """Interfaces of default routes."""
        routes = self.state.get("routes", {}).get("running", [])
        return {each["next-hop-interface"] for each in routes if each.get("destination") in _DEFAULTS}

    @property
    def mappings(self) -> dict[str, str]:
        """The bridge of each localnet that OVN knows here."""
        listed = self.state.get("ovn", {}).get("bridge-mappings", [])
        return {each["localnet"]: each["bridge"] for each in listed if each.get("localnet") and each.get("bridge")}

    @cached_property
    def _inside(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """The ports of each bond and bridge, by name; no interface stands for a bond inside an OVS bridge."""
        found: dict[str, dict[str, Mapping[str, Any]]] = {}
        for each in self.state.get("interfaces", []):
            ports = found.setdefault(each["name"], {})
            for name, port in (*_ports(each.get("link-aggregation")), *_ports(each.get("bridge"))):
                # An OVS bridge has its own internal port among its ports.
                if name == each["name"]:
                    continue
                ports[name] = port
                if "link-aggregation" in port:
                    found.setdefault(name, {}).update(_ports(port["link-aggregation"]))
        listed = {port for ports in found.values() for port in ports}
        for each in self.state.get("interfaces", []):
            above = each.get("controller")
            # What is in a VRF is a port of nothing; an internal port of an OVS bridge may name itself.
            if above and above != each["name"] and each["name"] not in listed and self._reported(above) != "vrf":
                found.setdefault(above, {})[each["name"]] = {}
        return found

    @cached_property
    def _masters(self) -> dict[str, str]:
        return {port: above for above, ports in self._inside.items() for port in ports}

    def ports(self, name: str) -> tuple[str, ...]:
        """Return the ports of a bridge or a bond, without a bridge's own internal one."""
        return tuple(self._inside.get(name, ()))

    def lists_ports(self, name: str) -> bool:
        """Tell whether nmstate says which ports a bridge of this name has, even if there are none."""
        bridges = [each.get("bridge") for each in self.state.get("interfaces", []) if each["name"] == name]
        return any(isinstance(each, dict) and not each.keys().isdisjoint(PORTS) for each in bridges)

    def masters(self) -> dict[str, str]:
        """Return, for each interface that is a port of a bridge or a bond, of which."""
        return self._masters

    def kind(self, name: str) -> str:
        """Return an interface's type in nmstate's words; `ovs-bond` for a bond inside an OVS bridge, "" for none."""
        is_bond = name not in self.interfaces and self._inside.get(name) and name in self._masters
        return "ovs-bond" if is_bond else self._reported(name)

    def _reported(self, name: str) -> str:
        interface = self.interfaces.get(name)
        return "" if interface is None else str(interface.get("type") or "ethernet")

    def under(self, name: str) -> tuple[str, ...]:
        """Return what lies directly under an interface: its base, its ports, or the bridge that it is a port of."""
        interface = self.interfaces.get(name, {})
        bases = [str(interface[key]["base-iface"]) for key in _ON_BASE if interface.get(key, {}).get("base-iface")]
        if bases:
            return tuple(bases)
        ports = self._inside.get(name, {})
        down = [
            port
            for port in ports
            if self.kind(port) not in _LEADS_NOWHERE or _is_way_out(self.interfaces.get(port, {}))
        ]
        # nmstate reports no patch port of OVN's, and a bridge keeps the name of a bond that is gone.
        if there := [port for port in down if self.kind(port)]:
            return tuple(there)
        above = self._masters.get(name)
        if self.kind(name) == "ovs-interface" and above is not None:
            return (above,)
        # Without a NIC of its own, a bridge's frames leave through the bridge on the other side of a patch.
        peers = [self.interfaces.get(port, {}).get("patch", {}).get("peer") for port in ports]
        patched = [self._masters[peer] for peer in peers if peer in self._masters]
        return tuple(each for each in patched if each not in {name, INTEGRATION_BRIDGE}) or tuple(down)

    def below(self, name: str) -> tuple[Layer, ...]:
        """Return the interface and all that lies under it, the topmost first, each once."""
        found: dict[str, Layer] = {}
        waiting = [self._layer(name, None)]
        while waiting:
            layer = waiting.pop(0)
            if layer.name not in found:
                found[layer.name] = layer
                waiting += [self._layer(each, layer) for each in self.under(layer.name)]
        return tuple(found.values())

    def _layer(self, name: str, above: Layer | None) -> Layer:
        facts = self.interfaces.get(name)
        tag = (facts or {}).get("vlan", {}).get("id")
        tags = above.tags if above else ()
        return Layer(
            name,
            self.kind(name),
            facts,
            above.name if above else None,
            tags if tag is None else (*tags, int(tag)),
            (self._inside.get(above.name, {}).get(name, {}) if above else {}).get("vlan") or {},
        )

    def nics(self, name: str) -> tuple[Layer, ...]:
        """Return the NICs under an interface that the node has, itself when it is one."""
        return tuple(layer for layer in self.below(name) if layer.is_nic)

    @cached_property
    def _carriers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for top in sorted(self.default_route):
            for layer in self.below(top):
                found.setdefault(layer.name, top)
        return found

    def carries_default_route(self) -> dict[str, str]:
        """Return the interfaces that a default route goes through, each with the interface that has the route."""
        return self._carriers

    def shares_default_route(self, name: str) -> tuple[str, str] | None:
        """Return what carries the default route under an interface that does not, and what has the route.

        So for a VLAN interface on the bond of br-ex. None where it carries the route itself, or is apart from it.
        """
        if name in self._carriers:
            return None
        return next(
            ((each.name, self._carriers[each.name]) for each in self.below(name) if each.name in self._carriers), None
        )


def ports_of(interface: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ports that a bond or a bridge lists, the members of bonds inside it included."""
    found: list[str] = []
    for name, port in (*_ports(interface.get("link-aggregation")), *_ports(interface.get("bridge"))):
        found += [name, *(member for member, _ in _ports(port.get("link-aggregation")))]
    return tuple(dict.fromkeys(name for name in found if name != interface.get("name")))


def port_settings(interface: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what a bond or a bridge says of each of its own ports, by name."""
    return {
        name: port
        for section in ("link-aggregation", "bridge")
        for name, port in _ports(interface.get(section))
        if port and name != interface.get("name")
    }


def _ports(section: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the ports that a bond or bridge lists, each with what it says of it."""
    if not isinstance(section, dict):
        return
    for key in PORTS:
        for port in listed if isinstance(listed := section.get(key), list | tuple) else ():
            if isinstance(port, dict):
                if "name" in port:
                    yield str(port["name"]), port
            else:
                yield str(port), {}


def machine_networks(nodes: Iterable[Node]) -> list[Network]:
    """Return the subnets of the nodes' InternalIPs, sorted."""
    found = {
        interface.network
        for node in nodes
        for each in node.interfaces.values()
        for interface in addresses_of(each)
        if interface.ip in node.addresses
    }
    return sorted(found, key=lambda network: (network.version, int(network.network_address)))


def addresses_of(interface: Mapping[str, Any]) -> Iterator[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """Yield the addresses of an interface, with their prefix, without link-local ones, and what is none."""
    for family in ("ipv4", "ipv6"):
        said = interface.get(family)
        for each in (said.get("address") or ()) if isinstance(said, dict) else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                address = ipaddress.ip_interface(f"{each['ip']}/{each.get('prefix-length', '')}".rstrip("/"))
                if not address.is_link_local:
                    yield address


def passes(filter_: Mapping[str, Any], tag: int, *, kind: str) -> bool:
    """Tell whether a bridge's port lets frames out that have `tag` inside the bridge; 0 stands for none.

    `filter_` is what nmstate says of the port (`vlan`), `kind` the bridge's type. A Linux bridge keeps untagged frames
    in VLAN 1, which a port leaves only for a tag of its own; an Open vSwitch port passes what it lists, nothing beside.
    """
    mode, own = filter_.get("mode"), filter_.get("tag")
    if mode == "access":
        # nmstate writes tag 0 for a port without one.
        return own in {None, 0, tag} or (kind == "linux-bridge" and (own, tag) == (1, 0))
    listed = filter_.get("trunk-tags")
    if mode != "trunk" or not listed:
        return True
    if tag == 0:
        native = filter_.get("enable-native") and own not in {None, 0, 1}
        return kind == "linux-bridge" and not native
    if filter_.get("enable-native") and own == tag:
        return True
    return any(_lists(each, tag) for each in listed)


def _lists(item: Mapping[str, Any], tag: int) -> bool:
    if "id-range" in item:
        return bool(int(item["id-range"]["min"]) <= tag <= int(item["id-range"]["max"]))
    return "id" in item and int(item["id"]) == tag
