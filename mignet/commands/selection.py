"""Which stacks a run is about, and what an earlier run left of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.selection import Waves, in_waves
from config.types.model import parse
from mignet.commands.arguments import Many, chosen, labels_of, mistake
from mignet.fleet.concurrency import Pace
from mignet.fleet.journal import StackRun, place, recorded
from mignet.fleet.run_context import under_way

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from config.files.project_files import Project
    from mignet.fleet.run_context import Course


@dataclass(frozen=True, slots=True)
class Picked:
    """The stacks of a run by name; `before` are those that the run it takes up was done with, None without one."""

    project: Project
    verb: str
    many: Many
    names: tuple[str, ...]
    before: dict[str, StackRun] | None = None

    def under_way(self, engine: str = "direct") -> AbstractContextManager[Course]:
        """Begin the run. One over a single stack leaves the record of the last run over many as it is."""
        paths = [self.many.report] if self.many.report else []
        if len(self.names) > 1 or self.before is not None:
            paths.append(place(self.project, self.verb))
        pace = Pace(self.many.at_a_time, self.many.timeout, self.many.fail_fast)
        return under_way(self.verb, engine, self.names, pace=pace, paths=paths, before=self.before)


def pick(project: Project, verb: str, many: Many) -> Picked:
    """Return the stacks that a command line means. Raises ConfigError."""
    if many.timeout == 0 and verb != "verify":
        mistake("--timeout 0", "leaves no time", "Give the seconds that a cluster may take")
    if not many.only_failed:
        return Picked(project, verb, many, tuple(chosen(project, many.stacks, all_=many.all_, select=many.select)))
    path = many.report or place(project, verb)
    try:
        runs = recorded(path)
    except (OSError, ValueError):
        mistake("--only-failed", f"cannot read {path}", "It is no record of a run; leave the option out")
    if runs is None:
        mistake("--only-failed", f"finds no run of {verb} over several stacks", f"Run mignet {verb} --all first")
    left = [name for name, run in runs.items() if run.state != "done"]
    if many.stacks or many.select:
        wanted = set(chosen(project, many.stacks, all_=False, select=many.select))
        left = [name for name in left if name in wanted]
    done = {name: run for name, run in runs.items() if name not in left}
    return Picked(project, verb, many, tuple(left), done)


def waves_of(project: Project, names: Sequence[str], *, canary: Sequence[str] = ()) -> list[list[str]]:
    """Return stacks in waves: `canary` first and then the rest, else as Pulumi.yaml says; none when it does not.

    Raises ConfigError.
    """
    waves: Sequence[Sequence[str]] = [list(canary)] if canary else ()
    if not canary and (declared := project.defaults.get("waves")):
        found = parse(Waves, declared, stack="Pulumi.yaml", key="waves")
        # A mistake in it is one of every stack, and was said when they were read.
        waves = found.root if isinstance(found, Waves) else ()
    if not waves:
        return []
    ordered = in_waves(waves, {name: labels_of(project, name) for name in names})
    if canary and len(names) > 1 and len(ordered) < 2:
        mistake(f"--canary {' '.join(canary)}", "is none of the stacks, or all of them", f"Stacks: {', '.join(names)}")
    return ordered
