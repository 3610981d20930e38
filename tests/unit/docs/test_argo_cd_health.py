"""The health checks for Argo CD in the guide, run as Argo CD runs them: a Lua script that is given the object."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from lupa import LuaRuntime
from support import ROOT

GUIDE = (ROOT / "docs" / "how-to" / "gitops-with-render.md").read_text()
(CONFIG_MAP,) = re.findall(r"^<!-- run: as argocd-cm.yaml -->\n```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SCRIPTS = yaml.safe_load(CONFIG_MAP)["data"]
POLICY = "resource.customizations.health.nmstate.io_NodeNetworkConfigurationPolicy"
HYPERCONVERGED = "resource.customizations.health.hco.kubevirt.io_HyperConverged"


def health(key: str, status: dict[str, Any] | None, generation: int = 2) -> tuple[str, str]:
    lua = LuaRuntime()
    item: dict[str, Any] = {"metadata": {"generation": generation}} | ({} if status is None else {"status": status})
    lua.globals().obj = lua.table_from(item, recursive=True)
    found = lua.execute(SCRIPTS[key])
    return found["status"], found["message"]


def conditions(**statuses: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": said, "message": f"{kind}!"} for kind, said in statuses.items()]}


@pytest.mark.parametrize("key", [POLICY, HYPERCONVERGED])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, "Progressing"),
        ({}, "Progressing"),
        (conditions(Available="Unknown", Progressing="True", Degraded="Unknown"), "Progressing"),
        (conditions(Available="True", Progressing="True", Degraded="False"), "Progressing"),
        (conditions(Available="True", Progressing="False", Degraded="False"), "Healthy"),
        (conditions(Available="False", Progressing="False", Degraded="True"), "Degraded"),
    ],
)
def test_conditions_are_read_as_the_operator_means_them(key: str, status: dict[str, Any] | None, expected: str) -> None:
    assert health(key, status)[0] == expected


def test_a_policy_for_no_node_is_told() -> None:
    assert health(POLICY, conditions(Available="False", Ignored="True")) == ("Degraded", "selects no node")


@pytest.mark.parametrize(("observed", "expected"), [(1, "Progressing"), (2, "Healthy"), (None, "Healthy")])
def test_what_the_operator_says_of_an_older_content_does_not_count(observed: int | None, expected: str) -> None:
    seen = {} if observed is None else {"observedGeneration": observed}
    assert health(HYPERCONVERGED, conditions(Available="True") | seen)[0] == expected
