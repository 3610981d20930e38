"""Two families, the split by exclusion and the borders of whereabouts: what is rendered, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from config.finding import ConfigError, Finding
from config.loading import load_stack
from config.stack import Stack

DUAL: dict[str, Any] = {
    "subnet": ["10.200.5.0/24", "fd00:5::/64"],
    "gateway": ["10.200.5.1", "fd00:5::1"],
    "reserved": ["10.200.5.250-10.200.5.254", "fd00:5::20-fd00:5::2f"],
}
V4 = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.17"}
V6 = {"rangeStart": "fd00:5::10", "rangeEnd": "fd00:5::1f"}


def values(*, ipam: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    attachment: dict[str, Any] = {"type": "macvlan", "name": "migration", "master": "eth1"}
    if ipam is not None:
        attachment["ipam"] = {"type": "whereabouts"} | ipam
    return {"segment": DUAL, "cluster": {"context": "dev"}, "attachment": attachment} | sections


def stack(**sections: Any) -> Stack:
    return load_stack("dev", values(**sections))


def findings(**sections: Any) -> list[Finding]:
    try:
        return list(stack(**sections).findings)
    except ConfigError as error:
        return list(error.findings)


def test_two_families_become_ip_ranges_in_the_order_of_the_subnets() -> None:
    one = stack(slice=[V6, V4])
    assert one.cni_config["ipam"] == {
        "type": "whereabouts",
        "ipRanges": [
            {"range": "10.200.5.0/24", "range_start": "10.200.5.10", "range_end": "10.200.5.17"},
            {"range": "fd00:5::/64", "range_start": "fd00:5::10", "range_end": "fd00:5::1f"},
        ],
    }
    assert [str(span) for span in one.spans] == ["10.200.5.10-10.200.5.17", "fd00:5::10-fd00:5::1f"]
    assert one.span == one.spans[0]
    assert one.slice is not None
    assert one.slice.span == one.span
    turned = stack(slice=[V6, V4], segment=DUAL | {"subnet": DUAL["subnet"][::-1]})
    assert [each["range"] for each in turned.cni_config["ipam"]["ipRanges"]] == ["fd00:5::/64", "10.200.5.0/24"]
    assert turned.span == one.spans[1]


def test_each_range_excludes_what_is_its_own_and_the_keys_of_all_ranges_stand_beside_them() -> None:
    ipam = stack(ipam={"exclude": ["fd00:5::8/125", "10.200.5.8/29"], "networkName": "blue"}).cni_config["ipam"]
    assert ipam == {
        "type": "whereabouts",
        "network_name": "blue",
        "ipRanges": [
            {
                "range": "10.200.5.0/24",
                "exclude": ["10.200.5.1/32", "10.200.5.8/29", "10.200.5.250/31", "10.200.5.252/31", "10.200.5.254/32"],
            },
            {"range": "fd00:5::/64", "exclude": ["fd00:5::1/128", "fd00:5::8/125", "fd00:5::20/124"]},
        ],
    }


def test_a_pod_needs_an_address_of_each_family_so_the_smaller_part_is_the_capacity() -> None:
    assert stack(slice=[V4, V6]).capacity == 8


def test_a_list_of_one_is_written_like_the_one() -> None:
    plain = {"segment": {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"}, "slice": V4}
    listed = {"segment": {"subnet": ["10.200.5.0/24"], "gateway": ["10.200.5.1"]}, "slice": [V4]}
    assert stack(**plain) == stack(**listed)
    assert "ipRanges" not in stack(**plain).cni_config["ipam"]


def test_host_local_has_a_range_set_for_each_family() -> None:
    ipam = stack(ipam={"type": "host-local"}, slice=[V4, V6]).cni_config["ipam"]
    assert ipam["ranges"] == [
        [{"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"} | V4],
        [{"subnet": "fd00:5::/64", "gateway": "fd00:5::1"} | V6],
    ]


def test_a_split_by_exclusion_leaves_the_slice_and_names_no_ends() -> None:
    segment = {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"}
    ipam = stack(
        segment=segment, ipam={"split": "exclude"}, slice={"rangeStart": "10.200.5.64", "rangeEnd": "10.200.5.95"}
    )
    assert ipam.cni_config["ipam"] == {
        "type": "whereabouts",
        "range": "10.200.5.0/24",
        "exclude": ["10.200.5.0/26", "10.200.5.96/27", "10.200.5.128/25"],
    }
    assert ipam.capacity == 32


def test_the_network_and_the_broadcast_address_need_no_exclusion() -> None:
    ends = {"rangeStart": "10.200.5.1", "rangeEnd": "10.200.5.254"}
    one = stack(segment={"subnet": "10.200.5.0/24"}, ipam={"split": "exclude"}, slice=ends)
    assert one.cni_config["ipam"] == {"type": "whereabouts", "range": "10.200.5.0/24"}


def test_a_slice_may_reach_to_the_end_of_what_whereabouts_counts() -> None:
    one = stack(
        segment={"subnet": "fd00:5::/64"}, slice={"rangeStart": "fd00:5::1", "rangeEnd": "fd00:5::7fff:ffff:ffff:ffff"}
    )
    assert one.capacity == 2**63 - 1
    assert not one.findings


WHOLE = "fd00:5::1-fd00:5::7fff:ffff:ffff:ffff"


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"segment": {"subnet": ["10.200.5.0/24", "10.200.6.0/24"]}},
            "dev: segment.subnet[1] 10.200.6.0/24 is IPv4 like 10.200.5.0/24; a segment has one subnet of each family."
            " Keep one of them",
        ),
        (
            {"segment": DUAL | {"gateway": ["fd00:5::1", "fd00:5::2"]}},
            "dev: segment.gateway[1] fd00:5::2 is IPv6 like fd00:5::1; a segment has one gateway of each family."
            " Keep one of them",
        ),
        (
            {"segment": {"subnet": "10.200.5.0/24", "gateway": "fd00:5::1"}},
            "dev: segment.gateway fd00:5::1 is not a usable address of subnet 10.200.5.0/24. Use one of"
            " 10.200.5.1-10.200.5.254, or leave gateway out",
        ),
        (
            {"segment": {"subnet": ["10.200.5.0/24", "fd00:5::/127"]}},
            "dev: segment.subnet[1] fd00:5::/127 has no usable address for pods. Use a prefix of /126 or shorter",
        ),
        (
            {"segment": {"subnet": ["10.200.5.0/24", "fd00:5::1/64"]}},
            "dev: segment.subnet[1] fd00:5::1/64 has bits set behind its prefix length. The subnet is fd00:5::/64",
        ),
        (
            {"segment": {"subnet": []}},
            "dev: segment.subnet [] is an empty list. Write at least one, or leave the key out",
        ),
        ({"slice": []}, "dev: slice [] is an empty list. Write at least one, or leave the key out"),
        (
            {"slice": V4},
            "dev: slice has no part of segment.subnet fd00:5::/64; this cluster would hand out those of all others,"
            f" too. Write a list of two; the other one is inside {WHOLE}",
        ),
        (
            {"slice": [V4, V6, V6]},
            "dev: slice[2] fd00:5::10-fd00:5::1f is IPv6 like slice[1]; a stack has one slice of each subnet."
            " Keep one of them",
        ),
        (
            {"segment": {"subnet": "10.200.5.0/24"}, "slice": V6},
            "dev: slice fd00:5::10-fd00:5::1f is IPv6, and the segment has no IPv6 subnet. Use addresses of"
            " 10.200.5.1-10.200.5.254",
        ),
        (
            {"slice": [V4, V6 | {"rangeEnd": "fd00:5::2"}]},
            "dev: slice[1].rangeEnd fd00:5::2 comes before rangeStart fd00:5::10; whereabouts ignores such an end and"
            " hands out addresses up to the end of the subnet. Swap them",
        ),
        (
            {"slice": [V4, V6 | {"rangeEnd": "fd00:5::2a"}]},
            "dev: slice[1] fd00:5::10-fd00:5::2a contains the segment's reserved part fd00:5::20-fd00:5::2f. Move"
            " rangeStart or rangeEnd so that it stays outside",
        ),
        (
            {"slice": [V4, V6 | {"rangend": "fd00:5::2a"}]},
            "dev: slice[1].rangend fd00:5::2a is not a key of Slice. Did you mean rangeEnd? Its keys:",
        ),
        (
            {"segment": {"subnet": "fd00:5::/64"}, "slice": V6 | {"rangeEnd": "fd00:5::8000:0:0:0"}},
            "dev: slice.rangeEnd fd00:5:0:0:8000:: lies beyond the first /65 of subnet fd00:5::/64; whereabouts forgets"
            f" what it gave there, and gives it again. Use addresses of {WHOLE}",
        ),
        (
            {"segment": {"subnet": "fd00:5::/48"}, "slice": V6 | {"rangeEnd": "fd00:6::"}},
            "dev: slice.rangeEnd fd00:6:: is not a usable address of subnet fd00:5::/48; whereabouts ignores it and"
            f" hands out addresses of other clusters. Use addresses of {WHOLE}",
        ),
        (
            {"cluster": {"context": "dev", "nodes": 10}, "slice": [V6, V4]},
            "dev: slice[1] 10.200.5.10-10.200.5.17 has 8 addresses, and the cluster needs 15 (10 nodes + 2 sync"
            " controllers + 1 during a rollout + 2 headroom, 20 % of nodes). Widen it",
        ),
        (
            {"segment": {"subnet": "fd00:5::/124"}, "cluster": {"context": "dev", "nodes": 10}},
            "dev: segment.subnet fd00:5::/124 has 14 addresses, and the cluster needs 15 (10 nodes + 2 sync",
        ),
        (
            {"ipam": {"exclude": ["fd00:5::/65"]}},
            "dev: attachment.ipam leaves no address of fd00:5::/64: gateway, reserved and excluded ones take the whole"
            " range. Widen the slice, or exclude less",
        ),
        (
            {"ipam": {"node_slice_size": "/26"}},
            "dev: attachment.ipam.node_slice_size /26 is not for a migration network: with it whereabouts ignores"
            " range_start and range_end and hands out addresses of other clusters, and without its controller it"
            " crashes. Remove it",
        ),
        ({"ipam": {"nodeSliceSize": "/26"}}, "dev: attachment.ipam.nodeSliceSize /26 is not for a migration network"),
        (
            {"ipam": {"split": "both"}},
            "dev: attachment.ipam.split both is not an allowed value. Use 'range' or 'exclude'",
        ),
        (
            {"otherNetworks": {"pods": "fd00::/16"}},
            "dev: segment.subnet[1] fd00:5::/64 overlaps otherNetworks.pods fd00::/16. Choose a subnet that no network",
        ),
        (
            {"otherNetworks": {"pods": "fd00::/x"}},
            "dev: otherNetworks.pods fd00::/x is not a subnet in CIDR form. Write it as 10.200.5.0/24",
        ),
    ],
)
def test_a_mistake_of_one_family_names_its_place(sections: dict[str, Any], line: str) -> None:
    (only,) = findings(**sections)
    assert only.blocks
    assert str(only).startswith(line)


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"segment": {"subnet": "fd00:5::/48"}},
            "dev: segment.subnet fd00:5::/48 is wider than whereabouts can count: it uses the first /65 only,"
            f" {WHOLE}. Use a /64, or a slice",
        ),
        (
            {
                "segment": {"subnet": "fd00:5::/64"},
                "ipam": {"split": "exclude"},
                "slice": V6 | {"rangeStart": "fd00:5::1"},
            },
            "dev: attachment.ipam.split exclude takes 59 blocks to leave fd00:5::1-fd00:5::1f of fd00:5::/64. Begin and"
            " end the slice at a multiple of a power of two, or use split range",
        ),
        (
            {"ipam": {"type": "dhcp"}},
            "dev: segment.subnet[1] fd00:5::/64 is IPv6, and the dhcp plugin asks for IPv4 addresses only. Use ipam"
            " type whereabouts, or let routers advertise the subnet",
        ),
    ],
)
def test_what_works_in_part_is_a_warning(sections: dict[str, Any], line: str) -> None:
    (only,) = findings(**sections)
    assert not only.blocks
    assert str(only) == line


@pytest.mark.parametrize("prefix", [64, 65, 120])
def test_a_subnet_that_whereabouts_counts_as_far_as_it_is_used_is_no_warning(prefix: int) -> None:
    assert not findings(segment={"subnet": f"fd00:5::/{prefix}"})
