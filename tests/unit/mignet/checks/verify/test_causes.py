"""Why pods do not come: each cause is found where it stands, and said in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import healthy
import pytest
from healthy import find, unready, warning

from config.files.project_files import Project
from config.finding import Finding
from mignet.checks.verify.causes import CAUSES, unfinished
from mignet.checks.verify.rollout import counts, pending
from mignet.checks.verify.sight import Sight
from mignet.fleet.results import Checked
from mignet.kube.network.sandbox_errors import panic, reason
from mignet.kube.snapshot import judge
from mignet.outputs import RENDER

STACK = healthy.stack()
MADE = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)
NO_NETWORK = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create pod network sandbox"
    " k8s_virt-handler-1_openshift-cnv(uid): error adding pod openshift-cnv_virt-handler-1 to CNI network"
    ' "multus-cni-network": plugin type="multus-shim" name="multus-cni-network" failed (add): CNI request'
    ' failed with status 400: \'ContainerID:"ab" ERRORED: error configuring pod [openshift-cnv/virt-handler-1]'
    " networking: [openshift-cnv/virt-handler-1/uid:migration]: error adding container to network"
    ' "migration": Link not found\''
)
FULL = (
    'ERRORED: error configuring pod networking: error adding container to network "migration": error at storage engine:'
    " Could not allocate IP in range: ip: 10.200.5.10 / - 10.200.5.60 / range: 10.200.5.0/24 / excludeRanges: []"
)


def sight(objects: list[dict[str, Any]], **more: Any) -> Sight:
    return healthy.sight(STACK, objects, now=datetime(2026, 1, 1, 10, 1, 0, tzinfo=UTC), stuck_after=30, **more)


def cause(objects: list[dict[str, Any]]) -> Finding:
    (finding,) = judge(CAUSES, sight(objects)).findings
    return finding


def test_the_error_of_a_sandbox_that_stays_is_the_plugins_own() -> None:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-handler-1")
    unready(pod)
    objects += [warning(pod, "FailedCreatePodSandBox", NO_NETWORK), warning(pod, "BackOff", "later", time="2026-01-02")]

    assert str(cause(objects)) == (
        'dev: Pod openshift-cnv/virt-handler-1 on node node-1 gets no network: "migration": Link not found. Fix what'
        " it says; kubelet tries again"
    )


def test_an_error_of_a_pod_that_has_just_begun_is_none_yet() -> None:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-handler-1")
    unready(pod)
    pod["metadata"]["creationTimestamp"] = "2026-01-01T10:00:45Z"
    objects.append(warning(pod, "FailedCreatePodSandBox", NO_NETWORK))

    assert judge(CAUSES, sight(objects)).findings == ()


def test_an_event_of_a_pod_that_had_the_name_before_counts_for_nothing() -> None:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-handler-1")
    unready(pod)
    event = warning(pod, "FailedCreatePodSandBox", NO_NETWORK)
    event["involvedObject"]["uid"] = "another"
    objects.append(event)

    assert judge(CAUSES, sight(objects)).findings == ()


def test_what_else_stops_a_pod_is_said_in_its_own_words() -> None:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-synchronization-controller-3")
    unready(pod)
    objects.append(warning(pod, "FailedScheduling", "0/4 nodes are available"))

    finding = cause(objects)

    assert (finding.code, "does not start: 0/4 nodes are available" in str(finding)) == ("pod-not-starting", True)


def test_a_full_pool_is_found_at_once() -> None:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-handler-1")
    unready(pod)
    pod["metadata"]["creationTimestamp"] = "2026-01-01T10:00:59Z"
    allocations = find(objects, "IPPool")["spec"]["allocations"]
    allocations |= {str(offset): {"id": "x", "podref": "elsewhere/vm"} for offset in range(10, 61)}
    objects.append(warning(pod, "FailedCreatePodSandBox", FULL))

    finding = cause(objects)

    assert finding.code == "pool-full"
    assert "the slice 10.200.5.10-10.200.5.60 has none left" in finding.rule


def test_the_panic_of_a_virt_handler_is_told_by_its_last_words() -> None:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-handler-1")
    last = {"exitCode": 2, "message": '{"level":"info"}\npanic: no ip address on migration0\n\ngoroutine 1 [running]:'}
    status = {
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": last},
    }
    unready(pod, containerStatuses=[status])

    finding = cause(objects)

    assert finding.code == "pod-crashes"
    assert finding.rule == "ends again and again: panic: no ip address on migration0"


def test_a_node_that_refused_the_uplink_says_why() -> None:
    stack = healthy.stack(
        uplink={"vlan": {"baseInterface": "eth1", "id": 100}},
        attachment=healthy.VALUES["attachment"] | {"master": "eth1.100"},
        segment=healthy.VALUES["segment"] | {"vlan": 100},
    )
    objects = healthy.cluster(stack)
    (policy,) = stack.policies
    failing = {"type": "Failing", "status": "True", "message": "… NmstateError: InvalidArgument: eth1 not found"}
    objects += [
        {
            "apiVersion": "nmstate.io/v1",
            "kind": "NodeNetworkConfigurationPolicy",
            "metadata": {"name": policy.name, "generation": 1},
            "spec": policy.spec,
        },
        {
            "apiVersion": "nmstate.io/v1beta1",
            "kind": "NodeNetworkConfigurationEnactment",
            "metadata": {
                "name": f"node-1.{policy.name}",
                "labels": {"nmstate.io/policy": policy.name, "nmstate.io/node": "node-1"},
            },
            "status": {"policyGeneration": 1, "conditions": [failing]},
        },
    ]

    (finding,) = judge(CAUSES, healthy.sight(stack, objects)).findings

    assert finding.code == "uplink-failing"
    assert finding.key.endswith("on node node-1")
    assert finding.rule == "fails: InvalidArgument: eth1 not found"


def behind(objects: list[dict[str, Any]]) -> None:
    find(objects, "HyperConverged")["metadata"]["generation"] = 4
    find(objects, "KubeVirt")["spec"]["configuration"]["migrations"]["network"] = "old"


def kubevirt_behind(objects: list[dict[str, Any]]) -> None:
    find(objects, "KubeVirt")["metadata"]["generation"] = 6


def no_kubevirt(objects: list[dict[str, Any]]) -> None:
    objects.remove(find(objects, "KubeVirt"))


def other_network(objects: list[dict[str, Any]]) -> None:
    find(objects, "KubeVirt")["spec"]["configuration"]["migrations"]["network"] = "old"


def not_annotated(objects: list[dict[str, Any]]) -> None:
    find(objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"].clear()


def no_daemon_set(objects: list[dict[str, Any]]) -> None:
    objects.remove(find(objects, "DaemonSet"))


def half_way(objects: list[dict[str, Any]]) -> None:
    find(objects, "DaemonSet")["status"]["updatedNumberScheduled"] = 2
    find(objects, "Pod", "virt-handler-1")["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] = "old@migration0"


def one_ends(objects: list[dict[str, Any]]) -> None:
    find(objects, "Pod", "virt-handler-1")["metadata"]["deletionTimestamp"] = healthy.LATER


def uncounted(objects: list[dict[str, Any]]) -> None:
    find(objects, "DaemonSet")["metadata"]["generation"] = 3


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (behind, "operator-asleep", "is at generation 4, and the HyperConverged operator has only looked at 3"),
        (kubevirt_behind, "operator-asleep", "virt-operator has only looked at 5"),
        (no_kubevirt, "operator-asleep", "KubeVirt in openshift-cnv does not exist"),
        (other_network, "settings-not-taken", "network is old, not migration"),
        (not_annotated, "workload-not-annotated", "does not ask for migration@migration0"),
        (no_daemon_set, "workload-missing", "DaemonSet openshift-cnv/virt-handler does not exist"),
        (half_way, "rollout-unfinished", "has 2 of 3 pods on migration"),
        (one_ends, "rollout-unfinished", "has 2 of 3 pods on migration"),
        (uncounted, "rollout-unfinished", "has 3 of 3 pods on migration"),
    ],
)
def test_a_step_that_is_not_done_is_waited_for_and_said_in_the_end(change: Any, code: str, words: str) -> None:
    objects = healthy.cluster(STACK)
    change(objects)

    (finding,) = judge((unfinished,), sight(objects)).findings

    assert finding.code == code
    assert words in str(finding)


def test_conditions_of_an_older_generation_are_not_quoted() -> None:
    objects = healthy.cluster(STACK)
    half_way(objects)
    find(objects, "HyperConverged")["status"]["conditions"] = [
        {"type": "Progressing", "status": "True", "observedGeneration": 2, "message": "an old story"},
        {"type": "Degraded", "status": "True", "observedGeneration": 3, "message": "virt-handler is not ready"},
    ]

    (finding,) = judge((unfinished,), sight(objects)).findings

    assert finding.rule == "has 2 of 3 pods on migration; the HyperConverged says: virt-handler is not ready"


def test_a_cluster_without_sync_controllers_is_rolled_out_unless_the_stack_wants_them() -> None:
    objects = [each for each in healthy.cluster(STACK) if each["kind"] != "Deployment"]
    objects = [each for each in objects if not each["metadata"]["name"].startswith("virt-sync")]
    across = healthy.stack(cluster={"context": "dev", "crossCluster": True})

    assert pending(healthy.sight(STACK, objects)) == []
    assert [step.code for step in pending(healthy.sight(across, objects))] == ["workload-missing"]


def test_progress_counts_the_pods_on_the_network() -> None:
    objects = healthy.cluster(STACK)
    half_way(objects)

    assert counts(sight(objects)) == "virt-handler 2 of 3, virt-synchronization-controller 2 of 2"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (NO_NETWORK, '"migration": Link not found'),
        ("0/4 nodes are available", "0/4 nodes are available"),
        ("x" * 400, "…" + "x" * 300),
    ],
)
def test_the_reason_is_what_an_event_ends_in(message: str, words: str) -> None:
    assert reason(message) == words


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("start\npanic: no address\ngoroutine 1", "panic: no address"),
        ("start\nerror: it broke\nbye", "error: it broke"),
        ("bye", "bye"),
        ("", ""),
    ],
)
def test_the_last_words_are_the_line_that_says_why(message: str, words: str) -> None:
    assert panic(message) == words


def test_a_nic_that_is_missing_on_1200_nodes_is_one_line(tmp_path: Path) -> None:
    objects = healthy.cluster(STACK, nodes=1200)
    for number in range(1200):
        pod = find(objects, "Pod", f"virt-handler-{number}")
        unready(pod)
        pod["metadata"]["creationTimestamp"] = healthy.MADE
        objects.append(warning(pod, "FailedCreatePodSandBox", NO_NETWORK.replace("handler-1", f"handler-{number}")))
    judged = judge(CAUSES, sight(objects))
    assert len(judged.findings) == 1200
    (tmp_path / "Pulumi.yaml").write_text("name: migration-network\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    checked = Checked(Project.find(tmp_path), ("dev",), judged.findings, ())
    for output in ("table", "markdown", "github"):
        text = RENDER[output](checked, tmp_path)
        assert "and 1199 more (on node-1, " in text
        assert len(text) < 1000, output
    assert checked.summary == "1 stack: 1 error"
    assert len(json.loads(RENDER["json"](checked, tmp_path))["findings"]) == 1200
