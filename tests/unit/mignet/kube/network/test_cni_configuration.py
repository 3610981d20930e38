"""CNI configurations by their meaning: what pods would notice of a change, and what only is another form."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loading import load_stack
from mignet.kube.diff import differences
from mignet.kube.network.cni_configuration import by_meaning, meaning, meaning_changes

IPAM: dict[str, Any] = {"type": "whereabouts", "range": "10.88.31.0/24"}
CONFIG: dict[str, Any] = {"cniVersion": "0.3.1", "type": "macvlan", "master": "eth1", "mode": "bridge", "ipam": IPAM}
PAIR = ["10.88.31.222/32", "10.88.31.223/32"]


def with_ipam(**keys: Any) -> dict[str, Any]:
    return CONFIG | {"ipam": IPAM | keys}


SAME = {
    "the name, which multus fills in": (CONFIG, CONFIG | {"name": "cnv-mig"}),
    "pairs of excludes": (with_ipam(exclude=PAIR), with_ipam(exclude=["10.88.31.222/31"])),
    "excludes in another order, and one twice": (with_ipam(exclude=PAIR), with_ipam(exclude=[PAIR[1], *PAIR])),
    "host bits in the range": (CONFIG, with_ipam(range="10.88.31.7/24")),
    "the short form of a range": (
        with_ipam(range="10.88.31.5-10.88.31.9/24"),
        with_ipam(range_start="10.88.31.5", range_end="10.88.31.9"),
    ),
    "an exclude of what is never given": (CONFIG, with_ipam(exclude=["10.88.31.0/32", "10.88.31.255/32"])),
    "one range in a list": (CONFIG, CONFIG | {"ipam": {"type": "whereabouts", "ipRanges": [{"range": IPAM["range"]}]}}),
    "a start that is the first": (CONFIG, with_ipam(range_start="10.88.31.1", range_end="10.88.31.254")),
    "defaults": (CONFIG, {k: v for k, v in CONFIG.items() if k != "mode"} | {"mtu": 0, "ipam": IPAM | {"exclude": []}}),
    "a chain of one": (
        CONFIG,
        {"cniVersion": "0.3.1", "plugins": [{k: CONFIG[k] for k in list(CONFIG)[1:]}]},
    ),
}
OTHER = {
    "another exclude": (with_ipam(exclude=PAIR), with_ipam(exclude=PAIR[:1])),
    "another name": (CONFIG, CONFIG | {"name": "other"}),
    "an mtu": (CONFIG, CONFIG | {"mtu": 9000}),
    "another mode": (CONFIG, CONFIG | {"mode": "private"}),
    "another range": (CONFIG, with_ipam(range="10.88.32.0/24")),
    "the same addresses of another range": (
        with_ipam(range_start="10.88.31.5", range_end="10.88.31.9"),
        with_ipam(range="10.88.31.0/25", range_start="10.88.31.5", range_end="10.88.31.9"),
    ),
    "books of its own": (CONFIG, with_ipam(network_name="a")),
    "no check across ranges": (CONFIG, with_ipam(enable_overlapping_ranges=False)),
    "a second plugin": (CONFIG, {"cniVersion": "0.3.1", "plugins": [CONFIG, {"type": "tuning"}]}),
    "an exclude that nobody can read": (CONFIG, with_ipam(exclude=["10.88.31.300/32"])),
    "a trunk": (
        {"type": "bridge", "bridge": "br1", "vlan": 0},
        {"type": "bridge", "bridge": "br1", "vlanTrunk": [{"id": 1}]},
    ),
}


def changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = meaning_changes(json.dumps(old, indent=2), json.dumps(new), name="cnv-mig")
    assert found is not None
    return [each.path for each in found]


@pytest.mark.parametrize("case", SAME)
def test_another_form_is_the_same(case: str) -> None:
    assert changed(*SAME[case]) == []
    assert changed(*reversed(SAME[case])) == []


@pytest.mark.parametrize("case", OTHER)
def test_what_pods_would_notice_is_a_change(case: str) -> None:
    assert changed(*OTHER[case])
    assert changed(*reversed(OTHER[case]))


@pytest.mark.parametrize("text", ["", "[]", "no json", "null", "7"])
def test_what_is_no_configuration_has_no_meaning(text: str) -> None:
    assert meaning(text, name="x") is None
    assert meaning_changes(text, json.dumps(CONFIG), name="x") is None


@pytest.mark.parametrize(
    "broken", [{"plugins": 5}, {"plugins": ["x"]}, {"ipam": {"type": "whereabouts", "ipRanges": 5}}]
)
def test_a_broken_configuration_is_no_traceback(broken: dict[str, Any]) -> None:
    assert meaning(json.dumps(broken), name="x") is not None


BLOCKS = st.builds(
    lambda last, prefix: ipaddress.ip_network((0x0A581F00 + last, prefix), strict=False),
    st.integers(0, 255),
    st.integers(26, 32),
)


@given(
    one=st.lists(BLOCKS, max_size=4), other=st.lists(BLOCKS, max_size=4), start=st.integers(0, 255), split=st.booleans()
)
def test_two_mean_the_same_exactly_when_they_give_the_same_addresses(
    one: list[ipaddress.IPv4Network], other: list[ipaddress.IPv4Network], start: int, *, split: bool
) -> None:
    """Held against a count of the addresses one by one."""
    if split:
        # The same ones, address by address.
        other = [ipaddress.ip_network(each) for block in one for each in block]
    first = f"10.88.31.{start}"

    def gives(blocks: list[ipaddress.IPv4Network]) -> set[ipaddress.IPv4Address]:
        hosts = list(ipaddress.ip_network("10.88.31.0/24").hosts())
        low = ipaddress.ip_address(first) if ipaddress.ip_address(first) in hosts else hosts[0]
        return {each for each in hosts if each >= low and not any(each in block for block in blocks)}

    configs = [with_ipam(range_start=first, exclude=[str(each) for each in blocks]) for blocks in (one, other)]
    assert (changed(*configs) == []) == (gives(one) == gives(other))


def test_a_change_of_form_is_one_change_beside_the_others() -> None:
    """The case adopt-unnamed of a published set-up: a name that multus filled in, and pairs of excludes."""
    found = with_ipam(exclude=PAIR)
    stack = load_stack(
        "dev",
        {
            "segment": {"subnet": "10.88.31.0/24", "reserved": ["10.88.31.222-10.88.31.223"]},
            "cluster": {"context": "dev"},
            "attachment": {"type": "macvlan", "name": "cnv-mig", "master": "eth1", "adopt": True},
        },
    )
    old, new = json.dumps(found), stack.cni_json
    changes = [*differences({"spec": {"config": old}}, {"spec": {"config": new}})]
    assert len(changes) > 1
    (only,) = by_meaning(changes, old, new, name="cnv-mig")
    assert (only.path, only.old, only.new, only.same_meaning) == ("spec.config", old, new, True)
    more = json.dumps(json.loads(new) | {"mtu": 1400})
    assert [each.same_meaning for each in by_meaning(changes, more, new, name="cnv-mig")] == [False] * len(changes)
