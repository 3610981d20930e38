"""What a watch tells of findings: that they begin and end, once each, whatever their sentences count."""

from __future__ import annotations

from typing import get_args

from support import document

from config.finding import Finding
from mignet.outputs import documents
from mignet.watch.changes import MOST_PEERS, Change, between, told, told_of_peers


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


def test_what_is_between_a_cluster_and_many_others_is_told_once() -> None:
    def apart(*peers: str) -> list[Finding]:
        return [finding("ConfigMap a/b", peer=each) for each in peers]

    few = told_of_peers("dev", apart(*(f"p{n}" for n in range(MOST_PEERS))))
    assert len(few) == MOST_PEERS
    many = told_of_peers("dev", apart(*(f"p{n}" for n in range(MOST_PEERS + 1))))
    (one,) = many.values()
    assert one.peer is None
    assert f"stands between it and {MOST_PEERS + 1} others, such as p0: ConfigMap a/b is wrong" in one.sentence
    more = told_of_peers("dev", apart(*(f"p{n}" for n in range(1, MOST_PEERS + 9))))
    assert not list(between("dev", many, more)), "how many they are does not matter"


def test_a_change_of_every_kind_is_a_document_of_its_schema_and_a_line() -> None:
    changes = [Change(what, "dev", "sentence") for what in get_args(documents.ChangeKind)]
    changes.append(Change("finding-began", "dev", "s", "drift", "field-changed", "warning", "HyperConverged", "other"))
    changes.append(Change("cluster-lost", "dev", "it is gone", code="cluster-unreachable"))
    assert [document(each.as_json())["what"] for each in changes] == [each.what for each in changes]
    assert changes[-1].as_line().endswith("cluster-lost dev: it is gone (cluster-unreachable)")
