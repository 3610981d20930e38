"""The attachment by OVN-Kubernetes to a network of the nodes: the localnet topology.

Source: ovn-kubernetes, docs/features/multiple-networks/multi-homing.md and go-controller (pkg/cni/types, pkg/util
multi_network.go, pkg/allocator/ip).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from config.address_share import parts_of
from config.attachment.base import Attachment, CniAttachment
from config.finding import Finding
from config.types.addressing import AddressRange, Network
from config.types.names import CniName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.address_share import Part
    from config.segment import Segment
    from config.slice import Slice

_IPV6_WINDOW = 2**16
"""Addresses of an IPv6 subnet that OVN's allocator knows. One beyond them in `excludeSubnets` breaks the network."""
_RESERVED_NAMES = {"default", "ovn-kubernetes"}


@dataclass(frozen=True, slots=True)
class OvnIpam:
    """OVN's own address management. It is told what not to give: everything outside the slice, and what is kept free.

    It gives every address of the subnet but the first one, and the last one of IPv4; of IPv6 the first 65,535 only.
    """

    type: Literal["ovn"] = "ovn"

    @staticmethod
    def window(subnet: Network) -> AddressRange:
        """Return the addresses of a subnet, the first one included, that its allocator knows."""
        size = subnet.num_addresses if subnet.version == 4 else min(subnet.num_addresses, _IPV6_WINDOW)
        return AddressRange(subnet.network_address, subnet.network_address + (size - 1))

    @classmethod
    def usable(cls, subnet: Network) -> AddressRange:
        """Return the addresses of a subnet that it gives where nothing is excluded."""
        window = cls.window(subnet)
        return AddressRange(window.first + 1, window.last - 1 if subnet.version == 4 else window.last)

    def excluded(self, segment: Segment, slices: Sequence[Slice]) -> list[Network]:
        """Return what OVN must not give, as the fewest CIDRs of each subnet, in order.

        They never overlap: OVN marks address by address, and one that is marked twice fails the whole network.
        """
        return [block for part in parts_of(segment, slices) for block in self._excluded(part, segment)]

    def _excluded(self, part: Part, segment: Segment) -> Iterator[Network]:
        window = self.window(part.subnet)
        foreign = window.without((part.span,)) if part.is_slice else ()
        kept_free = (common for taken in segment.kept_free if (common := taken.clipped(window)))
        yield from ipaddress.collapse_addresses(block for gap in (*foreign, *kept_free) for block in gap.cidrs())

    def hands_out(self, segment: Segment, slices: Sequence[Slice]) -> int:
        """Count the pods that can get an address of every family that the segment has."""
        return min(self.counted(part) for part in parts_of(segment, slices))

    def counted(self, part: Part) -> int:
        """Count the addresses of one subnet that pods can get."""
        return sum(free.size for free in self.free(part))

    def free(self, part: Part) -> Iterator[AddressRange]:
        """Yield the addresses of one subnet that pods can get, in order."""
        given = part.span.clipped(self.window(part.subnet))
        return iter(()) if given is None else given.without(part.kept_free)


class OvnLocalnet(Attachment):
    """A port of OVN's logical switch, connected to the nodes' physical network by a bridge mapping."""

    vlan_id: int | None = Field(default=None, ge=0, le=4094, alias="vlanID")
    """The tag that OVN puts on; the segment's VLAN when left out. 0 means none: the bridge's uplink tags."""

    @property
    def physical_network(self) -> str:
        """The localnet of the nodes' bridge mapping that the port is connected to."""
        raise NotImplementedError

    @property
    def physical_network_key(self) -> str:
        """The key by which the user named that localnet."""
        return "physicalNetworkName"

    def tag(self, segment: Segment) -> int | None:
        """Return the VLAN tag that OVN puts on: 0 or None for none."""
        return segment.vlan if self.vlan_id is None else self.vlan_id

    @property
    def ipam(self) -> OvnIpam:
        """OVN's own address management: not a key, as there is no other."""
        return OvnIpam()


class Localnet(OvnLocalnet, CniAttachment):
    """A port of OVN's logical switch, connected to the nodes' physical network by a bridge mapping.

    OVN tags with `vlanID` itself and has its own address management, which gets the slice as `excludeSubnets`; there is
    no `ipam`. With `rollout: rename` the name inside the CNI configuration carries the hash too: OVN refuses a second
    configuration of one name.
    """

    refusals: ClassVar[tuple[Finding, ...]] = (
        Finding(
            "ipam",
            None,
            "cannot be combined with localnet: OVN has its own address management, and refuses a network with ipam",
            "Remove it; the slice becomes excludeSubnets",
            code="localnet-ipam",
        ),
        Finding(
            "vlan",
            None,
            "is not the key of the tag in OVN",
            "Write vlanID, or leave it to segment.vlan",
            code="localnet-vlan",
        ),
    )

    type: Literal["localnet"]
    physical_network_name: CniName | None = None
    """The localnet of the nodes' bridge mapping; the name inside the CNI configuration when left out."""

    @property
    def physical_network(self) -> str:
        """The localnet of the nodes' bridge mapping that the port is connected to."""
        return self.physical_network_name or self.cni_name or self.name

    @property
    def physical_network_key(self) -> str:
        """The key by which the user named it: a localnet may go by the network's own name."""
        if self.physical_network_name is not None:
            return "physicalNetworkName"
        return "name" if self.cni_name is None else "cniName"

    def rules(self) -> Iterator[Finding]:
        """What OVN-Kubernetes demands of the name."""
        yield from super().rules()
        name = self.cni_name or self.name
        if name in _RESERVED_NAMES:
            yield Finding(
                "name" if self.cni_name is None else "cniName",
                name,
                "is a name that OVN-Kubernetes keeps for itself; it refuses the network",
                "Choose another cniName",
                code="localnet-name",
            )

    def cni_config(self, segment: Segment, slices: Sequence[Slice], *, namespace: str) -> dict[str, Any]:
        """Return the CNI configuration as OVN-Kubernetes reads it; it names the object that it stands in."""
        content = self._content(segment, slices)
        return content | {
            "name": f"{content['name']}{self._suffix(segment, slices)}",
            "netAttachDefName": f"{namespace}/{self.network(segment, slices)}",
        }

    def _content(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        content = super()._content(segment, slices)
        vlan = self.tag(segment)
        excluded = self.ipam.excluded(segment, slices)
        return (
            {key: value for key, value in content.items() if key != "vlanID"}
            | {
                "type": "ovn-k8s-cni-overlay",
                "topology": "localnet",
                "physicalNetworkName": self.physical_network,
                "subnets": ",".join(str(subnet) for subnet in segment.subnets),
            }
            | ({"vlanID": vlan} if vlan else {})
            | ({"excludeSubnets": ",".join(str(block) for block in excluded)} if excluded else {})
        )
