"""The how-to guides, carried out as they stand on the lab with its operators: each command, and what is to be seen.

The lab's two clusters are prod-1 and prod-2 here. A step that cannot be carried out here is a subtest that is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import forked
import guide
import pytest
import yaml
from operated import Operated
from s3_server import served
from support import BIN, ROOT, Outcome

from mignet.lab.lab import Lab
from mignet.operations import new_project

TEAM = ROOT / "docs" / "how-to" / "team-backend.md"
GUIDES = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.pulumi] if any(s.needs for s in guide.read(path)) else [])
    for path in sorted({*(ROOT / "docs" / "how-to").glob("[!R]*.md")} - {TEAM})
]
CONTEXTS = {"dev": "prod-1", "dev-peer": "prod-2"}
PLAIN = re.compile(r"mignet( [\w./:,=@-]+)+")
"""A command line that is the same without a shell."""
REMARK = "the Pulumi CLI is not on PATH: "
"""Begins the line that mignet prints where there is no Pulumi, as in most runs of this test."""


class Reader:
    """Somebody who does what a guide says, in a new project, with two clusters in the kubeconfig."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.folder = folder / "network"
        self.home = folder / "home"
        self.backend: dict[str, str] = {}
        self.home.mkdir()
        new_project.create(self.folder)
        self.install()
        content = yaml.safe_load(lab.kubeconfig.read_text())
        for each in content["contexts"]:
            each["name"] = CONTEXTS[each["name"]]
        content["current-context"] = "prod-1"
        # A guide may lose a cluster, and find it again under this name.
        there = [each | {"name": f"{each['name']}-there"} for each in content["clusters"]]
        content["clusters"] += there
        (self.home / "kubeconfig").write_text(yaml.safe_dump(content))
        self.do(guide.Command("git init --quiet && git add . && git commit --quiet --message 'As made'", None))

    def install(self) -> None:
        """Do what `pulumi install` does, with this checkout in place of a release."""
        (self.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)

    def environment(self) -> dict[str, str]:
        # Without Pulumi, what a guide shows is the same everywhere; the steps that are of Pulumi name it themselves.
        path = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "pulumi").exists()]
        who = {f"GIT_{role}_{what}": "operator" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return (
            os.environ
            | who
            | {
                "PATH": os.pathsep.join([str(BIN), *path]),
                "HOME": str(self.home),
                "XDG_STATE_HOME": str(self.home / "state"),
                "KUBECONFIG": str(self.home / "kubeconfig"),
                "PYTHONUNBUFFERED": "1",
                "PULUMI_BACKEND_URL": f"file://{self.home}",
                "PULUMI_CONFIG_PASSPHRASE": "",
                "PULUMI_SKIP_UPDATE_CHECK": "1",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            }
            | self.backend
        )

    def run(self, line: str, *, pulumi: bool = False) -> Outcome:
        environment = self.environment()
        if pulumi:
            environment["PATH"] = os.pathsep.join([str(BIN), os.environ["PATH"]])
        where: dict[str, Any] = {"cwd": self.folder, "env": environment, "timeout": 180}
        if PLAIN.fullmatch(line):
            done = forked.mignet(*line.split()[1:], **where, together=True)
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                **where,
            )
        lines = [line for line in done.stdout.splitlines(keepends=True) if not line.startswith(REMARK)]
        return Outcome(done.returncode, "".join(lines), "")

    def do(self, command: guide.Command, *, pulumi: bool = False) -> None:
        if command.line.startswith("cd "):
            self.folder /= command.line.removeprefix("cd ")
            self.install()
            return
        outcome = self.run(command.line, pulumi=pulumi)
        assert outcome.code == command.code, f"$ {command.line}\n{outcome.out}"
        assert command.shows(outcome.out), f"$ {command.line}\n{outcome.out}\nis not\n" + "\n".join(command.shown or ())

    def write(self, step: guide.Step) -> None:
        assert step.file is not None
        path = self.folder / step.file
        if not step.merge:
            path.write_text(step.text)
            return
        old = yaml.safe_load(path.read_text()) if path.exists() else {}
        path.write_text(yaml.safe_dump(merged(old, yaml.safe_load(step.text)), sort_keys=False))


def merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old.get(key), value) for key, value in new.items()}
    return new


@pytest.fixture
def reader(operated: Operated, tmp_path: Path) -> Reader:
    return Reader(tmp_path, operated.lab)


@pytest.mark.parametrize("path", GUIDES)
def test_a_guide_does_what_it_says(path: Path, reader: Reader, subtests: pytest.Subtests) -> None:
    follow(path, reader, subtests)


@pytest.mark.pulumi
def test_the_guide_for_a_team_does_what_it_says_on_an_s3_server(
    reader: Reader, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    with served(tmp_path / "s3") as bucket:
        reader.backend = bucket.environment
        follow(TEAM, reader, subtests)


def follow(path: Path, reader: Reader, subtests: pytest.Subtests) -> None:
    steps = list(guide.read(path))
    assert any(step.commands and not step.skip for step in steps)
    if not shutil.which("kubectl") and any("kubectl" in each.line for step in steps for each in step.commands):
        pytest.skip("kubectl is not on PATH")
    for number, step in enumerate(steps, start=1):
        if step.skip:
            with subtests.test(f"step {number}: {step.title}"):
                pytest.skip(step.skip)
        elif step.file:
            reader.write(step)
        for command in () if step.skip else step.commands:
            # Not as a subtest of its own: what comes after a step that failed would fail for that.
            reader.do(command, pulumi=step.needs == "pulumi")
