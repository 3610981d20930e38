"""What mignet did on this machine, project by project: who changed what when, with plan and outcome, and what drifted.

There are two chains: `changes` has a line when something begins to change a cluster and one when that has ended (and
one for each stack file that was written), `looks` one for each look at drift. Looks are many, and must not push the
changes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from config.finding import ConfigError, without_secrets
from mignet.fleet.chain import Chain
from mignet.fleet.journal import place
from mignet.fleet.origin import actor, commit
from mignet.kube.diff import FieldChange, ObjectChange, differences
from mignet.kube.source import state_folder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.chain import Read
    from mignet.kube.diff import Report

Result = TypeVar("Result")

Outcome = Literal[
    "begun", "done", "failed", "stopped", "timed out", "not started", "refused", "declined", "broken off", "looked"
]
"""How it ended. `begun` has no end yet, or never got one; `refused` and `declined` changed nothing."""
FIX = "drift --fix"
"""The verb of a repair."""
VALUE_CHARACTERS = 400
"""Of a value that is kept; a longer one is cut."""
PLAN_BYTES = 32 << 10
"""Of a plan that is kept; what goes beyond is counted."""
SAID_CHARACTERS = 2000
STACKS_A_LINE = 150
"""Of a look over many stacks."""


def folder(project: Project) -> Path:
    """Return where the history of a project is kept: beside the records of its last runs."""
    return place(project, "history").with_suffix("")


def changes_of(project: Project) -> Chain:
    """Return the chain of what was changed."""
    return Chain(folder(project), "changes")


def looks_of(project: Project) -> Chain:
    """Return the chain of the looks at drift."""
    return Chain(folder(project), "looks")


@dataclass(frozen=True, slots=True)
class End:
    """How a verb ended on one stack; `said` is why, and `changes` what was done or would have been."""

    outcome: Outcome
    said: str = ""
    changes: Sequence[ObjectChange] = ()
    seconds: float | None = None


@dataclass
class Book:
    """Writes what one run does. That it cannot is told once, in one line, and stops nothing."""

    project: Project
    verb: str
    engine: str
    tell: Callable[[str], None]
    run: str = field(default_factory=partial(secrets.token_hex, 6))
    _begun: dict[str, tuple[int, list[dict[str, Any]]]] = field(default_factory=dict)
    _told: bool = False

    @cached_property
    def _run(self) -> dict[str, Any]:
        """What all lines of the run have."""
        from importlib.metadata import version

        who, at = actor(os.environ), commit(self.project.directory)
        return {
            "run": self.run,
            "verb": self.verb,
            "engine": self.engine,
            "mignet": version("migration-network"),
            "who": {"name": who.name, "known": who.known, "account": who.account, "host": who.host},
            "commit": at and {"id": at.id, "dirty": at.dirty},
        }

    async def begin(self, stacks: Sequence[Stack], planned: Mapping[str, Sequence[ObjectChange]]) -> None:
        """Write that work on stacks begins, and what is planned for each."""
        await asyncio.to_thread(self.begin_now, stacks, planned)

    def begin_now(self, stacks: Sequence[Stack], planned: Mapping[str, Sequence[ObjectChange]]) -> None:
        """Do the same at once."""
        plans = {stack.name: _plan(planned.get(stack.name, ())) for stack in stacks}
        bodies = [
            {**self._about(stack), "outcome": "begun", "plan": plan, **({"cut": cut} if cut else {})}
            for stack in stacks
            for plan, cut in (plans[stack.name],)
        ]
        numbers = self._append(changes_of(self.project), bodies)
        self._begun |= {
            stack.name: (number, plans[stack.name][0]) for stack, number in zip(stacks, numbers, strict=False)
        }

    async def end(self, stacks: Sequence[Stack], ends: Mapping[str, End]) -> None:
        """Write how it ended on each stack."""
        await asyncio.to_thread(self.end_now, stacks, ends)

    def end_now(self, stacks: Sequence[Stack], ends: Mapping[str, End]) -> None:
        """Do the same at once: where nothing more is waited for."""
        bodies = []
        for stack in stacks:
            end = ends[stack.name]
            of, begun = self._begun.pop(stack.name, (None, None))
            plan, cut = _plan(end.changes)
            body = {**self._about(stack), "outcome": end.outcome, "said": end.said[:SAID_CHARACTERS]}
            if end.seconds is not None:
                body["seconds"] = round(end.seconds, 3)
            if of is not None:
                body["of"] = of
            if plan != begun:
                body |= {"plan": plan, **({"cut": cut} if cut else {})}
            bodies.append(body)
        self._append(changes_of(self.project), bodies)

    async def around(
        self,
        stacks: Sequence[Stack],
        work: Callable[[], Awaitable[Result]],
        *,
        planned: Mapping[str, Sequence[ObjectChange]],
        broken: Mapping[str, End],
        ended: Callable[[Result], Mapping[str, End]],
    ) -> Result:
        """Write that work begins, do it, and write how it ended: as `ended` says, or `broken` where it did not."""
        await self.begin(stacks, planned)
        try:
            done = await work()
        except BaseException:
            self.end_now(stacks, broken)
            raise
        await self.end(stacks, ended(done))
        return done

    async def look(self, reports: Sequence[Report]) -> None:
        """Write what a look at drift found, some stacks a line; a look at an archive says nothing of now."""
        if state_folder() is not None:
            return
        bodies = []
        for start in range(0, len(reports), STACKS_A_LINE):
            part = reports[start : start + STACKS_A_LINE]
            bodies.append(
                {
                    "clean": [each.stack for each in part if not each.error and not each.drifted],
                    "drifted": {each.stack: _drift(each) for each in part if each.drifted},
                    "unseen": {each.stack: each.error[:200] for each in part if each.error},
                }
            )
        await asyncio.to_thread(self._append, looks_of(self.project), bodies)

    def file(self, stack: str, changes: Sequence[ObjectChange]) -> None:
        """Write that a stack's file was changed."""
        plan, cut = _plan(changes)
        body = {"stack": stack, "outcome": "done", "said": "", "plan": plan, **({"cut": cut} if cut else {})}
        self._append(changes_of(self.project), [body])

    def _about(self, stack: Stack) -> dict[str, Any]:
        return {"stack": stack.name, "cluster": {"context": stack.cluster.context, "uid": stack.cluster.uid}}

    def _append(self, chain: Chain, bodies: Sequence[dict[str, Any]]) -> list[int]:
        if not bodies:
            return []
        try:
            return chain.append([self._run | each for each in bodies])
        except (OSError, ValueError) as error:
            if not self._told:
                self._told = True
                self.tell(f"the history of this run could not be written ({error}); the run goes on")
            return []


@contextlib.contextmanager
def writing(project: Project, verb: str, names: Iterable[str], tell: Callable[[str], None]) -> Iterator[None]:
    """Note which keys of stack files are other ones after something has written them, also when it ends in an error."""
    before = {name: _values(project, name) for name in names}
    try:
        yield
    finally:
        book = Book(project, verb, "", tell)
        for name, old in before.items():
            new, path = _values(project, name), project.stack_file(name).name
            if old is None and new is not None:
                book.file(name, [ObjectChange("create", "file", "", path)])
            elif fields := tuple(differences(old or {}, new or {})):
                book.file(name, [ObjectChange("update", "file", "", path, fields)])


def _values(project: Project, name: str) -> Mapping[str, Any] | None:
    """Return the values of a stack's file; None where there is none that can be read."""
    try:
        return project.own_values(name) if project.stack_file(name).is_file() else None
    except ConfigError:
        return None


def _drift(report: Report) -> dict[str, Any]:
    fields = [each for change in report.changes if change.operation != "same" for each in change.fields]
    writers = (each.by.manager for each in fields if each.by)
    codes = (each.code for each in report.findings if each.severity != "info" and each.waived is None)
    return {
        "changes": len(fields) + sum(c.operation != "same" and not c.fields for c in report.changes),
        "by": [each[:100] for each in dict.fromkeys(writers)][:10],
        "codes": list(dict.fromkeys(codes))[:10],
    }


def _plan(changes: Sequence[ObjectChange]) -> tuple[list[dict[str, Any]], int]:
    """Return what changes as a line keeps it, and how many fields were too many for it."""
    kept: list[dict[str, Any]] = []
    left, cut = PLAN_BYTES, 0
    for change in changes:
        if change.operation == "same":
            continue
        fields = []
        for each in change.fields:
            old, new = (
                {"secure": value} if each.path.endswith(".secure") and value else value
                for value in (each.old, each.new)
            )
            one = {"path": each.path[:VALUE_CHARACTERS], "old": _value(old), "new": _value(new)}
            left -= len(json.dumps(one))
            if left > 0:
                fields.append(one)
            else:
                cut += 1
        if left > 0 or len(kept) < MOST_OBJECTS:
            kept.append(
                {
                    "operation": change.operation,
                    "kind": change.kind[:VALUE_CHARACTERS],
                    "namespace": change.namespace[:VALUE_CHARACTERS],
                    "name": change.name[:VALUE_CHARACTERS],
                    "fields": fields,
                }
            )
        else:
            cut += 1
    return kept, cut


MOST_OBJECTS = 10
"""Whose names are kept even where there is no room for their fields."""


def _value(value: object) -> object:
    plain = _plain(without_secrets(value))
    text = plain if isinstance(plain, str) else json.dumps(plain)
    return plain if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 1]}…"


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value)


# --- reading


@dataclass(frozen=True, slots=True)
class Drifted:
    """What a look found that had drifted: how many changes would undo it, who made them, and codes of findings."""

    changes: int
    by: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened to a stack. `time` is when it began, in UTC; what a line does not say is empty or None.

    `known` says how `who` is known: `system`, the name of a variable, or `Pulumi`.
    """

    time: str
    verb: str
    stack: str
    outcome: str
    who: str = ""
    known: str = ""
    account: str = ""
    host: str = ""
    engine: str = ""
    version: str = ""
    context: str | None = None
    uid: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    said: str = ""
    seconds: float | None = None
    changes: tuple[ObjectChange, ...] = ()
    cut: int = 0
    """Fields and objects of the plan that were too many to be kept."""
    drift: Drifted | None = None
    source: Literal["mignet", "pulumi"] = "mignet"
    run: str = ""
    number: int | None = None
    """Of its line in the chain."""

    @property
    def is_look(self) -> bool:
        """Whether this is a look at drift, which changed nothing."""
        return self.source == "mignet" and self.verb == "drift"

    @property
    def changes_clusters(self) -> bool:
        """Whether it is of a verb that changes what is declared on a cluster."""
        return self.verb in {"up", "destroy", FIX}


@dataclass(frozen=True, slots=True)
class Kept:
    """One chain as it was read."""

    chain: Chain
    read: Read


NO_END = "no end was written: it still runs, or was killed; mignet drift shows what it left"


def entries(lines: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return what the lines of `changes` tell, the beginning and the end of one thing together, in order."""
    found: dict[object, Entry] = {}
    for line in lines:
        entry = _entry(line)
        if entry is None:
            continue
        of = line.get("of")
        begun = found.get((entry.run, of)) if type(of) is int else None
        if begun is None or begun.stack != entry.stack:
            found[entry.run, entry.number] = entry
            continue
        found[entry.run, of] = _with_end(begun, entry, planned="plan" in line)
    return list(found.values())


def _with_end(begun: Entry, end: Entry, *, planned: bool) -> Entry:
    changes, cut = (end.changes, end.cut) if planned else (begun.changes, begun.cut)
    return replace(begun, outcome=end.outcome, said=end.said, seconds=end.seconds, changes=changes, cut=cut)


def looks(lines: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return what the lines of `looks` tell, a stack each, in order."""
    found = []
    for line in lines:
        common = _common(line)
        found += [Entry(**common, stack=name, outcome="looked", drift=Drifted(0)) for name in _texts(line.get("clean"))]
        for name, each in _mapping(line.get("drifted")).items():
            told = _mapping(each)
            drift = Drifted(_count(told.get("changes")), _texts(told.get("by")), _texts(told.get("codes")))
            # What only findings tell is drift as well.
            drift = drift if drift.changes or drift.codes else Drifted(1)
            found.append(Entry(**common, stack=str(name), outcome="looked", drift=drift))
        for name, said in _mapping(line.get("unseen")).items():
            found.append(Entry(**common, stack=str(name), outcome="failed", said=str(said)))
    return found


def _entry(line: Mapping[str, Any]) -> Entry | None:
    stack, outcome = line.get("stack"), line.get("outcome")
    if not isinstance(stack, str) or not isinstance(outcome, str):
        return None
    cluster = _mapping(line.get("cluster"))
    seconds = line.get("seconds")
    plan = line.get("plan")
    return Entry(
        **_common(line),
        stack=stack,
        outcome=outcome,
        context=_text(cluster.get("context")) or None,
        uid=_text(cluster.get("uid")) or None,
        said=NO_END if outcome == "begun" else _text(line.get("said")),
        seconds=float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else None,
        changes=tuple(_change(_mapping(each)) for each in plan) if isinstance(plan, list) else (),
        cut=_count(line.get("cut")),
    )


def _common(line: Mapping[str, Any]) -> dict[str, Any]:
    who, at = _mapping(line.get("who")), _mapping(line.get("commit"))
    dirty = at.get("dirty")
    return {
        "time": _text(line.get("time")),
        "verb": _text(line.get("verb")),
        "engine": _text(line.get("engine")),
        "version": _text(line.get("mignet")),
        "who": _text(who.get("name")),
        "known": _text(who.get("known")),
        "account": _text(who.get("account")),
        "host": _text(who.get("host")),
        "commit": _text(at.get("id")) or None,
        "dirty": dirty if isinstance(dirty, bool) else None,
        "run": _text(line.get("run")),
        "number": _count(line.get("number")) or None,
    }


def _change(told: Mapping[str, Any]) -> ObjectChange:
    operation, fields = _text(told.get("operation")), told.get("fields")
    known: Any = operation if operation in {"create", "update", "delete", "relinquish"} else "update"
    return ObjectChange(
        known,
        _text(told.get("kind")),
        _text(told.get("namespace")),
        _text(told.get("name")),
        tuple(
            FieldChange(_text(each.get("path")), each.get("old"), each.get("new"))
            for each in (map(_mapping, fields) if isinstance(fields, list) else ())
        ),
    )


def moment(text: str) -> datetime | None:
    """Read a time, in UTC where it does not say; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _count(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0
