"""Where the sync controllers run: the scheduler's own rules, over what virt-operator writes into their Deployment."""

from __future__ import annotations

from typing import Any

import pytest

from config.cluster import Cluster
from config.planning.demand import demand_of
from mignet.kube.kubevirt.sync_controllers import sync_controllers
from mignet.kube.network.node_network import Node

CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
WORKER = {"node-role.kubernetes.io/worker": ""}
TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


def node(labels: dict[str, str], *taints: dict[str, str]) -> Node:
    return Node.read({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": list(taints)}}, None)


def placed(placement: Any, **keys: Any) -> Any:
    return sync_controllers({"spec": {"infra": {"nodePlacement": placement} | keys}}, None)


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)}]
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    }


@pytest.mark.parametrize("label", ["control-plane", "master"])
def test_where_nobody_names_a_placement_it_is_the_control_plane(label: str) -> None:
    by_default = sync_controllers({"spec": {}}, {"spec": {"infra": {}}})
    key = f"node-role.kubernetes.io/{label}"
    assert by_default.replicas == 2
    assert by_default.may_run_on(node({key: ""}, {"key": key, "effect": "NoSchedule"}))
    assert not by_default.may_run_on(node(WORKER))


def test_an_empty_placement_is_any_node_that_lets_them_in() -> None:
    anywhere = placed({}, replicas=1)
    assert anywhere.replicas == 1
    assert anywhere.may_run_on(node(WORKER))
    assert not anywhere.may_run_on(node(CONTROL_PLANE, TAINT))
    # A node that is cordoned, or not ready, comes back.
    assert anywhere.may_run_on(node(WORKER, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}))
    assert anywhere.may_run_on(node(WORKER, {"key": "CriticalAddonsOnly", "value": "x", "effect": "NoExecute"}))


def test_what_the_kubevirt_object_leaves_open_the_hyperconverged_says_at_the_path_of_either_version() -> None:
    worker = {"nodeSelector": WORKER}
    for spec in ({"infra": {"nodePlacement": worker}}, {"deployment": {"nodePlacements": {"infra": worker}}}):
        found = sync_controllers({"spec": {"infra": {"replicas": 1}}}, {"spec": spec})
        assert (found.replicas, found.placement) == (1, worker)


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "rack", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "rack", "operator": "In", "values": ["c"]}, False),
        ({"key": "rack", "operator": "NotIn", "values": ["c"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["c"]}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, True),
        ({"key": "rack", "operator": "Exists"}, True),
        ({"key": "slot", "operator": "Gt", "values": ["6"]}, True),
        ({"key": "slot", "operator": "Lt", "values": ["6"]}, False),
        ({"key": "rack", "operator": "Gt", "values": ["6"]}, False),
    ],
)
def test_an_affinity_is_read_as_the_scheduler_reads_it(expression: dict[str, Any], *, fits: bool) -> None:
    assert placed(required(expression)).may_run_on(node({"rack": "a", "slot": "7"})) is fits


def test_a_tolerated_taint_keeps_nobody_away() -> None:
    taint = {"key": "dedicated", "value": "infra", "effect": "NoExecute"}
    for toleration, fits in (
        ({"key": "dedicated", "value": "infra"}, True),
        ({"key": "dedicated", "value": "vms"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}, False),
    ):
        assert placed({"tolerations": [toleration]}).may_run_on(node(WORKER, taint)) is fits


def test_the_demand_counts_the_sync_controllers_that_there_are() -> None:
    stack = Cluster(context="c", nodes=3)
    three = demand_of(stack)
    assert three is not None
    assert three.total == 3 + 2 + 1 + 1
    alone = demand_of(stack.model_copy(update={"cross_cluster": False}), sync_controllers=2)
    assert alone is not None
    assert (alone.total, str(alone)) == (5, "3 nodes + 1 during a rollout + 1 headroom, 20 % of nodes")
    single = demand_of(Cluster.model_validate({"context": "c", "nodes": 1, "syncControllers": 1}))
    assert single is not None
    assert str(single) == "1 node + 1 sync controller + 1 during a rollout + 1 headroom, 20 % of nodes"
