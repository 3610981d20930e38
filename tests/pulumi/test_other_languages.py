"""The component from a program in YAML, with the real engine: what it declares is what the program in Python declares."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support import Workspace

from mignet.lab.pulumi_programs import programs
from mignet.operations import new_project

pytestmark = pytest.mark.pulumi

SECTIONS = ("segment", "cluster", "attachment", "slice", "hyperConverged")


def in_yaml(workspace: Workspace, **properties: Any) -> None:
    """Make the workspace's program one in YAML, which takes its sections from the same stack file."""
    project = yaml.safe_load((workspace.folder / "Pulumi.yaml").read_text())
    (workspace.folder / "__main__.py").unlink(missing_ok=True)
    given = {name: f"${{{name}}}" for name in SECTIONS}
    # The host of YAML has no word for it, and warns.
    project["config"]["segment"].pop("description", None)
    project |= {
        "runtime": "yaml",
        "config": project["config"] | {name: {"type": "object"} for name in SECTIONS if name != "segment"},
        "packages": {"migration-network": str(new_project.COMPONENT)},
        "resources": {"live": {"type": "migration-network:MigrationNetwork", "properties": given | properties}},
        "outputs": {"network": "${live.network}", "slice": "${live.slice}"},
    }
    (workspace.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))


def test_a_program_in_yaml_declares_what_ours_does(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    site = workspace.site
    before = site.content()
    assert workspace.mignet("up", "direct").code == 0
    of_python = site.content()
    assert workspace.mignet("destroy", "direct").code == 0
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    monkeypatch.setenv("PATH", programs.yaml_host(lambda _: None))

    in_yaml(workspace, slice={"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.9"}, waivers={"no-such": "because"})
    refused = workspace.pulumi("preview")
    print(refused.out, refused.err)
    assert refused.code != 0
    in_yaml(workspace)
    seen = workspace.pulumi("preview")
    print(seen.out, seen.err)
    assert seen.code == 0
    done = workspace.pulumi("up", "--yes", "--skip-preview")
    print(done.out, done.err)
    assert done.code == 0
    assert site.content() == of_python
    gone = workspace.pulumi("destroy", "--yes", "--skip-preview")
    assert gone.code == 0, gone.out + gone.err
