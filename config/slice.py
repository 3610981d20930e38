"""The slice: the part of one of the segment's subnets that one cluster hands out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding
from config.types.addressing import AddressRange, IPAddress
from config.types.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slice(Model):
    """The part of one of the segment's subnets that one cluster hands out. Both ends are inclusive.

    With two subnets, `slice` is a list of two of these, one of each family.
    """

    range_start: IPAddress
    """The first address of this cluster."""
    range_end: IPAddress
    """The last address of this cluster, inclusive."""

    @property
    def span(self) -> AddressRange:
        """Both ends as one range."""
        return AddressRange(self.range_start, self.range_end)

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.range_start.version

    def rules(self) -> Iterator[Finding]:
        """The end must not come before the start; whereabouts would ignore such an end."""
        start, end = self.range_start, self.range_end
        if start.version != end.version:
            yield Finding(
                "rangeEnd",
                str(end),
                f"is IPv{end.version} and rangeStart {start} is IPv{start.version}",
                "Use one family for both",
                code="slice-family",
            )
        elif int(end) < int(start):
            yield Finding(
                "rangeEnd",
                str(end),
                f"comes before rangeStart {start}; whereabouts ignores such an end and hands out addresses up to the"
                " end of the subnet",
                "Swap them",
                code="slice-order",
            )
