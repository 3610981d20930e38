"""mignet migrations on real API servers: what runs, what is stuck and why, and what runs on two clusters or on none.

No operator is at work: each test writes what KubeVirt would have written, and that alone. Objects are as KubeVirt 1.8
writes them, and as the issues that are named show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from operated import AUTHORITIES, KUBEVIRT, NAMESPACE, Cluster, Operated
from support import Outcome

from mignet.checks.migrations import CODES
from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM

CORE = "/api/v1/namespaces/shop"
VIRT = "/apis/kubevirt.io/v1/namespaces/shop"
PLANS = "/apis/forklift.konveyor.io/v1beta1/namespaces/shop/plans"
MADE = (f"{VIRT}/virtualmachineinstances", f"{VIRT}/virtualmachineinstancemigrations", f"{CORE}/pods", f"{CORE}/events")
GATE = "DecentralizedLiveMigration"
DEV, PEER = "10.200.5.12:9185", "10.200.5.62:9185"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two clusters that trust each other, and nobody at work there."""
    one = Lab(tmp_path_factory.mktemp("migrations") / "lab", crds=SLIM, operators=False)
    try:
        one.up(lambda _: None)
        yield one
    finally:
        one.down()


@pytest.fixture
def pair(lab: Lab, tmp_path: Path) -> Iterator[Operated]:
    """The same, with a project of two stacks; what a test makes goes afterwards."""
    one = Operated(lab, tmp_path / "project")
    one.create()
    one.change("dev", segment={"subnet": "10.200.5.0/24", "vlan": 100})
    one.change("dev-peer", segment={"subnet": "10.200.5.0/24", "vlan": 100})
    authorities = [trustme.CA().issue_cert(common_name=f"kubevirt.io@{name}") for name in ("dev", "dev-peer")]
    bundle = [each.cert_chain_pems[0].bytes().decode() for each in authorities]
    for cluster, address, own in ((one.dev, DEV, bundle), (one.peer, PEER, bundle[::-1])):
        kubevirt(cluster, address)
        sync_pod(cluster, address.partition(":")[0])
        trusted(cluster, "".join(own))
    yield one
    for cluster in one.clusters:
        for path in (*MADE, PLANS, f"/api/v1/namespaces/{NAMESPACE}/pods"):
            for each in cluster.get(path)["items"]:
                cluster.kube.call("DELETE", f"{path}/{each['metadata']['name']}", params={"gracePeriodSeconds": "0"})
        for path in (KUBEVIRT, AUTHORITIES):
            cluster.kube.call("DELETE", path)


def kubevirt(cluster: Cluster, address: str, *gates: str, **migrations: Any) -> None:
    name = KUBEVIRT.rpartition("/")[2]
    spec: dict[str, Any] = {"configuration": {"migrations": migrations}}
    spec["configuration"]["developerConfiguration"] = {"featureGates": list(gates or (GATE,))}
    metadata = {"name": name, "namespace": NAMESPACE}
    body = {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": metadata, "spec": spec}
    cluster.kube.call("DELETE", KUBEVIRT)
    made = cluster.kube.call("POST", KUBEVIRT.rpartition("/")[0], json=body)
    status = {"observedKubeVirtVersion": "v1.8.4", "phase": "Deployed", "synchronizationAddresses": [address]}
    cluster.kube.call("PUT", f"{KUBEVIRT}/status", json=made | {"status": status})


def trusted(cluster: Cluster, bundle: str) -> None:
    body = {"metadata": {"name": "kubevirt-ca", "namespace": NAMESPACE}, "data": {"ca-bundle": bundle}}
    cluster.kube.call("DELETE", AUTHORITIES)
    cluster.kube.call("POST", AUTHORITIES.rpartition("/")[0], json=body)


def sync_pod(cluster: Cluster, ip: str) -> None:
    status = f'[{{"name": "openshift-cnv/my-secondary-network", "interface": "migration0", "ips": ["{ip}"]}}]'
    made = pod(cluster, "sync", {"kubevirt.io": "virt-synchronization-controller"}, namespace=NAMESPACE)
    made["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/network-status": status}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/sync"
    made = cluster.kube.call("PUT", path, json=made)
    made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.kube.call("PUT", f"{path}/status", json=made)


def at(minutes: float) -> str:
    """Return the time so many minutes ago, as an API server writes it."""
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine(cluster: Cluster, name: str = "web", phase: str = "Running", **status: Any) -> dict[str, Any]:
    """Make a virtual machine of 4 GiB in a phase."""
    spec = {"domain": {"devices": {}, "memory": {"guest": "4Gi"}}}
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": name}, "spec": spec}
    node = {} if phase == "WaitingForSync" else {"nodeName": f"{cluster.name}-worker-0"}
    passed = [{"phase": phase, "phaseTransitionTimestamp": at(30)}]
    body["status"] = {"phase": phase, "phaseTransitionTimestamps": passed} | node | status
    made: dict[str, Any] = cluster.kube.call("POST", MADE[0], json=body)
    return made


def says(cluster: Cluster, live: dict[str, Any], **status: Any) -> None:
    """Let a virtual machine say more of itself."""
    path = f"{MADE[0]}/{live['metadata']['name']}"
    now = cluster.get(path)
    cluster.kube.call("PUT", path, json=now | {"status": now["status"] | status})


def migration(cluster: Cluster, phase: str, minutes: float = 0, name: str = "move", **spec: Any) -> dict[str, Any]:
    """Make a migration that has been in a phase for so many minutes."""
    vm, conditions = spec.pop("vmiName", "web"), spec.pop("conditions", [])
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "metadata": {"name": name}}
    made = cluster.kube.call("POST", MADE[1], json=body | {"spec": {"vmiName": vm} | spec})
    passed = [{"phase": phase, "phaseTransitionTimestamp": at(minutes)}]
    status = {"phase": phase, "phaseTransitionTimestamps": passed, "conditions": conditions}
    done: dict[str, Any] = cluster.kube.call("PUT", f"{MADE[1]}/{name}/status", json=made | {"status": status})
    return done


def pod(cluster: Cluster, name: str, labels: dict[str, str], *, namespace: str = "shop", node: str = "") -> Any:
    spec: dict[str, Any] = {"containers": [{"name": "compute", "image": "example.invalid/launcher"}]}
    body = {"metadata": {"name": name, "labels": labels}, "spec": spec | ({"nodeName": node} if node else {})}
    return cluster.kube.call("POST", f"/api/v1/namespaces/{namespace}/pods", json=body)


def target(cluster: Cluster, of: dict[str, Any], node: str = "", **status: Any) -> None:
    """Make the pod that a machine is to move into."""
    made = pod(cluster, "virt-launcher-web-2", {"kubevirt.io/migrationJobUID": of["metadata"]["uid"]}, node=node)
    made["status"] = {"phase": "Pending"} | status
    cluster.kube.call("PUT", f"{CORE}/pods/virt-launcher-web-2/status", json=made)


def warns(cluster: Cluster, kind: str, name: str, why: str, message: str) -> None:
    involved = {"kind": kind, "name": name, "namespace": "shop"}
    body = {"metadata": {"name": f"{name}.1"}, "involvedObject": involved, "type": "Warning", "reason": why}
    cluster.kube.call("POST", MADE[3], json=body | {"message": message, "lastTimestamp": at(1)})


def copying(cluster: Cluster, minutes: float = 2, *, address: str = "10.200.5.20", **state: Any) -> dict[str, Any]:
    """Make a migration within a cluster that copies memory since so many minutes."""
    vm = machine(cluster)
    made = migration(cluster, "Running", minutes)
    nodes = {"sourceNode": f"{cluster.name}-worker-0", "targetNode": f"{cluster.name}-worker-1"}
    known = {"migrationUid": made["metadata"]["uid"], "startTimestamp": at(minutes), "targetNodeAddress": address}
    says(cluster, vm, migrationState=nodes | known | {"mode": "PreCopy"} | state)
    return vm


def halves(pair: Operated, minutes: float, phases: tuple[str, str] = ("Synchronizing", "WaitingForSync")) -> Any:
    """Make both halves of a migration from dev to dev-peer, and return both machines and both migrations."""
    source, there = machine(pair.dev), machine(pair.peer, phase="WaitingForSync")
    sender = migration(pair.dev, phases[0], minutes, sendTo={"connectURL": PEER, "migrationID": "id-1"})
    receiver = migration(pair.peer, phases[1], minutes, receive={"migrationID": "id-1"})
    return source, there, sender, receiver


def known(pair: Operated, both: Any, **state: Any) -> dict[str, Any]:
    """Return what both machines say once their halves have found each other, and let them say it."""
    source, there, sender, receiver = both
    found = {
        "sourceState": {
            "migrationUID": sender["metadata"]["uid"],
            "virtualMachineInstanceUID": source["metadata"]["uid"],
            "node": "dev-worker-0",
            "pod": "virt-launcher-web-1",
            "syncAddress": DEV,
        },
        "targetState": {
            "migrationUID": receiver["metadata"]["uid"],
            "virtualMachineInstanceUID": there["metadata"]["uid"],
            "node": "dev-peer-worker-1",
            "nodeAddress": "10.200.5.70",
        },
    }
    for cluster, live in ((pair.dev, source), (pair.peer, there)):
        says(cluster, live, migrationState=found | state)
    return found


def look(pair: Operated, *more: str) -> Outcome:
    return pair.run("migrations", *(more or ("--all",)), "--json")


def codes(outcome: Outcome) -> set[tuple[str, str]]:
    assert outcome.out, outcome.err
    return {(each["stack"], each["code"]) for each in outcome.findings}


def copies(pair: Operated) -> None:
    copying(pair.dev)


def copies_in_post_copy(pair: Operated) -> None:
    copying(pair.dev, 90, mode="PostCopy")


def has_just_begun(pair: Operated) -> None:
    machine(pair.dev)
    made = migration(pair.dev, "Scheduling", 0.1)
    target(pair.dev, made, "dev-worker-1", containerStatuses=[waiting("ContainerCreating")])


def finds_each_other(pair: Operated) -> None:
    halves(pair, 0.5)
    waiting_only = {"type": "DecentralizedLiveMigrationFailure", "status": "True"}
    waiting_only["message"] = "waiting for incoming synchronization, unable to proceed"
    says(pair.peer, pair.peer.get(f"{MADE[0]}/web"), conditions=[waiting_only])


def copies_between(pair: Operated) -> None:
    both = halves(pair, 3, ("Running", "Running"))
    known(pair, both, startTimestamp=at(3), mode="PreCopy", targetNodeAddress="10.200.5.70")
    says(pair.peer, both[1], phase="Scheduled")


def hands_over(pair: Operated) -> None:
    """The target runs, and the source does not know yet: for 60 s that is no split brain."""
    both = halves(pair, 3, ("Running", "Running"))
    known(pair, both, startTimestamp=at(3), endTimestamp=at(0.3), completed=True)
    says(pair.peer, both[1], phase="Running")


def hands_over_in_post_copy(pair: Operated) -> None:
    both = halves(pair, 20, ("Running", "Running"))
    known(pair, both, startTimestamp=at(20), mode="PostCopy")
    says(pair.peer, both[1], phase="Running")


def has_moved(pair: Operated) -> None:
    both = halves(pair, 20, ("Succeeded", "Succeeded"))
    known(pair, both, startTimestamp=at(20), endTimestamp=at(10), completed=True)
    says(pair.dev, both[0], phase="Succeeded")
    says(pair.peer, both[1], phase="Running")


def has_failed_and_stayed(pair: Operated) -> None:
    both = halves(pair, 20, ("Failed", "Failed"))
    known(pair, both, startTimestamp=at(20), endTimestamp=at(10), completed=True, failed=True)


def moves_its_disks_away(pair: Operated) -> None:
    conditions = [
        {"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable"},
        {"type": "StorageLiveMigratable", "status": "True"},
    ]
    halves(pair, 1)
    says(pair.dev, pair.dev.get(f"{MADE[0]}/web"), conditions=conditions)


HEALTHY: tuple[Callable[[Operated], None], ...] = (
    copies,
    copies_in_post_copy,
    has_just_begun,
    finds_each_other,
    copies_between,
    hands_over,
    hands_over_in_post_copy,
    has_moved,
    has_failed_and_stayed,
    moves_its_disks_away,
)


@pytest.mark.parametrize("scenario", HEALTHY, ids=lambda each: each.__name__)
def test_what_goes_on_draws_no_finding(pair: Operated, scenario: Callable[[Operated], None]) -> None:
    scenario(pair)
    outcome = look(pair)
    assert (outcome.code, codes(outcome)) == (0, set()), outcome.out + outcome.err


def waiting(why: str) -> dict[str, Any]:
    rest = {"image": "", "imageID": "", "ready": False, "restartCount": 0}
    return {"name": "compute", "state": {"waiting": {"reason": why}}} | rest


def waits_for_a_receiver_in_vain(pair: Operated) -> None:
    """kubevirt#17317: a virt-handler has restarted, and both halves wait for ever."""
    halves(pair, 42)


def receives_from_nobody(pair: Operated) -> None:
    machine(pair.peer, phase="WaitingForSync")
    migration(pair.peer, "WaitingForSync", 12, receive={"migrationID": "id-1"})


def receives_from_one_that_failed(pair: Operated) -> None:
    halves(pair, 12, ("Failed", "WaitingForSync"))


def sends_to_its_own_cluster(pair: Operated) -> None:
    """kubevirt#18259: from one namespace to another of one cluster."""
    machine(pair.dev)
    machine(pair.dev, "there", phase="WaitingForSync")
    migration(pair.dev, "Synchronizing", 12, sendTo={"connectURL": DEV, "migrationID": "id-1"})
    migration(pair.dev, "WaitingForSync", 12, "take", vmiName="there", receive={"migrationID": "id-1"})


def dials_an_address_that_is_gone(pair: Operated) -> None:
    """kubevirt#18625: the peer's sync controller has moved to another node."""
    halves(pair, 1)
    kubevirt(pair.peer, "10.200.5.63:9185")


def is_refused(pair: Operated) -> None:
    source, *_ = halves(pair, 1)
    failure = {
        "type": "DecentralizedLiveMigrationFailure",
        "status": "True",
        "reason": "DecentralizedNotLiveMigratable",
    }
    failure["message"] = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    says(pair.dev, source, conditions=[failure])


def is_not_trusted(pair: Operated) -> None:
    is_refused(pair)
    own = pair.dev.get(AUTHORITIES)["data"]["ca-bundle"].partition("-----END CERTIFICATE-----\n")
    trusted(pair.dev, own[0] + own[1])


def is_off_on_the_other_side(pair: Operated) -> None:
    halves(pair, 12)
    kubevirt(pair.peer, PEER, "Sidecar")


def has_no_node(pair: Operated) -> None:
    """kubevirt#7780: no node is left that the target pod may run on."""
    machine(pair.dev)
    made = migration(pair.dev, "Scheduling", 1)
    message = (
        "0/3 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 3 node(s) didn't match Pod's node"
        " affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    target(pair.dev, made, conditions=[condition])


def has_no_network(pair: Operated) -> None:
    machine(pair.dev)
    target(pair.dev, migration(pair.dev, "Scheduling", 1), "dev-worker-1")
    message = (
        'Failed to create pod sandbox: error adding pod to CNI network "multus-cni-network": cannot find a'
        " network-attachment-definition (storage) in namespace (shop)"
    )
    warns(pair.dev, "Pod", "virt-launcher-web-2", "FailedCreatePodSandBox", message)


def stays_in_init(pair: Operated) -> None:
    """kubevirt#8455: the target pod stays in Init."""
    machine(pair.dev)
    made = migration(pair.dev, "Scheduling", 12)
    target(pair.dev, made, "dev-worker-1", initContainerStatuses=[waiting("PodInitializing")])


def goes_over_the_pod_network(pair: Operated) -> None:
    copying(pair.dev, address="10.128.2.14", migrationNetworkType="Pod")


def goes_elsewhere_between(pair: Operated) -> None:
    both = halves(pair, 3, ("Running", "Running"))
    known(pair, both, startTimestamp=at(3), mode="PreCopy", targetNodeAddress="10.132.2.14")


def is_queued_by_the_cluster(pair: Operated) -> None:
    kubevirt(pair.dev, DEV, parallelMigrationsPerCluster=1)
    copying(pair.dev)
    machine(pair.dev, "db", nodeName="dev-worker-2")
    migration(pair.dev, "Pending", 12, "next", vmiName="db")


def is_queued_by_its_node(pair: Operated) -> None:
    kubevirt(pair.dev, DEV, parallelOutboundMigrationsPerNode=1)
    copying(pair.dev)
    machine(pair.dev, "db")
    migration(pair.dev, "Pending", 12, "next", vmiName="db")


def cannot_migrate(pair: Operated) -> None:
    condition = {"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable"}
    condition["message"] = "cannot migrate VMI: PVC web is not shared, live migration requires ReadWriteMany"
    machine(pair.dev, conditions=[condition])
    migration(pair.dev, "Pending", 1)


def has_no_quota(pair: Operated) -> None:
    machine(pair.dev)
    migration(pair.dev, "Pending", 12, conditions=[{"type": "migrationRejectedByResourceQuota", "status": "True"}])


def stays_on_its_node(pair: Operated) -> None:
    """kubevirt#18946: a scheduler placed the target pod beside the source."""
    vm = machine(pair.dev)
    made = migration(pair.dev, "PreparingTarget", 3)
    node = {"sourceNode": "dev-worker-0", "targetNode": "dev-worker-0"}
    says(pair.dev, vm, migrationState=node | {"migrationUid": made["metadata"]["uid"]})


def is_overdue(pair: Operated) -> None:
    copying(pair.dev, 20)


def has_two_pods_already(pair: Operated) -> None:
    """kubevirt#12773: the pod of the last migration is not forgotten."""
    machine(pair.dev, activePods={"de5d7166": "dev-worker-1", "e19201bc": "dev-worker-0"})
    migration(pair.dev, "Pending", 12)


def nobody_looks(pair: Operated) -> None:
    machine(pair.dev)
    migration(pair.dev, "Scheduled", 12)
    warns(pair.dev, "VirtualMachineInstanceMigration", "move", "FailedHandOver", "Failed to set MigrationStat in VMI")


def runs_twice(pair: Operated) -> None:
    """kubevirt#17261: one side takes the migration for failed, the other for done."""
    both = halves(pair, 20, ("Failed", "Succeeded"))
    known(pair, both, startTimestamp=at(20), endTimestamp=at(10), completed=True)
    says(pair.peer, both[1], phase="Running")


def runs_nowhere(pair: Operated) -> None:
    both = halves(pair, 20, ("Succeeded", "Failed"))
    known(pair, both, startTimestamp=at(20), endTimestamp=at(10), completed=True)
    says(pair.dev, both[0], phase="Succeeded")


def is_gone_where_it_came_from(pair: Operated) -> None:
    both = halves(pair, 1, ("Synchronizing", "Scheduling"))
    known(pair, both)
    pair.dev.kube.call("DELETE", f"{MADE[1]}/move")
    pair.dev.kube.call("DELETE", f"{MADE[0]}/web")


STUCK: tuple[tuple[Callable[[Operated], None], set[tuple[str, str]], str], ...] = (
    (
        waits_for_a_receiver_in_vain,
        {("dev", "migration-waits-for-sync"), ("dev-peer", "migration-waits-for-sync")},
        "is Synchronizing for 42 min, which has no bound: its receiver VirtualMachineInstanceMigration shop/move on"
        " dev-peer is WaitingForSync",
    ),
    (
        receives_from_nobody,
        {("dev-peer", "migration-waits-for-sync")},
        "no cluster of this fleet (dev-peer, dev) has a sender with migrationID id-1",
    ),
    (
        receives_from_one_that_failed,
        {("dev-peer", "migration-waits-for-sync")},
        "shop/move on dev is Failed, so that nobody sends",
    ),
    (sends_to_its_own_cluster, {("dev", "migration-waits-for-sync")}, "is on this same cluster"),
    (
        dials_an_address_that_is_gone,
        {("dev", "migration-sync-address")},
        "10.200.5.62:9185 is what it dials, and dev-peer publishes 10.200.5.63:9185",
    ),
    (is_refused, {("dev", "migration-sync-failed")}, "could not reach its other half: tls: failed to verify"),
    (
        is_not_trusted,
        {("dev", "migration-sync-failed"), ("dev", "peer-untrusted")},
        "does not hold the current authority of dev-peer",
    ),
    (
        is_off_on_the_other_side,
        {("dev", "migration-waits-for-sync"), ("dev-peer", "migration-waits-for-sync"), ("dev-peer", "peer-gate")},
        "does not list the feature gate DecentralizedLiveMigration",
    ),
    (
        has_no_node,
        {("dev", "migration-target-pending")},
        "has no node: 0/3 nodes are available: 1 node(s)",
    ),
    (
        has_no_network,
        {("dev", "migration-target-pending")},
        "does not start on node dev-worker-1: Failed to create pod sandbox",
    ),
    (stays_in_init, {("dev", "migration-target-pending")}, "does not start for 12 min: compute is PodInitializing"),
    (
        goes_over_the_pod_network,
        {("dev", "migration-address-outside")},
        "10.128.2.14 is where it goes: the pod network, outside of 10.200.5.10-10.200.5.60",
    ),
    (
        goes_elsewhere_between,
        {("dev", "migration-address-outside"), ("dev-peer", "migration-address-outside")},
        "10.132.2.14 is where it goes: another network, outside of 10.200.5.61-10.200.5.110",
    ),
    (
        is_queued_by_the_cluster,
        {("dev", "migration-queued")},
        "1 of at most 1 migrations run on this cluster (parallelMigrationsPerCluster)",
    ),
    (
        is_queued_by_its_node,
        {("dev", "migration-queued")},
        "1 of at most 1 migrations run away from node dev-worker-0 (parallelOutboundMigrationsPerNode)",
    ),
    (
        cannot_migrate,
        {("dev", "migration-not-migratable")},
        "cannot migrate VMI: PVC web is not shared",
    ),
    (has_no_quota, {("dev", "migration-quota")}, "the ResourceQuota of namespace shop has no room for its target pod"),
    (stays_on_its_node, {("dev", "migration-same-node")}, "from node dev-worker-0 to that same node"),
    (is_overdue, {("dev", "migration-overdue")}, "after its bound: it is aborted at"),
    (has_two_pods_already, {("dev", "migration-stalled")}, "its machine has 2 pods already (status.activePods)"),
    (nobody_looks, {("dev", "migration-stalled")}, "is Scheduled for 12 min: Failed to set MigrationStat in VMI"),
    (
        runs_twice,
        {("dev", "vm-runs-twice"), ("dev-peer", "vm-runs-twice")},
        "dev: Running on node dev-worker-0 since",
    ),
    (
        runs_nowhere,
        {("dev-peer", "vm-runs-nowhere")},
        "has left the cluster of dev and does not run here: dev: Succeeded on node dev-worker-0, Virtual",
    ),
    (
        is_gone_where_it_came_from,
        {("dev-peer", "vm-runs-nowhere")},
        "not run here: dev: gone; dev-peer: WaitingForSync",
    ),
)


@pytest.mark.parametrize(("scenario", "expected", "words"), STUCK, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_stuck_says_why(
    pair: Operated, scenario: Callable[[Operated], None], expected: set[tuple[str, str]], words: str
) -> None:
    scenario(pair)
    outcome = look(pair)
    assert (outcome.code, codes(outcome)) == (int(expected != {("dev", "migration-queued")}), expected), outcome.out
    assert any(words in each["message"] for each in outcome.findings), "\n".join(e["message"] for e in outcome.findings)
    assert all(each["remedy"] for each in outcome.findings)


def test_every_code_has_a_scenario_here() -> None:
    told = {code for _, expected, _ in STUCK for _, code in expected}
    assert told >= CODES


def cancel(cluster: Cluster, name: str = "move") -> None:
    cluster.kube.call("DELETE", f"{MADE[1]}/{name}")


def cancel_both(pair: Operated) -> None:
    for each in pair.clusters:
        cancel(each)


def cancel_here(pair: Operated) -> None:
    cancel(pair.dev)


def trust_each_other(pair: Operated) -> None:
    """Mend it: then KubeVirt takes the condition away."""
    source = pair.dev.get(f"{MADE[0]}/web")
    says(pair.dev, source, conditions=[])


def start_the_pod(pair: Operated) -> None:
    path = f"{CORE}/pods/virt-launcher-web-2"
    live = pair.dev.get(path)
    pair.dev.kube.call("PUT", f"{path}/status", json=live | {"status": {"phase": "Running"}})
    pair.dev.kube.call("DELETE", f"{MADE[3]}/virt-launcher-web-2.1")
    path = f"{MADE[1]}/move"
    live = pair.dev.get(path)
    live["status"] |= {"phase": "Scheduled", "phaseTransitionTimestamps": []}
    pair.dev.kube.call("PUT", f"{path}/status", json=live)


def one_ends(pair: Operated) -> None:
    path = f"{MADE[1]}/move"
    live = pair.dev.get(path)
    live["status"]["phase"] = "Succeeded"
    pair.dev.kube.call("PUT", f"{path}/status", json=live)
    path = f"{MADE[1]}/next"
    live = pair.dev.get(path)
    live["status"] |= {"phase": "Scheduling", "phaseTransitionTimestamps": []}
    pair.dev.kube.call("PUT", f"{path}/status", json=live)


def raise_the_quota(pair: Operated) -> None:
    path = f"{MADE[1]}/move"
    live = pair.dev.get(path)
    live["status"] |= {"phase": "Scheduling", "phaseTransitionTimestamps": [], "conditions": []}
    pair.dev.kube.call("PUT", f"{path}/status", json=live)


WAYS_OUT: dict[Callable[[Operated], None], Callable[[Operated], None]] = {
    waits_for_a_receiver_in_vain: cancel_both,
    dials_an_address_that_is_gone: cancel_both,
    is_refused: trust_each_other,
    has_no_node: start_the_pod,
    has_no_network: start_the_pod,
    goes_over_the_pod_network: cancel_here,
    is_queued_by_its_node: one_ends,
    cannot_migrate: cancel_here,
    has_no_quota: raise_the_quota,
    stays_on_its_node: cancel_here,
    is_overdue: cancel_here,
    has_two_pods_already: cancel_here,
}


@pytest.mark.parametrize(("scenario", "way_out"), WAYS_OUT.items(), ids=lambda each: each.__name__)
def test_the_way_out_of_what_is_stuck_clears_it(
    pair: Operated, scenario: Callable[[Operated], None], way_out: Callable[[Operated], None]
) -> None:
    scenario(pair)
    assert codes(look(pair))
    way_out(pair)
    outcome = look(pair)
    assert (outcome.code, codes(outcome)) == (0, set()), outcome.out


def test_every_code_has_a_way_out_that_is_tried() -> None:
    tried = {code for scenario, expected, _ in STUCK if scenario in WAYS_OUT for _, code in expected}
    assert tried >= CODES


def plan(cluster: Cluster, kind: str = "live", *, executing: str = "True") -> None:
    """Make a plan of the migration toolkit that moves two machines, one of them done, as its controller leaves it."""
    spec = {"type": kind, "targetNamespace": "shop", "vms": [{"name": "web"}, {"name": "db"}]}
    spec |= {"map": {"network": {}, "storage": {}}, "provider": {"source": {}, "destination": {}}}
    body = {"apiVersion": "forklift.konveyor.io/v1beta1", "kind": "Plan", "metadata": {"name": "weekend"}, "spec": spec}
    made = cluster.kube.call("POST", PLANS, json=body)
    machines = [
        {"name": "web", "namespace": "shop", "phase": "LiveMigration", "pipeline": [], "started": at(5)},
        {"name": "db", "namespace": "shop", "phase": "Completed", "pipeline": [], "completed": at(1)},
    ]
    condition = {"type": "Executing", "status": executing, "category": "Advisory", "lastTransitionTime": at(5)}
    status = {"conditions": [condition], "migration": {"started": at(5), "vms": machines}}
    cluster.kube.call("PUT", f"{PLANS}/weekend/status", json=made | {"status": status})


def test_what_runs_is_said_with_where_it_goes_and_until_when(pair: Operated) -> None:
    kubevirt(pair.dev, DEV, completionTimeoutPerGiB=150, progressTimeout=100)
    copying(pair.dev)
    plan(pair.dev)

    one = pair.run("migrations", "dev")
    document = look(pair, "dev").document

    assert one.code == 0, one.err
    lines = one.out.splitlines()
    assert lines[:2] == ["dev: 1 migration runs", "    shop/web  dev-worker-0 -> dev-worker-1  (move)"]
    assert re.fullmatch(r" {8}Running since \S+Z \(2 min\), pre-copy, to 10.200.5.20", lines[2])
    assert re.fullmatch(r" {8}is expected to end from \S+Z to \S+Z", lines[3])
    assert re.fullmatch(
        r" {8}is aborted at \S+Z \(completionTimeoutPerGiB 150 s x 5 GB\), or earlier after 100 s without progress",
        lines[4],
    )
    assert re.fullmatch(r"dev: Forklift plan shop/weekend runs since \S+Z: shop/web", lines[5])
    (row,) = document["migrations"]
    assert row["expectedEnd"]["soon"] < row["expectedEnd"]["late"] < row["latestEnd"]
    begun = datetime.fromisoformat(row["started"])
    assert datetime.fromisoformat(row["latestEnd"]) == begun + timedelta(seconds=750)
    assert (row["way"], row["peer"], row["mode"]) == ("within", None, "PreCopy")
    assert [each["name"] for each in document["plans"]] == ["shop/weekend"]


def test_the_two_halves_of_one_migration_name_each_other(pair: Operated) -> None:
    copies_between(pair)

    both = look(pair).document["migrations"]
    table = pair.run("migrations", "--all").out

    assert [(each["stack"], each["way"], each["peer"]) for each in both] == [
        ("dev", "sends", "dev-peer"),
        ("dev-peer", "receives", "dev"),
    ]
    assert {each["sharedId"] for each in both} == {"id-1"}
    assert "shop/web  dev-worker-0 of dev -> cluster dev-peer, node dev-peer-worker-1  (move)" in table
    assert "shop/web  cluster dev, node dev-worker-0 -> dev-peer-worker-1 of dev-peer  (move)" in table


@pytest.mark.parametrize(
    ("limits", "mode", "words", "bounds"),
    [
        ({"allowPostCopy": True}, "PreCopy", "goes on in post-copy at", 1),
        ({"allowWorkloadDisruption": True}, "PreCopy", "is paused at", 2),
        ({"allowWorkloadDisruption": True}, "Paused", "is aborted at", 2),
        ({"completionTimeoutPerGiB": 0}, "PreCopy", "has no bound that is known (completionTimeoutPerGiB is 0)", None),
        ({}, "PostCopy", "has no bound in post-copy", None),
    ],
)
def test_what_becomes_of_it_at_its_bound_is_what_kubevirt_does(
    pair: Operated, limits: dict[str, Any], mode: str, words: str, bounds: int | None
) -> None:
    copying(pair.dev, mode=mode, migrationConfiguration={"completionTimeoutPerGiB": 100, "progressTimeout": 0} | limits)

    (row,) = look(pair, "dev").document["migrations"]

    assert row["bound"].startswith(words)
    bound = None
    if bounds:
        bound = (datetime.fromisoformat(row["started"]) + timedelta(seconds=500 * bounds)).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )
    assert row["latestEnd"] == bound


def test_disks_that_are_copied_count(pair: Operated) -> None:
    claim = {"capacity": {"storage": "20Gi"}, "requests": {"storage": "10Gi"}}
    vm = copying(pair.dev)
    says(pair.dev, vm, migratedVolumes=[{"volumeName": "root", "sourcePVCInfo": claim}])

    (row,) = look(pair, "dev").document["migrations"]

    # The lesser of the two, and 4 GiB of memory: 15.03 GB.
    assert "150 s x 16 GB" in row["bound"]


def test_of_one_cluster_the_other_half_is_not_said_to_be_missing(pair: Operated) -> None:
    waits_for_a_receiver_in_vain(pair)

    outcome = look(pair, "dev")

    assert codes(outcome) == {("dev", "migration-waits-for-sync")}
    assert "no other was looked at (it dials 10.200.5.62:9185). Look at all: mignet migrations --all" in outcome.out


def test_a_cluster_that_does_not_answer_is_no_proof_that_the_other_half_is_missing(pair: Operated) -> None:
    waits_for_a_receiver_in_vain(pair)
    content = pair.folder / "Pulumi.dev-peer.yaml"
    content.write_text(content.read_text().replace("context: dev-peer", "context: nowhere"))

    outcome = look(pair)

    assert ("dev", "migration-waits-for-sync") in codes(outcome)
    said = next(each["message"] for each in outcome.findings if each["code"] == "migration-waits-for-sync")
    assert "its receiver was not found, and dev-peer: " in said


def test_plans_that_are_not_live_or_do_not_run_are_not_counted(pair: Operated) -> None:
    plan(pair.dev, "cold")
    plan(pair.peer, executing="False")

    assert look(pair).document["plans"] == []


def test_a_diagnosis_says_why_a_migration_is_stuck(pair: Operated) -> None:
    has_no_node(pair)

    outcome = pair.run("diagnose", "dev", "--no-peers", "-o", "json")

    assert "migration-target-pending" in {each["code"] for each in outcome.findings}, outcome.out + outcome.err
