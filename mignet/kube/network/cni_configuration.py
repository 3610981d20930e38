"""What a CNI configuration means, whatever its form: two that mean the same give every pod the same network.

Sources: multus, which fills in the name of the NetworkAttachmentDefinition where the configuration has none; the
documentation of the CNI plugins for their defaults; whereabouts' sources, and what the real plugin was seen to give.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from config.attachment.localnet import OvnIpam
from config.types.addressing import AddressRange
from config.types.json_text import parse_json
from mignet.kube.diff import FieldChange, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.types.addressing import Address, Network

OVN = "ovn-k8s-cni-overlay"
"""The type of OVN-Kubernetes' own plugin."""
PATH = "spec.config"
"""Where a NetworkAttachmentDefinition holds it."""
_DEFAULTS: dict[str, dict[str, object]] = {
    "macvlan": {"mode": "bridge", "mtu": 0, "linkInContainer": False},
    "ipvlan": {"mode": "l2", "mtu": 0, "linkInContainer": False},
    "bridge": {
        "bridge": "cni0",
        "mtu": 0,
        "vlan": 0,
        "isGateway": False,
        "isDefaultGateway": False,
        "forceAddress": False,
        "ipMasq": False,
        "hairpinMode": False,
        "promiscMode": False,
        "macspoofchk": False,
        "portIsolation": False,
    },
    OVN: {"mtu": 0, "vlanID": 0},
    "whereabouts": {"enable_overlapping_ranges": True, "network_name": ""},
}
_EMPTY: tuple[object, ...] = (None, {}, [])


def meaning(text: str, *, name: str) -> Mapping[str, Any] | None:
    """Return a configuration in the one form that all of its meaning share; None when it is no JSON object.

    `name` is the NetworkAttachmentDefinition's. Defaults are left out, and whereabouts' ranges are what they give.
    """
    try:
        config = parse_json(text)
    except ValueError:
        return None
    if not isinstance(config, dict):
        return None
    chain = config.get("plugins")
    if isinstance(chain, list) and len(chain) == 1 and isinstance(chain[0], dict):
        # A chain of one plugin.
        config = {key: value for key, value in config.items() if key != "plugins"} | chain[0]
    chain = config.get("plugins")
    if isinstance(chain, list):
        inner = [_plugin(each) if isinstance(each, dict) else each for each in chain]
        return _known(config, {}) | {"name": config.get("name") or name, "plugins": inner}
    return _plugin(config) | {"name": config.get("name") or name}


def meaning_changes(old: str, new: str, *, name: str) -> list[FieldChange] | None:
    """Return what a change of a configuration changes of its meaning; None when one of both is not readable."""
    before, after = meaning(old, name=name), meaning(new, name=name)
    return None if before is None or after is None else list(differences(before, after))


def by_meaning(changes: Iterable[FieldChange], old: object, new: object, *, name: str) -> Iterator[FieldChange]:
    """Yield the changes of a NetworkAttachmentDefinition, those of its configuration as one where the meaning stays.

    `old` and `new` are the configurations' texts.
    """
    same = isinstance(old, str) and isinstance(new, str) and old != new and meaning_changes(old, new, name=name) == []
    told = False
    for each in changes:
        if not same or each.field != PATH:
            yield each
        elif not told:
            told = True
            yield replace(each, field=PATH, inside=(), old=old, new=new, same_meaning=True)


def _plugin(config: Mapping[str, Any]) -> dict[str, Any]:
    known = _known(config, _DEFAULTS.get(str(config.get("type")), {}))
    ipam = known.get("ipam")
    if isinstance(ipam, dict) and ipam.get("type") == "whereabouts":
        known["ipam"] = _whereabouts(ipam)
    return _ovn(known) if known.get("type") == OVN else known


def _ovn(config: Mapping[str, Any]) -> dict[str, Any]:
    """Say of each subnet which addresses it gives, and leave out a localnet that is called like the network."""
    localnet = config.get("physicalNetworkName")
    rest = {
        key: value for key, value in config.items() if key != "physicalNetworkName" or localnet != config.get("name")
    }
    if (parts := ovn_parts(config)) is None:
        return rest
    given = [{"subnet": str(subnet), "gives": [str(each) for each in free]} for subnet, free in parts]
    return {key: value for key, value in rest.items() if key not in {"subnets", "excludeSubnets"}} | {"ranges": given}


def ovn_parts(config: Mapping[str, Any]) -> list[tuple[Network, list[AddressRange]]] | None:
    """Return the subnets of a network of OVN, and what it gives of each; None when they cannot be read.

    It writes several in one text, with commas between them.
    """
    try:
        subnets, spared = (
            [ipaddress.ip_network(each.strip(), strict=False) for each in str(config.get(key) or "").split(",") if each]
            for key in ("subnets", "excludeSubnets")
        )
    except ValueError:
        return None
    taken = [AddressRange.all_of(each) for each in spared]
    return [
        (
            subnet,
            [*OvnIpam.usable(subnet).without(each for each in taken if each.first.version == subnet.version)],
        )
        for subnet in subnets
        if subnet.num_addresses > 2
    ]


def _known(config: Mapping[str, Any], defaults: Mapping[str, object]) -> dict[str, Any]:
    # 0 equals False: only a default of the same type is one.
    return {
        key: value
        for key, value in config.items()
        if value not in _EMPTY
        and not (key in defaults and type(value) is type(defaults[key]) and value == defaults[key])
    }


def _whereabouts(ipam: Mapping[str, Any]) -> dict[str, Any]:
    """Say of each range which addresses it gives: how it is cut down to them, and in which words, is its form."""
    rest = {
        key: value
        for key, value in _known(ipam, _DEFAULTS["whereabouts"]).items()
        if key not in {*_RANGE_KEYS, "ipRanges"}
    }
    listed = ipam.get("ipRanges")
    flat = {key: ipam[key] for key in _RANGE_KEYS if key in ipam}
    given = [_given(each) for each in (*([flat] if flat else []), *(listed if isinstance(listed, list) else []))]
    if None in given:
        # What whereabouts makes of it is not known.
        return dict(ipam)
    return rest | {"ranges": given}


_RANGE_KEYS = ("range", "range_start", "range_end", "exclude")


def _given(written: object) -> dict[str, Any] | None:
    if not isinstance(written, dict) or not isinstance(written.get("exclude") or [], list):
        return None
    found = whereabouts_range(written.get("range"), written.get("range_start"), written.get("range_end"))
    blocks = [excluded(each) for each in written.get("exclude") or ()]
    if found is None or None in blocks:
        return None
    subnet, span = found
    taken = [each for each in blocks if each is not None and each.first.version == subnet.version]
    more = {key: value for key, value in written.items() if key not in _RANGE_KEYS}
    return more | {"subnet": str(subnet), "gives": [str(each) for each in span.without(taken)]}


def whereabouts_range(range_: object, start: object, end: object) -> tuple[Network, AddressRange] | None:
    """Return what whereabouts makes of a range: an end that is not inside it, or not an address, counts for nothing.

    Both ends of the answer are inclusive. None when it gives nothing: the range is not readable, or too small for it.
    """
    text = str(range_ or "")
    first, dash, rest = text.partition("-")
    if dash:
        # `10.0.0.5-10.0.0.9/24` is whereabouts' short form of a start, an end and a mask.
        end, _, prefix = rest.partition("/")
        text, start = f"{first.strip()}/{prefix}", first.strip()
    try:
        subnet = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if subnet.num_addresses < 4:
        return None
    usable = AddressRange.usable(subnet)
    low, high = address(start), address(end)
    low = low if low is not None and low in usable else usable.first
    if high is None or high not in usable or int(high) < int(low):
        high = usable.last
    return subnet, AddressRange(low, high)


def excluded(text: object) -> AddressRange | None:
    """Return an excluded block; whereabouts widens one with host bits, and takes a bare address for itself.

    None when it is not readable.
    """
    try:
        return AddressRange.all_of(ipaddress.ip_network(str(text), strict=False))
    except ValueError:
        return None


def address(value: object) -> Address | None:
    """Return an address; None when it is none."""
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        return None
