"""Many migrations one after the other and side by side: a node that is drained, a cluster that is emptied.

KubeVirt starts so many at a time as its two limits allow, counted from the moment in which a migration is asked for:
source, KubeVirt, pkg/virt-controller/watch/migration/migration.go (handleTargetPodCreation). Which one comes next is
not defined; here it is the order in which they are given.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from mignet.capacity.link import LONGEST, share
from mignet.capacity.rounds import Ending, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mignet.capacity.rounds import Guest, Terms


@dataclass(frozen=True, slots=True)
class Task:
    """A virtual machine that is to leave its node."""

    name: str
    node: str
    guest: Guest
    terms: Terms


@dataclass(frozen=True, slots=True)
class Shares:
    """What the migrations share. Rates are bytes per second."""

    per_node: int
    """Migrations at a time that leave one node (parallelOutboundMigrationsPerNode)."""
    per_cluster: int
    """Migrations at a time in the cluster (parallelMigrationsPerCluster)."""
    link: float
    """What a node can send."""
    between: float = inf
    """What all nodes together can send: the link between two clusters, where it is one."""
    overhead: float = 0.0
    """Seconds of each migration in which nothing is copied: the target pod is scheduled and started, and told of."""


@dataclass(frozen=True, slots=True)
class Done:
    """How one went. `begin` and `end` are seconds from the start of all; both are infinite for one never begun."""

    name: str
    node: str
    begin: float
    end: float
    ending: Ending
    stopped: float
    """Seconds for which the guest stood still."""
    sent: float
    """Bytes."""


@dataclass(slots=True)
class _Active:
    task: Task
    run: Run
    begin: float
    preparing: float


@dataclass(slots=True)
class _Drain:
    shares: Shares
    waiting: list[Task]
    now: float = 0.0
    active: list[_Active] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)

    def start(self) -> None:
        leaving = Counter(each.task.node for each in self.active)
        place = 0
        while place < len(self.waiting) and len(self.active) < self.shares.per_cluster:
            each = self.waiting[place]
            if leaving[each.node] < self.shares.per_node:
                leaving[each.node] += 1
                self.active.append(_Active(each, Run(each.guest, each.terms), self.now, self.shares.overhead))
                del self.waiting[place]
            else:
                place += 1

    def rates(self) -> None:
        copying = [each for each in self.active if not each.preparing]
        most: dict[int, float] = {}
        for node in dict.fromkeys(each.task.node for each in copying):
            here = [each for each in copying if each.task.node == node]
            rates = share(self.shares.link, [each.run.wants for each in here])
            most |= {id(each): rate for each, rate in zip(here, rates, strict=True)}
        for each, rate in zip(copying, share(self.shares.between, [most[id(each)] for each in copying]), strict=True):
            each.run.rate = rate

    def step(self) -> bool:
        """Go on to the next thing that happens; False when nothing will."""
        self.rates()
        seconds = min(each.preparing or each.run.until() for each in self.active)
        if seconds == inf or self.now + seconds > LONGEST:
            return False
        self.now += seconds
        for each in self.active:
            if each.preparing:
                each.preparing = max(0.0, each.preparing - seconds)
            else:
                each.run.advance(seconds)
                each.run.happen()
        self.done += [self.outcome(each, each.run.ended) for each in self.active if each.run.ended]
        self.active = [each for each in self.active if not each.run.ended]
        return True

    def outcome(self, each: _Active, ending: Ending) -> Done:
        end = inf if ending is Ending.NEVER else self.now
        return Done(each.task.name, each.task.node, each.begin, end, ending, each.run.stopped, each.run.sent)


def drain(tasks: Iterable[Task], shares: Shares) -> Sequence[Done]:
    """Return how each goes, in the order in which they end; those that never end, or never begin, come last."""
    whole = _Drain(shares, list(tasks))
    whole.start()
    while whole.active and whole.step():
        whole.start()
    stuck = [whole.outcome(each, Ending.NEVER) for each in whole.active]
    unbegun = [Done(each.name, each.node, inf, inf, Ending.NEVER, 0.0, 0.0) for each in whole.waiting]
    return [*whole.done, *stuck, *unbegun]
