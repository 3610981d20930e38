"""Migrations that have not ended, as one cluster has them: the migration, its virtual machine and its target pod.

Source: KubeVirt's API (VirtualMachineInstanceMigration, VirtualMachineInstanceMigrationState), api/core/v1/types.go.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from config.finding import Subject
from mignet.checks.peers.endpoint import Side, endpoint
from mignet.kube.kinds import EVENT, INSTANCE, KUBEVIRT, MIGRATION, POD
from mignet.kube.kubevirt.migrations import is_open
from mignet.kube.kubevirt.pods import moment
from mignet.kube.network.sandbox_errors import reason, when
from mignet.kube.objects import value_at
from mignet.kube.snapshot import Read, Snapshot
from mignet.kube.source import current_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.kube.kinds import Object

JOB = "kubevirt.io/migrationJobUID"
"""The label of a migration's target pod; its value is the migration's uid."""
RUNNING = "Running"
Way = Literal["within", "sends", "receives"]
"""Within the cluster, or the one half of a migration between two."""


@dataclass(frozen=True)
class Flight:
    """A migration that has not ended. `pods` are those that its machine is to move into, `warnings` events there."""

    live: Object
    instance: Object | None
    pods: tuple[Object, ...] = ()
    warnings: tuple[Object, ...] = ()

    @property
    def name(self) -> str:
        """The migration's, as `namespace/name`."""
        return f"{self.namespace}/{self.live['metadata']['name']}"

    @property
    def namespace(self) -> str:
        """That of the migration, and of its machine."""
        return str(self.live["metadata"]["namespace"])

    @property
    def machine(self) -> str:
        """The virtual machine, as `namespace/name`."""
        return f"{self.namespace}/{self.live['spec'].get('vmiName', '')}"

    @property
    def key(self) -> Subject:
        """How a finding names it."""
        words = f"migration of {self.machine} ({MIGRATION.kind} {self.name})"
        return Subject(words, kind=MIGRATION.kind, name=self.name)

    @property
    def uid(self) -> str:
        """The migration's."""
        return str(self.live["metadata"]["uid"])

    @property
    def way(self) -> Way:
        """Which half of a migration it is."""
        spec = self.live["spec"]
        return "sends" if spec.get("sendTo") else "receives" if spec.get("receive") else "within"

    @property
    def shared_id(self) -> str | None:
        """What both halves of a migration between clusters have in common; None within one."""
        half = self.live["spec"].get("sendTo") or self.live["spec"].get("receive") or {}
        return half.get("migrationID")

    @property
    def phase(self) -> str:
        """Its phase; empty before KubeVirt has looked at it."""
        return str(value_at(self.live, "status.phase") or "")

    @property
    def shown_phase(self) -> str:
        """The same in a sentence."""
        return self.phase or "not looked at by KubeVirt"

    @cached_property
    def since(self) -> datetime:
        """When it came into its phase; when it was made where nobody says."""
        passed = value_at(self.live, "status.phaseTransitionTimestamps")
        times = [
            each["phaseTransitionTimestamp"]
            for each in (passed if isinstance(passed, list) else ())
            if each.get("phase") == self.phase
        ]
        return moment(times[-1] if times else self.live["metadata"]["creationTimestamp"])

    @cached_property
    def state(self) -> dict[str, Any]:
        """What its machine says of it; empty while that speaks of another migration, or of none."""
        found = value_at(self.instance or {}, "status.migrationState")
        state = found if isinstance(found, dict) else {}
        halves = (state.get("sourceState") or {}, state.get("targetState") or {})
        about = {state.get("migrationUid"), *(each.get("migrationUID") for each in halves)}
        return state if self.uid in about else {}

    @property
    def started(self) -> datetime | None:
        """When the copy began; None before."""
        return moment(self.state["startTimestamp"]) if self.state.get("startTimestamp") else None

    @property
    def mode(self) -> str | None:
        """PreCopy, PostCopy or Paused; None where nobody says."""
        return self.state.get("mode") or None

    @property
    def source_node(self) -> str | None:
        """The node that its machine leaves, as far as it is known here."""
        known = value_at(self.state, "sourceState.node") or self.state.get("sourceNode")
        own = value_at(self.instance or {}, "status.nodeName") if self.way != "receives" else None
        return str(known or own) if known or own else None

    @property
    def target_node(self) -> str | None:
        """The node that its machine moves to, as far as it is known here."""
        known = value_at(self.state, "targetState.node") or self.state.get("targetNode")
        known = known or next((pod["spec"]["nodeName"] for pod in self.pods if pod["spec"].get("nodeName")), None)
        return str(known) if known else None

    @property
    def address(self) -> Address | None:
        """The address that it goes to, or is to."""
        text = self.state.get("targetNodeAddress") or value_at(self.state, "targetState.nodeAddress")
        try:
            return ipaddress.ip_address(str(text).strip("[]")) if text else None
        except ValueError:
            return None

    @property
    def dialled(self) -> str | None:
        """Where its cluster's sync controller asks for the other half: address and port, or a name."""
        known = value_at(self.live, "spec.sendTo.connectURL") or value_at(self.state, "sourceState.syncAddress")
        return str(known) if known else None

    def condition(self, of: Object | None, kind: str, status: str = "True") -> str | None:
        """Return what a condition of the migration or its machine says, where it has that status; None otherwise."""
        for each in (of or {}).get("status", {}).get("conditions") or ():
            if each.get("type") == kind and each.get("status") == status:
                return reason(str(each.get("message") or each.get("reason") or "KubeVirt gives no reason"))
        return None

    def last_warning(self, *names: str) -> str | None:
        """Return the last warning about objects of these names; None without one."""
        about = [each for each in self.warnings if each.get("involvedObject", {}).get("name") in names]
        return reason(str(max(about, key=when).get("message", ""))) if about else None


@dataclass(frozen=True)
class Seen:
    """What a cluster held, `side`, what more was read about its migrations, and the other clusters that were seen."""

    side: Side
    details: Snapshot
    others: tuple[Side, ...] = ()
    now: datetime = field(default_factory=current_time)

    @property
    def stack(self) -> Stack:
        """The stack whose cluster was looked at."""
        return self.side.stack

    @cached_property
    def flights(self) -> tuple[Flight, ...]:
        """The migrations that have not ended, the oldest first. Raises UnreadError."""
        if self.side.seen is None:
            return ()
        instances = {_name(each): each for each in self.side.seen.all(INSTANCE)}
        pods, warnings = _of(self.details, POD), _of(self.details, EVENT)
        found = [
            Flight(
                live,
                instances.get((live["metadata"]["namespace"], live["spec"].get("vmiName", ""))),
                tuple(each for each in pods if _job(each) == live["metadata"]["uid"]),
                tuple(each for each in warnings if each["metadata"]["namespace"] == live["metadata"]["namespace"]),
            )
            for live in open_on(self.side)
        ]
        return tuple(sorted(found, key=lambda each: (str(each.live["metadata"]["creationTimestamp"]), each.name)))

    @property
    def kubevirt(self) -> Object:
        """The KubeVirt object; empty without one. Raises UnreadError."""
        return next(iter(self.side.seen.all(KUBEVIRT)), {}) if self.side.seen else {}

    def lasts(self, flight: Flight) -> float:
        """Return for how many seconds a migration has been in its phase."""
        return (self.now - flight.since).total_seconds()

    def other_half(self, flight: Flight) -> tuple[Side, Object] | None:
        """Return the other half of a migration between clusters, ended or not, and where it is; None where unseen."""
        wanted = "receive" if flight.way == "sends" else "sendTo"
        for side in (*self.others, self.side):
            if side.seen is None:
                continue
            for live in side.seen.all(MIGRATION):
                if (live["spec"].get(wanted) or {}).get("migrationID") == flight.shared_id:
                    return side, live
        return None

    def other_end(self, flight: Flight) -> Side | None:
        """Return the side of the other cluster: where the other half is, else whose addresses it dials."""
        if flight.way == "within":
            return None
        if half := self.other_half(flight):
            return half[0]
        address, _ = endpoint(flight.dialled or "", self.side.port)
        return next((each for each in self.others if any(address in span for span in each.stack.spans)), None)


def open_on(side: Side) -> Iterator[Object]:
    """Yield the migrations of a cluster that have not ended. Raises UnreadError."""
    yield from (each for each in side.seen.all(MIGRATION) if is_open(each)) if side.seen else ()


def details(side: Side) -> Iterable[Read]:
    """Return what more is to be read about the migrations of a cluster that have not begun to copy."""
    waiting = [each for each in open_on(side) if value_at(each, "status.phase") != RUNNING]
    for each in waiting:
        yield Read(POD, each["metadata"]["namespace"], labels={JOB: each["metadata"]["uid"]})
    for namespace in dict.fromkeys(str(each["metadata"]["namespace"]) for each in waiting):
        yield Read(EVENT, namespace, fields={"type": "Warning"})


def _of(seen: Snapshot, kind: Any) -> tuple[Object, ...]:
    return seen.all(kind) if any(read.kind == kind for read in seen.found) else ()


def _name(live: Object) -> tuple[str, str]:
    return live["metadata"]["namespace"], live["metadata"]["name"]


def _job(pod: Object) -> str | None:
    job: str | None = (pod["metadata"].get("labels") or {}).get(JOB)
    return job
