"""Whether the APIs that a migration network stands on are there, in a version that this program speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment.ipam import Whereabouts
from config.finding import Finding, Subject, rule
from config.hyperconverged import NAME
from mignet.checks.preflight.seen import Seen, definition_name
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    DAEMON_SET,
    IP_POOL,
    KUBEVIRT,
    MIGRATION_POLICY,
    NAMESPACE,
    NETWORK_ATTACHMENT,
    NODE_NETWORK_STATE,
    NODE_POLICY,
    Kind,
)
from mignet.kube.snapshot import Read, UnreadError, where_served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack


MULTUS = (("openshift-multus", "multus"), ("kube-system", "kube-multus-ds"))
"""Namespace and name of multus' DaemonSet: on OpenShift, and elsewhere."""


def reads() -> list[Read]:
    """Return what is read to see that multus runs."""
    return [Read(DAEMON_SET, where, name) for where, name in MULTUS]


def needed(stack: Stack) -> tuple[Kind, ...]:
    """Return the kinds of other projects whose definitions are looked at."""
    whereabouts = (IP_POOL,) if isinstance(stack.attachment.ipam, Whereabouts) else ()
    uplink = (NODE_POLICY,) if stack.uplink else ()
    limits = (MIGRATION_POLICY,) if stack.migration_policies else ()
    network = (CLUSTER_USER_NETWORK,) if stack.user_network else ()
    return (hyperconverged_kind(stack), NETWORK_ATTACHMENT, *whereabouts, *uplink, *limits, *network)


def served(seen: Seen, kind: Kind) -> tuple[str, ...]:
    """Return the versions in which a kind is served, as its definition says; none when there is no definition."""
    try:
        definition = seen.definition(kind)
    except UnreadError:
        # Nobody needs to read definitions to learn that an API is not there at all.
        if any(read.kind == kind and error.reason == "not-served" for read, error in seen.unread):
            return ()
        raise
    versions = [] if definition is None else definition["spec"]["versions"]
    return tuple(version["name"] for version in versions if version["served"])


@rule("multus-missing")
def multus_missing(seen: Seen) -> Iterator[Finding]:
    """Multus attaches pods to a second network; without it there is nothing to attach virt-handler with."""
    if not served(seen, NETWORK_ATTACHMENT):
        yield _missing(NETWORK_ATTACHMENT, "multus", "Install multus")
    elif not any(seen.one(DAEMON_SET, name, where) for where, name in MULTUS):
        listed = " nor ".join(f"{where}/{name}" for where, name in MULTUS)
        yield Finding(
            f"neither DaemonSet {listed}",
            None,
            "exists, though the API of multus is served: pods may start without a second interface",
            "See that multus runs on every node, under whatever name",
            severity="warning",
        )


@rule("whereabouts-missing")
def whereabouts_missing(seen: Seen) -> Iterator[Finding]:
    """Whereabouts keeps its books in the cluster; without its API every virt-handler waits for an address for ever."""
    if isinstance(seen.stack.attachment.ipam, Whereabouts) and not served(seen, IP_POOL):
        remedy = "Install whereabouts, or choose another attachment.ipam"
        yield _missing(IP_POOL, "whereabouts", remedy)


@rule("user-networks-missing")
def user_networks_missing(seen: Seen) -> Iterator[Finding]:
    """OVN-Kubernetes makes the attachment of a ClusterUserDefinedNetwork, in the releases that know them."""
    if seen.stack.user_network and not served(seen, CLUSTER_USER_NETWORK):
        remedy = "Use attachment.type localnet where an older OVN-Kubernetes runs, or another type"
        yield _missing(CLUSTER_USER_NETWORK, "OVN-Kubernetes with user-defined networks", remedy)


@rule("kubevirt-missing")
def kubevirt_missing(seen: Seen) -> Iterator[Finding]:
    """The operator copies the limits into the KubeVirt object beside it; without one nothing migrates."""
    namespace = seen.stack.cluster.namespace
    if seen.one(NAMESPACE, namespace) is None:
        return
    if not where_served(lambda: seen.all(KUBEVIRT, namespace), ()) and _hyperconverged_is_there(seen):
        yield Finding(
            Subject.of("KubeVirt", f"{namespace}/kubevirt-{NAME}"),
            None,
            "does not exist, though the HyperConverged does",
            "See the conditions of the HyperConverged, and that its operator runs",
        )


def _hyperconverged_is_there(seen: Seen) -> bool:
    kind = hyperconverged_kind(seen.stack)
    try:
        return seen.one(kind, NAME, seen.stack.cluster.namespace) is not None
    except UnreadError:
        return False


@rule("nmstate-missing")
def nmstate_missing(seen: Seen) -> Iterator[Finding]:
    """kubernetes-nmstate sets up an uplink, and says what NICs the nodes have."""
    if seen.stack.uplink:
        if not served(seen, NODE_POLICY):
            remedy = "Install kubernetes-nmstate, or remove uplink and set the nodes up otherwise"
            yield _missing(NODE_POLICY, "kubernetes-nmstate", remedy)
        return
    if any(read.kind == NODE_NETWORK_STATE and error.reason == "not-served" for read, error in seen.unread):
        yield Finding(
            "kubernetes-nmstate",
            None,
            "is not installed, so that nothing is known of the nodes' NICs",
            "Install it, or look at the NICs by hand",
            severity="info",
        )


@rule("migration-policy-unserved")
def migration_policy_unserved(seen: Seen) -> Iterator[Finding]:
    """KubeVirt brings the API of MigrationPolicies, and a release knows the limits of its time: others are refused."""
    declared = seen.stack.migration_policies
    if not declared:
        return
    if not served(seen, MIGRATION_POLICY):
        yield _missing(
            MIGRATION_POLICY, "a KubeVirt with MigrationPolicies", "Upgrade KubeVirt, or remove migrationPolicies"
        )
        return
    known = _fields(seen, MIGRATION_POLICY)
    for index, policy in enumerate(declared):
        for key, value in policy.settings.items():
            if known and key not in known:
                yield Finding(
                    f"migrationPolicies[{index}].limits.{key}",
                    value,
                    "is not known to the MigrationPolicies of this release: the API server refuses it",
                    "Leave it out, or upgrade KubeVirt",
                )


def _fields(seen: Seen, kind: Kind) -> frozenset[str]:
    """Return the fields of a kind's spec, as its definition has them; none where there is none, or it is not known."""
    try:
        definition = seen.definition(kind)
    except UnreadError:
        return frozenset()
    versions = () if definition is None else definition["spec"]["versions"]
    return frozenset(
        key
        for version in versions
        if version["name"] == kind.version
        for key in version["schema"]["openAPIV3Schema"]["properties"]["spec"].get("properties", {})
    )


@rule("api-version")
def api_version(seen: Seen) -> Iterator[Finding]:
    """An API of another version drops fields that it does not know, or is not there at all."""
    for kind in needed(seen.stack):
        versions = served(seen, kind)
        if versions and kind.version not in versions:
            is_hyperconverged = kind == hyperconverged_kind(seen.stack)
            yield Finding(
                f"CustomResourceDefinition {definition_name(kind)}",
                None,
                f"serves {', '.join(versions)}, and {kind.version} is needed",
                f"Set hyperConverged.apiVersion: {versions[0]}" if is_hyperconverged else "Upgrade its operator",
            )


def _missing(kind: Kind, who: str, remedy: str) -> Finding:
    rule_ = f"does not exist: {who} is not installed"
    return Finding(f"CustomResourceDefinition {definition_name(kind)}", None, rule_, remedy)


RULES = (
    multus_missing,
    whereabouts_missing,
    user_networks_missing,
    kubevirt_missing,
    nmstate_missing,
    migration_policy_unserved,
    api_version,
)
