"""The record of a run over many stacks: written as it goes, so that one that was killed can be taken up again."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from config.files.file_text import read_text, write_whole
from config.types.json_text import parse_json
from mignet.fleet.concurrency import State
from mignet.fleet.results import API_VERSION
from mignet.kube.source import state_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from config.files.project_files import Project

MOST_BYTES = 32 << 20
"""Of a record: a checkup of a thousand nodes has ten million."""
WRITE_SECONDS = 1.0
"""The least between two writes while a run is under way."""


@dataclass(slots=True)
class StackRun:
    """How far one stack is, or how it ended. `seconds` is how long it took; `said` is its error, or its summary."""

    state: State = "waiting"
    seconds: float = 0.0
    said: str = ""


@dataclass(slots=True)
class RunRecord:
    """One run of a verb, stack by stack. `begun` and `ended` are in UTC; `ended` is None until it is over."""

    verb: str
    engine: str
    begun: str
    stacks: dict[str, StackRun]
    ended: str | None = None
    paths: tuple[Path, ...] = ()
    _since: dict[str, float] = field(default_factory=dict)
    _written: float = 0.0
    unwritten: OSError | None = None
    """Why it could not be written while the run went on; that is no reason to end the run."""

    @classmethod
    def begin(
        cls,
        verb: str,
        engine: str,
        names: Sequence[str],
        paths: Sequence[Path],
        *,
        before: Mapping[str, StackRun] | None = None,
    ) -> RunRecord:
        """Begin a record and write it to all of `paths`; `before` are stacks that an earlier run was done with.

        Raises OSError.
        """
        stacks = dict(before or {}) | {name: StackRun() for name in names}
        record = cls(verb, engine, _now(), stacks, paths=tuple(paths))
        record.write()
        if record.unwritten:
            raise record.unwritten
        return record

    def watch(self, name: str, state: State, said: str = "") -> None:
        """Note a stack's new state, and what is to be said of it."""
        run = self.stacks[name]
        run.state, run.said = state, said
        if state == "running":
            self._since[name] = time.monotonic()
        elif name in self._since:
            run.seconds = round(run.seconds + time.monotonic() - self._since.pop(name), 3)
        # What a killed run did not write yet counts as not done, and is done again: that changes nothing.
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    def end(self) -> None:
        """Note that the run is over."""
        self.ended = _now()
        self.write()

    @property
    def unfinished(self) -> list[str]:
        """The stacks that are not done: failed, timed out, not started, or under way when the run was killed."""
        return [name for name, run in self.stacks.items() if run.state != "done"]

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        return {
            "apiVersion": API_VERSION,
            "kind": "RunRecord",
            "verb": self.verb,
            "engine": self.engine,
            "begun": self.begun,
            "ended": self.ended,
            "stacks": {
                name: {"state": run.state, "seconds": run.seconds, "said": run.said}
                for name, run in self.stacks.items()
            },
        }

    def write(self) -> None:
        """Write it, so that a reader finds either the old or the new one whole."""
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n"
        try:
            for path in self.paths:
                write_whole(path, text)
            self.unwritten = None
        except OSError as error:
            self.unwritten = error
        self._written = time.monotonic()


def place(project: Project, verb: str) -> Path:
    """Return where the last run of a verb on a project is recorded."""
    from platformdirs.unix import Unix

    folder = hashlib.sha256(str(project.directory).encode()).hexdigest()[:12]
    return (state_folder() or Unix("migration-network").user_state_path / "runs" / folder) / f"{verb}.json"


def read_record(path: Path) -> RunRecord | None:
    """Return a recorded run, or None when there is no such record.

    Raises OSError or ValueError when it cannot be read.
    """
    try:
        content = parse_json(read_text(path, most=MOST_BYTES))
        stacks = {str(name): _stack_run(**run) for name, run in content["stacks"].items()}
        verb, engine, begun, ended = (content[key] for key in ("verb", "engine", "begun", "ended"))
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no record of a run"
        raise ValueError(msg) from error
    return RunRecord(str(verb), str(engine), str(begun), stacks, None if ended is None else str(ended))


def recorded(path: Path) -> dict[str, StackRun] | None:
    """Return the stacks of a recorded run by name, as `read_record` does."""
    record = read_record(path)
    return None if record is None else record.stacks


def _stack_run(*, state: object, seconds: object, said: object) -> StackRun:
    if state not in get_args(State) or not isinstance(seconds, int | float) or not isinstance(said, str):
        raise TypeError
    return StackRun(cast("State", state), float(seconds), said)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
