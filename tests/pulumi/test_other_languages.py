"""The component from a program in YAML, with the real engine: it declares what the program in Python does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import BIN
from support import Workspace

from config.loading import SECTIONS as SECTIONS_OF_A_FILE
from mignet.lab.pulumi_programs import programs
from mignet.operations import new_project

pytestmark = pytest.mark.pulumi

SECTIONS = ("segment", "cluster", "attachment", "slice", "hyperConverged")


def in_yaml(workspace: Workspace, **properties: Any) -> None:
    """Make the workspace's program one in YAML, which takes its sections from the same stack file."""
    project = yaml.safe_load((workspace.folder / "Pulumi.yaml").read_text())
    given = {name: f"${{{name}}}" for name in SECTIONS}
    # The host of YAML has no word for it, and warns.
    project["config"]["segment"].pop("description", None)
    project |= {
        "runtime": "yaml",
        "config": project["config"] | {name: {"type": "object"} for name in SECTIONS if name != "segment"},
        "packages": {"migration-network": "./component"},
        "resources": {"live": {"type": "migration-network:MigrationNetwork", "properties": given | properties}},
        "outputs": {"network": "${live.network}", "slice": "${live.slice}"},
    }
    (workspace.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))


def test_a_program_in_yaml_declares_what_ours_does(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    site = workspace.site
    # What waits for pods is a dynamic resource, in a Python that Pulumi is told of.
    workspace.config["attachment"]["rollout"] = "rename"
    workspace.write()
    assert workspace.mignet("up", "direct").code == 0
    of_python = site.content()
    assert workspace.mignet("destroy", "direct").code == 0
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    component = workspace.folder / "component"
    new_project.create(component, kind="component")
    (component / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    (workspace.folder / "__main__.py").unlink()
    monkeypatch.setenv("PATH", programs.yaml_host(lambda _: None))
    monkeypatch.setenv("PULUMI_PYTHON_CMD", sys.executable)

    wrong = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.9"}
    in_yaml(workspace, slice=wrong, waivers={"no-such": "because"})
    refused = workspace.pulumi("preview")
    assert refused.code != 0
    said = " ".join(refused.out.split())
    assert "the stack has mistakes; nothing was changed" in said
    assert "slice.rangeEnd 10.200.5.9 comes before rangeStart 10.200.5.10; whereabouts ignores such an end" in said
    assert "waivers no-such is no rule that can be waived" in said
    assert "Traceback" not in refused.out

    in_yaml(workspace)
    seen = workspace.pulumi("preview")
    assert seen.code == 0, seen.out + seen.err
    assert "HyperConvergedPatch hyperconverged create" in seen.out
    done = workspace.pulumi("up", "--yes", "--skip-preview")
    assert done.code == 0, done.out + done.err
    assert site.content() == of_python
    gone = workspace.pulumi("destroy", "--yes", "--skip-preview")
    assert gone.code == 0, gone.out + gone.err
    assert site.live()["attachments"] == {}
    assert "network" not in site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]


def test_the_schema_is_what_the_annotations_say(tmp_path: Path) -> None:
    component = tmp_path / "component"
    new_project.create(component, kind="component")
    (component / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    command = ["pulumi", "package", "get-schema", str(component)]
    environment = os.environ | {"PULUMI_HOME": str(tmp_path / "home"), "PULUMI_SKIP_UPDATE_CHECK": "1"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 0, told.stderr
    (resource,) = json.loads(told.stdout)["resources"].values()
    assert resource["isComponent"]
    assert set(resource["inputProperties"]) == set(SECTIONS_OF_A_FILE) - {"labels", "waves"}
    assert resource["requiredInputs"] == ["attachment", "cluster", "segment"]
    assert all(each["description"] for each in (resource["inputProperties"] | resource["properties"]).values())
