"""The drawings of a report as values, free of any format: what stands where, in which tone, and in which words."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from config.finding import few, shown
from mignet.report import checkups
from mignet.report.status import RANK, SIGNS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.planning.address_map import AddressMap, Part
    from config.types.addressing import Address
    from mignet.fleet.last_checkup import Checkup, Way
    from mignet.report import Report
    from mignet.report.address_usage import SubnetBooks, Use
    from mignet.report.reachability import Ways
    from mignet.report.sites import Site
    from mignet.report.status import Tone
    from mignet.report.topology import Lane, Path, Step

AreaKind = Literal["slice", "slice-odd", "free", "reserved", "gateway", "twice"]

WHOLE = 1024
"""Addresses up to which a subnet is always drawn as a whole."""
ALONE = 8
"""Clusters up to which each has a drawing of its own; of more, those of one shape share one."""


@dataclass(frozen=True, slots=True)
class Area:
    """Addresses of one kind, as distances from the strip's first one, both ends inclusive.

    `leased` are runs of addresses that are given out, `needed` is how many the cluster is going to need.
    """

    kind: AreaKind
    first: int
    last: int
    label: str
    words: str
    leased: tuple[tuple[int, int], ...] = ()
    needed: int | None = None
    tone: Tone = "idle"


@dataclass(frozen=True, slots=True)
class Strip:
    """A subnet from its first usable address on; `beyond` are the free addresses behind what is shown."""

    name: str
    title: str
    words: str
    first: Address
    size: int
    areas: tuple[Area, ...]
    beyond: int = 0
    prefix: str = ""
    """What every cluster's name begins with, when the labels are without it."""


@dataclass(frozen=True, slots=True)
class Box:
    """One station: what it is, its name, what more there is to say, and how it stands."""

    kind: str
    text: str
    detail: str
    tone: Tone

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        return f"{self.kind} {self.text}: {self.detail or WORDS[self.tone]}"

    @property
    def sign(self) -> str:
        """The tone's sign."""
        return SIGNS[self.tone]


@dataclass(frozen=True, slots=True)
class Chain:
    """Stations in a row, each leading to the next one; with `why` it breaks."""

    boxes: tuple[Box, ...]
    tone: Tone
    why: str = ""


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains of one cluster, or those that several have alike."""

    name: str
    title: str
    words: str
    tone: Tone
    chains: tuple[Chain, ...]


@dataclass(frozen=True, slots=True)
class GridCell:
    """One cell of a grid: the text in it, and its words."""

    text: str
    words: str
    tone: Tone
    code: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Sources down, targets across."""

    name: str
    title: str
    words: str
    heads: tuple[str, ...]
    cells: tuple[tuple[GridCell, ...], ...]


Drawing = Strip | Chains | Grid


def strip(number: int, books: SubnetBooks) -> Strip:
    """Draw a subnet: every slice, what is leased of it, and what it is going to need."""
    plan = books.plan
    uses = {use.stack: use for use in books.uses}
    first, size, beyond = int(plan.usable.first), plan.usable.size, 0
    last = plan.parts[-1] if plan.parts else None
    if size > WHOLE and last and last.kind == "free" and last.span.size > size // 2 and len(plan.parts) > 1:
        # What nobody has would leave no room for what somebody has.
        occupied = size - last.span.size
        shown_size = min(size, max(-(-occupied // 16) * 16, 64))
        size, beyond = shown_size, size - shown_size
    prefix = _prefix([part.name for part in plan.parts if part.kind == "used"])
    areas = list(_areas(plan, uses, first, size, prefix))
    words = "; ".join(area.words for area in areas if area.kind != "free")
    title = f"Addresses of {plan.subnet}"
    return Strip(f"addresses-{number}", title, words, plan.usable.first, size, tuple(areas), beyond, prefix)


def _prefix(names: Sequence[str]) -> str:
    """Return what all names begin with, up to a mark between words, where there are too many to write them out."""
    if len(names) <= ALONE:
        return ""
    common = os.path.commonprefix(names)  # noqa: RUF071 (they are no paths)
    return common[: max(common.rfind(mark) for mark in "-_.") + 1]


def _areas(plan: AddressMap, uses: dict[str, Use], first: int, size: int, prefix: str) -> Iterator[Area]:
    slices = 0
    for part in plan.parts:
        begin, end = max(int(part.span.first) - first, 0), min(int(part.span.last) - first, size - 1)
        if begin > end:
            continue
        if part.kind != "used":
            yield Area(part.kind, begin, end, part.name, _words(part))
            continue
        use = uses.get(part.stack or "")
        kind: AreaKind = "slice-odd" if slices % 2 else "slice"
        slices += 1
        words = f"{_words(part)}; {use.details}" if use else _words(part)
        leased = tuple(_runs(use.leases or (), first)) if use else ()
        needed = min(use.needed, end - begin + 1) if use and use.needed else None
        tone: Tone = use.tone if use else "idle"
        mark = f"{SIGNS[tone]} " if tone in {"bad", "warn"} else ""
        yield Area(kind, begin, end, mark + part.name.removeprefix(prefix), words, leased, needed, tone)
    for each in plan.overlaps:
        begin, end = max(int(each.span.first) - first, 0), min(int(each.span.last) - first, size - 1)
        if begin <= end:
            words = f"{each.span}: both {each.one.name} and {each.other.name} have it"
            yield Area("twice", begin, end, "twice", words)


def _words(part: Part) -> str:
    return f"{part.name}: {part.span}, {part.span.size:,} address{'es' if part.span.size > 1 else ''}"


def _runs(leases: Sequence[Address], first: int) -> Iterator[tuple[int, int]]:
    start = end = None
    for address in leases:
        at = int(address) - first
        if end is not None and at == end + 1:
            end = at
            continue
        if start is not None and end is not None:
            yield start, end
        start = end = at
    if start is not None and end is not None:
        yield start, end


def chains(paths: Sequence[Path]) -> list[Chains]:
    """Draw the paths, those that break first; of many clusters, those of one shape share a drawing."""
    by_shape: dict[object, list[Path]] = {}
    for number, path in enumerate(paths):
        shape = (path.seen, *(lane.shape for lane in path.lanes))
        by_shape.setdefault(number if len(paths) <= ALONE else shape, []).append(path)
    ordered = sorted(by_shape.values(), key=lambda same: (-RANK[same[0].tone], -len(same)))
    return [_of_cluster(same[0]) if len(same) == 1 else _shared(number, same) for number, same in enumerate(ordered, 1)]


def _of_cluster(path: Path) -> Chains:
    rows = tuple(_chain(_nodes(lane.nodes), lane) for lane in path.lanes)
    return Chains(
        f"path-{path.stack}",
        path.stack,
        "; ".join(filter(None, (row.why for row in rows))) or _tail(path),
        path.tone,
        rows,
    )


def _tail(path: Path) -> str:
    if not path.seen:
        return "as its file declares it; the nodes were not seen"
    nodes = sum(len(lane.nodes) for lane in path.lanes)
    return f"every station of {nodes} node{'' if nodes == 1 else 's'} is healthy, as objects say; {path.measured}"


def _shared(number: int, same: Sequence[Path]) -> Chains:
    first, names = same[0], [path.stack for path in same]
    rows = []
    for index, lane in enumerate(first.lanes):
        count = sum(len(path.lanes[index].nodes) for path in same)
        chain = _chain(f"{count} nodes" if first.seen else lane.nodes[0], lane)
        node, *below, pod = chain.boxes
        # The addresses of one of them, and what was measured there, say nothing of the others.
        node, pod = replace(node, detail=""), replace(pod, detail="") if lane.addresses else pod
        rows.append(Chain((node, *below, pod), chain.tone, f"as on {first.stack}, {chain.why}" if chain.why else ""))
    title = f"{len(same)} clusters alike: {', '.join(names[:4])}{_more(names, 4)}"
    words = "; ".join(row.why for row in rows if row.why)
    words = words or ("every station is healthy, as objects say" if first.seen else _tail(first))
    return Chains(f"path-alike-{number}", title, words, first.tone, tuple(rows))


def _chain(text: str, lane: Lane) -> Chain:
    breaks = lane.breaks_at or next((step for step in lane.steps if step.tone == "warn"), None)
    tone: Tone = "idle" if all(step.tone == "idle" for step in lane.steps) else "good"
    boxes = (Box("node" if len(lane.nodes) == 1 else "nodes", text, lane.measured, tone), *map(_box, lane.steps))
    why = "" if breaks is None else breaks.trouble
    return Chain(boxes, lane.tone, f"{', '.join(lane.nodes[:3])}{_more(lane.nodes, 3)}: {why}" if why else "")


def _box(step: Step) -> Box:
    return Box(step.kind, step.name, step.why if step.tone in {"bad", "warn"} and step.why else step.detail, step.tone)


def _nodes(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} nodes: {names[0]}{_more(names, 1)}"


def _more(names: Sequence[object], most: int) -> str:
    return f" and {len(names) - most} more" if len(names) > most else ""


def grid(found: Ways) -> Grid:
    """Draw the matrix of ways."""
    heads = tuple(f"{group.name} ({len(group.stacks):,})" if found.grouped else group.name for group in found.groups)
    rows = []
    for source, from_ in zip(found.groups, heads, strict=True):
        row = []
        for target, to in zip(found.groups, heads, strict=True):
            cell = found.cells[source.name, target.name]
            text = {"good": "ready", "bad": "no", "idle": "·", "warn": "some"}[cell.tone]
            if cell.of == 1 and cell.tone == "warn":
                text = "?"
            if cell.of > 1:
                text = f"{cell.ready:,} of {cell.of:,}"
            words = f"from {from_} to {to}: " + (
                "itself" if not cell.of else "ready" if cell.tone == "good" else shown(str(cell.reason), limit=240)
            )
            row.append(GridCell(text, words, cell.tone, cell.code))
        rows.append(tuple(row))
    words = f"{found.ready:,} of {found.of:,} paths are ready"
    return Grid("peers", "Which cluster can take virtual machines from which", words, heads, tuple(rows))


def measured(found: Checkup) -> Grid:
    """Draw what a checkup measured: how fast the answer is, or what is wrong."""
    heads, ways = checkups.matrix(found)
    rows = tuple(
        tuple(_measured(found, source, target, ways.get((source, target), ())) for target in heads) for source in heads
    )
    return Grid("checkup", "What the last checkup measured between the nodes", found.words, heads, rows)


def _measured(found: Checkup, source: str, target: str, ways: Sequence[Way]) -> GridCell:
    broken = [way for way in ways if not way.ok]
    if not ways:
        return GridCell("·", f"from {source} to {target}: not measured", "idle")
    if not found.counts:
        return GridCell("?", f"from {source} to {target}: unknown, as it was measured {found.when}", "idle")
    times = [way.rtt for way in ways if way.rtt is not None]
    if not broken:
        text = f"{max(times):.2g} ms" if times else "works"
        return GridCell(text, f"from {source} to {target}: {len(ways)} measured, all healthy; {text}", "good")
    text = f"{len(ways) - len(broken)} of {len(ways)}" if len(ways) > 1 else "no"
    words = f"from {source} to {target}: {broken[0].words}{_more(broken, 1)}"
    return GridCell(text, words, "bad" if len(broken) == len(ways) else "warn", broken[0].reason)


def sites(found: Sequence[Site]) -> Chains:
    """Draw the sites: a row for each, from its clusters over its gateway to what connects it with the others."""
    rows = []
    for site in found:
        via = ", ".join(map(str, site.gateways))
        around = ", ".join(map(str, site.supernets))
        boxes = (
            Box("site", site.name, site.clusters, "idle" if site.tone == "idle" else "good"),
            Box("subnet", ", ".join(map(str, site.subnets)), site.link, "idle" if site.tone == "idle" else "good"),
            Box("gateway", via, f"to {around}", site.tone),
            Box("other sites", few(each.name for each in found if each is not site) or "none", site.between, site.tone),
        )
        why = site.measured if site.tone in {"bad", "warn"} else ""
        rows.append(Chain(boxes, site.tone, f"site {site.name}: {why}" if why else ""))
    tone: Tone = max((row.tone for row in rows), key=lambda each: RANK[each], default="idle")
    words = "; ".join(row.why for row in rows if row.why) or "; ".join(
        f"site {site.name}: {site.clusters} in {', '.join(map(str, site.subnets))}; {site.measured}" for site in found
    )
    return Chains("sites", "Sites, and what connects them", words, tone, tuple(rows))


def of(report: Report) -> list[Drawing]:
    """Draw all of a report."""
    drawn: list[Drawing] = [strip(number, each) for number, each in enumerate(report.books, 1)]
    if report.sites:
        drawn.append(sites(report.sites))
    drawn += chains(report.paths)
    if len(report.stacks) > 1:
        drawn.append(grid(report.ways))
    if report.checkup and report.checkup.ways:
        drawn.append(measured(report.checkup))
    return drawn
