"""What is accepted works, and what collides is refused: fleets of any shape, judged by what whereabouts would give.

The oracle reads the rendered JSON and knows nothing of the models that wrote it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.address_share import Part
from config.finding import ConfigError
from config.fleet import Fleet as StackFleet
from config.loading import load_stack
from config.rules.fleet_rules import check_fleet
from config.stack import Stack
from mignet.lab.whereabouts import first_pods

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

BASES = {4: ipaddress.ip_address("10.200.16.0"), 6: ipaddress.ip_address("fd00:200::")}
REACH = 240
"""Offsets from the start of a subnet that slices lie in, so that everything can be counted one by one."""
ENDLESS = 300
"""More than any stack with slices gives; of a whole IPv6 subnet no more is looked at."""


@dataclass
class Fleet:
    """The config values of each stack, and what nobody may be given."""

    stacks: list[dict[str, Any]]
    kept_free: set[Any]


def offsets(least: int = 0, most: int = REACH) -> st.SearchStrategy[int]:
    return st.integers(least, most)


@st.composite
def disjoint_slices(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    """Slices side by side, with gaps, as a careful hand writes them."""
    cuts = sorted(draw(st.lists(offsets(1), min_size=2 * count, max_size=2 * count, unique=True)))
    return draw(st.permutations(list(zip(cuts[::2], cuts[1::2], strict=True))))


@st.composite
def any_slices(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    """Slices as they come: with common parts, and the ends the wrong way round."""
    return [(draw(offsets()), draw(offsets())) for _ in range(count)]


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    count = draw(st.integers(1, 4))
    versions = draw(st.sampled_from([(4,), (6,), (4, 6), (6, 4)]))
    lengths = {version: draw(st.integers(21, 26) if version == 4 else st.integers(44, 122)) for version in versions}
    subnets = {version: ipaddress.ip_network(f"{BASES[version]}/{lengths[version]}") for version in versions}
    # Slices at the start of a subnet, or around the border behind which whereabouts loses count.
    far = lengths.get(6, 65) < 65 and draw(st.booleans())

    def at(version: int, offset: int) -> Any:
        return BASES[version] + (offset + (2**63 - REACH // 2 if far and version == 6 else 0))

    segment: dict[str, Any] = {"subnet": [str(subnets[version]) for version in versions]}
    kept_free: set[Any] = set()
    if draw(st.booleans()):
        gateways = [at(version, draw(st.one_of(st.just(1), offsets(1)))) for version in versions]
        segment["gateway"] = [str(gateway) for gateway in gateways]
        kept_free.update(gateways)
    reserved = draw(st.lists(st.tuples(st.sampled_from(versions), offsets(), st.integers(0, 9)), max_size=2))
    segment["reserved"] = [f"{at(version, first)}-{at(version, first + more)}" for version, first, more in reserved]
    for version, first, more in reserved:
        kept_free.update(at(version, offset) for offset in range(first, first + more + 1))
    if len(versions) == 1 and draw(st.booleans()):
        segment["subnet"] = segment["subnet"][0]
    slices = {version: draw(st.one_of(disjoint_slices(count), any_slices(count))) for version in versions}
    whole = draw(st.integers(0, 9)) == 0
    stacks = []
    for index in range(count):
        ipam: dict[str, Any] = {"type": "whereabouts", "split": draw(st.sampled_from(["range", "exclude"]))}
        if draw(st.integers(0, 3)) == 0:
            version = draw(st.sampled_from(versions))
            length = draw(st.integers(27, 32)) + (version == 6) * 96
            block = ipaddress.ip_network(f"{at(version, draw(offsets()))}/{length}", strict=False)
            ipam["exclude"] = [str(block)]
        values: dict[str, Any] = {
            "segment": segment,
            "cluster": {
                "context": "x",
                "nodes": draw(st.integers(1, 12)),
                "headroom": draw(st.sampled_from([0, 20, 50])),
            },
            "attachment": {"type": "macvlan", "name": "m", "master": "eth1", "ipam": ipam},
        }
        if not whole:
            order = draw(st.permutations(versions))
            written = [
                {"rangeStart": str(at(v, slices[v][index][0])), "rangeEnd": str(at(v, slices[v][index][1]))}
                for v in order
            ]
            values["slice"] = written[0] if len(written) == 1 else written
        stacks.append(values)
    return Fleet(stacks, kept_free)


def accepted(values: dict[str, Any]) -> Stack | None:
    try:
        return load_stack("x", values)
    except ConfigError:
        return None


def pods_of(stack: Stack) -> list[tuple[Interface, ...]]:
    """Return what one pod after the other gets on the stack's cluster, until there is no more."""
    pods, error = first_pods(json.loads(stack.cni_json)["ipam"], ENDLESS)
    assert error is None or "Could not allocate IP in range" in error, "it ends because it is full"
    return pods


def addresses_of(pods: list[tuple[Interface, ...]]) -> set[Any]:
    return {address.ip for pod in pods for address in pod}


def within_reach(stack: Stack) -> set[Any]:
    """Return what the stack's cluster gives sooner or later: each range to its end, whatever the others still have.

    On a fresh cluster the smaller range of two ends both, and the rest of the larger one is never given. A leaked lease
    is of one range, and so is an address that another attachment of the cluster has: the larger one then goes further.
    """
    ipam = json.loads(stack.cni_json)["ipam"]
    alone = [{"type": "whereabouts"} | each for each in ipam.get("ipRanges", [ipam])]
    return set().union(*(addresses_of(first_pods(each, ENDLESS)[0]) for each in alone))


def two_stacks(*slices: list[tuple[str, str]]) -> Fleet:
    segment = {"subnet": ["fd00:200::/65", "10.200.16.0/21"]}
    attachment = {"type": "macvlan", "name": "m", "master": "eth1", "ipam": {"type": "whereabouts", "split": "range"}}
    stacks = [
        {
            "segment": segment,
            "cluster": {"context": "x", "nodes": 1, "headroom": 0},
            "attachment": attachment,
            "slice": [{"rangeStart": first, "rangeEnd": last} for first, last in each],
        }
        for each in slices
    ]
    return Fleet(stacks, set())


many = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@many
@given(fleets())
def test_an_accepted_stack_gives_exactly_its_capacity_at_least_its_demand_and_nothing_kept_free(fleet: Fleet) -> None:
    for stack in filter(None, map(accepted, fleet.stacks)):
        pods = pods_of(stack)
        assert stack.capacity is not None
        assert stack.demand is not None
        assert len(pods) == min(stack.capacity, ENDLESS)
        assert len(pods) >= stack.demand
        given = addresses_of(pods)
        families = len(stack.segment.subnets)
        assert len(given) == families * len(pods), "no address twice"
        assert not given & fleet.kept_free
        assert all(any(address in span for span in stack.spans) for address in given)
        for pod in pods:
            assert [address.network for address in pod] == list(stack.segment.subnets), "family order and mask"


# The second gives 10.200.16.5; the first has no IPv6 address left for a fifth pod, until a lease leaks.
LARGER_IN_ONE_FAMILY = two_stacks(
    [("fd00:200::1", "fd00:200::4"), ("10.200.16.1", "10.200.16.5")],
    [("fd00:200::9", "fd00:200::c"), ("10.200.16.5", "10.200.16.8")],
)


@many
@given(fleets())
@example(LARGER_IN_ONE_FAMILY)
def test_what_check_passes_is_disjoint_and_what_collides_is_refused(fleet: Fleet) -> None:
    stacks = []
    for index, values in enumerate(fleet.stacks):
        with contextlib.suppress(ConfigError):
            cluster = values["cluster"] | {"context": f"c{index}"}
            stacks.append(load_stack(f"s{index}", values | {"cluster": cluster}))
    blocking = [finding for finding in check_fleet(StackFleet(tuple(stacks))) if finding.blocks]
    assert {finding.code for finding in blocking} <= {"slice-overlap", "slice-missing"}
    # Of two stacks without a slice, or with the same one, the fleet is refused for either.
    refused = {name for finding in blocking for name in (finding.stack, finding.peer)}
    given = {stack.name: within_reach(stack) for stack in stacks}
    for one, other in itertools.combinations(given, 2):
        if given[one] & given[other]:
            assert {one, other} & refused, "what collides is refused"
    for finding in blocking:
        assert finding.peer is not None
        assert given[finding.stack] & given[finding.peer], "what is refused collides"


def fewest(block: Any, keep: set[Any], spare: set[Any]) -> list[Any]:
    """Cover `spare` and nothing of `keep`: split a block only where it must be split."""
    inside = set(block)
    if not inside & spare:
        return []
    if not inside & keep:
        return [block]
    return [each for half in block.subnets() for each in fewest(half, keep, spare)]


def may_give(stack: Stack, part: Part, address: Any) -> bool:
    taken = any(address in each for each in stack.segment.kept_free)
    excluded = any(address in block for block in stack.attachment.ipam.exclude)
    return address in part.span and not taken and not excluded


@many
@given(fleets())
def test_a_split_by_exclusion_takes_the_fewest_blocks_in_order(fleet: Fleet) -> None:
    for stack in filter(None, map(accepted, fleet.stacks)):
        ipam = stack.cni_config["ipam"]
        for rendered in ipam.get("ipRanges", [ipam]):
            subnet = ipaddress.ip_network(rendered["range"])
            if stack.attachment.ipam.split != "exclude" or subnet.num_addresses > 4096:
                continue
            assert "range_start" not in rendered
            (part,) = (part for part in stack.parts if part.subnet == subnet)
            inner = set(subnet) - {subnet[0], subnet[-1]}
            keep = {address for address in inner if may_give(stack, part, address)}
            spare = inner - keep
            assert rendered.get("exclude", []) == [str(block) for block in fewest(subnet, keep, spare)]
