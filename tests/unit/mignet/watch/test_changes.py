"""What a watch tells of findings: that they begin and end, once each, whatever their sentences count."""

from __future__ import annotations

import json

from config.finding import Finding
from mignet.watch.changes import Change, between, told


def finding(key: str, rule: str = "is wrong", **more: object) -> Finding:
    return Finding(key, None, rule, "Fix it", code="field-changed", stack="dev", **more)  # type: ignore[arg-type]


def test_a_finding_begins_and_ends_once_and_a_sentence_that_counts_is_the_same() -> None:
    first = told("drift", [finding("a", "has waited for 3 s"), finding("b")])
    then = told("drift", [finding("a", "has waited for 9 s"), finding("c")])
    found = [(each.what, each.subject) for each in between("dev", first, then)]
    assert found == [("finding-ended", "b"), ("finding-began", "c")]
    assert not list(between("dev", then, then))


def test_what_is_waived_or_information_is_not_told() -> None:
    assert not told("drift", [finding("a", waived="because"), finding("b", severity="info")])


def test_what_a_cluster_says_stays_on_one_line() -> None:
    change = Change("finding-began", "dev", "a\nb\x1b[31m")
    assert len(change.as_line().splitlines()) == 1
    assert "\x1b" not in change.as_line() + change.as_json()
    assert json.loads(change.as_json())["kind"] == "Change"
