"""The nodes: whether each that needs the network has the NIC, the bridge or the mapping that leads to it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from config.attachment.localnet import OvnLocalnet
from config.attachment.tags import attachment_tags
from config.finding import FEW, Finding, Subject, few, rule
from config.rules.uplink_rules import (
    BRIDGED_REMEDY,
    LOSES,
    NOT_UNDER_A_BRIDGE,
    OVN_SHARES,
    SHARED_REMEDY,
    shares,
    tagging_key,
)
from config.uplink import made
from mignet.checks.preflight.links import Link, Place, Purpose, groups_of, links, mapped_bridge, places
from mignet.kube.kinds import NODE
from mignet.kube.network.nic_choice import TYPES
from mignet.kube.network.node_network import Node, passes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.finding import Severity
    from mignet.checks.preflight.seen import Seen
    from mignet.kube.network.node_network import Layer


@rule("handlers-none", severity="warning")
def handlers_none(seen: Seen) -> Iterator[Finding]:
    """Without a node that can run VMs there is nothing to attach, and nothing to check the NICs of."""
    nodes = [Node.read(node, None) for node in seen.all(NODE)]
    if not any(node.schedulable for node in nodes):
        yield Finding(
            "Node",
            None,
            f"has the label kubevirt.io/schedulable=true on none of {len(nodes)} nodes: none of them runs virt-handler",
            "See that KubeVirt is deployed, and where it may run",
        )


@rule("slice-short")
def slice_short(seen: Seen) -> Iterator[Finding]:
    """Each virt-handler, each sync controller and one pod beyond them need an address; a pod without one waits."""
    stack = seen.stack
    if "slice-too-small" in stack.waivers:
        return  # what is accepted for the number that the stack gives is accepted for the real one
    demand = seen.demand
    if demand is not None and stack.capacity is not None and stack.capacity < demand.total:
        yield Finding(
            "slice",
            ", ".join(map(str, stack.spans)),
            f"has {stack.capacity} addresses, and the cluster needs {demand.total} ({demand})",
            f"Set cluster.nodes: {demand.nodes}, and run mignet allocate {stack.name}",
        )


@rule("node-state-missing", severity="warning")
def node_state_missing(seen: Seen) -> Iterator[Finding]:
    """A node that nmstate does not report may have any NIC, or none."""
    syncs = seen.sync_controllers
    silent = [
        node
        for node in seen.nodes
        if not node.state and (node.schedulable or (syncs is not None and syncs.may_run_on(node)))
    ]
    if silent:
        yield Finding(
            _nodes(silent),
            None,
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
        yield Finding(
            _nodes(nodes),
            None,
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
        yield Finding(
            _nodes(nodes),
            None,
            f"{'has' if len(nodes) == 1 else 'have'} one NIC, and migrations need one of their own",
            "Add a second NIC, or keep virt-handler and the sync controller away from there",
            severity=severity,
        )


def _is_single(place: Place) -> bool:
    return place.node.ethernet_nics == 1


def _links(seen: Seen) -> Iterator[Link]:
    """Yield the links of nodes that have the NICs for them."""
    return (link for link in links(seen) if not _is_single(link.place))


@rule("nic-missing")
def nic_missing(seen: Seen) -> Iterator[Finding]:
    """One attachment serves all nodes: where no interface has its name, pods stay in ContainerCreating."""
    found = [
        (link, "is missing") for link in _links(seen) if link.purpose != "bridge" and not link.node.kind(link.name)
    ]
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
    found = []
    for link in _links(seen):
        if link.node.lists_ports(link.name) and not link.node.nics(link.name):
            # OVN's own patch port, and a bond that is gone, are ports that lead nowhere.
            ports = link.node.ports(link.name)
            found.append((link, "has no NIC as its port" + (f", only {few(ports)}" if ports else "")))
    yield from _told(seen, "bridge-without-nic", found, "Add the NIC for migration as its port")


@rule("localnet-unmapped")
def localnet_unmapped(seen: Seen) -> Iterator[Finding]:
    """OVN connects a localnet by the mapping of that name: without one, pods get addresses, and nothing flows."""
    attachment = seen.stack.attachment
    if not isinstance(attachment, OvnLocalnet):
        return
    by_severity: defaultdict[Severity, list[Node]] = defaultdict(list)
    for place in places(seen):
        if not _is_single(place) and mapped_bridge(seen.stack, place) is None:
            by_severity[place.severity].append(place.node)
    for severity, nodes in by_severity.items():
        yield Finding(
            _nodes(nodes),
            None,
            f"{'has' if len(nodes) == 1 else 'have'} no bridge mapping of localnet {attachment.physical_network}",
            "Map it with uplink.localnet, or correct attachment.physicalNetworkName",
            severity=severity,
        )


@rule("nic-type")
def nic_type(seen: Seen) -> Iterator[Finding]:
    """Each type of attachment has its own kind of interface; on another one, its pods do not start."""
    found = []
    for link in _links(seen):
        kind = link.node.kind(link.name)
        if kind == "ovs-bond" and link.purpose == "base":
            found.append((link, "is a bond of Open vSwitch, which has no device that the uplink could build upon"))
        elif kind and link.purpose != "base":
            fitting, words = _FITTING[link.purpose]
            if kind not in fitting:
                who = f"attachment.type {seen.stack.attachment.type}"
                found.append((link, f"is of type {kind}, and {who} takes {words}"))
    remedy = "Name another one, or choose another attachment.type (localnet takes bridges and bonds of Open vSwitch)"
    yield from _told(seen, "nic-type", found, remedy)


_FITTING: dict[Purpose, tuple[set[str], str]] = {
    # An internal port of Open vSwitch is a device as any other, as br-ex is; who carries what is another rule's matter.
    "master": (TYPES | {"ovs-interface"}, "a NIC, a VLAN interface, a bond or a Linux bridge"),
    "bridge": ({"linux-bridge"}, "a Linux bridge (an Open vSwitch bridge takes type localnet)"),
    "mapped": ({"ovs-bridge", "ovs-interface"}, "an Open vSwitch bridge (a Linux bridge takes type bridge)"),
}


@rule("nic-down")
def nic_down(seen: Seen) -> Iterator[Finding]:
    """Nothing passes a NIC that is down, and pods on it start all the same."""
    found = []
    for link in _links(seen):
        # nmstate brings up what the uplink builds upon.
        if link.interface is None or link.purpose == "base":
            continue
        nics = link.node.nics(link.name)
        if link.interface.get("state") != "up":
            found.append((link, f"is {link.interface.get('state', 'down')}"))
        elif nics and all((nic.facts or {}).get("state") == "down" for nic in nics):
            found.append((link, f"stands on {few(nic.name for nic in nics)} alone, which is down"))
    yield from _told(seen, "nic-down", found, "Bring it up, and see the cable and the switch")


@rule("nic-enslaved")
def nic_enslaved(seen: Seen) -> Iterator[Finding]:
    """A bridge or bond takes all traffic of its ports: nothing else on them sees any."""
    found = []
    for link in _links(seen):
        group = link.place.group
        ours = made(group, seen.stack.segment) if group else frozenset()
        masters = link.node.masters()
        master = masters.get(link.name)
        # A bond inside an Open vSwitch bridge is no interface: whose it is says the bridge.
        if master is None or {master, masters.get(master)} & ours or link.purpose not in {"master", "base"}:
            continue
        if link.node.kind(link.name) in {"ovs-interface", "ovs-bond"}:
            continue  # a bridge's own port is there for others to stand on; of a bond nic-type has said it
        # The kernel hands tagged frames to a VLAN interface before a bridge sees them.
        if not link.is_vlan_base or link.node.kind(master) in {"bond", "ovs-bond"}:
            found.append((link, f"is a port of {master}", link.node.kind(master) in {"ovs-bond", "ovs-bridge"}))
    in_ovs, elsewhere = ([(link, why) for link, why, ovs in found if ovs is of] for of in (True, False))
    yield from _told(seen, "nic-enslaved", elsewhere, "Attach to what it is a port of, or free it")
    yield from _told(
        seen, "nic-enslaved", in_ovs, "Free it, or use attachment.type localnet on the Open vSwitch bridge"
    )


@rule("nic-default-route")
def nic_default_route(seen: Seen) -> Iterator[Finding]:
    """Migrations fill the NIC they use, and a mistake on that of the default route takes the node off the network."""
    found = []
    for link in _links(seen):
        top = link.node.carries_default_route().get(link.name)
        # A port of a bond or a bridge is the matter of nic-enslaved, unless that is what has the route.
        is_port = link.name in link.node.masters() and link.name != top
        if top is not None and not is_port and not link.is_vlan_base:
            found.append((link, "has the default route" if top == link.name else f"carries the default route of {top}"))
    mapped = [(link, f"{why}: {OVN_SHARES}") for link, why in found if link.purpose == "mapped"]
    others = [(link, why) for link, why in found if link.purpose != "mapped"]
    remedy = "Accept it, or map the localnet to an OVS bridge with a NIC of its own"
    yield from _told(seen, "nic-default-route", mapped, remedy, severity="warning")
    yield from _told(seen, "nic-default-route", others, "Use another NIC")


@rule("default-route-shared")
def default_route_shared(seen: Seen) -> Iterator[Finding]:
    """A VLAN on what carries the default route works, and shares it: Red Hat's documents advise against it."""
    found = []
    for link in _links(seen):
        if link.is_vlan_base:
            top = link.node.carries_default_route().get(link.name)
            shared = None if top is None else (link.name, top)
        else:
            shared = link.node.shares_default_route(link.name)
        if shared is not None:
            found.append((link, shares(*shared, itself=link.name)))
    yield from _told(seen, "default-route-shared", found, SHARED_REMEDY, severity="warning")


@rule("nic-mtu")
def nic_mtu(seen: Seen) -> Iterator[Finding]:
    """A pod's interface cannot have a larger MTU than what it stands on: the plugin fails, or frames are dropped."""
    found: defaultdict[str, list[tuple[Link, str]]] = defaultdict(list)
    for link in _links(seen):
        if link.mtu is None:
            continue
        for layer in link.below:
            most = _mtu(link, layer)
            if most is not None and most[1] < link.mtu:
                of = "has" if layer.name == link.name else f"stands on {layer.name} with"
                remedy = (
                    f"Lower segment.mtu to {most[1]} or less for all clusters, or use another NIC"
                    if most[0]
                    else "Raise it on the nodes and at the switch, or lower segment.mtu for all clusters"
                )
                found[remedy].append((link, f"{of} MTU {most[0]}{most[1]}, and {link.mtu} is needed,"))
    for remedy, of_it in found.items():
        yield from _told(seen, "nic-mtu", of_it, remedy)


def _mtu(link: Link, layer: Layer) -> tuple[str, int] | None:
    """Return what an interface can carry, in bytes: its MTU, or the most that it can have where that is too little.

    A bridge's own MTU, and that of its internal port, are those of the node's own packets.
    """
    facts = layer.facts or {}
    if layer.kind in {"ovs-bridge", "ovs-interface"} and link.purpose != "master":
        return None
    if layer.kind == "linux-bridge" and link.purpose == "bridge":
        return None
    mtu, most = facts.get("mtu"), facts.get("max-mtu")
    # 0 stands for no limit.
    if most and int(most) < (link.mtu or 0):
        return "at most ", int(most)
    # The uplink gives what it builds upon the MTU that is needed.
    return None if mtu is None or link.purpose == "base" else ("", int(mtu))


@rule("nic-vlan")
def nic_vlan(seen: Seen) -> Iterator[Finding]:
    """A VLAN interface of another tag leads to another network; the pods find nobody there."""
    segment, tags = seen.stack.segment, attachment_tags(seen.stack.attachment, seen.stack.segment)
    found = []
    for link in _links(seen):
        for layer in link.below if segment.vlan is not None and not tags and not _added(seen, link) else ():
            tag = layer.facts and layer.facts.get("vlan", {}).get("id")
            if tag and layer.tags == (tag,) and tag != segment.vlan:
                of = "tags" if layer.name == link.name else f"stands on {layer.name}, which tags"
                found.append((link, f"{of} VLAN {tag}, and segment.vlan is {segment.vlan},"))
    yield from _told(seen, "nic-vlan", found, f"Use the interface of VLAN {segment.vlan}")


@rule("uplink-double-tag")
def double_tag(seen: Seen) -> Iterator[Finding]:
    """Either the attachment tags or an interface of the node does: two tags reach no other cluster."""
    tags = attachment_tags(seen.stack.attachment, seen.stack.segment)
    key, remedy = tagging_key(seen.stack.attachment)
    found = []
    for link in _links(seen):
        ours = _added(seen, link)
        for layer in link.below:
            if not layer.tags or not layer.facts or "vlan" not in layer.facts:
                continue
            on = "is a VLAN interface" if layer.name == link.name else f"stands on {layer.name}"
            if tags or ours:
                first = f"{key} tags with {few(tags)}" if tags else f"the uplink's VLAN interface tags with {ours[0]}"
                found.append((link, f"{on}, which tags with {layer.tags[-1]} what {first} already,"))
            elif len(layer.tags) > 1:
                found.append((link, f"{on}: tags {few(layer.tags)}, one inside the other,"))
    remedy = f"{remedy}, or use a bridge whose port is no VLAN interface" if tags else "Use one VLAN"
    yield from _told(seen, "uplink-double-tag", found, remedy)


def _added(seen: Seen, link: Link) -> tuple[int, ...]:
    """Return the tag that the uplink's own VLAN interface puts on what goes down through what it builds upon."""
    group = link.place.group
    tag = group.vlan_id(seen.stack.segment) if group and group.vlan and link.purpose == "base" else None
    return () if tag is None else (tag,)


@rule("uplink-trunk")
def trunk_passes(seen: Seen) -> Iterator[Finding]:
    """The bridge's port lets through what the attachment sends; anything else is dropped without a word."""
    of_attachment = attachment_tags(seen.stack.attachment, seen.stack.segment)
    found = []
    for link in _links(seen):
        inside = link.purpose in {"bridge", "mapped"}
        layers = {each.name: each for each in link.below}
        for layer in layers.values():
            bridge = layers.get(layer.above or "")
            if bridge is None or not layer.filter or not link.node.nics(layer.name):
                continue
            # What comes through a patch or an internal port of Open vSwitch may have got another tag there.
            only_tagged = all(each.kind == "vlan" for each in _above(bridge, layers))
            if bridge.name != link.name and not (bridge.kind == "linux-bridge" and only_tagged):
                continue
            # The outermost tag is the bridge's matter: that of a VLAN interface upon it, else what it is given.
            tags = bridge.tags[-1:] or (of_attachment if inside else _added(seen, link)) or (0,)
            missing = [tag for tag in tags if not passes(layer.filter, tag, kind=bridge.kind)]
            beside = [each for each in layers.values() if each.above == bridge.name and link.node.nics(each.name)]
            # Which of several ports leads to the segment, their filters say: another one is for something else.
            carried = any(all(passes(each.filter, tag, kind=bridge.kind) for tag in tags) for each in beside)
            if missing and not carried:
                whose = " of the attachment" if inside and not bridge.tags else ""
                what = f"VLAN {missing[0]}{whose}" if missing[0] else "untagged frames"
                has = "has" if bridge.name == link.name else f"stands on {bridge.name}, which has"
                passing = f"{_filter(layer.filter)}, which does not let {what} pass,"
                found.append((link, f"{has} port {layer.name}, {passing}"))
    yield from _told(seen, "uplink-trunk", found, "Add the VLAN to the port, or correct the attachment's")


def _above(layer: Layer, layers: Mapping[str, Layer]) -> Iterator[Layer]:
    """Yield what lies above an interface, up to the topmost."""
    while (above := layers.get(layer.above or "")) is not None:
        yield above
        layer = above


@rule("uplink-bond-bridged")
def bond_under_bridge(seen: Seen) -> Iterator[Finding]:
    """Under a bridge, a bond of modes 0, 3, 5, 6 loses frames: the switch learns addresses on the wrong port."""
    found = []
    for link in _links(seen):
        group = link.place.group
        bridged = link.purpose == "base" and group is not None and bool(group.bridge or group.ovs_bridge)
        layers = {each.name: each for each in link.below}
        for layer in layers.values():
            mode = ((layer.facts or {}).get("link-aggregation") or {}).get("mode")
            under = bridged or any(each.kind in {"linux-bridge", "ovs-bridge"} for each in _above(layer, layers))
            if mode in NOT_UNDER_A_BRIDGE and under:
                of = "is" if layer.name == link.name else f"stands on {layer.name},"
                found.append((link, f"{of} a bond of mode {mode}, which does not go with a bridge upon it: {LOSES}"))
    yield from _told(seen, "uplink-bond-bridged", found, BRIDGED_REMEDY, severity="warning")


def _filter(of: Mapping[str, Any]) -> str:
    """Say what a port's VLAN filter is."""
    if of.get("mode") == "access":
        return f"an access port of VLAN {of.get('tag')}"
    ranges = [each.get("id-range") for each in of.get("trunk-tags") or ()]
    ends = [f"{each['min']}-{each['max']}" if each else None for each in ranges]
    ids = [each.get("id") for each in of.get("trunk-tags") or ()]
    return f"a trunk of VLAN {few(end or number for end, number in zip(ends, ids, strict=True))}"


def _told(
    seen: Seen, code: str, found: Iterable[tuple[Link, str]], remedy: str, *, severity: Severity | None = None
) -> Iterator[Finding]:
    """Yield one finding for each interface and reason, with its nodes: hundreds of them have one mistake.

    What differs in numbers alone, of names and of values, is one too where there is much of it.
    """
    grouped: defaultdict[tuple[str, str, Severity, str], list[Node]] = defaultdict(list)
    for link, why in found:
        grouped[link.name, why, severity or link.place.severity, link.place.pods].append(link.node)
    alike: defaultdict[tuple[str, Severity, str], list[tuple[str, str]]] = defaultdict(list)
    for name, why, of_severity, pods in grouped:
        alike[re.sub(r"\d+", "#", f"{name} {why}"), of_severity, pods].append((name, why))
    for (_, of_severity, pods), those in alike.items():
        of_kind = {each: grouped[*each, of_severity, pods] for each in those}
        for (name, why), nodes in of_kind.items() if len(those) <= FEW else (next(iter(of_kind.items())),):
            where = f"{why} on {few(node.name for node in nodes)}"
            words, meant = f"NIC {name}", nodes
            if len(those) > FEW:
                where += f", and alike on {_others(of_kind)}"
                meant = [node for each in of_kind.values() for node in each]
            elif len(nodes) == 1:
                words, where = f"Node {nodes[0].name} NIC {name}", why.rstrip(",")
            key = Subject(words, kind="NIC", nodes=[node.name for node in meant], interface=name)
            yield Finding(
                key,
                None,
                f"{where}; {pods} may run there",
                remedy,
                code=code,
                severity=of_severity,
                stack=seen.stack.name,
            )


def _others(of_kind: Mapping[tuple[str, str], list[Node]]) -> str:
    """Say on how many nodes it is alike, with a few examples."""
    _, *rest = of_kind.items()
    examples = ", ".join(f"{name} of {nodes[0].name}" for (name, _), nodes in rest[:2])
    return f"{sum(len(nodes) for _, nodes in rest)} more nodes ({examples}, …)"


def _nodes(nodes: Iterable[Node]) -> Subject:
    listed = [node.name for node in nodes]
    return Subject(f"Node {few(listed)}", kind="Node", nodes=listed)


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
    default_route_shared,
    nic_mtu,
    nic_vlan,
    double_tag,
    trunk_passes,
    bond_under_bridge,
)
