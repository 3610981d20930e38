"""What a checkup decides before it creates anything: which nodes, and whether there are addresses for them."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from config.loading import load_stack
from mignet.checkup import manifests, preconditions
from mignet.checkup.manifests import Asked
from mignet.checkup.preconditions import Site
from mignet.checkup.run import Plan, with_sync_ports
from mignet.kube.client import ClusterError
from mignet.kube.kinds import IP_POOL, KUBEVIRT, NETWORK_ATTACHMENT, NODE, POD
from mignet.kube.snapshot import Read, Snapshot, judge
from mignet.operations.roles import granted

BASE: dict[str, Any] = {
    "segment": {"subnet": "10.200.5.0/24", "mtu": 9000},
    "cluster": {"context": "a"},
    "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.19"},
}
NAMESPACE = "openshift-cnv"


def node(name: str, *, schedulable: bool = True, ready: str = "True") -> dict[str, Any]:
    labels = {"kubevirt.io/schedulable": "true"} if schedulable else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(name: str, on: str, address: str | None, role: str = "virt-handler") -> dict[str, Any]:
    link = [{"name": f"{NAMESPACE}/m", "interface": "migration0", "ips": [address]}] if address else []
    annotations = {"k8s.v1.cni.cncf.io/network-status": json.dumps(link)}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"kubevirt.io": role}, "annotations": annotations}
    return {
        "metadata": metadata | {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": on},
        "status": {},
    }


def looked(
    nodes: Sequence[Any],
    pods: Sequence[Any] = (),
    leases: Mapping[str, str] | None = None,
    chosen: tuple[str, ...] = (),
    **config: Any,
) -> Site:
    stack = load_stack("a", {key: value for key, value in (BASE | config).items() if value is not None})
    attachment = {"metadata": {"name": "m", "namespace": NAMESPACE}}
    pool = {
        "metadata": {"name": "10.200.5.0-24", "namespace": "kube-system"},
        "spec": {
            "range": "10.200.5.0/24",
            "allocations": {key: {"podref": who} for key, who in (leases or {}).items()},
        },
    }
    kubevirt = {"metadata": {"name": "kubevirt", "namespace": NAMESPACE}, "spec": {"synchronizationPort": "9300"}}
    found = {
        Read(KUBEVIRT, NAMESPACE): (kubevirt,),
        Read(NODE): tuple(nodes),
        Read(NETWORK_ATTACHMENT, NAMESPACE, "m"): (attachment,),
        Read(POD, NAMESPACE): tuple(pods),
        Read(IP_POOL): (pool,),
    }
    return Site(Snapshot(stack, found), chosen)  # type: ignore[arg-type]


NODES = [node("n0"), node("n1"), node("n2")]


def codes(one: Site) -> list[str]:
    return [finding.code for finding in judge(preconditions.RULES, one).findings]


def test_nodes_that_run_machines_and_those_of_sync_controllers_get_probes() -> None:
    control = [node("c0", schedulable=False), node("c1", schedulable=False)]
    sync = pod("sync", "c1", "10.200.5.13", "virt-synchronization-controller")
    assert looked([*NODES, *control], [sync]).nodes == ("c1", "n0", "n1", "n2")


def test_a_node_that_is_not_ready_is_left_out_and_said() -> None:
    one = looked([*NODES, node("n3", ready="Unknown")])
    assert one.nodes == ("n0", "n1", "n2")
    assert codes(one) == ["checkup-node-away"]


def test_patterns_choose_nodes_and_may_choose_none_of_one_cluster() -> None:
    assert looked(NODES, chosen=("n[12]",)).nodes == ("n1", "n2")
    (finding,) = judge(preconditions.RULES, looked(NODES, chosen=("x*",))).findings
    assert (finding.code, finding.blocks) == ("checkup-no-nodes", False)


def test_a_cluster_without_a_node_for_machines_is_an_error() -> None:
    (finding,) = judge(preconditions.RULES, looked([node("n0", schedulable=False)])).findings
    assert (finding.code, finding.blocks) == ("checkup-no-nodes", True)


@pytest.mark.parametrize(("leases", "room"), [(0, 6), (4, 5), (9, 0)])
def test_the_room_leaves_what_pods_wait_for_and_one_for_a_rollout(leases: int, room: int) -> None:
    # Ten addresses for three nodes: those of the handlers that have none yet are kept, and one.
    handlers = [pod(f"h{n}", f"n{n}", f"10.200.5.{10 + n}") for n in range(min(leases, 3))]
    given = {str(10 + number): f"{NAMESPACE}/p{number}" for number in range(leases)}
    assert looked(NODES, handlers, given).room == room


def test_without_room_nothing_may_be_created() -> None:
    given = {str(10 + number): f"{NAMESPACE}/p{number}" for number in range(10)}
    handlers = [pod(f"h{n}", f"n{n}", f"10.200.5.{10 + n}") for n in range(3)]
    assert codes(looked(NODES, handlers, given)) == ["checkup-no-room"]


def test_static_addresses_are_refused_as_a_probe_would_take_a_handlers() -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.200.5.10/24"}]}
    one = looked(NODES, attachment=BASE["attachment"] | {"ipam": ipam}, slice=None)
    assert "checkup-static" in codes(one)


def test_its_role_holds_nothing_of_virtual_machines_nor_exec_nor_logs() -> None:
    rights = granted("checkup", load_stack("a", BASE))
    groups = {"", "batch", "k8s.cni.cncf.io", "kubevirt.io", "whereabouts.cni.cncf.io"}
    assert {right.group for right in rights} == groups
    assert {right.resource for right in rights if right.group == "kubevirt.io"} == {"kubevirts"}
    assert {right.resource for right in rights if right.verb not in {"get", "list"}} == {"pods", "jobs"}
    assert all(right.namespace == NAMESPACE for right in rights if right.verb not in {"get", "list"})


def test_the_pods_fit_the_restricted_standard_and_are_owned_by_the_job() -> None:
    stack, asked = load_stack("a", BASE), Asked("r1", 1, manifests.ports(1), timeout=30)
    made = manifests.pod(stack, asked, 0, number=2, node="n2", token="t", owner="uid-1")
    spec = made["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == manifests.job(stack, asked, 0)["spec"]["activeDeadlineSeconds"] == 90
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", manifests.job_name(asked, 0), "uid-1")
    assert made["metadata"]["annotations"] == {"k8s.v1.cni.cncf.io/networks": "m@migration0"}
    assert ast.parse(container["command"][2], feature_version=(3, 9)).body


def test_the_port_of_the_sync_controllers_is_the_one_that_kubevirt_names() -> None:
    one = looked(NODES)
    refused = Snapshot(one.stack, dict(one.seen.found) | {Read(KUBEVIRT, NAMESPACE): ClusterError("forbidden", "no")})
    nothing = Snapshot(one.stack, dict(one.seen.found) | {Read(KUBEVIRT, NAMESPACE): ()})
    assert [Site(each).sync_port for each in (one.seen, refused, nothing)] == [9300, 9185, 9185]
    sites = {"a": one, "b": Site(nothing), "c": one}
    asked = with_sync_ports(Asked("r1", 1, (40000,)), Plan((), sites, ()))
    assert asked.ports == (9185, 9300, 40000)


def test_the_seed_chooses_the_ephemeral_ports() -> None:
    assert manifests.ports(7) == manifests.ports(7) != manifests.ports(8)
    for seed in range(50):
        assert len(set(manifests.ports(seed))) == 3
        assert all(32768 <= port <= 60999 for port in manifests.ports(seed))
