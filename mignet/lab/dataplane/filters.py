"""Filters of a port of the fabric: classic BPF programs, as `tc filter ... bpf direct-action bytecode` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

PASS, DROP = 0xFFFFFFFF, 2
"""TC_ACT_UNSPEC and TC_ACT_SHOT, see linux/pkt_cls.h."""

LOAD, LOAD_HALF, LOAD_BYTE, LOAD_HALF_AT_X, LOAD_BYTE_AT_X = 0x20, 0x28, 0x30, 0x48, 0x50
X_IS_IPV4_HEADER, X_IS, AND, GO, EQUAL, AT_LEAST, MORE, RETURN = 0xB1, 0x01, 0x54, 0x05, 0x15, 0x35, 0x25, 0x06
"""Instructions, see linux/bpf_common.h and linux/filter.h."""

ETHERNET = 14
"""Bytes before the header of IP or ARP."""

Line = tuple[str, int, int, str, str]
"""Its name, the instruction, the operand, and where to go when true and when false; "" is the next line."""

ICMP, TCP, ICMPV6 = 1, 6, 58
SYN, SYN_OR_ACK = 0x02, 0x12


def without_ports(first: int, last: int, *, but: int = 0) -> str:
    """Return the filter that drops openings of connections to the TCP ports `first` to `last`, inclusive, `but` one.

    Only the first segment of a connection is dropped, as a firewall with states does: answers may have any port.
    """
    return _written(
        ("", LOAD_HALF, 12, "", ""),
        ("", EQUAL, 0x0800, "", "ipv6"),
        ("", LOAD_BYTE, ETHERNET + 9, "", ""),
        ("", EQUAL, TCP, "", "pass"),
        ("", X_IS_IPV4_HEADER, ETHERNET, "", ""),
        ("", GO, 0, "tcp", ""),
        ("ipv6", EQUAL, 0x86DD, "", "pass"),
        ("", LOAD_BYTE, ETHERNET + 6, "", ""),
        ("", EQUAL, TCP, "", "pass"),
        ("", X_IS, 40, "", ""),
        ("tcp", LOAD_BYTE_AT_X, ETHERNET + 13, "", ""),
        ("", AND, SYN_OR_ACK, "", ""),
        ("", EQUAL, SYN, "", "pass"),
        ("", LOAD_HALF_AT_X, ETHERNET + 2, "", ""),
        ("", AT_LEAST, first, "", "pass"),
        ("", MORE, last, "pass", ""),
        ("", EQUAL, but, "pass", ""),
    )


def without_claims(address: IPv4Address) -> str:
    """Return the filter that drops every ARP packet whose sender says that it has this address."""
    return _written(
        ("", LOAD_HALF, 12, "", ""),
        ("", EQUAL, 0x0806, "", "pass"),
        ("", LOAD, ETHERNET + 14, "", ""),
        ("", EQUAL, int(address), "", "pass"),
    )


def without_sizes() -> str:
    """Return the filter that drops every ICMP message that a packet was too large: a firewall that lets no ICMP in."""
    return _written(
        ("", LOAD_HALF, 12, "", ""),
        ("", EQUAL, 0x0800, "", "ipv6"),
        ("", LOAD_BYTE, ETHERNET + 9, "", ""),
        ("", EQUAL, ICMP, "", "pass"),
        # Type 3, code 4; and packet too big, type 2, of ICMPv6.
        ("", LOAD_HALF, ETHERNET + 20, "", ""),
        ("", EQUAL, 0x0304, "drop", "pass"),
        ("ipv6", EQUAL, 0x86DD, "", "pass"),
        ("", LOAD_BYTE, ETHERNET + 6, "", ""),
        ("", EQUAL, ICMPV6, "", "pass"),
        ("", LOAD_BYTE, ETHERNET + 40, "", ""),
        ("", EQUAL, 2, "drop", "pass"),
    )


def _written(*rules: Line) -> str:
    """Write a program that drops what comes to the end of the rules."""
    lines: list[Line] = [*rules, ("drop", RETURN, DROP, "", ""), ("pass", RETURN, PASS, "", "")]
    places = {name: number for number, (name, *_) in enumerate(lines) if name}
    written = []
    for number, (_, instruction, operand, yes, no) in enumerate(lines):
        if instruction == GO:
            written.append(f"{instruction} 0 0 {places[yes] - number - 1}")
            continue
        jumps = " ".join(str(places[where] - number - 1 if where else 0) for where in (yes, no))
        written.append(f"{instruction} {jumps} {operand}")
    return ",".join([str(len(written)), *written])
