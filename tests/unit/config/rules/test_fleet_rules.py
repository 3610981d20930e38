"""Rules between stacks: what each stack file gets right by itself, and the fleet gets wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from config.finding import Finding
from config.fleet import Fleet
from config.loading import load_stack
from config.rules.fleet_rules import check_fleet
from config.stack import Stack

SEGMENT = {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000, "gateway": "10.200.5.1"}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "eth1"}


def stack(name: str, start: int | None = None, end: int = 0, **sections: Any) -> Stack:
    part = {"rangeStart": f"10.200.5.{start}", "rangeEnd": f"10.200.5.{end}"}
    good = {"segment": SEGMENT, "cluster": {"context": name}, "attachment": MACVLAN}
    return load_stack(name, good | ({} if start is None else {"slice": part}) | sections)


def found(*stacks: Stack) -> list[Finding]:
    return list(check_fleet(Fleet(stacks)))


def codes(*stacks: Stack) -> list[tuple[str, str]]:
    return [(finding.stack, finding.code) for finding in found(*stacks)]


def ipam(kind: str, **keys: Any) -> dict[str, Any]:
    return {"attachment": MACVLAN | {"ipam": {"type": kind, **keys}}}


def test_stacks_with_slices_side_by_side_are_fine() -> None:
    assert not found(stack("a", 10, 60), stack("b", 61, 110), stack("c", 111, 111))


def test_slices_that_share_one_address_are_refused_with_both_names_and_the_common_part() -> None:
    (one,) = found(stack("a", 10, 60), stack("b", 60, 110))
    assert str(one) == (
        "b: slice 10.200.5.60-10.200.5.110 shares 10.200.5.60 with a (10.200.5.10-10.200.5.60); both clusters give"
        " these addresses to pods. Run mignet release b and mignet allocate b, or move one of the two by hand"
    )
    assert (one.stack, one.peer, one.blocks) == ("b", "a", True)


def test_a_copied_slice_is_said_to_be_the_other_ones() -> None:
    (one,) = found(stack("a", 10, 60), stack("b", 10, 60))
    assert "is the slice of a too" in str(one)


def test_a_single_cluster_needs_no_slice() -> None:
    assert not found(stack("a"))


def test_every_cluster_without_a_slice_on_a_shared_segment_is_named_once() -> None:
    assert codes(stack("a"), stack("b"), stack("c", 10, 20)) == [("a", "slice-missing"), ("b", "slice-missing")]


def test_a_split_by_excludes_needs_no_slice() -> None:
    lower, upper = (ipam("whereabouts", exclude=[block]) for block in ("10.200.5.128/25", "10.200.5.0/25"))
    assert not found(stack("a", **lower), stack("b", **upper))
    (one,) = found(stack("a", **lower), stack("b", **ipam("whereabouts", exclude=["10.200.5.0/26"])))
    assert "shares 10.200.5.64-10.200.5.127 with a" in str(one)


def test_an_excluded_part_of_a_slice_belongs_to_nobody() -> None:
    assert not found(stack("a", 10, 63, **ipam("whereabouts", exclude=["10.200.5.32/27"])), stack("b", 32, 63))


def test_dhcp_gives_no_address_that_could_collide_and_mixing_it_with_slices_is_a_warning() -> None:
    assert not found(stack("a", **ipam("dhcp")), stack("b", **ipam("dhcp")))
    assert [finding.severity for finding in found(stack("a", **ipam("dhcp")), stack("b", 10, 20))] == ["warning"]


def test_one_fixed_address_inside_another_clusters_slice_is_refused() -> None:
    static = ipam("static", addresses=[{"address": "10.200.5.15/24"}])
    assert ("b", "slice-overlap") in codes(stack("a", 10, 20), stack("b", **static))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"subnet": "10.200.4.0/23"}, "segment-subnet"),
        ({"vlan": 2002}, "segment-vlan"),
        ({"vlan": None}, "segment-vlan"),
        ({"mtu": 1500}, "segment-mtu"),
        ({"mtu": None}, "segment-mtu"),
        ({"gateway": "10.200.5.254"}, "segment-gateway"),
        ({"gateway": None}, "segment-gateway"),
        ({"reserved": ["10.200.5.200"]}, "segment-reserved"),
    ],
)
def test_the_stack_that_differs_from_most_on_a_fact_of_the_segment_is_named(change: dict[str, Any], code: str) -> None:
    odd = stack("a", 10, 20, segment={k: v for k, v in (SEGMENT | change).items() if v is not None})
    assert codes(odd, stack("b", 21, 30), stack("c", 31, 40)) == [("a", code)]


def dual(name: str, start: int, *families: str, **sections: Any) -> Stack:
    base = {"4": "10.200.5.", "6": "fd00:200:5::"}
    subnets = {"4": "10.200.5.0/24", "6": "fd00:200:5::/64"}
    slices = [{"rangeStart": f"{base[f]}{start}", "rangeEnd": f"{base[f]}{start + 9}"} for f in families]
    segment = {"subnet": [subnets[family] for family in families]}
    return stack(name, **{"segment": segment, "slice": slices} | sections)


def test_clusters_that_list_the_families_in_another_order_meet_all_the_same() -> None:
    assert not found(dual("a", 10, "4", "6"), dual("b", 20, "6", "4"), dual("c", 30, "4", "6"))


def test_ipv6_first_is_told_that_migrations_use_ipv4() -> None:
    (one,) = dual("b", 20, "6", "4").findings
    assert str(one) == (
        "b: segment.subnet fd00:200:5::/64 is listed first, and migrations use IPv4 (10.200.5.0/24) all the same:"
        " virt-handler takes the first address that the kernel lists, and that is the IPv4 one. List 10.200.5.0/24"
        " first, or leave it out to migrate over IPv6"
    )
    assert (one.code, one.blocks) == ("segment-family-order", False)
    assert not dual("a", 20, "4", "6").findings
    assert not dual("a", 20, "6").findings


def test_the_order_of_the_slices_says_nothing_of_the_family_that_is_first() -> None:
    turned = dual(
        "b",
        20,
        "4",
        "6",
        slice=[
            {"rangeStart": "fd00:200:5::20", "rangeEnd": "fd00:200:5::29"},
            {"rangeStart": "10.200.5.20", "rangeEnd": "10.200.5.29"},
        ],
    )
    assert not found(dual("a", 10, "4", "6"), turned)


def test_other_subnets_in_another_order_are_one_mistake() -> None:
    assert codes(dual("a", 10, "4"), dual("b", 20, "6", "4")) == [("b", "segment-subnet")]


def test_a_family_that_only_one_stack_has_is_told_as_what_it_is() -> None:
    (one,) = [each for each in found(dual("a", 10, "4"), dual("b", 20, "6", "4")) if each.code == "segment-subnet"]
    assert "migrations between the two use IPv4" in one.rule
    assert "overlap" not in one.rule


def test_stacks_of_different_families_share_no_segment() -> None:
    assert codes(dual("a", 10, "4"), dual("b", 20, "6")) == [("b", "segment-apart")]


def test_segments_that_share_no_address_are_compared_in_nothing_but_that() -> None:
    other = {"subnet": "10.9.0.0/24"}
    away = {"segment": other, "slice": {"rangeStart": "10.9.0.9", "rangeEnd": "10.9.0.20"}}
    assert codes(stack("a", 10, 20), stack("b", 21, 30), stack("c", **away)) == [("c", "segment-apart")]


def test_two_stacks_of_one_cluster_are_refused_and_another_kubeconfig_is_another_cluster() -> None:
    a, b = stack("a", 10, 20), stack("b", 21, 30, cluster={"context": "a"})
    assert codes(a, b) == [("b", "cluster-twice")]
    assert not found(a, stack("b", 21, 30, cluster={"context": "a", "kubeconfig": "~/.kube/b"}))
    one, other = ({"context": "x", "kubeconfig": path} for path in ("kube/config", "./kube//config"))
    assert codes(stack("a", 10, 20, cluster=one), stack("b", 21, 30, cluster=other)) == [("b", "cluster-twice")]


def test_two_stacks_of_one_identity_are_one_cluster() -> None:
    uid = "0b0ff8f4-3d9a-4a5c-9d6d-3f1c0f1f6f10"
    a = stack("a", 10, 20, cluster={"context": "a", "uid": uid})
    assert codes(a, stack("b", 21, 30, cluster={"context": "b", "uid": uid})) == [("b", "cluster-twice")]
    assert codes(a, stack("b", 21, 30, cluster={"context": "b", "uid": uid.replace("0b", "0c")})) == []


def test_unequal_limits_are_a_warning_for_each_key_of_the_stack_that_differs() -> None:
    def limits(**keys: int) -> dict[str, Any]:
        return {"hyperConverged": {"liveMigration": keys}}

    usual = limits(progressTimeout=150)
    odd = stack("c", 31, 40, **limits(progressTimeout=300, completionTimeoutPerGiB=800))
    findings = found(stack("a", 10, 20, **usual), stack("b", 21, 30, **usual), odd)
    assert [(finding.severity, finding.stack, finding.key.rpartition(".")[2]) for finding in findings] == [
        ("warning", "c", "completionTimeoutPerGiB"),
        ("warning", "c", "progressTimeout"),
    ]
    assert "300 is not 150 as in a" in str(findings[1])


@pytest.mark.parametrize("other", ["10.200.0.0/16", "10.200.5.0/24", "10.200.5.128/25"])
def test_a_network_of_another_cluster_over_the_segment_is_seen(other: str) -> None:
    away = {"segment": {"subnet": "10.9.0.0/24"}, "slice": {"rangeStart": "10.9.0.9", "rangeEnd": "10.9.0.20"}}
    assert ("c", "peer-overlap") in codes(stack("a", 10, 20), stack("c", **away, otherNetworks={"x": other}))
    assert ("c", "peer-overlap") not in codes(
        stack("a", 10, 20), stack("c", **away, otherNetworks={"x": "10.200.6.0/24"})
    )


@pytest.mark.parametrize("waiving", ["a", "b"])
def test_either_of_two_stacks_can_waive_what_is_between_them(waiving: str) -> None:
    reason = {"waivers": {"slice-overlap": "one of the two is switched off"}}
    a, b = (stack(name, 10, 20, **(reason if name == waiving else {})) for name in ("a", "b"))
    (one,) = found(a, b)
    assert (one.blocks, one.waived) == (False, "one of the two is switched off")


def test_a_waived_collision_hides_no_other() -> None:
    wide = stack("a", 10, 100, waivers={"slice-overlap": "never on at the same time as the others"})
    blocking = [
        (finding.stack, finding.peer)
        for finding in found(wide, stack("b", 20, 30), stack("c", 20, 30))
        if finding.blocks
    ]
    assert blocking == [("c", "b")]


def test_ten_thousand_copies_of_one_file_are_a_finding_each_and_not_fifty_million() -> None:
    first = stack("s", 10, 20)
    copies = tuple(dataclasses.replace(first, name=f"s{i:05}") for i in range(10_000))
    assert sum(finding.code == "slice-overlap" for finding in found(*copies)) == 9_999
