"""What whereabouts gives for an IPAM configuration: a model of its allocator.

The lab's stand-in for the plugin gives addresses by it, and tests hold rendered configurations against it. It knows
nothing of this project's code. `tests/unit/mignet/lab/test_whereabouts.py` holds it against what the real plugin was
seen to do, `tests/lab/test_whereabouts_model.py` against the plugin itself.
Read in the plugin's sources (0.9, datastore kubernetes): ends are inclusive; an end that is not among
the usable addresses, or comes before the start, is ignored; network and broadcast address are never given; the lowest
free address goes first; an exclude counts with its whole block; nothing reserves a gateway. Top-level keys are one
range, which goes before `ipRanges`; there, an address that cannot be read is an error, at the top it is ignored.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RETRIES = 100
BOOKED = 2**63
"""Offsets from the network address are written as 64 bits without a sign, and read as 64 bits with one."""


class RefusedError(Exception):
    """The plugin's error, as a pod's event shows it."""


@dataclass
class Range:
    """One range as the allocator uses it: both ends inclusive."""

    network: Network
    first: Address
    last: Address
    exclude: list[str]
    blocks: list[Network]

    def free(self, taken: set[int], dummies: set[int], *, start: int) -> int:
        """Return the lowest address from `start` on that is in neither set and in no excluded block."""
        last = int(self.last)
        number = start
        while number <= last:
            block = next((b for b in self.blocks if b.version == self.network.version and _holds(b, number)), None)
            if block is not None:
                number = int(block.broadcast_address) + 1
                continue
            if number not in taken and number not in dummies:
                return number
            number += 1
        listed = " ".join(self.exclude)
        raise _storage(
            f"Could not allocate IP in range: ip: {self.first} / - {self.last} / range: {self.network}"
            f" / excludeRanges: [{listed}]"
        )


@dataclass
class Pool:
    """The book of one network: the addresses as numbers."""

    network: Network
    readable: set[int] = field(default_factory=set)
    """What was given, as far as it can be read back."""
    cursor: int = 0
    """No address below it is free: nothing is ever given back here."""

    def write(self, address: int) -> None:
        """Book an address."""
        start = int(self.network.network_address)
        written = (address - start) % 2**64
        if written < BOOKED:
            self.readable.add(start + written)
        if address - start < BOOKED:
            self.cursor = address + 1


@dataclass
class Books:
    """What one cluster has given: a pool for each network, and every address of either family."""

    pools: dict[Network, Pool] = field(default_factory=dict)
    everywhere: dict[int, set[int]] = field(default_factory=lambda: {4: set(), 6: set()})


def give(ipam: dict[str, Any], books: Books) -> tuple[Interface, ...]:
    """Return what a new pod gets, an address for each range, and write it into the books. Raises RefusedError.

    `node_slice_size` is not modelled: without its controller the plugin crashes. Nor are IPv4 addresses written as
    IPv6 (`::ffff:…`), which Go takes for IPv4.
    """
    across = ipam.get("enable_overlapping_ranges", True)
    given: list[Interface] = []
    held: dict[Network, int] = {}
    dummies: dict[int, set[int]] = {4: set(), 6: set()}
    for raw in _ranges(ipam):
        network = _cidr(raw["range"])
        if network is None:
            raise _storage(f"invalid CIDR address: {raw['range']}")
        if network in held:
            # A pod that is in the book already gets the same address again.
            given.append(_interface(held[network], network))
            continue
        pool = books.pools.setdefault(network, Pool(network))
        one = _range(raw, network)
        reserved = books.everywhere[network.version] if across else set()
        address = _assign(one, pool, dummies[network.version], reserved)
        pool.write(address)
        held[network] = address
        reserved.add(address)
        given.append(_interface(address, network))
    return tuple(given)


def handed_out(ipam: dict[str, Any]) -> Iterator[tuple[Interface, ...]]:
    """Yield what one new pod after the other gets in an empty cluster, for ever or until RefusedError."""
    books = Books()
    while True:
        yield give(ipam, books)


def first_pods(ipam: dict[str, Any], most: int) -> tuple[list[tuple[Interface, ...]], str | None]:
    """Return what the first pods get, at most so many, and the error that ended it, or None when nothing did."""
    pods: list[tuple[Interface, ...]] = []
    try:
        for pod in itertools.islice(handed_out(ipam), most):
            pods.append(pod)  # noqa: PERF402 - what came before an error counts
    except RefusedError as error:
        return pods, str(error)
    return pods, None


def _assign(one: Range, pool: Pool, dummies: set[int], everywhere: set[int]) -> int:
    """Find the lowest free address; one that another range of the cluster gave is passed over, up to RETRIES times."""
    for _ in range(RETRIES):
        address = one.free(pool.readable, dummies, start=max(int(one.first), pool.cursor))
        if address not in everywhere:
            return address
        dummies.add(address)
    # The real text is not known: the plugin then books an address that it has not got.
    raise _storage("gave up: no address that IPPools and reservations agree on")


def _ranges(ipam: dict[str, Any]) -> list[dict[str, Any]]:
    listed = [dict(each) for each in ipam.get("ipRanges", ())]
    for each in listed:
        for key in ("range_start", "range_end"):
            text = each.get(key, "")
            if text and _ip(text) is None:
                msg = f"LoadIPAMConfig - JSON Parsing Error: invalid IP address: {text}"
                raise RefusedError(msg)
    if ipam.get("range"):
        listed.insert(0, {key: ipam[key] for key in ("range", "range_start", "range_end", "exclude") if key in ipam})
    return [_with_ends_from_the_range(each) for each in listed]


def _with_ends_from_the_range(raw: dict[str, Any]) -> dict[str, Any]:
    """Read `FIRST-LAST/LENGTH`, which goes before range_start and range_end."""
    first_text, dash, rest = str(raw["range"]).partition("-")
    network = _cidr(rest if dash else first_text, sloppy=True)
    if network is None:
        hint = " (do you have the 'range' parameter set for Whereabouts?) " if dash else " "
        text = rest if dash else first_text
        quoted = f"'{text}'" if dash else text
        msg = f"invalid CIDR{hint}{quoted}: invalid CIDR address: {text}"
        raise RefusedError(msg)
    if not dash:
        return raw | {"range": str(network)}
    first = _ip(first_text, sloppy=True)
    if first is None:
        msg = f"invalid range start IP: {first_text}"
        raise RefusedError(msg)
    if not (first.version == network.version and _holds(network, int(first))):
        msg = f"invalid range start for CIDR {network}: {first}"
        raise RefusedError(msg)
    return raw | {"range": str(network), "range_start": first_text, "range_end": rest.partition("/")[0]}


def _range(raw: dict[str, Any], network: Network) -> Range:
    if network.max_prefixlen - network.prefixlen < 2:
        mask = f"{int(network.netmask):0{network.max_prefixlen // 4}x}"
        subnet = f"{{{network.network_address} {mask}}}"
        raise _storage(f"net mask is too short, subnet {subnet} has no usable IP addresses, it is too small")
    first, last = network.network_address + 1, network.broadcast_address - 1
    start = _ip(raw.get("range_start", ""), sloppy=True)
    if start is not None and start.version == first.version and int(first) <= int(start) <= int(last):
        first = start
    end = _ip(raw.get("range_end", ""), sloppy=True)
    if end is not None and end.version == first.version and int(first) <= int(end) <= int(last):
        last = end
    exclude = list(raw.get("exclude", ()))
    return Range(network, first, last, exclude, [_block(text) for text in exclude])


def _block(text: str) -> Network:
    network = _cidr(text)
    if network is None and (address := _ip(text)) is not None:
        network = _cidr(f"{address}/{address.max_prefixlen}")
    if network is None:
        raise _storage(f'could not parse exclude range, err: "invalid CIDR address: {text}"')
    return network


def _cidr(text: str, *, sloppy: bool = False) -> Network | None:
    address_text, slash, length = text.partition("/")
    address = _ip(address_text, sloppy=sloppy)
    if address is None or not slash or not re.fullmatch("[0-9]+", length) or int(length) > address.max_prefixlen:
        return None
    return ipaddress.ip_network(f"{address}/{int(length)}", strict=False)


def _ip(text: str, *, sloppy: bool = False) -> Address | None:
    """Read an address; sloppily, zeros may lead the numbers of an IPv4 address."""
    if sloppy and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){3}", text):
        text = ".".join(str(int(number)) for number in text.split("."))
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _holds(network: Network, number: int) -> bool:
    return int(network.network_address) <= number <= int(network.broadcast_address)


def _interface(address: int, network: Network) -> Interface:
    kind = ipaddress.IPv4Interface if network.version == 4 else ipaddress.IPv6Interface
    return kind((address, network.prefixlen))


def _storage(text: str) -> RefusedError:
    return RefusedError(f"error at storage engine: {text}")
