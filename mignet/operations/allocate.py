"""The addresses of the fleet as its stack files have them: who holds what, and writing what is allocated."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.attachment.ipam import Dhcp, Static, Whereabouts
from config.files.yaml_edit import NotEditableError, with_key, without_key
from config.finding import ConfigError, Finding
from config.loading import Slices, load_stack, read_segment
from config.planning import address_map, allocation
from config.planning.demand import demand_of
from config.segment import Segment
from config.types.addressing import AddressRange
from config.types.model import parse
from mignet.fleet import stack_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.files.project_files import Project
    from config.files.yaml_edit import Value
    from config.planning.allocation import NoRoom, Wish
    from config.planning.demand import Demand
    from config.slice import Slice
    from config.stack import Stack
    from config.types.addressing import Network


@dataclass(frozen=True, slots=True)
class Holding:
    """What one stack says of addresses; the rest of its file is not looked at."""

    stack: str
    segment: Segment
    slices: tuple[Slice, ...]
    ipam: str = "whereabouts"
    """The type of its IPAM."""

    @property
    def lacks_slice(self) -> bool:
        """Whether it hands out the whole subnet."""
        return not self.slices and self.ipam not in {"dhcp", "static"}

    @property
    def spans(self) -> tuple[AddressRange, ...]:
        """Its slice's ranges, one for each address family; none without a slice."""
        return tuple(slice_.span for slice_ in self.slices)


@dataclass(frozen=True, slots=True)
class Allocated:
    """What a stack has now, one range for each address family, and what it had before (nothing: it had no slice)."""

    stack: str
    demand: Demand
    before: tuple[AddressRange, ...]
    after: tuple[AddressRange, ...]

    def __str__(self) -> str:
        after, size = _text(self.after), f"{self.after[0].size} addresses"
        needs = f"needs {self.demand.total} ({self.demand})"
        if not self.before:
            return f"{self.stack}: slice {after} ({size}) is new; the cluster {needs}"
        if self.before == self.after:
            return f"{self.stack}: slice {after} ({size}) stays; the cluster {needs}"
        return f"{self.stack}: slice {_text(self.before)} has grown to {after} ({size}); it {needs}"


def read(project: Project) -> list[Holding]:
    """Read the segment and the slice of every stack that has a file.

    Raises ConfigError with every mistake in them: what is not known to be free must not be given away.
    """
    findings: list[Finding] = []
    holdings = []
    shared = project.defaults.get("segment")
    segments: dict[tuple[str, str], Segment | tuple[Finding, ...]] = {}
    for name in project.stack_names():
        try:
            values = project.stack_values(name)
        except ConfigError as error:
            findings.extend(error.findings)
            continue
        raw = values.get("segment")
        key = ("" if raw is shared else repr(raw), repr(values.get("site")))
        if key not in segments:
            segments[key] = read_segment(name, values)
        segment = segments[key]
        given = values.get("slice")
        slices = () if given is None else parse(Slices, given, stack=name, key="slice")
        for part in (segment, slices):
            if isinstance(part, tuple):
                findings.extend(part)
        if isinstance(segment, Segment):
            held = slices.root if isinstance(slices, Slices) else ()
            holdings.append(Holding(name, segment, held, _ipam_type(values)))
    if findings:
        raise ConfigError(dict.fromkeys(findings))
    return holdings


def allocate(
    project: Project, names: Sequence[str], *, nodes: int | None = None, headroom: int | None = None
) -> list[Allocated]:
    """Give each named stack a slice of the size that it needs, and write those that are new or have grown.

    `nodes` takes the place of each stack's `cluster.nodes`; `headroom` is in per cent. Call it with the project
    locked. Raises ConfigError, and has written nothing then.
    """
    findings: list[Finding] = []
    stacks: list[tuple[Stack, Demand]] = []
    for name in names:
        try:
            stack = load(project, name)
            stacks.append((stack, _demand(stack, nodes, headroom)))
        except ConfigError as error:
            findings.extend(error.findings)
    if findings:
        raise ConfigError(findings)
    given = place(read(project), {stack.name: (stack, demand.total) for stack, demand in stacks})
    results = [Allocated(stack.name, demand, _held(stack), given[stack.name]) for stack, demand in stacks]
    changed = [result for result in results if result.before != result.after]
    stack_files.write(project, {result.stack: _with_slice(project, result) for result in changed})
    return results


def release(project: Project, names: Iterable[str]) -> None:
    """Take the slice out of the named stacks' files, where there is one. Call it with the project locked.

    Raises ConfigError, and has written nothing then.
    """
    texts = {}
    for name in names:
        project.stack_values(name)
        old = stack_files.read(project, name)
        try:
            new = without_key(old, project.name, "slice")
        except NotEditableError as error:
            raise _not_editable(name, error) from error
        if new != old:
            texts[name] = new
    stack_files.write(project, texts)


def maps(holdings: Iterable[Holding]) -> list[address_map.AddressMap]:
    """Draw each subnet that the stacks are on, in order."""
    by_subnet: defaultdict[Network, list[Holding]] = defaultdict(list)
    for holding in holdings:
        for subnet in holding.segment.subnets:
            by_subnet[subnet].append(holding)
    return [
        address_map.draw(
            subnet,
            gateway=here[0].segment.gateway_of(subnet),
            reserved=[part for part in here[0].segment.reserved if part.first.version == subnet.version],
            slices={each.stack: span for each in here for span in each.spans if span.first.version == subnet.version},
            without_slice=[each.stack for each in here if each.lacks_slice],
        )
        for subnet, here in sorted(by_subnet.items(), key=lambda item: (item[0].version, item[0].network_address))
    ]


def load(project: Project, name: str) -> Stack:
    """Read a stack that is to get a slice: one whose slice is too small is fine. Raises ConfigError."""
    values = project.stack_values(name)
    waivers = values.get("waivers") or {}
    if isinstance(waivers, dict):
        values |= {"waivers": waivers | {"slice-too-small": "it is about to grow"}}
    stack = load_stack(name, values)
    ipam = stack.attachment.ipam
    if isinstance(ipam, Dhcp | Static):
        rule, remedy = "hands out addresses without a slice", "Use ipam type whereabouts, or leave this stack out"
        raise ConfigError([Finding("attachment.ipam.type", ipam.type, rule, remedy, code="slice-unused", stack=name)])
    return stack


def place(holdings: Iterable[Holding], wanted: Mapping[str, tuple[Stack, int]]) -> dict[str, tuple[AddressRange, ...]]:
    """Find ranges of the wanted sizes, one for each address family of each stack's segment. Raises ConfigError."""
    held = list(holdings)
    by_subnet: defaultdict[Network, list[tuple[Stack, int]]] = defaultdict(list)
    for stack, size in wanted.values():
        for subnet in stack.segment.subnets:
            by_subnet[subnet].append((stack, size))
    given: defaultdict[str, tuple[AddressRange, ...]] = defaultdict(tuple)
    findings: list[Finding] = []
    for subnet, here in by_subnet.items():
        segments = [*(stack.segment for stack, _ in here), *(h.segment for h in held if subnet in h.segment.subnets)]
        granted, refused = allocation.allocate(
            subnet,
            kept_free=dict.fromkeys(
                part for segment in segments for part in segment.kept_free if part.first.version == subnet.version
            ),
            slices=[span for holding in held for span in holding.spans if span.first.version == subnet.version],
            wishes=[_wish(stack, size, subnet) for stack, size in here],
        )
        findings.extend(_no_room(each, subnet, wanted[each.wish.stack][0].segment) for each in refused)
        for name, span in granted.items():
            given[name] += (span,)
    if findings:
        raise ConfigError(findings)
    return given


def place_roomy(holdings: Iterable[Holding], stack: Stack, demand: Demand) -> tuple[AddressRange, ...]:
    """Find ranges for a new stack, with room for half as many nodes again and a checkup of them all.

    That takes at most half of what is free in a row, so that others fit, and at least the demand. Raises ConfigError.
    """
    held = list(holdings)
    grown = -(-demand.nodes * 3 // 2)
    roomy = demand_of(stack.cluster, nodes=grown)
    wanted = demand.total if roomy is None else roomy.total + grown
    kept_free = [part for segment in (stack.segment, *(each.segment for each in held)) for part in segment.kept_free]
    for subnet in stack.segment.subnets:
        spans = [span for each in held for span in each.spans if span.first.version == subnet.version]
        taken = [*spans, *(part for part in kept_free if part.first.version == subnet.version)]
        largest = max((part.size for part in AddressRange.usable(subnet).without(taken)), default=0)
        wanted = min(wanted, largest // 2)
    return place(held, {stack.name: (stack, max(wanted, demand.total))})[stack.name]


def _ipam_type(values: Mapping[str, object]) -> str:
    match values.get("attachment"):
        case {"ipam": {"type": str(kind)}}:
            return kind
    return "whereabouts"


def slice_value(spans: Sequence[AddressRange]) -> Value:
    """Return the ranges as a stack file has them under `slice`."""
    values: list[Value] = [{"rangeStart": str(span.first), "rangeEnd": str(span.last)} for span in spans]
    return values[0] if len(values) == 1 else values


def _wish(stack: Stack, size: int, subnet: Network) -> Wish:
    current = next((span for span in _held(stack) if span.first.version == subnet.version), None)
    ipam = stack.attachment.ipam
    excluded = ipam.exclude if isinstance(ipam, Whereabouts) else ()
    avoid = tuple(AddressRange.all_of(block) for block in excluded if block.version == subnet.version)
    return allocation.Wish(stack.name, size, current, avoid)


def _held(stack: Stack) -> tuple[AddressRange, ...]:
    return stack.spans if stack.slices else ()


def _demand(stack: Stack, nodes: int | None, headroom: int | None) -> Demand:
    flags = {"nodes": nodes, "headroom": headroom}
    given = {key: value for key, value in flags.items() if value is not None}
    demand = demand_of(stack.cluster.model_copy(update=given))
    if demand is None:
        rule, remedy = "is required, so that the demand is known", "Write it into the stack file, or give --nodes N"
        raise ConfigError([Finding("cluster.nodes", None, rule, remedy, code="nodes-unknown", stack=stack.name)])
    return demand


def _with_slice(project: Project, result: Allocated) -> str:
    old = stack_files.read(project, result.stack)
    try:
        return with_key(old, project.name, "slice", slice_value(result.after), after="attachment")
    except NotEditableError as error:
        raise _not_editable(result.stack, error) from error


def _not_editable(stack: str, error: NotEditableError) -> ConfigError:
    remedy = "Write it out as slice: {rangeStart: …, rangeEnd: …}"
    return ConfigError([Finding("slice", None, str(error), remedy, code="slice-not-editable", stack=stack)])


def _no_room(refusal: NoRoom, subnet: Network, segment: Segment) -> Finding:
    wish = refusal.wish
    wider = None
    # A site has its neighbours in the supernet: one around it may be theirs, or more than the supernet holds.
    if refusal.smallest is not None and segment.site is None:
        wider = f"Widen segment.subnet to {refusal.smallest}, the smallest that would do"
    if wish.current is None:
        rule = f"has no room for {wish.size} addresses in subnet {subnet}; its largest free part has {refusal.largest}"
        remedy = wider or f"Choose another {segment.key}.subnet: no wider one around this would do"
        if segment.site is not None:
            remedy = f"Widen {segment.key}.subnet where no other site is, or put this cluster in another site"
        return Finding("slice", None, rule, remedy, code="segment-full", stack=wish.stack)
    rule = (
        f"cannot grow by {wish.missing} to {wish.size} addresses in place; {refusal.before} before it and"
        f" {refusal.after} after it are free"
    )
    remedy = f"give up its addresses for new ones: mignet release {wish.stack}, then mignet allocate {wish.stack}"
    remedy = f"{wider}; or {remedy}" if wider else f"G{remedy[1:]}"
    return Finding("slice", str(wish.current), rule, remedy, code="segment-full", stack=wish.stack)


def _text(spans: Iterable[AddressRange]) -> str:
    return ", ".join(str(span) for span in spans)
