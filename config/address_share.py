"""The part that one stack has of each subnet of the segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.types.addressing import AddressRange
from config.types.model import keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.segment import Segment
    from config.slice import Slice
    from config.types.addressing import Address, Network


@dataclass(frozen=True, slots=True)
class Part:
    """What a stack has of one subnet: its slice of it, or, without one, all that is usable."""

    subnet: Network
    span: AddressRange
    """Both ends inclusive."""
    is_slice: bool
    gateway: Address | None
    kept_free: tuple[AddressRange, ...]
    """What of `span` nobody may be given: the gateway and the reserved ranges that lie in it."""
    key: str
    """Where the user wrote it: `slice`, `slice[1]`, `segment.subnet` or `segment.subnet[1]`."""


def parts_of(segment: Segment, slices: Sequence[Slice]) -> tuple[Part, ...]:
    """Return a stack's part of each subnet, in the order of the subnets; at most one slice of a family counts."""
    slice_keys = keys_of("slice", slices)
    subnet_keys = keys_of("segment.subnet", segment.subnets)
    by_family = {slice_.family: (slice_.span, key) for slice_, key in zip(slices, slice_keys, strict=True)}
    parts = []
    for subnet, subnet_key in zip(segment.subnets, subnet_keys, strict=True):
        span, key = by_family.get(subnet.version, (AddressRange.usable(subnet), subnet_key))
        parts.append(
            Part(
                subnet=subnet,
                span=span,
                is_slice=subnet.version in by_family,
                gateway=segment.gateway_of(subnet),
                kept_free=tuple(common for taken in segment.kept_free if (common := taken.clipped(span))),
                key=key,
            )
        )
    return tuple(parts)
