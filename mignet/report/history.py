"""What was done last: by mignet, as its records of runs say, and on the clusters, as their API servers noted it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from config.hyperconverged import NAME
from mignet.fleet.journal import place, read_record
from mignet.kube.managed_fields import owners

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.files.project_files import Project
    from mignet.fleet.journal import StackRun
    from mignet.kube.diff import Writer
    from mignet.report.collect import Sighting

VERBS = ("up", "destroy", "drift", "verify", "preflight", "preview")
"""Those whose runs over several stacks are recorded."""


@dataclass(frozen=True, slots=True)
class Run:
    """The last recorded run of a verb over several stacks; `begun` and `ended` in UTC, `ended` empty if it was not."""

    verb: str
    begun: str
    ended: str
    stacks: dict[str, StackRun]

    @property
    def counts(self) -> str:
        """How its stacks ended: `297 done, 3 failed`."""
        return ", ".join(f"{count} {state}" for state, count in Counter(r.state for r in self.stacks.values()).items())

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Those that did not end well, with the first line of what was said."""
        return [(name, run.said.partition("\n")[0]) for name, run in self.stacks.items() if run.state != "done"]


@dataclass(frozen=True, slots=True)
class Write:
    """Who wrote to an object of the network last, and when, in UTC; on several clusters, in the same minute."""

    time: str
    stacks: tuple[str, ...]
    what: str
    manager: str


def runs(project: Project) -> tuple[list[Run], list[str]]:
    """Return the recorded runs, the latest first, and a sentence for each record that cannot be read."""
    found, unread = [], []
    for verb in VERBS:
        path = place(project, verb)
        try:
            if record := read_record(path):
                found.append(Run(verb, record.begun, record.ended or "", record.stacks))
        except (OSError, ValueError):
            unread.append(f"the record of the last {verb} cannot be read: {path}")
    return sorted(found, key=lambda run: run.begun, reverse=True), unread


def writes(found: Iterable[Write]) -> list[Write]:
    """Return the last writes to each cluster's attachment and migration settings, the latest first."""
    together: dict[tuple[str, str, str], Write] = {}
    for each in found:
        key = each.time[:16], each.what, each.manager
        known = together.get(key)
        together[key] = replace(known, stacks=(*known.stacks, *each.stacks)) if known else each
    return sorted(together.values(), key=lambda each: each.time, reverse=True)


def last_writes(seen: Sighting) -> Iterator[Write]:
    """Yield the last write to a cluster's attachment, and the one to its migration settings."""
    if seen.verdict is None:
        return
    sight = seen.verdict.sight
    if sight.attachment:
        what = f"NetworkAttachmentDefinition {seen.stack.network}"
        yield from _last(seen, what, (by for path, by in owners(sight.attachment) if path.startswith("spec")))
    if sight.hyperconverged:
        what = f"HyperConverged {NAME}, liveMigrationConfig"
        yield from _last(
            seen, what, (by for path, by in owners(sight.hyperconverged) if "liveMigrationConfig." in path)
        )


def _last(seen: Sighting, what: str, writers: Iterator[Writer]) -> Iterator[Write]:
    last = max((by for by in writers if by.time), key=lambda by: by.time, default=None)
    if last is not None:
        yield Write(last.time, (seen.name,), what, last.manager)
