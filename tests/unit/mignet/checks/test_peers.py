"""What must hold between two clusters, from what was read of each."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from config.loading import load_stack
from config.stack import Stack
from config.types.addressing import Address
from mignet.checks.peers import CODES, Peers, compare
from mignet.checks.peers.endpoint import Side, endpoint, reads, sync
from mignet.checks.peers.matrix import lines
from mignet.checks.peers.slim import Concerned, slim
from mignet.fleet.last_checkup import Checkup, Way
from mignet.kube.client import ClusterError
from mignet.kube.kinds import (
    CONFIG_MAP,
    FORKLIFT,
    INSTANCE,
    IP_POOL,
    KUBEVIRT,
    MIGRATION,
    MULTI_NETWORK_POLICY,
    NAMESPACE,
    NODE,
    OPENSHIFT_OPERATOR_NETWORK,
    POD,
    Object,
)
from mignet.kube.snapshot import Read, Snapshot, judge


@cache
def authority(name: str, *, hours: int = 48) -> str:
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=100), now + timedelta(hours=hours)
    made = trustme.CA().issue_cert(common_name=f"kubevirt.io@{name}", not_before=begin, not_after=end)
    return made.cert_chain_pems[0].bytes().decode()


def stack(name: str, first: int, **more: Any) -> Stack:
    values = {
        "segment": {"subnet": "10.200.5.0/24"},
        "cluster": {"context": name},
        "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
        "slice": {"rangeStart": f"10.200.5.{first}", "rangeEnd": f"10.200.5.{first + 40}"},
    }
    return load_stack(name, values | more)


def node(name: str, host: str, *others: str) -> dict[str, Any]:
    models = {f"cpu-model-migration.node.kubevirt.io/{model}": "true" for model in (host, *others)}
    return {"metadata": {"name": name, "labels": models | {f"host-model-cpu.node.kubevirt.io/{host}": "true"}}}


def sync_pod(name: str, *ips: str, ready: bool = True) -> dict[str, Any]:
    networks = [{"name": "openshift-cnv/migration", "interface": "migration0", "ips": list(ips)}]
    return {
        "metadata": {
            "name": f"sync-{name}",
            "namespace": "openshift-cnv",
            "labels": {"kubevirt.io": "virt-synchronization-controller"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(networks)},
        },
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def machine(name: str, uid: str, *, phase: str = "Running", firmware: str = "", **state: Any) -> dict[str, Any]:
    """Return a virtual machine; without a UUID of its own it has the one that KubeVirt makes of its name."""
    own = firmware or str(uuid.uuid5(uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895"), name))
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": uid},
        "spec": {"domain": {"firmware": {"uuid": own}}},
        "status": {"phase": phase, "migrationState": state},
    }


OTHER = {"east": "west", "west": "east"}


def bundle(*names: str) -> str:
    return "".join(map(authority, names))


def cluster(of: Stack, *, leased: int) -> dict[str, Any]:
    """Return the objects of a healthy cluster, by kind: it has two authorities of its own, the current one first."""
    namespace = of.cluster.namespace
    return {
        "identity": {"metadata": {"name": "kube-system", "uid": f"of {of.name}"}},
        "kubevirt": {
            "metadata": {"name": "kubevirt-kubevirt-hyperconverged", "namespace": namespace},
            "spec": {
                "configuration": {
                    "developerConfiguration": {"featureGates": ["DecentralizedLiveMigration"]},
                    "migrations": {"network": of.network, "progressTimeout": 150},
                }
            },
            "status": {
                "observedKubeVirtVersion": "v1.8.4",
                "synchronizationAddresses": [f"10.200.5.{leased}:9185"],
            },
        },
        "authorities": {
            "metadata": {"name": "kubevirt-ca", "namespace": namespace},
            "data": {"ca-bundle": bundle(of.name, f"{of.name}-before", OTHER[of.name])},
        },
        "pool": {
            "metadata": {"name": "10.200.5.0-24", "namespace": "openshift-multus"},
            "spec": {"range": "10.200.5.0/24", "allocations": {str(leased): {"podref": f"{namespace}/sync-{leased}"}}},
        },
        "nodes": [node("n-1", "Cascadelake-Server", "Haswell-v4"), node("n-2", "Haswell-v4")],
        "sync": [sync_pod("a", f"10.200.5.{leased}"), sync_pod("b", f"10.200.5.{leased + 1}")],
        "machines": [machine("web", f"{of.name}-web"), machine("db", f"{of.name}-db")],
        "migrations": [],
        "policies": [],
        "operator-network": {"metadata": {"name": "cluster"}, "spec": {"useMultiNetworkPolicy": True}},
        "toolkit": {
            "metadata": {"name": "forklift", "namespace": "openshift-mtv"},
            "spec": {"feature_ocp_live_migration": "true"},
        },
    }


def seen(of: Stack, objects: dict[str, Any]) -> Side:
    by_kind = {
        NAMESPACE: "identity",
        KUBEVIRT: "kubevirt",
        CONFIG_MAP: "authorities",
        IP_POOL: "pool",
        FORKLIFT: "toolkit",
        INSTANCE: "machines",
        MIGRATION: "migrations",
        NODE: "nodes",
        POD: "sync",
        MULTI_NETWORK_POLICY: "policies",
        OPENSHIFT_OPERATOR_NETWORK: "operator-network",
    }
    found: dict[Read, tuple[Object, ...] | ClusterError] = {}
    for read in reads(of):
        each = objects[by_kind[read.kind]]
        found[read] = (
            tuple(each)
            if isinstance(each, list)
            else each
            if isinstance(each, ClusterError)
            else ()
            if each is None
            else (each,)
        )
    return Side(of, Snapshot(of, found))


EAST, WEST = stack("east", 10), stack("west", 60)
Change = Callable[[dict[str, Any], dict[str, Any]], None]


def between(change: Change = lambda _one, _other: None, *, east: Stack = EAST, west: Stack = WEST) -> Peers:
    one, other = cluster(east, leased=10), cluster(west, leased=60)
    change(one, other)
    return compare([seen(east, one), seen(west, other)])


def test_two_healthy_clusters_are_ready_for_each_other() -> None:
    peers = between()
    assert peers.findings == ()
    assert peers.left_out == ()
    assert dict(peers.matrix) == {("east", "west"): None, ("west", "east"): None}


def gates(one: dict[str, Any], other: dict[str, Any]) -> None:
    # Spelt as the HyperConverged spells it, KubeVirt does not know it.
    one["kubevirt"]["spec"]["configuration"]["developerConfiguration"]["featureGates"] = ["decentralizedLiveMigration"]


def no_kubevirt(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"] = None


def no_leader(one: dict[str, Any], other: dict[str, Any]) -> None:
    del one["kubevirt"]["status"]["synchronizationAddresses"]


def sync_on_the_pod_network(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["status"]["synchronizationAddresses"] = ["10.128.0.9:9185"]


def no_authority(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"] = None


def expired(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"]["data"]["ca-bundle"] = authority("old", hours=-1)


def untrusted(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"]["data"]["ca-bundle"] = bundle("east", "east-before")
    other["authorities"]["data"]["ca-bundle"] = bundle("west", "west-before")


def trusted_by_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"]["data"]["ca-bundle"] = bundle("east", "east-before")
    other["authorities"]["data"]["ca-bundle"] = bundle("west", "west-before", "east", "east-before")


def rotated_since(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"]["data"]["ca-bundle"] = bundle("east-new", "east", "west", "west-before")
    other["authorities"]["data"]["ca-bundle"] = bundle("west", "west-before", "east", "east-before")


def each_has_the_current_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"]["data"]["ca-bundle"] = bundle("east", "east-before", "west")
    other["authorities"]["data"]["ca-bundle"] = bundle("west", "west-before", "east")


def a_third_in_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["authorities"]["data"]["ca-bundle"] += authority("south")


def sync_stale(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["status"]["synchronizationAddresses"] = ["10.200.5.45:9185"]


def sync_not_ready(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["sync"] = [sync_pod("a", "10.200.5.10", ready=False), sync_pod("b", "10.200.5.11")]


def sync_on_another_port(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["spec"]["synchronizationPort"] = "9190"
    one["kubevirt"]["status"]["synchronizationAddresses"] = ["10.200.5.10:9190"]


def sync_on_a_port_that_is_not_the_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["spec"]["synchronizationPort"] = "9190"


def sync_on_a_port_that_is_none(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["spec"]["synchronizationPort"] = "sync"


def current_one_expired(one: dict[str, Any], other: dict[str, Any]) -> None:
    old = authority("east-old", hours=-1)
    one["authorities"]["data"]["ca-bundle"] = old + bundle("east-before", "west")
    other["authorities"]["data"]["ca-bundle"] += old


def upgrading(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["status"] |= {"targetKubeVirtVersion": "v1.8.5", "phase": "Deployed"}


def rolling(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["status"] |= {"targetKubeVirtVersion": "v1.8.4", "phase": "Deployed"}


def being_installed(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["status"] |= {"targetKubeVirtVersion": "v1.8.4", "phase": "Deploying"}


def before_the_change(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["kubevirt"]["status"]["observedKubeVirtVersion"] = "v1.6.3-76-gabc"
    other["kubevirt"]["status"]["observedKubeVirtVersion"] = "v1.7.1"


def other_cpu(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["nodes"] = [node("n-1", "Cascadelake-Server")]
    other["nodes"] = [node("n-1", "Haswell-v4")]


def older_cpu(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["nodes"] = [node("n-1", "Cascadelake-Server", "Haswell-v4")]
    other["nodes"] = [node("n-1", "Haswell-v4")]


def cpu_unknown(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["nodes"] = other["nodes"] = [{"metadata": {"name": "n-1"}}]


def cpu_unlabelled(one: dict[str, Any], other: dict[str, Any]) -> None:
    other["nodes"] = [{"metadata": {"name": "n-1"}}]


def lease_twice(one: dict[str, Any], other: dict[str, Any]) -> None:
    other["pool"]["spec"]["allocations"]["10"] = {"podref": "openshift-cnv/handler"}


def newer(one: dict[str, Any], other: dict[str, Any]) -> None:
    other["kubevirt"]["status"]["observedKubeVirtVersion"] = "v1.9.0"


def patched(one: dict[str, Any], other: dict[str, Any]) -> None:
    other["kubevirt"]["status"]["observedKubeVirtVersion"] = "v1.8.9"


def limits(one: dict[str, Any], other: dict[str, Any]) -> None:
    other["kubevirt"]["spec"]["configuration"]["migrations"]["progressTimeout"] = 300


def one_cluster(one: dict[str, Any], other: dict[str, Any]) -> None:
    other["identity"] = one["identity"]


def toolkit_on(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["toolkit"]["spec"]["feature_ocp_live_migration"] = True
    other["toolkit"]["spec"]["feature_ocp_live_migration"] = "Yes"


def toolkit_unset(one: dict[str, Any], other: dict[str, Any]) -> None:
    del one["toolkit"]["spec"]["feature_ocp_live_migration"]


def gate_by_default(one: dict[str, Any], other: dict[str, Any]) -> None:
    for each in (one, other):
        del each["kubevirt"]["spec"]["configuration"]["developerConfiguration"]
        each["kubevirt"]["status"]["observedKubeVirtVersion"] = "v1.10.1"


def gate_disabled(one: dict[str, Any], other: dict[str, Any]) -> None:
    gate_by_default(one, other)
    disabled = {"disabledFeatureGates": ["DecentralizedLiveMigration"]}
    one["kubevirt"]["spec"]["configuration"]["developerConfiguration"] = disabled


LEFT: dict[str, Any] = {
    "completed": True,
    "sourceState": {"virtualMachineInstanceUID": "east-vm"},
    "targetState": {"virtualMachineInstanceUID": "west-vm"},
}


def in_two_places(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["machines"].append(machine("vm", "east-vm", failed=True, **LEFT))
    other["machines"].append(machine("vm", "west-vm", **LEFT))


def in_two_places_without_a_word(one: dict[str, Any], other: dict[str, Any]) -> None:
    for each, uid in ((one, "east-vm"), (other, "west-vm")):
        each["machines"].append(machine("vm", uid, firmware="3c1f6a4e-2a55-4b1b-9d0f-0c8f6d1f7a11"))


def on_its_way(one: dict[str, Any], other: dict[str, Any]) -> None:
    in_two_places(one, other)
    other["machines"][-1]["status"]["phase"] = "WaitingForSync"


def moved(one: dict[str, Any], other: dict[str, Any]) -> None:
    in_two_places(one, other)
    one["machines"][-1]["status"]["phase"] = "Succeeded"


def hands_over(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The target has the machine, and its source has not heard of it: for a minute, and as long as post-copy lasts."""
    for each, uid, more in (
        (one, "east-vm", {"completed": False, "mode": "PostCopy"}),
        (other, "west-vm", {"completed": False, "mode": "PostCopy"}),
    ):
        each["machines"].append(machine("vm", uid, **LEFT | more))


def handed_over_a_moment_ago(one: dict[str, Any], other: dict[str, Any]) -> None:
    for each, uid in ((one, "east-vm"), (other, "west-vm")):
        each["machines"].append(machine("vm", uid, endTimestamp=datetime.now(UTC).isoformat(), **LEFT))


def left_for_nowhere(one: dict[str, Any], other: dict[str, Any]) -> None:
    moved(one, other)
    other["machines"][-1]["status"]["phase"] = "WaitingForSync"
    spec = {"vmiName": "vm", "receive": {"migrationID": "x"}}
    metadata = {"name": "take", "namespace": "shop", "uid": "m", "creationTimestamp": "2026-01-01T00:00:00Z"}
    other["migrations"].append({"metadata": metadata, "spec": spec, "status": {"phase": "Failed"}})


def left_and_crashed_there(one: dict[str, Any], other: dict[str, Any]) -> None:
    """It has run there: what became of it since is no matter of the migration."""
    moved(one, other)
    other["machines"][-1]["status"]["phase"] = "Failed"
    other["machines"][-1]["status"]["migrationState"]["failed"] = False


def stays_behind(one: dict[str, Any], other: dict[str, Any]) -> None:
    condition = {"type": "DecentralizedLiveMigrationFailure", "status": "True", "message": "no route\nto host"}
    for each in one["machines"]:
        each["status"]["conditions"] = [condition]
    other["machines"][0]["status"]["conditions"] = [condition | {"status": "False"}]


def denied(one: dict[str, Any], other: dict[str, Any]) -> None:
    """One policy of the west cuts both directions of handlers, and what sync controllers say."""
    metadata = {"name": "deny", "namespace": "openshift-cnv"}
    metadata |= {"annotations": {"k8s.v1.cni.cncf.io/policy-for": "migration"}}  # type: ignore[dict-item]
    other["policies"] = [{"metadata": metadata, "spec": {"podSelector": {}}}]


def denied_by_nobody(one: dict[str, Any], other: dict[str, Any]) -> None:
    denied(one, other)
    other["operator-network"]["spec"] = {}


def denied_without_openshift(one: dict[str, Any], other: dict[str, Any]) -> None:
    denied(one, other)
    other["operator-network"] = None


def through_a_proxy(one: dict[str, Any], other: dict[str, Any]) -> None:
    """As VEP 191 has it: what stands there is the address of another network, or of an ingress."""
    for each, network in ((one, "peers"), (other, None)):
        settings = each["kubevirt"]["spec"]["configuration"]["migrations"]
        settings |= {"decentralizedLiveMigrationDatapath": "Proxy"} | (
            {"crossClusterNetwork": network} if network else {}
        )
        each["kubevirt"]["status"]["synchronizationAddresses"] = ["sync.apps.example:443"]


def toolkit_off(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["toolkit"]["spec"]["feature_ocp_live_migration"] = "false"


@pytest.mark.parametrize(
    ("change", "codes", "ready"),
    [
        (gates, ["peer-gate"], 0),
        (no_kubevirt, ["peer-kubevirt"], 0),
        (no_leader, ["peer-sync-missing"], 0),
        (sync_on_the_pod_network, ["peer-sync-outside"], 0),
        (no_authority, ["peer-authority-missing"], 0),
        (expired, ["peer-authority-expired"], 0),
        (untrusted, ["peer-untrusted", "peer-untrusted"], 0),
        (trusted_by_one, ["peer-untrusted"], 0),
        (rotated_since, ["peer-untrusted"], 0),
        (each_has_the_current_one, [], 2),
        (a_third_in_one, [], 2),
        (sync_stale, ["peer-sync-stale"], 0),
        (sync_not_ready, ["peer-sync-stale"], 0),
        (sync_on_another_port, [], 2),
        (sync_on_a_port_that_is_not_the_one, ["peer-sync-outside"], 0),
        (sync_on_a_port_that_is_none, [], 2),
        (current_one_expired, ["peer-untrusted"], 0),
        (upgrading, ["peer-upgrading"], 0),
        (rolling, [], 2),
        (being_installed, ["peer-upgrading"], 0),
        (before_the_change, ["peer-version-apart"], 0),
        (other_cpu, ["peer-cpu", "peer-cpu"], 2),
        (older_cpu, ["peer-cpu"], 2),
        (cpu_unknown, [], 2),
        (cpu_unlabelled, ["peer-cpu", "peer-cpu"], 2),
        (lease_twice, ["peer-lease-twice"], 0),
        (newer, ["peer-version-differs"], 2),
        (patched, [], 2),
        (limits, ["peer-limits-differ"], 2),
        (denied, ["peer-policy-cuts", "peer-policy-cuts"], 0),
        (denied_by_nobody, [], 2),
        (denied_without_openshift, ["peer-policy-cuts", "peer-policy-cuts"], 0),
        (through_a_proxy, ["peer-proxied", "peer-proxied"], 2),
        (toolkit_off, ["peer-toolkit-flag"], 2),
        (toolkit_on, [], 2),
        (toolkit_unset, ["peer-toolkit-flag"], 2),
        (gate_by_default, [], 2),
        (gate_disabled, ["peer-gate"], 0),
        (in_two_places, ["vm-runs-twice", "vm-runs-twice"], 0),
        (in_two_places_without_a_word, ["vm-runs-twice", "vm-runs-twice"], 0),
        (on_its_way, [], 2),
        (moved, [], 2),
        (hands_over, [], 2),
        (handed_over_a_moment_ago, [], 2),
        (left_for_nowhere, ["vm-runs-nowhere"], 0),
        (left_and_crashed_there, [], 2),
        (stays_behind, ["vm-stays-behind"], 2),
        (one_cluster, ["cluster-shared"], 0),
    ],
)
def test_what_is_between_two_clusters_is_found_and_nothing_else(change: Change, codes: list[str], ready: int) -> None:
    peers = between(change)
    assert [finding.code for finding in peers.findings] == codes
    assert peers.ready == ready
    one, other = cluster(EAST, leased=10), cluster(WEST, leased=60)
    change(one, other)
    sides = [slim(seen(EAST, one)), slim(seen(WEST, other))]
    concerned = Concerned()
    for each in sides:
        concerned.add(each)
    small = compare([concerned.of(each) for each in sides])
    assert [(each.code, each.stack, each.peer, each.sentence) for each in small.findings] == [
        (each.code, each.stack, each.peer, each.sentence) for each in peers.findings
    ]
    assert dict(small.matrix) == dict(peers.matrix)
    assert (small.left_out, small.not_judged) == (peers.left_out, peers.not_judged)
    for reason in peers.matrix.values():
        assert (reason is None) == bool(ready)


def test_every_code_has_been_seen() -> None:
    shown = {"peer-stays", "peer-segment", "peer-slices"}
    for change in (
        gates,
        no_kubevirt,
        no_leader,
        sync_on_the_pod_network,
        sync_stale,
        no_authority,
        expired,
        untrusted,
    ):
        shown |= {finding.code for finding in between(change).findings}
    for change in (
        a_third_in_one,
        lease_twice,
        newer,
        limits,
        denied,
        through_a_proxy,
        toolkit_off,
        one_cluster,
        in_two_places,
        left_for_nowhere,
        stays_behind,
        other_cpu,
    ):
        shown |= {finding.code for finding in between(change).findings}
    for change in (upgrading, before_the_change):
        shown |= {finding.code for finding in between(change).findings}
    assert shown == CODES


def test_a_machine_in_two_places_is_an_error_on_both_sides_and_is_never_to_be_migrated() -> None:
    texts = [str(each) for each in between(in_two_places).findings]
    assert texts[0].startswith("east: VirtualMachineInstance shop/vm runs here and on the cluster of west too")
    assert texts[1].startswith("west: VirtualMachineInstance shop/vm runs here and on the cluster of east too")
    assert all("migrate neither before" in each for each in texts)


def test_trust_in_one_direction_names_the_side_that_lacks_it() -> None:
    (finding,) = between(trusted_by_one).findings
    assert (finding.stack, finding.peer) == ("east", "west")
    (finding,) = between(rotated_since).findings
    assert (finding.stack, finding.peer) == ("west", "east")
    assert "does not hold the current authority of east" in str(finding)


def test_a_cpu_model_that_the_other_cluster_cannot_show_is_said_for_the_pair() -> None:
    (finding,) = between(older_cpu).findings
    assert (finding.stack, finding.peer) == ("east", "west")
    assert "Node n-1 Cascadelake-Server is a CPU model that no node of west can show" in str(finding)


def test_sync_addresses_of_both_families_are_fine() -> None:
    v6 = {"subnet": ["10.200.5.0/24", "fd00:5::/64"]}
    ranges = [
        {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.50"},
        {"rangeStart": "fd00:5::10", "rangeEnd": "fd00:5::50"},
    ]
    east = stack("east", 10, segment=v6, slice=ranges)
    side = cluster(east, leased=10)
    side["sync"] = [sync_pod("a", "10.200.5.10", "fd00:5::10")]
    for published in (
        ["10.200.5.10:9185", "[fd00:5::10]:9185"],
        ["10.200.5.10:9185", "fd00:5::10"],
        # As virt-operator writes it.
        ["10.200.5.10:9185", "fd00:5::10:9185"],
    ):
        side["kubevirt"]["status"]["synchronizationAddresses"] = published
        assert judge((sync,), seen(east, side)).findings == ()
    side["kubevirt"]["status"]["synchronizationAddresses"] = ["[fd00:5::11]:9185"]
    (finding,) = judge((sync,), seen(east, side)).findings
    assert finding.code == "peer-sync-stale"
    assert "sync-a has 10.200.5.10, sync-a has fd00:5::10" in str(finding)


def test_machines_that_could_not_leave_are_one_line_for_each_reason() -> None:
    (finding,) = between(stays_behind).findings
    assert "VirtualMachineInstance shop/web, shop/db could not go to another cluster: no route to host" in str(finding)


def test_files_alone_tell_what_they_can_and_say_what_they_cannot() -> None:
    apart = stack("far", 60, segment={"subnet": "10.200.4.0/23"})
    for other, code in (
        (stack("west", 40), "peer-slices"),
        (stack("west", 60, cluster={"context": "west", "crossCluster": False}), "peer-stays"),
        (apart, "peer-segment"),
    ):
        peers = compare([Side(EAST), Side(other)])
        assert [finding.code for finding in peers.findings] == [code]
        assert peers.ready == 0
    peers = compare([Side(EAST), Side(WEST)])
    assert peers.ready == 2
    assert [str(each) for each in peers.left_out] == [
        "seen from the files only: no cluster was asked for its gates, versions, authorities or leases",
    ]


def test_a_cluster_that_does_not_answer_costs_its_own_ways_only() -> None:
    third = stack("south", 110)
    healthy = [seen(each, cluster(each, leased=leased)) for each, leased in ((EAST, 10), (WEST, 60))]
    peers = compare([*healthy, Side(third, ClusterError("unreachable", "context south (x) is unreachable: down"))])
    assert [finding.code for finding in peers.findings] == ["cluster-unreachable"]
    assert {way for way, reason in peers.matrix.items() if reason is None} == {("east", "west"), ("west", "east")}
    text = "\n".join(lines(peers))
    assert "east → south, west → south, south → east and 1 more: south: cluster-unreachable" in text
    assert "2 of 6 paths are ready, as the clusters' objects say; nothing was measured" in text.splitlines()[-1]


def test_what_may_not_be_read_is_said_and_the_rest_is_judged() -> None:
    def forbidden(one: dict[str, Any], other: dict[str, Any]) -> None:
        one["authorities"] = ClusterError("forbidden", "context east refused to read ConfigMap kubevirt-ca")

    peers = between(forbidden)
    assert peers.findings == ()
    assert [each for each in peers.left_out if "ConfigMap kubevirt-ca" in each.sentence]


def test_of_many_clusters_each_source_has_one_line() -> None:
    many = [
        Side(stack(f"c{n:02}", 10 + n, slice={"rangeStart": f"10.200.5.{n}", "rangeEnd": f"10.200.5.{n}"}))
        for n in range(1, 30)
    ]
    drawn = list(lines(compare(many)))
    assert drawn[0] == "c01  ready for 28 of 28 targets"
    assert len(drawn) == len(many) + 1


def test_what_could_not_be_judged_between_two_is_undecided_for_both() -> None:
    def unread(one: dict[str, Any], _other: dict[str, Any]) -> None:
        one["machines"] = ClusterError("forbidden", "context east refused to list virtualmachineinstances")

    peers = between(unread)
    assert {name: codes & {"vm-runs-twice", "peer-trust"} for name, codes in peers.undecided.items()} == {
        "east": {"vm-runs-twice"},
        "west": {"vm-runs-twice"},
    }


@pytest.mark.parametrize(("broken", "severity", "mark"), [(1, "warning", "?"), (2, "error", "no")])
def test_what_a_checkup_found_broken_between_two_is_not_ready_whatever_objects_say(
    broken: int, severity: str, mark: str
) -> None:
    sides = [seen(each, cluster(each, leased=n)) for each, n in ((EAST, 10), (WEST, 60))]
    ends = [("east", "n0"), ("west", "n0")]
    ways = tuple(
        Way(a, b, ok=number >= broken, reason="no answer", rtt=None, mtu=None)
        for number, (a, b) in enumerate([tuple(ends), tuple(ends[::-1])])
    )
    checkup = Checkup(datetime.now(UTC), 2, 2, ways, (), ())
    peers = compare(sides, checkup)
    assert [(each.code, each.severity) for each in peers.findings] == [("peer-way-broken", severity)]
    assert (peers.ready, peers.blocks) == (0, True)
    text = "\n".join(lines(peers))
    assert f"\n{'east':<6}" in text
    assert mark in text
    assert "measured between the nodes less than a minute ago" in text
    old = replace(checkup, begun=datetime.now(UTC) - timedelta(days=2))
    assert compare(sides, old).ready == 2
    assert "unknown between the nodes" in "\n".join(lines(compare(sides, old)))


@given(
    address=st.ip_addresses(),
    port=st.none() | st.integers(1, 65535),
    usual=st.integers(1, 65535),
)
def test_a_published_address_is_read_with_or_without_its_port(address: Address, port: int | None, usual: int) -> None:
    bracketed = f"[{address}]" if address.version == 6 else str(address)
    # An address of IPv6 without brackets may look like a shorter one with a port.
    bare = [] if str(address).endswith(f":{usual}") else [str(address)]
    texts = [f"{bracketed}:{port}"] if port else [bracketed, *bare]
    for text in texts:
        assert endpoint(text, usual) == (address, port or usual)
    assert endpoint(f"{address}:{usual}", usual) == (address, usual)


@given(st.text())
def test_what_is_no_address_is_none(text: str) -> None:
    address, port = endpoint(text, 9185)
    assert (address is None) == (port is None)


@given(
    spans=st.lists(st.integers(0, 255), min_size=1, max_size=6, unique=True),
    published=st.lists(st.integers(0, 255), min_size=1, max_size=3, unique=True),
)
def test_a_sync_address_is_fine_exactly_when_a_ready_sync_controller_of_the_slice_has_it(
    spans: list[int], published: list[int]
) -> None:
    side = cluster(EAST, leased=10)
    side["sync"] = [sync_pod(str(each), f"10.200.5.{each}") for each in spans]
    side["kubevirt"]["status"]["synchronizationAddresses"] = [f"10.200.5.{each}:9185" for each in published]
    inside = [each for each in published if 10 <= each <= 50]
    wanted = ["peer-sync-outside"] * (len(published) - len(inside))
    wanted += ["peer-sync-stale"] * len([each for each in inside if each not in spans])
    found = judge((sync,), seen(EAST, side)).findings
    assert sorted(each.code for each in found) == sorted(wanted)


SEGMENTS = ({"subnet": "10.200.5.0/24"}, {"subnet": "10.200.0.0/16"})


@given(st.lists(st.tuples(st.integers(1, 200), st.sampled_from(SEGMENTS), st.sampled_from("darkfiles")), max_size=6))
def test_what_is_left_out_between_sides_that_nobody_looked_at_says_nothing(
    drawn: list[tuple[int, dict[str, str], str]],
) -> None:
    sides = [
        Side(
            stack(f"s{number}", first, segment=segment),
            ClusterError("unreachable", "dark") if how in "dark" else None,
        )
        for number, (first, segment, how) in enumerate(drawn)
    ]
    sides += [seen(EAST, cluster(EAST, leased=10)), seen(WEST, cluster(WEST, leased=60))]
    short = compare(sides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mignet.checks.peers._worth_a_look", lambda sides: itertools.combinations(sides, 2))
        whole = compare(sides)
    assert short.findings == whole.findings
    assert short.not_judged == whole.not_judged
    assert (short.ready, short.blocks, dict(short.matrix)) == (whole.ready, whole.blocks, dict(whole.matrix))
    counts = [reason is None for reason in short.matrix.values()]
    assert (short.ready, len(short.matrix)) == (sum(counts), len(counts))
    assert short.blocks == any(each and each.code != "peer-not-judged" for each in short.matrix.values())
    assert list(lines(short)) == list(lines(whole))


ROUTED = {
    "supernet": "10.200.0.0/16",
    "mtu": 1500,
    "sites": {
        "east": {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"},
        "west": {"subnet": "10.200.6.0/24", "gateway": "10.200.6.1"},
    },
}


def test_clusters_of_two_sites_are_ready_for_each_other_and_those_of_other_segments_are_not() -> None:
    def at(name: str, site: str, net: str) -> Side:
        slice_ = {"rangeStart": f"{net}.10", "rangeEnd": f"{net}.20"}
        return Side(stack(name, 10, segment=ROUTED, site=site, slice=slice_))

    alone = {"rangeStart": "192.0.2.10", "rangeEnd": "192.0.2.20"}
    apart = stack("c", 10, segment={"subnet": "192.0.2.0/24"}, slice=alone)
    sides = [at("a", "east", "10.200.5"), at("b", "west", "10.200.6"), Side(apart)]
    peers = compare(sides)
    ready = {way for way, reason in peers.matrix.items() if reason is None}
    assert ready == {("a", "b"), ("b", "a")}
    assert {each.code for each in peers.findings} == {"peer-segment"}
    assert [(one.name, other.name) for one, other in peers.routed] == [("a", "b")]
    line = "site east ↔ site west: routed by 10.200.5.1 and 10.200.6.1, at most 1500 bytes a packet"
    assert line in list(lines(peers))


def test_two_clusters_of_one_site_still_need_slices_of_their_own() -> None:
    slice_ = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.20"}
    sides = [Side(stack(name, 10, segment=ROUTED, site="east", slice=slice_)) for name in "ab"]
    assert [each.code for each in compare(sides).findings] == ["peer-slices"]
