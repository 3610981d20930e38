"""What a run finds: one broken thing is one finding that names it, whatever is broken, in fleets of any size."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.finding import Finding
from config.loading import load_stack
from config.stack import Stack
from mignet.checkup import causes
from mignet.checkup.measurements import Measured, Probed, Way
from mignet.checkup.plan import rounds
from mignet.checkup.probe_protocol import Entry, Report, read_report
from mignet.checkup.result import End
from mignet.kube.snapshot import judge

PORTS = (9185, 40000, 40001, 40002)
SOUND = Report(interface=True, mtu=9000, carrier=True, duplicates=(), trouble=None, entries=())
SILENT = Entry(blocked=PORTS, errors=("timeout",))


@functools.cache
def stack(name: str, number: int) -> Stack:
    slice_ = {"rangeStart": f"10.200.{number}.1", "rangeEnd": f"10.200.{number}.250"}
    values: dict[str, Any] = {
        "segment": {"subnet": "10.200.0.0/16", "mtu": 9000},
        "cluster": {"context": name},
        "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
        "slice": slice_,
    }
    return load_stack(name, values)


def measured(sizes: dict[str, int], entry: Any, *, seed: int = 1, sample: int | None = None) -> Measured:
    """Return a run over a planned sample; `entry` says of a way what is found, None when it is sound."""
    nodes = {name: [f"{name}-{number}" for number in range(size)] for name, size in sizes.items()}
    (turn,) = rounds(nodes, seed=seed, sample=sample)
    stacks = {name: stack(name, number) for number, name in enumerate(sizes)}
    probes = {}
    for number, name in enumerate(sizes):
        for host, node in enumerate(nodes[name]):
            end = End(name, node)
            address = ipaddress.ip_address(f"10.200.{number}.{host + 1}")
            probes[end] = Probed(end, f"token-{end}", address=address, mac=f"02:{number:02}:{host:02}", report=SOUND)
    ways = [
        Way(source, target, entry(source, target) or Entry(rtt=0.1), 9000, len(PORTS))
        for source, targets in turn.targets.items()
        for target in targets
    ]
    return Measured(stacks, probes, tuple(ways))


def found(run: Measured) -> list[Finding]:
    return list(judge(causes.RULES, run).findings)


SIZE = st.integers(2, 200)
SIZES = st.lists(SIZE, min_size=1, max_size=3).map(lambda sizes: dict(zip("abc", sizes, strict=False)))
ENTRIES = {
    "checkup-node-alone": SILENT,
    "checkup-ports-blocked": Entry(rtt=0.1, blocked=(9185,), errors=("timeout",), there=True),
    "checkup-path-mtu": Entry(rtt=0.1, path_mtu=1500),
}


@given(SIZES, st.integers(0, 999))
def test_a_sound_fleet_has_no_finding(sizes: dict[str, int], seed: int) -> None:
    assert found(measured(sizes, lambda *_: None, seed=seed)) == []


@pytest.mark.parametrize("code", ENTRIES)
@given(SIZES, st.integers(0, 999), st.data())
def test_one_broken_node_is_one_finding_that_names_it(
    code: str, sizes: dict[str, int], seed: int, data: st.DataObject
) -> None:
    if sum(sizes.values()) < 4:
        return  # Of two or three, it is the pair.
    name = data.draw(st.sampled_from(sorted(sizes)))
    broken = End(name, f"{name}-{data.draw(st.integers(0, sizes[name] - 1))}")
    run = measured(sizes, lambda *ends: ENTRIES[code] if broken in ends else None, seed=seed)
    (finding,) = found(run)
    assert (finding.code, finding.stack) == (code, name)
    assert broken.node in finding.key.replace(",", " ").split()


@given(SIZES, st.integers(0, 999), st.data())
def test_a_node_without_carrier_is_said_to_have_no_link(sizes: dict[str, int], seed: int, data: st.DataObject) -> None:
    broken = End("a", f"a-{data.draw(st.integers(0, sizes['a'] - 1))}")
    run = measured(sizes, lambda *ends: SILENT if broken in ends else None, seed=seed)
    probes = run.probes | {broken: replace(run.probes[broken], report=replace(SOUND, carrier=False))}
    (finding,) = found(replace(run, probes=probes))
    assert finding.code == "checkup-link-down"
    assert finding.key == f"Node {broken.node}"


@given(SIZE, SIZE, st.integers(0, 999))
@example(18, 18, 1)
@example(20, 18, 1)
@example(20, 20, 1)
def test_two_clusters_that_do_not_reach_each_other_are_one_finding(one: int, other: int, seed: int) -> None:
    run = measured({"a": one, "b": other}, lambda s, t: SILENT if s.stack != t.stack else None, seed=seed)
    (finding,) = found(run)
    assert finding.code == "checkup-group-apart"
    assert finding.key == f"All nodes of {finding.stack}"
    assert {finding.stack, finding.peer} == {"a", "b"}


@given(SIZE, SIZE, st.integers(0, 999), st.booleans())
def test_a_firewall_between_two_clusters_is_one_finding(one: int, other: int, seed: int, both: bool) -> None:  # noqa: FBT001
    blocked = ENTRIES["checkup-ports-blocked"]
    crossing = {("a", "b"), ("b", "a")} if both else {("a", "b")}
    run = measured({"a": one, "b": other}, lambda s, t: blocked if (s.stack, t.stack) in crossing else None, seed=seed)
    (finding,) = found(run)
    assert finding.key == ("Every path a ↔ b" if both else "Every path a → b")
    assert finding.peer == "b"


@given(st.integers(3, 200), st.integers(0, 999), st.sampled_from(sorted(ENTRIES)))
def test_what_all_ways_have_in_common_is_one_finding(size: int, seed: int, code: str) -> None:
    run = measured({"a": size, "b": size}, lambda *_: ENTRIES[code], seed=seed)
    (finding,) = found(run)
    assert finding.code == ("checkup-nobody" if code == "checkup-node-alone" else code)


@pytest.mark.parametrize("sample", [1, 4])
def test_clusters_of_2_to_200_nodes_that_do_not_reach_their_neighbour_are_one_finding(sample: int) -> None:
    for size in range(2, 201):
        sizes = {"a": size, "b": 203 - size}
        run = measured(sizes, lambda s, t: SILENT if s.stack != t.stack else None, seed=size, sample=sample)
        (finding,) = found(run)
        assert finding.code == "checkup-group-apart", size


@given(SIZE, st.integers(0, 999), st.integers(1, 5), st.data())
def test_what_a_sample_says_of_a_cluster_holds_it_together_without_any_node(
    size: int, seed: int, sample: int, data: st.DataObject
) -> None:
    gone = End("a", f"a-{data.draw(st.integers(0, size - 1))}")
    run = measured({"a": size}, lambda *_: None, seed=seed, sample=sample)
    ways = tuple(way for way in run.ways if gone not in (way.source, way.target))
    assert len(replace(run, ways=ways).groups) <= 1


@given(st.integers(2, 100), st.integers(0, 999))
def test_parts_of_a_cluster_that_nobody_measured_are_not_said_to_be_apart(size: int, seed: int) -> None:
    """Nodes that take turns, for want of addresses, do not measure each other."""
    one, other = measured({"a": size, "b": size}, _between_clusters, seed=seed), measured({"a": size}, lambda *_: None)
    second = {End("a", end.node.replace("a-", "a-2-")): probe for end, probe in other.probes.items()}
    ways = [
        replace(way, **{side: End("a", getattr(way, side).node.replace("a-", "a-2-")) for side in ("source", "target")})
        for way in other.ways
    ]
    probes = {end: replace(probe, end=end, turn=1) for end, probe in second.items()}
    both = replace(one, probes=one.probes | probes, ways=one.ways + tuple(ways))
    (finding,) = found(both)
    assert (finding.code, finding.key) == ("checkup-group-apart", f"All nodes of {finding.stack}")
    assert (
        found(replace(both, ways=tuple(way for way in both.ways if way.kind == "sound" and way.source.stack == "a")))
        == []
    )


def _between_clusters(source: End, target: End) -> Entry | None:
    return SILENT if source.stack != target.stack else None


def test_two_nodes_of_another_vlan_are_a_group() -> None:
    stray = {End("a", "a-1"), End("b", "b-0")}
    run = measured({"a": 4, "b": 4}, lambda s, t: SILENT if (s in stray) != (t in stray) else None)
    (finding,) = found(run)
    assert finding.code == "checkup-group-apart"
    assert finding.key == "Nodes a/a-1, b/b-0"


def test_a_single_pair_is_named_as_a_pair() -> None:
    pair = {End("a", "a-1"), End("b", "b-2")}
    run = measured({"a": 4, "b": 4}, lambda s, t: SILENT if {s, t} == pair else None)
    (finding,) = found(run)
    assert (finding.code, finding.peer) == ("checkup-way-silent", "b")
    assert finding.key == "a/a-1 ↔ b/b-2"


def test_a_node_that_lets_nobody_in_is_named_as_the_end_of_the_ways_to_it() -> None:
    closed = End("a", "a-1")
    blocked = Entry(rtt=0.1, blocked=PORTS, there=True)
    run = measured({"a": 3, "b": 3}, lambda _, target: blocked if target == closed else None)
    (finding,) = found(run)
    assert finding.key == "Every path to node a-1"
    assert "any TCP port" in finding.rule


def test_two_kinds_of_trouble_are_two_findings() -> None:
    alone, small = End("a", "a-0"), End("b", "b-1")

    def entry(*ends: End) -> Entry | None:
        return SILENT if alone in ends else ENTRIES["checkup-path-mtu"] if small in ends else None

    assert [(each.code, each.stack) for each in found(measured({"a": 4, "b": 4}, entry))] == [
        ("checkup-node-alone", "a"),
        ("checkup-path-mtu", "b"),
    ]


def test_a_machine_with_a_probes_address_explains_all_that_is_said_of_that_node() -> None:
    twice = End("a", "a-1")

    def entry(source: End, target: End) -> Entry | None:
        if target == twice:
            return Entry(rtt=0.1, mac="02:ff", blocked=PORTS, there=True)
        return SILENT if source == twice else None

    (finding,) = found(measured({"a": 3, "b": 3}, entry))
    assert finding.code == "checkup-address-duplicate"
    assert "a machine with MAC 02:ff that is no probe" in finding.rule


def test_one_address_on_two_clusters_is_one_finding_about_both() -> None:
    run = measured({"a": 2, "b": 2}, lambda *_: None)
    one, other = End("a", "a-0"), End("b", "b-0")
    probes = run.probes | {other: replace(run.probes[other], address=run.probes[one].address)}
    outside, twice = found(replace(run, probes=probes))
    assert (outside.code, outside.stack) == ("checkup-address-outside", "b")
    assert (twice.code, twice.stack, twice.peer) == ("checkup-address-duplicate", "a", "b")


def test_the_address_of_a_pod_that_migrates_is_no_probes() -> None:
    run = measured({"a": 2}, lambda *_: None)
    address = run.probes[End("a", "a-0")].address
    assert address is not None
    (finding,) = found(replace(run, taken={address: "Pod ns/virt-handler-x of b"}))
    assert "Pod ns/virt-handler-x of b" in finding.rule


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"stuck": "ImagePullBackOff", "address": None, "report": None}, "checkup-not-started"),
        ({"attached": False, "address": None, "report": None}, "checkup-no-attachment"),
        ({"address": None, "report": None}, "checkup-no-address"),
        ({"report": None, "lost": "OOMKilled"}, "checkup-no-result"),
        ({"report": replace(SOUND, trouble="cannot listen")}, "checkup-no-result"),
    ],
)
def test_a_probe_that_does_not_measure_is_one_finding_with_the_reason(change: dict[str, Any], code: str) -> None:
    run = measured({"a": 3}, lambda *_: None)
    probes = run.probes | {End("a", "a-1"): replace(run.probes[End("a", "a-1")], **change)}
    (finding,) = found(replace(run, probes=probes))
    assert (finding.code, finding.key) == (code, "Node a-1")


@pytest.mark.parametrize("text", ["", "Killed", "{}", "[]", '{"v":1,"r":[{"p":3}]}', '{"i":1,"n":1,"k":1,"r":["x"]}'])
def test_what_is_no_report_is_none(text: str) -> None:
    assert read_report(text) is None


def test_of_many_nodes_that_a_finding_is_about_each_is_known_not_only_those_that_its_sentence_names() -> None:
    broken = {End("a", f"a-{number}") for number in range(8)}
    run = measured({"a": 20}, lambda *ends: SILENT if broken & set(ends) else None)
    probes = {end: replace(run.probes[end], report=replace(SOUND, carrier=False)) for end in broken}
    run = replace(run, probes=run.probes | probes)
    (finding,) = found(run)
    assert "and 3 more" in finding.key
    assert causes.problems(run) == dict.fromkeys(broken, "checkup-link-down")


def routed(name: str, number: int) -> Stack:
    sites = {
        site: {"subnet": f"10.200.{at}.0/24", "gateway": f"10.200.{at}.254", "mtu": 9000}
        for at, site in enumerate(("east", "west"))
    }
    values: dict[str, Any] = {
        "segment": {"supernet": "10.200.0.0/16", "sites": sites},
        "site": ("east", "west")[number],
        "cluster": {"context": name},
        "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
        "slice": {"rangeStart": f"10.200.{number}.1", "rangeEnd": f"10.200.{number}.250"},
    }
    return load_stack(name, values)


def between_sites(entry: Entry, *, one_way: bool = False) -> list[Finding]:
    """Return what is found in two sites of one cluster each, where every path between them is like this."""
    across = lambda source, target: entry if source.stack != target.stack else None  # noqa: E731
    way = lambda source, target: across(source, target) if not one_way or source.stack == "a" else None  # noqa: E731
    run = measured({"a": 3, "b": 3}, way)
    return found(replace(run, stacks={name: routed(name, number) for number, name in enumerate("ab")}))


@pytest.mark.parametrize("arrow", ["→", "↔"])
def test_a_black_hole_between_sites_is_one_finding_about_the_two(arrow: str) -> None:
    (one,) = between_sites(Entry(rtt=0.1, path_mtu=1500, hangs=True), one_way=arrow == "→")
    assert (one.code, one.severity, one.stack, one.peer) == ("checkup-path-mtu", "error", "a", "b")
    assert one.key == f"Every path site east {arrow} site west"
    assert "carries 1500 bytes in one piece, not 9000, and what is larger is lost without a word" in one.rule


def test_between_sites_a_smaller_mtu_that_routers_tell_of_is_a_warning() -> None:
    (one,) = between_sites(Entry(rtt=0.1, path_mtu=1500))
    assert (one.code, one.severity, "segment.mtu: 1500" in one.remedy) == ("checkup-path-mtu", "warning", True)


def test_larger_packets_that_hang_are_found_where_the_declared_mtu_passes() -> None:
    (one,) = between_sites(Entry(rtt=0.1, hangs=True))
    assert (one.code, one.severity) == ("checkup-path-mtu", "error")
    assert "carries 9000 bytes in one piece, and what is larger is lost" in one.rule


def test_sites_that_do_not_reach_each_other_lack_a_route() -> None:
    (one,) = between_sites(SILENT)
    assert one.code == "checkup-group-apart"
    assert "no route between site " in one.rule
    assert "gateway" in one.remedy
    assert "VLAN" not in one.rule + one.remedy


def test_a_single_silent_path_between_sites_is_a_route_or_a_filter() -> None:
    ends = {End("a", "a-0"), End("b", "b-0")}
    run = measured({"a": 3, "b": 3}, lambda source, target: SILENT if {source, target} == ends else None)
    (one,) = found(replace(run, stacks={name: routed(name, number) for number, name in enumerate("ab")}))
    assert (one.code, "no route between the two sites" in one.rule) == ("checkup-way-silent", True)
