"""A stack as far as it could be read: what the rules within a stack look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from config.address_share import parts_of
from config.finding import Finding, rule
from config.types.addressing import COUNTED, AddressRange
from config.types.model import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.address_share import Part
    from config.attachment import AnyAttachment
    from config.cluster import Cluster
    from config.hyperconverged import HyperConverged
    from config.migration_policy import MigrationPolicy
    from config.segment import Segment
    from config.slice import Slice
    from config.types.addressing import Network
    from config.uplink import Uplink


@dataclass(frozen=True)
class Draft:
    """The sections of a stack that could be read; those that could not, or are not there, are None."""

    name: str
    segment: Segment | None = None
    cluster: Cluster | None = None
    attachment: AnyAttachment | None = None
    slices: tuple[Slice, ...] = ()
    hyper_converged: HyperConverged | None = None
    other_networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    uplink: Uplink | None = None
    migration_policies: tuple[MigrationPolicy, ...] = ()

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The stack's part of each of the segment's subnets; none where the slices themselves are wrong."""
        return sound_parts(self)

    @property
    def cluster_limits(self) -> dict[str, Any]:
        """The limits that the stack sets for the whole cluster, by the HyperConverged's keys."""
        set_here = self.hyper_converged and self.hyper_converged.live_migration
        return set_here.model_dump(by_alias=True, exclude_none=True) if set_here else {}


@rule("slice-families")
def slice_families(draft: Draft) -> Iterator[Finding]:
    """A stack has a slice of every subnet of the segment or of none; of one without it would hand out all."""
    segment, slices = draft.segment, draft.slices
    if segment is None or not slices:
        return
    missing: dict[int, Network] = {subnet.version: subnet for subnet in segment.subnets}
    seen: dict[int, str] = {}
    for key, slice_ in zip(keys_of("slice", slices), slices, strict=True):
        family = slice_.family
        if family in seen:
            broken = f"is IPv{family} like {seen[family]}; a stack has one slice of each subnet"
            yield Finding(key, str(slice_.span), broken, "Keep one of them")
        elif missing.pop(family, None) is None:
            broken = f"is IPv{family}, and the segment has no IPv{family} subnet"
            remedy = f"Use addresses of {segment.usable}"
            yield Finding(key, str(slice_.span), broken, remedy)
        seen.setdefault(family, key)
    # Where every slice is of the wrong family, one mistake explains the other.
    for subnet in missing.values() if len(missing) < len(segment.subnets) else ():
        broken = f"has no part of segment.subnet {subnet}; this cluster would hand out those of all others, too"
        remedy = f"Write a list of two; the other one is inside {AddressRange.usable(subnet)}"
        yield Finding("slice", None, broken, remedy)


@rule("slice-outside", "slice-beyond-count")
def slice_inside(draft: Draft) -> Iterator[Finding]:
    """A slice lies within what whereabouts can give of the subnet: it ignores an end outside, and keeps no book beyond.

    Of IPv6 subnets of /64 and wider it uses the first /65 only.
    """
    segment, slices = draft.segment, draft.slices
    if segment is None or any(slice_families.find(draft)):
        return
    subnets: dict[int, Network] = {subnet.version: subnet for subnet in segment.subnets}
    for key, slice_ in zip(keys_of("slice", slices), slices, strict=True):
        subnet = subnets[slice_.family]
        usable = AddressRange.usable(subnet)
        for end, address in (("rangeStart", slice_.range_start), ("rangeEnd", slice_.range_end)):
            if address in usable:
                continue
            # The broadcast address is in no position but the last.
            beyond = subnet.num_addresses > COUNTED and usable.last < address < subnet.broadcast_address  # type: ignore[operator]
            if beyond:
                code, what = "slice-beyond-count", f"lies beyond the first /65 of subnet {subnet}"
                then = "whereabouts forgets what it gave there, and gives it again"
            else:
                code, what = "slice-outside", f"is not a usable address of subnet {subnet}"
                then = "whereabouts ignores it and hands out addresses of other clusters"
            yield Finding(f"{key}.{end}", str(address), f"{what}; {then}", f"Use addresses of {usable}", code=code)


def sound_parts(draft: Draft) -> tuple[Part, ...]:
    """Return the stack's part of each subnet; none where the slices themselves are wrong."""
    if draft.segment is None or any(slice_families.find(draft)) or any(slice_inside.find(draft)):
        return ()
    return parts_of(draft.segment, draft.slices)
