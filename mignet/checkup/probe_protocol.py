"""What a probe says at its end, read: short names there, since a pod can say 4096 bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """What a probe found of one target."""

    rtt: float | None = None
    """Milliseconds."""
    blocked: tuple[int, ...] = ()
    """TCP ports without an answer."""
    errors: tuple[str, ...] = ()
    there: bool = False
    """Whether the target was seen all the same: its MAC is known, or it answers over UDP, or it refuses."""
    other: str | None = None
    """The token of the machine that answered in its place; empty when that one said nothing."""
    mac: str | None = None
    """The MAC that its address has here, when that is not its own."""
    path_mtu: int | None = None
    """Bytes that pass unfragmented, when that is less than declared."""
    no_udp: bool = False
    """Whether no packet of UDP came back, so that nothing is known of the path MTU."""
    throughput: float | None = None
    """Mbit/s."""

    @classmethod
    def read(cls, found: Any) -> Entry | None:
        """Read one, None when there was no time to measure it. Raises TypeError, ValueError, AttributeError."""
        if found is None:
            return None
        if isinstance(found, int):
            return cls(rtt=found / 1000)
        rtt = found.get("t")
        errors = tuple(map(str, found.get("e", ())))
        return cls(
            rtt=None if rtt is None else rtt / 1000,
            blocked=tuple(map(int, found.get("p", ()))),
            errors=errors,
            there=bool(found.get("l")) or "refused" in errors,
            other=found.get("w"),
            mac=found.get("a"),
            path_mtu=found.get("m"),
            no_udp=bool(found.get("u")),
            throughput=found.get("s"),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe found of itself, and of its targets in their order."""

    interface: bool
    mtu: int | None
    carrier: bool | None
    """Whether its link is up, as far as that kind of interface knows."""
    duplicates: tuple[str, ...]
    """Its own IPv6 addresses that somebody else has, too."""
    trouble: str | None
    entries: tuple[Entry | None, ...]


def read_report(text: str) -> Report | None:
    """Read what a pod said at its end, or None when that is nothing of a probe."""
    try:
        said = json.loads(text)
        return Report(
            interface=bool(said["i"]),
            mtu=said["n"],
            carrier=said["k"],
            duplicates=tuple(said.get("d", ())),
            trouble=said.get("x"),
            entries=tuple(Entry.read(each) for each in said["r"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
