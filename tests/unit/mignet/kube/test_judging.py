"""Rules over what was read: one that cannot be judged costs no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.finding import Finding, Rule
from mignet.kube.client import ClusterError
from mignet.kube.kinds import NODE
from mignet.kube.snapshot import UnreadError, judge


def finding(_: object) -> Iterator[Finding]:
    yield Finding("key", None, "is wrong", "Correct it", code="wrong", stack="a")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UnreadError(NODE, ClusterError("forbidden", "may not list Node")), "not judged: other, as may not list Node"),
        (
            KeyError("spec"),
            "not judged: other, as an object on the cluster has another form than its API promises: KeyError: 'spec' (",
        ),
        (TypeError("'int' object is not iterable"), "than its API promises: TypeError: 'int' object is not iterable ("),
    ],
)
def test_a_rule_that_cannot_be_judged_is_said_and_the_others_are_judged(error: Exception, sentence: str) -> None:
    def broken(_: object) -> Iterator[Finding]:
        yield from finding(_)
        raise error

    judged = judge([Rule(("other",), "", broken), Rule(("wrong",), "", finding)], object())
    assert judged.not_judged == 1
    assert sentence in judged.sentences()[0]
    assert [each.code for each in judged.findings][-1] == "wrong"
