"""Effective limits: which limits each virtual machine gets, and where each value comes from.

The HyperConverged's operator copies its limits into the KubeVirt object, a patch in an annotation may change them
there, a MigrationPolicy overrides some of them for the virtual machines that it selects, and KubeVirt has a default
for the rest. Sources: as in mignet/kube/kubevirt/migration_policies.py and json_patches.py; defaults: KubeVirt's
virt-config.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from config.finding import Finding, codes_of, few, natural, rule, shown
from config.hyperconverged import NAME
from config.limits import same_quantity, too_slow
from mignet.kube.hyperconverged_versions import hyperconverged_kind, limits_path
from mignet.kube.kinds import INSTANCE, KUBEVIRT, MIGRATION_POLICY, NAMESPACE
from mignet.kube.kubevirt import feature_gates, json_patches, migration_policies
from mignet.kube.managed_fields import writer_of
from mignet.kube.objects import full_name, made_by, stack_of, value_at
from mignet.kube.snapshot import Read, Snapshot, where_served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.finding import Rule
    from config.migration_policy import MigrationPolicy
    from config.stack import Stack
    from mignet.kube.kinds import Object

_MIGRATIONS = "spec.configuration.migrations"
DEFAULTS: dict[str, object] = {
    "parallelMigrationsPerCluster": 5,
    "parallelOutboundMigrationsPerNode": 2,
    "bandwidthPerMigration": "0Mi",
    "completionTimeoutPerGiB": 150,
    "progressTimeout": 150,
    "allowAutoConverge": False,
    "allowPostCopy": False,
}
"""KubeVirt's own, where nobody sets anything; `0Mi` is no limit."""
DISRUPTION_SINCE = (1, 9)
"""The KubeVirt from which post-copy needs allowWorkloadDisruption, too."""
OURS = "this stack"


@dataclass(frozen=True, slots=True)
class Value:
    """A limit that applies, and where it comes from, as words."""

    key: str
    value: object
    source: str

    @property
    def words(self) -> str:
        """The value as people read it."""
        if self.key == "bandwidthPerMigration" and str(self.value).rstrip("KMGTi") in {"0", "0."}:
            return f"{shown(self.value)} (no limit)"
        return shown(self.value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Virtual machines that get the same limits from the same sources."""

    machines: tuple[str, ...]
    """As `namespace/name`."""
    values: tuple[Value, ...]
    policy: str | None
    """The MigrationPolicy that applies to them; None without one."""

    def limit(self, key: str) -> Value | None:
        """Return a limit with its source; None when nobody sets it."""
        return next((each for each in self.values if each.key == key), None)

    def value(self, key: str) -> object:
        """Return the value of a limit; None when it has none."""
        found = self.limit(key)
        return None if found is None else found.value


@dataclass(frozen=True)
class Seen(Snapshot):
    """What a cluster held when its limits were looked at; `only` is the one virtual machine that is meant."""

    only: str | None = None

    @property
    def machines(self) -> tuple[Object, ...]:
        """The virtual machines that run. Raises UnreadError."""
        running = (each for each in self.all(INSTANCE) if value_at(each, "status.phase") == "Running")
        return tuple(sorted(running, key=lambda each: natural(full_name(each))))

    @property
    def policies(self) -> tuple[Object, ...]:
        """The MigrationPolicies; none where there is no API for them. Raises UnreadError."""
        return where_served(lambda: self.all(MIGRATION_POLICY), ())

    @property
    def kubevirt(self) -> Object | None:
        """The KubeVirt object. Raises UnreadError."""
        return next(iter(self.all(KUBEVIRT, self.stack.cluster.namespace)), None)

    @property
    def hyperconverged(self) -> Object | None:
        """The HyperConverged. Raises UnreadError."""
        return self.one(hyperconverged_kind(self.stack), NAME, self.stack.cluster.namespace)

    @cached_property
    def cluster_wide(self) -> dict[str, Value]:
        """The limits of a virtual machine that no policy selects, by key. Raises UnreadError."""
        above = self.hyperconverged
        held = value_at(self.kubevirt or {}, _MIGRATIONS)
        held = held if isinstance(held, dict) else {}
        patched = {key for each in json_patches.overrides(self.stack, above) for key in (*each.sets, *each.drops)}
        path = limits_path(hyperconverged_kind(self.stack).api_version)
        wanted = value_at(above or {}, path)
        wanted = wanted if isinstance(wanted, dict) else {}
        found = {}
        for key in dict.fromkeys((*DEFAULTS, "network", *held)):
            if held.get(key) is not None:
                source = self._source(key, held[key], wanted, patched=key in patched)
                found[key] = Value(key, held[key], source)
            elif key in DEFAULTS:
                found[key] = Value(key, DEFAULTS[key], "default of KubeVirt")
        return found

    def _source(self, key: str, value: object, wanted: Mapping[str, object], *, patched: bool) -> str:
        if patched:
            return f"annotation {json_patches.ANNOTATION} of the HyperConverged"
        if key not in wanted or not _same(wanted[key], value):
            return "KubeVirt object: not what the HyperConverged says"
        path = f"{limits_path(hyperconverged_kind(self.stack).api_version)}.{key}"
        by = writer_of(self.hyperconverged or {"metadata": {}}, path, ours="")
        if by is None or not by.owns:
            return "HyperConverged"
        return OURS if by.manager == FIELD_MANAGER else f"HyperConverged, set by {by.manager}"

    @property
    def declared(self) -> Iterator[tuple[str, MigrationPolicy, Object | None]]:
        """The stack's own policies: the key of each, and what stands on the cluster, None without. Raises UnreadError.

        Where one of that name is somebody else's, nothing of the stack's stands there.
        """
        live = {each["metadata"]["name"]: each for each in self.policies if self.is_ours(each)}
        for index, policy in enumerate(self.stack.migration_policies):
            yield f"migrationPolicies[{index}]", policy, live.get(policy.name)

    def is_ours(self, policy: Object) -> bool:
        """Tell whether the stack made a policy, or adopted it."""
        return made_by(policy) is None and stack_of(policy) == self.stack.name

    @cached_property
    def matches(self) -> dict[str, migration_policies.Match | None]:
        """The policy of each running virtual machine, by `namespace/name`. Raises UnreadError."""
        policies = self.policies
        labels = {each["metadata"]["name"]: each["metadata"].get("labels") for each in self.all(NAMESPACE)}
        return {
            full_name(each): migration_policies.match(
                policies, each["metadata"].get("labels"), labels.get(each["metadata"]["namespace"])
            )
            for each in self.machines
        }

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What each running virtual machine gets, together where it is the same; most of them first."""
        alike: dict[tuple[Value, ...], list[str]] = {}
        policy: dict[tuple[Value, ...], str | None] = {}
        for name, found in self.matches.items():
            if self.only in {None, name}:
                values = self._values(found)
                alike.setdefault(values, []).append(name)
                policy[values] = found.name if found else None
        ordered = sorted(alike.items(), key=lambda item: -len(item[1]))
        return tuple(Outcome(tuple(names), values, policy[values]) for values, names in ordered)

    def _values(self, found: migration_policies.Match | None) -> tuple[Value, ...]:
        values = dict(self.cluster_wide)
        if found:
            source = f"MigrationPolicy {found.name}{f' of {OURS}' if self.is_ours(found.policy) else ''}"
            values |= {
                key: Value(key, value, source) for key, value in migration_policies.settings_of(found.policy).items()
            }
        if "allowWorkloadDisruption" not in values:
            # Source: KubeVirt, pkg/virt-controller: what nobody sets follows allowPostCopy.
            follows = values["allowPostCopy"].value
            values["allowWorkloadDisruption"] = Value("allowWorkloadDisruption", follows, "default: as allowPostCopy")
        return tuple(values.values())


def reads(stack: Stack) -> list[Read]:
    """Return what is read of the stack's cluster."""
    namespace = stack.cluster.namespace
    return [
        Read(hyperconverged_kind(stack), namespace, NAME),
        Read(KUBEVIRT, namespace),
        Read(INSTANCE),
        Read(MIGRATION_POLICY),
        Read(NAMESPACE),
    ]


def _same(one: object, other: object) -> bool:
    return one == other or same_quantity(one, other)


def not_running(stack: Stack, machine: str) -> Finding:
    """Return the finding that a virtual machine that is asked for does not run."""
    return Finding(
        f"--vm {machine}",
        None,
        "does not run on this cluster",
        "Name one that runs: oc get vmi -A",
        code="vm-not-running",
        stack=stack.name,
    )


@rule("limit-without-effect", severity="warning")
def without_effect(seen: Seen) -> Iterator[Finding]:
    """A limit in the stack file that no virtual machine gets is a promise that is not kept."""
    for key, wanted in seen.stack.hyper_converged.limits(seen.stack.network).items():
        got = [(each, each.value(key)) for each in seen.outcomes]
        if got and not any(_same(value, wanted) for _, value in got):
            where = f"hyperConverged.liveMigration.{key}" if key != "network" else "attachment.name"
            yield _reaches_nobody(seen, where, wanted, got[0][0].limit(key))
    for where, policy, live in seen.declared:
        mine = [each for each in seen.outcomes if live and each.policy == policy.name]
        for key, wanted in policy.settings.items() if mine else ():
            if not _same(mine[0].value(key), wanted):
                yield _reaches_nobody(seen, f"{where}.limits.{key}", wanted, mine[0].limit(key))


def _reaches_nobody(seen: Seen, key: str, wanted: object, got: Value | None) -> Finding:
    instead = "none" if got is None else f"{shown(got.value)} ({got.source})"
    return Finding(
        key,
        wanted,
        f"reaches no virtual machine that runs: they get {instead}",
        f"Change it there, or leave it out here; mignet limits {seen.stack.name} shows who gets what",
        stack=seen.stack.name,
    )


@rule("limit-overridden", severity="info")
def overridden(seen: Seen) -> Iterator[Finding]:
    """A MigrationPolicy has the last word for the virtual machines that it selects."""
    for key, wanted in seen.stack.hyper_converged.limits(seen.stack.network).items():
        other = [each for each in seen.outcomes if not _same(each.value(key), wanted)]
        # What the stack's own policies say is meant so.
        foreign = [each for each in other if not (value := each.limit(key)) or not value.source.endswith(OURS)]
        if foreign and len(other) < len(seen.outcomes):
            names = [name for each in foreign for name in each.machines]
            values = (each.limit(key) for each in foreign)
            said = dict.fromkeys("unset" if each is None else f"{shown(each.value)} ({each.source})" for each in values)
            yield Finding(
                f"hyperConverged.liveMigration.{key}",
                wanted,
                f"is {few(said)} for"
                f" {len(names)} of {sum(len(each.machines) for each in seen.outcomes)} virtual machines: {few(names)}",
                "Nothing to do, if that is meant",
            )


@rule("limit-too-slow", severity="warning")
def slow(seen: Seen) -> Iterator[Finding]:
    """What applies in the end may leave no time to copy even an idle virtual machine."""
    for each in seen.outcomes:
        if found := too_slow(each.value("bandwidthPerMigration"), each.value("completionTimeoutPerGiB")):
            why, remedy = found
            yield Finding(
                _of(each), None, f"bandwidthPerMigration {shown(each.value('bandwidthPerMigration'))} {why}", remedy
            )


@rule("limit-post-copy-inert", severity="warning")
def post_copy_inert(seen: Seen) -> Iterator[Finding]:
    """Post-copy ends a migration that does not converge; KubeVirt leaves it out where a disruption is not allowed."""
    if seen.kubevirt is None or feature_gates.version(seen.kubevirt) < DISRUPTION_SINCE:
        return
    for each in seen.outcomes:
        if each.value("allowPostCopy") is True and each.value("allowWorkloadDisruption") is not True:
            yield Finding(
                _of(each),
                None,
                "have allowPostCopy without allowWorkloadDisruption: KubeVirt does not switch to post-copy",
                "Set allowWorkloadDisruption: true where allowPostCopy is set",
            )


@rule("migration-policy-tied", severity="warning")
def tied(seen: Seen) -> Iterator[Finding]:
    """Of two policies that match as closely, the first by name applies: renaming one changes who gets what."""
    pairs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, found in seen.matches.items():
        if found and found.tied:
            pairs.setdefault((found.name, found.tied), []).append(name)
    for (first, others), names in pairs.items():
        yield Finding(
            f"MigrationPolicy {first}",
            None,
            f"and {', '.join(others)} match {few(names)} equally closely, so that the first by name applies",
            "Give the one that is meant a label more in its selectors",
        )


@rule("migration-policy-idle")
def idle(seen: Seen) -> Iterator[Finding]:
    """A policy that no running virtual machine gets limits nothing: its labels may be wrong, or another one wins."""
    used = {found.name for found in seen.matches.values() if found}
    remedy = "See its selectors, and the labels of the virtual machines and their namespaces"
    for each in seen.policies:
        name = each["metadata"]["name"]
        if name not in used and not seen.is_ours(each):
            what = "applies to no virtual machine that runs"
            yield Finding(f"MigrationPolicy {name}", None, what, remedy, severity="info")
    for key, policy, live in seen.declared:
        limits = few(f"{limit} {shown(value)}" for limit, value in policy.settings.items())
        if live is None:
            what = f"is not on the cluster as this stack's, so that no virtual machine gets {limits}"
            yield Finding(key, policy.name, what, f"Run mignet up {seen.stack.name}", severity="warning")
        elif policy.name not in used:
            what = f"applies to no virtual machine that runs, so that none gets {limits}"
            yield Finding(key, policy.name, what, remedy, severity="warning")


def _of(outcome: Outcome) -> str:
    count = len(outcome.machines)
    return f"virtual machine{'' if count == 1 else 's'} {few(outcome.machines)}"


RULES: tuple[Rule[Seen], ...] = (without_effect, overridden, slow, post_copy_inert, tied, idle)
CODES = codes_of(RULES)
