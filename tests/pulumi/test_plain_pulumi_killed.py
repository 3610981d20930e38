"""Plain Pulumi that is killed with -9, its plugins as well, at the writes of a run; and what its user does then."""

from __future__ import annotations

import json

import pytest
from support import Workspace, kill

pytestmark = pytest.mark.pulumi


def killed_at(workspace: Workspace, verb: str, path: str, event: str) -> None:
    """Kill a run as soon as the API server tells of that event."""
    kube = workspace.site.kube
    since = kube.call("GET", path)["metadata"]["resourceVersion"]
    process = workspace.start("pulumi", verb, "--stack", workspace.stack, "--yes", "--skip-preview")
    try:
        watch = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "60"}
        with kube.http.stream("GET", path, params=watch) as events:
            assert event in (json.loads(line)["type"] for line in events.iter_lines())
    finally:
        kill(process)


def again(workspace: Workspace, verb: str) -> None:
    """Do what Pulumi itself says to do, or docs/fleets.md."""
    workspace.free()
    outcome = workspace.pulumi(verb, "--yes", "--skip-preview")
    assert outcome.code == 0, outcome.out + outcome.err


def test_a_run_that_is_killed_at_any_of_its_writes_ends_right_after_a_cancel(workspace: Workspace) -> None:
    site = workspace.site
    site.foreign()
    others, hyperconvergeds = site.others(), site.hyperconverged.rpartition("/")[0]
    assert workspace.mignet("up", "direct").code == 0
    whole = site.content()
    assert workspace.mignet("destroy", "direct").code == 0
    gone = site.content()
    assert workspace.run("pulumi", "stack", "init", workspace.stack).code == 0

    # The attachment is there, and the HyperConverged has its own limits yet.
    killed_at(workspace, "up", site.attachments, "ADDED")
    refused = workspace.pulumi("up", "--yes", "--skip-preview")
    assert refused.code != 0
    assert "pulumi cancel" in refused.out + refused.err
    again(workspace, "up")
    assert site.content() == whole
    killed_at(workspace, "destroy", hyperconvergeds, "MODIFIED")
    again(workspace, "destroy")
    assert site.content() == gone
    killed_at(workspace, "up", hyperconvergeds, "MODIFIED")
    again(workspace, "up")
    assert site.content() == whole
    assert site.others() == others, "nothing foreign was changed"
