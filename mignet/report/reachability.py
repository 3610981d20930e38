"""The ways between clusters as a matrix that stays readable: by cluster for a few, by what is wrong for many."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mignet.report.grouping import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.finding import Finding
    from mignet.checks.peers import Peers
    from mignet.report.status import Tone

MOST = 16
"""Clusters up to which each has a row and a column of its own; more are put together by what is wrong with them."""
MOST_GROUPS = 12


@dataclass(frozen=True, slots=True)
class Group:
    """Clusters that have the same things against them; a cluster alone, where there are few."""

    name: str
    stacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """The ways from one group to another: how many of them are ready, and the commonest reason against the rest."""

    ready: int
    of: int
    reason: Finding | None = None

    @property
    def tone(self) -> Tone:
        """Whether all, some or none of them are ready; a cluster has no way to itself."""
        if not self.of:
            return "idle"
        if self.reason is not None and not self.reason.blocks:
            return "warn"
        return "good" if self.ready == self.of else "bad" if not self.ready else "warn"

    @property
    def code(self) -> str:
        """The rule of the reason; empty when all are ready."""
        return self.reason.code if self.reason else ""


@dataclass(frozen=True, slots=True)
class Ways:
    """The matrix, source first, and for each cluster to how many others it can send, and from how many take."""

    groups: tuple[Group, ...]
    cells: Mapping[tuple[str, str], Cell]
    sends: Mapping[str, int]
    takes: Mapping[str, int]
    ready: int
    of: int

    @property
    def grouped(self) -> bool:
        """Whether a row may be of several clusters."""
        return any(len(group.stacks) > 1 for group in self.groups)


def ways(peers: Peers) -> Ways:
    """Put the matrix of peers together."""
    names = [stack.name for stack in peers.stacks]
    groups = tuple(Group(name, (name,)) for name in names) if len(names) <= MOST else tuple(_grouped(peers, names))
    member = {name: group.name for group in groups for name in group.stacks}
    ready: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    reasons: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    example: dict[tuple[str, str, str], Finding] = {}
    sends: Counter[str] = Counter(dict.fromkeys(names, 0))
    takes: Counter[str] = Counter(dict.fromkeys(names, 0))
    for (source, target), reason in peers.matrix.items():
        cell = member[source], member[target]
        total[cell] += 1
        if reason is None:
            ready[cell] += 1
            sends[source] += 1
            takes[target] += 1
        else:
            reasons[cell][reason.code] += 1
            example.setdefault((*cell, reason.code), reason)
    cells = {}
    for one in groups:
        for other in groups:
            key = one.name, other.name
            ((code, _),) = reasons[key].most_common(1) if reasons[key] else (("", 0),)
            cells[key] = Cell(ready[key], total[key], example.get((*key, code)))
    return Ways(groups, cells, sends, takes, peers.ready, len(peers.matrix))


def _grouped(peers: Peers, names: Sequence[str]) -> Iterable[Group]:
    """Yield groups by the codes of what is against each cluster, the sound ones first, then the largest."""
    against: dict[str, set[str]] = {name: set() for name in names}
    for each in told(finding for finding in peers.findings if finding.blocks):
        for name in each.about:
            against[name].add(each.finding.code)
    by_codes: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, found in against.items():
        by_codes[tuple(sorted(found))].append(name)
    ordered = sorted(by_codes.items(), key=lambda item: (item[0] != (), -len(item[1]), item[0]))
    for codes, here in ordered[: MOST_GROUPS - 1]:
        yield Group(" + ".join(codes) or "nothing against them", tuple(here))
    rest = [name for _, here in ordered[MOST_GROUPS - 1 :] for name in here]
    if rest:
        yield Group("other mixtures", tuple(rest))
