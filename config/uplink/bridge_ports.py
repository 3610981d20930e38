"""The ports of a bridge: which VLAN tags they let through, and bonds that Open vSwitch makes itself.

Sources: nmstate's schema (`bridge.port[].vlan`, `bridge.port[].link-aggregation` of an ovs-bridge), Open vSwitch's
manual (ovs-vswitchd.conf.db: `bond_mode`, `lacp`, `vlan_mode`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from config.finding import Finding
from config.types.model import Model
from config.types.names import InterfaceName, VlanId
from config.types.vlans import VlanTrunkItem

if TYPE_CHECKING:
    from collections.abc import Iterator


def _as_item(value: object) -> object:
    """Read a single tag as an item."""
    return {"id": value} if isinstance(value, int) and not isinstance(value, bool) else value


_ITEM = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 4094},
        {
            "type": "object",
            "properties": {
                key: {"type": "integer", "minimum": 1, "maximum": 4094, "title": key}
                for key in ("id", "minID", "maxID")
            },
            "additionalProperties": False,
        },
    ]
}
TrunkItem = Annotated[VlanTrunkItem, BeforeValidator(_as_item), WithJsonSchema(_ITEM)]


class VlanFilter(Model):
    """Which VLAN tags a bridge's port lets through: those of a trunk, or the one of an access port."""

    name: InterfaceName
    """The name."""
    trunk: tuple[TrunkItem, ...] | None = Field(default=None, min_length=1)
    """The tags that pass the port: each a number, or `{minID: 100, maxID: 110}`."""
    native: VlanId | None = None
    """The tag inside the bridge of what is untagged outside, beside those of `trunk`."""
    access: VlanId | None = None
    """The only tag that passes, inside the bridge; it is untagged outside, as on an access port of a switch."""

    @property
    def untags(self) -> int | None:
        """The tag that the port takes off on the way out of the node; None when it keeps them all."""
        return self.access or self.native

    def lets_pass(self, tag: int) -> bool:
        """Tell whether frames leave that have this tag inside the bridge, which is not 0."""
        if self.access is not None:
            return tag == self.access
        return not self.trunk or tag == self.native or any(tag in item.vlans for item in self.trunk)

    def vlan_state(self, tags: tuple[int, ...] = ()) -> dict[str, Any]:
        """Return nmstate's `vlan` of the port; `tags` pass where nothing is said here."""
        if self.access is not None:
            return {"vlan": {"mode": "access", "tag": self.access}}
        items = self.trunk or tuple(VlanTrunkItem(id=tag) for tag in tags)
        if not items:
            return {}
        native = {} if self.native is None else {"enable-native": True, "tag": self.native}
        return {"vlan": {"mode": "trunk", "trunk-tags": [_tag(item) for item in items], **native}}

    def rules(self) -> Iterator[Finding]:
        """A port is of one mode."""
        if self.access is not None and (self.trunk or self.native):
            yield Finding(
                "access",
                self.access,
                "is combined with trunk or native, and a port is one or the other",
                "Keep access, or trunk",
                code="uplink-port-vlan",
            )
        elif self.native is not None and not self.trunk:
            yield Finding(
                "native",
                self.native,
                "is given without a trunk",
                f"Write access: {self.native} where no other VLAN passes, or add trunk",
                code="uplink-port-vlan",
            )


def _tag(item: VlanTrunkItem) -> dict[str, Any]:
    if item.id is not None:
        return {"id": item.id}
    return {"id-range": {"min": item.min_id, "max": item.max_id}}


class OvsBond(Model):
    """Several NICs as one, by Open vSwitch itself: no interface of the node stands for it."""

    mode: Literal["active-backup", "balance-slb", "balance-tcp", "lacp"]
    """How it spreads traffic. balance-slb, by source address and VLAN, and active-backup need nothing of the switch;
    balance-tcp and lacp (active-backup over what LACP has negotiated) need LACP on the switch's ports."""
    ports: tuple[InterfaceName, ...] = Field(min_length=1)
    """Its NICs, two or more."""
    updelay: int | None = Field(default=None, ge=0, le=2**32 - 1)
    """Milliseconds before a NIC that got its link back is used."""
    downdelay: int | None = Field(default=None, ge=0, le=2**32 - 1)
    """Milliseconds before a NIC that lost its link is given up."""
    other_config: dict[str, str] | None = Field(default=None, min_length=1)
    """Further settings by Open vSwitch's names, such as lacp-time: fast or bond-primary: ens1f0."""

    def rules(self) -> Iterator[Finding]:
        """Open vSwitch takes a bond of one for a mistake, and makes a plain port of it."""
        if len(self.ports) == 1:
            yield Finding(
                "ports",
                self.ports[0],
                "is the only NIC, and Open vSwitch makes a bond of two or more",
                "Add the other one, or name the NIC as the port without linkAggregation",
                code="uplink-ovs-bond-ports",
            )

    def state(self) -> dict[str, Any]:
        """Return nmstate's `link-aggregation` of the port."""
        state: dict[str, Any] = {"mode": self.mode, "port": [{"name": name} for name in self.ports]}
        for key, value in (("bond-updelay", self.updelay), ("bond-downdelay", self.downdelay)):
            state |= {} if value is None else {key: value}
        return state | ({"ovs-db": {"other_config": dict(self.other_config)}} if self.other_config else {})


class OvsPort(VlanFilter):
    """One port of an Open vSwitch bridge: a NIC, the bond or VLAN interface below, or a bond of its own."""

    name: InterfaceName
    """The NIC or the layer below; with `linkAggregation`, the name of the bond inside Open vSwitch."""
    link_aggregation: OvsBond | None = None
    """The bond that Open vSwitch makes of several NICs."""

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The interfaces of the node that it takes."""
        return (self.name,) if self.link_aggregation is None else self.link_aggregation.ports

    def state(self) -> dict[str, Any]:
        """Return it as nmstate's port."""
        bond = {} if self.link_aggregation is None else {"link-aggregation": self.link_aggregation.state()}
        return {"name": self.name, **bond, **self.vlan_state()}
