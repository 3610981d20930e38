"""What must hold between the MigrationPolicies of a stack, and between them and the limits of the whole cluster.

Source: KubeVirt, pkg/virt-controller/watch/migration/migrationpolicy.go (matchPolicy, applyMigrationPolicySpec).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from config.finding import Finding, Rule, rule, shown
from config.limits import too_slow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.migration_policy import MigrationPolicy
    from config.rules.draft import Draft

_OLD_DEFAULT = 150
"""Seconds of completionTimeoutPerGiB where neither policy nor stack say; newer releases allow less."""


def _numbered(draft: Draft) -> Iterator[tuple[str, MigrationPolicy]]:
    for index, policy in enumerate(draft.migration_policies):
        yield f"migrationPolicies[{index}]", policy


@rule("migration-policy-everyone")
def _selects_some(draft: Draft) -> Iterator[Finding]:
    """A policy without labels selects every virtual machine of the cluster, which the HyperConverged's limits are for.

    KubeVirt matches none with a policy that has no selectors at all, and all with one whose selectors are empty.
    """
    for key, policy in _numbered(draft):
        if policy.detail == (0, 0):
            yield Finding(
                key,
                policy.name,
                "has no labels in its selectors, and so applies to every virtual machine that no other policy selects",
                "Write its limits into hyperConverged.liveMigration, or labels into namespaceSelector or"
                " virtualMachineInstanceSelector",
            )


@rule("migration-policy-same")
def _selectors_differ(draft: Draft) -> Iterator[Finding]:
    """Of two policies with the same labels, one applies to nobody: the second by name."""
    for (_, one), (key, two) in combinations(_numbered(draft), 2):
        if one.same_as(two) and one.detail != (0, 0):
            first, second = sorted((one.name, two.name))
            yield Finding(
                key,
                two.name,
                f"has the same selectors as {one.name}: {first} applies, as the first by name, and {second} to nobody",
                "Make one policy of both, or give one of them a label more",
            )


@rule("migration-policy-tied", severity="warning")
def _none_tie(draft: Draft) -> Iterator[Finding]:
    """Of two policies that match a virtual machine as closely, the first by name applies: a name decides on limits."""
    for (_, one), (key, two) in combinations(_numbered(draft), 2):
        if one.may_tie(two) and not one.same_as(two):
            first = min(one.name, two.name)
            yield Finding(
                key,
                two.name,
                f"and {one.name} match a virtual machine with the labels of both equally closely, so that {first}"
                " applies, as the first by name",
                "Give the one that is meant a label more, unless no virtual machine has the labels of both",
            )


@rule("migration-too-slow", severity="warning")
def _a_gib_fits_its_time(draft: Draft) -> Iterator[Finding]:
    """A policy's limit meets the cluster's for the other one: together they may leave no time to copy a GiB."""
    for key, policy in _numbered(draft):
        own = policy.settings
        limits = {"completionTimeoutPerGiB": _OLD_DEFAULT} | draft.cluster_limits | own
        bandwidth, timeout = limits.get("bandwidthPerMigration"), limits["completionTimeoutPerGiB"]
        of_cluster = draft.cluster_limits == draft.cluster_limits | {
            name: own[name] for name in ("bandwidthPerMigration", "completionTimeoutPerGiB") if name in own
        }
        if not of_cluster and (found := too_slow(bandwidth, timeout)):
            why, remedy = found
            yield Finding(
                f"{key}.limits", policy.name, f"has bandwidthPerMigration {shown(bandwidth)}, which {why}", remedy
            )


@rule("post-copy-inert", severity="warning")
def _post_copy_disrupts(draft: Draft) -> Iterator[Finding]:
    """From KubeVirt 1.9 on, post-copy needs a disruption to be allowed; a policy that forbids it has no post-copy."""
    for key, policy in _numbered(draft):
        limits = policy.limits
        if limits.allow_post_copy and limits.allow_workload_disruption is False:
            yield Finding(
                f"{key}.limits.allowPostCopy",
                True,
                "has no effect from KubeVirt 1.9 on: allowWorkloadDisruption is false beside it",
                "Leave allowWorkloadDisruption out, which then follows allowPostCopy",
            )


POLICY_RULES: tuple[Rule[Draft], ...] = (
    _selects_some,
    _selectors_differ,
    _none_tie,
    _a_gib_fits_its_time,
    _post_copy_disrupts,
)
