"""Peers: which clusters can take virtual machines from which, and if not, the first reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, permutations
from typing import TYPE_CHECKING

from config.finding import Finding, Remark, codes_of
from mignet.checks.peers import endpoint, machines, pair_rules
from mignet.checks.peers.endpoint import Side
from mignet.checks.peers.pair_rules import Pair
from mignet.fleet import survey
from mignet.kube.client import ClusterError
from mignet.kube.snapshot import Judged, Snapshot, judge, look
from mignet.kube.source import opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence, Set

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.fleet.last_checkup import Checkup
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster
    from mignet.kube.snapshot import Read

BETWEEN = (pair_rules.apart, *machines.RULES, *pair_rules.RULES)
"""The rules about two clusters."""
RULES = (*endpoint.RULES, *BETWEEN)
CODES = codes_of(RULES)


@dataclass(frozen=True, slots=True)
class Matrix(Mapping[tuple[str, str], "Finding | None"]):
    """For each source and target the first reason against the way, or None: it is ready. In the order of the sides.

    Of a thousand clusters there are a million ways; only what two sides find between them is kept for each.
    """

    names: tuple[str, ...]
    own: Mapping[str, Finding | None]
    """The first reason against each side itself, whatever is on the other end."""
    doubted: Mapping[str, bool]
    """Whether something could not be judged of each side."""
    between: Mapping[tuple[str, str], Finding | None]

    def __getitem__(self, way: tuple[str, str]) -> Finding | None:
        source, target = way
        if reason := self.own[source] or self.own[target]:
            return reason
        if way in self.between:
            return self.between[way]
        return _unknown(source, target) if self.doubted[source] or self.doubted[target] else None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return permutations(self.names, 2)

    def __len__(self) -> int:
        return len(self.names) * (len(self.names) - 1)

    def ready_from(self, source: str) -> int:
        """Return how many targets a source's path is ready to."""
        if self.own[source]:
            return 0
        return sum(self[source, target] is None for target in self.names if target != source)


@dataclass(frozen=True, slots=True)
class Peers:
    """What was found, and for each source and target either the first reason against it or None: it is ready."""

    stacks: tuple[Stack, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[Remark, ...]
    matrix: Matrix
    not_judged: Mapping[str, int] = field(default_factory=dict)
    """How many rules could not be judged, by stack: what they are about is not ready, and has no error either."""
    checkup: Checkup | None = None
    """What was measured between the nodes: all else is derived from objects."""
    asked: bool = True
    """Whether any cluster was."""
    undecided: Mapping[str, Set[str]] = field(default_factory=dict)
    """Codes that could not be judged about a stack, or between it and another one."""

    @property
    def routed(self) -> Iterator[tuple[Stack, Stack]]:
        """One path between each two sites, in the order of the stacks: the others between them are routed alike."""
        first: dict[str, Stack] = {}
        for stack in self.stacks:
            if stack.segment.site is not None:
                first.setdefault(stack.segment.site, stack)
        yield from combinations(first.values(), 2)

    @property
    def blocks(self) -> bool:
        """Whether there is a reason against one of the ways, more than that nobody could judge it."""
        kept = (*self.matrix.own.values(), *self.matrix.between.values())
        return len(self.matrix) > 0 and any(each is not None and each.code != "peer-not-judged" for each in kept)

    @property
    def ready(self) -> int:
        """How many of the ways from one cluster to another are."""
        return sum(map(self.matrix.ready_from, self.matrix.names))


async def look_at_all(project: Project, stacks: Sequence[Stack], course: Course) -> list[Side]:
    """Look at every stack's cluster; one that does not answer, or not in time, is a side that says why."""

    def unseen(seen: Side) -> str | None:
        return str(seen.outcome) if isinstance(seen.outcome, ClusterError) else None

    ends = await course.through({stack.name: partial(look_at, project, stack) for stack in stacks}, error=unseen)
    sides = []
    for stack in stacks:
        ended = ends[stack.name]
        why = f"context {stack.cluster.context}: {ended.why}"
        sides.append(ended.result or Side(stack, ClusterError("unreachable", why)))
    return sides


async def look_at(project: Project, stack: Stack) -> Side:
    """Look at a stack's cluster; one that does not answer is a side that says why."""
    try:
        async with opened(stack.cluster, base=project.directory) as cluster:
            return await look_through(cluster, stack)
    except ClusterError as error:
        return Side(stack, error.kept())


async def look_through(cluster: Cluster, stack: Stack, more: Iterable[Read] = ()) -> Side:
    """Look at a stack's cluster through an open connection, and at `more` than peers needs.

    One that does not answer is a side that says why.
    """
    try:
        return Side(stack, _lenient(await look(cluster, stack, [*endpoint.reads(stack), *more])))
    except ClusterError as error:
        return Side(stack, error.kept())


def _lenient(seen: Snapshot) -> Snapshot:
    """Take what is not installed for what is not there: most clusters have no toolkit, and some no whereabouts."""
    found = {
        read: () if isinstance(outcome, ClusterError) and outcome.reason == "not-served" else outcome
        for read, outcome in seen.found.items()
    }
    return replace(seen, found=found)


def compare(sides: Sequence[Side], checkup: Checkup | None = None, *, about: Collection[str] | None = None) -> Peers:
    """Hold every side, and every two of them, against the rules, and against what a checkup measured between them.

    Of two sides, one is `about` these, where they are given.
    """
    own = {each.name: _of_side(each) for each in sides}
    findings = [finding for judged in own.values() for finding in judged.findings]
    left_out = [Remark(name, sentence) for name, judged in own.items() for sentence in judged.sentences()]
    asked = any(each.outcome is not None for each in sides)
    if not asked:
        files_only = "seen from the files only: no cluster was asked for its gates, versions, authorities or leases"
        left_out.append(Remark("", files_only))
    not_judged = Counter({name: judged.not_judged for name, judged in own.items()})
    found: dict[tuple[str, str], Finding | None] = {}
    between_them: dict[Remark, None] = {}
    undecided = {name: set(judged.undecided) for name, judged in own.items()}
    measured = checkup is not None and bool(checkup.counts)
    for one, other in combinations(sides, 2) if measured else _worth_a_look(sides):
        if about is not None and one.name not in about and other.name not in about:
            continue
        # What could not be read of a side is said once, of the side where that has rules that need it.
        judged = judge(BETWEEN, Pair(one, other))
        between = judged.findings
        if checkup is not None and checkup.counts:
            between = (*between, *_measured(one.name, other.name, checkup))
        findings += between
        not_judged[one.name] += judged.not_judged
        for side in (one, other) if judged.undecided else ():
            undecided[side.name] |= judged.undecided
        between_them |= dict.fromkeys(_left_out(one, other, judged, own))
        # Of a side that does not answer, that is the reason.
        open_ = judged.not_judged or own[one.name].not_judged or own[other.name].not_judged
        for source, target in ((one.name, other.name), (other.name, one.name)):
            doubt = _unknown(source, target) if open_ else None
            broken = next((each for each in between if each.code == "peer-way-broken"), doubt)
            found[source, target] = next((each for each in between if each.blocks), broken)
    matrix = Matrix(
        tuple(own),
        {name: next((each for each in judged.findings if each.blocks), None) for name, judged in own.items()},
        {name: bool(judged.not_judged) for name, judged in own.items()},
        found,
    )
    stacks = tuple(each.stack for each in sides)
    return Peers(
        stacks,
        tuple(findings),
        (*left_out, *between_them),
        matrix,
        survey.counted(not_judged),
        checkup,
        asked,
        undecided,
    )


def _worth_a_look(sides: Sequence[Side]) -> Iterator[tuple[Side, Side]]:
    """Yield the pairs between which a rule may find something, in their order.

    Of a side that nobody could look at there are its files only: what they say goes wrong where segments differ, or
    ranges of addresses meet. In order, a range meets those before it that have not ended.
    """
    if len({frozenset(side.stack.segment.supernets or side.stack.segment.subnets) for side in sides}) > 1:
        return combinations(sides, 2)
    found = {*combinations([index for index, side in enumerate(sides) if side.seen is not None], 2)}
    ranges = sorted(
        (each.first.version, int(each.first), int(each.last), index)
        for index, side in enumerate(sides)
        for each in side.given
    )
    open_: list[tuple[int, int, int]] = []
    for version, first, last, index in ranges:
        open_ = [each for each in open_ if each[0] == version and each[1] >= first]
        found |= {(min(index, other), max(index, other)) for _, _, other in open_ if other != index}
        open_.append((version, last, index))
    return ((sides[one], sides[other]) for one, other in sorted(found))


def _left_out(one: Side, other: Side, judged: Judged, own: Mapping[str, Judged]) -> Iterator[Remark]:
    """Yield what could not be judged between two sides for what is not said of one of them already."""
    said = {str(error) for side in (one, other) for error in own[side.name].left_out.values()}
    more = {code: error for code, error in judged.left_out.items() if str(error) not in said}
    return (Remark(one.name, sentence) for sentence in Judged((), more).sentences())


def _measured(one: str, other: str, checkup: Checkup) -> Iterator[Finding]:
    """Yield what a checkup found broken between two clusters: an error when all of it was, else a warning."""
    ways = (*checkup.between.get((one, other), ()), *checkup.between.get((other, one), ()))
    broken = [way for way in ways if not way.ok]
    nodes = [f"{stack}/{node}: {code}" for (stack, node), code in checkup.problems.items() if stack in {one, other}]
    if broken:
        said = f"{len(broken)} of {len(ways)} measured paths were broken, such as {broken[0].words}"
    elif nodes:
        said = f"something was wrong with {len(nodes)} nodes, such as {nodes[0]}"
    else:
        return
    yield Finding(
        f"path to and from {other}",
        None,
        f"is not fine: {said} (measured {checkup.when})",
        f"See what mignet checkup {one} {other} says",
        code="peer-way-broken",
        severity="error" if broken and len(broken) == len(ways) else "warning",
        stack=one,
        peer=other,
    )


def _unknown(source: str, target: str) -> Finding:
    what = "is not known to be ready: not every rule could be judged"
    return Finding(
        f"path to {target}", None, what, "", code="peer-not-judged", severity="warning", stack=source, peer=target
    )


def _of_side(one: Side) -> Judged:
    if isinstance(one.outcome, ClusterError):
        return survey.dark(one.stack, one.outcome, codes=codes_of(endpoint.RULES))
    return judge(endpoint.RULES, one)
