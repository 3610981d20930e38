"""What was measured in one run, as a value that the rules judge: the nodes with their probes, and the ways between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.checkup.probe_protocol import Entry, Report
    from mignet.checkup.result import End

Kind = Literal["sound", "silent", "ports", "mtu", "duplicate"]


@dataclass(frozen=True, slots=True)
class Probed:
    """One node's probe. `address` is the first one on migration0, which is what KubeVirt uses, too."""

    end: End
    token: str
    """What it calls itself when it answers: nothing but this run knows whose it is."""
    turn: int = 0
    """The round in which it ran: in another one, somebody else may have its address."""
    attached: bool = True
    """Whether its pod has migration0."""
    address: Address | None = None
    mac: str | None = None
    report: Report | None = None
    stuck: str | None = None
    """Why its pod did not start."""
    lost: str | None = None
    """What its pod said at its end, when that was no report."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way from one node to another, and what the first one found of it."""

    source: End
    target: End
    entry: Entry
    declared: int | None = None
    """The MTU that is declared for it, in bytes."""
    ports: int = 4
    """How many were tried."""

    @property
    def kind(self) -> Kind:
        """What it is like, the worst first."""
        found = self.entry
        if found.other is not None or found.mac is not None:
            return "duplicate"
        if len(found.blocked) == self.ports and not found.there:
            return "silent"
        if found.blocked:
            return "ports"
        return "mtu" if found.path_mtu is not None or found.hangs else "sound"

    @property
    def reason(self) -> str | None:
        """Why it is not sound, in a few words."""
        match self.kind:
            case "duplicate":
                who = f" ({self.entry.mac})" if self.entry.mac else ""
                return f"another machine answers{who}"
            case "silent":
                return "no answer"
            case "ports":
                every = len(self.entry.blocked) == self.ports
                return "all ports blocked" if every else f"ports {', '.join(map(str, self.entry.blocked))} blocked"
            case "mtu":
                size = self.entry.path_mtu or self.declared
                return f"path MTU {size}, larger packets lost" if self.entry.hangs else f"path MTU {size}"
            case _:
                return None


@dataclass(frozen=True)
class Measured:
    """One run: every node that got a probe, and every way that was measured."""

    stacks: Mapping[str, Stack]
    probes: Mapping[End, Probed]
    ways: tuple[Way, ...] = ()
    taken: Mapping[Address, str] = field(default_factory=dict)
    """Addresses of the pods that migrate, and which pod of which stack has each."""
    broken_off: bool = False
    """Whether it was stopped before the probes could come to their end."""

    @cached_property
    def duplicates(self) -> dict[End, tuple[str, ...]]:
        """The nodes whose probe has an address that another machine has, too, and who has it, in words."""
        holders: dict[tuple[int, Address], list[str]] = {}
        for probe in self.probes.values():
            if probe.address is not None:
                holders.setdefault((probe.turn, probe.address), []).append(f"the probe on {probe.end}")
        tokens = {probe.token: end for end, probe in self.probes.items()}
        for (_, address), who in holders.items():
            if address in self.taken:
                who.append(self.taken[address])
        for way in self.ways:
            probe = self.probes[way.target]
            if way.kind == "duplicate" and probe.address is not None:
                other = tokens.get(way.entry.other or "")
                mac = f" with MAC {way.entry.mac}" if way.entry.mac else ""
                name = f"the probe on {other}" if other else f"a machine{mac} that is no probe"
                holders[probe.turn, probe.address].append(name)
        for probe in self.probes.values():
            if probe.report and probe.address and str(probe.address) in probe.report.duplicates:
                holders[probe.turn, probe.address].append("another machine, as its own kernel found")
        return {
            end: unique
            for end, probe in self.probes.items()
            if probe.address and len(unique := tuple(dict.fromkeys(holders[probe.turn, probe.address]))) > 1
        }

    @cached_property
    def clear(self) -> tuple[Way, ...]:
        """The ways between nodes of whose addresses there is one: what is said of others is a consequence."""
        return tuple(way for way in self.ways if not {way.source, way.target} & self.duplicates.keys())

    @cached_property
    def dark(self) -> frozenset[End]:
        """Nodes whose link has no carrier, and that reach nobody."""
        lit = {end for way in self.clear if way.kind != "silent" for end in (way.source, way.target)}
        return frozenset(
            end
            for end, probe in self.probes.items()
            if probe.report and probe.report.carrier is False and end not in lit and probe.address is not None
        )

    @cached_property
    def groups(self) -> tuple[frozenset[End], ...]:
        """Nodes that reach each other, directly or over others, largest group first; those without a link left out.

        Parts of one cluster between which nothing was measured are one group: nobody knows that they are apart.
        """
        ways = [way for way in self.clear if not {way.source, way.target} & self.dark]
        group: dict[End, set[End]] = {end: {end} for way in ways for end in (way.source, way.target)}
        for way in ways:
            one, other = group[way.source], group[way.target]
            if way.kind != "silent" and one is not other:
                one |= other
                for end in other:
                    group[end] = one
        parts = sorted({id(each): each for each in group.values()}.values(), key=_largest_first)
        tried = {(id(group[way.source]), id(group[way.target])) for way in ways}
        return tuple(sorted(_folded(parts, tried), key=_largest_first))

    @cached_property
    def apart(self) -> frozenset[End]:
        """The nodes outside of the largest group."""
        return frozenset(end for group in self.groups[1:] for end in group)

    def inside(self, kind: Kind) -> tuple[list[Way], list[Way]]:
        """Return the ways of a kind within the largest group, and all ways there."""
        left_out = self.apart | self.dark
        ways = [way for way in self.clear if not {way.source, way.target} & left_out]
        return [way for way in ways if way.kind == kind], ways


@dataclass(frozen=True, slots=True)
class Blame:
    """Who or what the same trouble of some ways has in common."""

    what: Literal["all", "between", "node", "pair"]
    ends: tuple[End, ...]
    """The node, or both ends of a pair; of `between`, an end of each of the two clusters."""
    ways: tuple[Way, ...]
    direction: Literal["to", "from", "both"] = "both"


def blame(failing: Iterable[Way], judged: Iterable[Way]) -> list[Blame]:
    """Return the fewest things that explain all failing ways, so that one broken node is one finding."""
    left, judged = list(failing), list(judged)
    if not left:
        return []
    nodes = {end for way in judged for end in (way.source, way.target)}
    if len(left) == len(judged) and len(nodes) > 2:
        return [Blame("all", (left[0].source, left[0].target), tuple(left))]
    found = list(_between(left, judged))
    explained = {_pair(way) for each in found for way in each.ways}
    left = [way for way in left if _pair(way) not in explained]
    while (node := _worst(left, judged)) is not None:
        end, direction = node
        found.append(Blame("node", (end,), tuple(way for way in left if end in _ends(way, direction)), direction))
        left = [way for way in left if end not in _ends(way, direction)]
    pairs: dict[frozenset[End], list[Way]] = {}
    for way in left:
        pairs.setdefault(frozenset(_pair(way)), []).append(way)
    for ways in pairs.values():
        both = len({way.source for way in ways}) > 1
        found.append(Blame("pair", (ways[0].source, ways[0].target), tuple(ways), "both" if both else "from"))
    return found


def _largest_first(group: Collection[End]) -> tuple[int, list[End]]:
    return -len(group), sorted(group)


def _folded(parts: Iterable[set[End]], tried: Collection[tuple[int, int]]) -> Iterator[frozenset[End]]:
    """Yield the parts, those of one cluster that nobody `tried` to connect (pairs of ids) as one; a lone node stays."""
    folded: list[list[set[End]]] = []
    for part in parts:
        stacks = {end.stack for end in part}
        fit = (
            group
            for group in folded
            if len(part) > 1
            and any(end.stack in stacks for each in group for end in each)
            and not any(
                len(each) == 1 or (id(each), id(part)) in tried or (id(part), id(each)) in tried for each in group
            )
        )
        if (group := next(fit, None)) is None:
            folded.append([part])
        else:
            group.append(part)
    yield from (frozenset().union(*group) for group in folded)


def _between(failing: list[Way], judged: list[Way]) -> Iterable[Blame]:
    """Yield the pairs of clusters between which every way fails, while each has ways of its own that do not."""
    fails, all_ = Counter(map(_stacks, failing)), Counter(map(_stacks, judged))
    broken = set(map(_pair, failing))
    well = {way.source.stack for way in judged if way.source.stack == way.target.stack and _pair(way) not in broken}
    done: set[frozenset[str]] = set()
    for one, other in all_:
        key = frozenset((one, other))
        if one == other or key in done or not {one, other} <= well or fails[one, other] < all_[one, other]:
            continue
        back = all_[other, one] > 0 and fails[other, one] == all_[other, one]
        if fails[other, one] and not back:
            continue
        done.add(key)
        ways = tuple(way for way in failing if _stacks(way) == (one, other) or (back and _stacks(way) == (other, one)))
        # One node against all of another cluster is that node.
        if min(len({way.source for way in ways}), len({way.target for way in ways})) > 1:
            yield Blame("between", (ways[0].source, ways[0].target), ways, "both" if back else "from")


def _pair(way: Way) -> tuple[End, End]:
    return way.source, way.target


def _stacks(way: Way) -> tuple[str, str]:
    return way.source.stack, way.target.stack


def _ends(way: Way, direction: str) -> tuple[End, ...]:
    return {"to": (way.target,), "from": (way.source,)}.get(direction, (way.source, way.target))


def _worst(failing: list[Way], judged: list[Way]) -> tuple[End, Literal["to", "from", "both"]] | None:
    """Return the node that most failing ways have in common, as the end where more than half of its ways fail."""
    best: tuple[int, float, End, Literal["to", "from", "both"]] | None = None
    for direction in ("both", "to", "from"):
        fails = Counter(end for way in failing for end in _ends(way, direction))
        all_ = Counter(end for way in judged for end in _ends(way, direction))
        for end, count in sorted(fails.items()):
            share = count / all_[end]
            if count > 1 and share > 0.5 and (best is None or (count, share) > best[:2]):
                best = (count, share, end, direction)
    return None if best is None else (best[2], best[3])
