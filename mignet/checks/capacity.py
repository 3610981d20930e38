"""Capacity: how long each virtual machine's migration takes and how it ends, and how long a node drain does.

What is known of virtual machines comes from VirtualMachineInstances and their effective limits, what of the link from
the speed that nmstate reports of its NICs; the rest is a stated range (mignet/capacity/estimate.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, cached_property
from math import inf
from typing import TYPE_CHECKING

from config.finding import Finding, codes_of, few, natural, rule
from config.limits import quantity
from mignet.capacity.drain import drain
from mignet.capacity.estimate import (
    CHANNELS,
    CLASSES,
    EFFICIENCY,
    GIB,
    MIB,
    Conditions,
    Evacuation,
    Limits,
    Machine,
    Outlook,
    Range,
    Writing,
    by_node,
    evacuation,
    leaves,
    outlook,
)
from mignet.capacity.rounds import DOWNTIME
from mignet.checks import limits
from mignet.checks.preflight.links import Place, attached, group_of
from mignet.kube.kinds import INSTANCE, INSTANCE_WITH_DISKS, NODE, NODE_NETWORK_STATE
from mignet.kube.kubevirt import guests
from mignet.kube.network.node_network import Node
from mignet.kube.objects import full_name, value_at
from mignet.kube.snapshot import Read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from config.finding import Rule
    from config.stack import Stack
    from mignet.kube.kinds import Object

_TRIES = 30
"""Halvings in search of the dirty rate that a past migration tells."""
AFTER_A_WHILE = Range(0.5, 1.0)
"""Part of the memory that is not zero in a guest that has migrated before: an assumption."""
FASTEST = 20 * GIB
"""Bytes per second of writing beyond which nothing is looked for."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is to be tried in place of what is there; None leaves it."""

    link: float | None = None
    """Bits per second of each node's NIC."""
    bandwidth: float | None = None
    """Bytes per second."""
    per_gib: int | None = None
    per_node: int | None = None
    between: float | None = None
    """Bits per second to the other cluster."""
    writing: str = "typical"
    """The class of a guest of which nothing is known."""
    measured: Mapping[str, Writing] = field(default_factory=dict)
    """What was measured of guests, by `namespace/name`."""

    @property
    def across(self) -> bool:
        """Whether all moves to another cluster, disks included."""
        return self.between is not None


@dataclass(frozen=True)
class Seen(limits.Seen):
    """What a cluster held when its capacity was looked at."""

    what_if: WhatIf = field(default_factory=WhatIf)

    @property
    def machines(self) -> tuple[Object, ...]:
        """The virtual machines that run, with their disks. Raises UnreadError."""
        running = (each for each in self.all(INSTANCE_WITH_DISKS) if value_at(each, "status.phase") == "Running")
        return tuple(sorted(running, key=lambda each: natural(full_name(each))))

    @cached_property
    def links(self) -> Mapping[str, float | None]:
        """Bits per second of the NIC under the migration network on each node; None where nobody says.

        Raises UnreadError.
        """
        states = {state["metadata"]["name"]: state for state in self.all(NODE_NETWORK_STATE)}
        nodes = (Node.read(node, states.get(node["metadata"]["name"])) for node in self.all(NODE))
        return {node.name: _speed(self.stack, node) for node in nodes if node.schedulable}

    @property
    def link_source(self) -> str:
        """Where the link's speed comes from, as words."""
        if self.what_if.link is not None:
            return "--link"
        return "the NICs' speed, the slowest"

    @cached_property
    def conditions(self) -> Conditions | None:
        """What migrations share; None where nobody knows what the link carries. Raises UnreadError."""
        known = [each for each in self.links.values() if each] if self.what_if.link is None else [self.what_if.link]
        if not known:
            return None
        wide = self.cluster_wide
        per_node = self.what_if.per_node or _count(wide["parallelOutboundMigrationsPerNode"].value, 2)
        per_cluster = _count(wide["parallelMigrationsPerCluster"].value, 5)
        return Conditions(
            Range.of(EFFICIENCY, min(known) / 8),
            per_node,
            max(per_cluster, self.what_if.per_node or 0),
            None if self.what_if.between is None else Range.of(EFFICIENCY, self.what_if.between / 8),
        )

    @cached_property
    def known(self) -> tuple[Machine, ...]:
        """What is known of each running virtual machine. Raises UnreadError."""
        got = {name: each for each in self.outcomes for name in each.machines}
        return tuple(
            self._machine(each, self._limits(got[full_name(each)])) for each in self.machines if full_name(each) in got
        )

    def _limits(self, outcome: limits.Outcome) -> Limits:
        tried, downtime = self.what_if, outcome.value("maxDowntimeMs")
        return Limits(
            bandwidth=tried.bandwidth or quantity(outcome.value("bandwidthPerMigration")) or inf,
            per_gib=_count(outcome.value("completionTimeoutPerGiB"), 0) if tried.per_gib is None else tried.per_gib,
            auto_converge=outcome.value("allowAutoConverge") is True,
            post_copy=outcome.value("allowPostCopy") is True,
            disruption=outcome.value("allowWorkloadDisruption") is True,
            downtime=downtime / 1000 if isinstance(downtime, int) else DOWNTIME,
        )

    def _machine(self, live: Object, own: Limits) -> Machine:
        devices = value_at(live, "spec.domain.devices")
        passed = isinstance(devices, dict) and any(devices.get(key) for key in ("gpus", "hostDevices"))
        capped = quantity(value_at(live, "spec.domain.resources.limits.cpu"))
        plain = Machine(
            name=full_name(live),
            node=str(value_at(live, "status.nodeName") or ""),
            memory=guests.memory_of(live) or 0.0,
            writing=CLASSES[self.what_if.writing],
            limits=own,
            disks=guests.persistent_disks(live) if self.what_if.across else guests.migrated_disks(live),
            channels=0 if capped else CHANNELS,
            freezes=passed,
            stays=_why_not(live),
        )
        known = self.what_if.measured.get(plain.name) or self._past(live, plain)
        return plain if known is None else replace(plain, writing=known)

    def _past(self, live: Object, plain: Machine) -> Writing | None:
        """Return how it writes by the time that its last migration took, where its status tells that."""
        state = value_at(live, "status.migrationState")
        if not isinstance(state, dict) or not state.get("completed") or state.get("failed") or self.conditions is None:
            return None
        if state.get("mode") not in {None, "PreCopy"}:
            return None
        taken = _seconds(state.get("startTimestamp"), state.get("endTimestamp"))
        if taken is None:
            return None
        # Nothing is known of its working set: it may be as large as that of a busy one. It has run for a while.
        unknown = replace(plain.alike, writing=CLASSES["busy"], in_use=AFTER_A_WHILE)
        rates = [
            _rate_of(unknown, taken + tolerance, self.conditions, worst=worst)
            for tolerance, worst in ((-1.0, True), (1.0, False))
        ]
        known = [each for each in rates if each < FASTEST / 2]
        source = f"its last migration, {taken:.0f} s"
        if not known:
            # No rate explains it: something else held it up.
            return None
        return Writing(Range(min(known), max(known)), unknown.writing.working_set, source)

    @cached_property
    def outlooks(self) -> tuple[Outlook, ...]:
        """How each migration goes alone; none where nobody knows what the link carries. Raises UnreadError."""
        if self.conditions is None:
            return ()
        going = [each for each in self.known if each.stays is None]
        found = {each: outlook(each, self.conditions) for each in {each.alike for each in going}}
        return tuple(replace(found[each.alike], machine=each) for each in going)

    @cached_property
    def drains(self) -> Mapping[str, Evacuation]:
        """How each node is drained, by its name; none when all leave the cluster. Raises UnreadError."""
        if self.conditions is None or self.what_if.across:
            return {}
        on = by_node(self.known)
        return {node: evacuation(on[node], self.conditions) for node in sorted(on, key=natural)}

    @cached_property
    def all_at_once(self) -> Evacuation | None:
        """How all leave the cluster at once, such as to another one. Raises UnreadError."""
        return None if self.conditions is None else evacuation(self.known, self.conditions)


def reads(stack: Stack) -> list[Read]:
    """Return what is read of the stack's cluster."""
    others = [each for each in limits.reads(stack) if each.kind != INSTANCE]
    return [*others, Read(INSTANCE_WITH_DISKS), Read(NODE), Read(NODE_NETWORK_STATE)]


def _why_not(live: Object) -> str | None:
    listed = value_at(live, "status.conditions")
    for each in listed if isinstance(listed, list) else ():
        if each.get("type") == "LiveMigratable" and each.get("status") == "False":
            return str(each.get("message") or each.get("reason") or "KubeVirt says no reason")
    return None


def _speed(stack: Stack, node: Node) -> float | None:
    top, _ = attached(stack, Place(node, "", "error", group_of(stack, node)))
    if top is None:
        return None
    speeds = [value_at(dict(layer.facts or {}), "ethernet.speed") for layer in node.nics(top)]
    # nmstate gives megabits per second; 2^32 - 1 stands for a NIC that does not know.
    known = [each * 1e6 for each in speeds if isinstance(each, int) and 0 < each < 2**31]
    return min(known) if known else None


@cache
def _rate_of(machine: Machine, taken: float, conditions: Conditions, *, worst: bool) -> float:
    """Return the dirty rate with which the model takes as long; 0 where it takes longer even for an idle one."""
    low, high = 0.0, float(FASTEST)
    for _ in range(_TRIES):
        middle = (low + high) / 2
        rate = Writing(Range(middle, middle), machine.writing.working_set, "")
        task = replace(machine, writing=rate).task(worst=worst)
        done = drain([task], replace(conditions.shares(worst=worst), overhead=0.0))[0]
        low, high = (middle, high) if leaves(done) and done.end < taken else (low, middle)
    return low if low > MIB / 100 else 0.0


def _seconds(begin: object, end: object) -> float | None:
    try:
        found = (datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(begin))).total_seconds()
    except (ValueError, TypeError):
        return None
    return found if found > 0 else None


def _count(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


@rule("capacity-link-unknown", severity="warning")
def link_unknown(seen: Seen) -> Iterator[Finding]:
    """Without the link's speed nothing can be said of times."""
    if seen.conditions is None and seen.known:
        yield Finding(
            "link",
            None,
            "has no speed that nmstate reports, so that no time can be told",
            "Give it: --link 10G, in bits per second",
        )


@rule("capacity-not-migratable", severity="warning")
def not_migratable(seen: Seen) -> Iterator[Finding]:
    """A virtual machine that cannot be migrated keeps its node from being drained, or is shut down."""
    why: dict[str, list[str]] = {}
    for each in seen.known:
        if each.stays is not None:
            why.setdefault(each.stays, []).append(each.name)
    for reason, names in why.items():
        yield Finding(
            f"virtual machine{'s' if len(names) > 1 else ''} {few(names)}",
            None,
            f"cannot be migrated: {reason.rstrip('.')}",
            "Change what KubeVirt names, or plan its shutdown: a node drain waits for it",
        )


@rule("capacity-does-not-finish", severity="warning")
def does_not_finish(seen: Seen) -> Iterator[Finding]:
    """A migration that its limits cancel is tried again and again: the node is not drained."""
    alike: dict[tuple[str, bool, str], list[Outlook]] = {}
    for each in seen.outlooks:
        if not leaves(each.worst):
            alike.setdefault((each.decides, leaves(each.best), each.machine.writing.source), []).append(each)
    for (decides, sometimes, source), group in alike.items():
        names = [each.machine.name for each in group]
        some = group[0].machine
        yield Finding(
            f"virtual machine{'s' if len(names) > 1 else ''} {few(names)}",
            None,
            f"{'may not finish' if sometimes else 'cannot finish'} migrating under the present limits: with"
            f" {some.memory / GIB:.3g} GiB and a dirty rate of up to {some.writing.rate.high / MIB:,.0f} MiB/s"
            f" ({source}), {_because(decides, group)}",
            _remedy(decides),
        )


def _because(decides: str, group: Sequence[Outlook]) -> str:
    limits_ = group[0].machine.limits
    if decides == "completionTimeoutPerGiB":
        return f"completionTimeoutPerGiB {limits_.per_gib} cancels it before all is copied"
    rate = "the link" if limits_.bandwidth == inf else f"bandwidthPerMigration {limits_.bandwidth / MIB:,.0f}Mi"
    return f"memory is written as fast as {rate} copies it"


def _remedy(decides: str) -> str:
    if decides == "completionTimeoutPerGiB":
        return "Raise completionTimeoutPerGiB, or the bandwidth; mignet capacity --propose says by how much"
    return (
        "Raise the bandwidth, or set allowAutoConverge (slows the guest down), or allowPostCopy with"
        " allowWorkloadDisruption (the guest is lost when the network fails meanwhile)"
    )


RULES: tuple[Rule[Seen], ...] = (link_unknown, not_migratable, does_not_finish)
CODES = codes_of(RULES)
