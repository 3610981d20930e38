"""A bond of Open vSwitch with two localnets, from the policy that is there to its end: every verb on one set-up."""

from __future__ import annotations

import json
from typing import Any

import yaml
from operated import HCO, Cluster, Operated, condition, interface, until

STATES = "/apis/nmstate.io/v1beta1/nodenetworkstates"
POLICIES = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
BOND = {"mode": "balance-slb", "port": [{"name": "eth1"}, {"name": "eth2"}]}
BRIDGE: dict[str, Any] = {
    "name": "br-phy",
    "description": "for migrations and tenants",
    "type": "ovs-bridge",
    "state": "up",
    "bridge": {
        "allow-extra-patch-ports": True,
        "options": {"stp": False, "mcast-snooping-enable": True},
        "port": [{"name": "ovs-bond", "link-aggregation": BOND}],
    },
}
MEMBERS = [{"name": name, "type": "ethernet", "state": "up", "mtu": 9000} for name in ("eth1", "eth2")]
MAPPINGS = [{"localnet": name, "bridge": "br-phy", "state": "present"} for name in ("mig", "tenants")]


def second_nic(cluster: Cluster) -> None:
    """Give each node a NIC eth2 like eth1."""
    for state in cluster.get(STATES)["items"]:
        current = state["status"]["currentState"]
        eth1 = next(each for each in current["interfaces"] if each["name"] == "eth1")
        interfaces = [*current["interfaces"], eth1 | {"name": "eth2"}]
        status = state["status"] | {"currentState": current | {"interfaces": interfaces}}
        cluster.kube.call("PUT", f"{STATES}/{state['metadata']['name']}/status", json=state | {"status": status})


def published(cluster: Cluster) -> None:
    """Apply the policy that somebody wrote by hand, and wait until nmstate has."""
    state = {"interfaces": [*MEMBERS, BRIDGE], "ovn": {"bridge-mappings": MAPPINGS}}
    policy = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "metadata": {"name": "by-hand"}}
    cluster.kube.call("POST", POLICIES, json=policy | {"spec": {"desiredState": state}})
    until(lambda: condition(cluster.get(f"{POLICIES}/by-hand"), "Available") == "True")


def on_node(cluster: Cluster, name: str) -> dict[str, Any] | None:
    current = cluster.get(f"{STATES}/dev-worker-1")["status"]["currentState"]
    return next((each for each in current["interfaces"] if each["name"] == name), None)


def test_an_ovs_bond_is_read_from_its_policy_and_lives_through_all_verbs(operated: Operated) -> None:
    dev = operated.dev
    second_nic(dev)
    published(dev)

    # init: the policy becomes the uplink; what a stack file cannot say is named.
    file = operated.folder / "Pulumi.dev.yaml"
    file.unlink()
    cluster = ("--context", "dev", "--kubeconfig", str(operated.lab.kubeconfig), "--from-cluster")
    unknown = operated.run("init", "dev", *cluster, "--uplink-from", "by-foot")
    assert (unknown.code, "Policies there: by-hand" in unknown.err) == (2, True), unknown.err
    made = operated.run("init", "dev", *cluster, "--uplink-from", "by-hand")
    assert made.code == 0, made.out + made.err
    lost = [line for line in made.out.splitlines() if line.startswith("policy ")]
    assert lost == ["policy by-hand: not in the stack file: br-phy.description: for migrations and tenants"]
    assert "after up two policies declare the same: then oc delete nncp by-hand" in made.out
    config = yaml.safe_load(file.read_text())["config"]
    assert config["migration-network:attachment"]["physicalNetworkName"] == "mig"
    assert config["migration-network:uplink"] == {
        "ovsBridge": {
            "name": "br-phy",
            "ports": [{"name": "ovs-bond", "linkAggregation": {"mode": "balance-slb", "ports": ["eth1", "eth2"]}}],
            "multicastSnooping": True,
        },
        "localnets": [{"localnet": "mig"}, {"localnet": "tenants"}],
    }

    # check, render: the same policy, field by field, but for the description.
    assert operated.run("check", "dev").code == 0
    rendered = operated.run("render", "dev")
    assert rendered.code == 0, rendered.err
    (policy,) = [each for each in yaml.safe_load_all(rendered.out) if "desiredState" in (each.get("spec") or {})]
    wanted = {key: value for key, value in BRIDGE.items() if key != "description"}
    nics = [{key: value for key, value in each.items() if key != "type"} for each in MEMBERS]
    assert policy["spec"]["desiredState"] == {
        "interfaces": [*nics, wanted],
        "ovn": {"bridge-mappings": MAPPINGS},
    }

    # preflight: the other policy is named, and no error; up takes over, and by-hand may go.
    before = operated.run("preflight", "dev", "-o", "json")
    assert {(each["code"], each["severity"]) for each in before.findings} == {("policy-shared", "warning")}, before.out
    up = operated.run("up", "dev", "--yes", "--engine", "direct")
    assert up.code == 0, up.out + up.err
    network = dev.get(HCO)["spec"]["liveMigrationConfig"]["network"]
    until(lambda: dev.settled(network))
    dev.kube.call("DELETE", f"{POLICIES}/by-hand")
    assert on_node(dev, "br-phy") is not None
    assert all((interface(pod) or {})["ips"] for pod in dev.pods())

    # verify, drift, peers, limits, capacity, diagnose, report.
    verified = operated.run("verify", "dev", "--no-peers", "-o", "json")
    assert (verified.code, verified.findings) == (0, []), verified.out + verified.err
    drift = operated.run("drift", "dev", "--engine", "direct")
    assert drift.code == 0, drift.out + drift.err
    (live,) = [each for each in dev.get(POLICIES)["items"] if each["metadata"]["name"].startswith("migration-dev-")]
    port = live["spec"]["desiredState"]["interfaces"][-1]["bridge"]["port"][0]
    port["link-aggregation"]["mode"] = "active-backup"
    dev.kube.call("PUT", f"{POLICIES}/{live['metadata']['name']}", json=live)
    drifted = operated.run("drift", "dev", "--engine", "direct")
    assert (drifted.code, "active-backup" in drifted.out) == (7, True), drifted.out + drifted.err
    for verb in (("diagnose", "dev"), ("limits", "dev"), ("capacity", "dev")):
        outcome = operated.run(*verb)
        assert "Traceback" not in outcome.err, outcome.err
        assert outcome.code in {0, 1}, outcome.out + outcome.err
    report = operated.run("report", "dev", "-o", "markdown")
    assert (report.code, "ovs-bond" in report.out, "br-phy" in report.out) == (0, True, True), report.out + report.err

    # preview of a change, and its end: the drift is gone, a member's wrong MTU is found, all is taken back.
    mended = operated.run("up", "dev", "--yes", "--engine", "direct")
    assert mended.code == 0, mended.out + mended.err
    config["migration-network:uplink"]["ovsBridge"]["ports"][0] |= {"access": 7}
    file.write_text(yaml.safe_dump({"config": config}))
    refused = operated.run("check", "dev")
    assert (refused.code, "access 7 does not let VLAN 2001 of the attachment pass" in refused.out + refused.err) == (
        2,
        True,
    ), refused.out + refused.err
    config["migration-network:uplink"]["ovsBridge"]["ports"][0] |= {"access": 2001}
    file.write_text(yaml.safe_dump({"config": config}))
    shown = operated.run("preview", "dev", "--engine", "direct")
    assert ("2001" in shown.out, shown.code) == (True, 0), shown.out + shown.err
    gone = operated.run("destroy", "dev", "--yes", "--engine", "direct")
    assert gone.code == 0, gone.out + gone.err
    assert on_node(dev, "br-phy") is None
    assert (on_node(dev, "eth1") or {})["state"] == "up"
    assert json.dumps(dev.get(f"{STATES}/dev-worker-1")["status"]["currentState"].get("ovn", {})).find("mig") < 0
