"""What must hold between the sections of one stack, and what is allowed and yet likely not meant.

A rule is one small function that looks at the sections that could be read; adding one touches this file and its test.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from config.attachment import Bridge
from config.attachment.ipam import Dhcp, HostLocal, Static
from config.finding import Finding, Rule, rule
from config.limits import of_zero, too_slow
from config.rules.address_rules import ADDRESS_RULES
from config.rules.attachment_rules import ATTACHMENT_RULES
from config.rules.policy_rules import POLICY_RULES
from config.rules.uplink_rules import UPLINK_RULES
from config.types.model import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.rules.draft import Draft
    from config.types.addressing import Network


@rule("slice-unused")
def _slice_used(draft: Draft) -> Iterator[Finding]:
    """A slice needs an IPAM that reads it."""
    attachment = draft.attachment
    if draft.slices and attachment is not None and isinstance(attachment.ipam, Dhcp | Static):
        yield Finding(
            "slice",
            ", ".join(str(slice_.span) for slice_ in draft.slices),
            f"has no effect with attachment.ipam.type {attachment.ipam.type}",
            "Remove slice, or use ipam type whereabouts",
        )


@rule("mtu-above-segment")
def _mtu_fits(draft: Draft) -> Iterator[Finding]:
    """A pod's MTU is not above the segment's: larger packets would be dropped on the way."""
    segment, attachment = draft.segment, draft.attachment
    if segment and attachment and segment.mtu and attachment.mtu and attachment.mtu > segment.mtu:
        yield Finding(
            "attachment.mtu", attachment.mtu, f"is above segment.mtu {segment.mtu}", "Leave it out to use the segment's"
        )


@rule("vlan-differs")
def _vlan_agrees(draft: Draft) -> Iterator[Finding]:
    """A bridge attachment that tags uses the segment's VLAN."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or segment.vlan is None or not isinstance(attachment, Bridge) or not attachment.vlan:
        return
    if attachment.vlan != segment.vlan:
        yield Finding(
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
    places = [*zip(keys_of("segment.subnet", segment.subnets), segment.subnets, strict=True)]
    # All that pods send to a supernet leaves through migration0.
    places += zip(keys_of("segment.supernet", segment.supernets), segment.supernets, strict=True)
    told: set[tuple[str, Network]] = set()
    for key, subnet in places:
        for network, cidrs in draft.other_networks.items():
            for cidr in cidrs:
                if (network, cidr) not in told and _overlap(subnet, cidr):
                    told.add((network, cidr))
                    yield Finding(
                        key,
                        str(subnet),
                        f"overlaps otherNetworks.{network} {cidr}",
                        "Choose a subnet that no network of this cluster uses"
                        if key.startswith("segment.subnet")
                        else "Choose a supernet that holds the sites, and no network of a cluster",
                    )


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


@rule("ipam-duplicates", severity="warning")
def _ipam_counts_for_the_cluster(draft: Draft) -> Iterator[Finding]:
    """An IPAM that keeps its records per node, or has one address, gives addresses twice."""
    attachment = draft.attachment
    if attachment is not None and isinstance(attachment.ipam, Static | HostLocal):
        kind = attachment.ipam.type
        yield Finding(
            "attachment.ipam.type",
            kind,
            "gives the same addresses on every node: static has one set, and host-local keeps its records per node",
            "Use whereabouts, which keeps one record for the cluster",
        )


@rule("bridge-default", "bridge-gateway", "bridge-default-vlan", severity="warning")
def _bridge_is_meant(draft: Draft) -> Iterator[Finding]:
    """A bridge attachment names its bridge, makes no gateway of it, and says what its default VLAN is."""
    bridge = draft.attachment
    if not isinstance(bridge, Bridge):
        return
    if bridge.bridge is None:
        yield Finding(
            "attachment.bridge",
            None,
            "is not set, so the plugin uses cni0, which it creates without any uplink where it is missing",
            "Name the bridge that has the migration NIC as its port",
            code="bridge-default",
        )
    for key, on in (
        ("isGateway", bridge.is_gateway),
        ("isDefaultGateway", bridge.is_default_gateway),
        ("ipMasq", bridge.ip_masq),
    ):
        if on:
            yield Finding(
                f"attachment.{key}",
                True,
                "gives the node an address on the migration network or rewrites sources; no migration needs it",
                "Remove it",
                code="bridge-gateway",
            )
    if (bridge.vlan or bridge.vlan_trunk) and bridge.preserve_default_vlan is None:
        yield Finding(
            "attachment.preserveDefaultVlan",
            None,
            "is not set, and its default differs between versions of the plugin",
            "Write false to keep the port off the default VLAN",
            code="bridge-default-vlan",
        )


@rule("completion-timeout-default", severity="warning")
def _completion_timeout_is_kept(draft: Draft) -> Iterator[Finding]:
    """The old default of completionTimeoutPerGiB is rewritten: the operator turns 150 into 20 when it is upgraded."""
    limits = draft.hyper_converged and draft.hyper_converged.live_migration
    if limits and limits.completion_timeout_per_gib == 150:
        yield Finding(
            "hyperConverged.liveMigration.completionTimeoutPerGiB",
            150,
            "is the old default, which the HyperConverged operator rewrites to 20 when it is upgraded: drift",
            "Leave it out to use the operator's default, or choose another value, such as 151",
        )


@rule("limit-zero", severity="warning")
def _timeouts_are_some(draft: Draft) -> Iterator[Finding]:
    """A timeout of 0 is no timeout for KubeVirt; who writes it may have meant the shortest one."""
    for key, value in draft.cluster_limits.items():
        if value == 0 and type(value) is int and (meaning := of_zero(key)):
            where = f"hyperConverged.liveMigration.{key}"
            yield Finding(where, 0, meaning, "Write seconds, or leave it out")


@rule("migration-too-slow", severity="warning")
def _a_gib_fits_its_time(draft: Draft) -> Iterator[Finding]:
    """KubeVirt cancels a migration after that many seconds for each GiB, and copies no faster than it is told."""
    limits = draft.cluster_limits
    bandwidth = limits.get("bandwidthPerMigration")
    if found := too_slow(bandwidth, limits.get("completionTimeoutPerGiB")):
        where = "hyperConverged.liveMigration.bandwidthPerMigration"
        yield Finding(where, bandwidth, *found)


RULES: tuple[Rule[Draft], ...] = (
    *ADDRESS_RULES,
    _slice_used,
    _mtu_fits,
    _vlan_agrees,
    _apart_from_other_networks,
    _ipam_counts_for_the_cluster,
    _bridge_is_meant,
    *ATTACHMENT_RULES,
    *UPLINK_RULES,
    _completion_timeout_is_kept,
    _timeouts_are_some,
    _a_gib_fits_its_time,
    *POLICY_RULES,
)

CODES = frozenset(code for each in RULES for code in each.codes)
"""Every code that these rules find."""
