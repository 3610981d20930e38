"""What must hold between the stacks of a project.

A rule is one small function that looks at the fleet; adding one touches this file, its test and its example in
tools/docs/rules-examples.yaml. No rule takes longer than sorting the stacks does.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from config.attachment.ipam import Dhcp, HostLocal, Static
from config.finding import Finding, Rule, rule, shown
from config.fleet import collisions, takes_whole_subnet
from config.hyperconverged import LiveMigration
from config.segment import at_site
from config.sites import RoutedSegment

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from config.finding import Severity
    from config.fleet import Fleet
    from config.stack import Stack
    from config.types.addressing import Network


@rule("segment-overridden", severity="warning")
def _segment_stands_once(fleet: Fleet) -> Iterator[Finding]:
    """The segment stands once, in Pulumi.yaml: Pulumi replaces it as a whole, so a copy misses every later change."""
    for stack in fleet.stacks:
        if fleet.shared is None or stack.name not in fleet.overriding:
            continue
        shared = fleet.shared
        if isinstance(shared, RoutedSegment):
            same = stack.segment == shared.by_name.get(stack.segment.site or "")
            whole = _subnets(shared.supernets)
        else:
            same, whole = stack.segment == shared, _subnets(shared.subnets)
        effect = (
            "repeats the segment of Pulumi.yaml, and misses every later change of it"
            if same
            else f"takes the place of the whole segment of Pulumi.yaml ({whole})"
        )
        remedy = "" if same else ", unless this cluster has a migration network of its own"
        yield Finding(
            "segment",
            _subnets(stack.segment.subnets),
            effect,
            f"Remove it from the stack file{remedy}",
            stack=stack.name,
        )


@rule("segment-apart", severity="warning")
def _one_segment(fleet: Fleet) -> Iterator[Finding]:
    """The clusters of a project share a segment: between those that do not, no migration runs."""
    if fleet.shared is not None or len(fleet.segments) < 2:
        return  # a stack file that leaves the shared segment is the matter of segment-overridden
    most = max(fleet.segments, key=len)
    for stacks in fleet.segments:
        for stack in stacks if stacks is not most else ():
            yield Finding(
                "segment.subnet",
                _subnets(stack.segment.subnets),
                f"is another segment than {_subnets(most[0].segment.subnets)} of {_named(most[0], len(most))}; no"
                " migration runs between the two",
                "Write the segment once, into Pulumi.yaml, unless this cluster has a migration network of its own",
                stack=stack.name,
                peer=most[0].name,
            )


@rule("segment-subnet")
def _one_subnet(fleet: Fleet) -> Iterator[Finding]:
    """All clusters of a segment have one subnet: with another mask, a part of the clusters is taken for far away."""
    yield from _differing(
        fleet,
        code="segment-subnet",
        key="segment.subnet",
        of=lambda stack: frozenset(stack.segment.subnets),
        text=lambda stack: _subnets(stack.segment.subnets),
        effect=_apart,
    )


def _apart(stack: Stack, other: Stack) -> str:
    """Say what two segments of which not every subnet is the same mean to each other."""
    mine, theirs = set(stack.segment.subnets), set(other.segment.subnets)
    families = {subnet.version for subnet in mine ^ theirs}
    both = sorted({subnet.version for subnet in mine & theirs})
    if any(one != two and one.overlaps(two) for one in mine for two in theirs if one.version == two.version):
        return "they overlap, and each side takes addresses of the other for far away"
    if both == [4]:
        return "migrations between the two use IPv4, and nobody reaches the IPv6 addresses that one of them has alone"
    if both == [6] and families == {4}:
        return "migrations use IPv4 where there is any, and the other cluster has none"
    return "migrations between the two have no subnet in common for one of the families"


@rule("segment-vlan")
def _one_vlan(fleet: Fleet) -> Iterator[Finding]:
    """All clusters of a segment are on one VLAN, else frames of one do not reach the other."""
    yield from _differing(
        fleet,
        code="segment-vlan",
        key="segment.vlan",
        of=lambda stack: stack.segment.vlan,
        effect="no frame of one cluster reaches the other",
    )


@rule("segment-mtu")
def _one_mtu(fleet: Fleet) -> Iterator[Finding]:
    """All clusters of a segment have one MTU: nothing on L2 tells a sender that its frames are too large."""
    yield from _differing(
        fleet,
        code="segment-mtu",
        key="segment.mtu",
        of=lambda stack: stack.segment.mtu,
        effect="larger frames are dropped silently on the way",
    )


@rule("attachment-mtu")
def _one_attachment_mtu(fleet: Fleet) -> Iterator[Finding]:
    """The pods of all clusters have one MTU; TCP gets along with a smaller one, only slower."""
    yield from _differing(
        fleet,
        code="attachment-mtu",
        key="attachment.mtu",
        # What differs in the segment already is the matter of segment-mtu.
        of=lambda stack: stack.attachment.mtu if stack.attachment.mtu != stack.segment.mtu else None,
        effect="migrations between the two go at the pace of the smaller one",
        severity="warning",
    )


@rule("segment-gateway")
def _one_gateway(fleet: Fleet) -> Iterator[Finding]:
    """All clusters of a segment keep the same gateway free: whereabouts gives it away where it is not known."""
    yield from _differing(
        fleet,
        code="segment-gateway",
        key="segment.gateway",
        of=lambda stack: None if stack.segment.gateway is None else str(stack.segment.gateway),
        effect="where it is not known, whereabouts gives the router's address to a pod",
    )


@rule("segment-reserved")
def _one_reservation(fleet: Fleet) -> Iterator[Finding]:
    """All clusters of a segment keep the same addresses free: what one reserves, another would hand out."""
    yield from _differing(
        fleet,
        code="segment-reserved",
        key="segment.reserved",
        of=lambda stack: frozenset(stack.segment.reserved),
        text=lambda stack: ", ".join(map(str, stack.segment.reserved)) or None,
        effect="what one cluster keeps free, the other hands out",
    )


@rule("slice-missing")
def _slice_where_shared(fleet: Fleet) -> Iterator[Finding]:
    """Where two clusters hand out addresses of one segment, each has a slice: whereabouts knows of one cluster only."""
    for stacks in fleet.links:
        handing_out = [stack for stack in stacks if not isinstance(stack.attachment.ipam, Dhcp | Static)]
        for stack in handing_out:
            if len(handing_out) > 1 and takes_whole_subnet(stack):
                other = handing_out[0] if handing_out[0] is not stack else handing_out[1]
                yield Finding(
                    "slice",
                    None,
                    f"is required, as {_and_others(other, len(handing_out) - 1)} on the same segment"
                    f" ({_subnets(stack.segment.subnets)}); whereabouts does not coordinate clusters, and both would"
                    " give the same addresses to pods",
                    f"Run mignet allocate {stack.name}",
                    stack=stack.name,
                    peer=other.name,
                )


@rule("slice-overlap")
def _slices_apart(fleet: Fleet) -> Iterator[Finding]:
    """No address is handed out by two clusters: two VMs' hosts would answer for it while the migration looks fine."""
    stacks = [stack for stack in fleet.stacks if not takes_whole_subnet(stack)]
    for collision in collisions(stacks, accepted=lambda stack: "slice-overlap" in stack.waivers):
        other, stack = collision.one, collision.other
        if stack.name < other.name:
            other, stack = stack, other
        twice = bool(stack.slices) and stack.slices == other.slices
        yield Finding(
            "slice" if stack.slices else "attachment.ipam",
            ", ".join(map(str, stack.spans)),
            f"is the slice of {other.name} too; both clusters give the same addresses to pods"
            if twice
            else f"shares {collision.common} with {other.name} ({', '.join(map(str, other.spans))}); both clusters give"
            " these addresses to pods",
            f"Run mignet release {stack.name} and mignet allocate {stack.name}, or move one of the two by hand",
            stack=stack.name,
            peer=other.name,
        )


@rule("ipam-not-cluster-wide")
def _ipam_knows_the_cluster(fleet: Fleet) -> Iterator[Finding]:
    """On a shared segment every cluster's IPAM knows all of its nodes, else a slice is handed out once a node."""
    for stacks in fleet.links:
        for stack in stacks:
            ipam = stack.attachment.ipam
            if len(stacks) > 1 and isinstance(ipam, Static | HostLocal):
                other = stacks[0] if stacks[0] is not stack else stacks[1]
                yield Finding(
                    "attachment.ipam.type",
                    ipam.type,
                    f"gives the same addresses on every node, and {_and_others(other, len(stacks) - 1)} on the same"
                    " segment",
                    "Use whereabouts with a slice",
                    stack=stack.name,
                    peer=other.name,
                )


@rule("ipam-mixed", severity="warning")
def _one_kind_of_ipam(fleet: Fleet) -> Iterator[Finding]:
    """DHCP and slices on one segment need a DHCP server that spares the slices; nothing here can see its pool."""
    for stacks in fleet.links:
        dhcp = [stack for stack in stacks if isinstance(stack.attachment.ipam, Dhcp)]
        rest = [stack for stack in stacks if not isinstance(stack.attachment.ipam, Dhcp)]
        for stack in dhcp if rest else ():
            yield Finding(
                "attachment.ipam.type",
                "dhcp",
                f"is used on one segment with {rest[0].attachment.ipam.type} of {_named(rest[0], len(rest))}; a DHCP"
                " server gives out addresses of slices unless its pool spares them",
                "Keep the slices out of the server's pool, or use one kind of IPAM for all clusters",
                stack=stack.name,
                peer=rest[0].name,
            )


@rule("cluster-twice")
def _one_stack_a_cluster(fleet: Fleet) -> Iterator[Finding]:
    """One cluster has one stack: it has one HyperConverged, and the later apply would win."""
    first: dict[tuple[str | None, str], Stack] = {}
    by_uid: dict[str, Stack] = {}
    for stack in sorted(fleet.stacks, key=lambda stack: stack.name):
        path = stack.cluster.kubeconfig
        other = first.setdefault((path and posixpath.normpath(path), stack.cluster.context), stack)
        twin = stack.cluster.uid and by_uid.setdefault(stack.cluster.uid, stack)
        if twin and other is stack is not twin:
            yield Finding(
                "cluster.uid",
                stack.cluster.uid,
                f"is the cluster of {twin.name} too; the two would overwrite each other",
                "Correct the one that was copied, or remove one of the stacks",
                stack=stack.name,
                peer=twin.name,
            )
        if other is not stack:
            yield Finding(
                "cluster.context",
                stack.cluster.context,
                f"with kubeconfig {path or '$KUBECONFIG'} is the cluster of {other.name} too; the two would overwrite"
                " each other",
                "Name another context, or remove one of the stacks",
                stack=stack.name,
                peer=other.name,
            )


@rule("peer-overlap", severity="warning")
def _apart_from_networks_of_others(fleet: Fleet) -> Iterator[Finding]:
    """A segment overlaps no network of another cluster: that cluster would send its answers there."""
    segments: dict[Network, Stack] = {}
    for stack in fleet.stacks:
        for subnet in stack.segment.subnets:
            segments.setdefault(subnet, stack)
    index = _Subnets(segments)
    for stack in fleet.stacks:
        for name, networks in stack.other_networks.items():
            for network in networks:
                # Its own segment, other sites of it among them, is the matter of the stack's own rule, subnet-overlap.
                found = next((net for net in index.overlapping(network) if not _is_own(stack, net)), None)
                if found is not None:
                    yield Finding(
                        f"otherNetworks.{name}",
                        str(network),
                        f"overlaps the segment of {segments[found].name} ({found}); answers to that cluster go there",
                        "Choose another subnet for one of them, unless the two clusters never migrate to each other",
                        stack=stack.name,
                        peer=segments[found].name,
                    )


def _is_own(stack: Stack, subnet: Network) -> bool:
    return subnet in stack.segment.subnets or any(
        each.version == subnet.version and subnet.subnet_of(each)  # type: ignore[arg-type]
        for each in stack.segment.supernets
    )


@rule("limits-differ")
def _limits_are_equal(fleet: Fleet) -> Iterator[Finding]:
    """Limits are per cluster and never coordinated: a migration between two runs under both."""
    if len({stack.hyper_converged.live_migration for stack in fleet.stacks}) < 2:
        return
    for name, info in LiveMigration.model_fields.items():
        yield from _differing(
            fleet,
            code="limits-differ",
            key=f"hyperConverged.liveMigration.{info.alias or name}",
            of=lambda stack, name=name: getattr(stack.hyper_converged.live_migration, name),  # type: ignore[misc]
            effect="each cluster goes by its own limit, so that a migration between the two runs under both",
            severity="warning",
            across_sites=True,
        )


@rule("api-version-differs")
def _one_api(fleet: Fleet) -> Iterator[Finding]:
    """One API version of the HyperConverged for all clusters keeps them alike; v1beta1 is served everywhere."""
    yield from _differing(
        fleet,
        code="api-version-differs",
        key="hyperConverged.apiVersion",
        of=lambda stack: stack.hyper_converged.api_version,
        effect="the same settings stand at another path there",
        remedy="Use v1beta1 everywhere until all clusters serve v1",
        severity="info",
        across_sites=True,
    )


RULES: tuple[Rule[Fleet], ...] = (
    _segment_stands_once,
    _one_segment,
    _one_subnet,
    _one_vlan,
    _one_mtu,
    _one_attachment_mtu,
    _one_gateway,
    _one_reservation,
    _slice_where_shared,
    _slices_apart,
    _ipam_knows_the_cluster,
    _one_kind_of_ipam,
    _one_stack_a_cluster,
    _apart_from_networks_of_others,
    _limits_are_equal,
    _one_api,
)

CODES = frozenset(code for each in RULES for code in each.codes)
"""Every code that these rules find."""


def check_fleet(fleet: Fleet) -> Iterator[Finding]:
    """Yield what breaks a rule between stacks; waived when one of the stacks that it names says so."""
    for each in RULES:
        for finding in each(fleet):
            names = (finding.stack,) if finding.peer is None else (finding.stack, finding.peer)
            reasons = (fleet.by_name[name].waivers.get(finding.code) for name in names)
            placed = at_site(finding, fleet.by_name[finding.stack].segment)
            yield replace(placed, waived=next((reason for reason in reasons if reason is not None), None))


class _Subnets:
    """Subnets, to find those that overlap another one in logarithmic time."""

    def __init__(self, subnets: Iterable[Network]) -> None:
        self._known = frozenset(subnets)
        self._ordered = sorted(self._known, key=_start)
        self._starts = [_start(net) for net in self._ordered]
        self._lengths = {(net.version, net.prefixlen) for net in self._known}
        self._found: dict[Network, tuple[Network, ...]] = {}

    def overlapping(self, network: Network) -> tuple[Network, ...]:
        """Return the subnets that overlap `network`: two CIDR blocks do when one contains the other."""
        if network not in self._found:
            self._found[network] = tuple(self._find(network))
        return self._found[network]

    def _find(self, network: Network) -> Iterator[Network]:
        for version, length in self._lengths:
            if version == network.version and length < network.prefixlen:
                around = network.supernet(new_prefix=length)
                if around in self._known:
                    yield around
        end = (network.version, int(network.broadcast_address))
        for index in range(bisect_left(self._starts, _start(network)), len(self._starts)):
            if self._starts[index] > end:
                break
            # A wider one that starts here was found above.
            if self._ordered[index].prefixlen >= network.prefixlen:
                yield self._ordered[index]


def _start(network: Network) -> tuple[int, int]:
    return network.version, int(network.network_address)


def _differing(
    fleet: Fleet,
    *,
    code: str,
    key: str,
    of: Callable[[Stack], Hashable],
    effect: str | Callable[[Stack, Stack], str],
    text: Callable[[Stack], object] | None = None,
    remedy: str = "Make them equal",
    severity: Severity = "error",
    across_sites: bool = False,
) -> Iterator[Finding]:
    """Yield a finding for each stack whose value is not what most stacks of its segment have, or of its site."""
    for stacks in fleet.segments if across_sites else fleet.links:
        values = [of(stack) for stack in stacks]
        counts = Counter(values)
        if len(counts) == 1:
            continue
        # On a tie the first stack counts: most_common keeps the order.
        usual = counts.most_common(1)[0][0]
        reference = stacks[values.index(usual)]
        for stack, value in zip(stacks, values, strict=True):
            if value != usual:
                so = effect if isinstance(effect, str) else effect(stack, reference)
                has, most = (value, usual) if text is None else (text(stack), text(reference))
                yield Finding(
                    key,
                    has,
                    f"{_unlike(has, most, reference.name)}; {so}",
                    remedy,
                    code=code,
                    severity=severity,
                    stack=stack.name,
                    peer=reference.name,
                )


def _unlike(value: object, usual: object, name: str) -> str:
    if value is None:
        return f"is not set, and {name} has {shown(usual)}"
    return f"is not set for {name}" if usual is None else f"is not {shown(usual)} as in {name}"


def _subnets(networks: Iterable[Network]) -> str:
    return ", ".join(map(str, networks))


def _named(first: Stack, count: int) -> str:
    return first.name if count == 1 else f"{first.name} and {count - 1} more"


def _and_others(first: Stack, count: int) -> str:
    return f"{_named(first, count)} {'is' if count == 1 else 'are'}"
