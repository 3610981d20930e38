"""The template, taken by Pulumi's own `pulumi new`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from mignet.operations import new_project

pytestmark = pytest.mark.pulumi


@pytest.mark.parametrize("folder", [new_project.TEMPLATE, new_project.TEMPLATE.parent], ids=["template", "templates"])
def test_pulumi_new_makes_what_mignet_new_makes(tmp_path: Path, folder: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    described = ["--name", "prod-net", "--description", new_project.DESCRIPTION]
    command = ["pulumi", "new", str(folder), "--generate-only", "--yes", *described]
    environment = os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "1"}
    made = subprocess.run(command, cwd=theirs, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    files = new_project.create(tmp_path / "ours", name="prod-net")
    for name in files:
        one, other = ((tmp_path / who / name).read_text() for who in ("theirs", "ours"))
        if name == "Pulumi.yaml":
            assert "# An example: write your own here." in one
            project = yaml.safe_load(one)
            # Where it came from, which Pulumi notes for its console.
            del project["config"]["pulumi:tags"]
            assert project == yaml.safe_load(other)
        else:
            assert one == other
    assert sorted(str(each.relative_to(theirs)) for each in theirs.rglob("*") if each.is_file()) == sorted(files)
