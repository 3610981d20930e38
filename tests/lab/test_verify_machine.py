"""`mignet verify --vm` and `--migrate`: the way that one virtual machine's migration went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diagnosed
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
    return [each["code"] for each in outcome.findings]


def test_one_migration_is_made_followed_and_proven(operated: Operated) -> None:
    operated.up("dev")
    start(operated)

    outcome = verify(operated, "--migrate", VM, "--yes")

    assert (outcome.code, codes(outcome)) == (0, []), outcome.out
    proven = outcome.document["proven"][1]["sentence"]
    address = state(operated)["migrationState"]["targetNodeAddress"]
    assert proven.startswith(f"{VM} migrated to node dev-worker-")
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
    diagnosed.begins_with(operated, diagnosed.AFTERWARDS.get(code, code), "--vm", VM)


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
    diagnosed.begins_with(operated, "vm-not-migratable", "--vm", VM)
    assert operated.dev.get(MIGRATIONS)["items"] == []


def written(cluster: lab.Cluster, **status: Any) -> dict[str, Any]:
    """Write keys of the machine's status, as KubeVirt would, and return it."""
    return dict(cluster.status(f"{INSTANCES}/vm", **status))


def asked(operated: Operated) -> list[str]:
    return [each["metadata"]["name"] for each in operated.dev.get(MIGRATIONS)["items"]]


def refused(operated: Operated, code: str) -> str:
    """Demand that a migration is refused with one finding, and nothing made; return what it says."""
    before = asked(operated)
    outcome = verify(operated, "--migrate", VM, "--yes", "--timeout", "4")
    assert (outcome.code, codes(outcome)) == (1, [code]), outcome.out + outcome.err
    assert asked(operated) == before
    return str(outcome.findings[0]["message"])


def test_a_machine_that_is_migrating_is_not_migrated_again(operated: Operated) -> None:
    operated.up("dev")
    start(operated)
    operated.dev.fault("migration-hangs")
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "spec": {"vmiName": "vm"}}
    made = operated.dev.kube.call("POST", MIGRATIONS, json=body | {"metadata": {"name": "user"}})
    path = f"{MIGRATIONS}/{made['metadata']['name']}"
    lab.until(lambda: operated.dev.get(path).get("status", {}).get("phase") == "Running")

    told = refused(operated, "vm-migrating")

    assert "is still migrating: VirtualMachineInstanceMigration user is Running, and" in told
    assert " s old" in told


def test_a_machine_that_is_to_arrive_is_not_migrated(operated: Operated) -> None:
    operated.up("dev")
    start(operated)
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    receive = {"metadata": {"name": "in"}, "spec": {"vmiName": "vm", "receive": {"migrationID": "x"}}}
    operated.dev.kube.call("POST", MIGRATIONS, json=body | receive)
    written(operated.dev, phase="WaitingForSync")
    lab.until(lambda: operated.dev.get(f"{MIGRATIONS}/in").get("status", {}).get("phase") == "WaitingForSync")

    told = refused(operated, "vm-migrating")
    last = verify(operated, "--vm", VM)

    assert "VirtualMachineInstanceMigration in is WaitingForSync, and receives from another cluster, and" in told
    assert codes(last) == ["vm-migrating"]


@pytest.mark.parametrize("phase", ["Succeeded", "WaitingForSync", "Scheduling"])
def test_a_machine_that_does_not_run_is_not_migrated(operated: Operated, phase: str) -> None:
    operated.up("dev")
    start(operated)
    written(operated.dev, phase=phase)

    diagnosed.begins_with(operated, "vm-not-running", "--vm", VM)
    assert f"is {phase}, not Running: it cannot be migrated" in refused(operated, "vm-not-running")
    assert "Start it first" in verify(operated, "--vm", VM).out


def test_a_machine_whose_disks_can_be_copied_can_go_to_another_cluster_only(operated: Operated) -> None:
    operated.up("dev")
    start(operated)
    why = {"reason": "DisksNotLiveMigratable", "message": "disk0 is not shared"}
    found = [{"type": "LiveMigratable", "status": "False"} | why, {"type": "StorageLiveMigratable", "status": "True"}]
    written(operated.dev, conditions=found)

    told = refused(operated, "vm-not-migratable")

    assert "cannot migrate within this cluster, but to another one: disk0 is not shared" in told


def moved(operated: Operated) -> dict[str, Any]:
    """Have the machine on both clusters, after a migration from dev that only dev-peer calls done."""
    operated.up()
    start(operated)
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    operated.peer.kube.call("POST", INSTANCES, json=machine | {"spec": {"domain": {"devices": {}}}})
    lab.until(lambda: operated.peer.get(f"{INSTANCES}/vm").get("status", {}).get("phase") == "Running")
    uids = [each.get(f"{INSTANCES}/vm")["metadata"]["uid"] for each in operated.clusters]
    sides = [{f"{side}State": {"virtualMachineInstanceUID": uid}} for side, uid in zip(SIDES, uids, strict=True)]
    state = {"completed": True, "targetNodeAddress": "10.200.5.61"} | sides[0] | sides[1]
    written(operated.dev, migrationState=state | {"failed": True, "failureReason": "connection lost"})
    written(operated.peer, migrationState=state)
    return state


SIDES = ("source", "target")


def test_a_machine_that_runs_on_two_clusters_is_an_error_on_both_and_is_not_migrated(operated: Operated) -> None:
    moved(operated)

    here = verify(operated, "--vm", VM)
    diagnosed.begins_with(operated, "vm-runs-twice", "--vm", VM)
    there = operated.run("verify", "dev-peer", "-o", "json", "--no-peers", "--vm", VM)
    told = refused(operated, "vm-runs-twice")

    assert codes(here) == codes(there) == ["vm-runs-twice"], here.out + there.out
    assert "runs here and on the cluster of dev-peer too" in told
    assert "mignet verify" not in told
    operated.peer.kube.call("DELETE", f"{INSTANCES}/vm")
    assert "vm-runs-twice" not in codes(verify(operated, "--vm", VM))


def test_a_machine_that_has_left_is_never_to_be_migrated_from_here(operated: Operated) -> None:
    state = moved(operated)

    written(operated.dev, phase="Succeeded", migrationState=state)
    gone = refused(operated, "vm-left")
    proven = verify(operated, "--vm", VM)
    written(operated.dev, phase="Running", migrationState=state | {"failed": True})
    operated.peer.kube.call("DELETE", f"{INSTANCES}/vm")
    failed = verify(operated, "--vm", VM)
    again = refused(operated, "vm-left")
    written(operated.dev, migrationState=state)
    stays = verify(operated, "--vm", VM)
    diagnosed.begins_with(operated, "vm-left", "--vm", VM)
    (operated.folder / "Pulumi.dev-peer.yaml").unlink()
    alone = verify(operated, "--vm", VM)

    assert "it runs on the cluster of dev-peer" in gone
    assert "mignet verify dev-peer --vm default/vm" in gone
    assert (proven.code, codes(proven)) == (0, []), proven.out
    assert codes(failed) == ["vm-migration-failed"]
    assert "Migrate it" not in failed.out
    assert "it does not run there" in again
    assert codes(stays) == codes(alone) == ["vm-left"]
    assert "nobody could say whether it runs there (no other stack of this segment" in alone.out


POLICY = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
IN_FLIGHT = "in-flight migration detected. Active migration job (x) is currently already in progress for VMI vm."


@pytest.fixture
def webhook(operated: Operated) -> Iterator[None]:
    """Let the API server refuse every migration, in the words of KubeVirt's webhook."""
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["kubevirt.io"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["virtualmachineinstancemigrations"],
                }
            ]
        },
        "validations": [{"expression": "false", "message": IN_FLIGHT}],
    }
    kube = operated.dev.kube
    kube.call("POST", POLICY, json={"metadata": {"name": "one-at-a-time"}, "spec": spec})
    binding = {"metadata": {"name": "one-at-a-time"}, "spec": {"policyName": "one-at-a-time"}}
    binding["spec"]["validationActions"] = ["Deny"]  # type: ignore[assignment]
    kube.call("POST", f"{POLICY.removesuffix('policies')}policybindings", json=binding)
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "spec": {"vmiName": "vm"}}
    body["metadata"] = {"name": "probe"}  # type: ignore[assignment]
    tried = {"json": body, "params": {"dryRun": "All"}}
    lab.until(lambda: IN_FLIGHT in kube.http.request("POST", MIGRATIONS, **tried).text, "the policy holds")  # type: ignore[arg-type]
    yield
    for path in (f"{POLICY.removesuffix('policies')}policybindings", POLICY):
        kube.call("DELETE", f"{path}/one-at-a-time")
    lab.until(lambda: kube.http.request("POST", MIGRATIONS, **tried).is_success, "the policy is gone")  # type: ignore[arg-type]


@pytest.mark.usefixtures("webhook")
def test_what_the_api_refuses_is_told_with_what_to_do(operated: Operated) -> None:
    operated.up("dev")
    start(operated)

    told = refused(operated, "migration-refused")

    assert IN_FLIGHT in told
    assert "Verify again when that one has ended: mignet verify dev --vm default/vm" in told


def test_the_last_migration_of_a_machine_is_judged_as_it_stands(operated: Operated) -> None:
    start(operated)
    migrate(operated)
    operated.up("dev")
    # The API server's clock has whole seconds; a pod is younger than the migration a second later.
    lab.until(lambda: oldest(operated) > state(operated)["migrationState"]["endTimestamp"] or restart(operated))

    before = verify(operated, "--vm", VM)
    diagnosed.begins_with(operated, "vm-before-network", "--vm", VM)
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
    diagnosed.begins_with(operated, "vm-never-migrated", "--vm", VM)
    assert (missing.code, codes(missing)) == (1, ["vm-missing"])
    diagnosed.begins_with(operated, "vm-missing", "--vm", f"{NAMESPACE}/nobody")


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
