"""Traps that `mignet verify` finds in what multus, the kubelet, nmstate and KubeVirt write: one set, one finding."""

from __future__ import annotations

import json
from typing import Any

import diagnosed
import operated as lab
import pytest
import yaml
from nmstate_operator import POLICIES
from operated import EVENTS, PODS, STATUS, Operated

NETWORK = "my-secondary-network"
INSTANCES = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
MIGRATIONS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancemigrations"
HELD = "dev-worker-2"
IPV6 = "fd00:200:5::/64"


def only(operated: Operated, code: str, *more: str, severity: str = "error") -> str:
    found = operated.run("verify", "dev", "-o", "json", "--no-peers", "--timeout", "20", "--stuck-after", "0", *more)
    assert found.out, found.err
    findings = found.findings
    assert [(each["severity"], each["code"]) for each in findings] == [(severity, code)], found.out + found.err
    assert found.code == (1 if severity == "error" else 0)
    diagnosed.begins_with(operated, code, "--no-peers", *more)
    return str(findings[0]["message"])


def reported(operated: Operated, **changes: Any) -> None:
    """Let multus have reported something else of one virt-handler's migration0; None takes a key away."""
    pod = operated.dev.pods()[0]
    statuses = json.loads(pod["metadata"]["annotations"][STATUS])
    link = next(each for each in statuses if each["interface"] == "migration0")
    link.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del link[key]
    patch = {"metadata": {"annotations": {STATUS: json.dumps(statuses)}}}
    operated.dev.merge(f"{PODS}/{pod['metadata']['name']}", patch)


def settled(operated: Operated) -> None:
    """Bring the network up, and wait until every pod is on it."""
    operated.up("dev")
    assert operated.run("verify", "dev", "--no-peers").code == 0


def test_a_pod_whose_migration0_has_only_a_link_local_address_is_found(operated: Operated) -> None:
    settled(operated)
    reported(operated, ips=["fe80::1"])
    assert "has no IPv4 address on migration0" in only(operated, "address-missing")


def test_the_gateways_address_on_a_pod_is_found(operated: Operated) -> None:
    settled(operated)
    reported(operated, ips=["10.200.5.1"])
    assert "10.200.5.1 on migration0 is the gateway's, or reserved" in only(operated, "address-reserved")


def test_a_plugin_that_reports_no_mtu_is_information(operated: Operated) -> None:
    settled(operated)
    reported(operated, mtu=None)
    assert "(1 of 5)" in only(operated, "mtu-unreported", severity="info")


def test_the_order_of_the_families_is_no_matter(operated: Operated) -> None:
    (operated.folder / "Pulumi.dev-peer.yaml").unlink()
    operated.change(
        "dev",
        segment={"subnet": ["10.200.5.0/24", IPV6], "vlan": 2001, "mtu": 9000},
        slice=[
            {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
            {"rangeStart": "fd00:200:5::10", "rangeEnd": "fd00:200:5::60"},
        ],
    )
    settled(operated)
    statuses = json.loads(operated.dev.pods()[0]["metadata"]["annotations"][STATUS])
    ips = next(each["ips"] for each in statuses if each["interface"] == "migration0")
    reported(operated, ips=ips[::-1])
    assert operated.run("verify", "dev", "--no-peers").code == 0


def test_a_virtual_machine_on_the_network_is_named(operated: Operated) -> None:
    settled(operated)
    machine = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "domain": {"devices": {}},
            "networks": [{"name": "n", "multus": {"networkName": f"{lab.NAMESPACE}/{NETWORK}"}}],
        },
    }
    operated.dev.kube.call("POST", INSTANCES, json=machine)
    try:
        told = only(operated, "vm-attached", severity="warning")
    finally:
        operated.dev.kube.call("DELETE", f"{INSTANCES}/web")
    assert "VirtualMachineInstance default/web is attached to" in told


def test_a_policy_that_denies_all_is_found_and_the_one_that_is_exported_helps(operated: Operated) -> None:
    """Until somebody enforces it, it is none; afterwards the way out is the policy that is written for the stack."""
    settled(operated)
    policies = f"/apis/k8s.cni.cncf.io/v1beta1/namespaces/{lab.NAMESPACE}/multi-networkpolicies"
    network = "/apis/operator.openshift.io/v1/networks/cluster"
    metadata = {"name": "deny", "annotations": {"k8s.v1.cni.cncf.io/policy-for": NETWORK}}
    deny: dict[str, Any] = {"apiVersion": "k8s.cni.cncf.io/v1beta1", "kind": "MultiNetworkPolicy", "metadata": metadata}
    exported = yaml.safe_load(operated.run("export", "multinetworkpolicy", "dev").out)
    operated.dev.kube.call("POST", policies, json=deny | {"spec": {"podSelector": {}}})
    try:
        assert operated.run("verify", "dev", "--no-peers").code == 0
        operated.dev.merge(network, {"spec": {"useMultiNetworkPolicy": True}})
        told = only(operated, "network-policy-cuts")
        assert "MultiNetworkPolicy openshift-cnv/deny selects virt-handler on my-secondary-network" in told
        operated.dev.kube.call("POST", policies, json=exported)
        assert operated.run("verify", "dev", "--no-peers").code == 0
    finally:
        operated.dev.merge(network, {"spec": {"useMultiNetworkPolicy": None}})
        operated.dev.kube.call("DELETE", policies)


def test_what_else_keeps_a_pod_from_starting_is_told_in_its_own_words(operated: Operated) -> None:
    operated.dev.fault("handler-held", HELD)
    operated.up_without_waiting("dev")
    (pod,) = lab.until(
        lambda: [each for each in operated.dev.pods() if each["spec"]["nodeName"] == HELD and asks(each)]
    )
    metadata = pod["metadata"]
    operated.dev.kube.call(
        "POST",
        EVENTS,
        json={
            "metadata": {"name": "mount", "namespace": lab.NAMESPACE},
            "involvedObject": {
                "kind": "Pod",
                "namespace": lab.NAMESPACE,
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "reason": "FailedMount",
            "message": 'secret "kubevirt-virt-handler-certs" not found',
            "type": "Warning",
        },
    )
    assert 'does not start: secret "kubevirt-virt-handler-certs" not found' in only(operated, "pod-not-starting")


def asks(pod: dict[str, Any]) -> bool:
    return NETWORK in pod["metadata"].get("annotations", {}).get("k8s.v1.cni.cncf.io/networks", "")


def test_an_uplink_that_a_node_refuses_is_why_the_pods_do_not_come(operated: Operated) -> None:
    operated.dev.fault("handler-held")
    attachment = {"type": "macvlan", "name": NETWORK, "master": "mig0"}
    operated.change("dev", attachment=attachment, uplink={"vlan": {"baseInterface": "eth1", "name": "mig0"}})
    operated.up_without_waiting("dev")
    operated.dev.fault("policy-refused", "dev-worker-1")
    lab.until(lambda: lab.condition(operated.dev.get(POLICIES)["items"][0], "Degraded") == "True")
    told = only(operated, "uplink-failing")
    assert "on node dev-worker-1 fails: VerificationError: the link did not come up" in told
    diagnosed.begins_with(operated, "policy-degraded", "--no-peers")


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("migration-hangs", "vm-migrating", "is still migrating"),
        ("migration-fails", "vm-migration-failed", "did not move, its migration failed: "),
    ],
)
def test_the_last_migration_of_a_user_is_judged_as_far_as_it_went(
    operated: Operated, fault: str, code: str, words: str
) -> None:
    settled(operated)
    operated.dev.fault(fault)
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    operated.dev.kube.call("POST", INSTANCES, json=machine | {"spec": {"domain": {"devices": {}}}})
    lab.until(lambda: operated.dev.get(f"{INSTANCES}/vm").get("status", {}).get("phase") == "Running")
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "spec": {"vmiName": "vm"}}
    operated.dev.kube.call("POST", MIGRATIONS, json=body | {"metadata": {"generateName": "user-"}})
    ends = "Running" if fault == "migration-hangs" else "Failed"
    lab.until(lambda: operated.dev.get(MIGRATIONS)["items"][0].get("status", {}).get("phase") == ends)
    assert words in only(operated, code, "--vm", "default/vm")


def test_an_adopted_attachment_in_another_spelling_is_a_warning_that_a_restart_ends(operated: Operated) -> None:
    settled(operated)
    path = f"{lab.ATTACHMENTS}/{NETWORK}"
    live = operated.dev.get(path)
    again = {key: live[key] for key in ("apiVersion", "kind")}
    again |= {"metadata": {"name": NETWORK}, "spec": {"config": json.dumps(json.loads(live["spec"]["config"]))}}
    # When it was made anew is what is noted as it is adopted.
    lab.past_pods(operated.dev)
    operated.dev.kube.call("DELETE", path)
    operated.dev.kube.call("POST", lab.ATTACHMENTS, json=again, params={"fieldManager": "kubectl-create"})
    attachment = {"type": "macvlan", "name": NETWORK, "cniName": "migration-bridge", "master": "eth1", "adopt": True}
    operated.change("dev", attachment=attachment)
    operated.up_without_waiting("dev")
    found = operated.run("verify", "dev", "-o", "json", "--no-peers")
    told = [(each["severity"], each["code"]) for each in found.findings]
    assert (found.code, told) == (0, [("warning", "pods-keep-old-network")] * 2), found.out
    assert "nobody can tell what stood there before it was adopted" in found.out
