"""What must hold between a stack's slices, the segment's subnets and the cluster's demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment.ipam import Dhcp, Whereabouts
from config.attachment.localnet import OvnIpam
from config.finding import Finding, Rule, rule
from config.planning.demand import demand_of
from config.rules.draft import slice_families, slice_inside
from config.types.addressing import AddressRange
from config.types.model import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.rules.draft import Draft

MANY_BLOCKS = 32
"""Excluded blocks that a reader can still check by eye."""


@rule("slice-reserved")
def _slice_spares_reserved(draft: Draft) -> Iterator[Finding]:
    """A slice contains neither the gateway nor a reserved address: whereabouts would give them to pods."""
    if draft.segment is None:
        return
    for part in draft.parts:
        for kept_free in draft.segment.kept_free if part.is_slice else ():
            if kept_free.overlaps(part.span):
                what = "gateway" if kept_free.first == kept_free.last == part.gateway else "reserved part"
                yield Finding(
                    part.key,
                    str(part.span),
                    f"contains the segment's {what} {kept_free}",
                    "Move rangeStart or rangeEnd so that it stays outside",
                )


@rule("exclude-outside", "range-empty")
def _exclude_inside(draft: Draft) -> Iterator[Finding]:
    """An exclude lies in the subnet and leaves something to hand out."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or attachment is None or not isinstance(attachment.ipam, Whereabouts):
        return
    bounds = [AddressRange.all_of(subnet) for subnet in segment.subnets]
    for index, block in enumerate(attachment.ipam.exclude):
        if not any(AddressRange.all_of(block).overlaps(each) for each in bounds):
            yield Finding(
                f"attachment.ipam.exclude[{index}]",
                str(block),
                f"is not inside subnet {' or '.join(map(str, segment.subnets))}",
                "Remove it",
                code="exclude-outside",
            )
    for part in draft.parts:
        if attachment.ipam.counted(part) == 0:
            of = f" of {part.subnet}" if len(segment.subnets) > 1 else ""
            yield Finding(
                "attachment.ipam",
                None,
                f"leaves no address{of}: gateway, reserved and excluded ones take the whole range",
                "Widen the slice, or exclude less",
                code="range-empty",
            )


@rule("exclude-many", severity="warning")
def _excludes_can_be_read(draft: Draft) -> Iterator[Finding]:
    """A split by exclusion is read by eye in review: many blocks are not, and a slice on round borders needs few."""
    attachment = draft.attachment
    if attachment is None or not isinstance(attachment.ipam, Whereabouts) or attachment.ipam.split != "exclude":
        return
    for part in draft.parts:
        count = len(attachment.ipam.excluded(part))
        if count > MANY_BLOCKS:
            yield Finding(
                "attachment.ipam.split",
                "exclude",
                f"takes {count} blocks to leave {part.span} of {part.subnet}",
                "Begin and end the slice at a multiple of a power of two, or use split range",
            )


@rule("subnet-wide", severity="warning")
def _wide_subnet_is_known(draft: Draft) -> Iterator[Finding]:
    """Of an IPv6 subnet wider than a /64 whereabouts uses the first /65 only; without a slice nothing else says so."""
    attachment = draft.attachment
    if attachment is None or not isinstance(attachment.ipam, Whereabouts):
        return
    for part in draft.parts:
        # A /64 is what IPv6 subnets are; nobody misses the other half of it.
        if not part.is_slice and part.subnet.version == 6 and part.subnet.prefixlen < 64:
            yield Finding(
                part.key,
                str(part.subnet),
                f"is wider than whereabouts can count: it uses the first /65 only, {part.span}",
                "Use a /64, or a slice",
            )


@rule("segment-family-order", severity="warning")
def _ipv4_is_what_migrations_use(draft: Draft) -> Iterator[Finding]:
    """With both families migrations use IPv4, whatever the order in which the segment names them.

    Since KubeVirt 1.2 virt-handler takes the first global address that the kernel lists on migration0 (PR 10600), and
    the kernel lists IPv4 first.
    """
    segment = draft.segment
    if segment is not None and len(segment.subnets) > 1 and segment.subnet.version == 6:
        four = next(subnet for subnet in segment.subnets if subnet.version == 4)
        yield Finding(
            "segment.subnet",
            str(segment.subnet),
            f"is listed first, and migrations use IPv4 ({four}) all the same: virt-handler takes the first address that"
            " the kernel lists, and that is the IPv4 one",
            f"List {four} first, or leave it out to migrate over IPv6",
        )


@rule("slice-too-small")
def _capacity_meets_demand(draft: Draft) -> Iterator[Finding]:
    """The range has an address for every pod that needs one, of each family."""
    if draft.cluster is None or draft.attachment is None:
        return
    demand = demand_of(draft.cluster)
    ipam = draft.attachment.ipam
    if demand is None or not isinstance(ipam, Whereabouts | OvnIpam):
        return
    for part in draft.parts:
        capacity = ipam.counted(part)
        if capacity < demand.total:
            yield Finding(
                part.key,
                str(part.span if part.is_slice else part.subnet),
                f"has {capacity} addresses, and the cluster needs {demand.total} ({demand})",
                "Widen it",
            )


@rule("dhcp-family", severity="warning")
def _dhcp_knows_the_family(draft: Draft) -> Iterator[Finding]:
    """The CNI dhcp plugin asks for IPv4 leases only."""
    segment, attachment = draft.segment, draft.attachment
    if segment is None or attachment is None or not isinstance(attachment.ipam, Dhcp):
        return
    for key, subnet in zip(keys_of("segment.subnet", segment.subnets), segment.subnets, strict=True):
        if subnet.version == 6:
            yield Finding(
                key,
                str(subnet),
                "is IPv6, and the dhcp plugin asks for IPv4 addresses only",
                "Use ipam type whereabouts, or let routers advertise the subnet",
            )


ADDRESS_RULES: tuple[Rule[Draft], ...] = (
    slice_families,
    slice_inside,
    _slice_spares_reserved,
    _exclude_inside,
    _excludes_can_be_read,
    _wide_subnet_is_known,
    _ipv4_is_what_migrations_use,
    _capacity_meets_demand,
    _dhcp_knows_the_family,
)
