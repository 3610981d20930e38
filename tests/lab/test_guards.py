"""A cluster that is not fit for a stack: one sentence, nothing changed. Under plain `pulumi preview` too."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Kube, Outcome, Site, Workspace

from components.ownership import labels
from config.loading import load_stack

Preview = Callable[[Workspace], Outcome]


def direct(workspace: Workspace) -> Outcome:
    return workspace.run("mignet", "preview", workspace.stack, "--engine", "direct")


def through_pulumi(workspace: Workspace) -> Outcome:
    return workspace.run("mignet", "preview", workspace.stack, "--engine", "pulumi")


def plain_pulumi(workspace: Workspace) -> Outcome:
    workspace.run("pulumi", "stack", "init", workspace.stack)
    workspace.write()
    outcome = workspace.run("pulumi", "preview", "--stack", workspace.stack, "--non-interactive")
    # Pulumi prints diagnostics to its standard output.
    return Outcome(outcome.code, "", outcome.out)


@pytest.fixture(
    params=[direct, *(pytest.param(each, marks=pytest.mark.pulumi) for each in (through_pulumi, plain_pulumi))]
)
def preview(request: pytest.FixtureRequest) -> Preview:
    chosen: Preview = request.param
    return chosen


def refused(workspace: Workspace, preview: Preview, *sentences: str) -> None:
    before = workspace.site.content()
    outcome = preview(workspace)
    text = outcome.out + outcome.err
    assert outcome.code != 0, text
    assert "Traceback" not in text
    for sentence in sentences:
        assert f"{workspace.stack}: {sentence}" in text, text
    assert workspace.site.content() == before


def kubeconfig_with(workspace: Workspace, change: Callable[[dict[str, Any]], None]) -> None:
    content = yaml.safe_load(workspace.site.kubeconfig.read_text())
    for entry in content["clusters"]:
        entry["cluster"] = {
            key: str(workspace.site.kubeconfig.parent / value) if key == "certificate-authority" else value
            for key, value in entry["cluster"].items()
        }
    change(content)
    path = workspace.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    workspace.config["cluster"]["kubeconfig"] = str(path)
    workspace.write()


def test_an_unreachable_cluster_is_named(workspace: Workspace, preview: Preview) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{closed.getsockname()[1]}"

        def change(content: dict[str, Any]) -> None:
            for entry in content["clusters"]:
                entry["cluster"]["server"] = server

        kubeconfig_with(workspace, change)
        refused(workspace, preview, f"context dev ({server}) is unreachable: ")


def test_a_context_that_is_not_in_the_kubeconfig_is_named(workspace: Workspace, preview: Preview) -> None:
    workspace.config["cluster"]["context"] = "prod"
    workspace.write()
    refused(workspace, preview, "context prod is not in kubeconfig ")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "kubeconfig {path} does not exist; correct cluster.kubeconfig"),
        ("{not yaml", "kubeconfig {path} cannot be read: "),
        ("[]", "kubeconfig {path} cannot be read: "),
    ],
)
def test_a_broken_kubeconfig_is_named(workspace: Workspace, content: str | None, sentence: str) -> None:
    path = workspace.folder / "config"
    if content is not None:
        path.write_text(content)
    workspace.config["cluster"]["kubeconfig"] = "config"
    workspace.write()
    refused(workspace, direct, sentence.format(path=path))


def test_credentials_that_are_not_accepted_are_named(workspace: Workspace) -> None:
    def change(content: dict[str, Any]) -> None:
        for entry in content["users"]:
            entry["user"] = {"token": "expired-secret-token"}

    kubeconfig_with(workspace, change)
    refused(workspace, direct, "context dev (")
    outcome = direct(workspace)
    assert "log in again" in outcome.out + outcome.err
    assert "expired-secret-token" not in outcome.out + outcome.err


@pytest.fixture
def nfs_vlan(workspace: Workspace) -> Iterator[None]:
    """The hosts' NFS traffic on a VLAN of one node, which a policy of theirs declares."""
    kube, place = workspace.site.kube, "/apis/nmstate.io/v1beta1/nodenetworkstates/dev-worker-1"
    policies = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
    before = kube.call("GET", place)
    vlan = {"name": "eth1.3876", "type": "vlan", "state": "up", "vlan": {"id": 3876, "base-iface": "eth1"}}
    vlan["ipv4"] = {"enabled": True, "address": [{"ip": "192.168.22.71", "prefix-length": 26}]}
    current = before["status"]["currentState"]
    status = before["status"] | {"currentState": current | {"interfaces": [*current["interfaces"], vlan]}}
    kube.call("PUT", f"{place}/status", json=before | {"status": status})
    spec = {"nodeSelector": {"kubernetes.io/hostname": "dev-worker-1"}, "desiredState": {"interfaces": [vlan]}}
    policy = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "spec": spec}
    kube.call("POST", policies, json=policy | {"metadata": {"name": "nfs-vlan"}})
    yield
    kube.call("DELETE", f"{policies}/nfs-vlan")
    live = kube.call("GET", place)
    kube.call("PUT", f"{place}/status", json=live | {"status": before["status"]})


@pytest.mark.usefixtures("nfs_vlan")
def test_an_uplink_that_takes_the_nodes_addresses_is_refused(workspace: Workspace, preview: Preview) -> None:
    workspace.config["attachment"] |= {"type": "macvlan", "master": "eth1.3876"}
    workspace.config["uplink"] = {"vlan": {"baseInterface": "eth1", "id": 3876}}
    workspace.config["waivers"] = {"uplink-vlan-differs": "the NFS VLAN of the report"}
    workspace.write()
    refused(
        workspace,
        preview,
        "NIC eth1.3876 carries 192.168.22.71/26 on dev-worker-1 (declared by NodeNetworkConfigurationPolicy nfs-vlan):"
        " the uplink turns IP off there, and takes it away. Remove uplink and attach to eth1.3876 as it is",
    )
    selector = ",".join(f"{key}={value}" for key, value in labels(workspace.stack).items())
    policies = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
    assert workspace.site.kube.call("GET", policies, params={"labelSelector": selector})["items"] == []


def test_a_change_of_the_uplink_says_what_it_does_to_migrations_and_handlers(
    workspace: Workspace, preview: Preview
) -> None:
    kube, policies = workspace.site.kube, "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
    uplink = {"vlan": {"baseInterface": "eth1", "id": 2001, "name": "mig0"}}
    workspace.config["attachment"] |= {"master": "mig0", "mtu": 1400}
    workspace.config["uplink"] = uplink | {"mtu": 1500}
    workspace.write()
    values = {key: value for key, value in workspace.config.items() if key != "cluster"}
    segment = yaml.safe_load((workspace.folder / "Pulumi.yaml").read_text())["config"]["segment"]["default"]
    one = load_stack(workspace.stack, values | {"segment": segment, "cluster": workspace.config["cluster"]})
    (policy,) = one.policies
    metadata = {"name": policy.name, "labels": labels(one.name)}
    manifest = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "metadata": metadata}
    params = {"fieldManager": "migration-network"}
    kube.call("POST", policies, json=manifest | {"spec": policy.spec}, params=params)
    try:
        workspace.config["uplink"] = uplink | {"mtu": 1400}
        workspace.write()
        outcome = preview(workspace)
        text = " ".join((outcome.out + outcome.err).split())
        assert outcome.code == 0, text
        assert (
            f"{one.name}: NodeNetworkConfigurationPolicy {policy.name} changes the MTU of mig0 from 1500 to 1400:"
            " interfaces of pods on it shrink at once, and migrations that run hang"
        ) in text
    finally:
        kube.call("DELETE", f"{policies}/{policy.name}")


def test_a_missing_right_is_named(workspace: Workspace) -> None:
    site = workspace.site
    accounts = f"/api/v1/namespaces/{site.namespace}/serviceaccounts"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}
    site.kube.call("POST", accounts, json=account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = site.kube.call("POST", f"{accounts}/reader/token", json=request)["status"]["token"]

    def change(content: dict[str, Any]) -> None:
        for entry in content["users"]:
            entry["user"] = {"token": token}

    kubeconfig_with(workspace, change)
    refused(workspace, direct, "context dev (")
    outcome = direct(workspace)
    assert "refused to read HyperConverged kubevirt-hyperconverged" in outcome.out
    assert "ask the cluster's administrator for that right" in outcome.out
    assert token not in outcome.out + outcome.err


def test_a_missing_namespace_is_named(workspace: Workspace, preview: Preview) -> None:
    workspace.config["cluster"]["namespace"] = "nowhere"
    workspace.write()
    refused(workspace, preview, "namespace nowhere does not exist; install OpenShift Virtualization, or correct")


def test_a_missing_hyperconverged_is_named_and_never_created(workspace: Workspace, preview: Preview) -> None:
    workspace.site.kube.call("DELETE", workspace.site.hyperconverged)
    refused(workspace, preview, "HyperConverged kubevirt-hyperconverged does not exist in namespace ")
    assert workspace.mignet("up", "direct").code == 1
    assert workspace.site.live() == {"hyperconverged": None, "attachments": {}}


def test_apis_that_are_not_served_are_named(bare: Kube, workspace: Workspace, preview: Preview) -> None:
    workspace.config["cluster"] |= {"context": "dev-peer", "namespace": "openshift-cnv"}
    workspace.write()
    refused(workspace, preview, "context dev-peer (")
    text = "".join([preview(workspace).out, preview(workspace).err])
    assert "does not serve NetworkAttachmentDefinition (k8s.cni.cncf.io/v1); install its operator" in text
    assert "does not serve HyperConverged (hco.kubevirt.io/v1beta1); install its operator" in text


def test_a_conflict_fails_when_the_stack_says_so(workspace: Workspace, preview: Preview) -> None:
    workspace.config["hyperConverged"]["onConflict"] = "fail"
    workspace.write()
    refused(
        workspace,
        preview,
        "HyperConverged spec.liveMigrationConfig.completionTimeoutPerGiB is 150 and owned by kubectl-create, and the"
        " stack wants 800; agree on one value, or set hyperConverged.onConflict: take-over",
    )


@pytest.mark.pulumi
def test_plain_pulumi_preview_prints_each_field_that_is_taken_over(workspace: Workspace) -> None:
    outcome = plain_pulumi(workspace)
    assert outcome.code == 0
    assert (
        f"{workspace.stack}: takes over HyperConverged spec.liveMigrationConfig.completionTimeoutPerGiB: 150"
        " (owned by kubectl-create) becomes 800"
    ) in outcome.err


def test_a_field_that_this_release_does_not_know_is_refused(workspace: Workspace, preview: Preview) -> None:
    workspace.config["hyperConverged"]["liveMigration"]["allowWorkloadDisruption"] = True
    workspace.write()
    refused(workspace, preview, "context dev (")
    outcome = preview(workspace)
    assert (
        ".spec.liveMigrationConfig.allowWorkloadDisruption: field not declared in schema" in outcome.out + outcome.err
    )


def made_by_hand(site: Site) -> None:
    attachment = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "migration", "namespace": site.namespace},
        "spec": {"config": '{"type":"macvlan"}'},
    }
    site.kube.call("POST", site.attachments, json=attachment, params={"fieldManager": "kubectl-create"})


def test_an_attachment_made_by_somebody_else_is_refused(workspace: Workspace, preview: Preview) -> None:
    made_by_hand(workspace.site)
    name = f"NetworkAttachmentDefinition {workspace.site.namespace}/migration"
    refused(
        workspace,
        preview,
        f"{name} exists and was made by somebody else (field manager kubectl-create); set attachment.adopt: true",
    )


def test_an_attachment_made_by_somebody_else_is_adopted_with_consent(workspace: Workspace, engine: str) -> None:
    made_by_hand(workspace.site)
    workspace.config["attachment"]["adopt"] = True
    workspace.write()
    assert workspace.mignet("up", engine).code == 0
    assert workspace.mignet("drift", engine).code == 0


def test_an_attachment_of_another_stack_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.mignet("up", "direct").code == 0
    label = {"metadata": {"labels": {"app.kubernetes.io/instance": "prod-7"}}}
    workspace.site.kube.merge(f"{workspace.site.attachments}/migration", label, "Mozilla")
    name = f"NetworkAttachmentDefinition {workspace.site.namespace}/migration"
    refused(workspace, direct, f"{name} belongs to stack prod-7; choose another name, or destroy that")
