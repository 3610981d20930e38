"""How pods attach to the segment: one model for each CNI plugin, each with that plugin's keys and no others.

Sources: the documentation of the CNI plugins `macvlan` and `bridge`, and the OpenShift Virtualization documents.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from config.ipam import Ipam, Slice, Whereabouts
from config.model import Broken, Model
from config.names import CniName, DnsLabel, InterfaceName, Mtu

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.segment import Segment

_NOT_CNI = {"name", "cni_name", "adopt", "ipam", "mtu"}


class Attachment(Model):
    """What every attachment has: the NetworkAttachmentDefinition's name, the CNI version and the IPAM.

    `name` is the object's name and the value of the HyperConverged's `network`; `cniName` is the name inside the CNI
    configuration (default: `name`). `mtu` is in bytes (default: the segment's). `adopt: true` consents to taking over a
    NetworkAttachmentDefinition of that name that somebody else made.
    """

    name: DnsLabel
    """The NetworkAttachmentDefinition's name, and the HyperConverged's `network`."""
    cni_name: CniName | None = None
    """The name inside the CNI configuration; `name` when left out."""
    cni_version: Literal["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] = "0.3.1"
    """The version of the CNI specification."""
    mtu: Mtu | None = None
    """Bytes, at most the segment's; the segment's when left out."""
    adopt: bool = False
    """Consent to take over a NetworkAttachmentDefinition of that name that somebody else made."""
    ipam: Ipam = Whereabouts(type="whereabouts")
    """How pods get their addresses."""

    def cni_config(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        """Return the CNI configuration of this attachment to `segment`."""
        config = self.model_dump(by_alias=True, exclude_none=True, exclude=_NOT_CNI, mode="json")
        config |= {"name": self.cni_name or self.name, "ipam": self.ipam.render(segment, slices)}
        mtu = self.mtu or segment.mtu
        return config if mtu is None else config | {"mtu": mtu}


class Macvlan(Attachment):
    """A macvlan interface on the NIC `master`.

    `master` has no default here: the plugin's own is the NIC of the default route, which is never the one to use.
    """

    type: Literal["macvlan"]
    master: InterfaceName
    """The NIC for migration: an interface of that name on every node."""
    mode: Literal["bridge", "private", "vepa", "passthru"] = "bridge"
    """How macvlan interfaces on one NIC see each other."""


class VlanTrunkItem(Model):
    """One VLAN (`id`), or an inclusive range of them (`minID` to `maxID`)."""

    id: int | None = Field(default=None, ge=1, le=4094)
    """One VLAN."""
    min_id: int | None = Field(default=None, ge=1, le=4094, alias="minID")
    """The first VLAN of a range."""
    max_id: int | None = Field(default=None, ge=1, le=4094, alias="maxID")
    """The last VLAN of a range, inclusive."""

    def rules(self) -> Iterator[Broken]:
        """Either an id, or both ends of a range in order (bridge plugin, collectVlanTrunk)."""
        given = (self.id is not None, self.min_id is not None, self.max_id is not None)
        if given not in {(True, False, False), (False, True, True)}:
            yield Broken(
                "vlan-trunk-item",
                "id",
                self.id,
                "is neither a single VLAN nor a range",
                "Write {id: 100}, or {minID: 100, maxID: 110}",
            )
        elif self.min_id is not None and self.max_id is not None and self.max_id < self.min_id:
            yield Broken("vlan-trunk-order", "maxID", self.max_id, f"is below minID {self.min_id}", "Swap them")


class Bridge(Attachment):
    """A veth pair into the Linux bridge `bridge` of the node (the plugin's default: `cni0`).

    `vlan` is the tag on the host end of the veth pair; `vlanTrunk` the tags that it lets through. Both turn on
    `vlan_filtering` at the bridge, and the bridge's uplink must carry them too.
    """

    type: Literal["bridge"]
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

    def rules(self) -> Iterator[Broken]:
        """What the bridge plugin demands between its keys."""
        if self.hairpin_mode and self.promisc_mode:
            yield Broken(
                "bridge-hairpin-promisc",
                "promiscMode",
                True,
                "cannot be combined with hairpinMode true; the plugin refuses every pod",
                "Keep one of them",
            )
        if self.is_default_gateway and self.is_gateway is False:
            yield Broken(
                "bridge-default-gateway",
                "isGateway",
                False,
                "contradicts isDefaultGateway true, which makes the bridge a gateway",
                "Leave isGateway out",
            )
        if self.ip_masq_backend is not None and not self.ip_masq:
            yield Broken(
                "bridge-masq-backend",
                "ipMasqBackend",
                self.ip_masq_backend,
                "has no effect without ipMasq true",
                "Remove it",
            )


AnyAttachment = Annotated[Macvlan | Bridge, Field(discriminator="type")]


def canonical_json(config: dict[str, Any]) -> str:
    """Write a CNI configuration the one way this project writes it: sorted keys, no blanks.

    A NetworkAttachmentDefinition holds it as a string, so any other spelling would count as a change.
    """
    return json.dumps(config, sort_keys=True, separators=(",", ":"))
