"""What the command line says of itself: versions, topics, and what a shell completes."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import forked
import pytest
import typer
from forked import MIGNET
from support import ROOT

from mignet.cli import app

CODES = json.loads((ROOT / "mignet/outputs/topics.json").read_text())["codes"]


def mignet(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return forked.mignet(*arguments, cwd=folder, env=os.environ | more)


def test_the_version_is_said_of_all_that_works_together(tmp_path: Path) -> None:
    cli = tmp_path / "pulumi"
    cli.write_text("#!/bin/sh\necho v3.9.9\n")
    cli.chmod(0o755)
    said = mignet(tmp_path, "--version", PATH=str(tmp_path))
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[:4] == [
        f"migration-network {version('migration-network')}",
        f"Pulumi SDK {version('pulumi')}",
        f"Pulumi CLI 3.9.9 ({cli})",
        f"Pulumi Kubernetes provider {version('pulumi-kubernetes')}",
    ]
    assert lines[4].startswith("Kubernetes of the lab 1.")
    cli.unlink()
    assert "Pulumi CLI (not on PATH)\n" in mignet(tmp_path, "--version", PATH=str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("topic", "first"),
    [
        ("slice-outside", "slice-outside (error), found by mignet check"),
        ("field-changed", "field-changed is found by preflight, verify, drift, peers, limits, migrations or checkup"),
        ("7", "Exit code 7: changes or drift where none were expected."),
        (
            "upgrade",
            "Write the new version into requirements.txt, and run `pulumi install`, or `.venv/bin/pip install -r",
        ),
        ("preview", ""),
    ],
)
def test_a_topic_is_explained(tmp_path: Path, topic: str, first: str) -> None:
    said = mignet(tmp_path, "help", topic)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines()[0].strip() == first


def test_an_unknown_topic_is_one_line_with_the_nearest(tmp_path: Path) -> None:
    said = mignet(tmp_path, "help", "slice-outsde")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "mignet: TOPIC slice-outsde is none. Did you mean slice-outside? mignet help lists them\n"


def test_all_topics_are_listed(tmp_path: Path) -> None:
    words = mignet(tmp_path, "help").stdout.replace(",", "").split()
    assert [code for code in CODES if code not in words] == []
    assert {"upgrade:", "preview", "lab", "130"} <= set(words)


def test_every_code_says_why_and_the_way_out() -> None:
    assert [code for code, said in CODES.items() if not (said["why"] and said["remedy"])] == []


def _below(command: object) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for name, each in getattr(command, "commands", {}).items():
        found += [[name, *rest] for rest in _below(each)]
    return found


@pytest.mark.parametrize("verb", _below(typer.main.get_command(app)), ids=" ".join)
def test_h_is_help_everywhere(tmp_path: Path, verb: list[str]) -> None:
    said = mignet(tmp_path, *verb, "-h")
    assert (said.returncode, said.stderr) == (0, "")
    assert "Usage: mignet" in said.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("mignet preview ", ["dev", "prod-1", "prod-2"]),
        ("mignet up prod", ["prod-1", "prod-2"]),
        ("mignet verify prod-1 prod", ["prod-2"]),
        ("mignet drift --cwd elsewhere ", ["other"]),
    ],
)
def test_a_shell_completes_names_of_stacks_and_no_file_is_read_for_it(
    tmp_path: Path, words: str, completed: list[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod-1.yaml", "Pulumi.prod-2.yaml"):
        (tmp_path / name).write_text("{ no YAML")
    for name in ("Pulumi.yaml", "Pulumi.other.yaml"):
        (tmp_path / "elsewhere" / name).touch()
    variables = {"_MIGNET_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    said = subprocess.run(
        [MIGNET], cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=30
    )
    assert said.stdout.split() == completed
