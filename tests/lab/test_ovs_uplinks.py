"""A bond of Open vSwitch with two localnets, from the policy that is there to its end: every verb on one set-up."""

from __future__ import annotations

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
UPLINK: dict[str, Any] = {
    "ovsBridge": {
        "name": "br-phy",
        "ports": [{"name": "ovs-bond", "linkAggregation": {"mode": "balance-slb", "ports": ["eth1", "eth2"]}}],
        "multicastSnooping": True,
    },
    "localnets": [{"localnet": "mig"}, {"localnet": "tenants"}],
}
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


def test_an_ovs_bond_is_read_from_its_policy_and_lives_through_all_verbs(operated: Operated, engine: str) -> None:
    second_nic(operated.dev)
    published(operated.dev)
    begin_with_the_policy(operated)
    look_into_the_files(operated)
    take_over(operated, engine)
    look_at_the_cluster(operated, engine)
    change_and_end(operated, engine)


def begin_with_the_policy(operated: Operated) -> None:
    """The policy becomes the uplink; what a stack file cannot say is named."""
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
    assert config["migration-network:uplink"] == UPLINK


def look_into_the_files(operated: Operated) -> None:
    """What is rendered is the same policy, field by field, but for the description."""
    assert operated.run("check", "dev").code == 0
    rendered = operated.run("render", "dev")
    assert rendered.code == 0, rendered.err
    (policy,) = [each for each in yaml.safe_load_all(rendered.out) if "desiredState" in (each.get("spec") or {})]
    bridge = {key: value for key, value in BRIDGE.items() if key != "description"}
    nics = [{key: value for key, value in each.items() if key != "type"} for each in MEMBERS]
    assert policy["spec"]["desiredState"] == {
        "interfaces": [*nics, bridge],
        "ovn": {"bridge-mappings": MAPPINGS},
    }


def take_over(operated: Operated, engine: str) -> None:
    """The other policy is named, and no error; what it made stays when it goes."""
    dev = operated.dev
    before = operated.run("preflight", "dev", "-o", "json")
    assert {(each["code"], each["severity"]) for each in before.findings} == {("policy-shared", "warning")}, before.out
    up = operated.run("up", "dev", "--yes", "--engine", engine)
    assert up.code == 0, up.out + up.err
    network = dev.get(HCO)["spec"]["liveMigrationConfig"]["network"]
    until(lambda: dev.settled(network))
    dev.kube.call("DELETE", f"{POLICIES}/by-hand")
    assert on_node(dev, "br-phy") is not None
    assert all((interface(pod) or {})["ips"] for pod in dev.pods())


def look_at_the_cluster(operated: Operated, engine: str) -> None:
    """All is well until somebody edits the policy."""
    dev = operated.dev
    verified = operated.run("verify", "dev", "--no-peers", "-o", "json")
    assert (verified.code, verified.findings) == (0, []), verified.out + verified.err
    drift = operated.run("drift", "dev", "--engine", engine)
    assert drift.code == 0, drift.out + drift.err
    (live,) = [each for each in dev.get(POLICIES)["items"] if each["metadata"]["name"].startswith("migration-dev-")]
    live["spec"]["desiredState"]["interfaces"][-1]["bridge"]["port"][0]["link-aggregation"]["mode"] = "active-backup"
    dev.kube.call("PUT", f"{POLICIES}/{live['metadata']['name']}", json=live)
    drifted = operated.run("drift", "dev", "--engine", engine)
    assert (drifted.code, "active-backup" in drifted.out) == (7, True), drifted.out + drifted.err
    for verb in ("diagnose", "limits", "capacity"):
        outcome = operated.run(verb, "dev")
        assert outcome.code in {0, 1}, outcome.out + outcome.err
        assert "Traceback" not in outcome.err, outcome.err
    report = operated.run("report", "dev", "-o", "markdown")
    assert (report.code, "ovs-bond" in report.out, "br-phy" in report.out) == (0, True, True), report.out + report.err


def change_and_end(operated: Operated, engine: str) -> None:
    """The edit is undone, a port that does not carry the VLAN is refused, and all that was made is taken back."""
    dev = operated.dev
    undone = operated.run("up", "dev", "--yes", "--engine", engine)
    assert undone.code == 0, undone.out + undone.err
    (port,) = UPLINK["ovsBridge"]["ports"]
    said = {}
    for tag, verb in ((7, ("check", "dev")), (2001, ("preview", "dev", "--engine", engine))):
        operated.change("dev", uplink=UPLINK | {"ovsBridge": UPLINK["ovsBridge"] | {"ports": [port | {"access": tag}]}})
        said[tag] = operated.run(*verb)
    assert said[7].code == 2
    assert "access 7 does not let VLAN 2001 of the attachment pass" in said[7].out + said[7].err
    assert (said[2001].code, "access" in said[2001].out) == (0, True), said[2001].out + said[2001].err
    gone = operated.run("destroy", "dev", "--yes", "--engine", engine)
    assert gone.code == 0, gone.out + gone.err
    assert on_node(dev, "br-phy") is None
    assert (on_node(dev, "eth1") or {})["state"] == "up"
    mapped = dev.get(f"{STATES}/dev-worker-1")["status"]["currentState"].get("ovn", {}).get("bridge-mappings", ())
    assert {each["localnet"] for each in mapped} & {"mig", "tenants"} == set()
