"""Limits of live migrations that cannot work together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.limits import quantity, same_quantity, too_slow
from config.loading import load_stack


def codes(**limits: Any) -> dict[str, str]:
    values = {
        "segment": {"subnet": "10.200.5.0/24"},
        "cluster": {"context": "dev"},
        "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
        "hyperConverged": {"liveMigration": limits},
    }
    return {each.code: str(each) for each in load_stack("dev", values).findings}


def test_a_gib_that_takes_longer_than_it_may_is_a_warning_with_the_bounds() -> None:
    text = codes(bandwidthPerMigration="32Mi", completionTimeoutPerGiB=20)["migration-too-slow"]
    assert "32Mi lets 1 GiB take 32 s, and completionTimeoutPerGiB allows 20 s" in text
    assert "Raise bandwidthPerMigration to 52Mi or more, or completionTimeoutPerGiB to 32 or more" in text


@pytest.mark.parametrize(
    "limits",
    [
        {"bandwidthPerMigration": "64Mi", "completionTimeoutPerGiB": 20},
        {"bandwidthPerMigration": "52Mi", "completionTimeoutPerGiB": 20},
        {"bandwidthPerMigration": "1Gi", "completionTimeoutPerGiB": 1},
        {"bandwidthPerMigration": "1Mi", "completionTimeoutPerGiB": 0},
        {"bandwidthPerMigration": "1Mi"},
        {"completionTimeoutPerGiB": 1},
    ],
)
def test_a_gib_that_fits_is_none(limits: dict[str, Any]) -> None:
    assert "migration-too-slow" not in codes(**limits)


@pytest.mark.parametrize("key", ["completionTimeoutPerGiB", "progressTimeout"])
def test_a_timeout_of_0_is_none_and_is_said(key: str) -> None:
    assert f"{key} 0 is no limit: a migration that" in codes(**{key: 0})["limit-zero"]
    assert "limit-zero" not in codes(**{key: 1})


@given(mebibytes=st.integers(1, 4096), seconds=st.integers(1, 4096))
def test_the_bound_is_1024_mib_by_the_seconds_and_the_remedies_are_its_least_values(
    mebibytes: int, seconds: int
) -> None:
    found = too_slow(f"{mebibytes}Mi", seconds)
    assert (found is not None) == (mebibytes * seconds < 1024)
    if found:
        words = found[1].replace(",", "").split()
        rate, time = quantity(words[3]), int(words[-3])
        assert rate is not None
        assert too_slow(f"{int(rate) // 2**20}Mi", seconds) is None
        assert too_slow(f"{int(rate) // 2**20 - 1}Mi", seconds)
        assert too_slow(f"{mebibytes}Mi", time) is None
        assert too_slow(f"{mebibytes}Mi", time - 1)


@pytest.mark.parametrize("text", ["", "fast", "-1Mi", "1MiB", None])
def test_what_is_no_quantity_is_none(text: object) -> None:
    assert quantity(text) is None
    assert too_slow(text, 20) is None


@pytest.mark.parametrize(("one", "other"), [("2048Mi", "2Gi"), ("1.1Gi", "1126.4Mi"), ("0.1M", "100k"), ("1000m", "1")])
def test_two_spellings_are_one_quantity(one: str, other: str) -> None:
    assert same_quantity(one, other)
    assert not same_quantity(one, f"{other}1" if other[-1].isdigit() else f"1{other}")
