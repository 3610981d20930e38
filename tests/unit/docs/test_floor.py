"""The least share of each package that the tests must run."""

from __future__ import annotations

import floor
import pytest


def test_a_package_below_the_floor_is_named_and_one_with_a_reason_has_a_floor_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(floor, "LESS", {"mignet/lab": (60.0, "most of it runs in processes of its own")})
    assert floor.too_low({"config/rules": 85.0, "mignet/kube": 84.9, "mignet/lab": 61.0}) == [
        "mignet/kube has 84.9 % and needs 85 %: test more of it"
    ]
    assert floor.too_low({"mignet/lab": 59.0}) == ["mignet/lab has 59.0 % and needs 60 %: test more of it"]
