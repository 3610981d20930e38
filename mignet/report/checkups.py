"""The last checkup, as it is kept in its JSON file: which ways were measured, and what came of them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.findings import Finding
from mignet.run_record import place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from config.project_files import Project
    from mignet.report.tone import Tone

MOST = 16
"""Rows of the matrix: nodes up to so many, else clusters up to so many, else those with a broken way and the rest."""


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


@dataclass(frozen=True, slots=True)
class Checkup:
    """One run. `begun` is in UTC; of the `possible` ways, `measured` were."""

    begun: str
    possible: int
    measured: int
    ways: tuple[Way, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]

    @property
    def broken(self) -> tuple[Way, ...]:
        """The ways that are not as they should be."""
        return tuple(way for way in self.ways if not way.ok)

    @property
    def tone(self) -> Tone:
        """Whether all that was measured is well."""
        return "bad" if self.broken else "good" if self.ways else "idle"

    @property
    def words(self) -> str:
        """The same in a sentence."""
        return (
            f"{len(self.ways) - len(self.broken)} of {len(self.ways)} measured ways are well; of {self.possible:,}"
            f" possible ones {self.measured:,} were measured, {self.begun.replace('T', ' ').removesuffix('Z')} UTC"
        )

    def matrix(self) -> tuple[tuple[str, ...], Mapping[tuple[str, str], tuple[Way, ...]]]:
        """Return the heads of a matrix that stays readable, and the ways of each of its cells."""
        nodes = list(dict.fromkeys(end for way in self.ways for end in (way.source, way.target)))
        clusters = list(dict.fromkeys(stack for stack, _ in nodes))
        if len(nodes) <= MOST:
            head = {node: "/".join(node) for node in nodes}
        elif len(clusters) <= MOST:
            head = {node: node[0] for node in nodes}
        else:
            hit = {stack for way in self.broken for stack, _ in (way.source, way.target)}
            shown = [stack for stack in clusters if stack in hit][: MOST - 1]
            rest = f"the other {len(clusters) - len(shown)}"
            head = {node: node[0] if node[0] in shown else rest for node in nodes}
        cells: defaultdict[tuple[str, str], list[Way]] = defaultdict(list)
        for way in self.ways:
            cells[head[way.source], head[way.target]].append(way)
        return tuple(dict.fromkeys(head[node] for node in sorted(nodes))), {
            key: tuple(ways) for key, ways in cells.items()
        }


def last(project: Project, path: Path | None) -> Checkup | None:
    """Return the checkup in a file, else the project's last one; None when there is none.

    Raises OSError when a named file cannot be read, and ValueError when it is no result of a checkup.
    """
    # Where mignet checkup keeps it.
    path_ = path or place(project, "checkup-result")
    try:
        text = path_.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path is not None:
            raise
        return None
    try:
        return _read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path_} is no result of a checkup"
        raise ValueError(msg) from error


def about(checkup: Checkup, stacks: Sequence[str]) -> list[Finding]:
    """Return its findings about these stacks."""
    names = set(stacks)
    return [each for each in checkup.findings if not names.isdisjoint({each.stack, each.peer})]


def _read(content: Mapping[str, Any]) -> Checkup:
    return Checkup(
        begun=str(content["begun"]),
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
        left_out=tuple(str(each) for each in content["leftOut"]),
    )


def _finding(each: Mapping[str, Any]) -> Finding:
    """Take a finding apart again: its message is its whole sentence."""
    key, remedy, waived = str(each["key"]), str(each["remedy"]), each["waived"]
    sentence = str(each["message"]).removeprefix(f"{each['stack']}: ").removeprefix(key).strip()
    if waived is not None:
        sentence = sentence.removesuffix(f"(waived: {waived})").strip()
    rule = sentence.removesuffix(remedy).strip().removesuffix(".")
    severity = each["severity"]
    if severity not in {"error", "warning", "info"}:
        raise ValueError(severity)
    return Finding(severity, str(each["code"]), str(each["stack"]), key, None, rule, remedy, waived, each["peer"])
