"""The uplink: how the nodes reach the segment, as kubernetes-nmstate shall set it up.

Sources: nmstate's state schema (interfaces, `ovn.bridge-mappings`), kubernetes-nmstate's policies, the Linux kernel's
rules for bonds, VLANs and bridges.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from config.finding import Finding, few
from config.types.model import Model, refuse
from config.types.names import DnsLabel, InterfaceName, Mtu, VlanId, is_label
from config.uplink.bond_options import BondOptions
from config.uplink.bridge_ports import OvsPort, TrunkItem, VlanFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.segment import Segment

_OVN_OWN = {"br-ex", "br-int", "br-local"}


def _selector(value: dict[str, str]) -> dict[str, str]:
    for key, wanted in value.items():
        if not is_label(key, wanted):
            refuse(
                "uplink-selector",
                f"has {key}={wanted}, which is no label of a node",
                'Write labels and their exact values, such as node-role.kubernetes.io/worker: ""',
            )
    return value


def _some_nodes(value: object) -> object:
    number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5000
    if not number and not (isinstance(value, str) and re.match(_SHARE, value)):
        rule = "is neither a number of nodes (1 to 5000) nor a share of them"
        refuse("uplink-max-unavailable", rule, "Write 1, or 50%")
    return value


_SHARE = r"^(100|[1-9][0-9]?)%$"
_SOME_NODES = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5000}, {"type": "string", "pattern": _SHARE}]}


def _localnet(value: str) -> str:
    # Open vSwitch keeps all mappings in one text: localnet:bridge,localnet:bridge.
    if not re.fullmatch(r"[^\s:,]{1,253}", value):
        refuse("uplink-localnet-name", "is not a physical network's name", "Leave out blanks, colons and commas")
    return value


NodeSelector = Annotated[dict[str, str], AfterValidator(_selector)]
LocalnetName = Annotated[str, AfterValidator(_localnet)]


class Bond(Model):
    """Several NICs as one."""

    name: InterfaceName
    """The bond's name."""
    ports: tuple[InterfaceName, ...] = Field(min_length=1)
    """Its NICs."""
    mode: Literal["active-backup", "802.3ad", "balance-xor", "balance-rr", "balance-tlb", "balance-alb", "broadcast"]
    """How it spreads traffic. 802.3ad needs LACP on the switch's ports; balance-rr, balance-xor and broadcast need a
    static link aggregation there; active-backup, balance-tlb and balance-alb need nothing of the switch."""
    options: BondOptions = Field(default_factory=BondOptions)
    """Options of the bonding driver, by nmstate's names, such as miimon: 100 (milliseconds)."""
    copy_mac_from: InterfaceName | None = None
    """The NIC whose MAC address it gets, such as the one that the switch or DHCP knows; the kernel's choice when left
    out."""

    def rules(self) -> Iterator[Finding]:
        """A NIC is a port once, a bond is no port of itself, and its options go with its mode."""
        for broken in self.options.broken(self.mode, self.ports):
            yield replace(broken, key=f"options.{broken.key}")
        for index, port in enumerate(self.ports):
            if port in self.ports[:index]:
                yield Finding(
                    f"ports[{index}]", port, "is a port already", "Name each NIC once", code="uplink-port-twice"
                )
            if port == self.name:
                yield Finding(f"ports[{index}]", port, "is the bond itself", "Name its NICs", code="uplink-port-self")


class Vlan(Model):
    """A VLAN interface: what leaves through it carries the tag `id`."""

    base_interface: InterfaceName | None = None
    """What carries it; the bond when left out."""
    id: VlanId | None = None
    """The tag; the segment's VLAN when left out."""
    name: InterfaceName | None = None
    """The interface's name, at most 15 characters; `<baseInterface>.<id>` when left out."""


class LinuxBridge(VlanFilter):
    """A Linux bridge with one port, for an attachment of type bridge. `trunk`, `native` and `access` are the port's."""

    name: InterfaceName
    """The bridge's name."""
    port: InterfaceName | None = None
    """Its port; the VLAN interface or the bond when left out."""
    trunk: tuple[TrunkItem, ...] | None = Field(default=None, min_length=1)
    """The tags that pass the port (`bridge vlan add vid N dev PORT`), each a number or `{minID: 100, maxID: 110}`;
    those of the attachment when left out."""
    stp: bool = False
    """Whether it takes part in the spanning tree protocol."""
    multicast_snooping: bool | None = None
    """Whether multicast goes only to the ports that asked for it; the kernel's choice, which is to, when left out."""
    copy_mac_from: InterfaceName | None = None
    """The NIC whose MAC address it gets; the kernel's choice when left out."""


class OvsBridge(Model):
    """An Open vSwitch bridge, for a localnet: with one port, or with several of which each may be a bond of its own."""

    name: InterfaceName
    """The bridge's name."""
    port: InterfaceName | None = None
    """Its port; the VLAN interface or the bond when left out, and there are no `ports`."""
    ports: tuple[OvsPort, ...] | None = Field(default=None, min_length=1)
    """Its ports, where there are several, bonds of Open vSwitch, or ports that let some VLANs pass only."""
    stp: bool = False
    """Whether it takes part in the spanning tree protocol."""
    rstp: bool | None = None
    """Whether it takes part in the rapid spanning tree protocol, which Open vSwitch does not when left out."""
    multicast_snooping: bool | None = None
    """Whether multicast goes only to the ports that asked for it; Open vSwitch floods it when left out."""

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The interfaces of the node that it names as ports, or inside bonds, each with its key."""
        if self.ports is None:
            return () if self.port is None else (("port", self.port),)
        return tuple(
            (f"ports[{index}].linkAggregation.ports[{at}]" if port.link_aggregation else f"ports[{index}].name", name)
            for index, port in enumerate(self.ports)
            for at, name in enumerate(port.interfaces)
        )

    def rules(self) -> Iterator[Finding]:
        """The bridges of OVN-Kubernetes are not to be made here, nor removed; and each name is one thing's."""
        if self.name in _OVN_OWN:
            yield Finding(
                "name",
                self.name,
                "belongs to OVN-Kubernetes",
                "Choose another name, such as br-mig",
                code="uplink-ovn-bridge",
            )
        if self.port is not None and self.ports is not None:
            yield Finding("port", self.port, "stands beside ports", "Write it as one of ports", code="uplink-ovs-ports")
        taken = [name for _, name in self.named]
        bonds = [
            (f"ports[{index}].name", port.name)
            for index, port in enumerate(self.ports or ())
            if port.link_aggregation is not None
        ]
        for index, (key, name) in enumerate((*self.named, *bonds)):
            if name in (*taken, *(each for _, each in bonds))[:index]:
                yield Finding(key, name, "is a port already", "Name each once", code="uplink-port-twice")
            if name == self.name:
                yield Finding(
                    key,
                    name,
                    "is the bridge itself",
                    "Name its NICs, and their bond otherwise",
                    code="uplink-port-self",
                )


class Localnet(Model):
    """A bridge mapping of OVN: the physical network `localnet` is reached through `bridge`."""

    localnet: LocalnetName
    """The physical network's name, which the attachment repeats."""
    bridge: InterfaceName | None = None
    """The Open vSwitch bridge; the ovsBridge when left out."""


class NodeGroup(Model):
    """Nodes with the same NICs, and the layers upon these, from the bottom up: bond, VLAN, bridge. Each is optional.

    One NodeNetworkConfigurationPolicy is made of it. `mtu` and `baseMtu` are in bytes; NICs and the bond get
    `baseMtu`, what stands upon them `mtu`.
    """

    name: DnsLabel | None = None
    """The group's name, a part of the policy's; required where there are several."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels with their exact values; every node when left out."""
    bond: Bond | None = None
    """A bond of NICs."""
    vlan: Vlan | None = None
    """A VLAN interface upon the bond or a NIC."""
    bridge: LinuxBridge | None = None
    """A Linux bridge on top."""
    ovs_bridge: OvsBridge | None = None
    """An Open vSwitch bridge on top."""
    localnet: Localnet | None = None
    """A bridge mapping for an OVN localnet."""
    localnets: tuple[Localnet, ...] | None = Field(default=None, min_length=1)
    """Further bridge mappings: several localnets may lead through one bridge."""
    mtu: Mtu | None = None
    """Bytes, of the layers; the segment's when left out."""
    base_mtu: Mtu | None = None
    """Bytes, of NICs and bond, at least `mtu`; `mtu` when left out. Set it where others need larger packets."""
    max_unavailable: Annotated[Any, PlainValidator(_some_nodes), WithJsonSchema(_SOME_NODES)] | None = None
    """Nodes that change at a time, a number or a share; nmstate's 50% when left out."""

    @property
    def has_layers(self) -> bool:
        """Whether it makes anything."""
        return any((self.bond, self.vlan, self.bridge, self.ovs_bridge, self.mappings))

    def vlan_id(self, segment: Segment) -> int | None:
        """Return the tag that the VLAN interface puts on; None without one."""
        return None if self.vlan is None else self.vlan.id or segment.vlan

    @property
    def vlan_base(self) -> str | None:
        """What carries the VLAN interface: a NIC or the bond; None without a VLAN."""
        if self.vlan is None:
            return None
        return self.vlan.base_interface or (self.bond.name if self.bond else None)

    def vlan_name(self, segment: Segment) -> str | None:
        """Return the VLAN interface's name, at most 15 characters where the rules of the stack hold."""
        if self.vlan is None:
            return None
        return self.vlan.name or f"{self.vlan_base}.{self.vlan_id(segment)}"

    def below_bridge(self, segment: Segment) -> str | None:
        """Return the name of the topmost layer under a bridge; None when there is only a NIC."""
        return self.vlan_name(segment) or (self.bond.name if self.bond else None)

    def bridge_ports(self, segment: Segment) -> tuple[str, ...]:
        """Return the interfaces that are ports of the bridge, or of bonds inside it; none without a bridge."""
        bridge = self.bridge or self.ovs_bridge
        named = (
            (bridge.port,) if isinstance(bridge, LinuxBridge) else [name for _, name in bridge.named] if bridge else ()
        )
        below = (self.below_bridge(segment),) if bridge else ()
        return tuple(name for name in named if name) or tuple(name for name in below if name)

    def mtu_on(self, segment: Segment, *, base: bool = False) -> int | None:
        """Return the MTU, in bytes, of the layers, or of the NICs and the bond at their `base`; None without one."""
        upper = self.mtu or segment.mtu
        return (self.base_mtu or upper) if base else upper

    def top(self, segment: Segment) -> str | None:
        """Return the interface that pods attach to, or None when the group only maps a localnet to a bridge."""
        bridge = self.bridge or self.ovs_bridge
        return bridge.name if bridge else self.below_bridge(segment)

    @property
    def keyed_mappings(self) -> tuple[tuple[str, Localnet], ...]:
        """All its bridge mappings, each with its key."""
        one = [("localnet", self.localnet)] if self.localnet else []
        return (*one, *((f"localnets[{index}]", each) for index, each in enumerate(self.localnets or ())))

    @property
    def mappings(self) -> tuple[Localnet, ...]:
        """All its bridge mappings."""
        return tuple(each for _, each in self.keyed_mappings)

    def mapped_bridge(self, mapping: Localnet) -> str | None:
        """Return the bridge of one of its mappings; None when nothing names one."""
        return mapping.bridge or (self.ovs_bridge.name if self.ovs_bridge else None)

    def bridge_of(self, localnet: str) -> str | None:
        """Return the bridge that it maps a localnet to; None when it does not map it."""
        return next((self.mapped_bridge(each) for each in self.mappings if each.localnet == localnet), None)

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The interfaces that it names as something to build upon, each with its key."""
        bond = [(f"bond.ports[{index}]", port) for index, port in enumerate(self.bond.ports)] if self.bond else []
        layers = (
            ("vlan.baseInterface", self.vlan and self.vlan.base_interface),
            ("bridge.port", self.bridge and self.bridge.port),
            *((f"ovsBridge.{key}", name) for key, name in (self.ovs_bridge.named if self.ovs_bridge else ())),
        )
        return (*bond, *((key, name) for key, name in layers if name))

    def rules(self) -> Iterator[Finding]:
        """What must hold between the layers of one group."""
        if self.bridge and self.ovs_bridge:
            yield Finding(
                "ovsBridge",
                self.ovs_bridge.name,
                f"stands beside bridge {self.bridge.name}",
                "Keep one",
                code="uplink-two-bridges",
            )
        if self.vlan and self.vlan_base is None:
            yield Finding(
                "vlan.baseInterface",
                None,
                "is required without a bond",
                "Name the NIC, such as eth1",
                code="uplink-base-missing",
            )
        for key, bridge in (("bridge", self.bridge), ("ovsBridge", self.ovs_bridge)):
            ports = bridge.ports if isinstance(bridge, OvsBridge) else None
            if bridge and not (bridge.port or ports or self.bond or self.vlan):
                yield Finding(
                    f"{key}.port",
                    None,
                    "is required without a bond or vlan",
                    "Name the NIC, such as eth1",
                    code="uplink-base-missing",
                )
        yield from self._of_mappings()
        yield from self._of_macs()
        in_bond = set(self.bond.ports) if self.bond else set()
        for key, value in self.named:
            if value in in_bond and self.bond and not key.startswith("bond."):
                yield Finding(
                    key,
                    value,
                    f"is a port of bond {self.bond.name}, which takes all its traffic",
                    "Leave it out to use the bond",
                    code="uplink-port-shared",
                )
        if self.mtu and self.base_mtu and self.base_mtu < self.mtu:
            yield Finding(
                "baseMtu",
                self.base_mtu,
                f"is below mtu {self.mtu}; the kernel refuses it",
                "Raise it",
                code="uplink-base-mtu",
            )

    def _of_mappings(self) -> Iterator[Finding]:
        listed = self.keyed_mappings
        for index, (key, mapping) in enumerate(listed):
            if self.mapped_bridge(mapping) is None:
                yield Finding(
                    f"{key}.bridge",
                    None,
                    "is required without an ovsBridge",
                    "Name the bridge that leads to the segment",
                    code="uplink-localnet-bridge",
                )
            if any(mapping.localnet == other.localnet for _, other in listed[:index]):
                yield Finding(
                    f"{key}.localnet",
                    mapping.localnet,
                    "is mapped already",
                    "Map each once",
                    code="uplink-localnet-twice",
                )

    def _of_macs(self) -> Iterator[Finding]:
        """The address is read before anything is made: that of a NIC, not of a bond that is still to come."""
        made_here = {self.bond.name} if self.bond else set()
        nics = [name for _, name in self.named if name not in made_here]
        for key, layer in (("bond", self.bond), ("bridge", self.bridge)):
            source = layer and layer.copy_mac_from
            fitting = list(self.bond.ports) if key == "bond" and self.bond else nics
            if source is not None and source not in fitting:
                yield Finding(
                    f"{key}.copyMacFrom",
                    source,
                    "is none of the NICs below",
                    f"Choose {few(fitting)}" if fitting else "Leave it out",
                    code="uplink-mac-source",
                )


class Uplink(NodeGroup):
    """How the nodes reach the segment: one group written here, or several under `nodeGroups`, and no keys of a group.

    Several groups serve nodes with different NICs; all end in one interface name, since one attachment serves all.
    """

    node_groups: tuple[NodeGroup, ...] | None = Field(default=None, min_length=1)
    """The groups, where there are several."""
    wait_seconds: int = Field(default=900, ge=1, le=86400)
    """Seconds that a rollout to the nodes of a group may take before the attachment goes on."""

    @property
    def groups(self) -> tuple[NodeGroup, ...]:
        """All groups, in the order of the file."""
        return self.node_groups or (self,)

    def rules(self) -> Iterator[Finding]:
        """Either one group or several, each of them with layers, a name and a selector of its own."""
        yield from super().rules()
        if self.node_groups is None:
            yield from _empty(self, "")
            return
        given = self.model_fields_set - {"node_groups", "wait_seconds"}
        if own := sorted(str(type(self).model_fields[name].alias) for name in given):
            yield Finding(
                "nodeGroups",
                None,
                f"is combined with keys of a single group ({', '.join(own)})",
                "Move them into the groups",
                code="uplink-groups-mixed",
            )
        for index, group in enumerate(self.node_groups):
            key, before = f"nodeGroups[{index}]", self.node_groups[:index]
            yield from _empty(group, f"{key}.")
            if group.name is None:
                yield Finding(f"{key}.name", None, "is required", "Add it, such as workers", code="uplink-group-name")
            elif any(group.name == other.name for other in before):
                yield Finding(
                    f"{key}.name", group.name, "is another group's too", "Rename one", code="uplink-group-name"
                )
            for other in before:
                one, two = group.node_selector.items(), other.node_selector.items()
                if one <= two or two <= one:
                    yield Finding(
                        f"{key}.nodeSelector",
                        group.node_selector,
                        f"selects nodes of group {other.name} too; two policies would fight over them",
                        "Select other nodes, or merge the groups",
                        code="uplink-selector-same",
                    )


def _empty(group: NodeGroup, within: str) -> Iterator[Finding]:
    if not group.has_layers:
        yield Finding(
            f"{within}vlan",
            None,
            "is not there, nor is bond, bridge, ovsBridge or localnet: the uplink makes nothing",
            "Add one, such as vlan: {baseInterface: eth1}, or remove uplink",
            code="uplink-empty",
        )


def made(group: NodeGroup, segment: Segment) -> frozenset[str]:
    """Return the names of the interfaces that the group makes."""
    bridge = group.bridge or group.ovs_bridge
    names = (group.bond and group.bond.name, group.vlan_name(segment), bridge and bridge.name)
    return frozenset(name for name in names if name)


def uses(group: NodeGroup, segment: Segment) -> frozenset[str]:
    """Return the names of the NICs that the group builds upon: they are there before, and stay."""
    ports = group.bond.ports if group.bond else ()
    names = (*ports, group.vlan_base, *group.bridge_ports(segment))
    return frozenset(name for name in names if name) - made(group, segment)


def port_filters(group: NodeGroup) -> Iterator[tuple[str, VlanFilter]]:
    """Yield the ports of the group's bridge that say which VLANs pass, each with its key."""
    if group.bridge and (group.bridge.trunk or group.bridge.access):
        yield "bridge", group.bridge
    for index, port in enumerate((group.ovs_bridge and group.ovs_bridge.ports) or ()):
        if port.trunk or port.access:
            yield f"ovsBridge.ports[{index}]", port
