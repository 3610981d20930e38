"""What a watch tells: that drift or a finding began or ended, that a cluster was lost or is back, as values."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from config.finding import visible
from mignet.fleet.chain import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.finding import Finding, Severity
    from mignet.outputs.documents import ChangeKind

MOST_PEERS = 16
"""Others with which a finding of one kind is told one by one: of more it is told once."""
Identity = tuple[str, str, str, str, str]
"""What tells one finding from another, its sentence left out, which may count seconds."""


def _now() -> str:
    return stamp(datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed. `stack` is empty where it is about no single one, `verb` what judges so.

    `time` is when it was seen, in UTC; `id` is its own, so that who is told twice can see it.
    """

    what: ChangeKind
    stack: str = ""
    sentence: str = ""
    verb: str = ""
    code: str = ""
    severity: Severity | Literal[""] = ""
    subject: str = ""
    peer: str | None = None
    time: str = field(default_factory=_now)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def as_json(self) -> str:
        """Write it on one line of JSON."""
        from mignet.outputs import documents

        told = {key: visible(value) if isinstance(value, str) else value for key, value in asdict(self).items()}
        return documents.Change.model_validate(told).model_dump_json()

    def as_line(self) -> str:
        """Write it on one line for people."""
        about = f"{self.stack}: " if self.stack else ""
        by = f" ({': '.join(filter(None, (self.verb, self.code)))})" if self.verb or self.code else ""
        sentence = " ".join(self.sentence.split())
        return visible(f"{self.time} {self.what} {about}{sentence}{by}".rstrip())


def identity(verb: str, finding: Finding) -> Identity:
    """Return what tells a finding from every other of its stack."""
    value = json.dumps(finding.value, default=str, sort_keys=True)
    return verb, finding.code, str(finding.key), value, finding.peer or ""


def told(verb: str, findings: Iterable[Finding]) -> dict[Identity, Finding]:
    """Return the findings that a watch tells of: those that are more than information, and that nobody waived."""
    return {identity(verb, each): each for each in findings if each.severity != "info" and each.waived is None}


def told_of_peers(stack: str, findings: Iterable[Finding]) -> dict[Identity, Finding]:
    """Return the findings between a stack and others that a watch tells of: of one kind with many others, one."""
    by_code: dict[str, list[Finding]] = {}
    for each in told("peers", findings).values():
        by_code.setdefault(each.code, []).append(each)
    found: list[Finding] = []
    for same in by_code.values():
        others = {each.peer for each in same if each.peer}
        if len(others) <= MOST_PEERS:
            found += same
            continue
        first = same[0]
        rule = f"stands between it and {len(others)} others, such as {first.peer}: {first.sentence}"
        key = f"{first.code} of {stack}"
        found.append(replace(first, key=key, value=None, rule=rule, remedy="", peer=None))
    return told("peers", found)


def between(stack: str, before: Mapping[Identity, Finding], after: Mapping[Identity, Finding]) -> Iterator[Change]:
    """Yield the findings that ended, and those that began."""
    for key in (each for each in before if each not in after):
        yield _of("finding-ended", stack, key, before[key])
    for key in (each for each in after if each not in before):
        yield _of("finding-began", stack, key, after[key])


def _of(what: ChangeKind, stack: str, key: Identity, each: Finding) -> Change:
    return Change(what, stack, each.sentence, key[0], each.code, each.severity, subject=str(each.key), peer=each.peer)
