"""Where the sync controllers of migrations between clusters run, and how many of them: as virt-operator places them.

Source: KubeVirt, pkg/virt-operator/resource/placement and apply/apps.go; the HyperConverged Cluster Operator,
hcoConfig2KvConfig. Pure, given the objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.planning.demand import SYNC_CONTROLLERS
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.kube.kinds import Object
    from mignet.kube.network.node_network import Node

PORT = 9185
"""TCP port of the sync controllers, where the KubeVirt CR names no other (`spec.synchronizationPort`)."""
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

_BY_DEFAULT: Mapping[str, Any] = {
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": label, "operator": "Exists"}]} for label in CONTROL_PLANE
                ]
            }
        }
    },
    "tolerations": [{"key": label, "operator": "Exists", "effect": "NoSchedule"} for label in CONTROL_PLANE],
}
"""What virt-operator takes where nobody names a placement; an empty one is a placement, and means any node."""
_ALWAYS_TOLERATED = {"key": "CriticalAddonsOnly", "operator": "Exists"}
_PLACES = ("spec.infra.nodePlacement", "spec.deployment.nodePlacements.infra")
"""The same field of the HyperConverged: in v1beta1, and in v1."""


@dataclass(frozen=True, slots=True)
class SyncControllers:
    """How many sync controllers a cluster has, and the placement of their pods."""

    replicas: int
    placement: Mapping[str, Any]

    def may_run_on(self, node: Node) -> bool:
        """Tell whether the scheduler may put one on a node."""
        labels = {"kubernetes.io/os": "linux"} | dict(node.labels)
        wanted = {"kubernetes.io/os": "linux"} | (self.placement.get("nodeSelector") or {})
        if not wanted.items() <= labels.items():
            return False
        required = value_at(
            dict(self.placement), "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        )
        if isinstance(required, dict) and not any(
            _term_holds(term, labels, node.name) for term in required.get("nodeSelectorTerms") or ()
        ):
            return False
        tolerations = [_ALWAYS_TOLERATED, *(self.placement.get("tolerations") or ())]
        return all(any(_tolerates(each, taint) for each in tolerations) for taint in node.lasting_taints)


def sync_controllers(kubevirt: Object | None, hyperconverged: Object | None) -> SyncControllers:
    """Read what the KubeVirt object says; what it leaves open the HyperConverged says, which the operator copies."""
    infra = value_at(kubevirt or {}, "spec.infra")
    infra = infra if isinstance(infra, dict) else {}
    said = (infra.get("nodePlacement"), *(value_at(hyperconverged or {}, path) for path in _PLACES))
    placement = next((each for each in said if isinstance(each, dict)), _BY_DEFAULT)
    replicas = infra.get("replicas")
    return SyncControllers(replicas if isinstance(replicas, int) else SYNC_CONTROLLERS, placement)


def sync_port(kubevirt: Object | None) -> int:
    """Return the controllers' TCP port: KubeVirt's field is a text, and one that is no number does not count."""
    text = str(value_at(kubevirt or {}, "spec.synchronizationPort") or PORT)
    return int(text) if text.isdecimal() else PORT


def _term_holds(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """All expressions of a term must hold; one without any takes no node (Kubernetes' own rule)."""
    of_labels, of_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    return bool(of_labels or of_fields) and all(
        (
            *(_holds(each, labels) for each in of_labels),
            *(_holds(each, {"metadata.name": name}) for each in of_fields),
        )
    )


def _holds(expression: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    has = values.get(expression.get("key", ""))
    listed: tuple[object, ...] = tuple(expression.get("values") or ())
    match expression.get("operator"):
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
        case "In":
            return has in listed
        case "NotIn":
            return has not in listed
        case "Gt" | "Lt" as operator:
            try:
                one, other = int(has or ""), int(str(listed[0] if listed else ""))
            except ValueError:
                return False
            return one > other if operator == "Gt" else one < other
    return False


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint.get("key")}
    same_key = toleration.get("key") == taint.get("key")
    return same_key and (toleration.get("value") or "") == (taint.get("value") or "")
