"""What was found about some stacks: a value that every output renders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from config.finding import few, folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.files.project_files import Project
    from config.finding import Finding, Remark


HOURS = 24.0
"""How long a checkup counts, where nobody says otherwise."""
API_VERSION: Final = "migration-network/v1"
"""Of every JSON document: what is changed in a way that breaks its readers gets another one."""
MOST = 10
"""Stacks that a sentence names at most."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One end of a connection that a machine took between two clusters.

    `role` is `from` and `to` for the virt-handlers, and `sync controller`. `inside` is whether the address is in the
    slice of its stack, and None where KubeVirt does not say the address.
    """

    role: str
    stack: str
    node: str | None
    address: str | None
    slice: str
    inside: bool | None


@dataclass(frozen=True, slots=True)
class Crossing:
    """One way of a test machine from a cluster to another.

    `begun` and `ended` are KubeVirt's times of the copying, in UTC; `seconds` is how long all of it took, with what
    both clusters had to tell each other before.
    """

    source: str
    target: str
    machine: str
    outcome: str
    proven: bool
    begun: str | None
    ended: str | None
    seconds: float
    hops: tuple[Hop, ...]

    @property
    def sentence(self) -> str:
        """Say what it proves."""
        ends = {hop.role: f"{hop.stack} (node {hop.node}, {hop.address})" for hop in self.hops}
        took = f"in {self.seconds:g} s, all addresses in their slices"
        return f"a test machine went from {ends['from']} to {ends['to']} over the migration network {took}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at stacks, or at their clusters, found; the findings are in the stacks' order.

    `left_out` has a remark for what could not be looked at, so that nothing is said of it.
    """

    project: Project
    stacks: tuple[str, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[Remark, ...]
    proven: tuple[Remark, ...] = ()
    """A remark for each stack of which something was proven, and what."""
    not_judged: Mapping[str, int] = field(default_factory=dict)
    """How many rules could not be judged, for each stack where there are any."""
    rules: int = 0
    """How many rules each stack was held against; 0 where what was looked at is not counted in rules."""
    crossings: tuple[Crossing, ...] = ()
    """The ways that a test machine took between two clusters."""

    def with_(self, more: Checked) -> Checked:
        """Return both as one, about the stacks of this one."""
        return replace(
            self,
            findings=(*self.findings, *more.findings),
            left_out=(*self.left_out, *more.left_out),
            rules=self.rules + more.rules,
            proven=(*self.proven, *more.proven),
            not_judged=Counter(self.not_judged) + Counter(more.not_judged),
            crossings=(*self.crossings, *more.crossings),
        )

    @property
    def blocks(self) -> bool:
        """Whether one of the stacks must not be applied."""
        return any(finding.blocks for finding in self.findings)

    @property
    def warns(self) -> bool:
        """Whether there is a warning that nobody waived."""
        return any(finding.severity == "warning" and finding.waived is None for finding in self.findings)

    @property
    def looked_at(self) -> str:
        """How many stacks, and against how many rules each was held: `3 stacks, 57 rules each`."""
        one = len(self.stacks) == 1
        rules = f", {self.rules} rules{'' if one else ' each'}" if self.rules else ""
        return f"{len(self.stacks)} stack{'' if one else 's'}{rules}"

    @property
    def summary(self) -> str:
        """What was found in one line: `3 stacks: 1 error, 2 warnings`."""
        counts = Counter(
            "waived" if finding.waived is not None else finding.severity for finding in folded(self.findings)
        )
        words = [
            f"{counts[kind]} {kind if kind in {'waived', 'info'} or counts[kind] == 1 else kind + 's'}"
            for kind in ("error", "warning", "info", "waived")
            if counts[kind]
        ]
        found = ", ".join(words) or ("" if self.not_judged else "no problems")
        return f"{self.looked_at}: {'; '.join(filter(None, (found, not_judged(self.not_judged))))}"


def not_judged(rules: Mapping[str, int]) -> str:
    """Say how many rules were not judged, and on which stacks' clusters; nothing when all were.

    >>> not_judged({"dev": 12, "prod": 1})
    '13 rules were not judged (dev: 12, prod: 1)'
    """
    counted = [f"{name}: {count}" for name, count in rules.items() if count]
    if not counted:
        return ""
    total = sum(rules.values())
    return f"{total} rule{'s were' if total > 1 else ' was'} not judged ({few(counted, most=MOST)})"
