"""What others on a cluster hand out of the segment's addresses: pools of attachments and of user-defined networks.

Read as each IPAM plugin reads its configuration. whereabouts: its sources, and what the real plugin was seen to give;
host-local and static: the documentation of the CNI plugins; OVN-Kubernetes: multi-homing.md and the CRD of
ClusterUserDefinedNetwork.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from components.ownership import labels
from config.attachment import attached_to
from config.attachment.localnet import OvnIpam, OvnLocalnet
from config.attachment.tags import attachment_tags
from config.types.addressing import AddressRange
from config.types.json_text import parse_json
from mignet.kube.kinds import CLUSTER_USER_NETWORK, NETWORK_ATTACHMENT, Object
from mignet.kube.network.cni_configuration import address, excluded, whereabouts_range
from mignet.kube.objects import name_of, value_at
from mignet.kube.snapshot import where_served

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from config.stack import Stack
    from config.types.addressing import Address, Network
    from mignet.checks.preflight.seen import Seen

_OVN = "ovn-k8s-cni-overlay"
_LOCALNET = "localnet"
"""A layer 2 or layer 3 network of OVN is no neighbour of the segment, whatever its addresses."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses that somebody else hands out. `book` is where whereabouts counts them, None elsewhere."""

    owner: str
    given: tuple[AddressRange, ...]
    """In order, without what is excluded; never empty."""
    book: str | None = None
    checks_others: bool = False
    tags: frozenset[int] = frozenset()
    """The VLANs that its pods are on; none where its configuration does not tell."""
    on: str | None = None
    """The interface, bridge or localnet that its pods are attached to."""


def on_one_network(stack: Stack, pool: Pool) -> bool | None:
    """Tell whether a pool's pods and a stack's are neighbours: by their VLANs, else by what both are attached to.

    None where the configurations do not tell: an interface without a tag may be an access port of any VLAN.
    """
    tags = attachment_tags(stack.attachment, stack.segment)
    attachment = stack.attachment
    on = attachment.physical_network if isinstance(attachment, OvnLocalnet) else attached_to(attachment)
    master = getattr(attachment, "master", None)
    ours = {*tags, *((stack.segment.vlan,) if stack.segment.vlan else ()), *_tag_in(master)}
    if pool.tags and ours:
        return not pool.tags.isdisjoint(ours)
    return True if not pool.tags and not tags and pool.on is not None and pool.on == on else None


def other_attachments(seen: Seen) -> Iterator[tuple[Object, Mapping[str, Any]]]:
    """Yield each plugin, chained ones too, of every attachment but this stack's own. Raises UnreadError."""
    stack = seen.stack
    for live in seen.all(NETWORK_ATTACHMENT):
        metadata = live["metadata"]
        if metadata["name"] == stack.network and metadata["namespace"] == stack.cluster.namespace:
            continue
        # With rollout: rename, the one before is still there.
        if _is_own(seen, live):
            continue
        for plugin in plugins(live):
            yield live, plugin


def _is_own(seen: Seen, live: Object) -> bool:
    own: bool = labels(seen.stack.name).items() <= live["metadata"].get("labels", {}).items()
    return own


def plugins(live: Object) -> list[Mapping[str, Any]]:
    """Return the plugins of an attachment: one, or those of a chain; none when it is not readable."""
    try:
        config = parse_json((live.get("spec") or {}).get("config") or "{}")
    except ValueError:
        return []
    return _dicts(config.get("plugins", [config]) if isinstance(config, dict) else None)


def pools(seen: Seen) -> Iterator[Pool]:
    """Yield what others hand out, attachments first. Raises UnreadError."""
    networks = where_served(lambda: seen.all(CLUSTER_USER_NETWORK), ())
    known = {each["metadata"]["name"] for each in networks}
    for live, plugin in other_attachments(seen):
        # What the controller of a user-defined network writes is said of that network.
        if known.isdisjoint(_owners(live)):
            yield from _of_plugin(name_of(live), plugin)
    for network in networks:
        if network["metadata"]["name"] == seen.stack.network or _is_own(seen, network):
            continue
        yield from _of_user_network(network)


def declared_pools(manifest: Object) -> Iterator[Pool]:
    """Yield what one attachment, or one user-defined network, hands out; nothing of any other object."""
    if manifest["kind"] == CLUSTER_USER_NETWORK.kind:
        yield from _of_user_network(manifest)
    elif manifest["kind"] == NETWORK_ATTACHMENT.kind:
        for plugin in plugins(manifest):
            yield from _of_plugin(name_of(manifest), plugin)


def _owners(live: Object) -> set[str]:
    references = live["metadata"].get("ownerReferences") or ()
    return {each["name"] for each in references if each.get("kind") == CLUSTER_USER_NETWORK.kind and each.get("name")}


def _of_plugin(owner: str, plugin: Mapping[str, Any]) -> Iterator[Pool]:
    keys = _ATTACHED_TO.get(str(plugin.get("type")), ())
    on = next((plugin[key] for key in keys if isinstance(plugin.get(key), str)), None)
    for pool in _given_by(owner, plugin):
        yield replace(pool, tags=_tags(plugin, on), on=on)


_ATTACHED_TO = {
    **dict.fromkeys(("macvlan", "ipvlan"), ("master",)),
    **dict.fromkeys(("bridge", "cnv-bridge"), ("bridge",)),
    # The network's own name is that of its localnet where it names none.
    _OVN: ("physicalNetworkName", "name"),
}
"""What the pods of a plugin are attached to, by the first of these keys."""


def _tags(plugin: Mapping[str, Any], on: str | None) -> frozenset[int]:
    """Return the VLANs of a plugin's pods; none where it does not tell, as an interface may be on any.

    `vlan` is the key of the bridge and SR-IOV plugins, `vlanId` of the vlan plugin, `vlanID` of OVN. Upon a VLAN
    interface, the bare number in its name counts.
    """
    said = [plugin.get(key) for key in ("vlan", "vlanId", "vlanID")]
    for item in _dicts(plugin.get("vlanTrunk")):
        first, last = item.get("minID", item.get("id")), item.get("maxID", item.get("id"))
        said += range(first, min(last, _LAST_TAG) + 1) if isinstance(first, int) and isinstance(last, int) else ()
    own = frozenset(tag for tag in said if isinstance(tag, int) and 0 < tag <= _LAST_TAG)
    return own or (_tag_in(on) if plugin.get("type") in _UPON_INTERFACES else own)


_LAST_TAG = 4094
_UPON_INTERFACES = frozenset({"macvlan", "ipvlan"})


def _tag_in(name: str | None) -> frozenset[int]:
    """Return the tag in the usual name of a VLAN interface, such as eth1.2001 or vlan2001."""
    found = re.fullmatch(r"(?:.+\.|vlan)([1-9]\d{0,3})", name or "")
    return frozenset({int(found[1])}) if found and int(found[1]) <= _LAST_TAG else frozenset()


def _given_by(owner: str, plugin: Mapping[str, Any]) -> Iterator[Pool]:
    ipam = plugin.get("ipam")
    if isinstance(ipam, dict) and ipam.get("type") == "whereabouts":
        yield from _of_whereabouts(owner, ipam)
    elif isinstance(ipam, dict) and ipam.get("type") == "host-local":
        yield from _of_host_local(owner, ipam)
    elif isinstance(ipam, dict) and ipam.get("type") == "static":
        yield from _of_static(owner, ipam)
    elif plugin.get("type") == _OVN and plugin.get("topology") == _LOCALNET:
        yield from _of_ovn(owner, _listed(plugin.get("subnets")), _listed(plugin.get("excludeSubnets")))


def _of_whereabouts(owner: str, ipam: Mapping[str, Any]) -> Iterator[Pool]:
    checks = ipam.get("enable_overlapping_ranges") is not False
    for each in (ipam, *_dicts(ipam.get("ipRanges"))):
        if found := whereabouts_range(each.get("range"), each.get("range_start"), each.get("range_end")):
            subnet, span = found
            # One that it cannot read fails every pod; what it would spare is not known.
            taken = [block for text in _items(each.get("exclude")) if (block := excluded(text))]
            yield from _pool(owner, span, taken, book=book(subnet, ipam.get("network_name")), checks_others=checks)


def _of_host_local(owner: str, ipam: Mapping[str, Any]) -> Iterator[Pool]:
    """Its flat form is one more of its `ranges`; it never gives the gateway, the first address where none is named."""
    listed = [each for range_set in _items(ipam.get("ranges")) for each in _items(range_set)]
    for each in _dicts([ipam, *listed]):
        if found := _host_local_range(each):
            subnet, span = found
            gateway = address(each.get("gateway")) or subnet.network_address + 1
            yield from _pool(owner, span, [AddressRange(gateway, gateway)])


def _host_local_range(said: Mapping[str, Any]) -> tuple[Network, AddressRange] | None:
    """Return what a range of host-local gives; None where the plugin refuses it.

    Each end may be any address of the subnet; without one it begins behind the network address, and ends before the
    broadcast address of IPv4. Source: the plugin's range.go (Canonicalize).
    """
    try:
        subnet = ipaddress.ip_network(str(said.get("subnet")))
    except ValueError:
        return None
    broadcast = subnet.version == 4 and subnet.num_addresses > 1
    ends: list[Address] = []
    for key, default in (("rangeStart", subnet[0] + 1), ("rangeEnd", subnet[-1] - broadcast)):
        end = address(said[key]) if said.get(key) else default
        if end is None or end not in subnet:
            return None
        ends.append(end)
    first, last = ends
    return (subnet, AddressRange(first, last)) if int(first) <= int(last) else None


def _of_static(owner: str, ipam: Mapping[str, Any]) -> Iterator[Pool]:
    for each in _dicts(ipam.get("addresses")):
        if one := address(str(each.get("address")).partition("/")[0]):
            yield Pool(owner, (AddressRange(one, one),))


def _of_ovn(owner: str, subnets: Iterable[object], without: Iterable[object]) -> Iterator[Pool]:
    taken = [block for text in without if (block := excluded(text))]
    for text in subnets:
        if found := whereabouts_range(text, None, None):
            subnet, span = found
            known = span.clipped(OvnIpam.window(subnet))
            if known is not None:
                yield from _pool(owner, known, taken)


def _of_user_network(live: Object) -> Iterator[Pool]:
    found = value_at(live, "spec.network.localnet")
    if not isinstance(found, dict) or value_at(live, "spec.network.topology") != "Localnet":
        return
    tag, on = value_at(live, "spec.network.localnet.vlan.access.id"), found.get("physicalNetworkName")
    tags = frozenset({tag}) if isinstance(tag, int) and tag else frozenset[int]()
    # With its IPAM off it has no subnets: its API demands it.
    for pool in _of_ovn(name_of(live), _items(found.get("subnets")), _items(found.get("excludeSubnets"))):
        yield replace(pool, tags=tags, on=on if isinstance(on, str) else None)


def _pool(
    owner: str,
    span: AddressRange,
    taken: Iterable[AddressRange],
    *,
    book: str | None = None,
    checks_others: bool = False,
) -> Iterator[Pool]:
    if given := tuple(span.without(taken)):
        yield Pool(owner, given, book, checks_others)


def _items(value: object) -> Sequence[Any]:
    """Return a list as it is, and nothing for what is none: others write what they like."""
    return value if isinstance(value, list | tuple) else ()


def _dicts(items: object) -> list[Mapping[str, Any]]:
    return [each for each in _items(items) if isinstance(each, dict)]


def _listed(text: object) -> list[str]:
    return [each.strip() for each in str(text or "").split(",")]


def book(subnet: Network, network_name: object) -> str:
    """Name a pool of whereabouts: attachments of one range and one network name share it."""
    return f"{network_name or ''}@{subnet}"
