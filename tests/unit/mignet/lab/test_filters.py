"""The fabric's filters, run on frames by an interpreter of classic BPF of this test's own."""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from mignet.lab.dataplane import filters

DROPPED, PASSED = 2, 0xFFFFFFFF
ADDRESS = IPv4Address("10.200.5.10")


def run(program: str, frame: bytes) -> int:  # noqa: PLR0912 - one for each instruction
    count, *lines = program.split(",")
    code = [tuple(map(int, line.split())) for line in lines]
    assert len(code) == int(count)
    a = x = at = 0
    while True:
        instruction, yes, no, operand = code[at]
        at += 1
        match instruction:
            case 0x20:
                (a,) = struct.unpack_from("!I", frame, operand)
            case 0x28:
                (a,) = struct.unpack_from("!H", frame, operand)
            case 0x48:
                (a,) = struct.unpack_from("!H", frame, x + operand)
            case 0x30:
                a = frame[operand]
            case 0x50:
                a = frame[x + operand]
            case 0xB1:
                x = 4 * (frame[operand] & 0xF)
            case 0x01:
                x = operand
            case 0x54:
                a &= operand
            case 0x05:
                at += operand
            case 0x15 | 0x35 | 0x25:
                true = {0x15: a == operand, 0x35: a >= operand, 0x25: a > operand}[instruction]
                at += yes if true else no
            case 0x06:
                return operand
            case _:
                raise AssertionError(instruction)


def tcp(port: int, flags: int, *, source: int = 50000) -> bytes:
    return struct.pack("!HHIIBBHHH", source, port, 1, 2, 5 << 4, flags, 0, 0, 0)


def ipv4(payload: bytes, protocol: int = 6, options: bytes = b"") -> bytes:
    header = struct.pack("!BBHHHBBH", 0x40 | (5 + len(options) // 4), 0, 0, 0, 0, 64, protocol, 0)
    return bytes(12) + b"\x08\x00" + header + bytes(8) + options + payload


def ipv6(payload: bytes, protocol: int = 6) -> bytes:
    return bytes(12) + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + bytes(32) + payload


def arp(sender: IPv4Address) -> bytes:
    return bytes(12) + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + bytes(6) + sender.packed + bytes(10)


SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


@pytest.mark.parametrize("wrap", [ipv4, ipv6, lambda payload: ipv4(payload, options=bytes(8))])
@pytest.mark.parametrize(
    ("port", "flags", "verdict"),
    [
        (9185, SYN, PASSED),
        (1023, SYN, PASSED),
        (1024, SYN, DROPPED),
        (65535, SYN, DROPPED),
        (40000, SYN_ACK, PASSED),
        (40000, ACK, PASSED),
    ],
)
def test_only_the_opening_of_a_connection_to_a_blocked_port_is_dropped(
    wrap: Callable[[bytes], bytes], port: int, flags: int, verdict: int
) -> None:
    assert run(filters.without_ports(1024, 65535, but=9185), wrap(tcp(port, flags))) == verdict


def test_what_is_not_tcp_passes() -> None:
    program = filters.without_ports(9185, 9185)
    assert run(program, ipv4(tcp(9185, SYN))) == DROPPED
    assert run(program, ipv4(tcp(9185, SYN), protocol=17)) == PASSED
    assert run(program, ipv6(tcp(9185, SYN), protocol=58)) == PASSED
    assert run(program, arp(ADDRESS)) == PASSED


def test_only_claims_to_the_one_address_are_dropped() -> None:
    program = filters.without_claims(ADDRESS)
    assert run(program, arp(ADDRESS)) == DROPPED
    assert run(program, arp(ADDRESS + 1)) == PASSED
    assert run(program, ipv4(tcp(9185, SYN))) == PASSED
