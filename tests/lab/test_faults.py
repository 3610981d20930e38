"""Each fault of the lab: what the stand-ins leave on a real API server is what the real failure leaves."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from operated import (
    HANDLER,
    HCO,
    KUBEVIRT,
    MIGRATIONS,
    POOLS,
    SYNCHRONIZER,
    VMS,
    Cluster,
    Operated,
    condition,
    events,
    interface,
    migrated,
    phase,
    ready,
    until,
)

from mignet.lab.operators.faults import ALL

NETWORK = "migration"
FIRST, LAST = 10, 60
SYNC = "virt-synchronization-controller"


def config(first: int = FIRST, last: int = LAST, **more: Any) -> dict[str, Any]:
    ends = {"range_start": f"10.200.5.{first}", "range_end": f"10.200.5.{last}"}
    ipam = {"type": "whereabouts", "range": "10.200.5.0/24", **ends}
    return {"cniVersion": "0.3.1", "name": "net", "type": "macvlan", "master": "eth1", "ipam": ipam, **more}


def connected(cluster: Cluster, **kwargs: Any) -> Cluster:
    """The cluster, its operators done with a network."""
    cluster.attach(NETWORK, config(**kwargs))
    cluster.use(NETWORK)
    until(lambda: cluster.settled(NETWORK) and all(map(interface, cluster.pods())))
    return cluster


def last(cluster: Cluster) -> dict[str, Any]:
    return cluster.pods()[-1]


def shaped(cluster: Cluster, name: str) -> bool:
    """Whether the last virt-handler was made anew under that fault, and got as far as it gets."""
    pods = cluster.pods()
    return len(pods) == 3 and pods[-1]["metadata"]["annotations"].get("lab.migration-network/faults") == name


def leases(cluster: Cluster) -> dict[str, str]:
    """Return who holds each address: its last number, and the pod."""
    (pool,) = cluster.get(POOLS)["items"]
    return {offset: each["podref"] for offset, each in pool["spec"]["allocations"].items()}


def addresses(pod: dict[str, Any]) -> list[str]:
    return list((interface(pod) or {}).get("ips", ()))


def under(cluster: Cluster, name: str) -> dict[str, Any]:
    """Switch a fault of one virt-handler on, and return that one once it is ready."""
    cluster.fault(name)
    until(lambda: shaped(cluster, name) and ready(last(cluster)), name)
    return last(cluster)


def stuck(cluster: Cluster, name: str, workload: str = "virt-handler") -> tuple[dict[str, Any], str]:
    """Switch a fault on, and return the pod whose sandbox cannot be made, and why."""
    cluster.fault(name)

    def found() -> tuple[dict[str, Any], str] | None:
        for pod in cluster.pods(workload):
            said = events(cluster, pod).get("FailedCreatePodSandBox")
            if said and "containerStatuses" in pod["status"]:
                return pod, said
        return None

    pod, said = until(found, name)
    (container,) = pod["status"]["containerStatuses"]
    assert container["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert pod["status"]["phase"] == "Pending"
    return pod, str(said)


# One virt-handler


def test_a_virt_handler_without_migration0_is_ready_and_nothing_complains(operated: Operated) -> None:
    cluster = connected(operated.dev)
    pod = under(cluster, "handler-on-pod-network")
    assert interface(pod) is None
    assert interface(pod, "eth0")
    assert pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == f"{NETWORK}@migration0"
    until(lambda: cluster.settled(NETWORK))
    assert events(cluster, pod) == {}


def test_a_virt_handler_whose_migration0_has_no_address_panics_and_the_panic_is_in_its_status(
    operated: Operated,
) -> None:
    cluster = connected(operated.dev)
    cluster.fault("handler-without-address")
    until(lambda: shaped(cluster, "handler-without-address") and last(cluster)["status"].get("containerStatuses"))
    (container,) = until(lambda: [c for c in last(cluster)["status"]["containerStatuses"] if c["restartCount"]])
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"].startswith("panic: ")
    assert interface(last(cluster))
    assert addresses(last(cluster)) == []
    until(lambda: condition(cluster.get(HCO), "Available") == "False")


def test_a_virt_handler_whose_node_lacks_the_plugin_is_stuck_with_a_sandbox_event(operated: Operated) -> None:
    cluster = connected(operated.dev)
    pod, said = stuck(cluster, "handler-stuck")
    assert 'failed to find plugin "macvlan" in path' in said
    assert pod["spec"]["nodeName"] == "dev-worker-2"


def test_a_fault_can_be_about_a_node(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("handler-mtu", "dev-worker-0")
    until(lambda: [p["spec"]["nodeName"] for p in cluster.pods() if (interface(p) or {}).get("mtu") == 1500])
    mtus = {pod["spec"]["nodeName"]: (interface(pod) or {}).get("mtu") for pod in cluster.pods()}
    assert mtus == {"dev-worker-0": 1500, "dev-worker-1": 9000, "dev-worker-2": 9000}


def test_an_address_outside_of_the_slice_is_booked_in_the_same_pool(operated: Operated) -> None:
    cluster = connected(operated.dev)
    pod = under(cluster, "handler-outside-slice")
    assert addresses(pod) == ["10.200.5.192"]
    assert leases(cluster)["192"] == f"openshift-cnv/{pod['metadata']['name']}"


def test_a_duplicate_address_is_booked_for_one_of_the_two(operated: Operated) -> None:
    cluster = connected(operated.dev)
    pod = under(cluster, "handler-duplicate")
    assert addresses(pod) in [addresses(each) for each in cluster.pods()[:2]]
    assert f"openshift-cnv/{pod['metadata']['name']}" not in leases(cluster).values()


def test_a_duplicate_of_the_peer_is_an_address_that_a_virt_handler_has_there(operated: Operated) -> None:
    connected(operated.peer, first=61, last=110)
    cluster = connected(operated.dev)
    pod = under(cluster, "handler-duplicate-peer")
    assert addresses(pod)[0] in {address for each in operated.peer.pods() for address in addresses(each)}


def test_a_virt_handler_that_is_held_does_not_turn_ready_and_says_nothing(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("handler-held")
    until(lambda: shaped(cluster, "handler-held") and addresses(last(cluster)))
    until(lambda: condition(cluster.get(KUBEVIRT), "Available") == "False")
    assert not ready(last(cluster))
    assert events(cluster, last(cluster)) == {}


# The pool


def test_a_full_pool_stops_the_next_virt_handler_with_the_plugins_words(operated: Operated) -> None:
    cluster = connected(operated.dev, last=20)
    _, said = stuck(cluster, "pool-full")
    assert "Could not allocate IP in range: ip: 10.200.5.10 / - 10.200.5.20 / range: 10.200.5.0/24" in said
    held = leases(cluster)
    assert set(held) == {str(number) for number in range(10, 21)}
    tenants = cluster.get("/api/v1/namespaces/default/pods")["items"]
    there = {f"default/{pod['metadata']['name']}" for pod in tenants}
    assert {podref for podref in held.values() if podref.startswith("default/")} == there
    cluster.heal()
    until(lambda: cluster.settled(NETWORK) and len(leases(cluster)) == 5)
    assert cluster.get("/api/v1/namespaces/default/pods")["items"] == []


@pytest.mark.parametrize(("about", "left"), [("", 1), ("3", 3)])
def test_a_nearly_full_pool_has_as_many_addresses_left_as_the_fault_says(
    operated: Operated, about: str, left: int
) -> None:
    cluster = connected(operated.dev, last=20)
    cluster.fault("pool-nearly-full", about)
    until(lambda: len(leases(cluster)) == 11 - left)
    assert cluster.settled(NETWORK)


@pytest.mark.parametrize(("about", "many"), [("", 8), ("2", 2)])
def test_leaked_leases_name_pods_that_do_not_exist(operated: Operated, about: str, many: int) -> None:
    cluster = connected(operated.dev)
    cluster.fault("leases-leaked", about)
    until(lambda: len(leases(cluster)) == 5 + many)
    pods = [*cluster.pods(), *cluster.pods(SYNC)]
    there = {f"openshift-cnv/{pod['metadata']['name']}" for pod in pods}
    assert len(set(leases(cluster).values()) - there) == many
    cluster.heal()
    until(lambda: set(leases(cluster).values()) == there)


# The control plane


def nics(cluster: Cluster) -> list[str]:
    state = cluster.get("/apis/nmstate.io/v1beta1/nodenetworkstates/dev-control-plane-0")
    return [each["name"] for each in state["status"]["currentState"]["interfaces"]]


def test_the_sync_controller_is_stuck_where_the_control_plane_lacks_the_nic(operated: Operated) -> None:
    cluster = connected(operated.dev)
    _, said = stuck(cluster, "control-plane-without-nic", SYNC)
    assert 'failed to lookup master "eth1": Link not found' in said
    assert nics(cluster) == ["eth0", "lo"]
    assert all(map(ready, cluster.pods()))
    until(lambda: condition(cluster.get(SYNCHRONIZER), "Available") == "False")
    cluster.heal()
    until(lambda: nics(cluster) == ["eth0", "eth1", "lo"])
    until(lambda: condition(cluster.get(SYNCHRONIZER), "Available") == "True" and cluster.settled(NETWORK))


# The operators


def test_an_operator_that_sleeps_never_observes_the_new_generation(operated: Operated) -> None:
    cluster = operated.dev
    cluster.fault("operator-asleep")
    cluster.attach(NETWORK, config())
    cluster.use(NETWORK)
    # The others are awake: a virt-handler that is deleted comes back, and so the stand-ins have looked.
    before = cluster.pods()[0]["metadata"]["uid"]
    cluster.kube.call("DELETE", f"/api/v1/namespaces/openshift-cnv/pods/{cluster.pods()[0]['metadata']['name']}")
    until(lambda: len(cluster.pods()) == 3 and before not in {pod["metadata"]["uid"] for pod in cluster.pods()})
    hyperconverged = cluster.get(HCO)
    assert hyperconverged["status"]["observedGeneration"] < hyperconverged["metadata"]["generation"]
    assert condition(hyperconverged, "Available") == "True"
    assert "network" not in cluster.get(KUBEVIRT)["spec"]["configuration"]["migrations"]
    cluster.heal()
    until(lambda: cluster.settled(NETWORK))


def test_stale_conditions_say_available_of_an_old_generation_while_the_pods_are_new(operated: Operated) -> None:
    cluster = operated.dev
    cluster.fault("conditions-stale")
    cluster.attach(NETWORK, config())
    cluster.use(NETWORK)
    until(lambda: all(map(addresses, cluster.pods())) and condition(cluster.get(KUBEVIRT), "Available") == "True")
    hyperconverged = cluster.get(HCO)
    assert hyperconverged["status"]["observedGeneration"] < hyperconverged["metadata"]["generation"]
    assert condition(hyperconverged, "Available") == "True"


def test_early_conditions_say_available_while_a_virt_handler_is_not_ready(operated: Operated) -> None:
    cluster = operated.dev
    cluster.fault("conditions-early")
    cluster.fault("handler-held")
    cluster.attach(NETWORK, config())
    cluster.use(NETWORK)
    until(lambda: any(map(addresses, cluster.pods())) and condition(cluster.get(KUBEVIRT), "Available") == "False")
    hyperconverged = until(
        lambda: (item := cluster.get(HCO))["status"]["observedGeneration"] == item["metadata"]["generation"] and item
    )
    assert condition(hyperconverged, "Available") == "True"
    until(lambda: cluster.get(HANDLER)["status"]["numberReady"] < 3)
    assert condition(cluster.get(HCO), "Available") == "True"


def test_a_missing_annotation_leaves_every_pod_on_the_pod_network_and_all_conditions_good(operated: Operated) -> None:
    cluster = operated.dev
    cluster.fault("annotation-missing")
    cluster.attach(NETWORK, config())
    cluster.use(NETWORK)
    until(lambda: cluster.settled(NETWORK))
    template = cluster.get(HANDLER)["spec"]["template"]
    assert "k8s.v1.cni.cncf.io/networks" not in template["metadata"]["annotations"]
    assert [interface(pod) for pod in cluster.pods()] == [None] * 3


# What is not installed

MULTUS = "/apis/apps/v1/namespaces/openshift-multus/daemonsets"


def test_the_reconciler_runs_when_the_network_operator_is_told_of_whereabouts(operated: Operated) -> None:
    cluster = operated.dev
    network = "/apis/operator.openshift.io/v1/networks/cluster"
    reconciler = f"{MULTUS}/whereabouts-reconciler"
    until(lambda: cluster.get(reconciler)["status"].get("numberReady") == 4)
    cluster.fault("reconciler-missing")
    until(lambda: cluster.get(reconciler) is None)
    assert cluster.get(network)["spec"]["additionalNetworks"] == []
    cluster.heal()
    until(lambda: cluster.get(reconciler))
    assert [each["name"] for each in cluster.get(network)["spec"]["additionalNetworks"]] == ["whereabouts-shim"]


def test_without_whereabouts_there_are_no_definitions_and_a_new_pod_is_stuck(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("whereabouts-missing")
    until(lambda: cluster.get(POOLS) is None)
    cluster.kube.call("DELETE", f"/api/v1/namespaces/openshift-cnv/pods/{last(cluster)['metadata']['name']}")
    _, said = stuck(cluster, "whereabouts-missing")
    assert 'failed to find plugin "whereabouts" in path' in said
    cluster.heal()
    until(lambda: cluster.get(POOLS) is not None and all(map(addresses, cluster.pods())))


def test_without_multus_a_new_pod_has_no_second_interface_and_reports_none(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("multus-missing")
    until(lambda: cluster.get(f"{MULTUS}/multus") is None)
    before = last(cluster)
    cluster.kube.call("DELETE", f"/api/v1/namespaces/openshift-cnv/pods/{before['metadata']['name']}")
    until(lambda: len(cluster.pods()) == 3 and last(cluster)["metadata"]["uid"] != before["metadata"]["uid"])
    until(lambda: ready(last(cluster)))
    assert "k8s.v1.cni.cncf.io/network-status" not in last(cluster)["metadata"]["annotations"]
    assert all(addresses(pod) for pod in cluster.pods()[:2]), "pods that run keep what they have"


# Migrations


def test_a_migration_goes_through_its_phases_and_uses_the_targets_address_on_the_network(operated: Operated) -> None:
    cluster = connected(operated.dev)
    path = migrated(cluster)
    until(lambda: phase(cluster, path) == "Succeeded")
    passed = [each["phase"] for each in cluster.get(path)["status"]["phaseTransitionTimestamps"]]
    wanted = ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"]
    assert passed == wanted
    status = cluster.get(f"{VMS}/vm")["status"]
    state = status["migrationState"]
    handlers = {pod["spec"]["nodeName"]: addresses(pod)[0] for pod in cluster.pods()}
    assert state["targetNodeAddress"] == handlers[state["targetNode"]]
    assert state["targetNode"] == status["nodeName"] != state["sourceNode"]
    assert state["completed"]
    assert state["targetState"]["node"] == state["targetNode"]
    assert min(int(port) for port in state["targetDirectMigrationNodePorts"]) >= 33000
    assert cluster.get(path)["status"]["migrationState"] == state


def test_a_second_migration_has_a_state_of_its_own(operated: Operated) -> None:
    cluster = connected(operated.dev)
    path = migrated(cluster)
    until(lambda: phase(cluster, path) == "Succeeded")
    first = cluster.get(f"{VMS}/vm")["status"]["migrationState"]
    again = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "metadata": {"name": "back"}}
    cluster.kube.call("POST", MIGRATIONS, json=again | {"spec": {"vmiName": "vm"}})
    until(lambda: phase(cluster, f"{MIGRATIONS}/back") == "Succeeded")
    second = cluster.get(f"{VMS}/vm")["status"]["migrationState"]
    assert second["migrationUid"] != first["migrationUid"]
    assert (second["sourceNode"], second["targetNode"]) == (first["targetNode"], first["sourceNode"])


def test_a_migration_on_the_pod_network_shows_the_targets_pod_address(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("migration-on-pod-network")
    path = migrated(cluster)
    until(lambda: phase(cluster, path) == "Succeeded")
    state = cluster.get(f"{VMS}/vm")["status"]["migrationState"]
    pods = {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in cluster.pods()}
    assert state["targetNodeAddress"] == pods[state["targetNode"]]
    assert ip_address(state["targetNodeAddress"]) not in ip_network("10.200.5.0/24")


def test_a_migration_that_fails_says_why_and_leaves_the_machine_where_it_was(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("migration-fails")
    path = migrated(cluster)
    until(lambda: phase(cluster, path) == "Failed")
    status = cluster.get(f"{VMS}/vm")["status"]
    assert status["migrationState"]["failed"]
    assert status["migrationState"]["failureReason"]
    assert status["nodeName"] == status["migrationState"]["sourceNode"]


def test_a_migration_that_hangs_stays_running_until_it_is_healed(operated: Operated) -> None:
    cluster = connected(operated.dev)
    cluster.fault("migration-hangs")
    path = migrated(cluster)
    until(lambda: phase(cluster, path) == "Running")
    # What is asked for later is done meanwhile: it is not that nobody looks.
    cluster.fault("leases-leaked", "1")
    until(lambda: len(leases(cluster)) == 6)
    assert phase(cluster, path) == "Running"
    cluster.heal()
    until(lambda: phase(cluster, path) == "Succeeded")


NODE_STATE = "/apis/nmstate.io/v1beta1/nodenetworkstates/dev-worker-1"


def test_policies_are_followed_and_taken_back_and_a_node_can_refuse_one(operated: Operated) -> None:
    attachment = {"type": "macvlan", "name": "migration", "master": "mig0"}
    operated.change("dev", attachment=attachment, uplink={"vlan": {"baseInterface": "eth1", "name": "mig0"}})

    def interfaces() -> dict[str, Any]:
        current = operated.dev.get(NODE_STATE)["status"]["currentState"]
        return {each["name"]: each for each in current["interfaces"]}

    operated.dev.fault("policy-refused", "dev-worker-1")
    refused = operated.run("up", "dev", "--yes", "--engine", "direct")
    without = interfaces()
    operated.dev.heal()
    healed = operated.run("up", "dev", "--yes", "--engine", "direct")
    there = interfaces()
    known = operated.run("preflight", "dev")
    gone = operated.run("destroy", "dev", "--yes", "--engine", "direct")

    assert refused.code == 1
    assert "the link did not come up" in refused.out + refused.err
    assert "mig0" not in without
    assert healed.code == 0, healed.out + healed.err
    assert there["mig0"]["vlan"] == {"base-iface": "eth1", "id": 2001}
    assert (there["mig0"]["mtu"], there["mig0"]["state"]) == (9000, "up")
    assert known.code == 0, known.out + known.err
    assert gone.code == 0, gone.out + gone.err
    assert "mig0" not in interfaces()


def test_every_fault_is_tried_here_between_clusters_or_on_the_fabric() -> None:
    files = (
        "lab/test_faults.py",
        "lab/test_peers_lab.py",
        "lab/test_crossing.py",
        "lab/test_migrations.py",
        "dataplane/test_lab_dataplane.py",
    )
    text = "".join((Path(__file__).parents[1] / each).read_text() for each in files)
    assert [name for name in ALL if name not in text] == []
