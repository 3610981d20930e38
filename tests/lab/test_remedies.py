"""Every way out of the catalogue, carried out on the lab: the finding is there before, and gone afterwards.

tools/docs/symptoms.yaml says of the others why the lab can't try them (`not-tried`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import operated as lab
import pytest
import yaml
from operated import ATTACHMENTS, HCO, KUBEVIRT, PODS, POOLS, STATUS, Operated
from support import ROOT

sys.path.insert(0, str(ROOT / "tools" / "docs"))

import troubleshooting

from mignet.checks.migrations import CODES as MIGRATIONS_STUCK
from mignet.checks.peers import CODES as BETWEEN_CLUSTERS

NETWORK = f"{ATTACHMENTS}/my-secondary-network"
POOL = f"{POOLS.replace('/ippools', '/namespaces/openshift-multus/ippools')}/10.200.5.0-24"
RESERVATIONS = POOL.rpartition("/ippools")[0] + "/overlappingrangeipreservations"
INSTANCES = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
MIGRATIONS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancemigrations"
VM = "default/vm"

Act = Callable[[Operated], Any]


def up(one: Operated) -> None:
    """Run `mignet up`, and leave the rest to verify."""
    outcome = one.run("up", "dev", "--yes", "--engine", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err


def with_fault(name: str, about: str = "") -> Act:
    """Switch a fault on, and bring the network up under it."""

    def act(one: Operated) -> None:
        one.dev.fault(name, about)
        up(one)

    return act


def heal(one: Operated) -> None:
    """Put right what the fault stands for: an operator that runs, a plugin that is there, a node that is sound."""
    one.dev.heal()


def delete_pods(one: Operated) -> None:
    for pod in [*one.dev.pods(), *one.dev.pods("virt-synchronization-controller")]:
        one.dev.kube.call("DELETE", f"{PODS}/{pod['metadata']['name']}", params={"gracePeriodSeconds": "0"})


def after_up(act: Act) -> Act:
    """Bring the network up, and do something to it then."""

    def both(one: Operated) -> None:
        one.up("dev")
        act(one)

    return both


def reported(*ips: str) -> Act:
    """Let multus have reported other addresses of one virt-handler."""

    def act(one: Operated) -> None:
        pod = one.dev.pods()[0]
        statuses = json.loads(pod["metadata"]["annotations"][STATUS])
        next(each for each in statuses if each["interface"] == "migration0")["ips"] = list(ips)
        patch = {"metadata": {"annotations": {STATUS: json.dumps(statuses)}}}
        one.dev.merge(f"{PODS}/{pod['metadata']['name']}", patch)

    return act


def merged(path: str, patch: dict[str, Any]) -> Act:
    return lambda one: one.dev.merge(path, patch)


def deleted(path: str) -> Act:
    return lambda one: one.dev.kube.call("DELETE", path)


def posted(path: str, body: dict[str, Any]) -> Act:
    return lambda one: one.dev.kube.call("POST", path, json=body)


def lease(offset: str, pod: str | None) -> Act:
    entry = None if pod is None else {"id": "x", "podref": pod, "ifname": "net1"}
    return merged(POOL, {"spec": {"allocations": {offset: entry}}})


def more_nodes(one: Operated) -> None:
    cluster = yaml.safe_load((one.folder / "Pulumi.dev.yaml").read_text())["config"]["migration-network:cluster"]
    one.change("dev", cluster=cluster | {"nodes": 45}, waivers={"slice-too-small": "they come later"})


def allocate(one: Operated) -> None:
    outcome = one.run("allocate", "dev")
    assert outcome.code == 0, outcome.out + outcome.err
    up(one)


def small_slice(one: Operated) -> None:
    small = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.13"}
    one.change("dev", slice=small, waivers={"slice-too-small": "to see what happens"})
    up(one)


def without_hyperconverged(one: Operated) -> None:
    one.dev.merge(HCO, {"metadata": {"finalizers": None}})
    one.dev.kube.call("DELETE", HCO)


def make_hyperconverged(one: Operated) -> None:
    metadata = {"name": "kubevirt-hyperconverged", "namespace": lab.NAMESPACE}
    body = {"apiVersion": "hco.kubevirt.io/v1beta1", "kind": "HyperConverged", "metadata": metadata, "spec": {}}
    one.dev.kube.call("POST", HCO.rpartition("/")[0], json=body)
    up(one)


def degraded(status: str) -> Act:
    def act(one: Operated) -> None:
        live = one.dev.get(HCO)
        for condition in live["status"]["conditions"]:
            if condition["type"] == "Degraded":
                condition |= {"status": status}
        one.dev.kube.call("PUT", f"{HCO}/status", json=live)

    return act


def stale_kubevirt(one: Operated) -> None:
    one.dev.fault("operator-asleep")
    one.dev.merge(KUBEVIRT, {"spec": {"configuration": {"migrations": {"network": "other"}}}})


def gate(*, on: bool) -> Act:
    def act(one: Operated) -> None:
        one.dev.merge(HCO, {"spec": {"featureGates": {"decentralizedLiveMigration": on}}})
        lab.until(lambda: bool(one.dev.pods("virt-synchronization-controller")) is on)

    return act


def cross_cluster_without_gate(one: Operated) -> None:
    cluster = {"context": "dev", "kubeconfig": str(one.lab.kubeconfig), "crossCluster": True}
    one.change("dev", cluster=cluster)
    one.up("dev")
    gate(on=False)(one)


LATE = {"metadata": {"name": "late", "labels": {"kubevirt.io/schedulable": "true"}}}
LATE |= {"spec": {"taints": [{"key": "node-role.kubernetes.io/infra", "effect": "NoSchedule"}]}}
STRAY = {
    "apiVersion": "whereabouts.cni.cncf.io/v1alpha1",
    "kind": "OverlappingRangeIPReservation",
    "metadata": {"name": "10.200.5.44", "namespace": "openshift-multus"},
    "spec": {"podref": "elsewhere/vm", "containerid": "x", "ifname": "net1"},
}

OF_VERIFY: dict[str, tuple[Act, Act]] = {
    "pod-network-fallback": (with_fault("handler-on-pod-network"), heal),
    "pod-crashes": (with_fault("handler-without-address"), heal),
    "pod-no-network": (with_fault("handler-stuck"), heal),
    "mtu-differs": (with_fault("handler-mtu"), heal),
    "address-outside": (with_fault("handler-outside-slice"), heal),
    "address-duplicate": (with_fault("handler-duplicate"), heal),
    "rollout-unfinished": (with_fault("handler-held"), heal),
    "operator-asleep": (with_fault("operator-asleep"), heal),
    "workload-not-annotated": (with_fault("annotation-missing"), heal),
    "address-missing": (after_up(reported("fe80::1")), delete_pods),
    "address-reserved": (after_up(reported("10.200.5.1")), delete_pods),
    "attachment-gone": (after_up(deleted(NETWORK)), up),
    "attachment-invalid": (after_up(merged(NETWORK, {"spec": {"config": "{"}})), up),
    "declared-differs": (after_up(merged(HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 99}}})), up),
    "declared-missing": (after_up(without_hyperconverged), make_hyperconverged),
    "node-without-handler": (after_up(posted("/api/v1/nodes", LATE)), deleted("/api/v1/nodes/late")),
    "pool-full": (small_slice, allocate),
    "pool-runs-out": (after_up(more_nodes), allocate),
    "pool-missing": (after_up(deleted(POOL)), delete_pods),
    "lease-leaked": (after_up(lease("50", "openshift-cnv/virt-handler-gone")), lease("50", None)),
    "lease-outside": (after_up(lease("200", "elsewhere/vm")), lease("200", None)),
    "reservation-stray": (after_up(posted(RESERVATIONS, STRAY)), deleted(f"{RESERVATIONS}/10.200.5.44")),
    "settings-not-taken": (after_up(stale_kubevirt), heal),
    "workload-missing": (cross_cluster_without_gate, gate(on=True)),
    "operator-degraded": (
        after_up(lambda one: (one.dev.fault("operator-asleep"), degraded("True")(one))),
        degraded("False"),
    ),
}


def verified(one: Operated, *more: str) -> list[str]:
    outcome = one.run("verify", "dev", "-o", "json", "--no-peers", "--stuck-after", "0", *more)
    assert outcome.out, outcome.err
    return [each["code"] for each in outcome.findings]


@pytest.mark.parametrize("code", OF_VERIFY)
def test_the_way_out_of_what_verify_finds_clears_it(operated: Operated, code: str) -> None:
    breaks, mends = OF_VERIFY[code]
    breaks(operated)
    lab.until(lambda: code in verified(operated, "--timeout", "3"), f"{code} is found")

    mends(operated)

    lab.until(lambda: code not in verified(operated, "--timeout", "10"), f"{code} is gone")


def migrate(one: Operated, *, code: int = 0) -> None:
    outcome = one.run("verify", "dev", "--no-peers", "--migrate", VM, "--yes", "--timeout", "4")
    assert outcome.code == code, outcome.out + outcome.err


def migrate_under(fault: str) -> Act:
    def act(one: Operated) -> None:
        one.dev.fault(fault)
        migrate(one, code=1)

    return act


def heal_and_migrate(one: Operated) -> None:
    one.dev.heal()
    for each in one.dev.get(MIGRATIONS)["items"]:
        if each.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            one.dev.kube.call("DELETE", f"{MIGRATIONS}/{each['metadata']['name']}")
    lab.until(lambda: one.dev.get(lab.KUBEVIRT)["status"]["phase"] == "Deployed")
    migrate(one)


def written(**status: Any) -> Act:
    def act(one: Operated) -> None:
        one.dev.status(f"{INSTANCES}/vm", **status)

    return act


def cancel(one: Operated) -> None:
    one.dev.kube.call("DELETE", MIGRATIONS)


NOT_SHARED = [{"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable", "message": "no"}]
OF_A_MACHINE: dict[str, tuple[Act, Act]] = {
    "vm-never-migrated": (lambda _: None, migrate),
    "vm-other-network": (migrate_under("migration-on-pod-network"), heal_and_migrate),
    "vm-migration-failed": (migrate_under("migration-fails"), heal_and_migrate),
    "vm-migrating": (migrate_under("migration-hangs"), heal_and_migrate),
}
ASKED_TO_MIGRATE: dict[str, tuple[Act, Act]] = {
    "vm-not-running": (written(phase="Scheduling"), written(phase="Running")),
    "vm-not-migratable": (written(conditions=NOT_SHARED), written(conditions=[])),
    "migration-failed": (lambda one: one.dev.fault("migration-fails"), heal),
    "migration-unfinished": (lambda one: one.dev.fault("migration-hangs"), heal_and_migrate),
}


def start(one: Operated) -> None:
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    one.dev.kube.call("POST", INSTANCES, json=machine | {"spec": {"domain": {"devices": {}}}})
    lab.until(lambda: one.dev.get(f"{INSTANCES}/vm").get("status", {}).get("phase") == "Running")


@pytest.mark.parametrize("code", OF_A_MACHINE)
def test_the_way_out_of_what_is_wrong_with_a_machine_clears_it(operated: Operated, code: str) -> None:
    breaks, mends = OF_A_MACHINE[code]
    operated.up("dev")
    assert verified(operated, "--vm", VM) == ["vm-missing"]
    start(operated)
    breaks(operated)
    assert verified(operated, "--vm", VM) == [code]

    mends(operated)

    assert verified(operated, "--vm", VM) == []


@pytest.mark.parametrize("code", ASKED_TO_MIGRATE)
def test_the_way_out_of_what_keeps_a_machine_from_migrating_clears_it(operated: Operated, code: str) -> None:
    breaks, mends = ASKED_TO_MIGRATE[code]
    operated.up("dev")
    start(operated)
    breaks(operated)
    assert verified(operated, "--migrate", VM, "--yes", "--timeout", "4") == [code]

    mends(operated)

    assert verified(operated, "--migrate", VM, "--yes", "--timeout", "20") == []


def dead_port(content: dict[str, Any]) -> None:
    for each in content["clusters"]:
        each["cluster"]["server"] = "https://127.0.0.1:9"


def wrong_token(content: dict[str, Any]) -> None:
    for each in content["users"]:
        each["user"] = {"token": "expired"}


def no_context(content: dict[str, Any]) -> None:
    content["contexts"] = []


@pytest.mark.parametrize(
    ("code", "breaks"),
    [
        ("cluster-unreachable", dead_port),
        ("cluster-unauthorized", wrong_token),
        ("cluster-kubeconfig", no_context),
    ],
)
def test_the_way_out_of_a_cluster_that_is_not_reached_clears_it(
    operated: Operated, code: str, breaks: Callable[[dict[str, Any]], None]
) -> None:
    operated.up("dev")
    content = yaml.safe_load(operated.lab.kubeconfig.read_text())
    for each in content["clusters"]:
        authority = each["cluster"].get("certificate-authority")
        if authority:
            each["cluster"]["certificate-authority"] = str(operated.lab.kubeconfig.parent / authority)
    breaks(content)
    other = operated.folder / "kubeconfig"
    other.write_text(yaml.safe_dump(content))
    operated.change("dev", cluster={"context": "dev", "kubeconfig": str(other)})
    assert verified(operated) == [code]

    operated.change("dev", cluster={"context": "dev", "kubeconfig": str(operated.lab.kubeconfig)})

    assert verified(operated) == []


def test_the_way_out_of_a_context_that_points_elsewhere_clears_it(operated: Operated) -> None:
    operated.up("dev")
    place = {"context": "dev", "kubeconfig": str(operated.lab.kubeconfig)}
    own, other = (each.get("/api/v1/namespaces/kube-system")["metadata"]["uid"] for each in operated.clusters)
    operated.change("dev", cluster=place | {"uid": other})
    assert verified(operated) == ["cluster-other-cluster"]
    operated.change("dev", cluster=place | {"uid": own})
    assert verified(operated) == []


def test_the_way_out_of_an_address_of_a_peer_clears_it(operated: Operated) -> None:
    operated.up("dev-peer")
    with_fault("handler-duplicate-peer")(operated)

    def found() -> list[str]:
        outcome = operated.run("verify", "dev", "-o", "json", "--timeout", "20")
        return [each["code"] for each in outcome.findings]

    assert found() == ["address-duplicate-peer"]
    heal(operated)
    lab.until(lambda: found() == [])


def test_the_way_out_of_a_peer_that_cannot_be_asked_clears_it(operated: Operated) -> None:
    operated.up()
    whole = (operated.folder / "Pulumi.dev-peer.yaml").read_text()
    operated.change("dev-peer", cluster={"context": "gone", "kubeconfig": str(operated.lab.kubeconfig)})
    assert "peer-unread" in operated.run("verify", "dev", "-o", "json").out
    (operated.folder / "Pulumi.dev-peer.yaml").write_text(whole)
    assert "peer-unread" not in operated.run("verify", "dev", "-o", "json").out


HERE = "tests/lab/test_remedies.py::"
DRIFT = "tests/lab/test_drift.py::"
ONE = f"{DRIFT}test_each_trap_is_one_finding_and_what_is_ours_is_repaired"
CHECKUP = "tests/lab/test_checkup.py::test_a_fault_of_one_node_is_one_finding_that_names_it_and_its_cause"
PREFLIGHT = "tests/lab/test_preflight_lab.py::"
TRAP = f"{PREFLIGHT}test_a_trap_on_a_cluster_gives_its_code_and_no_other"
MACHINE = "tests/lab/test_verify_machine.py::"
CROSSING = "tests/lab/test_crossing.py::"
CROSSED = f"{CROSSING}test_a_way_that_does_not_end_well_says_why_and_leaves_nothing"

USER_NETWORKS = "tests/lab/test_user_networks.py::"
TRIED = {
    **{code: f"{HERE}test_the_way_out_of_what_verify_finds_clears_it[{code}]" for code in OF_VERIFY},
    **{code: f"{HERE}test_the_way_out_of_what_is_wrong_with_a_machine_clears_it[{code}]" for code in OF_A_MACHINE},
    **{
        code: f"{HERE}test_the_way_out_of_what_keeps_a_machine_from_migrating_clears_it[{code}]"
        for code in ASKED_TO_MIGRATE
    },
    **{
        code: f"{HERE}test_the_way_out_of_a_cluster_that_is_not_reached_clears_it[{code}-"
        for code in ("cluster-unreachable", "cluster-unauthorized", "cluster-kubeconfig")
    },
    "history-broken": (
        "tests/lab/test_history.py::test_from_up_to_destroy_the_history_has_who_did_what_with_plan_and_outcome"
    ),
    "cluster-other-cluster": f"{HERE}test_the_way_out_of_a_context_that_points_elsewhere_clears_it",
    "vm-missing": f"{HERE}test_the_way_out_of_what_is_wrong_with_a_machine_clears_it",
    "address-duplicate-peer": f"{HERE}test_the_way_out_of_an_address_of_a_peer_clears_it",
    "peer-unread": f"{HERE}test_the_way_out_of_a_peer_that_cannot_be_asked_clears_it",
    "pods-keep-old-network": (
        "tests/lab/test_verify.py::test_pods_that_keep_the_old_network_are_found_until_they_are_made_anew"
    ),
    "network-not-made": f"{USER_NETWORKS}test_one_that_is_not_made_is_said",
    "network-unchangeable": f"{USER_NETWORKS}test_every_verb_on_one_cluster[direct]",
    "ovn-books-shared": f"{USER_NETWORKS}test_every_verb_on_one_cluster[direct]",
    "vm-before-network": f"{MACHINE}test_the_last_migration_of_a_machine_is_judged_as_it_stands",
    "vm-runs-twice": f"{MACHINE}test_a_machine_that_runs_on_two_clusters_is_an_error_on_both_and_is_not_migrated",
    "right-missing": (
        "tests/lab/test_rights.py::test_the_role_that_observes_is_enough_to_look_and_what_up_takes_is_named"
    ),
    "field-changed": f"{ONE}[changed-",
    "field-taken": f"{ONE}[taken-",
    "network-elsewhere": f"{ONE}[elsewhere-",
    "object-missing": f"{ONE}[missing-",
    "object-left-over": f"{ONE}[left_over-",
    "list-extended": f"{DRIFT}test_an_up_takes_away_what_somebody_appended_to_a_list[direct]",
    "object-extended": f"{DRIFT}test_a_field_that_somebody_added_beside_the_declared_ones_is_seen",
    "object-recreated": f"{DRIFT}test_an_object_made_anew_by_hand_is_one_finding_and_is_taken_over_with_consent_only",
    "object-relabelled": f"{DRIFT}test_an_object_that_names_another_stack_is_one_finding_and_stays",
    "not-applied": f"{DRIFT}test_a_stack_file_that_was_edited_is_told_from_a_cluster_that_was",
    "field-co-owned": f"{DRIFT}test_a_field_that_the_other_one_no_longer_applies_is_ours_alone",
    "limit-owned": f"{PREFLIGHT}test_a_limit_of_somebody_else_is_refused_where_the_stack_says_so",
    "hyperconverged-refuses": f"{PREFLIGHT}test_a_field_that_the_release_does_not_know_is_refused",
    "api-version-converted": f"{PREFLIGHT}test_a_version_that_is_not_the_stored_one_is_mentioned",
    "policy-foreign": f"{PREFLIGHT}test_a_policy_of_somebody_else_is_refused",
    "multus-missing": f"{PREFLIGHT}test_without_multus_there_is_one_finding",
    "nmstate-missing": f"{PREFLIGHT}test_without_nmstate_it_is_said_once_and_counts_where_an_uplink_is_declared",
    "checkup-link-down": f"{CHECKUP}[dev-nic-unplugged]",
    "checkup-node-alone": f"{CHECKUP}[dev-nic-on-another-vlan]",
    "checkup-path-mtu": f"{CHECKUP}[dev-nic-small-mtu]",
    "checkup-ports-blocked": f"{CHECKUP}[dev-port-9185-blocked]",
    "checkup-address-duplicate": f"{CHECKUP}[dev-address-twice]",
    "post-copy-inert": f"{PREFLIGHT}test_post_copy_that_this_release_does_nothing_with_is_a_warning",
    **dict.fromkeys(
        ("limit-without-effect", "migration-policy-tied", "migration-policy-idle"),
        "tests/lab/test_limits.py::test_a_value_that_reaches_nobody_and_a_tie_are_warnings",
    ),
    **dict.fromkeys(
        ("limit-overridden", "limit-too-slow"),
        "tests/lab/test_limits.py::test_the_closest_policy_wins_and_the_others_keep_what_the_stack_says",
    ),
    "capacity-link-unknown": "tests/lab/test_capacity.py::test_without_a_speed_no_time_is_told_until_it_is_given",
    "capacity-does-not-finish": "tests/lab/test_capacity.py::test_what_does_not_finish_does_under_the_proposed_limits",
    **dict.fromkeys(MIGRATIONS_STUCK, "tests/lab/test_migrations.py::test_the_way_out_of_what_is_stuck_clears_it"),
    "network-switched": f"{PREFLIGHT}test_a_network_of_another_name_is_said_to_be_switched",
    "crossing-waits": f"{CROSSING}test_a_sync_controller_that_is_not_reached_is_told_with_its_address",
    "crossing-failed": f"{CROSSED}[dev-migration-fails-",
    "crossing-unfinished": f"{CROSSED}[dev-migration-hangs-",
    "crossing-other-network": f"{CROSSED}[dev-peer-migration-on-pod-network-",
    "crossing-not-started": f"{CROSSING}test_a_machine_that_does_not_start_is_told",
    "crossing-refused": f"{CROSSING}test_what_the_api_refuses_is_told_and_nothing_is_left",
    "crossing-held": f"{CROSSING}test_a_run_holds_its_stacks_and_leaves_nothing_when_it_is_stopped_with_ctrl_c",
    "crossing-right-missing": f"{CROSSING}test_rights_that_are_missing_are_named_and_its_role_is_enough",
    "crossing-left-behind": f"{CROSSING}test_what_cannot_be_removed_is_named_with_the_command_that_does",
}
"""The test in which the way out of a code is carried out. Beside these stand the codes that preflight's traps set."""


@pytest.fixture(scope="module")
def collected() -> list[str]:
    files = sorted({test.partition("::")[0] for test in (*TRIED.values(), TRAP)})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_way_out_is_tried_or_says_why_the_lab_cannot(collected: list[str]) -> None:
    codes = set(troubleshooting.codes())
    said = {code: text or {} for entry in troubleshooting.symptoms() for code, text in entry.get("codes", {}).items()}
    not_tried = {code for code, text in said.items() if text.get("not-tried")}
    tried = {code for code, test in TRIED.items() if any(each.startswith(test) for each in collected)}
    by_edit = {code for code in codes if any(each.startswith(f"{TRAP}[{code}-") for each in collected)}
    # The tests between clusters have a scenario for each of their codes, and demand that it goes with what set it.
    by_edit |= BETWEEN_CLUSTERS

    assert TRIED.keys() - tried == set(), "no such test"
    assert codes - tried - by_edit - not_tried == set(), "carry the way out out, or say why not in symptoms.yaml"
    assert not_tried & (tried | by_edit) == set(), "it is tried: take not-tried out"
