"""`mignet verify` against API servers whose operators are stand-ins: one trap set, one finding."""

from __future__ import annotations

import json
import re
from typing import Any

import diagnosed
import operated as lab
import pytest
import yaml
from operated import ATTACHMENTS, HANDLER, HCO, KUBEVIRT, PODS, POOLS, SYNCHRONIZER, Operated
from support import Outcome

from mignet.checks.verify import RULES, peers

NETWORK = "my-secondary-network"
POOL = f"{POOLS.replace('/ippools', '/namespaces/openshift-multus/ippools')}/10.200.5.0-24"


def verify(operated: Operated, *more: str, timeout: str = "20") -> tuple[Outcome, list[dict[str, Any]]]:
    outcome = operated.run("verify", "dev", "-o", "json", "--timeout", timeout, "--stuck-after", "0", *more)
    assert outcome.out, outcome.err
    return outcome, outcome.findings


def only(operated: Operated, code: str, *more: str, severity: str = "error", timeout: str = "20") -> dict[str, Any]:
    outcome, findings = verify(operated, *more, timeout=timeout)
    assert [(each["severity"], each["code"]) for each in findings] == [(severity, code)], outcome.out + outcome.err
    assert outcome.code == (1 if severity == "error" else 0)
    diagnosed.begins_with(operated, code)
    return findings[0]


def declare(operated: Operated, *stacks: str) -> None:
    """Apply without waiting, and without looking first: what goes wrong is for verify to find."""
    outcome = operated.run("up", *(stacks or ["dev"]), "--yes", "--engine", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err


def test_what_is_proven_is_said_in_one_line_for_each_cluster(operated: Operated) -> None:
    declare(operated, "dev", "dev-peer")

    outcome = operated.run("verify", "--all")

    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.out.splitlines() == [
        f"dev: 3 virt-handlers and 2 sync controllers use {NETWORK}, addresses 10.200.5.10-10.200.5.14; 5 of 51"
        " addresses leased in IPPool 10.200.5.0-24 (as their objects say; nothing was measured)",
        f"dev-peer: 3 virt-handlers and 2 sync controllers use {NETWORK}, addresses 10.200.5.61-10.200.5.65; 5 of 50"
        " addresses leased in IPPool 10.200.5.0-24 (as their objects say; nothing was measured)",
        f"2 stacks, {len(RULES) + len(peers.RULES)} rules each: no problems",
    ]


def test_progress_stands_on_stderr_in_lines_that_differ(operated: Operated) -> None:
    operated.dev.fault("handler-held")
    declare(operated)

    outcome, _ = verify(operated, timeout="2")

    lines = outcome.err.splitlines()
    assert any(re.search(r"^dev: virt-handler \d of 3", line) for line in lines), outcome.err
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("handler-on-pod-network", "pod-network-fallback", "has no migration0"),
        ("handler-without-address", "pod-crashes", "panic: no IP found on migration0"),
        ("handler-stuck", "pod-no-network", "failed to find plugin"),
        ("handler-mtu", "mtu-differs", "1500 is the MTU of migration0, not 9000"),
        ("handler-outside-slice", "address-outside", "is outside of this cluster's slice 10.200.5.10-10.200.5.60"),
        ("handler-duplicate", "address-duplicate", "too"),
        ("control-plane-without-nic", "pod-no-network", "virt-synchronization-controller"),
    ],
)
def test_a_pod_that_is_wrong_is_found(operated: Operated, fault: str, code: str, words: str) -> None:
    operated.dev.fault(fault)
    declare(operated)

    assert words in only(operated, code)["message"]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("handler-held", "rollout-unfinished", " of 3 pods on my-secondary-network"),
        ("operator-asleep", "operator-asleep", "the HyperConverged operator has only looked at"),
        ("annotation-missing", "workload-not-annotated", f"does not ask for {NETWORK}@migration0"),
    ],
)
def test_what_is_not_done_in_time_says_where_it_stopped(operated: Operated, fault: str, code: str, words: str) -> None:
    operated.dev.fault(fault)
    declare(operated)

    assert words in only(operated, code, timeout="3")["message"]


def test_conditions_that_are_early_are_not_believed(operated: Operated) -> None:
    operated.dev.fault("conditions-early")
    operated.dev.fault("handler-held")
    declare(operated)

    only(operated, "rollout-unfinished", timeout="3")


def test_conditions_that_stay_behind_are_said_and_the_pods_count(operated: Operated) -> None:
    operated.dev.fault("conditions-stale")
    declare(operated)

    only(operated, "operator-asleep", severity="warning")


def test_an_address_of_a_peer_is_found_whether_the_peer_is_verified_or_only_read(operated: Operated) -> None:
    operated.up("dev-peer")
    operated.dev.fault("handler-duplicate-peer")
    declare(operated)

    alone = only(operated, "address-duplicate-peer")
    both = operated.run("verify", "--all", "-o", "json")
    _, findings = verify(operated, "--no-peers")

    assert alone["peer"] == "dev-peer"
    assert "10.200.5.6" in alone["message"]
    assert [each["code"] for each in both.findings] == ["address-duplicate-peer"]
    assert [each["code"] for each in findings] == ["address-outside"]


def test_a_peer_that_cannot_be_reached_is_a_warning(operated: Operated) -> None:
    declare(operated)
    operated.change("dev-peer", cluster={"context": "gone", "kubeconfig": str(operated.lab.kubeconfig)})

    assert "peer dev-peer could not be asked" in only(operated, "peer-unread", severity="warning")["message"]


def test_an_attachment_that_is_gone_ends_the_waiting_at_once(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.kube.call("DELETE", f"{ATTACHMENTS}/{NETWORK}")

    only(operated, "attachment-gone", timeout="1800")


def test_an_attachment_that_is_no_cni_configuration_is_found(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.merge(f"{ATTACHMENTS}/{NETWORK}", {"spec": {"config": "{"}})

    only(operated, "attachment-invalid", timeout="1800")


def test_an_object_that_holds_something_else_is_found(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.merge(HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 99}}})

    assert "progressTimeout is 99, not 150" in only(operated, "declared-differs", timeout="1800")["message"]


def test_a_hyperconverged_that_is_gone_is_found(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.merge(HCO, {"metadata": {"finalizers": None}})
    operated.dev.kube.call("DELETE", HCO)

    only(operated, "declared-missing", timeout="1800")


WORKLOADS = {"virt-handler": HANDLER, "virt-synchronization-controller": SYNCHRONIZER}


def test_pods_that_keep_the_old_network_are_found_until_they_are_made_anew(operated: Operated) -> None:
    operated.up("dev")
    lab.past_pods(operated.dev)
    attachment = {"type": "macvlan", "name": NETWORK, "cniName": "migration-bridge", "master": "eth1", "mtu": 8000}
    operated.change("dev", attachment=attachment)
    declare(operated)

    outcome, findings = verify(operated)
    diagnosed.begins_with(operated, "pods-keep-old-network")
    for workload in WORKLOADS:
        for pod in operated.dev.pods(workload):
            operated.dev.kube.call("DELETE", f"{PODS}/{pod['metadata']['name']}", params={"gracePeriodSeconds": "0"})
            lab.until(lambda pod=pod, one=workload: replaced(operated, pod, one))
    after = operated.run("verify", "dev")

    assert [each["code"] for each in findings] == ["pods-keep-old-network"] * 2, outcome.out
    for finding, workload in zip(findings, WORKLOADS, strict=True):
        assert f"get pods -o name -l kubevirt.io={workload}); do oc -n openshift-cnv delete $pod" in finding["message"]
    assert after.code == 0, after.out


def replaced(operated: Operated, pod: dict[str, Any], workload: str) -> bool:
    """Tell whether there is another pod for one that was deleted, and all are ready."""
    pods = operated.dev.pods(workload)
    return pod["metadata"]["uid"] not in uids(pods) and all(map(lab.ready, pods)) and len(pods) == SIZE[workload]


SIZE = {"virt-handler": 3, "virt-synchronization-controller": 2}


def uids(pods: list[dict[str, Any]]) -> set[str]:
    return {each["metadata"]["uid"] for each in pods}


def test_a_rollout_restart_makes_one_virt_handler_anew_and_no_sync_controller(operated: Operated) -> None:
    operated.up("dev")
    before = {workload: uids(operated.dev.pods(workload)) for workload in WORKLOADS}

    for path in WORKLOADS.values():
        restart = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
        operated.dev.merge(path, {"spec": {"template": {"metadata": {"annotations": restart}}}})
        lab.until(lambda path=path: "restartedAt" not in str(operated.dev.get(path)["spec"]["template"]))
    lab.until(lambda: operated.dev.settled(NETWORK) and len(operated.dev.pods()) == SIZE["virt-handler"])

    assert [len(before[each] - uids(operated.dev.pods(each))) for each in WORKLOADS] == [1, 0]
    assert operated.run("verify", "dev", "--no-peers").code == 0


@pytest.mark.parametrize("rollout", ["in-place", "rename"])
def test_a_slice_that_allocate_grew_restarts_nothing_and_verify_asks_for_no_restart(
    operated: Operated, rollout: str
) -> None:
    attachment = {"type": "macvlan", "name": NETWORK, "master": "eth1", "rollout": rollout}
    operated.change("dev", slice={"rangeStart": "10.200.5.54", "rangeEnd": "10.200.5.60"}, attachment=attachment)
    operated.up("dev")
    lab.past_pods(operated.dev)
    network = operated.dev.get(HCO)["spec"]["liveMigrationConfig"]["network"]
    before = {workload: uids(operated.dev.pods(workload)) for workload in WORKLOADS}
    cluster = yaml.safe_load((operated.folder / "Pulumi.dev.yaml").read_text())["config"]["migration-network:cluster"]
    operated.change("dev", cluster=cluster | {"nodes": 20})

    assert operated.run("allocate", "dev").code == 0
    declare(operated)
    outcome, findings = verify(operated)
    drift = operated.run("drift", "dev", "--engine", "direct")

    assert (outcome.code, findings) == (0, []), outcome.out
    assert drift.code == 0, drift.out
    assert operated.dev.get(HCO)["spec"]["liveMigrationConfig"]["network"] == network
    assert {workload: uids(operated.dev.pods(workload)) for workload in WORKLOADS} == before
    live = operated.dev.get(f"{ATTACHMENTS}/{network}")
    assert json.loads(live["spec"]["config"])["ipam"]["range_start"] != "10.200.5.54"


def test_a_slice_that_moved_is_said_of_the_pods_whose_address_it_left(operated: Operated) -> None:
    operated.up("dev")
    lab.past_pods(operated.dev)
    operated.change("dev", slice={"rangeStart": "10.200.5.12", "rangeEnd": "10.200.5.60"})
    declare(operated)

    _, findings = verify(operated)

    assert sorted((each["code"], each["value"]) for each in findings) == [
        ("address-outside", "10.200.5.10"),
        ("address-outside", "10.200.5.11"),
    ]


def test_a_node_without_a_handler_is_found(operated: Operated) -> None:
    operated.up("dev")
    labels = {"kubevirt.io/schedulable": "true"}
    taints = [{"key": "node-role.kubernetes.io/infra", "effect": "NoSchedule"}]
    node = {"metadata": {"name": "late", "labels": labels}, "spec": {"taints": taints}}
    operated.dev.kube.call("POST", "/api/v1/nodes", json=node)

    assert "Node late" in only(operated, "node-without-handler")["message"]


def test_a_full_pool_ends_the_waiting(operated: Operated) -> None:
    operated.change(
        "dev",
        slice={"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.13"},
        waivers={"slice-too-small": "to see what happens"},
    )
    declare(operated)

    assert "10.200.5.10-10.200.5.13 has none left" in only(operated, "pool-full", timeout="1800")["message"]


def leases(operated: Operated, **allocations: Any) -> None:
    operated.dev.merge(POOL, {"spec": {"allocations": allocations}})


def test_a_leaked_lease_is_found_and_one_of_a_pod_that_lives_is_none(operated: Operated) -> None:
    operated.up("dev")
    leases(operated, **{"50": {"id": "x", "podref": "openshift-cnv/virt-handler-gone", "ifname": "net1"}})

    message = only(operated, "lease-leaked", severity="warning")["message"]

    assert "10.200.5.50 of openshift-cnv/virt-handler-gone" in message


def test_a_rollout_that_has_no_address_left_is_told_before_it_comes(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.fault("pool-nearly-full", "0")
    lab.until(lambda: len(operated.dev.get(POOL)["spec"]["allocations"]) == 51)

    outcome, findings = verify(operated)

    assert [each["code"] for each in findings] == ["pool-runs-out"], outcome.out
    diagnosed.begins_with(operated, "pool-runs-out")


def test_a_lease_outside_of_the_slice_is_found(operated: Operated) -> None:
    operated.up("dev")
    leases(operated, **{"200": {"id": "x", "podref": "elsewhere/vm", "ifname": "net1"}})

    assert "10.200.5.200 is leased to elsewhere/vm" in only(operated, "lease-outside")["message"]


def test_a_pool_of_another_name_is_found(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.kube.call("DELETE", POOL)

    only(operated, "pool-missing")


def test_a_reservation_that_no_lease_has_is_found(operated: Operated) -> None:
    operated.up("dev")
    reservation = {
        "apiVersion": "whereabouts.cni.cncf.io/v1alpha1",
        "kind": "OverlappingRangeIPReservation",
        "metadata": {"name": "10.200.5.44", "namespace": "openshift-multus"},
        "spec": {"podref": "elsewhere/vm", "containerid": "x", "ifname": "net1"},
    }
    path = POOL.rpartition("/ippools")[0] + "/overlappingrangeipreservations"
    operated.dev.kube.call("POST", path, json=reservation)

    only(operated, "reservation-stray", severity="warning")


def test_a_pool_that_will_not_do_for_the_nodes_to_come_is_said(operated: Operated) -> None:
    cluster = {"context": "dev", "kubeconfig": str(operated.lab.kubeconfig), "nodes": 60}
    operated.change("dev", cluster=cluster, waivers={"slice-too-small": "the nodes come later"})
    operated.up("dev")

    only(operated, "pool-runs-out", severity="warning")


def test_a_kubevirt_that_somebody_edits_while_the_operator_sleeps_is_found(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.fault("operator-asleep")
    operated.dev.merge(KUBEVIRT, {"spec": {"configuration": {"migrations": {"network": "other"}}}})

    assert "network is other" in only(operated, "settings-not-taken", timeout="2")["message"]


def test_a_workload_that_is_not_there_is_found(operated: Operated) -> None:
    cluster = {"context": "dev", "kubeconfig": str(operated.lab.kubeconfig), "crossCluster": True}
    operated.change("dev", cluster=cluster)
    operated.up("dev")
    operated.dev.merge(HCO, {"spec": {"featureGates": {"decentralizedLiveMigration": False}}})
    lab.until(lambda: not operated.dev.pods("virt-synchronization-controller"))

    only(operated, "workload-missing", timeout="2")


def test_a_cluster_that_does_not_answer_is_one_finding(operated: Operated) -> None:
    operated.change("dev", cluster={"context": "gone", "kubeconfig": str(operated.lab.kubeconfig)})

    only(operated, "cluster-kubeconfig")


def test_an_operator_that_is_degraded_is_a_warning_when_the_pods_prove_the_network(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.fault("operator-asleep")
    live = operated.dev.get(HCO)
    for condition in live["status"]["conditions"]:
        if condition["type"] == "Degraded":
            condition |= {"status": "True", "message": "SSP is not ready"}
    operated.dev.kube.call("PUT", f"{HCO}/status", json=live)

    assert "SSP is not ready" in only(operated, "operator-degraded", severity="warning")["message"]


def test_verify_changes_nothing(operated: Operated) -> None:
    operated.up("dev")
    before = [operated.dev.get(path) for path in (HCO, KUBEVIRT, HANDLER, f"{ATTACHMENTS}/{NETWORK}", POOL)]

    verify(operated)

    assert [operated.dev.get(path) for path in (HCO, KUBEVIRT, HANDLER, f"{ATTACHMENTS}/{NETWORK}", POOL)] == before
