"""The lab's model of whereabouts gives what the real plugin gives, and refuses in its words, for any configuration."""

from __future__ import annotations

import ipaddress
import itertools
from typing import Any

import hypothesis
import pytest
import real_whereabouts
from hypothesis import strategies as st
from real_whereabouts import Whereabouts

from mignet.lab.lab import Lab
from mignet.lab.whereabouts import first_pods

PODS = 4
"""Tried for each configuration."""
CONFIGURATION = " / bytes: "
"""Begins the part of an error in which the plugin prints the whole configuration."""
GARBAGE = [
    "",
    "nonsense",
    "10.0.0.0/99",
    "300.1.2.3",
    "fd00::/200",
    "10.0.0.1-",
    "fd00:::1",
    "010.0.0.1",
    "10.0.0.1%eth0",
]

_numbers = itertools.count()
"""Each configuration has addresses of its own: the plugin keeps them apart in all of the cluster."""


def network(number: int, version: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the block of that number: a /22, or a /48."""
    if version == 4:
        return ipaddress.ip_network((int(ipaddress.ip_address("10.0.0.0")) + (number << 10), 22))
    return ipaddress.ip_network((int(ipaddress.ip_address("fd00::")) + (number << 80), 48))


@st.composite
def ranges(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """Draw one range in the block of that number, and what somebody may have written around it."""
    block = network(number, draw(st.sampled_from([4, 6])))
    most = block.max_prefixlen
    length = draw(st.one_of(st.integers(most - 6, most), st.integers(block.prefixlen, most)))
    near = st.integers(-2, min(70, 2 ** (most - length) + 1))
    start = int(block.network_address) + (draw(st.integers(0, 3)) << (most - length)) % block.num_addresses

    def address() -> str:
        return draw(
            st.one_of(
                near.map(lambda offset: str(type(block.network_address)(max(start + offset, 0)))),
                st.sampled_from(GARBAGE),
                st.just(str(network(number, 10 - block.version)[5])),
            )
        )

    def excluded() -> str:
        lengths = st.integers(max(length, most - 5), most)
        return draw(st.one_of(st.builds("{}/{}".format, st.builds(address), lengths), st.builds(address)))

    text = f"{type(block.network_address)(start)}/{length}"
    if draw(st.integers(0, 5)) == 0:
        text = draw(st.sampled_from([f"{address()}-{address()}/{length}", address(), f"{address()}/{length}"]))
    found: dict[str, Any] = {"range": text}
    for key in ("range_start", "range_end"):
        if draw(st.booleans()):
            found[key] = address()
    if draw(st.booleans()):
        found["exclude"] = [excluded() for _ in range(draw(st.integers(0, 3)))]
    return found


@st.composite
def configurations(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """Draw the `ipam` of an attachment: ranges at its top, in `ipRanges`, or both."""
    top = draw(st.booleans())
    found = draw(ranges(number)) if top else {}
    if draw(st.booleans()) or not top:
        found["ipRanges"] = draw(st.lists(ranges(number), min_size=0 if top else 1, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        found["enable_overlapping_ranges"] = draw(st.booleans())
    return found


@pytest.fixture(scope="module")
def plugin(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Whereabouts:
    return Whereabouts.of(real_whereabouts.build(), lab, "dev", tmp_path_factory.mktemp("whereabouts"))


@hypothesis.given(data=st.data())
def test_the_model_gives_what_the_plugin_gives_and_ends_as_it_ends(data: st.DataObject, plugin: Whereabouts) -> None:
    number = next(_numbers)
    ipam = data.draw(configurations(number)) | {"network_name": f"drawn-{number}"}
    given: list[list[str]] = []
    error = ""
    try:
        for pod in range(PODS):
            config = {"cniVersion": "0.3.1", "name": "drawn", "ipam": ipam}
            answer = plugin.call("ADD", f"drawn-{number}-{pod}", config)
            given.append([each["address"] for each in answer["ips"]])
    except real_whereabouts.RefusedError as refused:
        error = str(refused).partition(CONFIGURATION)[0]
    pods, expected = first_pods(ipam, PODS)
    assert ([[str(each) for each in pod] for pod in pods], expected or "") == (given, error)
