"""A project of a user's own: what is written, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import forked
import pytest
import yaml
from forked import BIN

from config.files.project_files import Project
from config.loading import load_stack
from mignet.operations import new_project

FILES = {".github", ".gitignore", "Pulumi.yaml", "README.md", "__main__.py", "requirements.txt"}


def mignet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.mignet(*arguments, cwd=folder)


def test_it_has_a_segment_to_fill_in_a_program_a_pin_and_no_stack(tmp_path: Path) -> None:
    result = mignet(tmp_path, "new", "net")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1].startswith("Next, in net: write your segment into Pulumi.yaml")
    assert {path.name for path in (tmp_path / "net").iterdir()} == FILES
    project = Project.find(tmp_path / "net")
    assert (project.name, project.stack_names()) == ("migration-network", [])
    sections = {"cluster": {"context": "a"}, "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"}}
    assert load_stack("a", project.defaults | sections).segment.vlan == 2001
    for path in (tmp_path / "net").rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "${PROJECT}" not in text, path
            assert "${DESCRIPTION}" not in text, path
    assert "template" not in yaml.safe_load((tmp_path / "net" / "Pulumi.yaml").read_text())


def test_its_name_is_the_users_choice_and_keys_begin_with_it(tmp_path: Path) -> None:
    assert mignet(tmp_path, "new", "net", "--name", "prod-net").returncode == 0
    (tmp_path / "net" / ".git").mkdir()
    made = mignet(tmp_path / "net", "init", "a", "--context", "a", "--master", "eth1")
    assert made.returncode == 0, made.stderr
    assert "  prod-net:cluster:\n" in (tmp_path / "net" / "Pulumi.a.yaml").read_text()
    assert mignet(tmp_path / "net", "check").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["full"], "mignet: DIR full is not empty. Name a new folder, or an empty one\n"),
        (["full/file"], "mignet: DIR full/file is a file. Name a new folder, or an empty one\n"),
        (
            ["net", "--name", "a b"],
            "mignet: --name a b is no name of a Pulumi project. Use letters, digits, dots, dashes and underscores\n",
        ),
        (
            ["net", "--from-cluster", "default/api:6443/admin"],
            "mignet: --stack default/api:6443/admin is no name of a stack. Name it with --stack: letters, digits, dots,"
            " dashes\n",
        ),
    ],
)
def test_it_is_refused_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    result = mignet(tmp_path, "new", *arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", said)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_repository_without_a_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "net" / ".git").mkdir(parents=True)
    assert mignet(tmp_path, "new", "net").returncode == 0


def test_the_workflow_is_valid_by_the_published_schema() -> None:
    path = new_project.TEMPLATE / ".github" / "workflows" / "migration-network.yaml"
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("component", {"PulumiPlugin.yaml", "__main__.py", "requirements.txt"}),
        ("policy-pack", {"PulumiPolicy.yaml", "__main__.py", "requirements.txt"}),
    ],
)
def test_another_kind_has_its_three_files_and_takes_nothing_of_a_project(
    tmp_path: Path, kind: str, files: set[str]
) -> None:
    result = mignet(tmp_path, "new", "it", "--kind", kind)
    assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "it").iterdir()} == files
    assert "Next: pulumi install" in result.stdout
    refused = mignet(tmp_path, "new", "other", "--kind", kind, "--name", "x")
    assert refused.returncode == 2
    assert "--from-cluster, --stack and --name are for a project" in refused.stderr
