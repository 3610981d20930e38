"""Check stacks from their files alone: each by itself, and against all others of the project."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.findings import Finding
from config.fleet_files import read_fleet
from config.fleet_rules import CODES as FLEET_CODES
from config.stack import WAIVABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from config.fleet_files import FleetFiles
    from config.project_files import Project


@dataclass(frozen=True, slots=True)
class Checked:
    """What `mignet check` found: the stacks that it was asked for, its findings about them, in the stacks' order.

    `left_out` are stacks of the project that cannot be read, so that nothing was compared with them.
    """

    project: Project
    stacks: tuple[str, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]

    @property
    def blocks(self) -> bool:
        """Whether one of the stacks must not be applied."""
        return any(finding.blocks for finding in self.findings)

    @property
    def warns(self) -> bool:
        """Whether there is a warning that nobody waived."""
        return any(finding.severity == "warning" and finding.waived is None for finding in self.findings)

    @property
    def summary(self) -> str:
        """What was found in one line: `3 stacks: 1 error, 2 warnings`."""
        counts = Counter("waived" if finding.waived is not None else finding.severity for finding in self.findings)
        words = [
            f"{counts[kind]} {kind if kind in {'waived', 'info'} or counts[kind] == 1 else kind + 's'}"
            for kind in ("error", "warning", "info", "waived")
            if counts[kind]
        ]
        stacks = f"{len(self.stacks)} stack{'' if len(self.stacks) == 1 else 's'}"
        return f"{stacks}: {', '.join(words) or 'nothing found'}"


def check(project: Project, names: Collection[str] = ()) -> Checked:
    """Check the named stacks, or all of them, against each other and all others of the project."""
    files = read_fleet(project, also=names)
    chosen = tuple(sorted(names or project.stack_names()))
    found = [*files.findings, *files.between()]
    found += _unused_waivers(files, found)
    wanted = set(chosen)
    about = [finding for finding in found if not wanted.isdisjoint({finding.stack, finding.peer})]
    about.sort(key=lambda finding: finding.stack)
    return Checked(project, chosen, tuple(about), files.unread)


def _unused_waivers(files: FleetFiles, found: Iterable[Finding]) -> Iterator[Finding]:
    used = {
        (name, finding.code)
        for finding in found
        if finding.waived is not None
        for name in (finding.stack, finding.peer)
    }
    for stack in files.fleet.stacks:
        for code in stack.waivers:
            # With a stack missing, what the waiver is for may be hidden.
            if code not in WAIVABLE or (stack.name, code) in used or (files.unread and code in FLEET_CODES):
                continue
            yield Finding(
                "warning",
                "waiver-unused",
                stack.name,
                f"waivers.{code}",
                stack.waivers[code],
                "waives what is not broken",
                "Remove it, so that it hides nothing later",
            )
