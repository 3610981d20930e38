"""What is known of a virtual machine and its link, as ranges, and what comes of it. Pure.

Amounts are bytes, times seconds, rates bytes per second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf
from typing import TYPE_CHECKING

from mignet.capacity.drain import Shares, Task, drain
from mignet.capacity.rounds import DOWNTIME, Ending, Guest, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mignet.capacity.drain import Done

GIB, MIB, GB = 2**30, 2**20, 10**9
CHANNELS = 8
"""Connections of multifd that KubeVirt asks for. Source: pkg/virt-handler/migration-source.go."""
EFFICIENCY = (0.5, 0.94)
"""Part of a NIC's speed that migrations come to: at most what TCP leaves at an MTU of 1500, at least half of it, as
each connection passes the TLS proxies of two virt-handlers."""
OVERHEAD = (4.0, 20.0)
"""Seconds of a migration in which nothing is copied: the target pod is scheduled and starts, and the hand-over is
written down. An assumption: it depends on the image, the scheduler and the API server. In the sample that kube-burner
documents (docs/measurements/index.md, vmimLatency), 8 to 12 s go by before copying, and up to 2 s from there to the
end."""
IN_USE = (0.1, 1.0)
"""Part of a guest's memory that is not zero, where nobody measured it: of fresh idle ones, as published, a tenth."""


@dataclass(frozen=True, slots=True)
class Range:
    """From the best to the worst, both inclusive."""

    low: float
    high: float

    @classmethod
    def of(cls, part: tuple[float, float], whole: float = 1.0) -> Range:
        """Return a range that is a part of a whole."""
        return cls(part[0] * whole, part[1] * whole)


@dataclass(frozen=True, slots=True)
class Writing:
    """How a guest writes its memory, and how that is known."""

    rate: Range
    """Bytes per second."""
    working_set: Range
    """As parts of the memory."""
    source: str


CLASSES: Mapping[str, Writing] = {
    "idle": Writing(Range(0.1 * MIB, 2 * MIB), Range(0.01, 0.03), "class idle"),
    "typical": Writing(Range(2 * MIB, 60 * MIB), Range(0.03, 0.15), "class typical"),
    "busy": Writing(Range(60 * MIB, 1000 * MIB), Range(0.15, 0.6), "class busy"),
}
"""What is assumed of a guest of which nothing was measured."""


def gigabytes(counted: float) -> int:
    """Return bytes as KubeVirt counts them for its timeout: in begun units of 10^9.

    >>> gigabytes(4 * GIB)
    5
    """
    return ceil(counted / GB)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that one virtual machine gets."""

    bandwidth: float = inf
    per_gib: int = 150
    """completionTimeoutPerGiB in seconds; 0 for none."""
    auto_converge: bool = False
    post_copy: bool = False
    disruption: bool = False
    """allowWorkloadDisruption: without it KubeVirt cancels when the time is over, whatever post-copy is."""
    downtime: float = DOWNTIME

    def timeout(self, counted: float) -> float:
        """Return when KubeVirt steps in, for so many bytes; infinite where it does not.

        It counts a timeout for each begun gigabyte (10^9, whatever the limit's name says) of memory and of disks that
        are copied, and looks whether more whole seconds than these have gone by. Source: KubeVirt, manager.go
        (getVMIMigrationDataSize) and live-migration-source.go (shouldTriggerTimeout).
        """
        return self.per_gib * gigabytes(counted) + 1 if self.per_gib else inf


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine that runs."""

    name: str
    """As `namespace/name`."""
    node: str
    memory: float
    writing: Writing
    limits: Limits
    disks: float = 0.0
    """What is copied of its disks, which KubeVirt's timeout counts, too."""
    in_use: Range = Range(*IN_USE)
    """Part of the memory that is not zero."""
    channels: int = CHANNELS
    freezes: bool = False
    """Whether a device that is passed through keeps it from post-copy."""
    stays: str | None = None
    """Why it cannot be migrated; None when it can."""

    @property
    def alike(self) -> Machine:
        """What is the same of all machines that migrate as this one does: all but its name and place."""
        return replace(self, name="", node="")

    def task(self, *, worst: bool) -> Task:
        """Return its migration, at the best or at the worst that is known of it."""
        rate, part = self.writing.rate, self.writing.working_set
        used = self.memory * (self.in_use.high if worst else self.in_use.low)
        limits = self.limits
        guest = Guest(
            memory=used,
            dirty_rate=rate.high if worst else rate.low,
            working_set=min(used, self.memory * (part.high if worst else part.low)),
            disks=self.disks,
        )
        post_copy = limits.post_copy and limits.disruption and not self.freezes
        terms = Terms(
            bandwidth=limits.bandwidth,
            timeout=limits.timeout(self.memory + self.disks),
            auto_converge=limits.auto_converge,
            post_copy=post_copy,
            pause=limits.disruption and not post_copy,
            downtime=limits.downtime,
            channels=0 if limits.post_copy else self.channels,
        )
        return Task(self.name, self.node, guest, terms)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the migrations of a cluster share: `link` is what a node can send, `between` what all can to another one."""

    link: Range
    per_node: int = 2
    per_cluster: int = 5
    between: Range | None = None

    def shares(self, *, worst: bool) -> Shares:
        """Return it at its best or at its worst."""
        between = inf if self.between is None else self.between.low if worst else self.between.high
        link = self.link.low if worst else self.link.high
        return Shares(self.per_node, self.per_cluster, link, between, OVERHEAD[worst])


@dataclass(frozen=True, slots=True)
class Outlook:
    """How long one migration takes, alone on its link, and how it ends: at the best and at the worst."""

    machine: Machine
    best: Done
    worst: Done
    decides: str
    """The limit that decides, of those that a user can change."""


def outlook(machine: Machine, conditions: Conditions) -> Outlook:
    """Return how one virtual machine's migration goes when it has the link for itself."""
    best, worst = (drain([machine.task(worst=bad)], conditions.shares(worst=bad))[0] for bad in (False, True))
    return Outlook(machine, best, worst, _decides(machine, conditions, worst))


def _decides(machine: Machine, conditions: Conditions, worst: Done) -> str:
    limits = machine.limits
    link = min(conditions.link.low, conditions.between.low if conditions.between else inf)
    if worst.ending in {Ending.TIMED_OUT, Ending.POST_COPY, Ending.PAUSED}:
        longer = replace(machine, limits=replace(limits, per_gib=0))
        unbound = drain([longer.task(worst=True)], conditions.shares(worst=True))[0]
        if unbound.ending is not Ending.NEVER:
            return "completionTimeoutPerGiB"
    if worst.ending in {Ending.PRE_COPY, Ending.AUTO_CONVERGE}:
        return "bandwidthPerMigration" if limits.bandwidth < link else "link"
    return "dirty rate"


@dataclass(frozen=True, slots=True)
class Evacuation:
    """How virtual machines leave a node, or a cluster, all at once under the limits of parallel migrations."""

    best: Sequence[Done]
    worst: Sequence[Done]
    stay: tuple[Machine, ...]
    """Those that cannot be migrated."""

    @property
    def seconds(self) -> Range:
        """When the last one has left; infinite where one never does, or its migration is cancelled."""
        return Range(_last(self.best), _last(self.worst))

    @property
    def doubtful(self) -> tuple[Done, ...]:
        """Those that do not leave at the worst."""
        return tuple(each for each in self.worst if not leaves(each))


def by_node(machines: Iterable[Machine]) -> dict[str, list[Machine]]:
    """Return virtual machines by the node that they are on."""
    found: dict[str, list[Machine]] = {}
    for each in machines:
        found.setdefault(each.node, []).append(each)
    return found


def leaves(done: Done) -> bool:
    """Tell whether a migration ends on the other node."""
    return done.ending not in {Ending.TIMED_OUT, Ending.NEVER}


def _last(done: Sequence[Done]) -> float:
    return max((each.end if leaves(each) else inf for each in done), default=0.0)


def evacuation(machines: Sequence[Machine], conditions: Conditions) -> Evacuation:
    """Return how these virtual machines leave where they are."""
    going = [each for each in machines if each.stays is None]
    best, worst = (
        drain([each.task(worst=bad) for each in going], conditions.shares(worst=bad)) for bad in (False, True)
    )
    return Evacuation(best, worst, tuple(each for each in machines if each.stays is not None))


def clock(seconds: float) -> str:
    """Write seconds as people read them.

    >>> clock(7.6), clock(95), clock(3700), clock(float("inf"))
    ('8 s', '1:35 min', '1:01 h', 'never')
    """
    if seconds == inf:
        return "never"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}:{whole % _MINUTE:02} min"
    return f"{whole // _HOUR}:{whole % _HOUR // _MINUTE:02} h"


def span(seconds: Range) -> str:
    """Write a range of seconds.

    >>> span(Range(30, 95)), span(Range(40, float("inf")))
    ('30 s to 1:35 min', '40 s, or never')
    """
    if clock(seconds.low) == clock(seconds.high):
        return clock(seconds.low)
    if clock(seconds.high) == "never":
        return f"{clock(seconds.low)}, or never"
    return f"{clock(seconds.low)} to {clock(seconds.high)}"


_MINUTE, _HOUR = 60, 3600
