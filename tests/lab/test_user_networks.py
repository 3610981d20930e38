"""A ClusterUserDefinedNetwork, whose controller makes the attachment: every verb, from the first up to destroy."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import diagnosed
import pytest
from operated import ATTACHMENTS, HCO, NETWORKS, Operated, condition, interface, until

ATTACHMENT = {"type": "clusterUserDefinedNetwork", "name": "mig", "physicalNetworkName": "mig"}
POLICIES = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
UPLINK = {"ovsBridge": {"name": "br-phy", "port": "eth1"}, "localnet": {"localnet": "mig"}}


def sliced(operated: Operated, first: int, last: int, **keys: Any) -> None:
    ends = {"rangeStart": f"10.200.5.{first}", "rangeEnd": f"10.200.5.{last}"}
    operated.change("dev", attachment=ATTACHMENT | keys, uplink=UPLINK, slice=ends)


def names(operated: Operated, path: str = NETWORKS) -> list[str]:
    return [each["metadata"]["name"] for each in operated.dev.get(path)["items"]]


def given(operated: Operated) -> list[str]:
    pods = [*operated.dev.pods(), *operated.dev.pods("virt-synchronization-controller")]
    return [address for pod in pods for address in (interface(pod) or {})["ips"]]


def drifts(operated: Operated, name: str, by: tuple[str, str]) -> None:
    """Take a label of ours away, and have it put back."""
    operated.dev.merge(f"{NETWORKS}/{name}", {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}})
    drift = operated.run("drift", "dev", *by, "-o", "json")
    assert drift.code == 7, drift.out
    assert {each["subject"]["name"] for each in drift.findings} == {name}
    fixed = operated.run("drift", "dev", "--fix", "--yes", *by)
    assert fixed.code == 0, fixed.out + fixed.err
    assert operated.run("drift", "dev", *by).code == 0


def test_every_verb_on_one_cluster(operated: Operated, engine: str) -> None:
    dev = operated.dev
    by = ("--engine", engine)
    sliced(operated, 10, 60)

    # The first up: the network is made, the attachment is its controller's, and the pods have addresses of the slice.
    preview = operated.run("preview", "dev", *by, "-o", "json")
    assert preview.code == 0, preview.out + preview.err
    assert preview.changes["ClusterUserDefinedNetwork"][0] == "create"
    assert operated.run("preflight", "dev").code == 0
    up = operated.run("up", "dev", "--yes", *by)
    assert up.code == 0, up.out + up.err
    (name,) = names(operated)
    assert names(operated, ATTACHMENTS) == [name]
    until(lambda: dev.settled(name))
    attachment = dev.get(f"{ATTACHMENTS}/{name}")
    assert attachment["metadata"]["labels"]["app.kubernetes.io/instance"] == "dev", "the controller copies our labels"
    verified = operated.run("verify", "dev", "--no-peers")
    assert verified.code == 0, verified.out
    assert all(10 <= int(each.rpartition(".")[2]) <= 60 for each in given(operated))
    before = given(operated)

    # Again: nothing to do, and what carries our labels and is the controller's is not taken for ours.
    again = operated.run("preview", "dev", *by, "--expect-no-changes")
    assert again.code == 0, again.out + again.err
    rendered = operated.run("render", "dev")
    assert "kind: ClusterUserDefinedNetwork" in rendered.out
    assert "NetworkAttachmentDefinition" not in rendered.out
    for verb in (("check", "dev"), ("drift", "dev", *by)):
        outcome = operated.run(*verb)
        assert outcome.code == 0, f"{verb}{outcome.out}{outcome.err}"

    # Another MTU with the same slice would give the same addresses twice.
    sliced(operated, 10, 60, mtu=8000)
    refused = operated.run("up", "dev", "--yes", *by)
    assert refused.code == 1
    assert "OVN keeps its books by network" in refused.out + refused.err
    diagnosed.begins_with(operated, "ovn-books-shared")
    assert names(operated) == [name]
    # With its name as it is, it is refused as well.
    sliced(operated, 10, 59, name=name, rollout="in-place")
    refused = operated.run("up", "dev", "--yes", *by)
    assert refused.code == 1
    assert (
        "cannot be changed, and is not what is declared: spec.network.localnet.excludeSubnets"
        in refused.out + refused.err
    )
    diagnosed.begins_with(operated, "network-unchangeable")

    # A part that is free is what a change takes: a new network, the pods' move, and the old one goes.
    sliced(operated, 120, 160, mtu=8000)
    changed = operated.run("up", "dev", "--yes", *by)
    assert changed.code == 0, changed.out + changed.err
    (new,) = names(operated)
    assert new != name
    assert names(operated, ATTACHMENTS) == [new]
    until(lambda: dev.settled(new))
    assert set(given(operated)).isdisjoint(before)
    assert operated.run("verify", "dev", "--no-peers").code == 0

    drifts(operated, new, by)

    gone = operated.run("destroy", "dev", "--yes", "--force", *by)
    assert gone.code == 0, gone.out + gone.err
    assert names(operated) == names(operated, ATTACHMENTS) == []
    assert "network" not in dev.get(HCO)["spec"]["liveMigrationConfig"]


def test_one_that_is_not_made_is_said(operated: Operated) -> None:
    sliced(operated, 10, 60)
    operated.up("dev")
    (name,) = names(operated)
    # Its namespace is no longer selected, and the attachment stays as long as pods use it.
    operated.dev.merge(f"{NETWORKS}/{name}", {"spec": {"namespaceSelector": {"matchLabels": {"no": "where"}}}})
    until(lambda: operated.dev.get(f"{NETWORKS}/{name}")["status"]["conditions"][0]["status"] == "False")
    verified = operated.run("verify", "dev", "--no-peers", "-o", "json", "--timeout", "5")
    assert "network-not-made" in {each["code"] for each in verified.findings}, json.dumps(verified.document)
    diagnosed.begins_with(operated, "network-not-made")
    drift = operated.run("drift", "dev", "-o", "json", "--engine", "direct")
    assert {each["code"] for each in drift.findings} >= {"network-not-made", "object-extended"}
    fixed = operated.run("drift", "dev", "--fix", "--yes", "--engine", "direct")
    assert "is not made (NetworkAttachmentDefinitionSyncError): failed to delete" in fixed.out + fixed.err
    operated.dev.merge(f"{NETWORKS}/{name}", {"spec": {"namespaceSelector": {"matchLabels": {"no": None}}}})
    until(lambda: operated.run("drift", "dev", "--engine", "direct").code == 0)


def test_one_that_is_there_is_found_by_init_and_adopted(operated: Operated, engine: str) -> None:
    """Somebody made it, other namespaces use it, and its blocks are in an order of their own."""
    dev = operated.dev
    operated.change("dev-peer", slice={"rangeStart": "10.200.5.128", "rangeEnd": "10.200.5.160"})
    localnet = {
        "role": "Secondary",
        "physicalNetworkName": "mig",
        "subnets": ["10.200.5.0/24"],
        "excludeSubnets": ["10.200.5.128/25", "10.200.5.0/26"],
        "vlan": {"mode": "Access", "access": {"id": 2001}},
        "mtu": 9000,
    }
    network = {"apiVersion": "k8s.ovn.org/v1", "kind": "ClusterUserDefinedNetwork", "metadata": {"name": "theirs"}}
    selector = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}]}
    spec = {"namespaceSelector": selector, "network": {"topology": "Localnet", "localnet": localnet}}
    bridge = {"name": "br-phy", "type": "ovs-bridge", "state": "up", "bridge": {"port": [{"name": "eth1"}]}}
    mapping = {"bridge-mappings": [{"localnet": "mig", "bridge": "br-phy", "state": "present"}]}
    policy = {"metadata": {"name": "theirs"}, "spec": {"desiredState": {"interfaces": [bridge], "ovn": mapping}}}
    kind = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy"}
    dev.kube.call("POST", POLICIES, json=kind | policy)
    until(lambda: condition(dev.get(f"{POLICIES}/theirs"), "Available") == "True")
    dev.kube.call("POST", NETWORKS, json=network | {"spec": spec}, params={"fieldManager": "kubectl-create"})
    until(lambda: "theirs" in names(operated, ATTACHMENTS))
    dev.use("theirs")
    until(lambda: dev.settled("theirs"))
    before = given(operated)

    (operated.folder / "Pulumi.dev.yaml").unlink()
    where = ("--context", "dev", "--kubeconfig", str(operated.lab.kubeconfig))
    made = operated.run("init", "dev", *where, "--from-cluster")
    assert "dev keeps theirs, over which the cluster migrates" in made.out, made.out + made.err
    preview = operated.run("preview", "dev", "--engine", engine, "-o", "json")
    assert preview.code == 0, preview.out + preview.err
    operation, fields = preview.changes["ClusterUserDefinedNetwork"]
    assert operation == "update"
    assert all(old == new or path.startswith("metadata.") for path, (old, new, _) in fields.items()), fields
    up = operated.run("up", "dev", "--yes", "--engine", engine)
    assert up.code == 0, up.out + up.err
    assert operated.run("verify", "dev", "--no-peers").code == 0
    assert given(operated) == before, "nothing has restarted"
    assert operated.run("drift", "dev", "--engine", engine).code == 0
    assert dev.get(f"{NETWORKS}/theirs")["spec"] == spec


@pytest.mark.pulumi
def test_plain_pulumi_waits_for_the_attachment_and_refuses_what_cannot_be_changed(operated: Operated) -> None:
    def pulumi(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *command, "--stack", "dev", "--non-interactive"],
            cwd=operated.folder,
            env=os.environ | operated.lab.pulumi_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    sliced(operated, 10, 60)
    pulumi("stack", "select", "--create")
    up = pulumi("up", "--yes", "--skip-preview")
    assert up.returncode == 0, up.stdout + up.stderr
    (name,) = names(operated)
    assert names(operated, ATTACHMENTS) == [name]
    assert operated.run("verify", "dev", "--no-peers").code == 0
    sliced(operated, 10, 59, name=name, rollout="in-place")
    refused = pulumi("preview")
    assert refused.returncode != 0
    assert "cannot be changed, and is not what is declared" in " ".join((refused.stdout + refused.stderr).split())
