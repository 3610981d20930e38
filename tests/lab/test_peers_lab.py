"""Peers on real API servers: what is wrong between two clusters of the lab comes out, that alone, and goes again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from operated import AUTHORITIES, HCO, NAMESPACE, Objects, Operated, renewed, until

from config.files.project_files import Project
from mignet.checks.peers import CODES, Peers, compare, look_at_all
from mignet.checks.peers.certificates import certificates
from mignet.fleet.loading import load
from mignet.fleet.run_context import Course
from mignet.lab.lab import Lab
from mignet.lab.operators.kubevirt.ca_bundles import issue

NETWORK = "/apis/operator.openshift.io/v1/networks/cluster"
INSTANCES = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
MAILBOX = AUTHORITIES.replace("kubevirt-ca", "kubevirt-external-ca")


@pytest.fixture(scope="module")
def both(operated_lab: tuple[Lab, list[Objects]], tmp_path_factory: pytest.TempPathFactory) -> Operated:
    """Both clusters, up on one segment; every test leaves them as it found them."""
    one = renewed(*operated_lab, tmp_path_factory.mktemp("peers") / "project")
    one.up()
    return one


@pytest.fixture
def pair(both: Operated) -> Iterator[Operated]:
    """The same, ready before and after."""
    files = {path: path.read_text() for path in both.folder.glob("Pulumi.*.yaml")}
    until(lambda: look(both).findings == (), "ready")
    yield both
    for path, text in files.items():
        path.write_text(text)
    both.dev.heal()
    until(lambda: look(both).findings == () and look(both).ready == 2, "ready again")


def look(of: Operated) -> Peers:
    project = Project.find(of.folder)
    return compare(asyncio.run(look_at_all(project, load(project, project.stack_names()), Course())))


def found(of: Operated) -> set[str]:
    return {finding.code for finding in look(of).findings}


FAULTS = {
    "authority-missing": ("peer-authority-missing", 0),
    "authority-expired": ("peer-authority-expired", 0),
    "authority-unexchanged": ("peer-untrusted", 0),
    "authority-renewed": ("peer-untrusted", 0),
    "sync-stale": ("peer-sync-stale", 0),
    "upgrade-running": ("peer-upgrading", 0),
    "gate-missing": ("peer-gate", 0),
    "sync-on-pod-network": ("peer-sync-outside", 0),
    "control-plane-without-nic": ("peer-sync-missing", 0),
    "lease-of-peer": ("peer-lease-twice", 0),
    "version-next": ("peer-version-differs", 2),
    "toolkit-off": ("peer-toolkit-flag", 2),
}

FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "peer-stays": ("cluster", {"crossCluster": False}),
    "peer-kubevirt": ("cluster", {"namespace": "kubevirt-hyperconverged"}),
    "peer-slices": ("slice", {"rangeStart": "10.200.5.55"}),
    "peer-segment": ("segment", {"subnet": "10.200.4.0/23", "vlan": 2001, "mtu": 9000}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_between_two_clusters_comes_out_alone(pair: Operated, fault: str) -> None:
    code, ready = FAULTS[fault]
    pair.dev.fault(fault)
    until(lambda: found(pair) == {code} and look(pair).ready == ready, code)


@pytest.mark.parametrize("code", FILES)
def test_a_file_that_keeps_two_clusters_apart_comes_out_alone(pair: Operated, code: str) -> None:
    section, change = FILES[code]
    path = pair.folder / "Pulumi.dev-peer.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"][f"migration-network:{section}"] = (
        content["config"].get(f"migration-network:{section}", {}) | change
    )
    path.write_text(yaml.safe_dump(content))
    assert found(pair) == {code}
    assert look(pair).ready == 0


def test_limits_that_differ_come_out_alone(pair: Operated) -> None:
    pair.peer.merge(HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 300}}})
    until(lambda: found(pair) == {"peer-limits-differ"})
    assert look(pair).ready == 2
    pair.peer.merge(HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 150}}})


def test_a_machine_that_runs_on_both_or_could_not_leave_comes_out_alone(pair: Operated) -> None:
    firmware = {"uuid": "3c1f6a4e-2a55-4b1b-9d0f-0c8f6d1f7a11"}
    spec = {"domain": {"devices": {}, "firmware": firmware}}
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "both"}}
    for each in pair.clusters:
        each.kube.call("POST", INSTANCES, json=machine | {"spec": spec})
    until(lambda: found(pair) == {"vm-runs-twice"} and look(pair).ready == 0)
    pair.peer.kube.call("DELETE", f"{INSTANCES}/both")
    until(lambda: look(pair).findings == ())
    live = pair.dev.get(f"{INSTANCES}/both")
    condition = {"type": "DecentralizedLiveMigrationFailure", "status": "True", "message": "no route to host"}
    live["status"]["conditions"] = [*live["status"].get("conditions", []), condition]
    pair.dev.kube.call("PUT", f"{INSTANCES}/both", json=live)
    until(lambda: found(pair) == {"vm-stays-behind"} and look(pair).ready == 2)
    pair.dev.kube.call("DELETE", f"{INSTANCES}/both")


def test_a_machine_that_left_and_did_not_arrive_comes_out_alone(pair: Operated) -> None:
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "gone"}}
    made = []
    for each, phase in ((pair.dev, "Running"), (pair.peer, "WaitingForSync")):
        status = {"phase": phase, "migrationState": {}}
        body = machine | {"spec": {"domain": {"devices": {}}}, "status": status}
        made.append(each.kube.call("POST", INSTANCES, json=body))
    here, there = (each["metadata"]["uid"] for each in made)
    sides = {"sourceState": {"virtualMachineInstanceUID": here}, "targetState": {"virtualMachineInstanceUID": there}}
    ended = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for each, phase in ((pair.dev, "Succeeded"), (pair.peer, "WaitingForSync")):
        live = each.get(f"{INSTANCES}/gone")
        state = sides | {"completed": True, "endTimestamp": ended}
        live["status"] = live["status"] | {"phase": phase, "migrationState": state}
        each.kube.call("PUT", f"{INSTANCES}/gone", json=live)
    until(lambda: found(pair) == {"vm-runs-nowhere"} and look(pair).ready == 0)
    # The way out: what is open on the other side goes, and it is started here again.
    pair.peer.kube.call("DELETE", f"{INSTANCES}/gone")
    until(lambda: look(pair).findings == ())
    pair.dev.kube.call("DELETE", f"{INSTANCES}/gone")


def test_a_policy_that_keeps_two_clusters_apart_comes_out_alone_and_the_one_that_is_exported_helps(
    pair: Operated,
) -> None:
    policies = f"/apis/k8s.cni.cncf.io/v1beta1/namespaces/{NAMESPACE}/multi-networkpolicies"
    body = yaml.safe_load(pair.run("export", "multinetworkpolicy", "dev").out)
    alone = body | {"metadata": body["metadata"] | {"name": "alone"}}
    own = [{"ipBlock": {"cidr": "10.200.5.0/26"}}]
    alone["spec"] = {"podSelector": {}, "ingress": [{"from": own}], "egress": [{"to": own}]}
    pair.dev.merge(NETWORK, {"spec": {"useMultiNetworkPolicy": True}})
    try:
        pair.dev.kube.call("POST", policies, json=alone)
        told = [str(each) for each in look(pair).findings]
        assert found(pair) == {"peer-policy-cuts"}, told
        assert any("virt-synchronization-controller" in each and "TCP 9185" in each for each in told)
        assert any("of dev-peer, TCP 32768-60999: migrations fail there" in each for each in told)
        assert all("10.200.5.64-10.200.5.110 of dev-peer" in each for each in told)
        assert look(pair).ready == 0
        pair.dev.kube.call("POST", policies, json=body)
        assert look(pair).findings == ()
    finally:
        pair.dev.kube.call("DELETE", policies)
        pair.dev.merge(NETWORK, {"spec": {"useMultiNetworkPolicy": None}})


ELSEWHERE = {"cluster-shared", "peer-cpu", "peer-proxied", "peer-version-apart"}
"""The first in tests/lab/test_aim.py: two stacks of one cluster are no pair. The others in
tests/unit/mignet/checks/test_peers.py alone: the lab's nodes have no CPU models, and its KubeVirt no such version."""


def test_every_code_has_a_scenario_here() -> None:
    here = {"peer-policy-cuts", "peer-limits-differ", "vm-runs-nowhere", "vm-runs-twice", "vm-stays-behind"}
    assert {code for code, _ in FAULTS.values()} | set(FILES) | here | ELSEWHERE == CODES


def test_healthy_clusters_are_ready_for_each_other_and_the_command_ends_with_0(pair: Operated) -> None:
    outcome = pair.run("peers")
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.out == (
        "source    target\n          dev  dev-peer\ndev       ·    ready\ndev-peer  ready  ·\n"
        "2 of 2 paths are ready, as the clusters' objects say; nothing was measured between the nodes (mignet checkup"
        " does)\n2 stacks: no problems\n"
    )


def test_a_way_that_is_not_ready_has_its_reason_for_people_and_machines(pair: Operated) -> None:
    pair.dev.fault("gate-missing")
    until(lambda: found(pair) == {"peer-gate"})
    outcome = pair.run("peers")
    assert outcome.code == 1
    assert "dev       ·    no\ndev-peer  no   ·\n" in outcome.out
    told = pair.run("peers", "--json").document
    assert told["ready"] == 0
    assert {(path["source"], path["target"], path["code"]) for path in told["paths"]} == {
        ("dev", "dev-peer", "peer-gate"),
        ("dev-peer", "dev", "peer-gate"),
    }


def test_the_mailbox_of_authorities_is_neither_read_nor_written(pair: Operated) -> None:
    stranger = issue()
    metadata = {"name": "kubevirt-external-ca", "namespace": NAMESPACE}
    body = {"metadata": metadata, "data": {"ca-bundle": stranger}}
    pair.dev.kube.call("POST", MAILBOX.rpartition("/")[0], json=body)
    before = pair.dev.get(MAILBOX)
    assert pair.run("peers").code == 0
    pair.up()
    assert pair.dev.get(MAILBOX) == before
    pair.dev.kube.call("DELETE", MAILBOX)


def test_an_authority_lives_two_days_and_its_successor_reaches_the_peer(pair: Operated) -> None:
    own, of_peer = (list(bundle(pair, cluster.name).items()) for cluster in pair.clusters)
    assert len(own) == len(of_peer) == 3, "two of its own, and the peer's current one"
    assert own[0] in of_peer
    assert of_peer[0] in own
    assert timedelta(hours=24) < own[0][1] - datetime.now(UTC) <= timedelta(hours=48)
    assert timedelta() < own[1][1] - datetime.now(UTC) <= timedelta(hours=24)
    # Nobody but its peer has the old one any more: as after a renewal.
    pair.dev.kube.call("DELETE", AUTHORITIES)
    until(lambda: (new := next(iter(bundle(pair, "dev")), own[0][0])) != own[0][0] and new in bundle(pair, "dev-peer"))
    assert len(bundle(pair, "dev")) == 3


def bundle(pair: Operated, name: str) -> dict[str, datetime]:
    """Return what a cluster trusts: each certificate's fingerprint, and when it ends."""
    (cluster,) = (each for each in pair.clusters if each.name == name)
    found = cluster.get(AUTHORITIES) or {"data": {"ca-bundle": ""}}
    return {each.fingerprint: each.expires for each in certificates(found["data"]["ca-bundle"])}
