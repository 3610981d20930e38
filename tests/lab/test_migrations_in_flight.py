"""A change that restarts virt-handlers waits for migrations, for so long and no longer, and says for which."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from operated import HCO, VMS, Operated
from support import BIN

MIGRATIONS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancemigrations"
UP = ("up", "dev", "--yes", "--skip-preflight", "--engine")


@pytest.fixture
def migrating(operated: Operated) -> Operated:
    """The cluster dev, without its network, with a migration that does not end by itself."""
    body: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    body |= {"metadata": {"name": "move"}, "spec": {"vmiName": "none"}}
    operated.dev.kube.call("POST", MIGRATIONS, json=body)
    return operated


def start(operated: Operated, *command: str) -> subprocess.Popen[str]:
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | operated.lab.pulumi_environment()
    return subprocess.Popen(command, cwd=operated.folder, env=environment, text=True, **quiet)


def pulumi(operated: Operated, *command: str) -> tuple[int, str]:
    process = start(operated, "pulumi", *command, "--non-interactive")
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def network(operated: Operated) -> str | None:
    found: str | None = operated.dev.get(HCO)["spec"].get("liveMigrationConfig", {}).get("network")
    return found


def test_at_the_bound_nothing_is_changed_and_force_goes_on(migrating: Operated, engine: str) -> None:
    refused = migrating.run(*UP, engine, "--wait-for-migrations", "0")
    assert refused.code == 1, refused.out
    assert "error: dev: 1 migration is running (default/move), and would fail when virt-handlers restart" in refused.out
    assert network(migrating) is None
    assert "dev: 1 migration is running now: default/move" in migrating.run("preview", "dev", "--engine", engine).out
    forced = migrating.run(*UP, engine, "--force")
    assert forced.code == 0, forced.out + forced.err
    assert network(migrating)
    # What restarts nothing waits for nothing.
    migrating.change("dev", hyperConverged={"liveMigration": {"progressTimeout": 200}})
    again = migrating.run(*UP, engine, "--wait-for-migrations", "0")
    assert again.code == 0, again.out + again.err


def test_it_goes_on_when_they_have_ended_and_says_meanwhile_what_it_waits_for(migrating: Operated) -> None:
    process = start(migrating, str(BIN / "mignet"), *UP, "direct", "--wait-for-migrations", "120")
    assert process.stderr is not None
    told = process.stderr.readline()
    while "waiting for" not in told:
        assert told, "it ended"
        told = process.stderr.readline()
    assert told.startswith(
        "dev: waiting for 1 migration to end (default/move) (0 s of at most 120 s, after which nothing is changed)"
    )
    assert network(migrating) is None
    migrating.dev.kube.call("DELETE", f"{MIGRATIONS}/move")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert network(migrating)


PLANS = "/apis/forklift.konveyor.io/v1beta1/namespaces/shop/plans"


def test_a_live_plan_of_the_migration_toolkit_is_waited_for_until_it_has_ended(operated: Operated, engine: str) -> None:
    kube = operated.dev.kube
    spec = {"type": "live", "targetNamespace": "shop", "vms": [{"name": "web", "namespace": "shop"}]}
    spec |= {"map": {"network": {}, "storage": {}}, "provider": {"source": {}, "destination": {}}}
    body = {"apiVersion": "forklift.konveyor.io/v1beta1", "kind": "Plan", "metadata": {"name": "weekend"}, "spec": spec}
    made = kube.call("POST", PLANS, json=body)
    began = "2026-11-27T15:04:10Z"
    condition = {"type": "Executing", "status": "True", "category": "Advisory", "lastTransitionTime": began}
    made["status"] = {"conditions": [condition], "migration": {"started": began, "vms": []}}
    made = kube.call("PUT", f"{PLANS}/weekend/status", json=made)

    shown = operated.run("preview", "dev", "--engine", engine)
    refused = operated.run(*UP, engine, "--wait-for-migrations", "0")
    # Its migration is over: the controller takes the condition away.
    made["status"]["conditions"] = []
    kube.call("PUT", f"{PLANS}/weekend/status", json=made)
    done = operated.run(*UP, engine, "--wait-for-migrations", "0")

    assert "dev: 1 migration is running now: Forklift plan shop/weekend" in shown.out
    assert refused.code == 1, refused.out
    assert "error: dev: 1 migration is running (Forklift plan shop/weekend), and would fail" in refused.out
    assert done.code == 0, done.out + done.err
    assert network(operated)


@pytest.mark.parametrize(("stack", "half"), [("dev", "sendTo"), ("dev-peer", "receive")])
def test_each_half_of_a_migration_between_clusters_is_waited_for_on_its_cluster(
    operated: Operated, stack: str, half: str
) -> None:
    cluster = operated.dev if stack == "dev" else operated.peer
    other = {"migrationID": "id-1"} | ({"connectURL": "10.200.5.62:9185"} if half == "sendTo" else {})
    body: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    body |= {"metadata": {"name": "move"}, "spec": {"vmiName": "vm", half: other}}
    # Without its machine it would fail at once; with it, it waits for its other half.
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    cluster.kube.call("POST", VMS, json=machine | {"spec": {"domain": {"devices": {}}}})
    cluster.kube.call("POST", MIGRATIONS, json=body)

    refused = operated.run("up", stack, *UP[2:], "direct", "--wait-for-migrations", "0")

    assert refused.code == 1, refused.out
    assert f"error: {stack}: 1 migration is running (default/move), and would fail" in refused.out


@pytest.mark.pulumi
def test_plain_pulumi_warns_in_a_preview_and_refuses_an_up_unless_the_stack_says_so(migrating: Operated) -> None:
    code, out = pulumi(migrating, "stack", "select", "--create", "dev")
    assert code == 0, out
    code, out = pulumi(migrating, "preview")
    said = "1 migration is running (default/move), and would fail when virt-handlers restart"
    assert (code, said in out) == (0, True), out
    code, out = pulumi(migrating, "up", "--yes", "--skip-preview")
    assert code != 0
    assert f"{said}; wait until they have ended, or set hyperConverged.whileMigrating: proceed" in out
    assert network(migrating) is None
    migrating.change("dev", hyperConverged={"whileMigrating": "proceed"})
    code, out = pulumi(migrating, "up", "--yes", "--skip-preview")
    assert code == 0, out
    assert network(migrating)
