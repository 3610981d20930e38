"""The options of a bond that nmstate knows: a closed list with types, of which any other fails a policy on the node.

Sources: nmstate's `BondOptions` (names, types, what it refuses), the kernel's `bond_options.c` (bounds, modes).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from config.finding import Finding
from config.types.model import Model, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INT_MAX = 2**31 - 1
_TRUE, _FALSE = {"1", "true", "yes", "on", "y"}, {"0", "false", "no", "off", "n"}


@dataclass(frozen=True)
class _Option:
    """Goes with Any: how an option's value is checked, which stays as it was written, and what an editor knows."""

    validate: Callable[[Any], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.schema


def _count(least: int, most: int) -> _Option:
    def validate(value: Any) -> Any:
        number = _number(value)
        if number is None or not least <= number <= most:
            refuse("uplink-bond-option", f"is not a whole number from {least} to {most}", "Correct it, or leave it out")
        return value

    whole = {"type": "integer", "minimum": least, "maximum": most}
    return _Option(validate, {"anyOf": [whole, {"type": "string", "pattern": "^([0-9]+|0x[0-9a-fA-F]+)$"}]})


def _number(value: object) -> int | None:
    """Return a number that is written as one, or as text: nmstate takes both."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}|0x[0-9a-fA-F]{1,16}", value):
        return int(value, 0 if value.startswith("0x") else 10)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _choice(*names: str) -> _Option:
    def validate(value: Any) -> Any:
        if value not in names and not (str(_number(value)).isdecimal() and int(_number(value) or 0) < len(names)):
            refuse("uplink-bond-option", "is not a value of this option", f"Choose {', '.join(names)}")
        return value

    return _Option(validate, {"enum": [*names, *range(len(names))]})


def _flag(value: Any) -> Any:
    if _truth(value) is None:
        refuse("uplink-bond-option", "is neither true nor false", "Write true or false")
    return value


def _truth(value: object) -> bool | None:
    text = str(value).lower() if isinstance(value, bool | int | str) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def _mac(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", value):
        refuse("uplink-bond-option", "is not a MAC address", "Write it in quotes, such as '02:00:00:00:00:01'")
    if int(value[:2], 16) & 1:
        refuse(
            "uplink-bond-option", "is no address of one host", "Write a unicast address, such as '02:00:00:00:00:01'"
        )
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        refuse("uplink-bond-option", "is not text", "Write the name of one of the bond's ports")
    return value


def _targets(version: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> Callable[[Any], list[object] | None]:
    def read(value: Any) -> list[object] | None:
        try:
            return [version(each) for each in value]
        except (ValueError, TypeError):
            return None

    return read


def _arp_targets(value: Any) -> Any:
    found = _targets(ipaddress.IPv4Address)(value.split(",")) if isinstance(value, str) else None
    if value != "" and (found is None or len(found) > 16):
        refuse(
            "uplink-bond-option",
            "is not a text of 1 to 16 IPv4 addresses with commas between",
            "Write 10.0.0.1,10.0.0.2",
        )
    return value


def _neighbours(value: Any) -> Any:
    if not isinstance(value, list | tuple) or _targets(ipaddress.IPv6Address)(value) is None or len(value) > 16:
        refuse("uplink-bond-option", "is not a list of at most 16 IPv6 addresses", "Write [fd00::1, fd00::2]")
    return list(value)


_FLAG = _Option(_flag, {"anyOf": [{"type": "boolean"}, {"enum": [0, 1, "yes", "no", "on", "off"]}]})
_MILLISECONDS = _count(0, _INT_MAX)

_ONLY_LACP = ("802.3ad",)
_WITHOUT_ARP = {"802.3ad", "balance-tlb", "balance-alb"}
_REFUSED_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "lacp_rate": _ONLY_LACP,
    "lacp_active": _ONLY_LACP,
    "primary": ("active-backup", "balance-tlb", "balance-alb"),
}
"""Options that nmstate or NetworkManager refuses in any other mode."""
UNUSED_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "ad_actor_sys_prio": _ONLY_LACP,
    "ad_actor_system": _ONLY_LACP,
    "ad_select": _ONLY_LACP,
    "ad_user_port_key": _ONLY_LACP,
    "min_links": _ONLY_LACP,
    "packets_per_slave": ("balance-rr",),
    "fail_over_mac": ("active-backup",),
    "primary_reselect": ("active-backup", "balance-tlb", "balance-alb"),
    "lp_interval": ("balance-tlb", "balance-alb"),
    "tlb_dynamic_lb": ("balance-tlb", "balance-alb"),
    "xmit_hash_policy": ("balance-xor", "802.3ad", "balance-tlb", "balance-alb"),
}
"""Options that do nothing in any other mode."""


class BondOptions(Model):
    """Options of the bonding driver, by nmstate's names; they go to the nodes as they are written."""

    # These are nmstate's own names, not ours.
    model_config = ConfigDict(alias_generator=None)

    ad_actor_sys_prio: Annotated[Any, _count(1, 65535)] = None
    """System priority in 802.3ad, 1 to 65535."""
    ad_actor_system: Annotated[Any, _Option(_mac, {"type": "string"})] = None
    """MAC address for LACP's frames, in 802.3ad."""
    ad_select: Annotated[Any, _choice("stable", "bandwidth", "count")] = None
    """How 802.3ad selects an aggregator."""
    ad_user_port_key: Annotated[Any, _count(0, 1023)] = None
    """The upper 10 bits of the port key, in 802.3ad."""
    all_slaves_active: Annotated[Any, _choice("dropped", "delivered")] = None
    """What becomes of duplicate frames on inactive ports."""
    arp_all_targets: Annotated[Any, _choice("any", "all")] = None
    """How many ARP targets must answer."""
    arp_interval: Annotated[Any, _MILLISECONDS] = None
    """Milliseconds between ARP probes, 0 for none. Not with miimon, nor in 802.3ad, balance-tlb, balance-alb."""
    arp_ip_target: Annotated[Any, _Option(_arp_targets, {"type": "string"})] = None
    """IPv4 addresses to probe, one text with commas."""
    arp_missed_max: Annotated[Any, _count(1, 255)] = None
    """Probes that may fail before a port counts as down."""
    arp_validate: Annotated[
        Any, _choice("none", "active", "backup", "all", "filter", "filter_active", "filter_backup")
    ] = None
    """Which ports' probes are checked."""
    balance_slb: Annotated[Any, _FLAG] = None
    """Balance by source address and VLAN: needs balance-xor and xmit_hash_policy vlan+srcmac."""
    balance_slb_hyphen: Annotated[Any, _FLAG] = Field(default=None, alias="balance-slb")
    """The same as balance_slb: nmstate knows both spellings."""
    downdelay: Annotated[Any, _MILLISECONDS] = None
    """Milliseconds before a port that lost its link is disabled."""
    fail_over_mac: Annotated[Any, _choice("none", "active", "follow")] = None
    """Which MAC addresses the ports of active-backup have."""
    lacp_active: Annotated[Any, _FLAG] = None
    """Whether LACP frames are sent unasked, in 802.3ad only."""
    lacp_rate: Annotated[Any, _choice("slow", "fast")] = None
    """How often the switch shall send LACP frames, in 802.3ad only."""
    lp_interval: Annotated[Any, _count(1, _INT_MAX)] = None
    """Seconds between learning packets."""
    miimon: Annotated[Any, _MILLISECONDS] = None
    """Milliseconds between looks at the links, such as 100; 0 for none. Not together with arp_interval."""
    min_links: Annotated[Any, _count(0, _INT_MAX)] = None
    """Ports with a link that the bond must have to be up."""
    ns_ip6_target: Annotated[
        Any, _Option(_neighbours, {"type": "array", "items": {"type": "string"}, "maxItems": 16})
    ] = None
    """IPv6 addresses to probe, a list."""
    num_grat_arp: Annotated[Any, _count(0, 255)] = None
    """Announcements after a failover."""
    num_unsol_na: Annotated[Any, _count(0, 255)] = None
    """The same as num_grat_arp."""
    packets_per_slave: Annotated[Any, _count(0, 65535)] = None
    """Packets through one port before the next one, in balance-rr."""
    primary: Annotated[Any, _Option(_text, {"type": "string"})] = None
    """The port that is preferred, in active-backup, balance-tlb and balance-alb."""
    primary_reselect: Annotated[Any, _choice("always", "better", "failure")] = None
    """When the primary becomes active again."""
    resend_igmp: Annotated[Any, _count(0, 255)] = None
    """IGMP reports after a failover."""
    tlb_dynamic_lb: Annotated[Any, _FLAG] = None
    """Whether balance-tlb shuffles flows."""
    updelay: Annotated[Any, _MILLISECONDS] = None
    """Milliseconds before a port that got its link back is enabled."""
    use_carrier: Annotated[Any, _FLAG] = None
    """Whether the driver's word about the link is taken."""
    xmit_hash_policy: Annotated[
        Any, _choice("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac")
    ] = None
    """By what frames are spread over the ports."""

    def written(self) -> dict[str, Any]:
        """Return the options as they were written."""
        return self.model_dump(exclude_unset=True, by_alias=True)

    def broken(self, mode: str, ports: tuple[str, ...]) -> Iterator[Finding]:
        """Yield what nmstate or the kernel refuses of these options in a mode."""
        written = self.written()
        yield from self._of_monitoring(mode)
        for name, modes in _REFUSED_ELSEWHERE.items():
            if name in written and mode not in modes:
                yield _elsewhere(name, written[name], mode, f"Leave it out, or use {' or '.join(modes)}")
        if self.primary is not None and self.primary not in ports:
            named = ", ".join(ports)
            yield Finding(
                "primary", self.primary, "is not a port of the bond", f"Choose {named}", code="uplink-bond-options"
            )
        slb = next((name for name in ("balance_slb", "balance-slb") if _truth(written.get(name))), None)
        if slb and not (mode == "balance-xor" and self.xmit_hash_policy in {"vlan+srcmac", 5, "5"}):
            yield Finding(
                slb,
                written[slb],
                "needs mode balance-xor and xmit_hash_policy vlan+srcmac",
                "Set both, or leave it out",
                code="uplink-bond-options",
            )
        if {"balance_slb", "balance-slb"} <= written.keys():
            yield Finding(
                "balance-slb", written["balance-slb"], "is there twice", "Keep balance_slb", code="uplink-bond-options"
            )

    def _of_monitoring(self, mode: str) -> Iterator[Finding]:
        """Yield what is refused of the options by which the links are watched."""
        written, arp = self.written(), _number(self.arp_interval) or 0
        if _number(self.miimon) and arp:
            yield Finding(
                "arp_interval",
                self.arp_interval,
                f"and miimon {self.miimon} exclude each other",
                "Keep one of the two",
                code="uplink-bond-options",
            )
        for name, value in (("arp_interval", arp), ("arp_missed_max", self.arp_missed_max)):
            if value and mode in _WITHOUT_ARP:
                yield _elsewhere(name, written[name], mode, "miimon: 100 does it in every mode")
        elsewhere = mode in _WITHOUT_ARP or _number(self.miimon)
        if arp and not elsewhere and not (self.arp_ip_target or self.ns_ip6_target):
            yield Finding(
                "arp_interval",
                self.arp_interval,
                "has nobody to probe",
                "Add arp_ip_target or ns_ip6_target, or use miimon: 100",
                code="uplink-bond-options",
            )
        if "miimon" in written and _number(self.miimon) == 0:
            for name in ("updelay", "downdelay"):
                if _number(written.get(name)):
                    yield Finding(name, written[name], "needs miimon", "Set miimon: 100", code="uplink-bond-options")
        sent, advertised = _number(self.num_grat_arp), _number(self.num_unsol_na)
        if sent is not None and advertised is not None and sent != advertised:
            yield Finding(
                "num_unsol_na",
                self.num_unsol_na,
                f"and num_grat_arp {self.num_grat_arp} are one setting",
                "Keep one of the two",
                code="uplink-bond-options",
            )
        for name in ("arp_ip_target", "ns_ip6_target"):
            if written.get(name) and not arp:
                yield Finding(
                    name,
                    written[name],
                    "is probed only with an arp_interval",
                    "Add arp_interval: 100",
                    code="uplink-bond-options",
                )


def _elsewhere(name: str, value: object, mode: str, remedy: str) -> Finding:
    return Finding(name, value, f"is refused in mode {mode}", remedy, code="uplink-bond-options")
