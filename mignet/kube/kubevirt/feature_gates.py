"""Whether a KubeVirt migrates between clusters: its feature gates, by its version. Pure, given the object.

Source: KubeVirt, pkg/virt-config/feature-gates.go and featuregate/active.go: the gate is Alpha up to 1.9, and Beta, so
on unless it is disabled, from 1.10.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

GATE = "DecentralizedLiveMigration"
"""The feature gate as the KubeVirt CR lists it, in this case only; the HyperConverged spells it with a small letter."""
_ON_FROM = (1, 10)
_DEVELOPER = "spec.configuration.developerConfiguration"


def migrates_between_clusters(kubevirt: Object | None) -> bool:
    """Whether the gate is on: listed, or of a version where it is unless `disabledFeatureGates` lists it."""
    return GATE not in _listed(kubevirt, "disabledFeatureGates") and (
        GATE in _listed(kubevirt, "featureGates") or version(kubevirt) >= _ON_FROM
    )


def what_is_off(kubevirt: Object) -> str:
    """Say why the gate is off: ` lists …` or ` does not list …`, for a sentence about the KubeVirt CR."""
    if GATE in _listed(kubevirt, "disabledFeatureGates"):
        return f"lists {GATE} among its disabledFeatureGates"
    other = next((each for each in _listed(kubevirt, "featureGates") if each.lower() == GATE.lower()), None)
    written = f", and {other} is not it: KubeVirt minds the case" if other else ""
    return f"does not list the feature gate {GATE}{written}"


def version(kubevirt: Object | None) -> tuple[int, int]:
    """Return major and minor of KubeVirt as it runs; 0.0 when it does not say.

    >>> version({"status": {"observedKubeVirtVersion": "v1.8.4-12-gabc"}})
    (1, 8)
    """
    text = str(value_at(kubevirt or {}, "status.observedKubeVirtVersion") or "")
    match = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _listed(kubevirt: Object | None, key: str) -> list[str]:
    gates = value_at(kubevirt or {}, f"{_DEVELOPER}.{key}")
    return [str(each) for each in gates] if isinstance(gates, list) else []
