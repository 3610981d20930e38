"""When a migration ends. Pure, given what was seen.

Source: KubeVirt 1.8, pkg/virt-launcher/virtwrap/live-migration-source.go (newMigrationMonitor, shouldTriggerTimeout,
processInflightMigration), manager.go (getVMIMigrationDataSize), pkg/storage/types (GetDiskCapacity), and
pkg/virt-controller/watch/migration (handlePendingPodTimeout).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mignet.capacity.estimate import OVERHEAD, gigabytes, leaves
from mignet.checks.limits import DEFAULTS
from mignet.kube.kubevirt import guests
from mignet.kube.kubevirt.pods import moment
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.capacity.estimate import Outlook
    from mignet.checks.migrations.flights import Flight
    from mignet.kube.kinds import Object

_UNSCHEDULABLE = ("kubevirt.io/migrationUnschedulablePodTimeoutSeconds", 300)
_PENDING = ("kubevirt.io/migrationPendingPodTimeoutSeconds", 900)
"""Annotation of a migration, and how long KubeVirt waits for its target pod without it, in seconds."""


@dataclass(frozen=True, slots=True)
class End:
    """What KubeVirt does at the latest, and when; `at` is None where it waits without a bound."""

    at: datetime | None
    words: str
    """Completes a sentence that begins with the migration: `is aborted at …`."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Between when and when the model says that it ends; None where it says that it does not."""

    soon: datetime | None
    late: datetime | None

    @property
    def words(self) -> str:
        """Completes a sentence that begins with the migration."""
        if self.soon is None:
            return "is not expected to end by itself (mignet capacity says why)"
        if self.late is None:
            return f"is expected to end at {shown(self.soon)} or later, or not by itself (mignet capacity says why)"
        return f"is expected to end from {shown(self.soon)} to {shown(self.late)}"


def latest(flight: Flight, kubevirt: Object) -> End:
    """Return what becomes of a migration at the latest, by KubeVirt's own bounds."""
    if flight.started:
        return _of_copy(flight, flight.started, kubevirt)
    pending = [pod for pod in flight.pods if value_at(pod, "status.phase") == "Pending"]
    for pod in pending:
        annotation, seconds = _UNSCHEDULABLE if unschedulable(pod) else _PENDING
        text = str((flight.live["metadata"].get("annotations") or {}).get(annotation, ""))
        seconds = int(text) if text.isdigit() else seconds
        at = moment(pod["metadata"]["creationTimestamp"]) + timedelta(seconds=seconds)
        return End(at, f"fails at {shown(at)}, unless its target pod runs by then ({seconds} s)")
    return End(None, f"has no bound while it is {flight.shown_phase}: KubeVirt waits for ever")


def _of_copy(flight: Flight, started: datetime, kubevirt: Object) -> End:
    limits = _limits(flight, kubevirt)
    per_gib, progress = (_seconds(limits.get(key)) for key in ("completionTimeoutPerGiB", "progressTimeout"))
    stuck = f", or earlier after {progress} s without progress" if progress else ""
    if flight.mode == "PostCopy":
        return End(None, "has no bound in post-copy: the machine runs on the target already")
    size = data_size(flight.instance or {})
    if not per_gib or size is None:
        why = "completionTimeoutPerGiB is 0" if size is not None else "its machine does not say how much memory it has"
        return End(None, f"has no bound that is known ({why}){stuck}")
    bound = per_gib * size
    sum_ = f"completionTimeoutPerGiB {per_gib} s x {size} GB"
    post_copy, disrupts = (limits.get(key) is True for key in ("allowPostCopy", "allowWorkloadDisruption"))
    if flight.mode == "Paused":
        at = started + timedelta(seconds=2 * bound)
        return End(at, f"is aborted at {shown(at)} (twice {sum_}, as it is paused){stuck}")
    at = started + timedelta(seconds=bound)
    if not disrupts:
        return End(at, f"is aborted at {shown(at)} ({sum_}){stuck}")
    if post_copy:
        before = f"; before that it is aborted after {progress} s without progress" if progress else ""
        return End(at, f"goes on in post-copy at {shown(at)} ({sum_}){before}")
    last = started + timedelta(seconds=2 * bound)
    return End(last, f"is paused at {shown(at)} ({sum_}), and aborted at {shown(last)}{stuck}")


def expected(flight: Flight, outlook: Outlook | None) -> Expected | None:
    """Return when the model says that a copy ends; None before it has begun, and where nobody knows enough.

    The time of the target's pod, which a forecast counts, is over by then.
    """
    if flight.started is None or outlook is None or flight.mode not in {None, "", "PreCopy"}:
        return None
    soon, late = (
        None
        if math.isinf(done.end) or not leaves(done)
        else flight.started + timedelta(seconds=max(0.0, done.end - overhead))
        for done, overhead in zip((outlook.best, outlook.worst), OVERHEAD, strict=True)
    )
    return Expected(soon, late)


def data_size(instance: Object) -> int | None:
    """Return what counts for completionTimeoutPerGiB: memory and disks that are copied, in GB, rounded up.

    KubeVirt counts units of 1000 MB, in spite of the limit's name: 4Gi are 5. Disks of its own making that a block
    migration copies, such as cloud-init's, are known to nobody outside, and left out.
    """
    memory = guests.memory_of(instance)
    if memory is None:
        return None
    return gigabytes(memory + guests.migrated_disks(instance))


def unschedulable(pod: Object) -> str | None:
    """Return why the scheduler has no node for a pod; None when it has, or did not look yet."""
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return str(each.get("message") or each.get("reason") or "the scheduler gives no reason")
    return None


def shown(at: datetime) -> str:
    """Write a time of UTC as JSON and tables have it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _limits(flight: Flight, kubevirt: Object) -> Mapping[str, object]:
    """Return what applies to a migration: what KubeVirt settled for it, else what holds for the cluster."""
    own = flight.state.get("migrationConfiguration") or value_at(kubevirt, "spec.configuration.migrations")
    found = {**DEFAULTS, **(own if isinstance(own, dict) else {})}
    # What nobody sets follows allowPostCopy.
    found.setdefault("allowWorkloadDisruption", found["allowPostCopy"])
    return found


def _seconds(value: object) -> int:
    return value if isinstance(value, int) else 0
