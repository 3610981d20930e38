"""What must hold between the sections of one stack, and what is allowed and yet likely not meant.

A rule is one small function that looks at the sections that could be read; adding one touches this file and its test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from config.attachment import Bridge
from config.findings import Finding, Rule, rule
from config.ipam import Dhcp, HostLocal, Static, Whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.addressing import Network
    from config.attachment import Macvlan
    from config.cluster import Cluster
    from config.hyperconverged import HyperConverged
    from config.ipam import Slice
    from config.segment import Segment

SYNC_CONTROLLERS = 2
"""Pods of virt-synchronization-controller, each with an address of its own (cross-cluster migration)."""
SURGE = 1
"""Pods beyond the wanted number while a rollout is under way."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The sections of a stack that could be read; those that could not, or are not there, are None."""

    name: str
    segment: Segment | None = None
    cluster: Cluster | None = None
    attachment: Macvlan | Bridge | None = None
    slice: Slice | None = None
    hyper_converged: HyperConverged | None = None
    other_networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)


def demand_of(cluster: Cluster) -> int | None:
    """Return the addresses that a cluster needs, or None when its number of nodes is not given."""
    return None if cluster.nodes is None else cluster.nodes + SYNC_CONTROLLERS + SURGE


@rule("slice-outside")
def _slice_inside(draft: Draft) -> Iterator[Finding]:
    """A slice lies within the usable addresses of the segment: whereabouts ignores an end that does not."""
    segment, slice_ = draft.segment, draft.slice
    if segment is None or slice_ is None:
        return
    for key, address in (("slice.rangeStart", slice_.range_start), ("slice.rangeEnd", slice_.range_end)):
        if address not in segment.usable:
            yield Finding(
                "error",
                "slice-outside",
                draft.name,
                key,
                str(address),
                f"is not a usable address of subnet {segment.subnet}; whereabouts ignores it and hands out addresses"
                " of other clusters",
                f"Use addresses of {segment.usable}",
            )


@rule("slice-reserved")
def _slice_spares_reserved(draft: Draft) -> Iterator[Finding]:
    """A slice contains neither the gateway nor a reserved address: whereabouts would give them to pods."""
    segment, slice_ = draft.segment, draft.slice
    if segment is None or slice_ is None or any(_slice_inside(draft)):
        return
    for kept_free in segment.kept_free:
        if kept_free.overlaps(slice_.span):
            what = "gateway" if kept_free.first == segment.gateway else "reserved part"
            yield Finding(
                "error",
                "slice-reserved",
                draft.name,
                "slice",
                str(slice_.span),
                f"contains the segment's {what} {kept_free}",
                "Move rangeStart or rangeEnd so that it stays outside",
            )


@rule("slice-unused")
def _slice_used(draft: Draft) -> Iterator[Finding]:
    """A slice needs an IPAM that reads it."""
    attachment = draft.attachment
    if draft.slice is not None and attachment is not None and isinstance(attachment.ipam, Dhcp | Static):
        yield Finding(
            "error",
            "slice-unused",
            draft.name,
            "slice",
            str(draft.slice.span),
            f"has no effect with attachment.ipam.type {attachment.ipam.type}",
            "Remove slice, or use ipam type whereabouts",
        )


@rule("exclude-outside", "range-empty")
def _exclude_inside(draft: Draft) -> Iterator[Finding]:
    """An exclude lies in the subnet and leaves something to hand out."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or attachment is None or not isinstance(attachment.ipam, Whereabouts):
        return
    for index, block in enumerate(attachment.ipam.exclude):
        if block.version != segment.subnet.version or not block.overlaps(segment.subnet):
            yield Finding(
                "error",
                "exclude-outside",
                draft.name,
                f"attachment.ipam.exclude[{index}]",
                str(block),
                f"is not inside subnet {segment.subnet}",
                "Remove it",
            )
    slice_ = draft.slice
    if any(_slice_inside(draft)):
        return
    if attachment.ipam.hands_out(segment, slice_) == 0:
        yield Finding(
            "error",
            "range-empty",
            draft.name,
            "attachment.ipam",
            None,
            "leaves no address: gateway, reserved and excluded ones take the whole range",
            "Widen the slice, or exclude less",
        )


@rule("mtu-above-segment")
def _mtu_fits(draft: Draft) -> Iterator[Finding]:
    """A pod's MTU is not above the segment's: larger packets would be dropped on the way."""
    segment, attachment = draft.segment, draft.attachment
    if segment and attachment and segment.mtu and attachment.mtu and attachment.mtu > segment.mtu:
        yield Finding(
            "error",
            "mtu-above-segment",
            draft.name,
            "attachment.mtu",
            attachment.mtu,
            f"is above segment.mtu {segment.mtu}",
            "Leave it out to use the segment's",
        )


@rule("vlan-differs")
def _vlan_agrees(draft: Draft) -> Iterator[Finding]:
    """A bridge attachment that tags uses the segment's VLAN."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or segment.vlan is None or not isinstance(attachment, Bridge) or not attachment.vlan:
        return
    if attachment.vlan != segment.vlan:
        yield Finding(
            "error",
            "vlan-differs",
            draft.name,
            "attachment.vlan",
            attachment.vlan,
            f"is not segment.vlan {segment.vlan}; this cluster would be alone on its VLAN",
            f"Write {segment.vlan}, or leave it out where the uplink tags",
        )


@rule("subnet-overlap")
def _apart_from_other_networks(draft: Draft) -> Iterator[Finding]:
    """The segment overlaps no other network of the cluster, else traffic goes out of the wrong interface."""
    segment = draft.segment
    if segment is None:
        return
    for network, cidrs in draft.other_networks.items():
        for cidr in cidrs:
            if _overlap(segment.subnet, cidr):
                yield Finding(
                    "error",
                    "subnet-overlap",
                    draft.name,
                    "segment.subnet",
                    str(segment.subnet),
                    f"overlaps otherNetworks.{network} {cidr}",
                    "Choose a subnet that no network of this cluster uses",
                )


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


@rule("slice-too-small")
def _capacity_meets_demand(draft: Draft) -> Iterator[Finding]:
    """The range has an address for every pod that needs one."""
    if draft.segment is None or draft.cluster is None or draft.attachment is None or any(_slice_inside(draft)):
        return
    demand = demand_of(draft.cluster)
    ipam = draft.attachment.ipam
    if demand is None or not isinstance(ipam, Whereabouts):
        return
    capacity = ipam.hands_out(draft.segment, draft.slice)
    if capacity < demand:
        yield Finding(
            "error",
            "slice-too-small",
            draft.name,
            "slice" if draft.slice else "segment.subnet",
            str(draft.slice.span if draft.slice else draft.segment.subnet),
            f"has {capacity} addresses, and the cluster needs {demand}"
            f" ({draft.cluster.nodes} nodes + {SYNC_CONTROLLERS} sync controllers + {SURGE} during a rollout)",
            "Widen it",
        )


@rule("ipam-duplicates")
def _ipam_counts_for_the_cluster(draft: Draft) -> Iterator[Finding]:
    """An IPAM that keeps its books per node, or has one address, gives addresses twice."""
    attachment = draft.attachment
    if attachment is not None and isinstance(attachment.ipam, Static | HostLocal):
        kind = attachment.ipam.type
        yield Finding(
            "warning",
            "ipam-duplicates",
            draft.name,
            "attachment.ipam.type",
            kind,
            "gives the same addresses on every node: static has one set, and host-local keeps its books per node",
            "Use whereabouts, whose books are cluster-wide",
        )


@rule("bridge-default", "bridge-gateway", "bridge-default-vlan")
def _bridge_is_meant(draft: Draft) -> Iterator[Finding]:
    """A bridge attachment names its bridge, makes no gateway of it, and says what its default VLAN is."""
    bridge = draft.attachment
    if not isinstance(bridge, Bridge):
        return
    if bridge.bridge is None:
        yield Finding(
            "warning",
            "bridge-default",
            draft.name,
            "attachment.bridge",
            None,
            "is not set, so the plugin uses cni0, which it creates without any uplink where it is missing",
            "Name the bridge that has the migration NIC as its port",
        )
    for key, on in (
        ("isGateway", bridge.is_gateway),
        ("isDefaultGateway", bridge.is_default_gateway),
        ("ipMasq", bridge.ip_masq),
    ):
        if on:
            yield Finding(
                "warning",
                "bridge-gateway",
                draft.name,
                f"attachment.{key}",
                True,
                "gives the node an address on the migration network or rewrites sources; no migration needs it",
                "Remove it",
            )
    if (bridge.vlan or bridge.vlan_trunk) and bridge.preserve_default_vlan is None:
        yield Finding(
            "warning",
            "bridge-default-vlan",
            draft.name,
            "attachment.preserveDefaultVlan",
            None,
            "is not set, and its default differs between versions of the plugin",
            "Write false to keep the port off the default VLAN",
        )


@rule("completion-timeout-default")
def _completion_timeout_is_kept(draft: Draft) -> Iterator[Finding]:
    """The old default of completionTimeoutPerGiB is rewritten: the operator turns 150 into 20 when it is upgraded."""
    limits = draft.hyper_converged and draft.hyper_converged.live_migration
    if limits and limits.completion_timeout_per_gib == 150:
        yield Finding(
            "warning",
            "completion-timeout-default",
            draft.name,
            "hyperConverged.liveMigration.completionTimeoutPerGiB",
            150,
            "is the old default, which the HyperConverged operator rewrites to 20 when it is upgraded: drift",
            "Leave it out to use the operator's default, or choose another value, such as 151",
        )


RULES: tuple[Rule[Draft], ...] = (
    _slice_inside,
    _slice_spares_reserved,
    _slice_used,
    _exclude_inside,
    _mtu_fits,
    _vlan_agrees,
    _apart_from_other_networks,
    _capacity_meets_demand,
    _ipam_counts_for_the_cluster,
    _bridge_is_meant,
    _completion_timeout_is_kept,
)

CODES = frozenset(code for each in RULES for code in each.codes)
"""Every code that these rules find."""
