"""The record of a run over many stacks: written as it goes, so that one that was killed can be taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.project_files import Project
    from mignet.fleet_work import State


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
    path: Path | None = None
    _since: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, project: Project, verb: str, engine: str, names: Sequence[str], path: Path | None) -> RunRecord:
        """Begin a record and write it; `path` defaults to the project's own place under the user's state folder."""
        record = cls(verb, engine, _now(), {name: StackRun() for name in names}, path=path or place(project, verb))
        record.write()
        return record

    def watch(self, name: str, state: State) -> None:
        """Note a stack's new state."""
        run = self.stacks[name]
        run.state = state
        if state == "running":
            self._since[name] = time.monotonic()
        elif name in self._since:
            run.seconds = round(time.monotonic() - self._since[name], 3)
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
            "verb": self.verb,
            "engine": self.engine,
            "begun": self.begun,
            "ended": self.ended,
            "stacks": {name: asdict(run) for name, run in self.stacks.items()},
        }

    def write(self) -> None:
        """Write it, so that a reader finds either the old or the new one whole."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        new.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        new.replace(self.path)


def place(project: Project, verb: str) -> Path:
    """Return where the last run of a verb on a project is recorded."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = hashlib.sha256(str(project.directory).encode()).hexdigest()[:12]
    return base / "migration-network" / "runs" / folder / f"{verb}.json"


def unfinished(path: Path) -> list[str] | None:
    """Return the stacks that a recorded run left unfinished, or None when there is no such record.

    Raises OSError or ValueError when it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return [name for name, run in content["stacks"].items() if run["state"] != "done"]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
