"""What makes a release: the container's file, the workflow, and the notes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from forked import BIN
from support import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def instructions() -> list[list[str]]:
    """Return the instructions of the Containerfile, in words."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def copied() -> list[str]:
    return [name for word, *rest in instructions() if word == "COPY" and "--from" not in rest[0] for name in rest[:-1]]


def test_the_container_has_instructions_that_exist_and_names_its_images_as_arguments() -> None:
    words = [each[0] for each in instructions()]
    assert set(words) == {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}
    arguments = dict(each[1].split("=", 1) for each in instructions() if each[0] == "ARG")
    assert all(re.fullmatch(r"[a-z/-]+:[0-9][\w.-]*", image) for image in arguments.values()), "pinned, of no registry"
    images = [each[1] for each in instructions() if each[0] == "FROM"]
    assert {image.strip("${}") for image in images} == set(arguments)
    stages = {each[3] for each in instructions() if each[0] == "FROM" and len(each) > 2}
    assert {each[1].removeprefix("--from=") for each in instructions() if each[1].startswith("--from=")} == stages


def test_its_user_is_not_root_and_what_it_runs_is_mignet() -> None:
    final = instructions()[max(number for number, each in enumerate(instructions()) if each[0] == "FROM") :]
    after = {each[0]: each[1:] for each in final}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", after["USER"][0]), "a number: a cluster can see that it is not root"
    assert after["ENTRYPOINT"] == ["[mignet]"]
    home = next(word for each in final if each[0] == "ENV" for word in each if word.startswith("HOME="))
    assert home == "HOME=/tmp", "what is written there needs no root filesystem that can be written to"


def test_what_it_copies_suffices_to_build_the_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = [BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", source]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert "mignet/templates/migration-network/Pulumi.yaml" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / ".github/workflows").iterdir()))
def test_the_workflows_are_valid_and_pin_what_they_use(name: str) -> None:
    path = ROOT / ".github/workflows" / name
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            assert re.search(r"@v\d", step.get("uses", "@v1")), step


def test_a_release_publishes_what_was_attested_and_keeps_no_token() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert list(jobs) == ["build", "publish", "release"]
    assert jobs["build"]["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()


def notes(version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools/release_notes.py", version]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_notes_are_the_changelogs_section() -> None:
    said = notes("0.1.0")
    if VERSION == "0.1.0":
        assert said.returncode == 0, said.stderr
        assert said.stdout.startswith("### Added\n")
        assert "\n## " not in said.stdout


def test_another_version_than_the_declared_one_is_not_released() -> None:
    said = notes("99.0.0")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith(f"pyproject.toml has version {VERSION}, not 99.0.0")
