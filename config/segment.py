"""The segment: the one network that the live migrations of all clusters share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.addressing import AddressRange, InclusiveRange, IPAddress, Network, Subnet
from config.model import Broken, Model
from config.names import Mtu, VlanId

if TYPE_CHECKING:
    from collections.abc import Iterator


class Segment(Model):
    """The network shared by all clusters' migrations: L2, or routed through `gateway`.

    `mtu` is in bytes and goes into every attachment that names none of its own. `gateway` and `reserved` (both ends
    inclusive) are never handed out.
    """

    subnet: Subnet
    """The subnet in CIDR form, the same for every cluster."""
    vlan: VlanId | None = None
    """The VLAN that carries it, when it has one."""
    mtu: Mtu | None = None
    """Bytes. It goes into every attachment that names none of its own; the kernel's default when left out."""
    gateway: IPAddress | None = None
    """The router's address, when the segment is routed. Never handed out."""
    reserved: tuple[InclusiveRange, ...] = ()
    """Addresses, and ranges with both ends inclusive, that are never handed out."""

    @property
    def subnets(self) -> tuple[Network, ...]:
        """The subnets, one for each address family, the family that virt-handler uses first."""
        return (self.subnet,)

    @property
    def usable(self) -> AddressRange:
        """Every address of the subnet but its first and last one; gateway and reserved ones are among them."""
        return AddressRange.usable(self.subnet)

    @property
    def kept_free(self) -> tuple[AddressRange, ...]:
        """What nobody may be given: the gateway and the reserved ranges."""
        gateway = () if self.gateway is None else (AddressRange(self.gateway, self.gateway),)
        return (*gateway, *self.reserved)

    def rules(self) -> Iterator[Broken]:
        """What must hold between the subnet, the gateway and the reserved addresses."""
        # whereabouts refuses /31 and /32 (IPv6 /127, /128) when the first pod asks: observed with the real plugin.
        if self.subnet.num_addresses < 4:
            longest = self.subnet.max_prefixlen - 2
            yield Broken(
                "subnet-too-small",
                "subnet",
                str(self.subnet),
                "has no usable address for pods",
                f"Use a prefix of /{longest} or shorter",
            )
            return
        # virt-handler binds the first global unicast address of migration0 (FACTS: KubeVirt's use of the network).
        if any(
            (
                self.subnet.is_multicast,
                self.subnet.is_loopback,
                self.subnet.is_link_local,
                self.subnet.is_unspecified,
            )
        ):
            yield Broken(
                "subnet-not-unicast",
                "subnet",
                str(self.subnet),
                "is not a unicast subnet, and virt-handler uses global unicast addresses only",
                "Use a private range, such as 10.200.5.0/24",
            )
        if self.gateway is not None and self.gateway not in self.usable:
            yield Broken(
                "gateway-outside",
                "gateway",
                str(self.gateway),
                f"is not a usable address of subnet {self.subnet}",
                f"Use one of {self.usable}, or leave gateway out",
            )
        bounds = AddressRange(self.subnet.network_address, self.subnet.broadcast_address)
        for index, reserved in enumerate(self.reserved):
            if reserved.first not in bounds or reserved.last not in bounds:
                yield Broken(
                    "reserved-outside",
                    f"reserved[{index}]",
                    str(reserved),
                    f"is not inside subnet {self.subnet}",
                    f"Use addresses of {bounds}, or remove it",
                )
