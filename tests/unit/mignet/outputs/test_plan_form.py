"""The one form of a plan: its tense, its words for owners, YAML for what is nested, and nothing cut."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mignet.kube.diff import FieldChange, ObjectChange, Report
from mignet.outputs import plan_form
from mignet.outputs.plan_form import as_yaml, counted, headline, lines, total
from mignet.outputs.streams import Visible
from mignet.outputs.terminal import show
from mignet.outputs.wrapping import _COLOUR, wrapped_at

CNI = {"type": "macvlan", "cniVersion": "0.3.1", "ipam": {"range": "10.0.0.0/24", "type": "whereabouts"}, "name": "m"}


def change(operation: str, *fields: FieldChange, kind: str = "HyperConverged") -> ObjectChange:
    return ObjectChange(operation, kind, "ns", "one", fields)  # type: ignore[arg-type]


def report(*changes: ObjectChange, verb: str = "preview", **more: Any) -> Report:
    return Report("dev", verb, "direct", changes=changes, **more)


def texts(one: Report, *, planned: bool = True, **more: Any) -> list[str]:
    return ["  " * each.depth + each.text for each in lines(one, planned=planned, **more)]


def test_the_tense_is_the_future_before_and_the_past_after() -> None:
    made = report(change("create"), change("update"), verb="up")
    assert headline(made, planned=True) == "1 object will be created, 1 changed"
    assert headline(made, planned=False) == "1 object created, 1 changed"
    assert texts(made)[0].endswith("will be created")
    assert texts(made, planned=False)[0].endswith("was created")


def test_the_configuration_of_a_network_is_yaml_in_a_fixed_order() -> None:
    one = report(
        change("create", FieldChange("spec.config", None, json.dumps(CNI)), kind="NetworkAttachmentDefinition")
    )
    assert texts(one)[1:] == [
        "      spec:",
        "        config:",
        "          cniVersion: 0.3.1",
        "          name: m",
        "          type: macvlan",
        "          ipam:",
        "            type: whereabouts",
        "            range: 10.0.0.0/24",
    ]


def test_a_list_that_changes_is_a_difference_of_yaml() -> None:
    old, new = [{"name": "eth1", "mtu": 1500}], [{"name": "eth1", "mtu": 9000}]
    one = report(change("update", FieldChange("spec.interfaces", old, new, owner="kubectl")))
    assert texts(one)[1:] == [
        "      spec:",
        "        interfaces:   taken over from kubectl",
        "            - name: eth1",
        "          -   mtu: 1500",
        "          +   mtu: 9000",
    ]


def test_internals_are_shown_on_request_and_never_passed_over_in_silence() -> None:
    inner = FieldChange("metadata.annotations.pulumi.com/patchForce", None, "true")
    one = report(change("update", inner))
    assert texts(one)[1:] == ["      only annotations and labels of this tool's own (--verbose shows them)"]
    assert texts(one, verbose=True)[1:] == [
        "      metadata.annotations:",
        '        pulumi.com/patchForce: (none) → "true"',
    ]


def test_what_is_left_alone_and_what_it_means_come_last() -> None:
    one = report(change("update"), change("same", kind="Other"), means=("restarts it",))
    assert texts(one)[1:] == ["  left alone: Other ns/one", "  dev: restarts it"]


def test_the_last_line_counts_stacks_and_objects() -> None:
    taken = FieldChange("spec.a", 1, 2, owner="kubectl")
    reports = [report(change("update", taken)), report(change("same")), report(error="gone")]
    assert total(reports, planned=True) == (
        "3 stacks (direct engine): 1 object will be changed; 1 field taken over; 1 stack without changes; 1 failed"
    )
    assert total([report(change("same"))], planned=True) == "1 stack (direct engine): no changes"
    assert counted([], planned=True) == ""


SCALARS = st.text(max_size=30) | st.integers() | st.booleans()
VALUES = st.dictionaries(
    st.text(min_size=1, max_size=8), st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4)), max_size=5
)


@given(old=VALUES, new=VALUES)
def test_every_line_of_both_values_is_in_the_difference(old: dict[str, Any], new: dict[str, Any]) -> None:
    shown = [each.text for each in plan_form._differences(old, new, 0)]
    assert [text[2:] for text in shown if text[0] in " -"] == list(as_yaml(old))
    assert [text[2:] for text in shown if text[0] in " +"] == list(as_yaml(new))


@given(words=st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=30), columns=st.integers(20, 120))
def test_a_wrapped_line_keeps_its_words_and_fits_where_they_do(words: list[str], columns: int) -> None:
    made = wrapped_at("  " + " ".join(words), columns).split("\n")
    assert " ".join(made).split() == words
    for line in made:
        assert len(line) <= columns or len(line.split()) == 1


def test_colours_count_for_nothing() -> None:
    plain = "error    code  one two three four five six seven"
    made = wrapped_at(f"\x1b[31merror\x1b[0m{plain[5:]}", 30, hanging=9)
    assert _COLOUR.sub("", made) == wrapped_at(plain, 30, hanging=9)
    assert all(len(line) <= 30 for line in _COLOUR.sub("", made).split("\n"))


def test_a_failure_that_stacks_share_is_said_once_with_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [Report(name, "up", "direct", error="the API server is away") for name in ("a", "b", "c")]
    show([*failed[:2], report(change("update"), verb="up"), failed[2]])
    assert capsys.readouterr().out.splitlines() == [
        "a, b, c: failed",
        "  error: the API server is away",
        "dev: 1 object changed",
        "  ~ HyperConverged ns/one was changed",
        "4 stacks (direct engine): 1 object changed; 3 failed",
    ]


@pytest.mark.parametrize(("value", "shown"), [("1", "error"), ("", "\x1b[31merror\x1b[0m")])
def test_no_color_leaves_colours_out(monkeypatch: pytest.MonkeyPatch, value: str, shown: str) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    below = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream = Visible(below)
    stream.write("\x1b[31merror\x1b[0m")
    stream.flush()
    assert stream.buffer.getvalue().decode() == shown  # type: ignore[attr-defined]
