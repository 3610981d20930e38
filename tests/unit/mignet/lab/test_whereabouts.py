"""The model of whereabouts does what the real plugin was seen to do, row by row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import ROOT

from mignet.lab.whereabouts import first_pods

OBSERVED: list[dict[str, Any]] = json.loads((ROOT / "tests" / "data/whereabouts-observed.json").read_text())["rows"]
MOST, CUT = 10, 160
"""Pods that were tried for each row, and the characters of an error that were kept."""


def given(ipam: dict[str, Any], most: int) -> tuple[list[list[str]], str | None]:
    pods, error = first_pods(ipam, most)
    return [[str(address) for address in pod] for pod in pods], error


@pytest.mark.parametrize("row", OBSERVED, ids=[f"row-{number}" for number in range(len(OBSERVED))])
def test_the_model_gives_what_the_real_plugin_gave_and_ends_as_it_ended(row: dict[str, Any]) -> None:
    addresses, error = given(row["ipam"], MOST)
    assert addresses == [each if isinstance(each, list) else [each] for each in row["given"]]
    if row["then"] is None:
        assert error is None
    else:
        # The recorder put an ellipsis where the plugin goes on to print the whole configuration.
        assert error is not None
        assert error[:CUT] == row["then"].removesuffix("…")


def test_there_are_as_many_rows_as_were_observed() -> None:
    assert len(OBSERVED) == 260


def test_beyond_63_bits_the_pool_forgets_and_only_the_reservations_keep_addresses_apart() -> None:
    beyond = {"range": "fd00::/64", "range_start": "fd00::8000:0:0:0", "range_end": "fd00::8000:0:0:5"}
    addresses, error = given(beyond, 6)
    assert len({str(each) for each in addresses}) == 6
    assert error is None
    addresses, error = given(beyond | {"enable_overlapping_ranges": False}, 3)
    assert addresses == [["fd00::8000:0:0:0/64"]] * 3, "the same address for every pod"


def test_addresses_of_a_wide_ipv6_range_come_without_counting_them() -> None:
    addresses, _ = given({"range": "fd00::/64", "exclude": ["fd00::/66"]}, 2)
    assert addresses == [["fd00::4000:0:0:0/64"], ["fd00::4000:0:0:1/64"]]


@pytest.mark.parametrize(
    ("ipam", "error"),
    [
        ({"range": "10.0.0.0"}, "invalid CIDR 10.0.0.0: invalid CIDR address: 10.0.0.0"),
        ({"range": "10.9.0.1-10.0.0.9/24"}, "invalid range start for CIDR 10.0.0.0/24: 10.9.0.1"),
    ],
)
def test_a_range_that_cannot_be_read_gives_nothing(ipam: dict[str, Any], error: str) -> None:
    assert given(ipam, 1) == ([], error)
