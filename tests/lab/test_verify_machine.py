"""`mignet verify --vm` and `--migrate`: the way that one virtual machine's migration went."""

from __future__ import annotations

import json
from typing import Any

import operated as lab
import pytest
from operated import PODS, Operated
from support import Outcome

NAMESPACE = "default"
INSTANCES = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachineinstances"
MIGRATIONS = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachineinstancemigrations"
VM = f"{NAMESPACE}/vm"


def start(operated: Operated) -> None:
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    operated.dev.kube.call("POST", INSTANCES, json=machine | {"spec": {"domain": {"devices": {}}}})
    lab.until(lambda: state(operated).get("phase") == "Running")


def state(operated: Operated) -> dict[str, Any]:
    status: dict[str, Any] = operated.dev.get(f"{INSTANCES}/vm").get("status", {})
    return status


def migrate(operated: Operated) -> None:
    """Migrate the machine as a user does."""
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "spec": {"vmiName": "vm"}}
    operated.dev.kube.call("POST", MIGRATIONS, json=body | {"metadata": {"generateName": "user-"}})
    lab.until(lambda: state(operated).get("migrationState", {}).get("completed"))


def verify(operated: Operated, *more: str) -> Outcome:
    return operated.run("verify", "dev", "-o", "json", "--no-peers", *more)


def codes(outcome: Outcome) -> list[str]:
    assert outcome.out, outcome.err
    return [each["code"] for each in json.loads(outcome.out)["findings"]]


def test_one_migration_is_made_followed_and_proven(operated: Operated) -> None:
    operated.up("dev")
    start(operated)

    outcome = verify(operated, "--migrate", VM, "--yes")

    assert (outcome.code, codes(outcome)) == (0, []), outcome.out
    proven = json.loads(outcome.out)["proven"][1]
    address = state(operated)["migrationState"]["targetNodeAddress"]
    assert proven.startswith(f"dev: {VM} migrated to node dev-worker-")
    assert f"over {address}, of the migration network" in proven
    (made,) = operated.dev.get(MIGRATIONS)["items"]
    assert made["metadata"]["labels"]["app.kubernetes.io/instance"] == "dev"
    assert f"dev: {VM} migrates ({made['metadata']['name']}): Succeeded" in outcome.err.splitlines()


def test_without_consent_nothing_is_migrated(operated: Operated) -> None:
    operated.up("dev")
    start(operated)

    outcome = verify(operated, "--migrate", VM)

    assert outcome.code == 2
    assert "--migrate asks before it changes anything" in outcome.err
    assert operated.dev.get(MIGRATIONS)["items"] == []


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("migration-on-pod-network", "vm-other-network", "the pod network, outside of 10.200.5.10-10.200.5.60"),
        ("migration-fails", "migration-failed", "Connection timed out"),
        ("migration-hangs", "migration-unfinished", "has not ended in time, and is Running"),
    ],
)
def test_a_migration_that_does_not_go_over_the_network_says_why(
    operated: Operated, fault: str, code: str, words: str
) -> None:
    operated.up("dev")
    start(operated)
    operated.dev.fault(fault)

    outcome = verify(operated, "--migrate", VM, "--yes", "--timeout", "4")

    assert (outcome.code, codes(outcome)) == (1, [code]), outcome.out + outcome.err
    assert words in outcome.out


def test_a_machine_that_cannot_migrate_is_not_migrated(operated: Operated) -> None:
    operated.up("dev")
    start(operated)
    live = operated.dev.get(f"{INSTANCES}/vm")
    for condition in live["status"]["conditions"]:
        if condition["type"] == "LiveMigratable":
            condition |= {"status": "False", "reason": "DisksNotLiveMigratable", "message": "disk0 is not shared"}
    operated.dev.kube.call("PUT", f"{INSTANCES}/vm", json=live)

    outcome = verify(operated, "--migrate", VM, "--yes")

    assert (outcome.code, codes(outcome)) == (1, ["vm-not-migratable"])
    assert "disk0 is not shared" in outcome.out
    assert operated.dev.get(MIGRATIONS)["items"] == []


def test_the_last_migration_of_a_machine_is_judged_as_it_stands(operated: Operated) -> None:
    start(operated)
    migrate(operated)
    operated.up("dev")
    # The API server's clock has whole seconds; a pod is younger than the migration a second later.
    lab.until(lambda: oldest(operated) > state(operated)["migrationState"]["endTimestamp"] or restart(operated))

    before = verify(operated, "--vm", VM)
    again = verify(operated, "--migrate", VM, "--yes")
    after = verify(operated, "--vm", VM)

    assert codes(before) == ["vm-before-network"], before.out
    assert again.code == 0, again.out
    assert (after.code, codes(after)) == (0, [])


def oldest(operated: Operated) -> str:
    return str(min(pod["status"]["startTime"] for pod in operated.dev.pods()))


def restart(operated: Operated) -> None:
    for pod in operated.dev.pods():
        operated.dev.kube.call("DELETE", f"{PODS}/{pod['metadata']['name']}", params={"gracePeriodSeconds": "0"})
    lab.until(lambda: len(operated.dev.pods()) == 3 and all(map(lab.ready, operated.dev.pods())))


def test_a_machine_that_never_migrated_or_is_not_there_is_said(operated: Operated) -> None:
    operated.up("dev")
    start(operated)

    never = verify(operated, "--vm", VM)
    missing = verify(operated, "--vm", f"{NAMESPACE}/nobody")

    assert (never.code, codes(never)) == (1, ["vm-never-migrated"])
    assert (missing.code, codes(missing)) == (1, ["vm-missing"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vm", "vm"], "--vm vm is not NAMESPACE/NAME"),
        (["--vm", VM, "--migrate", VM], "exclude each other"),
        (["--vm", VM, "dev-peer"], "is about one cluster"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(operated: Operated, arguments: list[str], words: str) -> None:
    outcome = verify(operated, *arguments)

    assert outcome.code == 2
    assert words in outcome.err
