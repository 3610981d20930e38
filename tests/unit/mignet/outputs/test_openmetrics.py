"""The text of OpenMetrics: two parsers that are not ours read it back, whatever a stack is called."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as as_openmetrics
from prometheus_client.parser import text_string_to_metric_families as as_prometheus

from config.finding import ConfigError, Finding, Severity
from mignet.fleet.results import Checked
from mignet.kube.client import Reason
from mignet.kube.diff import FieldChange, ObjectChange, Report
from mignet.outputs import openmetrics
from mignet.outputs.openmetrics import METRICS, Look, Verb, of_checked, of_report, of_reports, render

WHEN = 1764287711.25
SECRET = "hunter2"

counts = st.dictionaries(
    st.tuples(st.from_regex(r"[a-z]+(-[a-z]+)*", fullmatch=True), st.sampled_from(get_args(Severity))),
    st.integers(1, 10**6),
    max_size=4,
)
unknown = st.none()
looks = st.builds(
    Look,
    stack=st.text(min_size=1, max_size=20),
    verb=st.sampled_from(get_args(Verb)),
    findings=counts,
    waived=counts,
    not_judged=unknown | st.integers(0, 10**6),
    reachable=unknown | st.booleans(),
    drifted=unknown | st.booleans(),
    changes=unknown | st.integers(0, 10**6),
    paths=unknown | st.integers(0, 10**6),
    ready=unknown | st.integers(0, 10**6),
    when=unknown | st.floats(0, 4e9) | st.sampled_from([float("nan"), float("inf")]),
    seconds=unknown | st.floats(0, 1e6),
)
HOSTILE = [
    'a"} 1\nmignet_drifted{stack="b"} 1\n# EOF',
    "\\",
    "\\n",
    "\n",
    "\r",
    "\u2028\u202e",
    "\x00\x1b[2J",
    "\udcff",
    "a\\",
    "{}",
    "# EOF",
    "é漢🦊",
]


def read(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the samples of each metric by labels, as a parser of OpenMetrics reads them; and hold another to it."""
    families = list(as_openmetrics(text))
    assert [(each.name, each.type) for each in families] == [(metric.name, "gauge") for metric in METRICS]
    assert [each.unit for each in families] == [metric.unit for metric in METRICS]
    found = {
        family.name: {tuple(sample.labels.items()): sample.value for sample in family.samples} for family in families
    }
    assert sum(len(family.samples) for family in families) == sum(map(len, found.values()))
    # What Pushgateway and the textfile collector read.
    older = {
        family.name: {tuple(sample.labels.items()): sample.value for sample in family.samples}
        for family in as_prometheus(text)
    }
    assert {name: values for name, values in older.items() if values} == {
        name: values for name, values in found.items() if values
    }
    return found


@given(st.lists(looks, max_size=6))
def test_any_looks_are_text_that_parsers_read_back(drawn: list[Look]) -> None:
    text = render(drawn)
    text.encode()
    assert text.endswith("# EOF\n")
    found = read(text)
    plain = {look.stack for look in drawn if look.stack.isprintable()}
    latest = {(look.stack, look.verb): look for look in drawn}
    stacks = {dict(labels)["stack"] for values in found.values() for labels in values if dict(labels).get("stack")}
    said = {
        look.stack
        for look in latest.values()
        if look.findings or look.waived or look.not_judged is not None or look.reachable is not None
    }
    assert plain & said <= stacks
    for look in latest.values():
        if look.stack.isprintable():
            both = (("stack", look.stack), ("verb", look.verb))
            assert found["mignet_cluster_reachable"].get(both) == look.reachable
            assert {labels: count for labels, count in found["mignet_findings"].items() if labels[:2] == both} == {
                (*both, ("code", code), ("severity", each)): n for (code, each), n in look.findings.items()
            }


@pytest.mark.parametrize("stack", HOSTILE)
def test_a_hostile_name_is_one_label(stack: str) -> None:
    found = read(render([Look(stack, "verify", {("code", "error"): 2}, when=WHEN), Look("other", "verify")]))
    assert len(found["mignet_findings"]) == 1
    assert len(found["mignet_cluster_reachable"]) == 2
    assert not found["mignet_drifted"]
    ((labels, when),) = found["mignet_last_look_timestamp_seconds"].items()
    assert when == WHEN
    if stack.isprintable() or stack == "\n":
        assert dict(labels)["stack"] == stack


def finding(stack: str, code: str, severity: Severity = "error", waived: str | None = None) -> Finding:
    return Finding(SECRET, SECRET, SECRET, SECRET, code=code, severity=severity, stack=stack, waived=waived)


def checked(*findings: Finding, **more: Any) -> Checked:
    return Checked(cast(Any, SimpleNamespace()), ("a", "b"), findings, (), **more)


def test_findings_are_counted_by_code_and_severity_and_nothing_of_their_words_is_told() -> None:
    what = checked(
        finding("a", "pod-stuck"),
        finding("a", "pod-stuck"),
        finding("a", "slow", "warning"),
        finding("a", "known", "warning", SECRET),
        not_judged={"b": 3},
    )
    text = render(of_checked(what, "verify", when=WHEN, seconds={"a": 1.5}))
    assert SECRET not in text
    assert [line for line in text.splitlines() if not line.startswith(("#", "mignet_build_info"))] == [
        'mignet_findings{stack="a",verb="verify",code="pod-stuck",severity="error"} 2',
        'mignet_findings{stack="a",verb="verify",code="slow",severity="warning"} 1',
        'mignet_waived_findings{stack="a",verb="verify",code="known",severity="warning"} 1',
        'mignet_not_judged_rules{stack="a",verb="verify"} 0',
        'mignet_not_judged_rules{stack="b",verb="verify"} 3',
        'mignet_cluster_reachable{stack="a",verb="verify"} 1',
        'mignet_cluster_reachable{stack="b",verb="verify"} 1',
        'mignet_last_look_timestamp_seconds{stack="a",verb="verify"} 1764287711.250',
        'mignet_last_look_timestamp_seconds{stack="b",verb="verify"} 1764287711.250',
        'mignet_last_look_duration_seconds{stack="a",verb="verify"} 1.500',
    ]


@pytest.mark.parametrize(
    "code", [*(f"cluster-{each}" for each in get_args(Reason)), "cluster-failed", "cluster-timed-out"]
)
def test_of_a_cluster_that_could_not_be_looked_at_nothing_is_fine(code: str) -> None:
    look, other = of_checked(checked(finding("a", code)), "verify", when=WHEN, seconds={})
    assert (look.reachable, look.not_judged, look.when) == (False, None, WHEN)
    assert (other.reachable, other.not_judged) == (True, 0)
    drift = of_report(Report("a", "drift", "direct", error="no", findings=(finding("a", code),)), when=WHEN)
    assert (drift.reachable, drift.drifted, drift.changes, drift.not_judged) == (False, None, None, None)


@pytest.mark.parametrize("code", ["cluster-stopped", "cluster-not-started"])
def test_a_look_that_was_broken_off_is_no_look(code: str) -> None:
    look, _ = of_checked(checked(finding("a", code)), "verify", when=WHEN, seconds={"a": 1.0})
    assert (look.reachable, look.not_judged, look.when, look.seconds) == (None, None, None, None)


def test_a_stack_that_cannot_be_read_was_not_looked_at() -> None:
    wrong = finding("b", "slice-outside-segment")
    look = of_checked(checked(wrong), "verify", when=WHEN, seconds={}, refused={"b"})[1]
    assert (look.findings, look.reachable, look.when) == ({("slice-outside-segment", "error"): 1}, None, None)
    report = Report("b", "drift", "direct", error=str(ConfigError([wrong])), findings=(wrong,))
    (look,) = of_reports([report], when=WHEN, seconds={}, refused={"b"})
    assert (look.findings, look.reachable, look.drifted) == ({("slice-outside-segment", "error"): 1}, None, None)


def test_drift_counts_the_objects_that_differ() -> None:
    changes = (
        ObjectChange(
            "update", "HyperConverged", "cnv", "x", (FieldChange("spec.a", 1, 2), FieldChange("spec.b", 1, 2))
        ),
        ObjectChange("same", "NetworkAttachmentDefinition", "cnv", "y"),
    )
    look = of_report(Report("a", "drift", "direct", changes=changes, not_judged=2), when=WHEN, seconds=3)
    assert (look.drifted, look.changes, look.not_judged, look.reachable) == (True, 1, 2, True)
    look = of_report(Report("a", "drift", "direct", changes=changes[1:]), when=WHEN)
    assert (look.drifted, look.changes) == (False, 0)
    unfit = Report("a", "drift", "direct", error="no CRD", findings=(finding("a", "cluster-unfit"),))
    assert of_report(unfit, when=WHEN).reachable
    assert of_report(unfit, when=WHEN).drifted is None


def test_every_metric_is_named_as_prometheus_wants_it() -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool here: make monitoring installs it")
    look = Look("a", "drift", {("x", "error"): 1}, {("y", "info"): 1}, 1, True, True, 2, 3, 1, WHEN, 4.0)
    done = subprocess.run(
        [promtool, "check", "metrics"], check=False, input=render([look]), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert openmetrics.CONTENT_TYPE == "application/openmetrics-text; version=1.0.0; charset=utf-8"
