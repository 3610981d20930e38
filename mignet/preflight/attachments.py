"""Attachments and policies that are there already: of our names, on our NIC, or with our addresses."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.ownership import labels
from config.addressing import AddressRange
from config.attachment import Ipvlan, Macvlan
from config.findings import Finding, rule
from config.ipam import Whereabouts
from mignet.guards import made_by, name_of, stack_of
from mignet.kinds import NETWORK_ATTACHMENT, NODE_POLICY, Object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.addressing import Network
    from config.part import Part
    from mignet.preflight.seen import Seen


@dataclass(frozen=True, slots=True)
class Pool:
    """A range that another attachment hands addresses out of. `book` is where whereabouts counts it, None elsewhere."""

    attachment: str
    subnet: Network
    span: AddressRange
    book: str | None
    checks_others: bool


@rule("attachment-foreign", "attachment-adopted")
def attachment_foreign(seen: Seen) -> Iterator[Finding]:
    """An attachment of our name that somebody else made may serve other pods: it is replaced with consent only."""
    stack = seen.stack
    live = seen.one(NETWORK_ATTACHMENT, stack.network, stack.cluster.namespace)
    if live is None:
        return
    makers = made_by(live)
    if stack.attachment.adopt and makers:
        yield seen.finding(
            "info",
            "attachment-adopted",
            name_of(live),
            f"was made by somebody else (field manager {makers}); up takes it over, as attachment.adopt says",
            "Remove attachment.adopt to refuse instead",
        )
    elif makers and not stack.attachment.adopt:
        yield seen.finding(
            "error",
            "attachment-foreign",
            name_of(live),
            f"exists and was made by somebody else (field manager {makers})",
            "Set attachment.adopt: true to take it over, or choose another attachment.name",
        )
    elif (other := stack_of(live)) not in {None, stack.name} and not stack.attachment.adopt:
        yield seen.finding(
            "error",
            "attachment-foreign",
            name_of(live),
            f"belongs to stack {other}",
            "Choose another attachment.name, or destroy that stack first",
        )


@rule("policy-foreign")
def policy_foreign(seen: Seen) -> Iterator[Finding]:
    """A policy of our name that somebody else made would be overwritten, and what it made stay on the nodes."""
    stack = seen.stack
    for policy in stack.policies:
        live = seen.one(NODE_POLICY, policy.name)
        if live is None:
            continue
        makers, other = made_by(live), stack_of(live)
        if makers or other not in {None, stack.name}:
            why = f"was made by somebody else (field manager {makers})" if makers else f"belongs to stack {other}"
            remedy = "Rename the node group, or delete that policy after taking its interfaces back"
            yield seen.finding("error", "policy-foreign", name_of(live), why, remedy)


@rule("nic-ipvlan-macvlan")
def nic_ipvlan_macvlan(seen: Seen) -> Iterator[Finding]:
    """The kernel lets either macvlan or ipvlan interfaces onto a NIC: the pods that come second do not start."""
    mine = seen.stack.attachment
    if not isinstance(mine, Macvlan | Ipvlan):
        return
    other = "ipvlan" if isinstance(mine, Macvlan) else "macvlan"
    for live, plugin in _others(seen):
        if plugin.get("type") == other and plugin.get("master") == mine.master:
            yield seen.finding(
                "error",
                "nic-ipvlan-macvlan",
                name_of(live),
                f"puts {other} on {mine.master}, and attachment.type is {mine.type}: the kernel allows one of both",
                f"Use {other} here too, another NIC, or remove that attachment",
            )


@rule("pool-overlap", "pool-shared")
def pool_overlap(seen: Seen) -> Iterator[Finding]:
    """Whereabouts compares addresses of one range and one name only: another attachment may hand out ours as well."""
    stack = seen.stack
    for live, plugin in _others(seen):
        for pool in _pools(live, plugin):
            for part in stack.parts:
                yield from _between(seen, pool, part)


def _between(seen: Seen, pool: Pool, part: Part) -> Iterator[Finding]:
    stack = seen.stack
    ipam = stack.attachment.ipam
    book = _book(part.subnet, ipam.network_name) if isinstance(ipam, Whereabouts) else None
    if pool.book is not None and pool.book == book:
        inside = pool.span.first in part.span and pool.span.last in part.span
        if inside or not part.is_slice:
            rule_ = f"hands out addresses of {pool.span} from the same pool: its pods count against {part.key}"
            remedy = "See that the slice is large enough for both, or give it another range"
            yield seen.finding("info", "pool-shared", pool.attachment, rule_, remedy)
        else:
            rule_ = (
                f"hands out {pool.span} from the same pool, beyond {part.key} {part.span}: addresses of other clusters"
            )
            remedy = "Give it the same range_start and range_end, or another range"
            yield seen.finding("error", "pool-overlap", pool.attachment, rule_, remedy)
    elif pool.span.overlaps(part.span):
        checked = (
            book is not None
            and pool.book is not None
            and pool.book.partition("@")[0] == book.partition("@")[0]
            and pool.checks_others
            and isinstance(ipam, Whereabouts)
            and ipam.enable_overlapping_ranges is not False
        )
        yield seen.finding(
            "warning" if checked else "error",
            "pool-overlap",
            pool.attachment,
            f"hands out {pool.span}, which overlaps {part.key} {part.span}"
            + (
                ", and only whereabouts' check across ranges keeps them apart" if checked else ": addresses given twice"
            ),
            "Give one of the two another range",
        )


def _others(seen: Seen) -> Iterator[tuple[Object, Mapping[str, Any]]]:
    """Yield each plugin of every attachment but this stack's own."""
    stack = seen.stack
    own = labels(stack.name).items()
    for live in seen.all(NETWORK_ATTACHMENT):
        metadata = live["metadata"]
        if metadata["name"] == stack.network and metadata["namespace"] == stack.cluster.namespace:
            continue
        # With rollout: rename, the one before is still there.
        if own <= metadata.get("labels", {}).items():
            continue
        for plugin in _plugins(live):
            yield live, plugin


def _plugins(live: Object) -> list[Mapping[str, Any]]:
    try:
        config = json.loads(live.get("spec", {}).get("config") or "{}")
    except ValueError:
        return []
    chain = config.get("plugins", [config]) if isinstance(config, dict) else []
    return [plugin for plugin in chain if isinstance(plugin, dict)]


def _pools(live: Object, plugin: Mapping[str, Any]) -> Iterator[Pool]:
    ipam = plugin.get("ipam")
    name = name_of(live)
    if isinstance(ipam, dict) and ipam.get("type") == "whereabouts":
        checks = ipam.get("enable_overlapping_ranges") is not False
        ranges = [ipam, *(each for each in ipam.get("ipRanges") or () if isinstance(each, dict))]
        for each in ranges:
            if span := _span(each.get("range"), each.get("range_start"), each.get("range_end")):
                yield Pool(name, span[0], span[1], _book(span[0], ipam.get("network_name")), checks)
    elif isinstance(ipam, dict) and ipam.get("type") == "host-local":
        for each in (each for ranges in ipam.get("ranges") or () for each in ranges):
            if span := _span(each.get("subnet"), each.get("rangeStart"), each.get("rangeEnd")):
                yield Pool(name, *span, None, checks_others=False)
    elif plugin.get("type") == "ovn-k8s-cni-overlay" and plugin.get("topology") == "localnet":
        # A layer 2 or layer 3 network of OVN is no neighbour of the segment, whatever its addresses.
        for subnet in str(plugin.get("subnets") or "").split(","):
            if span := _span(subnet.strip(), None, None):
                yield from _without(name, span, str(plugin.get("excludeSubnets") or ""))


def _without(name: str, span: tuple[Network, AddressRange], excluded: str) -> Iterator[Pool]:
    taken = [other[1] for each in excluded.split(",") if (other := _span(each.strip(), None, None, whole=True))]
    for free in span[1].without(taken):
        yield Pool(name, span[0], free, None, checks_others=False)


def _span(range_: object, start: object, end: object, *, whole: bool = False) -> tuple[Network, AddressRange] | None:
    """Return what whereabouts makes of a range: an end that is not inside it, or not an address, counts for nothing."""
    text = str(range_ or "")
    first, dash, rest = text.partition("-")
    if dash:
        # `10.0.0.5-10.0.0.9/24` is whereabouts' short form of a start, an end and a mask.
        end, _, prefix = rest.partition("/")
        text, start = f"{first.strip()}/{prefix}", first.strip()
    try:
        subnet = ipaddress.ip_network(text, strict=False)
        usable = AddressRange.all_of(subnet) if whole or subnet.num_addresses < 4 else AddressRange.usable(subnet)
    except ValueError:
        return None
    low = _address_in(start, usable) or usable.first
    high = _address_in(end, usable)
    if high is None or int(high) < int(low):
        high = usable.last
    return subnet, AddressRange(low, high)


def _address_in(value: object, usable: AddressRange) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        return None
    return address if address in usable else None


def _book(subnet: Network, network_name: object) -> str:
    """Name the pool: attachments of one range and one network name share it."""
    return f"{network_name or ''}@{subnet}"


RULES = (attachment_foreign, policy_foreign, nic_ipvlan_macvlan, pool_overlap)
