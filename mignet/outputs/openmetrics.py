"""What is known of each stack as metrics, in the text of OpenMetrics 1.0: for `-o openmetrics`, and for who serves it.

All metrics are gauges, so that the text is also one in Prometheus' own format (0.0.4), which Pushgateway and the
textfile collector of node_exporter read. Labels are names of stacks, verbs, codes and severities: nothing that a
cluster or a file says in words, and no address. Source: OpenMetrics 1.0, "Text format" and "Metric naming".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from math import isfinite
from typing import TYPE_CHECKING, Literal, get_args

from config.finding import UNSEEN, escaped
from mignet.kube.client import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from config.finding import Finding, Severity
    from mignet.checks.peers import Matrix
    from mignet.fleet.results import Checked
    from mignet.kube.diff import Report

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Of the text, where it is served."""
Verb = Literal["preflight", "verify", "drift", "peers", "limits"]
"""What looked: the same code may be found by several."""
NO_ANSWER = frozenset(f"cluster-{reason}" for reason in (*get_args(Reason), "failed", "timed-out"))
_NO_LOOK = frozenset({"cluster-stopped", "cluster-not-started"})
"""Codes of the findings that a look came to no end, and that it was broken off or had not begun."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One of our metrics, a gauge. Its `unit` is "" or the end of its name."""

    name: str
    help: str
    labels: tuple[str, ...] = ("stack", "verb")
    unit: str = ""


BUILD = Metric("mignet_build_info", "The version of mignet that looked; always 1.", ("version",))
FINDINGS = Metric(
    "mignet_findings", "Findings that nobody waived, by code and severity.", ("stack", "verb", "code", "severity")
)
WAIVED = Metric("mignet_waived_findings", "Findings that a stack waives.", ("stack", "verb", "code", "severity"))
NOT_JUDGED = Metric("mignet_not_judged_rules", "Rules that could not be judged.")
REACHABLE = Metric("mignet_cluster_reachable", "Whether the stack's cluster could be looked at: 1, or 0.")
DRIFTED = Metric("mignet_drifted", "Whether the cluster differs from what the stack declares: 1, or 0.", ("stack",))
CHANGES = Metric("mignet_drift_changed_objects", "Objects that differ from what the stack declares.", ("stack",))
PATHS = Metric("mignet_peer_paths", "Paths from the stack's cluster to its peers.", ("stack",))
READY = Metric("mignet_peer_paths_ready", "Those of them that are ready.", ("stack",))
LOOKED = Metric(
    "mignet_last_look_timestamp_seconds", "When the last look ended, whatever came of it, in Unix time.", unit="seconds"
)
TOOK = Metric("mignet_last_look_duration_seconds", "How long the last look took.", unit="seconds")
METRICS = (BUILD, FINDINGS, WAIVED, NOT_JUDGED, REACHABLE, DRIFTED, CHANGES, PATHS, READY, LOOKED, TOOK)
"""All of them, in the order of the text."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one verb knows of one stack. What is None is unknown, and has no sample.

    `findings` and `waived` count findings by code and severity. `when` is in Unix seconds, `seconds` how long it took.
    `paths` and `ready` count paths to peers. Of a cluster that could not be looked at, nothing is said but that.
    """

    stack: str
    verb: Verb
    findings: Mapping[tuple[str, Severity], int] = field(default_factory=dict)
    waived: Mapping[tuple[str, Severity], int] = field(default_factory=dict)
    not_judged: int | None = 0
    reachable: bool | None = True
    drifted: bool | None = None
    changes: int | None = None
    paths: int | None = None
    ready: int | None = None
    when: float | None = None
    seconds: float | None = None


def render(looks: Iterable[Look]) -> str:
    """Write what is known of some stacks. Of two looks of one verb at one stack, the later one counts."""
    samples: dict[Metric, dict[str, float]] = {metric: {} for metric in METRICS}
    samples[BUILD][_labels(BUILD, (version("migration-network"),))] = 1
    latest = {(label(look.stack), look.verb): look for look in looks}
    for look in latest.values():
        for metric, labels, value in _values(look):
            samples[metric][_labels(metric, labels)] = value
    lines = (
        line
        for metric, values in samples.items()
        for line in family(metric.name, "gauge", metric.help, values.items(), unit=metric.unit)
    )
    return "".join(f"{line}\n" for line in (*lines, "# EOF"))


def of_checked(
    checked: Checked,
    verb: Verb,
    *,
    when: float,
    seconds: Mapping[str, float],
    refused: Collection[str] = (),
    matrix: Matrix | None = None,
) -> list[Look]:
    """Return what a look at some stacks found, and of `peers` which paths are ready.

    `when` it ended is in Unix seconds, `seconds` are how long each stack took, `refused` those that cannot be read.
    """
    by_stack: dict[str, list[Finding]] = {name: [] for name in checked.stacks}
    for finding in checked.findings:
        by_stack.setdefault(finding.stack, []).append(finding)
    looks = []
    for name, findings in by_stack.items():
        look = look_of(
            name, verb, findings, not_judged=checked.not_judged.get(name, 0), when=when, seconds=seconds.get(name)
        )
        if matrix is not None and name in matrix.own:
            look = replace(look, paths=len(matrix.names) - 1, ready=matrix.ready_from(name))
        looks.append(_unread(look) if name in refused else look)
    return looks


def of_reports(
    reports: Iterable[Report], *, when: float, seconds: Mapping[str, float], refused: Collection[str] = ()
) -> list[Look]:
    """Return what drift found, stack by stack; the arguments are those of `of_checked`."""
    looks = (of_report(each, when=when, seconds=seconds.get(each.stack)) for each in reports)
    return [_unread(look) if look.stack in refused else look for look in looks]


def of_report(report: Report, *, when: float, seconds: float | None = None) -> Look:
    """Return what drift found on one stack; `when` it ended is in Unix seconds, `seconds` is how long it took."""
    look = look_of(
        report.stack,
        "drift",
        report.all_findings,
        not_judged=report.not_judged,
        when=when,
        seconds=seconds,
    )
    if report.error is not None:
        return replace(look, not_judged=None)
    changed = sum(change.operation != "same" for change in report.changes)
    return replace(look, drifted=report.drifted, changes=changed)


def look_of(
    stack: str,
    verb: Verb,
    findings: Iterable[Finding],
    *,
    not_judged: int = 0,
    when: float | None = None,
    seconds: float | None = None,
) -> Look:
    """Return what a verb knows of a stack by its findings, among them why it could not be looked at."""
    found = list(findings)
    codes = {each.code for each in found}
    reachable = not codes & NO_ANSWER
    look = Look(
        stack,
        verb,
        Counter((each.code, each.severity) for each in found if each.waived is None),
        Counter((each.code, each.severity) for each in found if each.waived is not None),
        not_judged if reachable else None,
        reachable,
        when=when,
        seconds=seconds,
    )
    return _unread(look) if codes & _NO_LOOK else look


def _unread(look: Look) -> Look:
    return replace(look, not_judged=None, reachable=None, when=None, seconds=None)


def _values(look: Look) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    both = (look.stack, look.verb)
    for metric, counts in ((FINDINGS, look.findings), (WAIVED, look.waived)):
        for (code, severity), count in counts.items():
            yield metric, (*both, code, severity), count
    for metric, value in (
        (NOT_JUDGED, look.not_judged),
        (REACHABLE, look.reachable),
        (DRIFTED, look.drifted),
        (CHANGES, look.changes),
        (PATHS, look.paths),
        (READY, look.ready),
        (LOOKED, look.when),
        (TOOK, look.seconds),
    ):
        if value is not None and isfinite(value):
            yield metric, both[: len(metric.labels)], value


def family(name: str, kind: str, says: str, samples: Iterable[tuple[str, float]], *, unit: str = "") -> Iterator[str]:
    """Yield the lines of a metric: what it is, and its samples, each with its labels as they are written."""
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} {kind}"
    if unit:
        yield f"# UNIT {name} {unit}"
    suffix = "_total" if kind == "counter" else ""
    for labels, value in samples:
        yield f"{name}{suffix}{labels} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def _labels(metric: Metric, values: tuple[str, ...]) -> str:
    written = (f'{name}="{label(value)}"' for name, value in zip(metric.labels, values, strict=True))
    return f"{{{','.join(written)}}}"


def label(text: str) -> str:
    """Write a label's value as the text has it, between its quotes."""
    # What no reader sees, and halves of characters, which UTF-8 cannot carry, are written out.
    seen = UNSEEN.sub(lambda found: escaped(found[0]), text)
    return seen.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
