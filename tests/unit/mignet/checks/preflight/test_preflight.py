"""Preflight's rules over snapshots of a cluster: each trap gives its code and no other; a fit cluster gives none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from preflight_traps import (
    FITS,
    HYPERCONVERGED,
    KUBEVIRT,
    LOCALNET,
    LOCALNET_CONFIG,
    MAPPED,
    NAMESPACE,
    TRAPS,
    USER_LOCALNET,
    USER_NETWORK,
    USER_PLACE,
    Change,
    Edit,
    Place,
    Trap,
    attachment,
    edit,
    healthy,
    kubevirt,
    made_by,
    nic,
    stack,
    user_network,
    without,
)

from components.ownership import labels
from config.finding import Finding
from mignet.checks.preflight import CODES, RULES, reads
from mignet.checks.preflight.seen import Seen
from mignet.kube import kinds
from mignet.kube.client import ClusterError
from mignet.kube.diff import FieldChange
from mignet.kube.kinds import Kind
from mignet.kube.rbac import Right
from mignet.kube.snapshot import Judged, Read, judge

NOT_SERVED = ClusterError("not-served", "context dev does not serve it; install its operator")
OBJECTS = healthy()


def seen(
    edits: tuple[tuple[Place, Change], ...] = (),
    config: dict[str, Any] | None = None,
    *,
    not_served: tuple[Kind, ...] = (kinds.OPENSHIFT_OPERATOR_NETWORK,),
    **rest: Any,
) -> Seen:
    objects = dict(OBJECTS)
    for place, change in edits:
        new = change(objects.pop(place, None))
        if new is not None:
            objects[place] = new
    one = stack(config)
    there = {place[0] for place, _ in edits}

    def answer(read: Read) -> Any:
        if read.kind in not_served and read.kind not in there:
            return NOT_SERVED
        return tuple(
            found
            for (kind, namespace, name), found in objects.items()
            if kind == read.kind and read.namespace in {None, namespace} and read.name in {None, name}
        )

    return Seen(one, {read: answer(read) for read in reads(one)}, **rest)


def lines(judged: Judged) -> list[str]:
    return [f"{each.code}: {each}" for each in judged.findings]


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_a_trap_gives_its_code_and_no_other(trap: Trap) -> None:
    judged = judge(RULES, seen(trap.edits, trap.config))
    assert {each.code for each in judged.findings} == {trap.code}, lines(judged)
    assert any(trap.says in str(each) for each in judged.findings), lines(judged)


@pytest.mark.parametrize("name", FITS)
def test_a_fit_cluster_gives_nothing(name: str) -> None:
    judged = judge(RULES, seen(*FITS[name]))
    assert lines(judged) == []
    assert judged.left_out == {}


def only(code: str, found: Seen) -> Finding:
    judged = judge(RULES, found)
    (finding,) = judged.findings
    assert finding.code == code, lines(judged)
    return finding


OTHERS = {
    "right-missing",
    "nmstate-missing",
    "api-version-converted",
    "limit-default",
    "limit-owned",
    "limit-taken",
    "post-copy-inert",
    "hyperconverged-refuses",
    "field-written-back",
    "network-switched",
    "network-unchangeable",
    "ovn-books-shared",
}


def test_every_code_has_a_trap() -> None:
    assert CODES - {trap.code for trap in TRAPS} - OTHERS == set()


def test_a_finding_is_one_line_with_a_rule_and_a_remedy() -> None:
    for trap in TRAPS:
        for finding in judge(RULES, seen(trap.edits, trap.config)).findings:
            assert re.fullmatch(r"dev: \S[^\n]*\. [A-Z][^\n]*[^.]", str(finding)), str(finding)


def test_without_nmstate_one_finding_says_so_and_the_rest_is_still_checked() -> None:
    found = seen(
        (edit((kinds.OPENSHIFT_NETWORK, "", "cluster"), status={"serviceNetwork": ["10.200.0.0/16"]}),),
        not_served=(kinds.OPENSHIFT_OPERATOR_NETWORK, kinds.NODE_NETWORK_STATE),
    )
    judged = judge(RULES, found)
    assert {each.code: each.severity for each in judged.findings} == {
        "nmstate-missing": "info",
        "range-service-network": "error",
    }
    assert {"nic-missing", "nic-mtu", "range-node-address"} <= judged.left_out.keys()


def test_without_nmstate_an_uplink_is_an_error() -> None:
    uplink = {"vlan": {"baseInterface": "eth1", "name": "mig0"}}
    attachment = {"type": "macvlan", "name": "migration", "master": "mig0"}
    policies = ((kinds.DEFINITION, "", "nodenetworkconfigurationpolicies.nmstate.io"), lambda _: None)
    found = seen(
        (policies,),
        {"uplink": uplink, "attachment": attachment},
        not_served=(kinds.OPENSHIFT_OPERATOR_NETWORK, kinds.NODE_NETWORK_STATE, kinds.NODE_POLICY),
    )
    assert only("nmstate-missing", found).severity == "error"


def test_without_openshift_only_what_is_its_own_is_left_unsaid() -> None:
    found = seen(not_served=(kinds.OPENSHIFT_NETWORK, kinds.OPENSHIFT_OPERATOR_NETWORK))
    judged = judge(RULES, found)
    assert (lines(judged), judged.left_out) == ([], {})


def test_without_multus_there_is_one_finding() -> None:
    definition = ((kinds.DEFINITION, "", "network-attachment-definitions.k8s.cni.cncf.io"), lambda _: None)
    only("multus-missing", seen((definition,), not_served=(kinds.OPENSHIFT_OPERATOR_NETWORK, kinds.NETWORK_ATTACHMENT)))


def test_machine_addresses_inside_the_segment_are_seen_without_nmstate() -> None:
    config = {"segment": {"subnet": "192.168.10.0/24", "gateway": "192.168.10.1"}, "slice": None}
    found = seen((), config, not_served=(kinds.OPENSHIFT_OPERATOR_NETWORK, kinds.NODE_NETWORK_STATE))
    assert "range-machine-network" in {each.code for each in judge(RULES, found).findings}


def test_a_right_that_up_takes_is_an_error_and_one_that_only_looking_takes_a_warning() -> None:
    up = Right("k8s.cni.cncf.io", "network-attachment-definitions", "create", NAMESPACE)
    looking = Right("nmstate.io", "nodenetworkstates", "list")
    finding = only("right-missing", seen(denied=(up, looking)))
    assert finding.severity == "error"
    assert "create network-attachment-definitions.k8s.cni.cncf.io in namespace openshift-cnv; list nodenetworks" in str(
        finding
    )
    assert "mignet export role apply" in finding.remedy
    finding = only("right-missing", seen(denied=(looking,)))
    assert finding.severity == "warning"
    assert "mignet export role observe" in finding.remedy


TAKEN = (FieldChange("spec.liveMigrationConfig.completionTimeoutPerGiB", 150, 800, "kubectl-create"),)


def test_a_field_of_somebody_else_is_shown_with_its_value_and_owner() -> None:
    finding = only("limit-taken", seen(dry_run=TAKEN))
    assert finding.severity == "info"
    assert "completionTimeoutPerGiB 150 is owned by kubectl-create, and becomes 800: up takes it over" in str(finding)


def test_with_on_conflict_fail_it_is_an_error() -> None:
    finding = only("limit-owned", seen((), {"hyperConverged": {"onConflict": "fail"}}, dry_run=TAKEN))
    assert finding.severity == "error"
    assert "is owned by kubectl-create, and the stack wants 800" in str(finding)


def test_a_patch_that_the_api_server_refuses_is_an_error() -> None:
    error = ClusterError("refused", "context dev refused to apply HyperConverged: field not declared in schema")
    assert "field not declared in schema" in str(only("hyperconverged-refuses", seen(dry_run=error)))


def version(
    api: str, name: str, *, served: bool = True, stored: bool = False, timeout: int = 150, disruption: bool = False
) -> dict[str, Any]:
    limits: dict[str, Any] = {"properties": {"completionTimeoutPerGiB": {"default": timeout}}}
    if disruption:
        limits["properties"]["allowWorkloadDisruption"] = {"default": False}
    inside = limits if api == "v1beta1" else {"properties": {"liveMigrationConfig": limits}}
    key = "liveMigrationConfig" if api == "v1beta1" else "virtualization"
    schema = {"openAPIV3Schema": {"properties": {"spec": {"properties": {key: inside}}}}}
    return {"name": name, "served": served, "storage": stored, "schema": schema}


def hyperconverged_definition(*versions: dict[str, Any]) -> tuple[Place, Change]:
    name = "hyperconvergeds.hco.kubevirt.io"
    return (kinds.DEFINITION, "", name), lambda _: {"metadata": {"name": name}, "spec": {"versions": list(versions)}}


def test_a_version_that_this_release_does_not_serve_is_named_with_the_one_that_it_does() -> None:
    found = seen(
        (hyperconverged_definition(version("v1beta1", "v1beta1", stored=True)),),
        {"hyperConverged": {"apiVersion": "v1"}},
        not_served=(kinds.OPENSHIFT_OPERATOR_NETWORK, kinds.HYPERCONVERGED_V1),
    )
    found = Seen(found.stack, found.found, dry_run=NOT_SERVED)
    finding = only("api-version", found)
    assert "serves v1beta1, and v1 is needed. Set hyperConverged.apiVersion: v1beta1" in str(finding)


def test_a_version_that_is_not_the_stored_one_is_mentioned_with_the_release() -> None:
    definition = hyperconverged_definition(version("v1", "v1", stored=True), version("v1beta1", "v1beta1"))
    finding = only("api-version-converted", seen((definition,)))
    assert "v1beta1 is not v1, in which this cluster stores the HyperConverged (release 1.18.1)" in str(finding)


def test_a_pinned_limit_that_the_operator_rewrites_is_a_warning() -> None:
    definition = hyperconverged_definition(version("v1beta1", "v1beta1", stored=True, timeout=20))
    config = {"hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 150}}}
    assert "is 20, and its operator rewrites 150 to it" in str(only("limit-default", seen((definition,), config)))


@pytest.mark.parametrize(
    ("release_knows", "limits", "inert"),
    [
        (True, {"allowPostCopy": True}, True),
        (True, {"allowPostCopy": True, "allowWorkloadDisruption": False}, True),
        (True, {"allowPostCopy": True, "allowWorkloadDisruption": True}, False),
        (True, {}, False),
        # Up to 1.18 there is no such field, and an unset value follows allowPostCopy.
        (False, {"allowPostCopy": True}, False),
    ],
)
def test_post_copy_that_the_release_does_nothing_with_is_a_warning(
    limits: dict[str, Any], *, release_knows: bool, inert: bool
) -> None:
    definition = hyperconverged_definition(version("v1beta1", "v1beta1", stored=True, disruption=release_knows))
    judged = judge(RULES, seen((definition,), {"hyperConverged": {"liveMigration": limits}}))
    assert [each.code for each in judged.findings] == ["post-copy-inert"] * inert
    assert all("allowPostCopy true has no effect in this release" in str(each) for each in judged.findings)


def test_a_policy_of_somebody_else_is_refused() -> None:
    config = {
        "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
        "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
    }
    (policy,) = stack(config).policies
    live = {
        "apiVersion": "nmstate.io/v1",
        "kind": "NodeNetworkConfigurationPolicy",
        "metadata": {"name": policy.name, "managedFields": [{"manager": "Mozilla"}]},
    }
    found = seen((((kinds.NODE_POLICY, "", policy.name), lambda _: live),), config)
    assert "made by somebody else (field manager Mozilla)" in str(only("policy-foreign", found))


def test_a_hundred_nodes_with_one_mistake_are_one_finding() -> None:
    edits = []
    for number in range(100):
        name = f"node-{number}"
        node, state = (dict(OBJECTS[kind, "", "dev-worker-1"]) for kind in (kinds.NODE, kinds.NODE_NETWORK_STATE))
        metadata = {"name": name, "labels": {"kubevirt.io/schedulable": "true"}}
        interfaces = [
            each | {"state": "down"} if each["name"] == "eth1" else each
            for each in state["status"]["currentState"]["interfaces"]
        ]
        down = {"currentState": state["status"]["currentState"] | {"interfaces": interfaces}}
        edits.append(((kinds.NODE, "", name), lambda _, new=node | {"metadata": metadata}: new))
        edits.append(
            (
                (kinds.NODE_NETWORK_STATE, "", name),
                lambda _, new=state | {"metadata": {"name": name}, "status": down}: new,
            )
        )
    config = {"slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.200"}}
    finding = only("nic-down", seen(tuple(edits), config))
    assert "NIC eth1 is down on node-0, node-1, node-2, node-3, node-4 and 95 more; virt-handler" in str(finding)


def test_an_unread_hyperconverged_is_no_missing_one() -> None:
    found = seen()
    forbidden = ClusterError("forbidden", "context dev refused to read HyperConverged")
    read = Read(kinds.HYPERCONVERGED_V1BETA1, HYPERCONVERGED[1], HYPERCONVERGED[2])
    judged = judge(RULES, Seen(found.stack, {**found.found, read: forbidden}, dry_run=forbidden))
    assert lines(judged) == []
    assert {"hyperconverged-missing", "operator-degraded", "limit-owned"} <= judged.left_out.keys()


def test_without_the_gate_no_sync_controller_needs_a_nic() -> None:
    edits = (without("dev-control-plane-0", "eth1"), nic("dev-control-plane-0", "eth9"))
    assert only("nic-missing", seen(edits)).severity == "error"
    assert not judge(RULES, seen((*edits, (KUBEVIRT, lambda _: kubevirt())))).findings


NAMED = edit(HYPERCONVERGED, spec={"liveMigrationConfig": {"network": "cnv-mig"}})


def test_a_network_of_another_name_is_said_to_be_switched() -> None:
    """The case adopt-unnamed, from a stack that names another network."""
    finding = only("network-switched", seen((NAMED,)))
    assert finding.severity == "warning"
    assert "network is cnv-mig: up switches from cnv-mig to migration: every virt-handler restarts" in str(finding)
    assert "attachment.name: cnv-mig" in finding.remedy


def test_a_stacks_own_network_of_before_is_switched_as_its_rollout_says() -> None:
    place, made = attachment("cnv-mig", {"type": "macvlan", "master": "eth1"}, namespace=NAMESPACE)
    live = made(None)
    assert live is not None
    live["metadata"]["labels"] = labels("dev")
    finding = only("network-switched", seen((NAMED, (place, lambda _: live))))
    assert (finding.severity, finding.remedy) == ("info", "Migrate nothing meanwhile")


OWN_NETWORK = (
    user_network("migration", **USER_LOCALNET, **made_by("migration-network")),
    attachment(
        "migration",
        LOCALNET_CONFIG,
        namespace=NAMESPACE,
        owner={"kind": "ClusterUserDefinedNetwork", "name": "migration"},
    ),
    *MAPPED,
)


def test_a_network_of_ovn_that_is_the_stacks_own_is_fit() -> None:
    judged = judge(RULES, seen(OWN_NETWORK, {"attachment": USER_NETWORK}))
    assert (lines(judged), judged.left_out) == ([], {})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            edit(USER_PLACE, spec={"network": {"localnet": {"mtu": 1500}}}),
            "cannot be changed, and is not what is declared: spec.network.localnet.mtu is 1500, not 9000",
        ),
        (
            edit(USER_PLACE, metadata={"deletionTimestamp": "2026-01-01T10:00:00Z"}),
            "is being deleted, and goes when no pod uses it",
        ),
    ],
)
def test_a_network_of_ovn_never_changes(change: Edit, says: str) -> None:
    found = only("network-unchangeable", seen((*OWN_NETWORK, change), {"attachment": USER_NETWORK}))
    assert says in str(found)


def test_a_network_of_ovn_is_adopted_with_the_namespaces_that_it_has() -> None:
    selector = {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["shop"]}]}
    foreign = edit(
        USER_PLACE, spec={"namespaceSelector": {"matchLabels": None} | selector}, metadata={"managedFields": []}
    )
    adopting = USER_NETWORK | {"adopt": True}
    judged = judge(RULES, seen((*OWN_NETWORK, foreign), {"attachment": adopting}))
    assert [each.code for each in judged.findings] == ["attachment-adopted", "network-unchangeable"]
    assert "some would lose it. Write that as attachment.namespaceSelector" in str(judged.findings[1])
    only(
        "attachment-adopted", seen((*OWN_NETWORK, foreign), {"attachment": adopting | {"namespaceSelector": selector}})
    )


def before(**keys: Any) -> Edit:
    return attachment("before", LOCALNET_CONFIG | keys, namespace=NAMESPACE, ours="dev")


USES_BEFORE = edit(
    (kinds.POD, NAMESPACE, "virt-handler-1"),
    metadata={
        "labels": {"kubevirt.io": "virt-handler"},
        "annotations": {"k8s.v1.cni.cncf.io/networks": "before@migration0"},
        "creationTimestamp": "2026-01-01T10:00:00Z",
    },
)


@pytest.mark.parametrize("type_", [USER_NETWORK, LOCALNET, LOCALNET | {"rollout": "rename"}])
def test_a_second_network_of_ovn_gives_no_address_that_pods_have_by_the_first(type_: dict[str, Any]) -> None:
    config = {"attachment": type_}
    found = only("ovn-books-shared", seen((before(), USES_BEFORE, *MAPPED), config))
    assert "gives 10.200.5.10-10.200.5.60 to pods that migrate" in str(found)
    apart = (before(excludeSubnets="10.200.5.0/26"), USES_BEFORE, *MAPPED)
    assert lines(judge(RULES, seen(apart, config))) == []
    unused = (before(), *MAPPED)
    assert lines(judge(RULES, seen(unused, config))) == []
