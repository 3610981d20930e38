"""A stack file is read once for each verb: to check it, to choose by labels, and for the program."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from support import ROOT
from typer.testing import CliRunner

from mignet.cli import app


@pytest.mark.parametrize(
    "command", [["render", "dev"], ["render", "--all"], ["check"], ["plan-addresses"]], ids=" ".join
)
def test_each_stack_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.dev-peer.yaml", "__main__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    opened: Counter[str] = Counter()

    def watch(event: str, args: tuple[object, ...]) -> None:
        # The opener of a file says so once more, without a mode.
        if event == "open" and args[1] is not None and str(args[0]).startswith(str(tmp_path)) and watching:
            opened[Path(str(args[0])).name] += 1

    watching = True
    sys.addaudithook(watch)
    outcome = CliRunner().invoke(app, [*command, "--cwd", str(tmp_path)])
    watching = False
    assert outcome.exit_code == 0, outcome.output
    assert opened["Pulumi.yaml"] == 1
    assert {name: opened[name] for name in ("Pulumi.dev.yaml", "Pulumi.dev-peer.yaml")} == {
        "Pulumi.dev.yaml": 1,
        "Pulumi.dev-peer.yaml": 1,
    }
