"""The HyperConverged as the stack would find it: there, healthy, of which release, and whose fields it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.finding import Finding, Subject, rule, shown
from config.hyperconverged import NAME, LiveMigration
from config.limits import of_zero, too_slow
from mignet.checks.preflight.apis import served
from mignet.checks.rules.hyperconverged import operator_asleep, operator_degraded
from mignet.kube.hyperconverged_versions import hyperconverged_kind, limits_path
from mignet.kube.kinds import CLUSTER_USER_NETWORK, KUBEVIRT, NAMESPACE, NETWORK_ATTACHMENT
from mignet.kube.kubevirt import field_writers, json_patches
from mignet.kube.kubevirt.feature_gates import migrates_between_clusters, what_is_off
from mignet.kube.kubevirt.take_over import switches
from mignet.kube.objects import stack_of, value_at
from mignet.kube.snapshot import UnreadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.stack import Stack
    from mignet.checks.preflight.seen import Seen

_DEFAULT_IN_CLUSTERS_BEFORE = {"completionTimeoutPerGiB": 150}


def path(stack: Stack) -> str:
    """Return where the limits are in the API version that the stack names."""
    return limits_path(hyperconverged_kind(stack).api_version)


def _key(seen: Seen) -> Subject:
    return Subject.of("HyperConverged", f"{seen.stack.cluster.namespace}/{NAME}")


@rule("namespace-missing")
def namespace_missing(seen: Seen) -> Iterator[Finding]:
    """virt-handler lives in KubeVirt's namespace, and so must the attachment: multus looks for it there only."""
    namespace = seen.stack.cluster.namespace
    if seen.one(NAMESPACE, namespace) is None:
        remedy = "Install OpenShift Virtualization, or correct cluster.namespace"
        yield Finding(f"Namespace {namespace}", None, "does not exist", remedy)


@rule("hyperconverged-missing")
def hyperconverged_missing(seen: Seen) -> Iterator[Finding]:
    """Only the HyperConverged of this name, in KubeVirt's own namespace, is read by the operator."""
    kind = hyperconverged_kind(seen.stack)
    try:
        found = seen.hyperconverged
    except UnreadError as unread:
        # Served in another version, it is the matter of api-version.
        if unread.error.reason != "not-served" or served(seen, kind):
            raise
        remedy = "Install OpenShift Virtualization, or the HyperConverged operator"
        yield Finding(_key(seen), None, "has no API on this cluster", remedy)
        return
    if found is None and not _namespace_is_missing(seen):
        remedy = "Create it with the operator's own default first, or correct cluster.namespace"
        yield Finding(_key(seen), None, "does not exist", remedy)


def _namespace_is_missing(seen: Seen) -> bool:
    try:
        return seen.one(NAMESPACE, seen.stack.cluster.namespace) is None
    except UnreadError:
        return False


@rule("api-version-converted", severity="info")
def api_version_converted(seen: Seen) -> Iterator[Finding]:
    """What is stored in another version passes the operator's webhook at each read and write: it must run for them."""
    kind = hyperconverged_kind(seen.stack)
    definition = seen.definition(kind)
    versions = () if definition is None else definition["spec"]["versions"]
    stored = next((version["name"] for version in versions if version["storage"]), kind.version)
    if kind.version != stored and kind.version in served(seen, kind):
        yield Finding(
            "hyperConverged.apiVersion",
            kind.version,
            f"is not {stored}, in which this cluster stores the HyperConverged{_release(seen)}; the operator's webhook"
            " converts it",
            f"Write {stored} once every cluster serves it",
        )


def _release(seen: Seen) -> str:
    versions = (seen.hyperconverged or {}).get("status", {}).get("versions", ())
    release = next((each["version"] for each in versions if each.get("name") == "operator"), None)
    return "" if release is None else f" (release {release})"


@rule("limit-default", severity="warning")
def limit_default(seen: Seen) -> Iterator[Finding]:
    """The defaults of limits change between releases, and the operator rewrites an old one: what pins it drifts."""
    defaults, limits = _defaults(seen), _limits(seen.stack)
    for key, before in _DEFAULT_IN_CLUSTERS_BEFORE.items():
        now = defaults.get(key)
        if limits.get(key) == before and now not in {None, before}:
            yield Finding(
                f"hyperConverged.liveMigration.{key}",
                before,
                f"was the default of older releases; this one's{_release(seen)} is {now}, and its operator rewrites"
                f" {before} to it",
                f"Write {now}, or another value",
            )


@rule("limit-unmanaged", severity="info")
def limit_unmanaged(seen: Seen) -> Iterator[Finding]:
    """A limit that the stack does not name stays what somebody made it: clusters differ without a word."""
    found, defaults, limits = seen.hyperconverged, _defaults(seen), _limits(seen.stack)
    current = value_at(found or {}, path(seen.stack))
    if not isinstance(current, dict):
        return
    for key, value in current.items():
        if key not in limits and defaults.get(key) not in {None, value} and value != 0:
            yield Finding(
                f"{_key(seen)} {path(seen.stack)}.{key}",
                value,
                f"is not this release's default {shown(defaults[key])}, and the stack does not name it",
                f"Set hyperConverged.liveMigration.{key}, if it matters",
            )


@rule("limit-zero", severity="warning")
def limit_zero(seen: Seen) -> Iterator[Finding]:
    """A limit of 0 that the stack does not name: no timeout, or no migration at all."""
    named = _limits(seen.stack)
    for key, value in _in_force(seen).items():
        if value == 0 and type(value) is int and key not in named and (meaning := of_zero(key)):
            yield Finding(
                f"{_key(seen)} {path(seen.stack)}.{key}", 0, meaning, f"Set hyperConverged.liveMigration.{key}"
            )


@rule("migration-too-slow", severity="warning")
def migration_too_slow(seen: Seen) -> Iterator[Finding]:
    """The limit of one key beside what the cluster has for the other: no GiB may be copied in the time that it has."""
    named, limits = _limits(seen.stack), _in_force(seen)
    pair = ("bandwidthPerMigration", "completionTimeoutPerGiB")
    if named.keys() >= set(pair):
        # The stack's own rule says it.
        return
    bandwidth, timeout = (limits.get(key) for key in pair)
    if found := too_slow(bandwidth, timeout):
        yield Finding(f"{_key(seen)} {path(seen.stack)}.{pair[0]}", bandwidth, *found)


@rule("post-copy-inert", severity="warning")
def post_copy_inert(seen: Seen) -> Iterator[Finding]:
    """From release 1.19 on KubeVirt switches to post-copy only where a disruption of the workload is allowed, too."""
    limits = _in_force(seen)
    known = "allowWorkloadDisruption" in _defaults(seen)
    if known and limits.get("allowPostCopy") is True and limits.get("allowWorkloadDisruption") is not True:
        yield Finding(
            f"{_key(seen)} {path(seen.stack)}.allowPostCopy",
            True,
            f"has no effect in this release{_release(seen)}: allowWorkloadDisruption is not true",
            "Set hyperConverged.liveMigration.allowWorkloadDisruption: true as well, or give those virtual machines a"
            " MigrationPolicy with allowPostCopy, which sets both",
        )


def _in_force(seen: Seen) -> dict[str, Any]:
    """Return the limits as they are after `up`: the stack's, else the cluster's, else the release's defaults."""
    current = value_at(seen.hyperconverged or {}, path(seen.stack))
    return _defaults(seen) | (current if isinstance(current, dict) else {}) | dict(_limits(seen.stack))


def _limits(stack: Stack) -> Mapping[str, Any]:
    return stack.hyper_converged.live_migration.model_dump(by_alias=True, exclude_none=True)


def _defaults(seen: Seen) -> dict[str, Any]:
    """Return the defaults that the definition has for the limits, in the version that the stack names."""
    kind = hyperconverged_kind(seen.stack)
    definition = seen.definition(kind)
    for version in () if definition is None else definition["spec"]["versions"]:
        if version["name"] == kind.version:
            schema: Any = version.get("schema", {}).get("openAPIV3Schema", {})
            for name in path(seen.stack).split("."):
                schema = schema.get("properties", {}).get(name, {})
            properties = schema.get("properties", {})
            known = LiveMigration.model_json_schema(by_alias=True)["properties"]
            return {key: each["default"] for key, each in properties.items() if key in known and "default" in each}
    return {}


@rule("gate-off")
def gate_off(seen: Seen) -> Iterator[Finding]:
    """Migrations between clusters need a gate, which is off by default up to release 1.17."""
    stack = seen.stack
    if not stack.cluster.cross_cluster:
        return
    for kubevirt in seen.all(KUBEVIRT, stack.cluster.namespace):
        if not migrates_between_clusters(kubevirt):
            field = (
                "spec.featureGates.decentralizedLiveMigration: true"
                if stack.hyper_converged.api_version == "v1beta1"
                else "decentralizedLiveMigration with state Enabled to spec.featureGates"
            )
            yield Finding(
                Subject.of("KubeVirt", f"{stack.cluster.namespace}/{kubevirt['metadata']['name']}"),
                None,
                f"{what_is_off(kubevirt)}{_release(seen)}, and the stack says cluster.crossCluster",
                f"Set {field} in the HyperConverged, or cluster.crossCluster: false",
            )


@rule("limit-owned", "limit-taken")
def limit_owned(seen: Seen) -> Iterator[Finding]:
    """Whoever made the HyperConverged owns its defaults: to take a field over is a decision, seen before it is made."""
    if seen.hyperconverged is None:
        return
    fail = seen.stack.hyper_converged.on_conflict == "fail"
    for change in seen.conflicts:
        yield Finding(
            Subject.of("HyperConverged", change.path),
            change.old,
            f"is owned by {change.owner}, and "
            + (f"the stack wants {shown(change.new)}" if fail else f"becomes {shown(change.new)}: up takes it over"),
            "Agree on one value, or set hyperConverged.onConflict: take-over"
            if fail
            else "Set hyperConverged.onConflict: fail to refuse instead",
            code="limit-owned" if fail else "limit-taken",
            severity="error" if fail else "info",
        )


@rule("hyperconverged-refuses")
def hyperconverged_refuses(seen: Seen) -> Iterator[Finding]:
    """A field that this release does not know, or a webhook that objects: up would fail halfway."""
    if not isinstance(seen.dry_run, tuple) and seen.dry_run.reason in {"refused", "conflict"}:
        yield Finding(
            _key(seen),
            None,
            f"cannot be patched: {shown(str(seen.dry_run), limit=900)}",
            "Do what it says; where it is about a limit, remove what this release does not know, or upgrade it",
        )


@rule("network-switched")
def network_switched(seen: Seen) -> Iterator[Finding]:
    """A cluster that migrates over another network already changes over to the stack's: all its handlers restart."""
    stack = seen.stack
    named = value_at(seen.hyperconverged or {}, f"{path(stack)}.network")
    if named in {None, "", stack.network}:
        return
    try:
        before = seen.one(NETWORK_ATTACHMENT, str(named), stack.cluster.namespace)
    except UnreadError:
        before = None
    # The stack's own one of before is changed over as its rollout says.
    own = before is not None and stack_of(before) == stack.name
    yield Finding(
        f"{_key(seen)} {path(stack)}.network",
        None,
        f"is {named}: up {switches(stack, named)}",
        "Migrate nothing meanwhile" + ("" if own else f"; or keep that network: attachment.name: {named}"),
        severity="info" if own else "warning",
    )


@rule("jsonpatch-overrides")
def jsonpatch_overrides(seen: Seen) -> Iterator[Finding]:
    """The operator patches KubeVirt after its own fields: what the annotation says wins, without a word."""
    for each in json_patches.overrides(seen.stack, seen.hyperconverged):
        yield Finding(_key(seen), None, f"has {each.sentence}", each.remedy)


@rule("field-written-back")
def field_written_back(seen: Seen) -> Iterator[Finding]:
    """A controller that declares the same field comes back: after up has taken the field, it writes its own value."""
    stack = seen.stack
    try:
        attachment = (
            seen.one(CLUSTER_USER_NETWORK, stack.network)
            if stack.user_network
            else seen.one(NETWORK_ATTACHMENT, stack.network, stack.cluster.namespace)
        )
    except UnreadError:
        attachment = None
    names = {policy.name for policy in stack.policies}
    policies = [each for each in seen.policies if each["metadata"]["name"] in names] if names else []
    for live in (seen.hyperconverged, attachment, *policies):
        if live is not None:
            yield from field_writers.written_back(stack, live)


RULES = (
    namespace_missing,
    hyperconverged_missing,
    operator_degraded,
    operator_asleep,
    api_version_converted,
    limit_default,
    limit_unmanaged,
    limit_zero,
    migration_too_slow,
    post_copy_inert,
    gate_off,
    limit_owned,
    hyperconverged_refuses,
    network_switched,
    jsonpatch_overrides,
    field_written_back,
)
