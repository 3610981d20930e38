"""Whether KubeVirt migrates between clusters: by its version, and the two lists of gates."""

from __future__ import annotations

from typing import Any

import pytest

from mignet.kube.kubevirt.feature_gates import GATE, migrates_between_clusters, what_is_off


def kubevirt(version: str | None, *, on: list[str] | None = None, off: list[str] | None = None) -> dict[str, Any]:
    gates = {key: each for key, each in (("featureGates", on), ("disabledFeatureGates", off)) if each is not None}
    status = {} if version is None else {"observedKubeVirtVersion": version}
    return {"spec": {"configuration": {"developerConfiguration": gates}}, "status": status}


@pytest.mark.parametrize(
    ("live", "on"),
    [
        (kubevirt("v1.8.4", on=["Snapshot", GATE, "VMExport"]), True),
        (kubevirt("v1.8.4", on=["Snapshot"]), False),
        (kubevirt("v1.9.0"), False),
        (kubevirt("v1.8.4", on=["decentralizedLiveMigration"]), False),
        (kubevirt("v1.10.0"), True),
        (kubevirt("v1.10.0", on=["Snapshot"], off=["Other"]), True),
        (kubevirt("v1.10.0", off=[GATE]), False),
        (kubevirt("v1.10.0-rc.0", on=[GATE]), True),
        (kubevirt("v2.0.1"), True),
        (kubevirt(None), False),
        (kubevirt(None, on=[GATE]), True),
        (None, False),
    ],
)
def test_the_gate_is_on_where_it_is_listed_and_from_1_10_unless_it_is_disabled(
    live: dict[str, Any] | None, *, on: bool
) -> None:
    assert migrates_between_clusters(live) is on


def test_why_it_is_off_is_said_with_the_case_that_kubevirt_minds() -> None:
    assert what_is_off(kubevirt("v1.8.4")) == f"does not list the feature gate {GATE}"
    assert "and decentralizedLiveMigration is not it: KubeVirt minds the case" in what_is_off(
        kubevirt("v1.8.4", on=["decentralizedLiveMigration"])
    )
    assert "among its disabledFeatureGates" in what_is_off(kubevirt("v1.10.0", off=[GATE]))
