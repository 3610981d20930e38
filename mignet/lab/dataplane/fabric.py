"""The fabric: one switch that the NICs of all clusters' nodes are plugged into, and what may be wrong with a port."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from mignet.lab.dataplane import filters
from mignet.lab.dataplane.namespaces import Namespace

if TYPE_CHECKING:
    from ipaddress import IPv4Address

Vlan = int | str | None
"""A VLAN's number; None for frames without a tag; a word for one that nobody meant."""

JUMBO = 9000
"""The MTU of a port of the fabric, in bytes."""

TAG = 4
"""Bytes by which the kernel lets a frame be longer than a bridge's port allows: there may be a VLAN tag in it."""


@dataclasses.dataclass(frozen=True)
class Port:
    """How a port of the fabric is set: whether its cable is in, its VLAN, its MTU in bytes, and what does not pass it.

    `blocked` are TCP ports that nobody can connect to, as (first, last, but), both inclusive; `unheard` addresses which
    the host behind the port cannot say are its own.
    """

    vlan: Vlan = None
    plugged: bool = True
    mtu: int = JUMBO
    blocked: tuple[tuple[int, int, int], ...] = ()
    unheard: frozenset[IPv4Address] = frozenset()


class Fabric:
    """A switch in a namespace of its own. A VLAN is a bridge: what is in another one is not heard."""

    def __init__(self) -> None:
        self._space = Namespace()
        self._space.setting("ipv6.conf.default.disable_ipv6", 1)
        # Filters for hosts would see, and put together again, the frames that pass.
        for family in ("iptables", "ip6tables", "arptables"):
            self._space.setting(f"bridge.bridge-nf-call-{family}", 0)
        self._numbers = itertools.count()
        self._vlans: dict[Vlan, str] = {}
        self._ports: dict[str, Port] = {}

    def connect(self, host: Namespace, nic: str, port: Port, *, mac: str | None = None) -> str:
        """Give `host` a NIC on the fabric, up, and return the name of the port it is plugged into."""
        name = f"port{next(self._numbers)}"
        address = f"address {mac}" if mac else ""
        self._space.ip(
            f"link add name {name} mtu {JUMBO - TAG} type veth peer name {nic} {address} mtu {JUMBO} netns {host.path}",
            f"link set {name} master {self._bridge(port.vlan)}",
            f"link set {name} up",
        )
        self._space.run("tc", "qdisc", "add", "dev", name, "clsact")
        host.ip(f"link set {nic} up")
        self._ports[name] = Port(vlan=port.vlan)
        self.set(name, port)
        return name

    def disconnect(self, port: str) -> None:
        """Take a NIC away from its host, with its port."""
        self._space.ip(f"link delete {port}")
        del self._ports[port]

    def set(self, name: str, wanted: Port) -> None:
        """Set a port as it is wanted, as far as it is not."""
        there = self._ports[name]
        lines = []
        if wanted.vlan != there.vlan:
            lines.append(f"link set {name} master {self._bridge(wanted.vlan)}")
        if wanted.mtu != there.mtu:
            lines.append(f"link set {name} mtu {wanted.mtu - TAG}")
        if wanted.plugged != there.plugged:
            lines.append(f"link set {name} {'up' if wanted.plugged else 'down'}")
        if lines:
            self._space.ip(*lines)
        if (wanted.blocked, wanted.unheard) != (there.blocked, there.unheard):
            self._filter(name, wanted)
        self._ports[name] = wanted

    def close(self) -> None:
        """Let go of it: the NICs of its hosts go with it."""
        self._space.close()

    def _bridge(self, vlan: Vlan) -> str:
        if vlan not in self._vlans:
            name = f"vlan{len(self._vlans)}"
            # Nothing is learned by listening to who wants which multicast: the first packets would wait for it.
            self._space.ip(f"link add name {name} type bridge mcast_snooping 0", f"link set {name} up")
            self._vlans[vlan] = name
        return self._vlans[vlan]

    def _filter(self, name: str, wanted: Port) -> None:
        ports = [filters.without_ports(first, last, but=but) for first, last, but in wanted.blocked]
        claims = [filters.without_claims(address) for address in sorted(wanted.unheard)]
        for direction, programs in (("ingress", ports + claims), ("egress", ports)):
            self._space.run("tc", "filter", "delete", "dev", name, direction)
            for program in programs:
                filtered = ["bpf", "direct-action", "bytecode", program]
                self._space.run("tc", "filter", "add", "dev", name, direction, *filtered)


class Host:
    """A machine on the fabric: a namespace, and its NICs."""

    def __init__(self, fabric: Fabric) -> None:
        self.space = Namespace()
        self.nics: dict[str, Port] = {}
        """How the port of each NIC is meant to be set."""
        self._ports: dict[str, str] = {}
        self._fabric = fabric
        self._changes: dict[str, Any] = {}

    def plug(self, nic: str, port: Port, *, mac: str | None = None) -> None:
        """Give it a NIC on the fabric, or set the port of the one that it has of that name."""
        if nic not in self._ports:
            self._ports[nic] = self._fabric.connect(self.space, nic, port, mac=mac)
        self.nics[nic] = port
        self._set(nic)

    def disturb(self, **changes: Any) -> None:
        """Set the ports of its NICs, and of those to come, as they are meant to be but for these fields of `Port`."""
        self._changes = changes
        for nic in self._ports:
            self._set(nic)

    def close(self) -> None:
        """Let go of it, and take its NICs away."""
        for port in self._ports.values():
            self._fabric.disconnect(port)
        self._ports.clear()
        self.space.close()

    def _set(self, nic: str) -> None:
        self._fabric.set(self._ports[nic], dataclasses.replace(self.nics[nic], **self._changes))
