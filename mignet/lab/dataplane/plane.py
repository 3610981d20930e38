"""All nodes of all clusters of a lab on one fabric, and what the faults do to it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mignet.kube.kinds import NODE, NODE_NETWORK_STATE, NODE_POLICY
from mignet.lab.dataplane.fabric import Fabric, Host, Port, Vlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
    from pathlib import Path

    from mignet.kube.kinds import Object
    from mignet.lab.operators.cluster_view import World

SYNC_PORT = 9185

CHANGES: dict[str, dict[str, Any]] = {
    "nic-unplugged": {"plugged": False},
    "nic-on-another-vlan": {"vlan": "stray"},
    "nic-small-mtu": {"mtu": 1500},
    "port-9185-blocked": {"blocked": ((SYNC_PORT, SYNC_PORT, 0),)},
    "ports-high-blocked": {"blocked": ((1024, 65535, SYNC_PORT),)},
}
"""What each fault does to the ports of its node."""

TWICE = "address-twice"

MOST_LETTERS = 15
"""The kernel's limit for the name of an interface."""


@dataclasses.dataclass
class Node:
    """A node on the fabric, and the bridges that its policies have made, with the NIC that is a port of each."""

    host: Host
    faults: frozenset[str] = frozenset()
    unheard: set[IPv4Address] = dataclasses.field(default_factory=set)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Stranger:
    """A foreign machine on the fabric with the address of a pod on a node."""

    host: Host
    node: Node
    address: IPv4Address


class Plane:
    """The data plane of one lab; `plugins` is the folder of the CNI plugins."""

    def __init__(self, plugins: Path) -> None:
        self.plugins = plugins
        self.fabric = Fabric()
        self._nodes: dict[tuple[str, str], Node] = {}
        self._strangers: dict[str, Stranger] = {}
        self._router: Host | None = None
        self._gateways: dict[tuple[IPv4Address | IPv6Address, Vlan], str] = {}

    def close(self) -> None:
        """Let go of all of it."""
        for owner in list(self._strangers):
            self.leave(owner)
        for node in self._nodes.values():
            node.host.close()
        if self._router:
            self._router.close()
        self.fabric.close()

    def follow(self, world: World, cluster: str) -> None:
        """Have the nodes of a cluster on the fabric, each with its NICs, and its faults in effect."""
        for found in world.all(NODE):
            name = found["metadata"]["name"]
            if (cluster, name) not in self._nodes:
                state = world.one(NODE_NETWORK_STATE, name)
                if state is None:
                    continue
                node = self._nodes[cluster, name] = Node(Host(self.fabric))
                for nic in _nics(state):
                    self._plug(node, nic["name"], nic, None, mac=nic["mac-address"])
            node = self._nodes[cluster, name]
            if node.faults != (faults := frozenset(self.faults_of(world, name))):
                node.faults = faults
                _apply(node)

    def node(self, cluster: str, name: str) -> Node | None:
        """Return a node, None when the fabric has none of that name."""
        return self._nodes.get((cluster, name))

    def faults_of(self, world: World, name: str) -> Iterator[str]:
        """Yield the faults of the fabric that are about a node: by its name, else it is the last one for pods."""
        found = world.all(NODE)
        names = sorted(each["metadata"]["name"] for each in found if not each["spec"].get("taints"))
        for fault in (*CHANGES, TWICE):
            about = world.faults.get(fault)
            if about is not None and name == (about or (names[-1] if names else None)):
                yield fault

    def prepare(self, world: World, node: Node, config: dict[str, Any]) -> Vlan:
        """Make on a node what an attachment attaches to, if a policy declares it, and return its VLAN."""
        name = str(config.get("master") or config.get("bridge") or "")
        tag: Vlan = config.get("vlan") or None
        declared = _declared(world)
        if name not in node.host.nics and name in declared:
            if declared[name]["type"] == "linux-bridge":
                self._bridge(node, name, declared[name], tag)
            else:
                self._plug(node, name, declared[name], _tag(declared, name))
        # Somebody else's VLAN may have been on it before.
        if name in node.bridges:
            nic = node.bridges[name]
            node.host.plug(nic, dataclasses.replace(node.host.nics[nic], vlan=tag))
            return tag
        return node.host.nics[name].vlan if name in node.host.nics else tag

    def have_gateway(
        self, gateway: IPv4Address | IPv6Address, pod: Iterable[IPv4Interface | IPv6Interface], vlan: Vlan
    ) -> None:
        """Have the one router of the lab at a site's gateway: where pods with these addresses have their routes to."""
        network = next((each.network for each in pod if gateway in each.network), None)
        if network is None or (gateway, vlan) in self._gateways:
            return
        if self._router is None:
            self._router = Host(self.fabric)
            self._router.space.setting("ipv4.ip_forward", 1)
            self._router.space.setting("ipv6.conf.all.forwarding", 1)
            # Sites may share a VLAN here: each NIC answers for its own address alone.
            self._router.space.setting("ipv4.conf.all.arp_ignore", 1)
        nic = f"site{len(self._gateways)}"
        self._router.plug(nic, Port(vlan=vlan))
        nodad = " nodad" if gateway.version == 6 else ""
        self._router.space.ip(f"address add {gateway}/{network.prefixlen} dev {nic}{nodad}")
        self._gateways[gateway, vlan] = nic

    def impersonate(self, owner: str, node: Node, given: IPv4Interface, vlan: Vlan) -> None:
        """Have a foreign machine with the address of the pod `owner` on a node, until that is gone.

        Who is heard first is a matter of luck; here, it is always the foreign machine.
        """
        if owner not in self._strangers:
            stranger = self._strangers[owner] = Stranger(Host(self.fabric), node, given.ip)
            stranger.host.plug("eth0", Port(vlan=vlan))
            stranger.host.space.ip(f"address add {given} dev eth0")
            node.unheard.add(given.ip)
            _apply(node)

    def leave(self, owner: str) -> None:
        """Remove the foreign machine that has a pod's address, if there is one."""
        if stranger := self._strangers.pop(owner, None):
            stranger.host.close()
            stranger.node.unheard.discard(stranger.address)
            _apply(stranger.node)

    def _plug(self, node: Node, name: str, found: Object, vlan: Vlan, *, mac: str | None = None) -> None:
        node.host.plug(name, Port(vlan=vlan), mac=mac)
        if "mtu" in found:
            node.host.space.ip(f"link set {name} mtu {found['mtu']}")

    def _bridge(self, node: Node, name: str, found: Object, vlan: Vlan) -> None:
        if name not in node.bridges:
            # Not the NIC of that name itself: others may use it without a bridge.
            nic = f"up-{name}"[:MOST_LETTERS]
            self._plug(node, nic, found, vlan)
            node.host.space.ip(
                f"link add name {name} type bridge mcast_snooping 0",
                f"link set {nic} master {name}",
                f"link set {name} up",
            )
            node.bridges[name] = nic


def _apply(node: Node) -> None:
    """Have the faults of a node in effect, and those of before no more."""
    changes: dict[str, Any] = {"unheard": frozenset(node.unheard)}
    for fault in sorted(node.faults & CHANGES.keys()):
        blocked = changes.get("blocked", ()) + CHANGES[fault].get("blocked", ())
        changes |= CHANGES[fault] | ({"blocked": blocked} if blocked else {})
    node.host.disturb(**changes)


def _nics(state: Object) -> Iterator[Object]:
    """Yield the NICs that a node reports, without that of its default route."""
    current = state.get("status", {}).get("currentState", {})
    routes = current.get("routes", {}).get("running", ())
    default = {each["next-hop-interface"] for each in routes if each["destination"] in {"0.0.0.0/0", "::/0"}}
    for each in current.get("interfaces", ()):
        if each["type"] == "ethernet" and each["name"] not in default:
            yield each


def _declared(world: World) -> dict[str, Object]:
    """Return the interfaces that policies want, by their names."""
    return {
        each["name"]: each
        for policy in world.all(NODE_POLICY)
        for each in policy["spec"].get("desiredState", {}).get("interfaces", ())
        if each.get("state", "up") == "up"
    }


def _tag(declared: dict[str, Object], name: str) -> Vlan:
    """Return the VLAN of an interface: its own, None when it is a bond."""
    found = declared[name].get("vlan", {}).get("id")
    return int(found) if found is not None else None
