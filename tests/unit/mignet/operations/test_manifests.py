"""Manifests for GitOps: the same declaration is the same text, in whatever order its keys arrive."""

from __future__ import annotations

import random
from typing import Any

import yaml

from mignet.engines.evaluation import Declaration, Declared
from mignet.operations.manifests import _WAVES, as_yaml

MANIFEST: dict[str, Any] = {
    "apiVersion": "nmstate.io/v1",
    "kind": "NodeNetworkConfigurationPolicy",
    "metadata": {"name": "p", "labels": {"a": "1", "b": "2", "c": "3"}, "annotations": {"d": "4", "e": "5"}},
    "spec": {"desiredState": {"interfaces": [{"name": "eth1", "type": "ethernet", "mtu": 9000, "state": "up"}]}},
}


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in random.sample(sorted(value), len(value))}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


def test_the_order_of_keys_on_the_wire_does_not_show() -> None:
    texts = {as_yaml("dev", Declaration((Declared(shuffled(MANIFEST), patch=False),), {})) for _ in range(50)}
    assert len(texts) == 1
    assert texts.pop().splitlines()[4:6] == ["apiVersion: nmstate.io/v1", "kind: NodeNetworkConfigurationPolicy"]


KINDS = [
    *("NodeNetworkConfigurationPolicy", "NetworkAttachmentDefinition", "ClusterUserDefinedNetwork"),
    *("HyperConverged", "MigrationPolicy"),
]


def test_for_argo_cd_nothing_is_deleted_and_each_waits_for_what_it_stands_on() -> None:
    declared = [Declared(MANIFEST | {"kind": kind}, patch=kind == "HyperConverged") for kind in KINDS]
    plain, annotated = (
        [each["metadata"]["annotations"] for each in yaml.safe_load_all(text)]
        for text in (
            as_yaml("dev", Declaration(tuple(declared), {})),
            as_yaml("dev", Declaration(tuple(declared), {}), tool="argocd"),
        )
    )
    assert plain == [MANIFEST["metadata"]["annotations"]] * 5
    added = [dict(each.items() - MANIFEST["metadata"]["annotations"].items()) for each in annotated]
    keep = "Prune=false,Delete=false"
    assert [each["argocd.argoproj.io/sync-options"] for each in added] == [
        *(keep, keep, keep, f"{keep},ServerSideApply=true", keep)
    ]
    assert [each["argocd.argoproj.io/sync-wave"] for each in added] == ["0", "1", "1", "2", "2"]


def test_every_kind_that_a_stack_declares_has_its_wave() -> None:
    from mignet.kube.kinds import WRITTEN_KINDS

    # The direct engine writes a Lease and the checkup pods, too.
    assert {each.kind for each in WRITTEN_KINDS} - {"Lease", "Pod"} == set(_WAVES) == set(KINDS)
