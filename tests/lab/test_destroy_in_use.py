"""A network that is in use, or that somebody else goes on naming, is destroyed with --force only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from operated import HCO, Operated

MIGRATIONS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancemigrations"
DESTROY = ("destroy", "dev", "--yes", "--engine")


def held(operated: Operated) -> dict[str, Any]:
    found: dict[str, Any] = operated.dev.get(HCO)["spec"].get("liveMigrationConfig", {})
    return found


def test_a_migration_that_runs_stops_a_destroy(operated: Operated, engine: str) -> None:
    assert operated.run("up", "dev", "--yes", "--engine", engine).code == 0
    body: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    body |= {"metadata": {"name": "move"}, "spec": {"vmiName": "none"}}
    operated.dev.kube.call("POST", MIGRATIONS, json=body)
    before = held(operated)

    refused = operated.run(*DESTROY, engine)

    assert refused.code == 1, refused.err
    assert (
        "error: dev: 1 migration is running (default/move), and would fail; wait until they have ended, or use --force"
        in refused.out
    )
    assert held(operated) == before
    forced = operated.run(*DESTROY, engine, "--force")
    assert forced.code == 0, forced.out + forced.err
    assert "warning: dev: 1 migration is running (default/move)" in forced.out
    assert "network" not in held(operated)


def test_one_that_has_ended_stops_none(operated: Operated) -> None:
    operated.up("dev")
    path = f"{MIGRATIONS}/gone"
    body: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    operated.dev.kube.call("POST", MIGRATIONS, json=body | {"metadata": {"name": "gone"}, "spec": {"vmiName": "none"}})
    headers = {"content-type": "application/merge-patch+json"}
    ended = json.dumps({"status": {"phase": "Failed"}})
    operated.dev.kube.call("PATCH", f"{path}/status", content=ended, headers=headers)
    if operated.dev.get(path).get("status", {}).get("phase") != "Failed":
        operated.dev.kube.call("PATCH", path, content=ended, headers=headers)
    assert operated.dev.get(path)["status"]["phase"] == "Failed"
    assert operated.run(*DESTROY, "direct").code == 0


@pytest.mark.parametrize("manager", ["argocd-controller"])
def test_somebody_else_who_names_the_network_stops_a_destroy(operated: Operated, manager: str) -> None:
    operated.up("dev")
    live = operated.dev.get(HCO)
    named = live["spec"]["liveMigrationConfig"]["network"]
    same = {"apiVersion": live["apiVersion"], "kind": "HyperConverged", "metadata": {"name": live["metadata"]["name"]}}
    same["spec"] = {"liveMigrationConfig": {"network": named}}
    headers = {"content-type": "application/apply-patch+yaml"}
    operated.dev.kube.call("PATCH", HCO, content=json.dumps(same), headers=headers, params={"fieldManager": manager})

    refused = operated.run(*DESTROY, "direct")

    assert refused.code == 1, refused.err
    assert f"spec.liveMigrationConfig.network is owned by {manager}, too, so that it would go on naming" in refused.out
    assert "take the field out there, or use --force" in refused.out
    assert held(operated)["network"] == named
