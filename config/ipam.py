"""How pods get their addresses: one model for each IPAM plugin, with its own keys.

Sources: the plugins' documentation, and for whereabouts what the real plugin does with a configuration.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PlainValidator

from config.addressing import PREFIXED_PATTERN, AddressRange, IPAddress, Subnet, text_schema
from config.model import Broken, Model, refuse
from config.names import CniName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Interface, IPv6Interface

    from config.segment import Segment


def _interface(value: object) -> IPv4Interface | IPv6Interface:
    try:
        if isinstance(value, str) and "/" in value:
            return ipaddress.ip_interface(value)
    except ValueError:
        pass
    refuse("address-prefix", "is not an address with its prefix length", "Write it as 10.200.5.10/24")


InterfaceAddress = Annotated[
    ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    PlainValidator(_interface),
    *text_schema(PREFIXED_PATTERN),
]


class Slice(Model):
    """The part of the segment's subnet that one cluster hands out. Both ends are inclusive."""

    range_start: IPAddress
    """The first address of this cluster."""
    range_end: IPAddress
    """The last address of this cluster, inclusive."""

    @property
    def span(self) -> AddressRange:
        """Both ends as one range."""
        return AddressRange(self.range_start, self.range_end)

    def rules(self) -> Iterator[Broken]:
        """The end must not come before the start; whereabouts would ignore such an end."""
        start, end = self.range_start, self.range_end
        if start.version != end.version:
            yield Broken(
                "slice-family",
                "rangeEnd",
                str(end),
                f"is IPv{end.version} and rangeStart {start} is IPv{start.version}",
                "Use one family for both",
            )
        elif int(end) < int(start):
            yield Broken(
                "slice-order",
                "rangeEnd",
                str(end),
                f"comes before rangeStart {start}; whereabouts ignores such an end and hands out addresses up to the"
                " end of the subnet",
                "Swap them",
            )


class Whereabouts(Model):
    """Cluster-wide IPAM by whereabouts: the range is the segment's subnet, cut down to the slice.

    `exclude` lists further subnets that are never given. The gateway and the reserved addresses that lie in the range
    are excluded by themselves: whereabouts reserves neither.
    """

    type: Literal["whereabouts"]
    exclude: tuple[Subnet, ...] = ()
    """Further subnets that are never given."""
    network_name: CniName | None = None
    """Books of its own: attachments with the same range and another name do not know of each other."""
    enable_overlapping_ranges: bool | None = None
    """Whether whereabouts checks addresses across ranges (its own default: true)."""

    def render(self, segment: Segment, slice_: Slice | None) -> dict[str, Any]:
        """Return the `ipam` object of the CNI configuration, as whereabouts reads it."""
        ipam: dict[str, Any] = {"type": self.type, "range": str(segment.subnet)}
        if slice_ is not None:
            ipam |= {"range_start": str(slice_.range_start), "range_end": str(slice_.range_end)}
        bounds = segment.usable if slice_ is None else slice_.span
        kept_free = [part for taken in segment.kept_free if (part := taken.clipped(bounds))]
        exclude = {*self.exclude, *(block for part in kept_free for block in part.cidrs())}
        if exclude:
            ipam["exclude"] = [
                str(block) for block in sorted(exclude, key=lambda b: (int(b.network_address), b.prefixlen))
            ]
        if self.network_name is not None:
            ipam["network_name"] = self.network_name
        if self.enable_overlapping_ranges is not None:
            ipam["enable_overlapping_ranges"] = self.enable_overlapping_ranges
        return ipam

    def hands_out(self, segment: Segment, slice_: Slice | None) -> int:
        """Count the addresses that pods can get."""
        bounds = segment.usable if slice_ is None else slice_.span
        excluded = [AddressRange(block.network_address, block.broadcast_address) for block in self.exclude]
        return sum(part.size for part in bounds.without((*segment.kept_free, *excluded)))


class Dhcp(Model):
    """Addresses by the DHCP server of the segment; the CNI's dhcp daemon runs on every node."""

    type: Literal["dhcp"]
    daemon_socket_path: str | None = Field(default=None, pattern=r"^/")
    """The dhcp daemon's socket, an absolute path."""

    def render(self, segment: Segment, slice_: Slice | None) -> dict[str, Any]:  # noqa: ARG002
        """Return the `ipam` object of the CNI configuration."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Route(Model):
    """A route that the pod gets; `gw` defaults to the gateway of the address."""

    dst: Subnet
    """The destination."""
    gw: IPAddress | None = None
    """The next hop; the gateway of the address when left out."""


class StaticAddress(Model):
    """One fixed address with its prefix length."""

    address: InterfaceAddress
    """The address with its prefix length, such as 10.200.5.10/24."""
    gateway: IPAddress | None = None
    """The gateway that goes with it."""


class Static(Model):
    """The same fixed addresses for every pod that attaches: of use for a single pod only."""

    type: Literal["static"]
    addresses: tuple[StaticAddress, ...] = Field(min_length=1)
    """The addresses that every pod gets."""
    routes: tuple[Route, ...] = ()
    """Routes that the pod gets."""

    def render(self, segment: Segment, slice_: Slice | None) -> dict[str, Any]:  # noqa: ARG002
        """Return the `ipam` object of the CNI configuration."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json") | {
            "type": self.type
        }


class HostLocal(Model):
    """IPAM that keeps its books on each node: nodes do not know of each other's addresses."""

    type: Literal["host-local"]
    routes: tuple[Route, ...] = ()
    """Routes that the pod gets."""
    resolv_conf: str | None = Field(default=None, pattern=r"^/")
    """A resolv.conf on the node that becomes the DNS part of the result, an absolute path."""
    data_dir: str | None = Field(default=None, pattern=r"^/")
    """Where the node keeps its books, an absolute path."""

    def render(self, segment: Segment, slice_: Slice | None) -> dict[str, Any]:
        """Return the `ipam` object of the CNI configuration: one range set, without gateway and reserved addresses."""
        bounds = segment.usable if slice_ is None else slice_.span
        gateway = {} if segment.gateway is None else {"gateway": str(segment.gateway)}
        ranges = [
            {"subnet": str(segment.subnet), "rangeStart": str(part.first), "rangeEnd": str(part.last), **gateway}
            for part in bounds.without(segment.kept_free)
        ]
        rest = self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")
        return rest | {"type": self.type, "ranges": [ranges]}


Ipam = Annotated[Whereabouts | Dhcp | Static | HostLocal, Field(discriminator="type")]
