"""What Pulumi alone did stands beside what mignet did."""

from __future__ import annotations

import pytest
from support import Workspace, document

pytestmark = pytest.mark.pulumi


def test_an_update_by_plain_pulumi_is_shown_once_and_one_of_ours_is_not_shown_twice(workspace: Workspace) -> None:
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0
    plain = workspace.pulumi("up", "--yes", "--skip-preview")
    assert plain.code == 0, plain.out + plain.err
    assert workspace.mignet("destroy", "pulumi").code == 0
    shown = workspace.run("mignet", "history", workspace.stack, "-o", "json")
    assert shown.code == 0, shown.err
    found = document(shown.out)
    assert found["leftOut"] == []
    assert [(each["source"], each["verb"], each["outcome"], each["engine"]) for each in found["entries"]] == [
        ("mignet", "destroy", "done", "pulumi"),
        ("pulumi", "update", "done", "pulumi"),
    ]
    assert "by whom, Pulumi does not say" in workspace.run("mignet", "history", workspace.stack).out
    assert len(document(workspace.run("mignet", "history", "-o", "json").out)["entries"]) == 1
