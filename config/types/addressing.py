"""Addresses, ranges and subnets as a user writes them. Ranges are inclusive at both ends."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from config.types.model import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

COUNTED = 2**63
"""Addresses from the start of a subnet that whereabouts can keep in its books.

It writes an address as its distance from there, and reads that back as a signed number of 64 bits (its README: "only
the first /65 range is addressable").
"""


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from `first` to `last`, both inclusive, of one family.

    >>> AddressRange.parse("10.200.5.250-10.200.5.254").size
    5
    >>> AddressRange.parse("10.200.5.1").last
    IPv4Address('10.200.5.1')
    """

    first: Address
    last: Address

    @classmethod
    def parse(cls, text: str) -> AddressRange:
        """Read `FIRST-LAST` or a single address. Raises ValueError when it is neither, or ends before it starts."""
        first_text, dash, last_text = text.partition("-")
        first = ipaddress.ip_address(first_text.strip())
        last = ipaddress.ip_address(last_text.strip()) if dash else first
        if first.version != last.version or last < first:  # type: ignore[operator]
            msg = f"{text} is not a range"
            raise ValueError(msg)
        return cls(first, last)

    @classmethod
    def usable(cls, subnet: Network) -> AddressRange:
        """Return what whereabouts can give of a subnet: all but its first (network) and last (broadcast) address.

        Holds for IPv6 as well: the plugin spares both ends there too, and of a /64 or wider it uses the first /65 only.
        The subnet has at least four addresses.
        """
        first = subnet.network_address
        return cls(first + 1, first + (min(subnet.num_addresses - 1, COUNTED) - 1))

    @classmethod
    def all_of(cls, subnet: Network) -> AddressRange:
        """Return every address of a subnet, its first and its last one included."""
        return cls(subnet.network_address, subnet.broadcast_address)

    @property
    def size(self) -> int:
        """Number of addresses."""
        return int(self.last) - int(self.first) + 1

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, IPv4Address | IPv6Address)
            and address.version == self.first.version
            and int(self.first) <= int(address) <= int(self.last)
        )

    def overlaps(self, other: AddressRange) -> bool:
        """Tell whether the two share an address."""
        return (
            self.first.version == other.first.version
            and int(self.first) <= int(other.last)
            and int(other.first) <= int(self.last)
        )

    def clipped(self, bounds: AddressRange) -> AddressRange | None:
        """Return the part inside `bounds`, or None when there is none."""
        if not self.overlaps(bounds):
            return None
        first = self.first if self.first in bounds else bounds.first
        last = self.last if self.last in bounds else bounds.last
        return AddressRange(first, last)

    def without(self, taken: Iterable[AddressRange]) -> Iterator[AddressRange]:
        """Yield what is left, in order, when the ranges `taken` (in any order, also overlapping) are cut out."""
        start = int(self.first)
        for gap in sorted(taken, key=lambda r: int(r.first)):
            part = gap.clipped(self)
            if part is None:
                continue
            if int(part.first) > start:
                yield AddressRange(self.first + (start - int(self.first)), part.first - 1)
            start = max(start, int(part.last) + 1)
        if start <= int(self.last):
            yield AddressRange(self.first + (start - int(self.first)), self.last)

    def cidrs(self) -> list[Network]:
        """Write the range as the fewest CIDR blocks, in order."""
        return list(ipaddress.summarize_address_range(self.first, self.last))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def _address(value: object) -> Address:
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None or getattr(address, "scope_id", None):
        refuse("address-invalid", "is not an IP address", "Write one address, such as 10.200.5.10")
    return address


def _subnet(value: object) -> Network:
    example = "Write it as 10.200.5.0/24"
    if not isinstance(value, str) or "/" not in value:
        refuse("subnet-invalid", "is not a subnet in CIDR form", example)
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        refuse("subnet-invalid", "is not a subnet in CIDR form", example)
    network = interface.network
    if interface.ip != network.network_address:
        refuse("subnet-host-bits", "has bits set behind its prefix length", f"The subnet is {network}")
    return network


def _range(value: object) -> AddressRange:
    try:
        if isinstance(value, str):
            return AddressRange.parse(value)
    except ValueError:
        pass
    refuse(
        "range-invalid",
        "is neither an address nor a range that ends at or after its start",
        "Write 10.200.5.1 or 10.200.5.250-10.200.5.254",
    )


# Patterns for editors, in the part of regular expressions that JSON Schema recommends: IPv4 to the digit, of IPv6 what
# its letters can be.
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4, _V6 = rf"{_OCTET}(\.{_OCTET}){{3}}", "[0-9a-fA-F]{0,4}:[0-9a-fA-F:]*:[0-9a-fA-F.]*"
ADDRESS_PATTERN = f"^({_V4}|{_V6})$"
PREFIXED_PATTERN = f"^({_V4}/(3[0-2]|[12]?[0-9])|{_V6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
RANGE_PATTERN = f"^({_V4}( *- *{_V4})?|{_V6}( *- *{_V6})?)$"


def text_schema(pattern: str) -> tuple[PlainSerializer, WithJsonSchema]:
    """Return how a value that is written as text is serialized, and what an editor knows of it."""
    return PlainSerializer(str), WithJsonSchema({"type": "string", "pattern": pattern})


IPAddress = Annotated[IPv4Address | IPv6Address, PlainValidator(_address), *text_schema(ADDRESS_PATTERN)]
Subnet = Annotated[IPv4Network | IPv6Network, PlainValidator(_subnet), *text_schema(PREFIXED_PATTERN)]
InclusiveRange = Annotated[AddressRange, PlainValidator(_range), *text_schema(RANGE_PATTERN)]
