"""What must be open for migrations between the addresses of the stacks: for a table, nftables, or a CSV of requests.

Source: KubeVirt. The synchronization controllers of two clusters talk on port 9185 (or the KubeVirt object's
`spec.synchronizationPort`); a virt-handler takes a migration on a port that its kernel picks
(pkg/virt-handler/migration-proxy), so on any of net.ipv4.ip_local_port_range. 49152 and 49153 are internal IDs.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from config.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from config.stack import Stack
    from config.types.addressing import AddressRange

HANDLERS, SYNC, SIZE = "migrations", "synchronization", "path MTU"


@dataclass(frozen=True, slots=True)
class Opening:
    """One thing that must be let through; answers to it belong to it. `source` is None for anybody."""

    source: str
    """The stack that it comes from; "any" for path MTU, which routers on the way tell."""
    sends: AddressRange | None
    target: str
    takes: AddressRange
    protocol: str
    """tcp, icmp or icmpv6."""
    ports: tuple[int, int] | None
    """The first and the last one, both inclusive; None where there are none."""
    purpose: str

    @property
    def port_text(self) -> str:
        """The ports as firewalls write them."""
        if self.ports is None:
            return "fragmentation-needed" if self.protocol == "icmp" else "packet-too-big"
        first, last = self.ports
        return str(first) if first == last else f"{first}-{last}"


def openings(stacks: Sequence[Stack], *, sync_port: int, handler_ports: tuple[int, int]) -> Iterator[Opening]:
    """Yield what must be open: within each stack, between those of one segment that migrate to each other, and ICMP."""
    for group in Fleet(tuple(stacks)).segments:
        for one, other in product(group, group):
            if one is not other and False in {one.cluster.cross_cluster, other.cluster.cross_cluster}:
                continue
            for sends, takes in product(one.spans, other.spans):
                if sends.first.version != takes.first.version:
                    continue
                routed = _routed(one, other)
                if one is not other:
                    yield Opening(one.name, sends, other.name, takes, "tcp", (sync_port, sync_port), SYNC + routed)
                yield Opening(one.name, sends, other.name, takes, "tcp", handler_ports, HANDLERS + routed)
        for stack in group:
            for span in stack.spans:
                protocol = "icmp" if span.first.version == 4 else "icmpv6"
                yield Opening("any", None, stack.name, span, protocol, None, SIZE)


def _routed(one: Stack, other: Stack) -> str:
    """Say from which site to which it goes: only that passes the routers between them."""
    source, target = one.segment.site, other.segment.site
    return "" if source == target else f", site {source} to {target}"


HEAD = ("from", "addresses", "to", "their addresses", "protocol", "ports", "for")


def rows(found: Iterable[Opening]) -> list[tuple[str, ...]]:
    """Return a row of text for each opening, under HEAD."""
    return [
        (
            each.source,
            "any" if each.sends is None else _range(each.sends),
            each.target,
            _range(each.takes),
            each.protocol,
            each.port_text,
            each.purpose,
        )
        for each in found
    ]


def as_table(found: Iterable[Opening]) -> str:
    """Write it for people."""
    lines = [HEAD, *rows(found)]
    wide = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    return "".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, wide, strict=True)).rstrip() + "\n" for line in lines
    )


def as_csv(found: Iterable[Opening]) -> str:
    """Write it for spreadsheets and request forms (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    writer.writerows(rows(found))
    return text.getvalue()


def as_nftables(found: Sequence[Opening], *, hook: str) -> str:
    """Write a table for nft -f: to and from these addresses only what must be open, and no word on any other.

    Its accept ends nothing that another table drops.
    """
    # Without it, no neighbour of an IPv6 address is found.
    neighbours = "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
    rules = [neighbours] if any(each.protocol == "icmpv6" for each in found) else []
    for each in found:
        family = "ip" if each.takes.first.version == 4 else "ip6"
        sends = "" if each.sends is None else f"{family} saddr {_range(each.sends)} "
        what = "icmp type destination-unreachable icmp code frag-needed"
        if each.protocol == "tcp":
            what = f"tcp dport {each.port_text}"
        elif each.protocol == "icmpv6":
            what = "icmpv6 type packet-too-big"
        comment = f"{each.purpose}: {each.source} to {each.target}".replace('"', "")
        rules.append(f'    {sends}{family} daddr {_range(each.takes)} {what} accept comment "{comment}"')
    spans = dict.fromkeys(each.takes for each in found)
    for span in spans:
        family = "ip" if span.first.version == 4 else "ip6"
        rules += [f"    {family} {end} {_range(span)} drop" for end in ("saddr", "daddr")]
    body = "\n".join(rules)
    return (
        "table inet migration_network {\n"
        "  chain migrations {\n"
        f"    type filter hook {hook} priority filter; policy accept;\n"
        "    ct state established,related accept\n"
        f"{body}\n"
        "  }\n"
        "}\n"
    )


def _range(span: AddressRange) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"
