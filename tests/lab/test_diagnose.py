"""`mignet diagnose` where operators are at work: what left the declared is first among the causes."""

from __future__ import annotations

import json

import diagnosed
import drift_traps as traps
import operated as lab
import pytest
from nmstate_operator import POLICIES
from operated import NAMESPACE, Operated
from support import Site


@pytest.fixture
def site(operated: Operated) -> Site:
    """The cluster dev with the stack applied, as the traps of drift know one."""
    (operated.folder / "Pulumi.dev-peer.yaml").unlink()
    limits = {"liveMigration": {"completionTimeoutPerGiB": 800}}
    operated.change("dev", attachment={"type": "macvlan", "name": "migration", "master": "eth1"}, hyperConverged=limits)
    operated.up("dev")
    return Site(operated.dev.kube, operated.lab.kubeconfig, "dev", NAMESPACE)


def unmanaged(site: Site) -> None:
    traps.limits(site, parallelMigrationsPerCluster=9)


def shared(site: Site) -> None:
    config = json.loads(site.live()["attachments"]["migration"]["spec"]["config"])
    manifest = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
    manifest |= {"metadata": {"name": "other"}, "spec": {"config": json.dumps(config | {"name": "other"})}}
    site.kube.call("POST", site.attachments, json=manifest)


@pytest.mark.parametrize(
    ("trap", "code"),
    [
        (traps.changed, "field-changed"),
        (traps.taken, "field-taken"),
        (traps.elsewhere, "network-elsewhere"),
        (traps.missing, "object-missing"),
        (traps.left_over, "object-left-over"),
        (traps.co_owned, "field-co-owned"),
        (traps.recreated, "object-recreated"),
        (traps.relabelled, "object-relabelled"),
        (traps.labelled, "foreign-metadata"),
        (unmanaged, "limit-unmanaged"),
        (shared, "pool-shared"),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_what_left_the_declared_is_first(operated: Operated, site: Site, trap: traps.Trap, code: str) -> None:
    trap(site)
    diagnosed.begins_with(operated, code, "--no-peers")


def test_a_stack_file_that_was_edited_since_is_first(operated: Operated, site: Site) -> None:
    operated.change("dev", hyperConverged={"liveMigration": {"completionTimeoutPerGiB": 700}})
    diagnosed.begins_with(operated, "not-applied", "--no-peers")


def test_what_somebody_added_to_a_policy_is_first(operated: Operated) -> None:
    attachment = {"type": "macvlan", "name": "migration", "master": "mig0"}
    operated.change("dev", attachment=attachment, uplink={"vlan": {"baseInterface": "eth1", "name": "mig0"}})
    operated.up("dev")
    kube = operated.dev.kube
    (policy,) = kube.call("GET", POLICIES)["items"]
    path = f"{POLICIES}/{policy['metadata']['name']}"
    dns = {"config": {"server": ["192.0.2.1"]}}
    kube.merge(path, {"spec": {"desiredState": {"dns-resolver": dns}}}, "kubectl-edit")
    diagnosed.begins_with(operated, "object-extended", "--no-peers")
    more = [*policy["spec"]["desiredState"]["interfaces"], {"name": "eth9", "type": "ethernet", "state": "up"}]
    kube.merge(path, {"spec": {"desiredState": {"dns-resolver": None, "interfaces": more}}}, "kubectl-edit")
    diagnosed.begins_with(operated, "list-extended", "--no-peers")


def test_a_healthy_stack_has_no_cause_and_a_dead_cluster_has_one(operated: Operated, site: Site) -> None:
    well = operated.run("diagnose", "dev", "--no-peers")
    assert well.code == 0, well.out + well.err
    assert "no problems in stack files, preflight, verify, drift, peers, events and the last checkup" in well.out
    operated.change("dev", cluster={"context": "gone", "kubeconfig": str(operated.lab.kubeconfig)})
    dead = operated.run("diagnose", "dev", "--no-peers")
    assert dead.code == 1
    assert dead.out.startswith("1. error cluster-kubeconfig  dev: ")
    assert "1 cause of 1 finding" in dead.out
    assert "   next: oc --kubeconfig " in dead.out


def test_a_pod_that_is_stuck_is_shown_with_its_event_in_every_form(operated: Operated) -> None:
    operated.dev.fault("handler-stuck")
    operated.up_without_waiting("dev")
    lab.until(lambda: "pod-no-network" in operated.run("diagnose", "dev", "--no-peers").out)
    table = operated.run("diagnose", "dev", "--no-peers")
    assert table.code == 1
    assert "1. error pod-no-network  dev: Pod " in table.out
    assert " describe pod virt-handler-" in table.out
    document = operated.run("diagnose", "dev", "--no-peers", "-o", "json").document
    causes = document["causes"]
    assert "FailedCreatePodSandBox: " in causes[0]["evidence"][0]
    assert {each["code"] for each in document["findings"]} == {
        one["code"] for each in causes for one in (each["finding"], *each["explains"])
    }
    assert "1. error `pod-no-network` " in operated.run("diagnose", "dev", "--no-peers", "-o", "markdown").out
