"""The last checkup, as it is kept in its JSON file: which ways were measured, what came of them, and whether it counts.

What was measured is true for the moment: after some hours nobody knows any more, and it says so instead of good or bad.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from config.files.file_text import read_bytes
from config.finding import Finding, Remark
from config.types.json_text import parse_json
from mignet.fleet.journal import MOST_BYTES, place
from mignet.fleet.results import HOURS
from mignet.kube.source import current_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from config.files.project_files import Project

_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Way:
    """What one node measured of another; `rtt` in milliseconds, `mtu` in bytes, None where it was not measured."""

    source: tuple[str, str]
    target: tuple[str, str]
    ok: bool
    reason: str
    rtt: float | None
    mtu: int | None

    @property
    def words(self) -> str:
        """The way, and what came of it."""
        found = self.reason or ", ".join(
            filter(None, (f"{self.rtt:.2g} ms" if self.rtt is not None else "", f"MTU {self.mtu}" if self.mtu else ""))
        )
        return f"{'/'.join(self.source)} → {'/'.join(self.target)}: {found or 'well'}"


@dataclass(frozen=True)
class Checkup:
    """One run. `begun` is in UTC; of the `possible` ways, `measured` were."""

    begun: datetime
    possible: int
    measured: int
    ways: tuple[Way, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    problems: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The nodes with which something is wrong, by stack and name, and the code of what."""
    hours: float = HOURS
    """How long it counts."""
    now: datetime = field(default_factory=current_time)

    @property
    def counts(self) -> bool:
        """Whether it is young enough to be believed."""
        return self.now - self.begun <= timedelta(hours=self.hours)

    @property
    def broken(self) -> tuple[Way, ...]:
        """The ways that are not as they should be."""
        return tuple(way for way in self.ways if not way.ok)

    @property
    def when(self) -> str:
        """How long ago it was, and its date."""
        return f"{_ago(self.now - self.begun)} ago ({self.begun:%Y-%m-%d %H:%M} UTC)"

    @cached_property
    def _of_node(self) -> Mapping[tuple[str, str], tuple[Way, ...]]:
        found: defaultdict[tuple[str, str], list[Way]] = defaultdict(list)
        for way in self.ways:
            found[way.source].append(way)
            found[way.target].append(way)
        return {node: tuple(ways) for node, ways in found.items()}

    def measured_of(self, stack: str, nodes: Iterable[str]) -> str:
        """Say what was measured from and to some nodes of a stack's cluster; nothing when nothing counts."""
        ways = {way for node in nodes for way in self._of_node.get((stack, node), ())}
        if not ways or not self.counts:
            return ""
        times = [way.rtt for way in ways if way.rtt is not None]
        sizes = [way.mtu for way in ways if way.mtu is not None]
        slowest = f", up to {max(times):.2g} ms" if times else ""
        smallest = f", MTU {min(sizes)}" if sizes else ""
        return f"measured: {sum(way.ok for way in ways)} of {len(ways)} paths work{slowest}{smallest}"

    @property
    def words(self) -> str:
        """What came of it in a sentence."""
        if not self.counts:
            return f"unknown: the last checkup was {self.when}, and counts for {self.hours:g} hours; run mignet checkup"
        return (
            f"{len(self.ways) - len(self.broken)} of {len(self.ways)} measured paths are healthy; of {self.possible:,}"
            f" possible ones {self.measured:,} were measured, {self.when}"
        )

    @property
    def outcome(self) -> str:
        """The same as a part of another sentence."""
        if not self.counts:
            return f"unknown between the nodes, as the last checkup was {self.when}"
        return (
            f"measured between the nodes {self.when}: {len(self.ways) - len(self.broken)} of {len(self.ways)} healthy"
        )

    @cached_property
    def between(self) -> Mapping[tuple[str, str], tuple[Way, ...]]:
        """The ways from one stack to another."""
        found: dict[tuple[str, str], list[Way]] = {}
        for way in self.ways:
            found.setdefault((way.source[0], way.target[0]), []).append(way)
        return {key: tuple(ways) for key, ways in found.items()}

    @cached_property
    def nodes(self) -> frozenset[tuple[str, str]]:
        """The nodes that were measured, by stack and name."""
        return frozenset(end for way in self.ways for end in (way.source, way.target))


NOTHING = "nothing was measured between the nodes (mignet checkup does)"


def outcome(checkup: Checkup | None) -> str:
    """Say what was measured, as a part of a sentence about what objects tell."""
    return NOTHING if checkup is None else checkup.outcome


def last(project: Project, path: Path | None = None, *, hours: float = HOURS) -> Checkup | None:
    """Return the checkup in a file, else the project's last one; None when there is none. It counts for `hours`.

    Raises FileNotFoundError when a named file is not there, and ValueError when it is no result of a checkup.
    """
    # Where mignet checkup keeps it.
    path_ = path or place(project, "checkup-result")
    msg = f"{path_} is no result of a checkup"
    try:
        text = read_bytes(path_, most=MOST_BYTES)
    except FileNotFoundError:
        if path is not None:
            raise
        return None
    except OSError as error:
        raise ValueError(f"{msg}: {error.strerror}") from error
    try:
        return replace(_read(parse_json(text)), hours=hours)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(msg) from error


def about(checkup: Checkup, stacks: Sequence[str]) -> list[Finding]:
    """Return its findings about these stacks, each with its date; none when it counts no more."""
    names = set(stacks)
    return [
        replace(each, rule=f"{each.rule} (measured {checkup.when})")
        for each in checkup.findings
        if checkup.counts and not names.isdisjoint({each.stack, each.peer})
    ]


def _ago(age: timedelta) -> str:
    minutes = max(int(age.total_seconds() // 60), 0)
    for size, unit in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if count := minutes // size:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _read(content: Mapping[str, Any]) -> Checkup:
    return Checkup(
        begun=datetime.strptime(content["begun"], _FORM).replace(tzinfo=UTC),
        possible=int(content["coverage"]["possible"]),
        measured=int(content["coverage"]["measured"]),
        ways=tuple(
            Way(
                (str(each["source"]["stack"]), str(each["source"]["node"])),
                (str(each["target"]["stack"]), str(each["target"]["node"])),
                ok=bool(each["ok"]),
                reason=str(each["reason"] or ""),
                rtt=None if each["rttMs"] is None else float(each["rttMs"]),
                mtu=None if each["pathMtu"] is None else int(each["pathMtu"]),
            )
            for each in content["pairs"]
        ),
        findings=tuple(_finding(each) for each in content["findings"]),
        # Before v1 a remark was one sentence.
        left_out=tuple(str(Remark(**each) if isinstance(each, dict) else each) for each in content["leftOut"]),
        problems={
            (str(cluster["stack"]), str(node["name"])): str(node["problem"])
            for cluster in content["clusters"]
            for node in cluster["nodes"]
            if node["problem"]
        },
    )


def _finding(each: Mapping[str, Any]) -> Finding:
    severity = each["severity"]
    if severity not in {"error", "warning", "info"}:
        raise ValueError(severity)
    code, stack, key, rule, remedy = (str(each[part]) for part in ("code", "stack", "key", "rule", "remedy"))
    return Finding(
        key,
        None,
        rule,
        remedy,
        code=code,
        severity=severity,
        stack=stack,
        waived=None if each["waived"] is None else str(each["waived"]),
        peer=None if each["peer"] is None else str(each["peer"]),
    )
