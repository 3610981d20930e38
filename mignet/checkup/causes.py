"""What a run found, each with its likely cause: one finding for one broken thing, however many ways it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, Subject, few, rule
from mignet.checkup.measurements import blame
from mignet.kube.kubevirt.pods import INTERFACE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from mignet.checkup.measurements import Blame, Measured, Way
    from mignet.checkup.result import End


@rule("checkup-not-started")
def not_started(found: Measured) -> Iterator[Finding]:
    """Where a probe does not start, nothing is known of the node; a virt-handler may fare no better there."""
    by_reason: dict[tuple[str, str], list[End]] = {}
    for end, probe in found.probes.items():
        if probe.stuck is not None:
            by_reason.setdefault((end.stack, probe.stuck), []).append(end)
    for (stack, why), ends in by_reason.items():
        yield Finding(
            _nodes(ends),
            None,
            f"started no probe: {why}",
            "Fix what it says; an image from another registry is named by --image, other nodes by --nodes",
            stack=stack,
        )


@rule("checkup-no-attachment")
def no_attachment(found: Measured) -> Iterator[Finding]:
    """Without migration0, virt-handler migrates over the pod network, and says so to nobody."""
    for stack, ends in _by_stack(end for end, probe in found.probes.items() if not probe.attached):
        yield Finding(
            _nodes(ends),
            None,
            f"gave its pod no {INTERFACE}: multus did not attach it",
            "See that multus runs there, and what its log says",
            stack=stack,
        )


@rule("checkup-no-address")
def no_address(found: Measured) -> Iterator[Finding]:
    """Without an address on migration0, virt-handler panics."""
    without = [end for end, probe in found.probes.items() if probe.attached and not probe.stuck and not probe.address]
    for stack, ends in _by_stack(without):
        yield Finding(
            _nodes(ends), None, f"gave its pod {INTERFACE} without an address", "See the attachment's ipam", stack=stack
        )


@rule("checkup-address-outside")
def address_outside(found: Measured) -> Iterator[Finding]:
    """An address outside of the cluster's slice may be given by another cluster, too."""
    for end, probe in found.probes.items():
        stack = found.stacks[end.stack]
        if probe.address is not None and not any(probe.address in span for span in stack.spans):
            yield Finding(
                _nodes([end]),
                str(probe.address),
                f"was given to its probe, and is outside of this cluster's slice {' and '.join(map(str, stack.spans))}",
                f"See what mignet drift {end.stack} says of the attachment",
                stack=end.stack,
            )


@rule("checkup-no-result")
def no_result(found: Measured) -> Iterator[Finding]:
    """A probe that ends without a word was killed, or could not listen: nothing is known of the ways from its node."""
    lost: dict[tuple[str, str], list[End]] = {}
    for end, probe in found.probes.items():
        if probe.address is None or probe.stuck or found.broken_off:
            continue
        if probe.report is None:
            lost.setdefault((end.stack, probe.lost or "it said nothing in its time"), []).append(end)
        elif probe.report.trouble and end not in found.duplicates:
            lost.setdefault((end.stack, probe.report.trouble), []).append(end)
    for (stack, why), ends in lost.items():
        yield Finding(
            _nodes(ends),
            None,
            f"measured nothing: {why}",
            "Run it again; with a longer --timeout on a busy cluster",
            stack=stack,
        )


@rule("checkup-address-duplicate")
def address_duplicate(found: Measured) -> Iterator[Finding]:
    """Of two machines with one address, now this and now that one gets the packets: migrations break, or go astray."""
    told = set()
    for end, holders in found.duplicates.items():
        probe = found.probes[end]
        # Of two probes with one address, both say so.
        if (probe.turn, probe.address) in told:
            continue
        told.add((probe.turn, probe.address))
        others = [
            each.end for each in found.probes.values() if each.address == probe.address and each.turn == probe.turn
        ]
        yield Finding(
            _nodes([end]),
            str(probe.address),
            f"is the address of {' and of '.join(holders)}",
            "Find that machine and give it another address; of two clusters, give each a slice of its own",
            stack=end.stack,
            peer=next((each.stack for each in others if each.stack != end.stack), None),
        )


@rule("checkup-link-down")
def link_down(found: Measured) -> Iterator[Finding]:
    """A NIC without a carrier reaches nobody."""
    for stack, ends in _by_stack(found.dark):
        yield Finding(
            _nodes(ends),
            None,
            f"{'reaches' if len(ends) == 1 else 'reach'} nobody, and the link is down: the cable, the switch's port, or"
            " the NIC",
            "See the cable and the port; on the node: ip link",
            stack=stack,
        )


@rule("checkup-node-alone")
def node_alone(found: Measured) -> Iterator[Finding]:
    """A node whose link is up, and that nobody reaches, is on another network than all others."""
    if not _is_parted(found):
        return
    for stack, ends in _by_stack(end for group in found.groups[1:] if len(group) == 1 for end in group):
        yield Finding(
            _nodes(ends),
            None,
            f"{'reaches' if len(ends) == 1 else 'reach'} nobody, though the link is up: most likely another VLAN on the"
            " switch's port or on the uplink, or (behind a bridge) the cable",
            "Compare the port's VLAN, and the uplink of that node, with one that works",
            stack=stack,
        )


@rule("checkup-group-apart")
def group_apart(found: Measured) -> Iterator[Finding]:
    """Nodes that reach each other and nobody else are on a network of their own."""
    if not _is_parted(found):
        return
    for group in found.groups[1:]:
        if len(group) < 2:
            continue
        ends = sorted(group)
        stacks = sorted({end.stack for end in ends})
        whole = all(end in group for end in found.probes if end.stack in stacks)
        others = sorted({end.stack for end in found.groups[0]} - set(stacks))
        yield Finding(
            f"All nodes of {' and '.join(stacks)}" if whole else _nodes(ends, with_stack=len(stacks) > 1),
            None,
            f"reach only each other, and none of {len(found.groups[0])} others"
            f"{' (' + ', '.join(others) + ')' if others else ''}: {_apart(found, stacks, others)}",
            _NO_ROUTE
            if _sites(found, stacks).isdisjoint(_sites(found, others or stacks))
            else "Compare the VLANs of the switches' ports, and of the trunk between them",
            stack=stacks[0],
            peer=others[0] if others else stacks[1] if len(stacks) > 1 else None,
        )


_NO_ROUTE = "See whether each pod reaches its own gateway, and whether the gateways have routes to each other's subnets"


def _sites(found: Measured, stacks: Iterable[str]) -> set[str | None]:
    return {found.stacks[name].segment.site for name in stacks}


def _apart(found: Measured, stacks: Collection[str], others: Collection[str]) -> str:
    """Say what is likely between nodes that reach only each other and the others."""
    if not others or not _sites(found, stacks).isdisjoint(_sites(found, others)):
        return "another VLAN, or no path between two switches"
    return f"no route between site {few(_named_sites(found, stacks))} and site {few(_named_sites(found, others))}"


def _named_sites(found: Measured, stacks: Iterable[str]) -> list[str]:
    return sorted(map(str, _sites(found, stacks)))


def _is_routed(found: Measured, each: Blame) -> bool:
    """Tell whether all its paths lead from one site to another."""
    stacks = found.stacks
    return all(stacks[w.source.stack].segment.site != stacks[w.target.stack].segment.site for w in each.ways)


@rule("checkup-nobody")
def nobody(found: Measured) -> Iterator[Finding]:
    """When no node reaches another, what they share is wrong: the VLAN, the switch, or the port security."""
    if found.groups and len(found.groups[0]) == 1 and len(found.groups) > 1:
        ends = sorted(end for group in found.groups for end in group)
        stacks = sorted({end.stack for end in ends})
        yield Finding(
            _nodes(ends, with_stack=len(stacks) > 1),
            None,
            "do not reach each other at all, though their links are up: the VLAN is not on the switch, or the switch"
            " (or hypervisor) drops frames of MAC addresses that it does not know",
            "See that the VLAN is on all ports, and that MAC changes and promiscuous mode are allowed there",
            stack=stacks[0],
            peer=stacks[1] if len(stacks) > 1 else None,
        )


@rule("checkup-way-silent")
def way_silent(found: Measured) -> Iterator[Finding]:
    """Two nodes that do not reach each other, while others reach both, cannot migrate to each other."""
    for each in _told(*found.inside("silent")):
        routed = _is_routed(found, each)
        yield _finding(
            "checkup-way-silent",
            each,
            "gets no answer",
            "no route between the two sites, or a filter on a router"
            if routed
            else "no path between two switches, a filter, or an address that somebody else has",
            _NO_ROUTE if routed else "Follow the path between the two on the switches",
        )


@rule("checkup-ports-blocked")
def ports_blocked(found: Measured) -> Iterator[Finding]:
    """Migrations use the sync controllers' port and any of the high ports, on every node, in both directions."""
    for each in _told(*found.inside("ports")):
        ports = sorted({port for way in each.ways for port in way.entry.blocked})
        every = all(len(way.entry.blocked) == way.ports for way in each.ways)
        which = "any TCP port" if every else f"TCP port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"
        yield _finding(
            "checkup-ports-blocked",
            each,
            f"gets no connection to {which}",
            "the path itself is there: a firewall on a node or between the clusters",
            "Let the sync controllers' port (9185 unless the KubeVirt CR names another) and all from 1024 up through,"
            " between all addresses of the segment",
        )


@rule("checkup-path-mtu")
def path_mtu(found: Measured) -> Iterator[Finding]:
    """Larger packets than the way carries are dropped without a word: a migration begins, and then hangs."""
    failing, judged = found.inside("mtu")
    for sites, ways in _whole_between_sites(found, failing, judged):
        yield _between_sites(sites, ways)
        told = set(map(id, ways))
        failing = [way for way in failing if id(way) not in told]
    for each in _told(failing, judged):
        sizes = sorted({way.entry.path_mtu or way.declared or 0 for way in each.ways})
        declared = max(way.declared or 0 for way in each.ways)
        own = next((probe.report.mtu for end in each.ends if (probe := found.probes[end]).report), None)
        where = f"its {INTERFACE} has MTU {own}" if own and own < declared else "a NIC, a bond or a switch on the way"
        size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        yield _finding(
            "checkup-path-mtu",
            each,
            f"carries {size} bytes in one piece, not {declared}",
            where,
            "Raise the MTU there, or lower segment.mtu for all clusters",
        )


def _whole_between_sites(
    found: Measured, failing: Collection[Way], judged: Iterable[Way]
) -> Iterator[tuple[tuple[str, str], list[Way]]]:
    """Yield the pairs of sites between which every path fails, in one direction at least, with those paths."""
    by_sites: dict[tuple[str, str], list[Way]] = {}
    for way in judged:
        source, target = (found.stacks[end.stack].segment.site for end in (way.source, way.target))
        if source is not None and target is not None and source != target:
            by_sites.setdefault((source, target), []).append(way)
    told = {id(way) for way in failing}
    whole = {sites: ways for sites, ways in by_sites.items() if all(id(way) in told for way in ways)}
    for (source, target), ways in whole.items():
        back = whole.get((target, source))
        if back is None or source < target:
            yield (source, target), [*ways, *(back or ())]


def _between_sites(sites: tuple[str, str], ways: Sequence[Way]) -> Finding:
    """Between sites larger packets may be lost, and TCP gets along as long as the routers may say so."""
    sizes = sorted({way.entry.path_mtu or way.declared or 0 for way in ways})
    declared = max(way.declared or 0 for way in ways)
    size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    carries = f"carries {size} bytes in one piece" + (f", not {declared}" if sizes[0] < declared else "")
    first = ways[0]
    arrow = "↔" if any(way.source.stack == first.target.stack for way in ways) else "→"
    hole = any(way.entry.hangs for way in ways)
    return Finding(
        f"Every path site {sites[0]} {arrow} site {sites[1]}",
        None,
        f"{carries}, and what is larger is lost without a word (first: {first.source} → {first.target}): a black hole,"
        " as a link between the sites has a smaller MTU, and the router's word of it (ICMP) is dropped"
        if hole
        else f"{carries}; TCP gets along, as routers say what is too large (first: {first.source} → {first.target})",
        f"Let ICMP through (mignet export firewall), or write mtu: {sizes[0]} for each site"
        if hole
        else f"Raise the MTU between the sites, or write segment.mtu: {sizes[0]}",
        severity="error" if hole else "warning",
        stack=first.source.stack,
        peer=first.target.stack,
    )


RULES = (
    not_started,
    no_attachment,
    no_address,
    address_outside,
    no_result,
    address_duplicate,
    link_down,
    node_alone,
    group_apart,
    nobody,
    way_silent,
    ports_blocked,
    path_mtu,
)


def problems(found: Measured) -> dict[End, str]:
    """Return the nodes that findings about several nodes are about, each with the code: a sentence names a few only."""
    problem: dict[End, str] = {}
    for end, probe in found.probes.items():
        if probe.stuck is not None:
            problem[end] = "checkup-not-started"
        elif not probe.attached:
            problem[end] = "checkup-no-attachment"
        elif not probe.address:
            problem[end] = "checkup-no-address"
        elif not found.broken_off and (probe.report is None or probe.report.trouble) and end not in found.duplicates:
            problem[end] = "checkup-no-result"
    problem |= dict.fromkeys(found.dark, "checkup-link-down")
    if _is_parted(found):
        for group in found.groups[1:]:
            problem |= dict.fromkeys(group, "checkup-node-alone" if len(group) == 1 else "checkup-group-apart")
    elif len(found.groups) > 1:
        problem |= dict.fromkeys((end for group in found.groups for end in group), "checkup-nobody")
    return problem


SHOWN = 5
"""Nodes that a sentence names at most, and pairs that have a finding of their own."""


def _is_parted(found: Measured) -> bool:
    return len(found.groups) > 1 and len(found.groups[0]) > 1


def _told(failing: list[Way], judged: list[Way]) -> Iterator[Blame]:
    """Yield whom to blame; of many single pairs the first ones."""
    pairs = 0
    for each in blame(failing, judged):
        pairs += each.what == "pair"
        if pairs <= SHOWN:
            yield each


def _finding(code: str, each: Blame, what: str, cause: str, remedy: str) -> Finding:
    one, other = each.ends[0], each.ends[-1]
    first = each.ways[0]
    arrow = "↔" if each.direction == "both" else "→"
    match each.what:
        case "all":
            key = "Every path between the nodes"
        case "between":
            key = f"Every path {one.stack} {arrow} {other.stack}"
        case "pair":
            both = (one.node, other.node) if one.stack == other.stack else ()
            key = Subject(f"{_named(one, other)} {arrow} {_named(other, one)}", nodes=both)
        case _:
            words = {"to": "Every path to node", "from": "Every path from node", "both": "Every path from and to node"}
            key = Subject(f"{words[each.direction]} {one.node}", nodes=(one.node,))
    pair = "" if each.what == "pair" else f" (first: {first.source} → {first.target})"
    stack = one.stack
    peers = [end.stack for way in each.ways for end in (way.source, way.target) if end.stack != stack]
    peer = peers[0] if each.what in {"between", "pair"} and peers else None
    return Finding(key, None, f"{what}{pair}: {cause}", remedy, code=code, stack=stack, peer=peer)


def _named(end: End, other: End) -> str:
    return end.node if end.stack == other.stack else str(end)


def _by_stack(ends: Iterable[End]) -> Iterator[tuple[str, list[End]]]:
    found: dict[str, list[End]] = {}
    for end in sorted(ends):
        found.setdefault(end.stack, []).append(end)
    yield from found.items()


def _nodes(ends: Collection[End], *, with_stack: bool = False) -> Subject:
    names = [str(end) if with_stack else end.node for end in ends]
    words = f"Node{'s' if len(names) > 1 else ''} {few(names)}"
    # Of several stacks, a node's name alone may be that of another one.
    return Subject(words, kind="Node", nodes=() if with_stack else [end.node for end in ends])
