"""How pods attach to the segment: one model for each CNI plugin, each with that plugin's keys and no others.

Sources: the documentation of the CNI plugins `macvlan`, `ipvlan` and `bridge`, and the OpenShift Virtualization
documents. OVN's localnet has files of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from config.attachment.base import Attachment, DelegatingAttachment
from config.attachment.ipam import Dhcp
from config.attachment.localnet import Localnet
from config.attachment.user_network import ClusterUserDefinedNetwork
from config.finding import Finding
from config.types.names import InterfaceName
from config.types.vlans import VlanTrunkItem

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "UNFIT_TYPES",
    "AnyAttachment",
    "Attachment",
    "Bridge",
    "ClusterUserDefinedNetwork",
    "Ipvlan",
    "Localnet",
    "Macvlan",
    "VlanTrunkItem",
]


class Macvlan(DelegatingAttachment):
    """A macvlan interface on the NIC `master`.

    `master` has no default here: the plugin's own is the NIC of the default route, which is never the one to use.
    """

    type: Literal["macvlan"]
    master: InterfaceName
    """The NIC for migration: an interface of that name on every node."""
    mode: Literal["bridge", "private", "vepa", "passthru"] = "bridge"
    """How macvlan interfaces on one NIC see each other."""


class Ipvlan(DelegatingAttachment):
    """An ipvlan interface on the NIC `master`, with that NIC's MAC address: for switches that allow one per port.

    `master` has no default here: the plugin's own is the NIC of the default route. No macvlan interface can be on the
    same NIC.
    """

    type: Literal["ipvlan"]
    master: InterfaceName
    """The NIC for migration: an interface of that name on every node."""
    mode: Literal["l2", "l3", "l3s"] = "l2"
    """l2 switches; l3 and l3s route, and answer no neighbour that asks for a pod's address."""

    def rules(self) -> Iterator[Finding]:
        """DHCP tells clients by their MAC address, and here all have the same one."""
        yield from super().rules()
        if isinstance(self.ipam, Dhcp):
            yield Finding(
                "ipam.type",
                "dhcp",
                "cannot work with ipvlan: all its interfaces share the NIC's MAC address, by which DHCP tells clients",
                "Use whereabouts, or macvlan",
                code="ipvlan-dhcp",
            )


class Bridge(DelegatingAttachment):
    """A veth pair into the Linux bridge `bridge` of the node (the plugin's default: `cni0`).

    `vlan` is the tag on the host end of the veth pair; `vlanTrunk` the tags that it lets through. Both turn on
    `vlan_filtering` at the bridge, and the bridge's uplink must carry them too.
    """

    type: Literal["bridge", "cnv-bridge"]
    """cnv-bridge is OpenShift's older name of the same plugin."""
    bridge: InterfaceName | None = None
    """The Linux bridge that has the migration NIC as its port; cni0 when left out."""
    is_gateway: bool | None = None
    """Give the bridge an address. No migration needs it."""
    is_default_gateway: bool | None = None
    """Make the bridge the pods' default route. No migration needs it."""
    force_address: bool | None = None
    """Replace the bridge's address when it differs."""
    ip_masq: bool | None = None
    """Rewrite the source of traffic that leaves the node. No migration needs it."""
    ip_masq_backend: Literal["iptables", "nftables"] | None = None
    """What rewrites it; only with ipMasq."""
    hairpin_mode: bool | None = None
    """Let a pod reach itself through the bridge; not with promiscMode."""
    promisc_mode: bool | None = None
    """Put the bridge into promiscuous mode; not with hairpinMode."""
    vlan: int | None = Field(default=None, ge=0, le=4094)
    """The tag on the host end of the veth pair, the segment's VLAN; 0 means none."""
    preserve_default_vlan: bool | None = None
    """Whether the port stays on the bridge's default VLAN too; the default differs between versions."""
    vlan_trunk: tuple[VlanTrunkItem, ...] | None = Field(default=None, min_length=1)
    """The tags that the host end lets through."""
    enabledad: bool | None = None
    """Wait for duplicate address detection."""
    macspoofchk: bool | None = None
    """Refuse frames from a pod with another MAC address than its own."""
    port_isolation: bool | None = None
    """Keep pods on one bridge from reaching each other."""

    def rules(self) -> Iterator[Finding]:
        """What the bridge plugin demands between its keys."""
        yield from super().rules()
        if self.hairpin_mode and self.promisc_mode:
            yield Finding(
                "promiscMode",
                True,
                "cannot be combined with hairpinMode true; the plugin refuses every pod",
                "Keep one of them",
                code="bridge-hairpin-promisc",
            )
        if self.is_default_gateway and self.is_gateway is False:
            yield Finding(
                "isGateway",
                False,
                "contradicts isDefaultGateway true, which makes the bridge a gateway",
                "Leave isGateway out",
                code="bridge-default-gateway",
            )
        if self.ip_masq_backend is not None and not self.ip_masq:
            yield Finding(
                "ipMasqBackend",
                self.ip_masq_backend,
                "has no effect without ipMasq true",
                "Remove it",
                code="bridge-masq-backend",
            )


AnyAttachment = Annotated[Macvlan | Ipvlan | Bridge | Localnet | ClusterUserDefinedNetwork, Field(discriminator="type")]


def attached_to(attachment: AnyAttachment) -> str | None:
    """Return the nodes' interface or bridge that an attachment names; None where it names none, or a localnet."""
    found: str | None = getattr(attachment, "master", None) or getattr(attachment, "bridge", None)
    return found


UNFIT_TYPES: tuple[Finding, ...] = (
    Finding(
        "sriov",
        None,
        "is not supported for virt-handler: KubeVirt attaches the migration network by its name alone, and requests no"
        " SR-IOV device for the pods",
        "Use macvlan or a bridge on the physical function",
        code="attachment-sriov",
    ),
    Finding(
        "host-device",
        None,
        "moves the NIC itself into one pod, and virt-handler and the synchronization controller of a node both need it",
        "Use macvlan on that NIC",
        code="attachment-host-device",
    ),
)
"""Types of attachment that exist and cannot carry migrations."""
