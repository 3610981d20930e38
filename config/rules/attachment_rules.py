"""What must hold between the attachment and the segment, beyond the keys of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.address_share import parts_of
from config.attachment import Bridge, ClusterUserDefinedNetwork, Ipvlan, Localnet, Macvlan
from config.attachment.ipam import Dhcp
from config.attachment.localnet import OvnLocalnet
from config.attachment.user_network import MOST_EXCLUDES
from config.finding import Finding, Rule, few, rule
from config.sites import SiteSegment
from config.types.addressing import AddressRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.attachment import AnyAttachment
    from config.rules.draft import Draft


@rule("ipvlan-l3")
def _ipvlan_is_reachable(draft: Draft) -> Iterator[Finding]:
    """An ipvlan interface in a routing mode answers no ARP and no neighbour solicitation, so nobody finds the pods."""
    attachment = draft.attachment
    if isinstance(attachment, Ipvlan) and attachment.mode != "l2":
        yield Finding(
            "attachment.mode",
            attachment.mode,
            "answers no ARP, so that other nodes reach a pod only by a route to each address, which nobody makes",
            "Use l2",
        )


@rule("macvlan-mode", severity="warning")
def _macvlan_pods_see_each_other(draft: Draft) -> Iterator[Finding]:
    """Only in mode bridge do the pods of one node, virt-handler and the synchronization controller, share the NIC."""
    attachment = draft.attachment
    if isinstance(attachment, Macvlan) and attachment.mode != "bridge":
        yield Finding(
            "attachment.mode",
            attachment.mode,
            _APART[attachment.mode],
            "Use bridge, or waive this rule with the reason",
        )


_APART = {
    "private": "keeps the pods of one node apart: virt-handler and the synchronization controller there never meet",
    "vepa": "needs a switch that sends packets back out of the port they came in on, for the pods of one node to meet",
    "passthru": "gives the NIC to one pod of a node: virt-handler or the synchronization controller, not both",
}


@rule("localnet-vlan-differs")
def _localnet_uses_the_segments_vlan(draft: Draft) -> Iterator[Finding]:
    """OVN tags by itself, with the segment's VLAN."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or segment.vlan is None or not isinstance(attachment, OvnLocalnet) or not attachment.vlan_id:
        return
    if attachment.vlan_id != segment.vlan:
        yield Finding(
            "attachment.vlanID",
            attachment.vlan_id,
            f"is not segment.vlan {segment.vlan}; this cluster would be alone on its VLAN",
            "Leave it out to use the segment's",
        )


@rule("vlan-trunk-misses")
def _trunk_carries_the_segments_vlan(draft: Draft) -> Iterator[Finding]:
    """A port of a Linux bridge that has no tag of its own and lets only other VLANs through carries no migration."""
    segment, bridge = draft.segment, draft.attachment
    if segment is not None and segment.vlan is not None and _misses(bridge, segment.vlan):
        yield Finding(
            "attachment.vlanTrunk",
            None,
            f"does not let segment.vlan {segment.vlan} through, so that no packet of a migration passes",
            f"Write vlan: {segment.vlan} for what pods send untagged, or add {{id: {segment.vlan}}}",
        )


def _misses(bridge: AnyAttachment | None, vlan: int) -> bool:
    if not isinstance(bridge, Bridge) or bridge.vlan or bridge.vlan_trunk is None:
        return False
    return not any(vlan in item.vlans for item in bridge.vlan_trunk)


@rule("vlan-untagged", severity="warning")
def _somebody_tags(draft: Draft) -> Iterator[Finding]:
    """The segment's VLAN is put on by the attachment, or by the uplink of the bridge that it leads to."""
    segment, attachment = draft.segment, draft.attachment
    # An uplink that is declared says itself whether it tags.
    if segment is None or segment.vlan is None or draft.uplink is not None or _misses(attachment, segment.vlan):
        return
    match attachment:
        case Bridge(vlan=None | 0 as given):
            key = "vlan"
        case OvnLocalnet(vlan_id=0 as given):
            key = "vlanID"
        case _:
            return
    yield Finding(
        f"attachment.{key}",
        given,
        f"{'is not set' if given is None else 'means no tag'}, so packets reach segment.vlan {segment.vlan} only if the"
        " uplink of the bridge tags them (a VLAN interface as its port, or an access port of the switch)",
        f"Write {segment.vlan} where the uplink is a trunk, or waive this rule with the reason",
    )


@rule("localnet-window")
def _slice_is_known_to_ovn(draft: Draft) -> Iterator[Finding]:
    """OVN's allocator knows the first 65,535 addresses of an IPv6 subnet, and gives none of a slice beyond them."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or not isinstance(attachment, OvnLocalnet):
        return
    for part in parts_of(segment, draft.slices):
        window = attachment.ipam.window(part.subnet)
        if part.is_slice and part.span.last in part.subnet and part.span.last not in window:
            yield Finding(
                part.key,
                str(part.span),
                f"goes beyond {AddressRange(window.first + 1, window.last)}, which is all that OVN hands out of an IPv6"
                " subnet",
                "Move the slice",
            )


@rule("localnet-empty")
def _localnet_has_addresses(draft: Draft) -> Iterator[Finding]:
    """Gateway and reserved addresses leave something for pods."""
    segment, attachment = draft.segment, draft.attachment
    # A slice that is outside or holds reserved addresses has a finding of its own.
    if segment is None or draft.slices or not isinstance(attachment, OvnLocalnet):
        return
    if attachment.ipam.hands_out(segment, ()) == 0:
        yield Finding(
            "segment.reserved",
            None,
            "leaves no address for pods: gateway and reserved ones take the whole subnet",
            "Reserve less",
        )


@rule("localnet-rename", severity="warning")
def _localnet_keeps_its_books(draft: Draft) -> Iterator[Finding]:
    """OVN keeps its books by network: the new one of a rename would give what pods on the old one still have."""
    attachment = draft.attachment
    if isinstance(attachment, Localnet) and attachment.rollout == "rename":
        yield Finding(
            "attachment.rollout",
            "rename",
            "makes a second OVN network, which knows nothing of the addresses that pods on the first one hold: up"
            " refuses a change that leaves the slice where it is",
            "Change the slice together with the attachment, to a part that is free",
        )


@rule("cudn-excludes")
def _excludes_find_room(draft: Draft) -> Iterator[Finding]:
    """The API takes at most 25 excludeSubnets, and a slice between odd addresses of a wide subnet needs more."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or not isinstance(attachment, ClusterUserDefinedNetwork) or not draft.parts:
        return
    count = len(attachment.excluded(segment, draft.slices))
    if count <= MOST_EXCLUDES:
        return
    if attachment.exclude_subnets is not None:
        key, remedy = "attachment.excludeSubnets", "Exclude less, in larger blocks"
    elif draft.slices and (fit := attachment.fitting(segment, draft.slices)):
        nearest = " and ".join(str(each.span) for each in fit)
        key, remedy = "slice", f"The nearest inside it that fits is {nearest}"
    elif draft.slices:
        key, remedy = "slice", "Begin and end it at multiples of a power of two, and reserve whole blocks"
    else:
        key, remedy = "segment.reserved", "Reserve less, or whole blocks"
    rule_ = f"takes {count} excludeSubnets, and a ClusterUserDefinedNetwork may have {MOST_EXCLUDES}"
    spans = ", ".join(str(each.span) for each in draft.slices) or None
    yield Finding(key, spans if key == "slice" else None, rule_, remedy)


@rule("cudn-excludes-differ")
def _excludes_leave_the_slice(draft: Draft) -> Iterator[Finding]:
    """Blocks that are written out leave what the slice says, no more and no less: everything else counts by it."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or not isinstance(attachment, ClusterUserDefinedNetwork) or not draft.parts:
        return
    written = attachment.exclude_subnets
    if written is None:
        return
    for part in draft.parts:
        spared = [AddressRange.all_of(block) for block in written if block.version == part.subnet.version]
        gives = list(attachment.ipam.usable(part.subnet).without(spared))
        if gives != (says := list(attachment.ipam.free(part))):
            yield Finding(
                "attachment.excludeSubnets",
                None,
                f"leave {few(gives) or 'no address'}, and {part.key} says {few(says) or 'none'}",
                "Correct one of both, or leave excludeSubnets out",
            )


@rule("site-no-routes")
def _attachment_gives_routes(draft: Draft) -> Iterator[Finding]:
    """Pods reach other sites by a route that comes with the address; OVN's own address management gives none."""
    segment, attachment = draft.segment, draft.attachment
    if segment is not None and segment.routes and attachment is not None and not attachment.gives_routes:
        yield Finding(
            "attachment.type",
            attachment.type,
            f"gives pods no routes, so that none of site {segment.site} reaches another site",
            "Use macvlan, ipvlan or bridge, or a segment of one subnet for these clusters",
        )


@rule("site-dhcp", severity="warning")
def _dhcp_server_gives_routes(draft: Draft) -> Iterator[Finding]:
    """With DHCP the routes are the server's, and nothing here sees what it gives."""
    segment, attachment = draft.segment, draft.attachment
    if segment is not None and segment.routes and attachment is not None and isinstance(attachment.ipam, Dhcp):
        routes = " and ".join(f"{route.to} via {route.via}" for route in segment.routes)
        yield Finding(
            "attachment.ipam.type",
            "dhcp",
            f"leaves the routes to the server: without {routes}, no pod of site {segment.site} reaches another site",
            "Have the server give that route (option 121), or use ipam type whereabouts",
        )


@rule("site-path-mtu", severity="warning")
def _larger_packets_need_icmp(draft: Draft) -> Iterator[Finding]:
    """Between sites, a packet that is too large is lost unless the router may tell the sender so (ICMP).

    Where ICMP is filtered, a migration begins and then hangs: a black hole.
    """
    segment, attachment = draft.segment, draft.attachment
    if segment is None or attachment is None or not isinstance(segment, SiteSegment) or segment.path_mtu is None:
        return
    own = attachment.mtu or segment.mtu
    if own is not None and own > segment.path_mtu:
        yield Finding(
            "segment.mtu" if attachment.mtu is None else "attachment.mtu",
            own,
            f"is above the {segment.path_mtu} bytes that pass between sites: larger packets to another site are lost"
            " where routers may not say so",
            f"Write {segment.path_mtu}, or let ICMP through (mignet export firewall) and waive this with the reason",
        )


ATTACHMENT_RULES: tuple[Rule[Draft], ...] = (
    _ipvlan_is_reachable,
    _macvlan_pods_see_each_other,
    _localnet_uses_the_segments_vlan,
    _trunk_carries_the_segments_vlan,
    _somebody_tags,
    _slice_is_known_to_ovn,
    _localnet_has_addresses,
    _localnet_keeps_its_books,
    _excludes_find_room,
    _excludes_leave_the_slice,
    _attachment_gives_routes,
    _dhcp_server_gives_routes,
    _larger_packets_need_icmp,
)
