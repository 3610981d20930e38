"""Uplinks against a real API server: what goes on waits for the nodes, and what goes away takes its interfaces along.

No kubernetes-nmstate runs here; `nmstate_operator` sets the conditions that the real one sets.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nmstate_operator import POLICIES, NmstateOperator, of_this_worker
from support import Kube, Outcome, Site, Workspace

from mignet.lab.lab import Lab

WORKERS = {"node-role.kubernetes.io/worker": ""}
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
ETH1, ETH2, ETH3, BOND1, MIG0, MIG1 = map(of_this_worker, ("eth1", "eth2", "eth3", "bond1", "mig0", "mig1"))
VLAN = f"{ETH1}.2001"


@pytest.fixture
def with_uplink(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace with a VLAN on every node; what a test leaves behind is removed."""
    workspace.config["attachment"]["master"] = VLAN
    workspace.config["uplink"] = {"vlan": {"baseInterface": ETH1}}
    workspace.write()
    yield workspace
    operator = NmstateOperator(workspace.site.kube, workspace.stack)
    for policy in operator.policies():
        workspace.site.kube.call("DELETE", f"{POLICIES}/{policy['metadata']['name']}")


@pytest.fixture
def operator(with_uplink: Workspace) -> Iterator[NmstateOperator]:
    with NmstateOperator(with_uplink.site.kube, with_uplink.stack) as one:
        yield one


def up(workspace: Workspace, engine: str) -> dict[str, Any]:
    outcome = workspace.mignet("up", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    return outcome.changes


def failed(outcome: Outcome) -> list[str]:
    assert outcome.code == 1, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    return str(outcome.reports[0]["error"]).splitlines()


def test_the_network_comes_up_once_the_nodes_have_the_uplink(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    first = with_uplink.mignet("preview", engine)
    assert first.changes["NodeNetworkConfigurationPolicy"][0] == "create"
    assert not operator.policies(), "a preview changes nothing"
    assert up(with_uplink, engine)["NodeNetworkConfigurationPolicy"][0] == "create"
    (policy,) = operator.policies()
    assert policy["spec"]["desiredState"]["interfaces"][1]["vlan"] == {"base-iface": ETH1, "id": 2001}
    assert operator.on_nodes() == {ETH1: "up", VLAN: "up"}
    assert "migration" in with_uplink.site.live()["attachments"]
    again = with_uplink.mignet("drift", engine)
    assert again.code == 0, again.out + again.err
    assert up(with_uplink, engine)["NodeNetworkConfigurationPolicy"] == ("same", {})
    with_uplink.config["uplink"]["baseMtu"] = 9100
    with_uplink.write()
    changed = with_uplink.mignet("preview", engine).changes["NodeNetworkConfigurationPolicy"]
    assert (changed[0], list(changed[1])) == ("update", ["spec.desiredState.interfaces"])
    assert up(with_uplink, engine)["NodeNetworkConfigurationPolicy"][0] == "update"
    assert operator.states[-1][1]["interfaces"][0] == {"name": ETH1, "state": "up", "mtu": 9100}


def test_nothing_stands_on_an_uplink_that_a_node_refused_and_the_reason_is_shown(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    operator.fails["dev-worker-1"] = "InvalidArgument: Failed to find unknown type interface eth1 in current state"
    lines = failed(with_uplink.mignet("up", engine))
    assert any("failed: 1/4 nodes failed to configure" in line for line in lines), lines
    reason = "node dev-worker-1: InvalidArgument: Failed to find unknown type interface eth1 in current state"
    assert any(line.endswith(reason) for line in lines), lines
    assert not with_uplink.site.live()["attachments"]
    operator.fails.clear()
    with_uplink.config["uplink"]["baseMtu"] = 9100
    with_uplink.write()
    up(with_uplink, engine)
    assert "migration" in with_uplink.site.live()["attachments"]


def test_conditions_of_an_older_generation_are_not_believed(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    up(with_uplink, engine)
    with_uplink.config["uplink"] |= {"baseMtu": 9100, "waitSeconds": 1}
    with_uplink.write()
    (before,) = operator.policies()
    operator.__exit__(None, None, None)
    lines = failed(with_uplink.mignet("up", engine))
    assert any("is not Available after 1 s" in line for line in lines), lines
    (policy,) = operator.policies()
    available = next(each for each in policy["status"]["conditions"] if each["type"] == "Available")
    assert (available["status"], policy["metadata"]["generation"]) == ("True", before["metadata"]["generation"] + 1)
    # Run again, it waits again, though the policy itself stands as declared.
    assert failed(with_uplink.mignet("up", engine))


def test_a_selector_that_selects_no_node_is_named(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    with_uplink.config["uplink"]["nodeSelector"] = {"rack": "none"}
    with_uplink.write()
    lines = failed(with_uplink.mignet("up", engine))
    assert any("selects no node (rack=none); correct nodeSelector" in line for line in lines), lines


def test_a_destroy_takes_the_interfaces_off_the_nodes_before_the_policies_go(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    with_uplink.config["attachment"]["master"] = MIG0
    with_uplink.config["uplink"] = {
        "nodeGroups": [
            {
                "name": "workers",
                "nodeSelector": WORKERS,
                "bond": {"name": BOND1, "ports": [ETH1, ETH2], "mode": "active-backup"},
                "vlan": {"name": MIG0},
            },
            {"name": "masters", "nodeSelector": CONTROL_PLANE, "vlan": {"baseInterface": ETH3, "name": MIG0}},
        ]
    }
    with_uplink.write()
    up(with_uplink, engine)
    assert len(operator.policies()) == 2
    outcome = with_uplink.mignet("destroy", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    assert not operator.policies()
    last = {name.rpartition("-")[0].rpartition("-")[2]: state for name, state in operator.states}
    assert last == {
        "workers": {
            "interfaces": [
                {"name": ETH1, "state": "up"},
                {"name": ETH2, "state": "up"},
                {"name": BOND1, "type": "bond", "state": "absent"},
                {"name": MIG0, "type": "vlan", "state": "absent"},
            ]
        },
        "masters": {"interfaces": [{"name": ETH3, "state": "up"}, {"name": MIG0, "type": "vlan", "state": "absent"}]},
    }


def test_another_interface_comes_before_the_old_one_goes(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    with_uplink.config["uplink"] = {
        "bond": {"name": BOND1, "ports": [ETH1, ETH2], "mode": "active-backup"},
        "vlan": {"name": MIG0},
    }
    with_uplink.config["attachment"]["master"] = MIG0
    with_uplink.write()
    up(with_uplink, engine)
    with_uplink.config["uplink"]["vlan"]["name"] = MIG1
    with_uplink.config["attachment"]["master"] = MIG1
    with_uplink.write()
    up(with_uplink, engine)
    assert len(operator.policies()) == 1
    assert operator.on_nodes() == {ETH1: "up", ETH2: "up", BOND1: "up", MIG0: "absent", MIG1: "up"}
    # The bond is in use by the new policy: the old one leaves it alone.
    assert operator.states[-1][1] == {"interfaces": [{"name": MIG0, "type": "vlan", "state": "absent"}]}
    assert with_uplink.mignet("drift", engine).code == 0


def test_a_group_that_goes_takes_its_interfaces_along_and_the_others_keep_theirs(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    workers = {"name": "workers", "nodeSelector": WORKERS, "vlan": {"baseInterface": ETH1, "name": MIG0}}
    masters = workers | {"name": "masters", "nodeSelector": CONTROL_PLANE}
    with_uplink.config["attachment"]["master"] = MIG0
    with_uplink.config["uplink"] = {"nodeGroups": [workers, masters]}
    with_uplink.write()
    up(with_uplink, engine)
    with_uplink.config["uplink"] = {"nodeGroups": [workers]}
    with_uplink.write()
    up(with_uplink, engine)
    (policy,) = operator.policies()
    assert "-workers-" in policy["metadata"]["name"]
    name, state = operator.states[-1]
    assert "-masters-" in name
    assert state["interfaces"][-1] == {"name": MIG0, "type": "vlan", "state": "absent"}


def test_what_another_policy_declares_on_the_same_nodes_stays_and_is_named(
    with_uplink: Workspace, operator: NmstateOperator
) -> None:
    group = {"name": "all", "vlan": {"baseInterface": ETH1, "name": MIG0}}
    with_uplink.config["attachment"]["master"] = MIG0
    with_uplink.config["uplink"] = {"nodeGroups": [group]}
    with_uplink.write()
    up(with_uplink, "direct")
    with_uplink.config["uplink"] = {"nodeGroups": [group | {"name": "workers", "nodeSelector": WORKERS}]}
    with_uplink.write()
    outcome = with_uplink.mignet("up", "direct")
    (policy,) = operator.policies()
    line = f"{MIG0} stays on the nodes: policy {policy['metadata']['name']} declares it too"
    assert line in outcome.reports[0]["warnings"]
    assert operator.on_nodes()[MIG0] == "up"


@pytest.mark.pulumi
def test_plain_pulumi_changes_no_policy_that_is_being_rolled_out(
    with_uplink: Workspace, operator: NmstateOperator
) -> None:
    killed_under_way(with_uplink, operator, "up", "direct", release=False)
    with_uplink.config["uplink"]["baseMtu"] = 9100
    with_uplink.write()
    (before,) = operator.policies()
    with_uplink.run("pulumi", "stack", "init", with_uplink.stack)
    with_uplink.write()
    outcome = with_uplink.run("pulumi", "up", "--yes", "--stack", with_uplink.stack, "--non-interactive")
    assert outcome.code != 0
    assert "is being rolled out (Policy is progressing 0/4 nodes finished), and would be changed" in outcome.out
    assert operator.policies()[0]["spec"] == before["spec"]
    operator.released.set()


def test_a_destroy_that_fails_on_the_nodes_keeps_the_policy_and_says_why(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    up(with_uplink, engine)
    operator.fails["dev-worker-0"] = "Bug: busy"
    lines = failed(with_uplink.mignet("destroy", engine))
    assert any(line.endswith("node dev-worker-0: Bug: busy") for line in lines), lines
    (policy,) = operator.policies()
    operator.fails.clear()
    # Somebody mends the node, and nmstate looks at the policy again.
    del operator._seen[policy["metadata"]["name"]]
    outcome = with_uplink.mignet("destroy", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    assert not operator.policies()
    assert operator.on_nodes() == {ETH1: "up", VLAN: "absent"}


def killed_under_way(
    workspace: Workspace, operator: NmstateOperator, verb: str, engine: str, *, release: bool = True
) -> None:
    """Kill a verb while the nodes are at work for it."""
    operator.under_way.clear()
    operator.released.clear()
    more = ["--skip-preflight"] if verb == "up" else []
    process = workspace.start("mignet", verb, workspace.stack, "--engine", engine, "--yes", *more)
    assert operator.under_way.wait(60), process.communicate()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if release:
        operator.released.set()


@pytest.mark.parametrize("verb", ["up", "destroy"])
def test_ctrl_c_while_the_nodes_are_at_work_ends_at_once_and_says_that_they_go_on(
    with_uplink: Workspace, operator: NmstateOperator, verb: str
) -> None:
    if verb == "destroy":
        up(with_uplink, "direct")
    operator.under_way.clear()
    operator.released.clear()
    more = ["--skip-preflight"] if verb == "up" else []
    process = with_uplink.start("mignet", verb, with_uplink.stack, "--engine", "direct", "--yes", *more)
    assert operator.under_way.wait(60), process.communicate()
    process.send_signal(signal.SIGINT)
    # Nobody lets the nodes go on meanwhile.
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1, out + err
    (policy,) = (each["metadata"]["name"] for each in operator.policies())
    assert f"done, and the nodes go on with policy {policy} by themselves; run again for the rest" in out
    assert f"waiting for the nodes to take policy {policy} (0 s of at most " in err, "a wait is told at once"
    assert "after which this is an error and the nodes go on)" in err
    operator.released.set()
    again(with_uplink, verb, "direct")
    assert operator.on_nodes().get(VLAN) == ("up" if verb == "up" else "absent")


def again(workspace: Workspace, verb: str, engine: str) -> None:
    outcome = workspace.mignet(verb, engine)
    if engine == "pulumi" and "holds this stack" in outcome.out:
        workspace.run("pulumi", "cancel", "--yes", "--stack", workspace.stack)
        outcome = workspace.mignet(verb, engine)
    assert outcome.code == 0, outcome.out + outcome.err


def test_what_is_killed_while_the_nodes_are_at_work_ends_when_run_again(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    killed_under_way(with_uplink, operator, "up", engine)
    assert not with_uplink.site.live()["attachments"]
    again(with_uplink, "up", engine)
    assert "migration" in with_uplink.site.live()["attachments"]
    killed_under_way(with_uplink, operator, "destroy", engine)
    assert operator.policies()
    again(with_uplink, "destroy", engine)
    assert not operator.policies()
    assert operator.on_nodes() == {ETH1: "up", VLAN: "absent"}


def test_a_policy_of_somebody_else_is_refused_and_left_alone(with_uplink: Workspace, engine: str) -> None:
    kube = with_uplink.site.kube
    preview = with_uplink.mignet("preview", "direct").reports[0]["changes"]
    name = next(change["name"] for change in preview if change["kind"] == "NodeNetworkConfigurationPolicy")
    foreign = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "metadata": {"name": name}}
    kube.call("POST", POLICIES, json=foreign | {"spec": {}}, params={"fieldManager": "kubectl-create"})
    try:
        lines = failed(with_uplink.mignet("up", engine))
        assert f"{name} exists and was made by somebody else (field manager kubectl-create)" in lines[0]
        assert (
            "spec" not in kube.call("GET", f"{POLICIES}/{name}") or not kube.call("GET", f"{POLICIES}/{name}")["spec"]
        )
    finally:
        kube.call("DELETE", f"{POLICIES}/{name}")


def test_policies_are_owned_by_one_field_manager(
    with_uplink: Workspace, operator: NmstateOperator, engine: str
) -> None:
    up(with_uplink, engine)
    (policy,) = operator.policies()
    assert policy["metadata"]["labels"]["app.kubernetes.io/instance"] == with_uplink.stack
    managers = {entry["manager"] for entry in policy["metadata"]["managedFields"] if "subresource" not in entry}
    assert managers == {"migration-network"}


@pytest.mark.pulumi
def test_either_engine_goes_on_where_the_other_left(with_uplink: Workspace, operator: NmstateOperator) -> None:
    up(with_uplink, "pulumi")
    assert with_uplink.mignet("drift", "direct").code == 0
    by_hand = operator.policies()[0]["spec"] | {"maxUnavailable": 1}
    name = operator.policies()[0]["metadata"]["name"]
    with_uplink.site.kube.merge(f"{POLICIES}/{name}", {"spec": by_hand}, "kubectl-edit")
    up(with_uplink, "direct")
    assert with_uplink.mignet("destroy", "direct").code == 0
    assert not operator.policies()
    up(with_uplink, "pulumi")
    assert with_uplink.run("pulumi", "destroy", "--yes", "--stack", with_uplink.stack, "--non-interactive").code == 0
    assert not operator.policies()
    assert operator.on_nodes() == {ETH1: "up", VLAN: "absent"}


@pytest.mark.pulumi
def test_the_state_needs_no_passphrase_and_holds_no_credential(
    with_uplink: Workspace, operator: NmstateOperator
) -> None:
    up(with_uplink, "pulumi")
    state = with_uplink.run("pulumi", "stack", "export", "--stack", with_uplink.stack).out
    resources = json.loads(state)["deployment"]["resources"]
    (rollout,) = [each for each in resources if each["type"] == "pulumi-python:dynamic/migration-network:Rollout"]
    assert "ciphertext" not in json.dumps(rollout)
    assert rollout["inputs"].keys() == {
        "__provider",
        "policy",
        "generation",
        "stack",
        "context",
        "kubeconfig",
        "waitSeconds",
    }
    assert "PRIVATE KEY" not in state


def test_a_cluster_without_kubernetes_nmstate_is_named_only_when_an_uplink_is_declared(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", clusters=("dev",), operators=False)
    lab.up(lambda _: None)
    try:
        site = Site(Kube(lab.kubeconfig, "dev"), lab.kubeconfig, "dev", "t-bare")
        site.create()
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        site.kube.call("DELETE", f"{definitions}/nodenetworkconfigurationpolicies.nmstate.io")
        while site.kube.call("GET", "/apis/nmstate.io/v1") is not None:
            time.sleep(0.02)
        workspace = Workspace(tmp_path / "project", site)
        workspace.create()
        assert workspace.mignet("up", "direct").code == 0
        assert workspace.mignet("destroy", "direct").code == 0
        workspace.config["attachment"]["master"] = VLAN
        workspace.config["uplink"] = {"vlan": {"baseInterface": ETH1}}
        workspace.write()
        lines = failed(workspace.mignet("up", "direct"))
        served = "does not serve NodeNetworkConfigurationPolicy (nmstate.io/v1); install its operator, or correct the"
        assert served in lines[0]
        assert not site.live()["attachments"]
    finally:
        lab.down()
