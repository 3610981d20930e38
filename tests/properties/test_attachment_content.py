"""Of what an attachment says, pods keep all but the addresses that it may give, whichever these are."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.attachment.content import fingerprint
from config.loading import load_stack

SEGMENT = {"subnet": ["10.200.5.0/24", "fd00:200:5::/64"], "vlan": 2001, "mtu": 9000}
MACVLAN = {"type": "macvlan", "name": "mig", "master": "eth1", "rollout": "rename"}
ATTACHMENTS: dict[str, dict[str, Any]] = {
    "whereabouts": MACVLAN,
    "by exclusion": MACVLAN | {"ipam": {"type": "whereabouts", "split": "exclude"}},
    "host-local": MACVLAN | {"ipam": {"type": "host-local"}},
    "localnet": {"type": "localnet", "name": "mig", "rollout": "rename"},
}
OFFSETS = st.tuples(st.integers(2, 120), st.integers(121, 240))


def stack(attachment: dict[str, Any], slices: tuple[int, int], segment: dict[str, Any] | None = None) -> Any:
    whole = segment or SEGMENT
    spans = []
    for text in whole["subnet"]:
        first = ipaddress.ip_network(text).network_address
        spans.append({"rangeStart": str(first + slices[0]), "rangeEnd": str(first + slices[1])})
    return load_stack("a", {"segment": whole, "cluster": {"context": "a"}, "attachment": attachment, "slice": spans})


@pytest.mark.parametrize("name", ATTACHMENTS)
@given(one=OFFSETS, other=OFFSETS)
def test_any_two_slices_of_a_segment_are_one_network_to_the_pods(
    name: str, one: tuple[int, int], other: tuple[int, int]
) -> None:
    here, there = stack(ATTACHMENTS[name], one), stack(ATTACHMENTS[name], other)

    assert here.network == there.network
    assert fingerprint(here.cni_config) == fingerprint(there.cni_config)
    assert one == other or here.cni_json != there.cni_json


@pytest.mark.parametrize(
    ("attachment", "segment"),
    [
        ({"mtu": 1500}, {}),
        ({"master": "eth2"}, {}),
        ({"ipam": {"type": "whereabouts", "networkName": "books"}}, {}),
        ({"ipam": {"type": "host-local"}}, {}),
        ({}, {"subnet": ["10.200.6.0/24", "fd00:200:5::/64"]}),
    ],
)
@given(slices=OFFSETS)
def test_anything_else_is_another_network(
    attachment: dict[str, Any], segment: dict[str, Any], slices: tuple[int, int]
) -> None:
    before = stack(MACVLAN, slices)
    after = stack(MACVLAN | attachment, slices, SEGMENT | segment)

    assert before.network != after.network


@given(slices=OFFSETS, block=st.integers(0, 15))
def test_an_exclude_more_or_less_is_the_same_network(slices: tuple[int, int], block: int) -> None:
    exclude = {"ipam": {"type": "whereabouts", "exclude": [f"10.200.5.{block * 16}/28"]}}
    if block * 16 <= slices[0] and slices[1] < block * 16 + 16:
        return

    assert stack(MACVLAN, slices).network == stack(MACVLAN | exclude, slices).network
