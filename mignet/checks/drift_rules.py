"""What counts as drift, one rule each: what differs from what is declared, and what no comparison of fields shows.

Rules judge the changes that an apply would make, each with its writer, and one look at what stands around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER, labels
from config.finding import Finding, codes_of, is_not, rule, shown
from config.hyperconverged import NAME
from mignet.checks.rules.hyperconverged import operator_asleep, operator_degraded, settings_not_taken
from mignet.checks.rules.stale_pods import pods_keep_old_network
from mignet.checks.rules.user_networks import network_not_made
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    KUBEVIRT,
    MIGRATION_POLICY,
    NAMESPACE,
    NETWORK_ATTACHMENT,
    NODE_POLICY,
    POD,
)
from mignet.kube.kubevirt.field_writers import way_out, writers_back
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SYNC, read_pod
from mignet.kube.managed_fields import meet, owners, writer_of
from mignet.kube.network.user_network import PROTECTION
from mignet.kube.objects import controller_of, kept_by, made_by, name_of, stack_of, value_at
from mignet.kube.snapshot import Read, Snapshot
from mignet.kube.source import current_time
from mignet.kube.watched import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.finding import Severity
    from config.stack import Stack
    from mignet.kube.diff import FieldChange, ObjectChange, Writer
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod

PATIENCE = timedelta(minutes=2)
"""How long an operator may take to look at a change before it counts as asleep."""

_NOTHING: Object = {"metadata": {}}
_INSTANCE = "app.kubernetes.io/instance"
_WEBHOOK = "nmstate.io/webhook-mutating-timestamp"
_FIX = "mignet drift --fix puts it back; or write what is wanted into the stack file"


def reads(stack: Stack) -> list[Read]:
    """Return what the rules read of the stack's cluster, beside what the plan reads."""
    namespace = stack.cluster.namespace
    return [
        Read(hyperconverged_kind(stack), namespace, NAME),
        Read(NETWORK_ATTACHMENT, namespace, stack.network),
        *([Read(CLUSTER_USER_NETWORK, name=stack.network)] if stack.user_network else ()),
        Read(KUBEVIRT, namespace),
        *(Read(POD, namespace, labels={LABEL: role}) for role in (HANDLER, SYNC)),
        *(Read(NODE_POLICY, name=policy.name) for policy in stack.policies),
        *(Read(MIGRATION_POLICY, name=policy.name) for policy in stack.migration_policies),
    ]


def needs(stack: Stack) -> list[Read]:
    """Return all that a look at drift reads, what the plan reads included: the rights that it takes."""
    return [
        *reads(stack),
        Read(NAMESPACE, name=stack.cluster.namespace),
        Read(NETWORK_ATTACHMENT),
        *([Read(CLUSTER_USER_NETWORK)] if stack.user_network else ()),
        *([Read(NODE_POLICY)] if stack.policies else ()),
        *([Read(MIGRATION_POLICY)] if stack.migration_policies else ()),
    ]


def watches(stack: Stack) -> list[Watch]:
    """Return the watches that keep what a look at drift reads, and hardly more; but for the namespace.

    Each is a connection to the API server, so that they are few.
    """
    namespace = stack.cluster.namespace
    return [
        Watch(hyperconverged_kind(stack), namespace, NAME),
        Watch(NETWORK_ATTACHMENT, namespace, stack.network),
        Watch(NETWORK_ATTACHMENT, labels={key: (value,) for key, value in labels(stack.name).items()}),
        Watch(KUBEVIRT, namespace),
        Watch(POD, namespace, labels={LABEL: (HANDLER, SYNC)}),
        *([Watch(CLUSTER_USER_NETWORK)] if stack.user_network else ()),
        *([Watch(NODE_POLICY)] if stack.policies else ()),
        *([Watch(MIGRATION_POLICY)] if stack.migration_policies else ()),
    ]


@dataclass(frozen=True, slots=True)
class Seen:
    """One stack's cluster as a look at drift found it: the changes that an apply would make, and what is around."""

    snapshot: Snapshot
    changes: Sequence[ObjectChange]
    now: datetime = field(default_factory=current_time)

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""
        return self.snapshot.stack

    @property
    def whole_objects(self) -> Iterator[Object]:
        """The live objects that are the stack's as a whole: the attachment, or its network, and policies."""
        mine = self.user_network if self.stack.user_network else self.attachment
        if mine is not None:
            yield mine
        if self.stack.policies:
            names = {policy.name for policy in self.stack.policies}
            yield from (each for each in self.snapshot.all(NODE_POLICY) if each["metadata"]["name"] in names)
        for policy in self.stack.migration_policies:
            live = self.snapshot.one(MIGRATION_POLICY, policy.name)
            if live is not None:
                yield live

    @property
    def hyperconverged(self) -> Object | None:
        """The live HyperConverged."""
        return self.snapshot.one(hyperconverged_kind(self.stack), NAME, self.stack.cluster.namespace)

    @property
    def kubevirt(self) -> Object | None:
        """The live KubeVirt object."""
        return next(iter(self.snapshot.all(KUBEVIRT, self.stack.cluster.namespace)), None)

    @property
    def attachment(self) -> Object | None:
        """The live attachment."""
        return self.snapshot.one(NETWORK_ATTACHMENT, self.stack.network, self.stack.cluster.namespace)

    @property
    def user_network(self) -> Object | None:
        """The ClusterUserDefinedNetwork that the attachment is made of, where the stack declares one."""
        return self.snapshot.one(CLUSTER_USER_NETWORK, self.stack.network) if self.stack.user_network else None

    @property
    def living(self) -> tuple[Pod, ...]:
        """The pods that migrate and do not end."""
        pods = map(read_pod, self.snapshot.all(POD, self.stack.cluster.namespace))
        return tuple(pod for pod in pods if pod and not pod.terminating)

    def adopt(self, live: Object) -> str | None:
        """Return the key that has an object taken over from who made it; None when it says so, empty without one."""
        if live["kind"] in {NETWORK_ATTACHMENT.kind, CLUSTER_USER_NETWORK.kind}:
            return None if self.stack.attachment.adopt else "attachment.adopt"
        for index, policy in enumerate(self.stack.migration_policies):
            if (live["kind"], live["metadata"]["name"]) == (MIGRATION_POLICY.kind, policy.name):
                return None if policy.adopt else f"migrationPolicies[{index}].adopt"
        return ""

    def updates(self) -> Iterator[tuple[ObjectChange, FieldChange]]:
        """Yield each field that an apply would change on an object of this stack's, its own name on it or not."""
        strangers = {name_of(live) for live in self.whole_objects if _stranger(live, self.stack)}
        for change in self.changes:
            for each in change.fields if change.operation == "update" else ():
                # That it is somebody else's is said once, not for each field that it holds rightly.
                if change.key not in strangers or (each.old != each.new and not each.path.startswith("metadata.")):
                    yield change, each

    def foreign_fields(self, live: Object) -> Iterator[tuple[str, Writer]]:
        """Yield each field of a whole object of ours that others own and we do not, beside what is declared."""
        found = [(path, by) for path, by in owners(live) if not by.subresource]
        declared = {path for path, by in found if by.manager == FIELD_MANAGER}
        declared |= {f"metadata.labels.{label}" for label in labels("")}
        declared |= {each.field for change in self.changes if change.key == name_of(live) for each in change.fields}
        for path, by in found:
            if not any(meet(path, each) for each in declared):
                yield path, by

    def finding(self, severity: Severity, code: str, key: str, sentence: str, remedy: str) -> Finding:
        """Make a finding about an object of this stack's cluster."""
        return Finding(key, None, sentence, remedy, code=code, severity=severity, stack=self.stack.name)


@rule("field-changed")
def field_changed(seen: Seen) -> Iterator[Finding]:
    """What is declared is not what stands on the cluster: somebody set it to something else, or took it out."""
    for change, each in seen.updates():
        if _code(each) == "field-changed":
            if each.same_meaning:
                sentence = f"{each.path} means what is declared, in another form{_by(each)}"
                yield Finding(change.key, None, sentence, _mend(each, _FIX), severity="warning")
            else:
                yield Finding(change.key, None, f"{_is_not(each)}{_by(each)}", _mend(each, _FIX))


@rule("not-applied")
def not_applied(seen: Seen) -> Iterator[Finding]:
    """The cluster holds what was applied last, and the stack file says something else since."""
    for change, each in seen.updates():
        if _code(each) == "not-applied":
            sentence = f"{_is_not(each)}: nobody touched it since it was applied at {each.by.time if each.by else '?'}"
            remedy = "Run mignet up, or put the stack file back"
            yield Finding(change.key, None, sentence, remedy)


@rule("field-taken", severity="warning")
def field_taken(seen: Seen) -> Iterator[Finding]:
    """A field holds the right value and is not ours: somebody wrote it, and the next write of theirs changes it."""
    for change, each in seen.updates():
        if _code(each) == "field-taken":
            sentence = f"{each.path} is {shown(each.new)} as declared, and no longer ours{_by(each)}"
            remedy = _mend(each, "mignet drift --fix makes it ours again")
            yield Finding(change.key, None, sentence, remedy)


@rule("list-extended")
def list_extended(seen: Seen) -> Iterator[Finding]:
    """A list holds everything that is declared, and more: Pulumi compares no further than its own items."""
    for change, each in seen.updates():
        if _code(each) == "list-extended":
            sentence = f"{each.path} holds {shown(each.beyond)} beyond what is declared{_by(each)}"
            yield Finding(change.key, None, sentence, _mend(each, _FIX))


@rule("network-elsewhere")
def network_elsewhere(seen: Seen) -> Iterator[Finding]:
    """Migrations take the network that the HyperConverged names, whatever else is right."""
    for change, each in seen.updates():
        if _code(each) == "network-elsewhere":
            named = (
                f"names network {each.old}" if each.old else "names no network, so that migrations take the pods' one"
            )
            remedy = "mignet drift --fix puts it back; every virt-handler restarts then, one after the other"
            remedy = _mend(each, remedy)
            sentence = f"{named}, not {each.new}{_by(each)}"
            yield Finding(change.key, None, sentence, remedy)


@rule("object-missing")
def object_missing(seen: Seen) -> Iterator[Finding]:
    """An object that is declared is not there. Deleted objects leave no trace; an audit log has one, where it is on."""
    for change in seen.changes:
        if change.operation == "create":
            sentence = "is declared and does not exist: it was deleted, or never applied"
            yield Finding(change.key, None, sentence, "mignet drift --fix makes it")


@rule("object-left-over", severity="warning")
def object_left_over(seen: Seen) -> Iterator[Finding]:
    """An object carries this stack's labels, was made by us, and is not declared: of an older name, mostly."""
    for change in seen.changes:
        if change.operation == "delete":
            remedy = "mignet drift --fix --engine direct removes it"
            if change.kind != MIGRATION_POLICY.kind:
                remedy += "; see first that no virt-handler is attached to it"
            yield Finding(change.key, None, "is ours and no longer declared", remedy)


@rule("object-recreated")
def object_recreated(seen: Seen) -> Iterator[Finding]:
    """An object has the declared name, and we wrote nothing of it: somebody deleted ours and made another."""
    for live in seen.whole_objects:
        metadata = live["metadata"]
        if controller := controller_of(live):
            remedy = "Choose another name, as a repair would be written back"
            yield Finding(name_of(live), None, kept_by(controller), remedy)
        elif made_by(live):
            first = min((writer for _, writer in owners(live)), key=lambda each: each.time, default=None)
            sentence = f"was made by {first or 'somebody who left no trace'}, not by this stack: recreated by hand"
            adopt = seen.adopt(live)
            remedy = (
                "mignet drift --fix takes it over"
                if adopt is None
                else f"Delete it and run mignet up; or set {adopt}: true to take it over as it is"
                if adopt
                else f"See who made {metadata['name']}, delete it, and run mignet up"
            )
            yield Finding(name_of(live), None, sentence, remedy)


@rule("object-relabelled")
def object_relabelled(seen: Seen) -> Iterator[Finding]:
    """The label that says which stack an object belongs to names another one, whose runs may remove it."""
    for live in seen.whole_objects:
        other = stack_of(live)
        if not made_by(live) and other not in {None, seen.stack.name}:
            by = writer_of(live, f"metadata.labels.{_INSTANCE}", ours=FIELD_MANAGER)
            sentence = f"says that it belongs to stack {other}{f': set by {by}' if by else ''}"
            remedy = f"Set its label {_INSTANCE} to {seen.stack.name}, or choose another name"
            yield Finding(name_of(live), None, sentence, remedy)


@rule("object-extended", severity="warning")
def object_extended(seen: Seen) -> Iterator[Finding]:
    """Fields beyond the declared ones take effect as well: an apply leaves what another manager added."""
    for live in seen.whole_objects:
        if _stranger(live, seen.stack):
            continue
        for path, by in seen.foreign_fields(live):
            if path.startswith("spec."):
                sentence = f"{path} is {shown(value_at(live, path))}, which is not declared: set by {by}"
                remedy = "Remove it by hand, as an apply does not; or declare it"
                yield Finding(name_of(live), None, sentence, remedy)


@rule("foreign-metadata", severity="info")
def foreign_metadata(seen: Seen) -> Iterator[Finding]:
    """Labels, annotations and finalizers of others on an object of ours do no harm, and say who else works on it."""
    for live in seen.whole_objects:
        by_writer: dict[Writer, list[str]] = {}
        for path, by in () if _stranger(live, seen.stack) else seen.foreign_fields(live):
            if path.startswith("metadata.") and _WEBHOOK not in path and not _protected(live, path):
                by_writer.setdefault(by, []).append(path)
        for by, paths in by_writer.items():
            sentence = f"carries {', '.join(sorted(paths))}: set by {by}"
            remedy = "Nothing to do, unless nobody knows who that is"
            yield Finding(name_of(live), None, sentence, remedy)


@rule("field-co-owned", severity="warning")
def field_co_owned(seen: Seen) -> Iterator[Finding]:
    """Somebody else applies the same fields: as soon as the two declare different values, each undoes the other."""
    candidates = [live for live in seen.whole_objects if not _stranger(live, seen.stack)]
    for live in (*candidates, *([seen.hyperconverged] if seen.hyperconverged else ())):
        found = list(owners(live))
        ours = {path for path, by in found if by.manager == FIELD_MANAGER and path.startswith("spec.")}
        by_writer: dict[Writer, list[str]] = {}
        for path, by in found:
            # Who created the object, or set its defaults, wrote once; who applies comes back.
            if path in ours and by.manager != FIELD_MANAGER and by.operation == "Apply":
                by_writer.setdefault(by, []).append(path)
        for by, paths in by_writer.items():
            sentence = f"{', '.join(sorted(paths))}: declared by {by}, too"
            back = next((each for each in writers_back(seen.stack, live) if each.by == by), None)
            remedy = back.remedy if back else f"Take it out of what {by.manager} applies, or out of the stack file"
            yield Finding(name_of(live), None, sentence, remedy)


@rule("operator-asleep")
def asleep_for_long(seen: Seen) -> Iterator[Finding]:
    """The HyperConverged's status is about an older generation: what was declared since may not be in effect.

    Its operator does not run, or is busy; the conditions are about the older one.
    """
    last = max((by.time for path, by in owners(seen.hyperconverged or _NOTHING) if path.startswith("spec")), default="")
    if last and seen.now - datetime.fromisoformat(last) > PATIENCE:
        yield from operator_asleep(seen)


@rule("policy-degraded")
def policy_degraded(seen: Seen) -> Iterator[Finding]:
    """A policy may stand there as declared while nodes refused it, and went back to what they had."""
    for live in seen.whole_objects:
        if live["kind"] == NODE_POLICY.kind:
            conditions = live.get("status", {}).get("conditions", ())
            said = [
                each.get("message") or each.get("reason") or "no reason given"
                for each in conditions
                if (each["type"], each["status"]) == ("Degraded", "True")
            ]
            if said:
                sentence = f"is Degraded: {' '.join('; '.join(said).split())}"
                remedy = "Fix what it says; mignet verify looks further"
                yield Finding(name_of(live), None, sentence, remedy)


def _code(each: FieldChange) -> str:
    """Return the code of the one rule that a field that an apply would change falls under."""
    if each.old == each.new:
        return "field-taken"
    if each.by is not None and each.by.owns and each.by.manager == FIELD_MANAGER:
        return "not-applied"
    if each.path.endswith("liveMigrationConfig.network"):
        return "network-elsewhere"
    if each.extended:
        return "list-extended"
    return "field-changed"


def _mend(each: FieldChange, remedy: str) -> str:
    """Return the way out of a change: a controller that writes back has to be told first."""
    return way_out(each.by, [each.field]) or remedy


def _is_not(each: FieldChange) -> str:
    return f"{each.path} {is_not(each.old, each.new)}"


def _by(each: FieldChange) -> str:
    if each.by is None:
        return ": it has no owner, and no other writer left a trace" if each.old is None else ""
    return f": set by {each.by}" if each.by.owns else f": it has no owner; the last writer of the object is {each.by}"


def _protected(live: Object, path: str) -> bool:
    """Tell whether a path is that of the finalizer that OVN-Kubernetes puts on every network of its own."""
    return path.startswith("metadata.finalizers") and live["metadata"].get("finalizers") == [PROTECTION]


def _stranger(live: Object, stack: Stack) -> bool:
    return made_by(live) is not None or stack_of(live) not in {None, stack.name}


RULES = (
    field_changed,
    not_applied,
    field_taken,
    list_extended,
    network_elsewhere,
    object_missing,
    object_left_over,
    object_recreated,
    object_relabelled,
    object_extended,
    foreign_metadata,
    field_co_owned,
    pods_keep_old_network,
    settings_not_taken,
    asleep_for_long,
    operator_degraded,
    policy_degraded,
    network_not_made,
)
CODES = codes_of(RULES)

NOT_IN_FIELDS = {
    "object-recreated": "it compares content, not who wrote it",
    "object-extended": "it compares the declared fields only",
    "field-co-owned": "it does not look at other managers",
    "pods-keep-old-network": "it does not look at pods",
    "settings-not-taken": "the object is not in its state",
    "operator-asleep": "it compares no status",
    "operator-degraded": "it compares no status",
    "policy-degraded": "it compares no status",
    "network-not-made": "it compares no status",
}
"""Why Pulumi misses what no comparison of fields shows, by code."""

SHOWN_AS_FIELDS = {"field-changed", "not-applied", "field-taken", "list-extended", "object-missing", "object-left-over"}
"""Codes that say what the changes of objects and fields say; a report that shows those need not say it again."""
