"""The nodes: whether each that needs the network has the NIC, the bridge or the mapping that leads to it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from config.attachment import Localnet
from config.demand import SURGE, SYNC_CONTROLLERS
from config.findings import Finding, rule
from config.uplink import made
from mignet.kinds import NODE
from mignet.nics import TYPES, Node
from mignet.preflight.links import Link, Place, groups_of, is_control_plane, links, mapped_bridge, places
from mignet.preflight.seen import Seen, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.findings import Severity


@rule("handlers-none")
def handlers_none(seen: Seen) -> Iterator[Finding]:
    """Without a node that can run VMs there is nothing to attach, and nothing to check the NICs of."""
    nodes = [Node.read(node, None) for node in seen.all(NODE)]
    if not any(node.schedulable for node in nodes):
        yield seen.finding(
            "warning",
            "handlers-none",
            "Node",
            f"has the label kubevirt.io/schedulable=true on none of {len(nodes)} nodes: none of them runs virt-handler",
            "See that KubeVirt is deployed, and where it may run",
        )


@rule("slice-short")
def slice_short(seen: Seen) -> Iterator[Finding]:
    """Each virt-handler, both sync controllers and one pod beyond them need an address; a pod without one waits."""
    stack = seen.stack
    if "slice-too-small" in stack.waivers:
        return  # what is accepted for the number that the stack gives is accepted for the real one
    handlers = sum(Node.read(node, None).schedulable for node in seen.all(NODE))
    controllers = 0 if stack.cluster.cross_cluster is False else SYNC_CONTROLLERS
    demand = handlers + controllers + SURGE
    if handlers and stack.capacity is not None and stack.capacity < demand:
        yield seen.finding(
            "error",
            "slice-short",
            "slice",
            f"has {stack.capacity} addresses, and the cluster needs {demand}: {handlers} nodes + {controllers} sync"
            f" controllers + {SURGE} during a rollout",
            f"Set cluster.nodes: {handlers}, and run mignet allocate {stack.name}",
            value=", ".join(map(str, stack.spans)),
        )


@rule("node-state-missing")
def node_state_missing(seen: Seen) -> Iterator[Finding]:
    """A node that nmstate does not report may have any NIC, or none."""
    silent = [node for node in seen.nodes if not node.state and (node.schedulable or is_control_plane(node))]
    if silent:
        yield seen.finding(
            "warning",
            "node-state-missing",
            _nodes(silent),
            "is not reported by kubernetes-nmstate, so that its NICs are not checked"
            if len(silent) == 1
            else "are not reported by kubernetes-nmstate, so that their NICs are not checked",
            "See that its handler runs there",
        )


@rule("node-selected-twice")
def node_selected_twice(seen: Seen) -> Iterator[Finding]:
    """Two policies that take one node in undo each other's interfaces."""
    twice = defaultdict(list)
    for node in seen.nodes:
        groups = groups_of(seen.stack, node)
        if len(groups) > 1:
            twice[" and ".join(str(group.name) for group in groups)].append(node)
    for groups_, nodes in twice.items():
        rule_ = f"selected by the groups {groups_}, whose policies would fight over it"
        yield seen.finding(
            "error",
            "node-selected-twice",
            _nodes(nodes),
            f"{'is' if len(nodes) == 1 else 'are'} {rule_}",
            "Correct uplink.nodeGroups, or the labels",
        )


@rule("nic-single")
def nic_single(seen: Seen) -> Iterator[Finding]:
    """Migrations fill the NIC they use: on the only one, they starve the cluster's own traffic."""
    single = [place for place in places(seen) if _is_single(place)]
    by_severity: defaultdict[Severity, list[Node]] = defaultdict(list)
    for place in single:
        by_severity[place.severity].append(place.node)
    for severity, nodes in by_severity.items():
        yield seen.finding(
            severity,
            "nic-single",
            _nodes(nodes),
            f"{'has' if len(nodes) == 1 else 'have'} one NIC, and migrations need one of their own",
            "Add a second NIC, or keep virt-handler and the sync controller away from there",
        )


def _is_single(place: Place) -> bool:
    found = [each for each in place.node.state.get("interfaces", ()) if each.get("type") == "ethernet"]
    return len(found) == 1


def _links(seen: Seen) -> Iterator[Link]:
    """Yield the links of nodes that have the NICs for them."""
    return (link for link in links(seen) if not _is_single(link.place))


@rule("nic-missing")
def nic_missing(seen: Seen) -> Iterator[Finding]:
    """One attachment serves all nodes: where no interface has its name, pods stay in ContainerCreating."""
    found = [(link, "is missing") for link in _links(seen) if link.interface is None and link.purpose != "bridge"]
    remedy = "Use a name that every node has, or let the uplink make one (docs/uplinks.md)"
    yield from _told(seen, "nic-missing", found, remedy)


@rule("bridge-missing")
def bridge_missing(seen: Seen) -> Iterator[Finding]:
    """The plugin makes a bridge that is missing, without any uplink: pods get addresses, and nothing flows."""
    found = [
        (link, "is missing, and would be made without a NIC as its port")
        for link in _links(seen)
        if link.interface is None and link.purpose == "bridge"
    ]
    yield from _told(seen, "bridge-missing", found, "Make it with the uplink, or on the nodes")


@rule("bridge-without-nic")
def bridge_without_nic(seen: Seen) -> Iterator[Finding]:
    """A bridge without a NIC as its port connects the pods of one node, and nothing else."""
    found = [
        (link, "has no NIC as its port")
        for link in _links(seen)
        if link.interface is not None and link.purpose in {"bridge", "mapped"} and not link.ports
    ]
    yield from _told(seen, "bridge-without-nic", found, "Add the NIC for migration as its port")


@rule("localnet-unmapped")
def localnet_unmapped(seen: Seen) -> Iterator[Finding]:
    """OVN connects a localnet by the mapping of that name: without one, pods get addresses, and nothing flows."""
    attachment = seen.stack.attachment
    if not isinstance(attachment, Localnet):
        return
    by_severity: defaultdict[Severity, list[Node]] = defaultdict(list)
    for place in places(seen):
        if not _is_single(place) and mapped_bridge(seen.stack, place) is None:
            by_severity[place.severity].append(place.node)
    for severity, nodes in by_severity.items():
        yield seen.finding(
            severity,
            "localnet-unmapped",
            _nodes(nodes),
            f"{'has' if len(nodes) == 1 else 'have'} no bridge mapping of localnet {attachment.physical_network}",
            "Map it with uplink.localnet, or correct attachment.physicalNetworkName",
        )


@rule("nic-type")
def nic_type(seen: Seen) -> Iterator[Finding]:
    """Macvlan and ipvlan sit on a NIC, a VLAN or a bond, a bridge attachment on a Linux bridge; on nothing else."""
    found = []
    for link in _links(seen):
        kind = (link.interface or {}).get("type")
        if kind is None:
            continue
        if link.purpose == "bridge":
            fits = kind == "linux-bridge"
        elif link.purpose == "mapped":
            fits = kind in {"ovs-bridge", "ovs-interface"}
        else:
            fits = kind in TYPES
        if not fits:
            found.append((link, f"is of type {kind}, which an attachment of this type cannot use"))
    yield from _told(seen, "nic-type", found, "Name another one, or choose another attachment.type")


@rule("nic-down")
def nic_down(seen: Seen) -> Iterator[Finding]:
    """Nothing passes a NIC that is down, and pods on it start all the same."""
    found = [
        (link, f"is {link.interface.get('state', 'down')}")
        for link in _links(seen)
        # nmstate brings up what the uplink builds upon.
        if link.interface is not None and link.purpose != "base" and link.interface.get("state") != "up"
    ]
    yield from _told(seen, "nic-down", found, "Bring it up, and see the cable and the switch")


@rule("nic-enslaved")
def nic_enslaved(seen: Seen) -> Iterator[Finding]:
    """A bridge or bond takes all traffic of its ports: nothing else on them sees any."""
    found = []
    for link in _links(seen):
        group = link.place.group
        ours = made(group, seen.stack.segment) if group else frozenset()
        master = link.node.masters().get(link.name)
        if master is not None and master not in ours and link.purpose in {"master", "base"}:
            found.append((link, f"is a port of {master}"))
    yield from _told(seen, "nic-enslaved", found, "Attach to what it is a port of, or free it")


@rule("nic-default-route")
def nic_default_route(seen: Seen) -> Iterator[Finding]:
    """Migrations fill the NIC they use, and a mistake on that of the default route takes the node off the network."""
    found = []
    for link in _links(seen):
        top = link.node.carries_default_route().get(link.name)
        # A port of a bond or a bridge is the matter of nic-enslaved, unless that is what has the route.
        if top is not None and link.name not in link.node.masters():
            found.append((link, "has the default route" if top == link.name else f"carries the default route of {top}"))
    # OVN shares its bridge with the cluster's own traffic by design; slow, but nothing breaks.
    for severity in ("error", "warning"):
        of_it = [(link, why) for link, why in found if _default_route_severity(link) == severity]
        yield from _told(seen, "nic-default-route", of_it, "Use another NIC", severity=severity)


def _default_route_severity(link: Link) -> Severity:
    return "warning" if link.purpose == "mapped" else link.place.severity


@rule("nic-mtu")
def nic_mtu(seen: Seen) -> Iterator[Finding]:
    """A pod's interface cannot have a larger MTU than what it stands on: the plugin fails, or frames are dropped."""
    found = []
    for link in _links(seen):
        for name in link.ports if link.purpose in {"bridge", "mapped"} else (link.name,):
            interface = link.node.interfaces.get(name, {})
            key = "max-mtu" if link.purpose == "base" else "mtu"
            mtu = interface.get(key)
            if link.mtu is not None and mtu is not None and mtu < link.mtu:
                of = f"has port {name} with" if name != link.name else "has"
                most = "at most " if link.purpose == "base" else ""
                found.append((link, f"{of} MTU {most}{mtu}, and {link.mtu} is needed,"))
    remedy = "Raise it on the nodes and at the switch, or lower segment.mtu for all clusters"
    yield from _told(seen, "nic-mtu", found, remedy)


@rule("nic-vlan")
def nic_vlan(seen: Seen) -> Iterator[Finding]:
    """A VLAN interface of another tag leads to another network; the pods find nobody there."""
    segment = seen.stack.segment
    found = []
    for link in _links(seen):
        tag = (link.interface or {}).get("vlan", {}).get("id")
        if link.purpose == "master" and segment.vlan is not None and tag not in {None, segment.vlan}:
            found.append((link, f"tags VLAN {tag}, and segment.vlan is {segment.vlan},"))
    yield from _told(seen, "nic-vlan", found, f"Use the interface of VLAN {segment.vlan}")


def _told(
    seen: Seen, code: str, found: Iterable[tuple[Link, str]], remedy: str, *, severity: Severity | None = None
) -> Iterator[Finding]:
    """Yield one finding for each interface and reason, with its nodes: hundreds of them have one mistake."""
    grouped: defaultdict[tuple[str, str, Severity, str], list[Node]] = defaultdict(list)
    for link, why in found:
        grouped[link.name, why, severity or link.place.severity, link.place.pods].append(link.node)
    for (name, why, of_severity, pods), nodes in grouped.items():
        if len(nodes) == 1:
            key, rule_ = f"Node {nodes[0].name} NIC {name}", f"{why.rstrip(',')}; {pods} may run there"
        else:
            key, rule_ = f"NIC {name}", f"{why} on {names(node.name for node in nodes)}; {pods} may run there"
        yield seen.finding(of_severity, code, key, rule_, remedy)


def _nodes(nodes: Iterable[Node]) -> str:
    return f"Node {names(node.name for node in nodes)}"


RULES = (
    handlers_none,
    slice_short,
    node_state_missing,
    node_selected_twice,
    nic_single,
    nic_missing,
    bridge_missing,
    bridge_without_nic,
    localnet_unmapped,
    nic_type,
    nic_down,
    nic_enslaved,
    nic_default_route,
    nic_mtu,
    nic_vlan,
)
