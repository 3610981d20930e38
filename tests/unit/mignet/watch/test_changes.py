"""What a watch tells of findings: that they begin and end, once each, whatever their sentences count."""

from __future__ import annotations

from typing import get_args

from support import document

from config.finding import Finding
from mignet.outputs import documents
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
    assert document(change.as_json())["kind"] == "Change"


def test_a_change_of_every_kind_is_a_document_of_its_schema_and_a_line() -> None:
    changes = [Change(what, "dev", "sentence") for what in get_args(documents.ChangeKind)]
    changes.append(Change("finding-began", "dev", "s", "drift", "field-changed", "warning", "HyperConverged", "other"))
    changes.append(Change("cluster-lost", "dev", "it is gone", code="cluster-unreachable"))
    assert [document(each.as_json())["what"] for each in changes] == [each.what for each in changes]
    assert changes[-1].as_line().endswith("cluster-lost dev: it is gone (cluster-unreachable)")
