"""The segment: the one network that the live migrations of all clusters share."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from config.finding import Finding, Subject
from config.types.addressing import AddressRange, InclusiveRange, IPAddress, Subnet
from config.types.model import NULL_IS_NONE_AT_ALL, Model, OneOrMore, keys_of
from config.types.names import Mtu, VlanId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.types.addressing import Address, Network


@dataclass(frozen=True, slots=True)
class SiteRoute:
    """The route to all other sites of one address family."""

    to: Network
    """The supernet."""
    via: Address
    """The site's own gateway."""


class Segment(Model):
    """The network shared by all clusters' migrations: L2, or routed through `gateway`.

    `mtu` is in bytes and goes into every attachment that names none of its own. `gateway` and `reserved` (both ends
    inclusive) are never handed out. With two subnets, one of each family, every pod gets an address of both.
    """

    subnets: Annotated[tuple[Subnet, ...], OneOrMore()] = Field(alias="subnet", min_length=1)
    """The subnet in CIDR form, the same for every cluster; or a list of an IPv4 and an IPv6 subnet. With both,
    migrations use IPv4, in whatever order they stand."""
    vlan: VlanId | None = None
    """The VLAN that carries it, when it has one."""
    mtu: Mtu | None = None
    """Bytes. It goes into every attachment that names none of its own; the kernel's default when left out."""
    gateways: Annotated[tuple[IPAddress, ...], OneOrMore(), NULL_IS_NONE_AT_ALL] = Field(default=(), alias="gateway")
    """The router's address, when the segment is routed, or a list of one for each family. Never handed out."""
    reserved: tuple[InclusiveRange, ...] = ()
    """Addresses, and ranges with both ends inclusive, of either family, that are never handed out."""

    @property
    def subnet(self) -> Network:
        """The first subnet; the only one, when there is one family."""
        return self.subnets[0]

    @property
    def gateway(self) -> Address | None:
        """The gateway of that subnet."""
        return self.gateway_of(self.subnet)

    def gateway_of(self, subnet: Network) -> Address | None:
        """Return the gateway of the subnet's family, or None when there is none."""
        return next((gateway for gateway in self.gateways if gateway.version == subnet.version), None)

    @property
    def site(self) -> str | None:
        """The name of the site that it is, or None where all clusters are on one L2 network."""
        return None

    @property
    def supernets(self) -> tuple[Network, ...]:
        """What holds the subnets of all sites; none where there are no sites."""
        return ()

    @property
    def routes(self) -> tuple[SiteRoute, ...]:
        """The routes to the other sites, one for each address family; none where there are no sites."""
        return ()

    @property
    def key(self) -> str:
        """Where a user writes it: `segment`, or `segment.sites.` and the site's name."""
        return "segment" if self.site is None else f"segment.sites.{self.site}"

    @property
    def usable(self) -> AddressRange:
        """Every address of the first subnet that pods can get; gateway and reserved ones are among them."""
        return AddressRange.usable(self.subnet)

    @property
    def kept_free(self) -> tuple[AddressRange, ...]:
        """What nobody may be given, of either family: the gateways and the reserved ranges."""
        return (*(AddressRange(gateway, gateway) for gateway in self.gateways), *self.reserved)

    def rules(self) -> Iterator[Finding]:
        """What must hold between the subnets, the gateways and the reserved addresses."""
        # Later rules look at each family's subnet.
        broken = [*self._families(), *self._subnets_usable()]
        yield from broken or (*self._gateways_inside(), *self._reserved_inside())

    def _families(self) -> Iterator[Finding]:
        for key, items, what in (("subnet", self.subnets, "subnet"), ("gateway", self.gateways, "gateway")):
            seen: dict[int, object] = {}
            for index, item in enumerate(items):
                if item.version in seen:
                    yield Finding(
                        f"{key}[{index}]",
                        str(item),
                        f"is IPv{item.version} like {seen[item.version]}; a segment has one {what} of each family",
                        "Keep one of them",
                        code=f"{what}-families",
                    )
                seen.setdefault(item.version, item)

    def _subnets_usable(self) -> Iterator[Finding]:
        for key, subnet in zip(keys_of("subnet", self.subnets), self.subnets, strict=True):
            # whereabouts refuses /31 and /32 (IPv6 /127, /128) when the first pod asks: observed with the real plugin.
            if subnet.num_addresses < 4:
                yield Finding(
                    key,
                    str(subnet),
                    "has no usable address for pods",
                    f"Use a prefix of /{subnet.max_prefixlen - 2} or shorter",
                    code="subnet-too-small",
                )
            # virt-handler binds the first global unicast address of migration0.
            elif subnet.is_multicast or subnet.is_loopback or subnet.is_link_local or subnet.is_unspecified:
                yield Finding(
                    key,
                    str(subnet),
                    "is not a unicast subnet, and virt-handler uses global unicast addresses only",
                    f"Use a private range, such as {'10.200.5.0/24' if subnet.version == 4 else 'fd00:200:5::/64'}",
                    code="subnet-not-unicast",
                )

    def _gateways_inside(self) -> Iterator[Finding]:
        for key, gateway in zip(keys_of("gateway", self.gateways), self.gateways, strict=True):
            subnet = self._subnet_of(gateway)
            # A router may well have an address that whereabouts does not reach.
            usable = None if subnet is None else AddressRange(subnet.network_address + 1, subnet.broadcast_address - 1)
            if usable is None or gateway not in usable:
                yield Finding(
                    key,
                    str(gateway),
                    f"is not a usable address of subnet {subnet or self._subnets_text}",
                    f"Use one of {usable or self.usable}, or leave gateway out",
                    code="gateway-outside",
                )

    def _reserved_inside(self) -> Iterator[Finding]:
        for index, reserved in enumerate(self.reserved):
            subnet = self._subnet_of(reserved.first)
            bounds = AddressRange.all_of(subnet or self.subnet)
            if reserved.first not in bounds or reserved.last not in bounds:
                yield Finding(
                    f"reserved[{index}]",
                    str(reserved),
                    f"is not inside subnet {subnet or self._subnets_text}",
                    f"Use addresses of {bounds}, or remove it",
                    code="reserved-outside",
                )

    def _subnet_of(self, address: Address) -> Network | None:
        return next((subnet for subnet in self.subnets if subnet.version == address.version), None)

    @property
    def _subnets_text(self) -> str:
        return " or ".join(map(str, self.subnets))


def at_site(finding: Finding, segment: Segment | None) -> Finding:
    """Return a finding with the key that its user wrote: what is said of the segment of a site stands in that site."""
    if segment is None or segment.site is None or isinstance(finding.key, Subject):
        return finding
    own = re.match(r"segment\.((?:subnet|vlan|mtu|gateway|reserved)\b.*)", finding.key)
    return replace(finding, key=f"{segment.key}.{own[1]}") if own else finding
