"""The fleet as the files of a project give it: every stack that can be read, and what is wrong with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import ConfigError
from config.fleet import Fleet
from config.loading import parse_segment, read_stack
from config.rules.fleet_rules import check_fleet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.files.project_files import Project
    from config.finding import Finding
    from config.stack import Stack


@dataclass(frozen=True, slots=True)
class FleetFiles:
    """What was read: the fleet, what was found in each stack by itself, and the stacks that cannot be read."""

    fleet: Fleet
    findings: tuple[Finding, ...]
    unread: tuple[str, ...]

    def between(self) -> tuple[Finding, ...]:
        """Return what breaks the rules between stacks."""
        return tuple(check_fleet(self.fleet))

    def blocking(self, names: Iterable[str]) -> tuple[Finding, ...]:
        """Return what between stacks forbids to apply one of those named."""
        wanted = set(names)
        return tuple(f for f in self.between() if f.blocks and not wanted.isdisjoint({f.stack, f.peer}))

    @property
    def left_out(self) -> str | None:
        """A sentence on the stacks that no rule between stacks looks at, or None when there are none."""
        if not self.unread:
            return None
        return f"{', '.join(self.unread)} cannot be read: not compared with the other stacks (mignet check says why)"


def read_fleet(project: Project, *, known: Iterable[Stack] = (), also: Iterable[str] = ()) -> FleetFiles:
    """Read every stack that has a file, and those named in `also`, which need not have one.

    `known` are stacks that were read already: they take the place of their files.
    """
    given = {stack.name: stack for stack in known}
    stacks = list(given.values())
    findings: list[Finding] = []
    unread: list[str] = []
    overriding: set[str] = set()
    for name in sorted({*project.stack_names(), *also}):
        if name in given:
            continue
        try:
            own = project.own_values(name)
        except ConfigError as error:
            findings.extend(error.findings)
            unread.append(name)
            continue
        stack, found = read_stack(name, project.defaults | own)
        findings.extend(project.of_environments(name, found))
        if stack is None:
            unread.append(name)
            continue
        stacks.append(stack)
        if "segment" in own:
            overriding.add(name)
    shared = parse_segment("Pulumi.yaml", project.defaults.get("segment"))
    fleet = Fleet(tuple(stacks), None if isinstance(shared, tuple) else shared, frozenset(overriding))
    return FleetFiles(fleet, tuple(findings), tuple(unread))
