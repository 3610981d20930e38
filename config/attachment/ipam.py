"""How pods get their addresses: one model for each IPAM plugin, with its own keys.

Sources: the plugins' documentation, and for whereabouts what the real plugin does with a configuration.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator

from config.address_share import parts_of
from config.finding import Finding
from config.types.addressing import PREFIXED_PATTERN, AddressRange, IPAddress, Subnet, text_schema
from config.types.model import Model, refuse
from config.types.names import CniName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from ipaddress import IPv4Interface, IPv6Interface

    from config.address_share import Part
    from config.segment import Segment
    from config.slice import Slice
    from config.types.addressing import Network


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


class Whereabouts(Model):
    """Cluster-wide IPAM by whereabouts: the range is the segment's subnet, cut down to the slice.

    `exclude` lists further subnets that are never given. The gateway and the reserved addresses that lie in the range
    are excluded by themselves: whereabouts reserves neither. A segment of two families becomes `ipRanges`.
    """

    refusals: ClassVar[tuple[Finding, ...]] = tuple(
        Finding(
            key,
            None,
            "is not for a migration network: with it whereabouts ignores range_start and range_end and hands out"
            " addresses of other clusters, and without its controller it crashes",
            "Remove it",
            code="node-slice-size",
        )
        for key in ("nodeSliceSize", "node_slice_size")
    )

    type: Literal["whereabouts"]
    split: Literal["range", "exclude"] = "range"
    """How the plugin is told the slice: as range_start and range_end, or by excluding all of the subnet that is not in
    it, in the fewest blocks."""
    exclude: tuple[Subnet, ...] = ()
    """Further subnets that are never given."""
    network_name: CniName | None = None
    """Books of its own: attachments with the same range and another name do not know of each other."""
    enable_overlapping_ranges: bool | None = None
    """Whether whereabouts checks addresses across ranges (its own default: true)."""

    def render(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        """Return the `ipam` object of the CNI configuration, as whereabouts reads it."""
        ranges = [self._range(part) for part in parts_of(segment, slices)]
        # At the top there is place for one range; with `ipRanges`, whereabouts needs none there.
        ipam: dict[str, Any] = {"type": self.type} | (ranges[0] if len(ranges) == 1 else {"ipRanges": ranges})
        if self.network_name is not None:
            ipam["network_name"] = self.network_name
        if self.enable_overlapping_ranges is not None:
            ipam["enable_overlapping_ranges"] = self.enable_overlapping_ranges
        return ipam | _with_routes((), segment)

    def _range(self, part: Part) -> dict[str, Any]:
        one: dict[str, Any] = {"range": str(part.subnet)}
        if self.split == "range" and part.is_slice:
            one |= {"range_start": str(part.span.first), "range_end": str(part.span.last)}
        exclude = self.excluded(part)
        return one | {"exclude": [str(block) for block in exclude]} if exclude else one

    def excluded(self, part: Part) -> list[Network]:
        """Return the blocks that the plugin is told to spare in one subnet, in order.

        With `split: exclude` they are the fewest that leave the stack its part. Network and broadcast address need no
        block of their own, as they are never given.
        """
        if self.split == "exclude":
            whole = AddressRange.all_of(part.subnet)
            spared = [block for gap in whole.without(self.free(part)) for block in gap.cidrs()]
            return [b for b in spared if b.num_addresses > 1 or b.network_address not in (whole.first, whole.last)]
        kept_free = (block for taken in part.kept_free for block in taken.cidrs())
        return sorted({*self._own(part), *kept_free}, key=lambda block: (int(block.network_address), block.prefixlen))

    def _own(self, part: Part) -> Iterable[Network]:
        return (block for block in self.exclude if block.version == part.subnet.version)

    def free(self, part: Part) -> Iterator[AddressRange]:
        """Yield the addresses of one subnet that pods can get, in order."""
        return part.span.without((*part.kept_free, *(AddressRange.all_of(block) for block in self._own(part))))

    def hands_out(self, segment: Segment, slices: Sequence[Slice]) -> int:
        """Count the pods that can get an address of every family that the segment has."""
        return min(self.counted(part) for part in parts_of(segment, slices))

    def counted(self, part: Part) -> int:
        """Count the addresses of one subnet that pods can get."""
        return sum(free.size for free in self.free(part))


class Dhcp(Model):
    """Addresses by the DHCP server of the segment; the CNI's dhcp daemon runs on every node."""

    type: Literal["dhcp"]
    daemon_socket_path: str | None = Field(default=None, pattern=r"^/")
    """The dhcp daemon's socket, an absolute path."""

    def render(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:  # noqa: ARG002
        """Return the `ipam` object of the CNI configuration."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Route(Model):
    """A route that the pod gets; `gw` defaults to the gateway of the address."""

    dst: Subnet
    """The destination."""
    gw: IPAddress | None = None
    """The next hop; the gateway of the address when left out."""


def _with_routes(own: Sequence[Route], segment: Segment) -> dict[str, Any]:
    """Return `routes`, which an IPAM plugin returns with the address, so that CNI puts them on the pod's interface.

    Those to the other sites come behind the attachment's own, unless one of these leads there. Source: the CNI
    specification, and whereabouts' source.
    """
    routes = [route.model_dump(exclude_none=True, mode="json") for route in own]
    known = {route.dst for route in own}
    routes += [{"dst": str(route.to), "gw": str(route.via)} for route in segment.routes if route.to not in known]
    return {"routes": routes} if routes else {}


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

    def render(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:  # noqa: ARG002
        """Return the `ipam` object of the CNI configuration."""
        rest = self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")
        return rest | {"type": self.type} | _with_routes(self.routes, segment)


class HostLocal(Model):
    """IPAM that keeps its books on each node: nodes do not know of each other's addresses."""

    type: Literal["host-local"]
    routes: tuple[Route, ...] = ()
    """Routes that the pod gets."""
    resolv_conf: str | None = Field(default=None, pattern=r"^/")
    """A resolv.conf on the node that becomes the DNS part of the result, an absolute path."""
    data_dir: str | None = Field(default=None, pattern=r"^/")
    """Where the node keeps its books, an absolute path."""

    def render(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        """Return the `ipam` object: one range set for each family, without gateway and reserved addresses."""
        rest = self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")
        ranges = [self._range_set(part) for part in parts_of(segment, slices)]
        return rest | {"type": self.type, "ranges": ranges} | _with_routes(self.routes, segment)

    def free(self, part: Part) -> Iterator[AddressRange]:
        """Yield the addresses of one subnet that pods can get, in order."""
        return part.span.without(part.kept_free)

    def _range_set(self, part: Part) -> list[dict[str, str]]:
        gateway = {} if part.gateway is None else {"gateway": str(part.gateway)}
        return [
            {"subnet": str(part.subnet), "rangeStart": str(free.first), "rangeEnd": str(free.last), **gateway}
            for free in self.free(part)
        ]


Ipam = Annotated[Whereabouts | Dhcp | Static | HostLocal, Field(discriminator="type")]
