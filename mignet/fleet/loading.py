"""Which stacks of a run can be read. One that cannot costs a look its own line, and no other stack's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from config.files.fleet_files import read_fleet
from config.finding import ConfigError, Finding, sentences
from config.loading import load_stack
from mignet.kube.diff import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course


@dataclass(frozen=True, slots=True)
class Readable:
    """The stacks that can be looked at; `refused` has what is wrong with each other one that was named."""

    stacks: tuple[Stack, ...]
    refused: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """What else is to be said, in lines."""

    def tell(self, course: Course) -> None:
        """Let the course know how those ended that cannot be read."""
        for name, findings in self.refused.items():
            course.watch(name, "failed", sentences(name, findings))

    def report(self, name: str, verb: str, engine: str) -> Report:
        """Return the report of a stack that cannot be read."""
        findings = self.refused[name]
        return Report(name, verb, engine, error=sentences(name, findings), findings=findings)

    def added_to(self, checked: Checked) -> Checked:
        """Return what a look found, and what is wrong with those that it could not be about."""
        if not self.refused:
            return checked
        wrong = tuple(finding for findings in self.refused.values() for finding in findings)
        return replace(checked, stacks=(*checked.stacks, *self.refused), findings=(*checked.findings, *wrong))


def load(project: Project, names: Sequence[str]) -> list[Stack]:
    """Read the named stacks. Raises ConfigError with every mistake in all of them."""
    readable = _read(project, names)
    if readable.refused:
        raise ConfigError(finding for findings in readable.refused.values() for finding in findings)
    return list(readable.stacks)


def load_first(project: Project, names: Sequence[str]) -> Stack:
    """Return the first of the named stacks that can be read. Raises ConfigError with every mistake when none can."""
    refused: list[Finding] = []
    for name in names:
        try:
            return load_stack(name, project.stack_values(name))
        except ConfigError as error:
            refused += project.of_environments(name, error.findings)
    raise ConfigError(refused)


def load_readable(project: Project, names: Sequence[str], *, together: bool = False) -> Readable:
    """Read the named stacks, for a verb that changes nothing; `together` leaves out what other stacks forbid, too.

    Raises ConfigError with every mistake when none is left.
    """
    readable = _read(project, names)
    if together and readable.stacks:
        readable = _without_broken_rules(project, readable)
    if readable.refused and not readable.stacks:
        # Between two stacks, a finding is about both.
        wrong = {str(finding): finding for findings in readable.refused.values() for finding in findings}
        raise ConfigError(wrong.values())
    return readable


def _read(project: Project, names: Sequence[str]) -> Readable:
    stacks, refused = [], {}
    for name in names:
        try:
            stacks.append(load_stack(name, project.stack_values(name)))
        except ConfigError as error:
            refused[name] = project.of_environments(name, error.findings)
    return Readable(tuple(stacks), refused)


def _without_broken_rules(project: Project, readable: Readable) -> Readable:
    files = read_fleet(project, known=readable.stacks)
    refused = dict(readable.refused)
    for finding in files.blocking(stack.name for stack in readable.stacks):
        for stack in readable.stacks:
            if stack.name in {finding.stack, finding.peer}:
                refused[stack.name] = (*refused.get(stack.name, ()), finding)
    sound = tuple(stack for stack in readable.stacks if stack.name not in refused)
    return Readable(sound, refused, (files.left_out,) if files.left_out else ())
