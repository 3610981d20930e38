"""What a resource of somebody else's program may do, rule by rule; nothing is said of what is harmless, or ours."""

from __future__ import annotations

import json
from typing import Any

import healthy
import pytest

from mignet.policies import rules
from mignet.policies.rules import Declared

THEIRS = "urn:pulumi:prod::theirs::kubernetes:x/v1:Thing::name"
OURS = "urn:pulumi:dev::net::migration-network:index:MigrationNetwork$kubernetes:x/v1:Thing::name"
NAMESPACE = "openshift-cnv"
UPLINK = {"vlan": {"baseInterface": "eth1", "id": 2001}, "nodeSelector": {"node-role.kubernetes.io/worker": ""}}
LIMITS = {"liveMigration": {"progressTimeout": 150, "bandwidthPerMigration": "2048Mi"}}
STACK = healthy.stack(
    uplink=UPLINK,
    attachment={"type": "macvlan", "name": "migration", "master": "eth1.2001"},
    hyperConverged=LIMITS,
    segment=healthy.VALUES["segment"] | {"vlan": 2001},
    migrationPolicies=[
        {"name": "slow", "namespaceSelector": {"slow": "yes"}, "limits": {"bandwidthPerMigration": "64Mi"}}
    ],
)


def resource(api: str, kind: str, name: str, spec: Any, urn: str = THEIRS, **more: Any) -> Declared:
    metadata: dict[str, Any] = {"name": name} | more.pop("metadata", {"namespace": NAMESPACE})
    manifest = {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}
    return Declared(urn, manifest, **more)


def attachment(name: str, *, urn: str = THEIRS, of: dict[str, Any] | None = None, **ipam: Any) -> Declared:
    config = {"cniVersion": "0.3.1", "type": "macvlan", "master": "eth1.2001", "ipam": ipam} | (of or {})
    return resource("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", name, {"config": json.dumps(config)}, urn)


def whereabouts(first: str, last: str) -> dict[str, Any]:
    return {"type": "whereabouts", "range": "10.200.5.0/24", "range_start": first, "range_end": last}


def hyperconverged(spec: Any, *, version: str = "v1beta1", **more: Any) -> Declared:
    return resource(f"hco.kubevirt.io/{version}", "HyperConverged", "kubevirt-hyperconverged", spec, **more)


def policy(name: str, *interfaces: dict[str, Any]) -> Declared:
    spec = {"desiredState": {"interfaces": list(interfaces)}}
    return resource("nmstate.io/v1", "NodeNetworkConfigurationPolicy", name, spec, metadata={})


def migration_policy(name: str, **limits: Any) -> Declared:
    return resource("migrations.kubevirt.io/v1alpha1", "MigrationPolicy", name, limits, metadata={})


PATCH = {"kubevirt.kubevirt.io/jsonpatch": '[{"op": "replace", "path": "/spec/configuration/migrations", "value": {}}]'}
BROKEN = [
    (
        "address-range",
        attachment("backup", **whereabouts("10.200.5.40", "10.200.5.90")),
        "NetworkAttachmentDefinition openshift-cnv/backup hands out 10.200.5.40-10.200.5.60 of stack dev",
    ),
    (
        "address-range",
        attachment("backup", type="host-local", ranges=[[{"subnet": "10.200.5.0/24"}]]),
        "hands out 10.200.5.10-10.200.5.60 of stack dev",
    ),
    (
        "address-range-unknown-vlan",
        attachment("backup", of={"master": "eth9"}, **whereabouts("10.200.5.40", "10.200.5.90")),
        "hands out 10.200.5.40-10.200.5.60 of stack dev, and its configuration does not tell its VLAN",
    ),
    ("migration-network", attachment("migration"), "is the migration network of stack dev"),
    (
        "migration-network",
        hyperconverged({"liveMigrationConfig": {"network": "other"}}),
        "sets network to other, and stack dev sets it to migration",
    ),
    (
        "migration-limits",
        hyperconverged({"liveMigrationConfig": {"progressTimeout": 30}}),
        "sets progressTimeout to 30, which stack dev owns",
    ),
    (
        "migration-limits",
        hyperconverged({"virtualization": {"liveMigrationConfig": {"progressTimeout": 30}}}, version="v1"),
        "sets progressTimeout to 30, which stack dev owns",
    ),
    (
        "migration-limits",
        resource("kubevirt.io/v1", "KubeVirt", "kv", {"configuration": {"migrations": {"progressTimeout": 30}}}),
        "KubeVirt openshift-cnv/kv sets progressTimeout to 30, which stack dev owns",
    ),
    (
        "migration-limits",
        hyperconverged({}, metadata={"namespace": NAMESPACE, "annotations": PATCH}),
        "drops bandwidthPerMigration, network, progressTimeout",
    ),
    ("migration-policies", migration_policy("slow", allowPostCopy=True), "is one of stack dev"),
    (
        "migration-policies",
        migration_policy("other", bandwidthPerMigration="64Mi"),
        "overrides limits of stack dev for the machines that it selects: bandwidthPerMigration 64Mi (not 2048Mi)",
    ),
    (
        "uplink",
        policy("vlans", {"name": "eth1.2001", "type": "vlan"}),
        "declares eth1.2001, as the uplink of stack dev",
    ),
    (
        "protect",
        hyperconverged({"liveMigrationConfig": {"network": "migration"}}, urn=OURS),
        "is not protected, and this site asks for it",
    ),
]
FINE = [
    attachment("backup", **whereabouts("10.200.5.100", "10.200.5.120")),
    attachment("routed", type="dhcp"),
    resource("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", "broken", {"config": "{"}),
    resource("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", "unnamed", None),
    hyperconverged({"liveMigrationConfig": {"allowAutoConverge": True}}),
    hyperconverged({"liveMigrationConfig": {"progressTimeout": 30}}, context="elsewhere"),
    hyperconverged({"liveMigrationConfig": {"progressTimeout": 30}}, metadata={"namespace": "other"}),
    hyperconverged({"liveMigrationConfig": {"network": "migration"}}, urn=OURS, protect=True),
    attachment("migration", urn=OURS).__class__(OURS, attachment("migration").manifest, protect=True),
    policy("storage", {"name": "eth2", "type": "ethernet"}),
    migration_policy("more", allowAutoConverge=True),
    Declared(THEIRS, {}),
    Declared(THEIRS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
]


WHOLE = whereabouts("10.200.5.0", "10.200.5.254")
OVN = {"type": "ovn-k8s-cni-overlay", "topology": "localnet", "subnets": "10.200.5.0/24", "name": "physnet"}


def localnet(**network: Any) -> Declared:
    spec = {"network": {"topology": "Localnet", "localnet": {"physicalNetworkName": "x", **network}}}
    return resource("k8s.ovn.org/v1", "ClusterUserDefinedNetwork", "other", spec, metadata={})


def tagged(**of: Any) -> Declared:
    return attachment("backup", of=of, **WHOLE)


VLANS = {
    "macvlan on a VLAN interface": (tagged(master="bond0.2001"), tagged(master="bond0.2002")),
    "ipvlan on one of another name": (tagged(type="ipvlan", master="vlan2001"), tagged(type="ipvlan", master="vlan7")),
    "bridge": (tagged(type="bridge", bridge="br1", vlan=2001), tagged(type="cnv-bridge", bridge="br1", vlan=100)),
    "trunk": (
        tagged(type="bridge", bridge="br1", vlanTrunk=[{"minID": 2000, "maxID": 2100}]),
        tagged(type="bridge", bridge="br1", vlan=5, vlanTrunk=[{"id": 7}, {"minID": 10, "maxID": 2000}]),
    ),
    "vlan": (tagged(type="vlan", vlanId=2001), tagged(type="vlan", vlanId=9)),
    "sriov": (tagged(type="sriov", master=None, vlan=2001), tagged(type="sriov", master=None, vlan=3)),
    "localnet": (attachment("a", of=OVN | {"vlanID": 2001}), attachment("a", of=OVN | {"vlanID": 12})),
    "user-defined": (
        localnet(subnets=["10.200.5.0/24"], vlan={"mode": "Access", "access": {"id": 2001}}),
        localnet(subnets=["10.200.5.0/24"], vlan={"mode": "Access", "access": {"id": 5}}),
    ),
}


@pytest.mark.parametrize(("same", "other"), VLANS.values(), ids=VLANS)
def test_addresses_that_are_given_on_another_vlan_are_no_fault(same: Declared, other: Declared) -> None:
    assert list(said(same)) == ["address-range"]
    assert said(other) == {}


UNTOLD = {
    "an interface of any VLAN": tagged(master="eth9"),
    "an interface named like none": tagged(master="eth1.9999"),
    "no interface": tagged(master=None, type="host-device"),
    "a bridge without a tag": tagged(type="bridge", bridge="br1", vlan=0),
    "a tag of another kind": tagged(type="bridge", bridge="br1", vlan="2002", vlanTrunk=[{"minID": "a"}, None]),
    "OVN's, which the bridge's uplink tags": attachment("a", of=OVN),
    "a user-defined network without one": localnet(subnets=["10.200.5.0/24"]),
}


@pytest.mark.parametrize("declared", UNTOLD.values(), ids=UNTOLD)
def test_of_a_vlan_that_is_not_told_another_policy_speaks(declared: Declared) -> None:
    assert list(said(declared)) == ["address-range-unknown-vlan"]


@pytest.mark.parametrize(("master", "name"), [("eth1", "address-range"), ("eth9", "address-range-unknown-vlan")])
def test_on_the_same_interface_no_tag_is_needed(master: str, name: str) -> None:
    stack = healthy.stack()
    declared = tagged(master=master)
    assert [each.name for each in rules.RULES if list(each.find([stack], declared))] == [name]


def said(declared: Declared) -> dict[str, list[str]]:
    return {each.name: found for each in rules.RULES if (found := list(each.find([STACK], declared)))}


@pytest.mark.parametrize(
    ("name", "declared", "sentence"), BROKEN, ids=[f"{each[0]}: {each[2][:40]}" for each in BROKEN]
)
def test_a_rule_says_what_is_wrong_and_no_other_speaks(name: str, declared: Declared, sentence: str) -> None:
    found = said(declared)
    assert list(found) == [name]
    (text,) = found[name]
    assert sentence in text
    assert text.count(". ") == 1, "what is wrong, and what to do"


@pytest.mark.parametrize("declared", FINE, ids=range(len(FINE)))
def test_what_does_no_harm_is_not_spoken_of(declared: Declared) -> None:
    assert said(declared) == {}


def test_an_attachment_is_removed_from_under_a_stack_without_an_uplink() -> None:
    stack = healthy.stack()
    (rule,) = (each for each in rules.RULES if each.name == "uplink")
    (found,) = rule.find([stack], policy("old", {"name": "eth1", "state": "absent"}))
    assert "removes eth1, to which the migration network of stack dev is attached" in found


def test_every_rule_is_broken_by_an_example() -> None:
    assert {name for name, *_ in BROKEN} == {each.name for each in rules.RULES}
    assert [each.name for each in rules.RULES if not each.on] == ["protect"]
