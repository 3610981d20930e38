"""The stand-ins for the operators: what they leave on a real API server, in order and in trouble."""

from __future__ import annotations

import json
from typing import Any

import pytest
from operated import (
    ATTACHMENTS,
    HANDLER,
    HCO,
    KUBEVIRT,
    NAMESPACE,
    PODS,
    POOLS,
    SYNCHRONIZER,
    Operated,
    condition,
    events,
    interface,
    ready,
    until,
)

NETWORK = "my-secondary-network"
PATCHES = "kubevirt.kubevirt.io/jsonpatch"
IPAM = {"type": "whereabouts", "range": "10.200.5.0/24", "range_start": "10.200.5.10", "range_end": "10.200.5.60"}
WHEREABOUTS = {"cniVersion": "0.3.1", "name": "net", "type": "macvlan", "master": "eth1", "ipam": IPAM}


def test_every_pod_gets_an_address_of_its_clusters_slice(operated: Operated) -> None:
    operated.up()
    for cluster, first in ((operated.dev, 10), (operated.peer, 61)):
        found = cluster.migration0() | cluster.migration0("virt-synchronization-controller")
        addresses = sorted(address for each in found.values() if each for address in each["ips"])
        assert addresses == [f"10.200.5.{first + n}" for n in range(5)]
        assert {each["mtu"] for each in found.values() if each} == {9000}


def test_the_settings_of_the_hyperconverged_are_those_of_the_kubevirt(operated: Operated) -> None:
    operated.up("dev")
    wanted = operated.dev.get(HCO)["spec"]["liveMigrationConfig"]
    assert operated.dev.get(KUBEVIRT)["spec"]["configuration"]["migrations"] == wanted


def test_a_network_that_is_taken_away_sends_the_pods_back_to_the_pod_network(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.use(None)
    until(lambda: operated.dev.settled(None))
    assert set(operated.dev.migration0().values()) == {None}


def test_a_rollout_takes_one_virt_handler_away_at_a_time(operated: Operated) -> None:
    cluster = operated.dev
    cluster.attach(NETWORK, WHEREABOUTS)
    seen = [len(cluster.pods())]
    cluster.use(NETWORK)
    while not (cluster.settled(NETWORK) and all(map(interface, cluster.pods()))):
        seen.append(len([pod for pod in cluster.pods() if ready(pod)]))
    assert min(seen) >= 2
    assert cluster.get(HANDLER)["status"]["observedGeneration"] == cluster.get(HANDLER)["metadata"]["generation"]


def test_a_network_without_an_attachment_stops_the_rollout_at_the_first_virt_handler(operated: Operated) -> None:
    cluster = operated.dev
    cluster.use("nobody-made-it")
    (stuck,) = until(lambda: [pod for pod in cluster.pods() if len(events(cluster, pod)) == 2])
    assert {"NoNetworkFound", "FailedCreatePodSandBox"} == set(events(cluster, stuck))
    assert not ready(stuck)
    assert "cannot find a network-attachment-definition (nobody-made-it)" in events(cluster, stuck)["NoNetworkFound"]
    until(lambda: condition(cluster.get(HCO), "Progressing") == "True")
    assert [ready(pod) for pod in cluster.pods()].count(True) == 2, "the others were not touched"
    # It goes on by itself when the attachment comes.
    cluster.attach("nobody-made-it", WHEREABOUTS)
    until(lambda: cluster.settled("nobody-made-it") and all(map(interface, cluster.pods())))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "failed to unmarshal Spec.Config"),
        ('{"name": "x"}', "is required in Spec.Config"),
        ('{"type": "macvlan", "master": "eth9"}', 'failed to lookup master "eth9": Link not found'),
        ('{"type": "maclan"}', 'failed to find plugin "maclan" in path'),
        ('{"type": "bridge", "ipam": {"type": "calico-ipam"}}', "the lab does not simulate IPAM of type calico-ipam"),
    ],
)
def test_an_attachment_that_no_plugin_takes_is_told_by_the_event(operated: Operated, config: str, message: str) -> None:
    cluster = operated.dev
    cluster.attach("broken", config)
    cluster.use("broken")
    until(lambda: [pod for pod in cluster.pods() if message in events(cluster, pod).get("FailedCreatePodSandBox", "")])


def test_an_attachment_without_addresses_makes_the_first_virt_handler_panic(operated: Operated) -> None:
    cluster = operated.dev
    cluster.attach("bare", {"type": "macvlan", "master": "eth1"})
    cluster.use("bare")
    (pod,) = until(lambda: [pod for pod in cluster.pods() if "BackOff" in events(cluster, pod)])
    assert interface(pod) is not None
    assert "ips" not in (interface(pod) or {})


def test_another_content_of_the_attachment_rolls_nothing_and_counts_for_pods_that_are_made_anew(
    operated: Operated,
) -> None:
    cluster = operated.dev
    cluster.attach(NETWORK, WHEREABOUTS)
    cluster.use(NETWORK)
    until(lambda: cluster.settled(NETWORK) and all(map(interface, cluster.pods())))
    before = [pod["metadata"]["uid"] for pod in cluster.pods()]
    cluster.merge(f"{ATTACHMENTS}/{NETWORK}", {"spec": {"config": json.dumps(WHEREABOUTS | {"mtu": 1400})}})
    victim = cluster.pods()[0]
    cluster.kube.call("DELETE", f"{PODS}/{victim['metadata']['name']}")
    until(lambda: len(cluster.pods()) == 3 and (interface(cluster.pods()[0]) or {}).get("mtu") == 1400)
    assert [pod["metadata"]["uid"] for pod in cluster.pods()][1:] == before[1:]
    until(lambda: all(map(ready, cluster.pods())))
    (pool,) = cluster.get(POOLS)["items"]
    gone = f"{NAMESPACE}/{victim['metadata']['name']}"
    assert gone not in {each["podref"] for each in pool["spec"]["allocations"].values()}


IPV6 = {"range": "fd00:5::/64", "range_start": "fd00:5::a"}


@pytest.mark.parametrize(
    ("config", "first"),
    [
        (
            {"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "10.9.0.0/24"}},
            ["10.9.0.1"],
        ),
        (
            {
                "type": "bridge",
                "bridge": "br-migration",
                "ipam": {"type": "whereabouts", "ipRanges": [{"range": "10.9.0.0/24"}, IPV6]},
            },
            ["10.9.0.1", "fd00:5::a"],
        ),
        (
            {
                "type": "ovn-k8s-cni-overlay",
                "topology": "localnet",
                "subnets": "10.9.0.0/24",
                "excludeSubnets": "10.9.0.0/28",
            },
            ["10.9.0.16"],
        ),
    ],
)
def test_addresses_come_lowest_first_from_what_the_attachment_says(
    operated: Operated, config: dict[str, Any], first: list[str]
) -> None:
    cluster = operated.dev
    cluster.attach("other", config)
    cluster.use("other")
    until(lambda: cluster.settled("other") and all(map(interface, cluster.pods())))
    pods = [*cluster.pods(), *cluster.pods("virt-synchronization-controller")]
    given = sorted((interface(pod) or {})["ips"] for pod in pods)
    assert first in given
    assert len({tuple(each) for each in given}) == 5


def test_pods_of_a_static_network_all_have_the_same_address(operated: Operated) -> None:
    cluster = operated.dev
    ipam = {"type": "static", "addresses": [{"address": "10.9.0.7/24"}]}
    cluster.attach("static", {"type": "macvlan", "master": "eth1", "ipam": ipam})
    cluster.use("static")
    until(lambda: cluster.settled("static") and all(map(interface, cluster.pods())))
    assert [(interface(pod) or {})["ips"] for pod in cluster.pods()] == [["10.9.0.7"]] * 3


def test_without_the_gate_there_is_no_sync_controller(operated: Operated) -> None:
    cluster = operated.dev
    until(lambda: cluster.get(KUBEVIRT)["status"].get("synchronizationAddresses"))
    cluster.merge(HCO, {"spec": {"featureGates": {"decentralizedLiveMigration": False}}})
    until(lambda: cluster.get(SYNCHRONIZER) is None and not cluster.pods("virt-synchronization-controller"))
    assert "DecentralizedLiveMigration" not in str(cluster.get(KUBEVIRT)["spec"])
    until(lambda: "synchronizationAddresses" not in cluster.get(KUBEVIRT)["status"])


def test_what_the_operators_write_bears_their_names_and_that_it_is_a_stand_ins(operated: Operated) -> None:
    operated.up("dev")
    items = [operated.dev.get(path) for path in (KUBEVIRT, HANDLER, SYNCHRONIZER)]
    items += [*operated.dev.pods(), *operated.dev.get(POOLS)["items"]]
    assert all(item["metadata"]["labels"]["lab.migration-network/stand-in"] == "true" for item in items)
    managers = [{entry["manager"] for entry in item["metadata"]["managedFields"]} for item in items[:2]]
    assert managers == [
        {"hyperconverged-cluster-operator", "virt-operator"},
        {"virt-operator", "kube-controller-manager"},
    ]


def test_the_kubevirt_that_somebody_edits_is_put_back(operated: Operated) -> None:
    cluster = operated.dev
    edit = {"spec": {"configuration": {"migrations": {"parallelMigrationsPerCluster": 99}}}}
    assert cluster.merge(KUBEVIRT, edit)["spec"]["configuration"]["migrations"]["parallelMigrationsPerCluster"] == 99
    until(lambda: cluster.get(KUBEVIRT)["spec"]["configuration"]["migrations"]["parallelMigrationsPerCluster"] == 5)


def test_a_patch_of_the_annotation_is_applied_after_the_operators_own_fields(operated: Operated) -> None:
    """The documented example drops the network and every limit (hyperconverged-cluster-operator#1201)."""
    operated.up("dev")
    whole = {"op": "add", "path": "/spec/configuration/migrations", "value": {"allowPostCopy": True}}
    for patches, left in (([whole], {"allowPostCopy": True}), ([whole | {"path": "/metadata/labels"}], None)):
        operated.dev.merge(HCO, {"metadata": {"annotations": {PATCHES: json.dumps(patches)}}})
        if left is None:
            until(lambda: condition(operated.dev.get(HCO), "ReconcileComplete") == "False")
        else:
            until(lambda left=left: operated.dev.get(KUBEVIRT)["spec"]["configuration"]["migrations"] == left)
            until(lambda: operated.dev.settled(None))
    operated.dev.merge(HCO, {"metadata": {"annotations": {PATCHES: None}}})
    wanted = operated.dev.get(HCO)["spec"]["liveMigrationConfig"]
    until(lambda: operated.dev.get(KUBEVIRT)["spec"]["configuration"]["migrations"] == wanted)
    until(lambda: condition(operated.dev.get(HCO), "ReconcileComplete") == "True")


def test_what_an_annotation_drops_is_the_cause_that_verify_names_at_once(operated: Operated) -> None:
    operated.up("dev")
    patch = [{"op": "remove", "path": "/spec/configuration/migrations/network"}]
    operated.dev.merge(HCO, {"metadata": {"annotations": {PATCHES: json.dumps(patch)}}})
    until(lambda: "network" not in operated.dev.get(KUBEVIRT)["spec"]["configuration"]["migrations"])
    outcome = operated.run("verify", "dev", "--no-peers")
    assert outcome.code == 1
    assert "settings-not-taken" in operated.run("verify", "dev", "--no-peers", "-o", "json").out
    assert "jsonpatch" in outcome.out


def test_sync_controllers_run_where_the_hyperconverged_sends_the_infrastructure(operated: Operated) -> None:
    cluster = operated.dev
    workers = {
        each["metadata"]["name"] for each in cluster.get("/api/v1/nodes")["items"] if "taints" not in each["spec"]
    }

    def nodes() -> set[str]:
        return {pod["spec"]["nodeName"] for pod in cluster.pods("virt-synchronization-controller") if ready(pod)}

    before = nodes()
    selector = {"nodeSelector": {"kubevirt.io/schedulable": "true"}}
    cluster.merge(HCO, {"spec": {"infra": {"nodePlacement": selector}}})
    until(lambda: nodes() and nodes() <= workers and len(cluster.pods("virt-synchronization-controller")) == 2)
    infra = cluster.get(KUBEVIRT)["spec"]["infra"]
    operated.up("dev")
    verified = operated.run("verify", "dev", "--no-peers")

    assert not before & workers
    assert infra == {"nodePlacement": selector}
    assert verified.code == 0, verified.out
    cluster.merge(HCO, {"spec": {"infra": {"nodePlacement": None}}})
    until(lambda: nodes() == before and len(cluster.pods("virt-synchronization-controller")) == 2)
    assert "infra" not in cluster.get(KUBEVIRT)["spec"]
