"""One stack: one cluster, its attachment to the segment, its slice and its limits."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, RootModel

from config.addressing import AddressRange, Network, Subnet
from config.attachment import AnyAttachment, Bridge, Macvlan, canonical_json
from config.cluster import Cluster
from config.findings import ConfigError, Finding
from config.hyperconverged import HyperConverged
from config.ipam import Dhcp, HostLocal, Slice, Static, Whereabouts
from config.model import parse
from config.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SYNC_CONTROLLERS = 2
"""Pods of virt-synchronization-controller, each with an address of its own (cross-cluster migration)."""
SURGE = 1
"""Pods beyond the wanted number while a rollout is under way."""


class _Attachment(RootModel[AnyAttachment]):
    """The attachment, of whichever type."""


_Cidrs = Annotated[tuple[Subnet, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _OtherNetworks(RootModel[dict[str, _Cidrs]]):
    """Networks that the segment must not overlap, by name: `machine: 10.0.0.0/16`, or a list of them."""


_SECTIONS: dict[str, type[BaseModel]] = {
    "segment": Segment,
    "cluster": Cluster,
    "attachment": _Attachment,
    "slice": Slice,
    "hyperConverged": HyperConverged,
    "otherNetworks": _OtherNetworks,
}
_REQUIRED = ("segment", "cluster", "attachment")


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that one stack declares, valid in itself."""

    name: str
    segment: Segment
    cluster: Cluster
    attachment: Macvlan | Bridge
    slice: Slice | None = None
    hyper_converged: HyperConverged = field(default_factory=HyperConverged)
    other_networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)

    @property
    def span(self) -> AddressRange:
        """The addresses that belong to the stack: its slice, or the whole usable subnet."""
        return self.segment.usable if self.slice is None else self.slice.span

    @property
    def cni_config(self) -> dict[str, Any]:
        """The CNI configuration of the NetworkAttachmentDefinition."""
        return self.attachment.cni_config(self.segment, self.slice)

    @property
    def cni_json(self) -> str:
        """The same as the canonical JSON that the object holds."""
        return canonical_json(self.cni_config)

    @property
    def demand(self) -> int | None:
        """Addresses that the cluster needs (nodes, sync controllers and surge), or None when `nodes` is not given."""
        return None if self.cluster.nodes is None else self.cluster.nodes + SYNC_CONTROLLERS + SURGE

    @property
    def capacity(self) -> int | None:
        """Addresses that the cluster can hand out, or None when the IPAM keeps no count of its own here."""
        ipam = self.attachment.ipam
        return ipam.hands_out(self.segment, self.slice) if isinstance(ipam, Whereabouts) else None


def load_stack(name: str, values: Mapping[str, object]) -> Stack:
    """Read one stack from its config values (key without the project's namespace, to YAML value or JSON text).

    Raises ConfigError with every mistake that is in them.
    """
    findings: list[Finding] = list(_stack_name(name))
    parts: dict[str, Any] = {}
    # In one order, whoever passes the values: the CLI sorts them, a file does not.
    for key, raw in sorted(values.items(), key=lambda item: [*_SECTIONS, item[0]].index(item[0])):
        section = _SECTIONS.get(key)
        if section is None:
            near = difflib.get_close_matches(key, _SECTIONS, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            findings.append(
                Finding(
                    "error",
                    "key-unknown",
                    name,
                    key,
                    None,
                    "is not a config key",
                    f"{hint}Keys: {', '.join(_SECTIONS)}",
                )
            )
            continue
        result = parse(section, _decoded(raw), stack=name, key=key)
        if isinstance(result, tuple):
            findings.extend(result)
        else:
            parts[key] = result.root if isinstance(result, RootModel) else result
    findings.extend(
        Finding("error", "key-missing", name, key, None, "is required", _WHERE_MISSING[key])
        for key in _REQUIRED
        if key not in values
    )
    findings.extend(finding for rule in _RULES for finding in rule(name, parts))
    if findings:
        raise ConfigError(findings)
    return Stack(
        name=name,
        segment=parts["segment"],
        cluster=parts["cluster"],
        attachment=parts["attachment"],
        slice=parts.get("slice"),
        hyper_converged=parts.get("hyperConverged", HyperConverged()),
        other_networks=parts.get("otherNetworks", {}),
    )


_WHERE_MISSING = {
    "segment": "Set it in Pulumi.yaml under config.segment.default, so that all stacks share it",
    "cluster": "Add it to the stack file, such as cluster: {context: prod-1}",
    "attachment": "Add it to the stack file, such as attachment: {type: macvlan, name: migration, master: eth1}",
}


def _decoded(raw: object) -> object:
    """Pulumi hands structured values to a program as JSON text; a stack file holds them as they are."""
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _stack_name(name: str) -> Iterator[Finding]:
    # The name becomes the value of a label (app.kubernetes.io/instance).
    if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name):
        yield Finding(
            "error",
            "stack-name",
            name,
            "stack",
            name,
            "cannot be the value of a Kubernetes label (at most 63 letters, digits, - _ ., beginning and ending with a"
            " letter or digit)",
            "Rename the stack with pulumi stack rename",
        )


def _slice_inside(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """A slice lies within the usable addresses of the segment: whereabouts ignores an end that does not."""
    segment, slice_ = parts.get("segment"), parts.get("slice")
    if segment is None or slice_ is None:
        return
    for key, address in (("slice.rangeStart", slice_.range_start), ("slice.rangeEnd", slice_.range_end)):
        if address not in segment.usable:
            yield Finding(
                "error",
                "slice-outside",
                name,
                key,
                str(address),
                f"is not a usable address of subnet {segment.subnet}; whereabouts ignores it and hands out addresses"
                " of other clusters",
                f"Use addresses of {segment.usable}",
            )


def _slice_spares_reserved(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """A slice contains neither the gateway nor a reserved address: whereabouts would give them to pods."""
    segment, slice_ = parts.get("segment"), parts.get("slice")
    if segment is None or slice_ is None or any(_slice_inside(name, parts)):
        return
    for kept_free in segment.kept_free:
        if kept_free.overlaps(slice_.span):
            what = "gateway" if kept_free.first == segment.gateway else "reserved part"
            yield Finding(
                "error",
                "slice-reserved",
                name,
                "slice",
                str(slice_.span),
                f"contains the segment's {what} {kept_free}",
                "Move rangeStart or rangeEnd so that it stays outside",
            )


def _slice_used(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """A slice needs an IPAM that reads it."""
    attachment = parts.get("attachment")
    if parts.get("slice") is not None and attachment is not None and isinstance(attachment.ipam, Dhcp | Static):
        yield Finding(
            "error",
            "slice-unused",
            name,
            "slice",
            str(parts["slice"].span),
            f"has no effect with attachment.ipam.type {attachment.ipam.type}",
            "Remove slice, or use ipam type whereabouts",
        )


def _exclude_inside(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """An exclude lies in the subnet and leaves something to hand out."""
    segment, attachment = parts.get("segment"), parts.get("attachment")
    if segment is None or attachment is None or not isinstance(attachment.ipam, Whereabouts):
        return
    for index, block in enumerate(attachment.ipam.exclude):
        if block.version != segment.subnet.version or not block.overlaps(segment.subnet):
            yield Finding(
                "error",
                "exclude-outside",
                name,
                f"attachment.ipam.exclude[{index}]",
                str(block),
                f"is not inside subnet {segment.subnet}",
                "Remove it",
            )
    slice_ = parts.get("slice")
    if any(_slice_inside(name, parts)):
        return
    if attachment.ipam.hands_out(segment, slice_) == 0:
        yield Finding(
            "error",
            "range-empty",
            name,
            "attachment.ipam",
            None,
            "leaves no address: gateway, reserved and excluded ones take the whole range",
            "Widen the slice, or exclude less",
        )


def _mtu_fits(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """A pod's MTU is not above the segment's: larger packets would be dropped on the way."""
    segment, attachment = parts.get("segment"), parts.get("attachment")
    if segment and attachment and segment.mtu and attachment.mtu and attachment.mtu > segment.mtu:
        yield Finding(
            "error",
            "mtu-above-segment",
            name,
            "attachment.mtu",
            attachment.mtu,
            f"is above segment.mtu {segment.mtu}",
            "Leave it out to use the segment's",
        )


def _vlan_agrees(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """A bridge attachment that tags uses the segment's VLAN."""
    segment, attachment = parts.get("segment"), parts.get("attachment")
    if segment is None or segment.vlan is None or not isinstance(attachment, Bridge) or not attachment.vlan:
        return
    if attachment.vlan != segment.vlan:
        yield Finding(
            "error",
            "vlan-differs",
            name,
            "attachment.vlan",
            attachment.vlan,
            f"is not segment.vlan {segment.vlan}; this cluster would be alone on its VLAN",
            f"Write {segment.vlan}, or leave it out where the uplink tags",
        )


def _apart_from_other_networks(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """The segment overlaps no other network of the cluster, else traffic goes out of the wrong interface."""
    segment = parts.get("segment")
    if segment is None:
        return
    for network, cidrs in (parts.get("otherNetworks") or {}).items():
        for cidr in cidrs:
            if _overlap(segment.subnet, cidr):
                yield Finding(
                    "error",
                    "subnet-overlap",
                    name,
                    "segment.subnet",
                    str(segment.subnet),
                    f"overlaps otherNetworks.{network} {cidr}",
                    "Choose a subnet that no network of this cluster uses",
                )


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def _capacity_meets_demand(name: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    """The range has an address for every pod that needs one."""
    if any(section not in parts for section in _REQUIRED) or any(_slice_inside(name, parts)):
        return
    stack = Stack(name, parts["segment"], parts["cluster"], parts["attachment"], parts.get("slice"))
    if stack.demand is not None and stack.capacity is not None and stack.capacity < stack.demand:
        yield Finding(
            "error",
            "slice-too-small",
            name,
            "slice" if stack.slice else "segment.subnet",
            str(stack.slice.span if stack.slice else stack.segment.subnet),
            f"has {stack.capacity} addresses, and the cluster needs {stack.demand}"
            f" ({stack.cluster.nodes} nodes + {SYNC_CONTROLLERS} sync controllers + {SURGE} during a rollout)",
            "Widen it",
        )


_RULES = (
    _slice_inside,
    _slice_spares_reserved,
    _slice_used,
    _exclude_inside,
    _mtu_fits,
    _vlan_agrees,
    _apart_from_other_networks,
    _capacity_meets_demand,
)


def warnings(stack: Stack) -> Iterator[Finding]:
    """Yield what is allowed and yet likely not meant."""
    attachment = stack.attachment
    if isinstance(attachment.ipam, Static | HostLocal):
        kind = attachment.ipam.type
        yield Finding(
            "warning",
            "ipam-duplicates",
            stack.name,
            "attachment.ipam.type",
            kind,
            "gives the same addresses on every node: static has one set, and host-local keeps its books per node",
            "Use whereabouts, whose books are cluster-wide",
        )
    if isinstance(attachment, Bridge):
        yield from _bridge_warnings(stack.name, attachment)


def _bridge_warnings(name: str, bridge: Bridge) -> Iterator[Finding]:
    if bridge.bridge is None:
        yield Finding(
            "warning",
            "bridge-default",
            name,
            "attachment.bridge",
            None,
            "is not set, so the plugin uses cni0, which it creates without any uplink where it is missing",
            "Name the bridge that has the migration NIC as its port",
        )
    for key, on in (
        ("isGateway", bridge.is_gateway),
        ("isDefaultGateway", bridge.is_default_gateway),
        ("ipMasq", bridge.ip_masq),
    ):
        if on:
            yield Finding(
                "warning",
                "bridge-gateway",
                name,
                f"attachment.{key}",
                True,
                "gives the node an address on the migration network or rewrites sources; no migration needs it",
                "Remove it",
            )
    if (bridge.vlan or bridge.vlan_trunk) and bridge.preserve_default_vlan is None:
        yield Finding(
            "warning",
            "bridge-default-vlan",
            name,
            "attachment.preserveDefaultVlan",
            None,
            "is not set, and its default differs between versions of the plugin",
            "Write false to keep the port off the default VLAN",
        )
