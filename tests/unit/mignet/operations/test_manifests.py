"""Manifests for GitOps: the same declaration is the same text, in whatever order its keys arrive."""

from __future__ import annotations

import random
from typing import Any

from mignet.engines.evaluation import Declaration, Declared
from mignet.operations.manifests import as_yaml

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
