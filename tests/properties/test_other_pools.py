"""What others are taken to hand out is what the plugin gives: the real one, as it was observed, and the model of it."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.address_share import parts_of
from config.loading import load_stack
from mignet.checks.preflight.other_pools import _of_host_local as of_host_local
from mignet.checks.preflight.other_pools import _of_plugin as of_plugin
from mignet.checks.preflight.other_pools import _of_whereabouts as of_whereabouts
from mignet.checks.preflight.other_pools import plugins
from mignet.lab.whereabouts import first_pods

OBSERVED: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data/whereabouts-observed.json").read_text())[
    "rows"
]
FAILS_EVERY_POD = ("could not parse exclude", "JSON Parsing Error", "invalid", "too small")
GIVES = [row for row in OBSERVED if not any(word in (row["then"] or "") for word in FAILS_EVERY_POD)]
SUBNET = ipaddress.ip_network("10.200.5.0/26")
MOST = 64


def taken_for(ipam: dict[str, Any]) -> set[str]:
    """The first addresses of each pool, as many as were tried of the plugin."""
    return {str(address) for pool in of_whereabouts("x", ipam) for address in _first(pool.given, 10)}


def _first(spans: Any, most: int) -> list[Any]:
    found: list[Any] = []
    for span in spans:
        found += [span.first + index for index in range(min(span.size, most - len(found)))]
    return found


@pytest.mark.parametrize("row", GIVES, ids=[f"row-{number}" for number in range(len(GIVES))])
def test_it_is_what_the_real_plugin_gave(row: dict[str, Any]) -> None:
    pods = [each if isinstance(each, list) else [each] for each in row["given"]]
    seen = {address.partition("/")[0] for pod in pods for address in pod}
    # With two ranges the shorter one ends both.
    assert seen <= taken_for(row["ipam"])
    if "ipRanges" not in row["ipam"]:
        assert seen == taken_for(row["ipam"])


def addresses() -> st.SearchStrategy[str]:
    return st.integers(0, 70).map(lambda number: str(SUBNET.network_address + number))


def blocks() -> st.SearchStrategy[list[str]]:
    one = st.tuples(addresses(), st.integers(26, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(one | addresses(), max_size=4)


def given_by_the_model(ipam: dict[str, Any]) -> set[str]:
    pods, _ = first_pods(ipam, MOST)
    return {str(pod[0].ip) for pod in pods}


@given(start=st.none() | addresses(), end=st.none() | addresses(), exclude=blocks())
def test_excludes_and_ends_leave_what_the_model_gives(start: str | None, end: str | None, exclude: list[str]) -> None:
    ipam: dict[str, Any] = {"range": str(SUBNET), "exclude": exclude}
    ipam |= {"range_start": start} if start else {}
    ipam |= {"range_end": end} if end else {}
    expected = {str(address) for pool in of_whereabouts("x", ipam) for address in _first(pool.given, MOST)}
    assert expected == given_by_the_model(ipam)


@given(exclude=st.lists(st.tuples(st.integers(0, 63), st.integers(27, 32)), max_size=4), sliced=st.booleans())
def test_our_own_excludes_are_given_to_nobody(exclude: list[tuple[int, int]], *, sliced: bool) -> None:
    """What overlap rules and the plugin make of a stack is the same."""
    networks = {str(ipaddress.ip_network((SUBNET.network_address + at, size), strict=False)) for at, size in exclude}
    ipam = {"type": "whereabouts", "exclude": sorted(networks)}
    values: dict[str, Any] = {
        "segment": {"subnet": str(SUBNET), "gateway": "10.200.5.1"},
        "cluster": {"context": "dev"},
        "attachment": {"type": "macvlan", "name": "m", "master": "eth1", "ipam": ipam},
        "waivers": {"range-empty": "a test"},
    }
    if sliced:
        values["slice"] = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.40"}
    stack = load_stack("dev", values)
    (part,) = parts_of(stack.segment, stack.slices)
    free = {str(address) for span in stack.attachment.ipam.free(part) for address in _first([span], MOST)}
    assert free == given_by_the_model(stack.cni_config["ipam"])


@pytest.mark.parametrize(
    ("said", "given_"),
    [
        ({"subnet": "10.200.5.0/29"}, "10.200.5.2-10.200.5.6"),
        # Any address of the subnet, its first and last ones too, where the ends say so.
        ({"subnet": "10.200.5.32/27", "rangeStart": "10.200.5.63", "rangeEnd": "10.200.5.63"}, "10.200.5.63"),
        ({"subnet": "10.200.5.32/27", "rangeStart": "10.200.5.32", "rangeEnd": "10.200.5.33"}, "10.200.5.32"),
        # The first /65 alone is whereabouts' limit.
        (
            {
                "subnet": "fd00:200:5::/64",
                "rangeStart": "fd00:200:5:0:8000::10",
                "rangeEnd": "fd00:200:5:0:8000::20",
            },
            "fd00:200:5:0:8000::10-fd00:200:5:0:8000::20",
        ),
        # What the plugin refuses gives nothing.
        ({"subnet": "10.200.5.0/24", "rangeStart": "10.200.6.1"}, None),
        ({"subnet": "10.200.5.1/24"}, None),
        ({"subnet": "10.200.5.0/24", "rangeStart": "10.200.5.9", "rangeEnd": "10.200.5.8"}, None),
    ],
)
def test_host_local_gives_by_its_own_rules(said: dict[str, str], given_: str | None) -> None:
    for ipam in (said, {"ranges": [[said]]}):
        pools = [pool for pool in of_host_local("x", ipam) if pool.given]
        assert [str(each) for pool in pools for each in pool.given] == ([given_] if given_ else [])


WORDS = st.sampled_from(
    [
        "range",
        "range_start",
        "range_end",
        "exclude",
        "ipRanges",
        "ranges",
        "subnet",
        "rangeStart",
        "rangeEnd",
        "gateway",
        "addresses",
        "address",
        "network_name",
        "subnets",
        "excludeSubnets",
        "type",
        "topology",
        "plugins",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["10.200.5.0/24", "fd00::/64", "10.200.5.9", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(["whereabouts", "host-local", "static", "dhcp", 5]),
    ipam=st.dictionaries(WORDS, JSON, max_size=4) | JSON,
    plugin=st.dictionaries(WORDS, JSON, max_size=3),
    chained=st.booleans(),
)
def test_what_others_write_never_stops_the_look(kind: Any, ipam: Any, plugin: dict[str, Any], *, chained: bool) -> None:
    one = plugin | {"ipam": {**ipam, "type": kind} if isinstance(ipam, dict) else ipam}
    config = {"plugins": [one]} if chained else one
    for each in plugins({"spec": {"config": json.dumps(config)}}):
        for pool in of_plugin("x", each):
            assert pool.given


def test_a_chain_that_is_none_has_no_plugins() -> None:
    assert plugins({"spec": {"config": '{"plugins": null}'}}) == []
