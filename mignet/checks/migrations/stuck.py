"""Why a migration that has not ended does not go on: rules about one cluster, and what the others have of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, few, rule
from mignet.checks.limits import DEFAULTS
from mignet.checks.migrations import ends
from mignet.checks.migrations.flights import RUNNING
from mignet.checks.peers.endpoint import FAILURE, WAITING, endpoint
from mignet.kube.client import ClusterError
from mignet.kube.kinds import MIGRATION
from mignet.kube.kubevirt.migrations import is_open
from mignet.kube.network.sandbox_errors import reason
from mignet.kube.objects import full_name, lasting, value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.finding import Rule
    from mignet.checks.migrations.flights import Flight, Seen
    from mignet.checks.peers.endpoint import Side
    from mignet.kube.kinds import Object

PATIENCE = 150.0
"""Seconds that a step may take which takes a few where all is well. As long as KubeVirt's progressTimeout, and as the
bound that kubevirt#17318 would have put on the two phases of synchronization."""
OVERDUE = 60.0
"""Seconds after its bound that a migration may take to end."""
SYNCING = {WAITING, "Synchronizing"}
_JUST_WAITS = "waiting for incoming synchronization"
"""What the condition of a machine that is to arrive says from the first moment on."""
_STARTS = {"Pending", "Scheduling", "Scheduled"}
_CANCEL = "cancel it: oc -n {} delete vmim {}"


@rule("migration-waits-for-sync")
def waits_for_sync(seen: Seen) -> Iterator[Finding]:
    """KubeVirt waits for ever for the other half of a migration between clusters (kubevirt#17317)."""
    for each in seen.flights:
        if each.phase in SYNCING and seen.lasts(each) > PATIENCE and not _refused(each):
            other, remedy = _other_half(seen, each)
            rule_ = f"is {each.phase} for {lasting(seen.lasts(each))}, which has no bound: {other}"
            yield Finding(each.key, None, rule_, remedy)


def _other_half(seen: Seen, flight: Flight) -> tuple[str, str]:
    """Say what is known of the other half of a migration between clusters, and what to do."""
    role, there = ("sender", "receives") if flight.way == "receives" else ("receiver", "sends")
    cancel = _cancelled(flight)
    if (half := seen.other_half(flight)) is None:
        silent = [f"{side.name}: {side.outcome}" for side in seen.others if isinstance(side.outcome, ClusterError)]
        asks = f" (it dials {flight.dialled})" if flight.dialled else ""
        if silent:
            words = f"its {role} was not found, and {few(silent)}"
            return f"{words}{asks}", f"Look again when those clusters answer, or {cancel}"
        if not seen.others:
            return (
                f"its {role} is on another cluster, and no other was looked at{asks}",
                "Look at all: mignet migrations --all",
            )
        known = ", ".join(side.name for side in (seen.side, *seen.others))
        return (
            f"no cluster of this fleet ({known}) has a {role} with migrationID {flight.shared_id}{asks}",
            f"Create the {role} with that migrationID, or {cancel}",
        )
    side, live = half
    name, phase = full_name(live), value_at(live, "status.phase") or "not looked at by KubeVirt"
    if side is seen.side:
        words = f"its {role} {name} is on this same cluster, where the two do not come together (kubevirt#18259)"
        return words, f"Cancel both, and move the machine in another way: {cancel}"
    words = f"its {role} {MIGRATION.kind} {name} on {side.name} is {phase}"
    if not is_open(live):
        return f"{words}, so that nobody {'sends' if there == 'receives' else 'receives'}", f"Look why, and {cancel}"
    remedy = (
        f"See whether both can reach and trust each other: mignet peers {seen.stack.name} {side.name}; where a"
        " virt-handler or a sync controller has restarted since, cancel on both sides, and migrate again"
    )
    return words, remedy


@rule("migration-sync-address")
def sync_address(seen: Seen) -> Iterator[Finding]:
    """A sender asks at one address for ever; a sync controller that has moved to another node has another one.

    Source: kubevirt#17317, and what pull request 18625 changes.
    """
    for each in seen.flights:
        half = seen.other_half(each) if each.way == "sends" and each.phase in SYNCING else None
        if half is None or half[0] is seen.side or not half[0].sync_addresses:
            continue
        side = half[0]
        published = [endpoint(text, side.port) for text in side.sync_addresses]
        dialled = endpoint(each.dialled or "", side.port)
        if dialled[0] is not None and dialled not in published:
            yield Finding(
                each.key,
                each.dialled,
                f"is what it dials, and {side.name} publishes {few(side.sync_addresses)}: nobody answers there",
                f"Cancel it on both sides, and migrate again to what is published: {_cancelled(each)}",
            )


@rule("migration-sync-failed")
def sync_failed(seen: Seen) -> Iterator[Finding]:
    """KubeVirt says in a condition why the two halves of a migration between clusters do not find each other."""
    for each in seen.flights:
        if why := _refused(each):
            other = seen.other_end(each)
            yield Finding(
                each.key,
                None,
                f"is {each.shown_phase}, and KubeVirt could not reach its other half: {why}",
                f"See what mignet peers {seen.stack.name} {other.name if other else 'OTHER'} says; it goes on by itself"
                " once that is mended",
            )


@rule("migration-target-pending")
def target_pending(seen: Seen) -> Iterator[Finding]:
    """A machine moves into a pod; one that finds no node, no network or no disk keeps it waiting."""
    for each in seen.flights:
        for pod in each.pods:
            if value_at(pod, "status.phase") == "Pending" and (why := _why_pending(seen, each, pod)):
                rule_ = f"is {each.shown_phase}: its target pod {full_name(pod)} {why}"
                end = ends.latest(each, seen.kubevirt)
                remedy = f"Mend that: {_MENDS[ends.unschedulable(pod) is not None]}. The migration {end.words}"
                yield Finding(each.key, None, rule_, remedy)


_MENDS = {
    True: "free memory or CPU on a node that may take it, or correct its node selector and affinity",
    False: "oc describe pod shows all that kubelet says of it",
}
"""What to do, by whether the pod has no node."""


def _why_pending(seen: Seen, flight: Flight, pod: Object) -> str | None:
    """Return why a target pod does not run, as far as it is not only new."""
    if why := ends.unschedulable(pod):
        return f"has no node: {reason(why)}"
    if warning := flight.last_warning(pod["metadata"]["name"]):
        return f"does not start on node {pod['spec'].get('nodeName', '')}: {warning}"
    if seen.lasts(flight) <= PATIENCE:
        return None
    statuses = pod.get("status") or {}
    waits = [
        f"{one.get('name')} is {one['state']['waiting'].get('reason', 'waiting')}"
        for key in ("initContainerStatuses", "containerStatuses")
        for one in statuses.get(key) or ()
        if (one.get("state") or {}).get("waiting")
    ]
    return f"does not start for {lasting(seen.lasts(flight))}: {few(waits) or 'kubelet gives no reason'}"


@rule("migration-address-outside")
def address_outside(seen: Seen) -> Iterator[Finding]:
    """A migration to an address of no slice goes over another network: the pod network, where migration0 is missing."""
    for each in seen.flights:
        sides = [seen.side, *seen.others]
        if each.way == "sends":
            other = seen.other_end(each)
            sides = [other] if other else list(seen.others)
        spans = [span for side in sides for span in side.stack.spans]
        if each.address is None or not spans or any(each.address in span for span in spans):
            continue
        kind = "the pod network" if str(each.state.get("migrationNetworkType")).lower() == "pod" else "another network"
        where = seen.other_end(each) if each.way == "sends" else seen.side
        name = where.name if where else "the other cluster"
        yield Finding(
            each.key,
            str(each.address),
            f"is where it goes: {kind}, outside of {few(spans)}",
            f"See that the virt-handlers of {name} have migration0 (mignet verify), and migrate again afterwards",
        )


@rule("migration-queued", severity="info")
def queued(seen: Seen) -> Iterator[Finding]:
    """So many migrations run at a time, in the cluster and away from a node; the others wait for one to end.

    Source: KubeVirt, pkg/virt-controller/watch/migration (handleTargetPodCreation, outboundMigrationsOnNode).
    """
    running = [each for each in seen.flights if _counts(each)]
    limits = value_at(seen.kubevirt, "spec.configuration.migrations")
    limits = {**DEFAULTS, **(limits if isinstance(limits, dict) else {})}
    for each in seen.flights:
        if each.phase != "Pending" or each.pods or each.way == "sends":
            continue
        node = _node(each)
        away = [one for one in running if node in {_node(one), one.source_node or _node(one)}]
        from_node = f"away from node {node}" if node else "to machines that have no node yet"
        for key, count, where in (
            ("parallelMigrationsPerCluster", len(running), "on this cluster"),
            ("parallelOutboundMigrationsPerNode", len(away), from_node),
        ):
            most = limits[key]
            if isinstance(most, int) and count >= most:
                yield Finding(
                    each.key,
                    None,
                    f"waits for {lasting(seen.lasts(each))}: {count} of at most {most} migrations run {where} ({key})",
                    "Nothing to do; it begins when one of them ends",
                )
                break


def _counts(flight: Flight) -> bool:
    """Tell whether KubeVirt counts a migration among those that run (IsRunning, findRunningMigrations)."""
    if flight.phase in {"", "Pending", *SYNCING} or (flight.phase == "Scheduling" and flight.way == "sends"):
        return bool(flight.pods)
    return True


def _node(flight: Flight) -> str:
    return str(value_at(flight.instance or {}, "status.nodeName") or "")


@rule("migration-not-migratable")
def not_migratable(seen: Seen) -> Iterator[Finding]:
    """A machine whose disks or devices cannot move stays, however long a migration waits for it."""
    for each in seen.flights:
        why = each.condition(each.instance, "LiveMigratable", "False")
        # Between clusters disks are copied.
        moves = each.way != "within" and each.condition(each.instance, "StorageLiveMigratable") is not None
        if why and each.way != "receives" and not moves and not each.started:
            remedy = f"Mend that, or {_cancelled(each)}"
            yield Finding(
                each.key, None, f"is {each.shown_phase}, and its virtual machine cannot migrate: {why}", remedy
            )


@rule("migration-quota")
def quota(seen: Seen) -> Iterator[Finding]:
    """While a machine moves, its namespace holds two pods of its size: a quota may have no room for the second."""
    for each in seen.flights:
        if each.condition(each.live, "migrationRejectedByResourceQuota") is not None:
            why = each.last_warning(each.live["metadata"]["name"], each.machine.rpartition("/")[2])
            yield Finding(
                each.key,
                None,
                f"is {each.shown_phase}: the ResourceQuota of namespace {each.namespace} has no room for its target pod"
                + (f": {why}" if why else ""),
                f"Raise it by the machine's size: oc -n {each.namespace} describe quota",
            )


@rule("migration-same-node")
def same_node(seen: Seen) -> Iterator[Finding]:
    """Two pods of one machine on one node never hand it over; it fails minutes later (kubevirt#18946)."""
    for each in seen.flights:
        if each.way == "within" and each.source_node and each.source_node == each.target_node:
            yield Finding(
                each.key,
                None,
                f"is {each.shown_phase} from node {each.source_node} to that same node",
                f"See which scheduler placed its target pod against its anti-affinity, and {_cancelled(each)}",
            )


@rule("migration-overdue")
def overdue(seen: Seen) -> Iterator[Finding]:
    """KubeVirt's launcher ends a migration at its bound; one that goes on has nobody who watches it."""
    for each in seen.flights:
        end = ends.latest(each, seen.kubevirt) if each.started else None
        if end and end.at and each.phase == RUNNING and (seen.now - end.at).total_seconds() > OVERDUE:
            late = lasting((seen.now - end.at).total_seconds())
            yield Finding(
                each.key,
                None,
                f"is {each.shown_phase} in {each.mode or 'PreCopy'} for {lasting(seen.lasts(each))}, {late} after its"
                f" bound: it {end.words}",
                f"See the log of its virt-launcher pod on node {each.source_node}, and {_cancelled(each)}",
            )


EARLIER: tuple[Rule[Seen], ...] = (
    waits_for_sync,
    sync_address,
    sync_failed,
    target_pending,
    address_outside,
    queued,
    not_migratable,
    quota,
    same_node,
    overdue,
)


@rule("migration-stalled")
def stalled(seen: Seen) -> Iterator[Finding]:
    """A step that takes seconds has taken minutes, and none of the other rules says why."""
    explained = {found.subject.name for each in EARLIER for found in each(seen)}
    for each in seen.flights:
        if each.phase == RUNNING or each.name in explained or seen.lasts(each) <= PATIENCE:
            continue
        if each.phase in SYNCING or (each.way == "sends" and each.phase in _STARTS and seen.other_half(each)):
            # Its other half says why.
            continue
        said = each.last_warning(each.live["metadata"]["name"], each.machine.rpartition("/")[2])
        active = value_at(each.instance or {}, "status.activePods")
        if each.instance is None:
            why = "there is no virtual machine of that name"
        elif isinstance(active, dict) and len(active) > 1 and each.phase == "Pending":
            why = f"its machine has {len(active)} pods already (status.activePods), and waits for all but one to go"
        elif "deletionTimestamp" in each.live["metadata"]:
            why = f"it was cancelled, and is not gone (abortStatus {each.state.get('abortStatus') or 'not set'})"
        else:
            why = said or "KubeVirt gives no reason"
        yield Finding(
            each.key,
            None,
            f"is {each.shown_phase} for {lasting(seen.lasts(each))}: {why}",
            f"See the log of virt-controller, and of virt-handler on node {each.target_node or each.source_node}; or"
            f" {_cancelled(each)}",
        )


RULES: tuple[Rule[Seen], ...] = (*EARLIER, stalled)


def hanging(seen: Seen) -> Iterator[Side | None]:
    """Yield the other cluster of each migration whose two halves do not find each other; None where it is not known."""
    for each in seen.flights:
        if _refused(each) or (each.phase in SYNCING and seen.lasts(each) > PATIENCE):
            yield seen.other_end(each)


def _refused(flight: Flight) -> str | None:
    """Return why the other half cannot be reached, as KubeVirt says it; None while it only waits."""
    if flight.way == "within":
        return None
    found = (
        flight.condition(flight.instance, FAILURE),
        flight.condition(flight.live, "decentralizedMigrationBlocked"),
    )
    return next((each for each in found if each and not each.startswith(_JUST_WAITS)), None)


def _cancelled(flight: Flight) -> str:
    return _CANCEL.format(flight.namespace, flight.live["metadata"]["name"])
