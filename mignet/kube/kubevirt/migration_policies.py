"""MigrationPolicies: which one a virtual machine gets, and what it changes. Pure, given the objects.

Source: KubeVirt, pkg/virt-controller/watch/migration/migrationpolicy.go (matchPolicy, applyMigrationPolicySpec).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mignet.kube.kinds import Object

SETTINGS = (
    "allowAutoConverge",
    "bandwidthPerMigration",
    "completionTimeoutPerGiB",
    "maxDowntimeMs",
    "allowPostCopy",
    "allowWorkloadDisruption",
)
"""What a policy may set: never the network, nor how many migrations run at a time."""


@dataclass(frozen=True, slots=True)
class Match:
    """The policy that a virtual machine gets, and others that match it as closely and come after it by name."""

    policy: Object
    tied: tuple[str, ...]

    @property
    def name(self) -> str:
        """The policy's name."""
        name: str = self.policy["metadata"]["name"]
        return name


def match(
    policies: Iterable[Object], labels: Mapping[str, str] | None, namespace: Mapping[str, str] | None
) -> Match | None:
    """Return the policy for a virtual machine of these labels in a namespace of those; None when none selects it.

    The one with the most labels that match wins; among equals the one with more labels of the virtual machine, and
    then the first by name.
    """
    scored = [(score, each) for each in policies if (score := _score(each, labels, namespace)) is not None]
    if not scored:
        return None
    best = max(score for score, _ in scored)
    first, *others = sorted(
        (each for score, each in scored if score == best), key=lambda each: str(each["metadata"]["name"])
    )
    return Match(first, tuple(str(each["metadata"]["name"]) for each in others))


def _score(
    policy: Object, labels: Mapping[str, str] | None, namespace: Mapping[str, str] | None
) -> tuple[int, int] | None:
    """Return how many labels match in all, and how many of the virtual machine's; None when the policy does not."""
    selectors = value_at(policy, "spec.selectors")
    if not isinstance(selectors, dict):
        return None
    of_machine = selectors.get("virtualMachineInstanceSelector") or {}
    of_namespace = selectors.get("namespaceSelector") or {}
    # A virtual machine without any label is matched by every policy, whatever that selects: KubeVirt does so.
    if labels is None:
        return 0, 0
    if of_machine.items() <= labels.items() and of_namespace.items() <= (namespace or {}).items():
        return len(of_machine) + len(of_namespace), len(of_machine)
    return None


def settings_of(policy: Object) -> dict[str, object]:
    """Return what a policy sets. Where it allows post-copy or not, it says so of a disruption, too, unless it does."""
    spec = policy["spec"]
    found = {key: spec[key] for key in SETTINGS if spec.get(key) is not None}
    if "allowPostCopy" in found:
        found.setdefault("allowWorkloadDisruption", found["allowPostCopy"])
    return found
