"""Each thing that can be wrong with a network in use, and that exactly the one finding for it comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import healthy
import pytest
from healthy import NAMESPACE, find, link

from config.files.project_files import Project
from config.finding import Finding
from config.stack import Stack
from mignet.checks.verify import PROOF
from mignet.checks.verify.declared import declared
from mignet.checks.verify.rollout import pending
from mignet.fleet.results import Checked
from mignet.kube.kinds import IP_POOL
from mignet.kube.snapshot import judge
from mignet.outputs import RENDER

Objects = list[dict[str, Any]]
STACK = healthy.stack()
SLICES = [
    {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
    {"rangeStart": "fd00:200:5::10", "rangeEnd": "fd00:200:5::60"},
]
DUAL, IPV6_FIRST = (
    healthy.stack(segment={"subnet": order, "mtu": 9000}, slice=SLICES) for order in (healthy.DUAL, healthy.DUAL[::-1])
)


def found(stack: Stack, objects: Objects, **more: Any) -> tuple[Finding, ...]:
    sight = healthy.sight(stack, objects, **more)
    assert not pending(sight), pending(sight)
    judged = judge(PROOF, sight)
    assert not judged.left_out
    return judged.findings


@pytest.mark.parametrize("stack", [STACK, DUAL, healthy.stack(cluster={"context": "dev", "nodes": 40})])
def test_a_healthy_cluster_has_no_finding(stack: Stack) -> None:
    assert found(stack, healthy.cluster(stack)) == ()


def pod(objects: Objects, name: str = "virt-handler-1") -> dict[str, Any]:
    return find(objects, "Pod", name)


def leases(objects: Objects) -> dict[str, Any]:
    allocations: dict[str, Any] = find(objects, "IPPool")["spec"]["allocations"]
    return allocations


def fallback(objects: Objects) -> None:
    link(pod(objects), None)


def sync_fallback(objects: Objects) -> None:
    link(pod(objects, "virt-sync"), None)


def no_address(objects: Objects) -> None:
    link(pod(objects), [])


def outside(objects: Objects) -> None:
    link(pod(objects), ["10.200.5.61"])


def gateway(objects: Objects) -> None:
    link(pod(objects), ["10.200.5.1"])


def reserved(objects: Objects) -> None:
    link(pod(objects), ["10.200.5.250"])


def twice(objects: Objects) -> None:
    link(pod(objects), ["10.200.5.10"])


def small(objects: Objects) -> None:
    link(pod(objects), ["10.200.5.11"], mtu=1500)


def silent(objects: Objects) -> None:
    link(pod(objects), ["10.200.5.11"], mtu=None)


def new_node(objects: Objects) -> None:
    labels = {"kubevirt.io/schedulable": "true"}
    objects.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-9", "labels": labels}})


def edited(objects: Objects) -> None:
    find(objects, "NetworkAttachmentDefinition")["metadata"]["managedFields"][0]["time"] = healthy.LATER
    # Of pods that are old anyhow, their addresses say nothing new.
    link(pod(objects), ["10.200.5.99"])
    leases(objects).clear()


def degraded(objects: Objects) -> None:
    status = find(objects, "HyperConverged")["status"]
    status["conditions"] = [
        {"type": "Degraded", "status": "True", "observedGeneration": 3, "message": "SSP is not ready"}
    ]


def old_word(objects: Objects) -> None:
    find(objects, "HyperConverged")["metadata"]["generation"] = 4


def other_pool(objects: Objects) -> None:
    find(objects, "IPPool")["metadata"]["name"] = "other-10.200.5.0-24"


def outside_lease(objects: Objects) -> None:
    leases(objects)["200"] = {"id": "x", "podref": "elsewhere/vm"}


def two_leases(objects: Objects) -> None:
    leases(objects)["40"] = {"id": "x", "podref": f"{NAMESPACE}/virt-handler-1"}


def outside_leases(objects: Objects) -> None:
    leases(objects).update({str(n): {"id": "x", "podref": f"elsewhere/vm-{n}"} for n in range(200, 240)})


def reservations(objects: Objects) -> None:
    reservation(objects)
    reservation(objects)
    objects[-1]["metadata"]["name"] = "10.200.5.45"


def nearly_full(objects: Objects) -> None:
    for offset in range(10, 61):
        leases(objects).setdefault(str(offset), {"id": "x", "podref": "elsewhere/vm"})


def reservation(objects: Objects) -> None:
    objects.append(
        {
            "apiVersion": "whereabouts.cni.cncf.io/v1alpha1",
            "kind": "OverlappingRangeIPReservation",
            "metadata": {"name": "10.200.5.44", "namespace": "openshift-multus"},
            "spec": {"podref": "elsewhere/vm"},
        }
    )


@pytest.mark.parametrize(
    ("change", "severity", "code", "words"),
    [
        (
            fallback,
            "error",
            "pod-network-fallback",
            "Pod openshift-cnv/virt-handler-1 on node node-1 has no migration0",
        ),
        (sync_fallback, "error", "pod-network-fallback", "virt-synchronization-controller-3 on node control-0"),
        (no_address, "error", "address-missing", "has no IPv4 address on migration0"),
        (outside, "error", "address-outside", "10.200.5.61 on migration0 is outside of this cluster's slice"),
        (gateway, "error", "address-reserved", "10.200.5.1 on migration0 is the gateway's, or reserved"),
        (reserved, "error", "address-reserved", "10.200.5.250"),
        (twice, "error", "address-duplicate", "is the address of virt-handler-1, too"),
        (small, "error", "mtu-differs", "1500 is the MTU of migration0, not 9000"),
        (silent, "info", "mtu-unreported", "(1 of 5)"),
        (new_node, "error", "node-without-handler", "Node node-9 takes virtual machines"),
        (degraded, "warning", "operator-degraded", "SSP is not ready"),
        (
            old_word,
            "warning",
            "operator-asleep",
            "is at generation 4, and the HyperConverged operator has only looked at 3",
        ),
        (other_pool, "error", "pool-missing", "IPPool 10.200.5.0-24 does not exist"),
        (outside_lease, "error", "lease-outside", "10.200.5.200 is leased to elsewhere/vm"),
        (
            outside_leases,
            "error",
            "lease-outside",
            "outside of this cluster's slice 10.200.5.10-10.200.5.60 (and 39 more)",
        ),
        (reservations, "warning", "reservation-stray", "/10.200.5.44 and 1 more keeps 10.200.5.44"),
        (two_leases, "warning", "lease-leaked", "has 1 lease of pods that are gone: 10.200.5.40 of"),
        (nearly_full, "warning", "pool-runs-out", "has 0 of 51 addresses free"),
        (reservation, "warning", "reservation-stray", "keeps 10.200.5.44 for elsewhere/vm"),
    ],
)
def test_one_thing_that_is_wrong_is_one_finding(
    change: Callable[[Objects], None], severity: str, code: str, words: str
) -> None:
    objects = healthy.cluster(STACK)
    change(objects)

    (finding,) = found(STACK, objects)

    assert (finding.severity, finding.code) == (severity, code)
    assert words in str(finding)


def test_pods_from_before_the_attachment_changed_are_named_and_nothing_else_is_said_of_them() -> None:
    objects = healthy.cluster(STACK)
    edited(objects)

    handlers, syncs = found(STACK, objects)

    assert {handlers.code, syncs.code} == {"pods-keep-old-network"}
    assert "virt-handler-0, virt-handler-1, virt-handler-2" in handlers.rule
    each = "do oc -n openshift-cnv delete $pod; oc -n openshift-cnv rollout status"
    assert f"-l kubevirt.io=virt-handler); {each} daemonset/virt-handler; done" in handlers.remedy
    assert f"{each} deployment/virt-synchronization-controller; done" in syncs.remedy


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        ({"adopt": True}, "warning", "nobody can tell what stood there before it was adopted"),
        ({"rollout": "rename"}, "info", "what the name stands for was only put back"),
    ],
)
def test_where_a_write_may_have_changed_nothing_older_pods_are_judged_by_what_they_show(
    change: dict[str, Any], severity: str, words: str
) -> None:
    stack = healthy.stack(attachment=healthy.VALUES["attachment"] | change)
    objects = healthy.cluster(stack)
    find(objects, "NetworkAttachmentDefinition")["metadata"]["managedFields"][0]["time"] = healthy.LATER

    right = found(stack, objects)
    link(pod(objects), ["10.200.5.99"])
    wrong = found(stack, objects)

    assert [(each.severity, each.code) for each in right] == [(severity, "pods-keep-old-network")] * 2
    assert all(words in each.rule for each in right)
    assert {each.code for each in wrong if each.blocks} == {"address-outside"}


def test_a_second_owner_of_the_same_content_does_not_make_pods_old() -> None:
    objects = healthy.cluster(STACK)
    managed = find(objects, "NetworkAttachmentDefinition")["metadata"]["managedFields"]
    managed.append(managed[0] | {"manager": "migration-network", "time": healthy.LATER})

    assert found(STACK, objects) == ()


@pytest.mark.parametrize("of", [DUAL, IPV6_FIRST])
def test_in_which_order_multus_reports_the_families_is_no_matter(of: Stack) -> None:
    objects = healthy.cluster(of)
    link(pod(objects), ["fd00:200:5::11", "10.200.5.11"])

    assert found(of, objects) == ()


def test_a_pod_without_the_second_family_is_found() -> None:
    objects = healthy.cluster(DUAL)
    link(pod(objects), ["10.200.5.11"])

    (finding,) = found(DUAL, objects)

    assert (finding.code, "has no IPv6 address" in finding.rule) == ("address-missing", True)


@pytest.mark.parametrize(("holder", "codes"), [((), ["lease-leaked"]), (({"kind": "Pod"},), [])])
def test_a_lease_is_leaked_when_no_pod_of_its_name_is_there(holder: tuple[Any, ...], codes: list[str]) -> None:
    objects = healthy.cluster(STACK)
    leases(objects)["40"] = {"id": "x", "podref": "openshift-cnv/virt-handler-old"}

    findings = found(STACK, objects, holders={"openshift-cnv/virt-handler-old": holder})

    assert [finding.code for finding in findings] == codes


def test_a_pool_that_is_too_small_for_the_nodes_to_come_says_for_how_many_it_does() -> None:
    # The stack's own rule refuses such a slice, unless it is waived.
    stack = healthy.stack(cluster={"context": "dev", "nodes": 60}, waivers={"slice-too-small": "the nodes come later"})

    (finding,) = found(stack, healthy.cluster(stack))

    assert finding.code == "pool-runs-out"
    assert "they do for 48 nodes, and there are 3 (it needs 75" in finding.rule


def named(name: str, objects: Objects, offset: str) -> None:
    """Book an address of the pool of a network with a name, and reserve it under `name`."""
    reservation(objects)
    objects[-1]["metadata"]["name"] = name
    pool_ = find(objects, "IPPool")
    pool_["metadata"]["name"] = f"mig-1-{pool_['metadata']['name']}"
    pool_["spec"]["allocations"][offset] = {"id": "x", "podref": "elsewhere/vm"}


@pytest.mark.parametrize(
    ("name", "offset", "stray"),
    [
        ("mig-1-fd00-200-5--44", "68", False),
        ("mig-1-fd00-200-5--44", "69", True),
        # Another network's keeps no address from this one.
        ("fd00-200-5--44", "69", False),
        ("other-fd00-200-5--44", "69", False),
    ],
)
def test_a_reservation_of_a_named_network_is_read_in_ipv6_too(name: str, offset: str, *, stray: bool) -> None:
    ipam = {"type": "whereabouts", "networkName": "mig-1"}
    stack = healthy.stack(
        segment={"subnet": "fd00:200:5::/64"},
        slice={"rangeStart": "fd00:200:5::10", "rangeEnd": "fd00:200:5::60"},
        attachment={"type": "macvlan", "name": "migration", "master": "eth1", "ipam": ipam},
    )
    objects = healthy.cluster(stack)
    named(name, objects, offset)
    codes = [finding.code for finding in found(stack, objects, holders={"elsewhere/vm": ({"kind": "Pod"},)})]
    assert codes == (["reservation-stray"] if stray else [])


def test_a_virtual_machine_on_the_network_is_named() -> None:
    objects = healthy.cluster(STACK)
    networks = [{"name": "n", "multus": {"networkName": "openshift-cnv/migration"}}]
    objects.append(
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"networks": networks},
        }
    )

    (finding,) = found(STACK, objects)

    assert (finding.code, finding.severity, finding.key) == (
        "vm-attached",
        "warning",
        "VirtualMachineInstance shop/web",
    )


def test_what_may_not_be_read_is_left_out_and_said() -> None:
    seen = healthy.snapshot(STACK, healthy.cluster(STACK), refused=[IP_POOL])

    judged = judge(PROOF, healthy.Sight(seen))

    assert judged.findings == ()
    assert "lease-leaked" in judged.left_out


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (None, "attachment-gone"),
        ("{", "attachment-invalid"),
        ('{"name":"x"}', "attachment-invalid"),
        ('{"type":"bridge"}', "declared-differs"),
    ],
)
def test_an_attachment_that_is_not_as_declared_is_found(config: str | None, code: str) -> None:
    objects = healthy.cluster(STACK)
    attachment = find(objects, "NetworkAttachmentDefinition")
    manifest = {
        **attachment,
        "metadata": {"name": "migration", "namespace": NAMESPACE},
        "spec": dict(attachment["spec"]),
    }
    if config is None:
        objects.remove(attachment)
    else:
        attachment["spec"]["config"] = config

    (finding,) = judge((declared,), healthy.sight(STACK, objects, declared=(manifest,))).findings

    assert finding.code == code


def test_an_item_that_somebody_appended_to_a_declared_list_is_found() -> None:
    objects = healthy.cluster(STACK)
    live = find(objects, "HyperConverged")
    manifest = {**live, "metadata": {"name": live["metadata"]["name"], "namespace": NAMESPACE}, "spec": {"list": [1]}}
    manifest.pop("status")
    live["spec"]["list"] = [1, 2]

    (finding,) = judge((declared,), healthy.sight(STACK, objects, declared=(manifest,))).findings

    assert (finding.code, "spec.list is [1, 2], not [1]" in finding.rule) == ("declared-differs", True)


@pytest.mark.parametrize(
    ("wanted", "live", "words"),
    [
        (5, "5", "spec.a is '5' (text), not 5 (number)"),
        (True, None, "spec.a is not set, not true"),
        (True, False, "spec.a is false, not true"),
    ],
)
def test_what_is_read_back_says_what_differs(wanted: object, live: object, words: str) -> None:
    objects = healthy.cluster(STACK)
    there = find(objects, "HyperConverged")
    manifest = {**there, "metadata": {"name": there["metadata"]["name"], "namespace": NAMESPACE}, "spec": {"a": wanted}}
    manifest.pop("status")
    there["spec"]["a"] = live

    (finding,) = judge((declared,), healthy.sight(STACK, objects, declared=(manifest,))).findings

    assert words in finding.rule


def test_sarif_says_why_a_rule_about_clusters_holds(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: migration-network\n")
    objects = healthy.cluster(STACK)
    fallback(objects)
    checked = Checked(Project.find(tmp_path), ("dev",), found(STACK, objects), (), ("dev: proven",))

    (run,) = json.loads(RENDER["sarif"](checked, tmp_path))["runs"]

    (rule,) = run["tool"]["driver"]["rules"]
    assert "migrates over the pod network" in rule["shortDescription"]["text"]
    assert run["invocations"][0]["toolExecutionNotifications"] == [
        {"level": "note", "message": {"text": "dev: proven"}}
    ]
