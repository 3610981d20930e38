"""Pulumi's Automation API with the program in this process: no Python is started for each stack of a run."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import automation

from mignet.program import stack_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import CodeType

REFUSED = "the program refused"
"""What Pulumi is told when the program ends itself, having said why."""


class InlineStack(automation.Stack):
    """A stack of Pulumi's that is taken to exist, and of which nothing is asked that no report needs.

    The Automation API starts Pulumi's CLI to select a stack before a run, and three times more after an `up`.
    """

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.workspace = automation.LocalWorkspace(
            work_dir=str(folder),
            program=_program(folder),
            # What Pulumi starts for dynamic resources, where no language host tells it of the project's Python.
            env_vars={"PULUMI_PYTHON_CMD": sys.executable, **variables},
            pulumi_command=_command(),
        )

    def outputs(self) -> automation.OutputMap:
        """Return none: a report has those of the plan."""
        return {}

    def info(self, show_secrets: bool = False) -> Any:  # noqa: ARG002, FBT001 (as Pulumi has it)
        """Return something that stands for a summary: a report is made from events."""
        return ()


@cache
def _command() -> automation.PulumiCommand:
    """Return Pulumi's CLI, asked for its version once."""
    return automation.PulumiCommand()


def _program(folder: Path) -> Callable[[], None]:
    path = folder / "__main__.py"

    def run() -> None:
        stack_program.look_beside(folder)
        stack_program.FOLDER.set(folder)
        stack_program.WAITED.set(True)
        try:
            # runpy puts the program in the place of this process's own, for all threads.
            exec(_compiled(path, path.stat().st_mtime_ns), {"__name__": "__main__", "__file__": str(path)})  # noqa: S102
        except SystemExit as end:
            if end.code:
                raise pulumi.RunError(REFUSED) from None

    return run


@cache
def _compiled(path: Path, _written: int) -> CodeType:
    return compile(path.read_bytes(), str(path), "exec")
