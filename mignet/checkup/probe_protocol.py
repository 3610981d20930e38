"""What a probe says at its end, read: short names there, since a pod can say 4096 bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.types.json_text import parse_json


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
    hangs: bool = False
    """Whether nothing arrived that was sent in large packets over TCP; asked of routed paths only."""
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
            other=_of(str, found.get("w")),
            mac=_of(str, found.get("a")),
            path_mtu=_of(int, found.get("m")),
            hangs=bool(found.get("b")),
            no_udp=bool(found.get("u")),
            throughput=_of(int | float, found.get("s")),
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
        said = parse_json(text)
        return Report(
            interface=bool(said["i"]),
            mtu=_of(int, said["n"]),
            carrier=_of(bool, said["k"]),
            duplicates=tuple(map(str, said.get("d", ()))),
            trouble=_of(str, said.get("x")),
            entries=tuple(Entry.read(each) for each in said["r"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _of(kind: Any, value: Any) -> Any:
    """Return a value of that kind, or None. Raises TypeError for another one: whoever answers on a network may lie."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(kind)
    return value
