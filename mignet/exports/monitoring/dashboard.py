"""The dashboard of Grafana: the fleet as mignet sees it, and migrations and uplinks of one cluster as its operators do.

Source: Grafana's documentation, "Dashboard JSON model"; the tests read it with grafana-foundation-sdk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mignet.exports.monitoring import metrics
from mignet.exports.monitoring.metrics import series
from mignet.outputs import openmetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'stack=~"$stack"'
_ERROR = 'severity="error"'
_NOT_DONE = 'status=~"Failing|Progressing|Aborted"'
_COLUMNS = 24
_GREEN, _YELLOW, _RED = "green", "yellow", "red"
_BAD_ABOVE_0 = ((None, _GREEN), (1, _RED))
_WARN_ABOVE_0 = ((None, _GREEN), (1, _YELLOW))


def dashboard() -> dict[str, Any]:
    """Return it as Grafana imports it."""
    rows = (
        ("The fleet", _fleet()),
        ("Migrations on this Prometheus' clusters", _migrations()),
        ("Operators", _operators()),
    )
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in rows:
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _at(0, y, _COLUMNS, 1)}
        )
        y += 1
        x = height = 0
        for width, high, panel in row:
            if x + width > _COLUMNS:
                x, y = 0, y + height
            panels.append({**panel, "gridPos": _at(x, y, width, high)})
            x, height = x + width, high
        y += height
    return {
        "uid": "migration-network",
        "title": "Migration network",
        "tags": ["kubevirt", "live-migration"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_DATASOURCE, _STACK]},
        "annotations": {"list": []},
        "links": [],
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }


_DATASOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
_STACK = {
    "name": "stack",
    "label": "Stack",
    "type": "query",
    "datasource": _SOURCE,
    "query": f"label_values({series(openmetrics.LOOKED)}, stack)",
    "refresh": 2,
    "sort": 7,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "hide": 0,
}


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _chosen(metric: openmetrics.Metric, *matchers: str) -> str:
    return series(metric, *matchers, _CHOSEN)


def _stacks_with(metric: openmetrics.Metric, *matchers: str, judged: str) -> str:
    return f"count(max by (stack) ({_chosen(metric, *matchers)}) {judged}) or vector(0)"


def _fleet() -> Sequence[tuple[int, int, dict[str, Any]]]:
    errors = f"sum by (stack) ({_chosen(openmetrics.FINDINGS, _ERROR)})"
    age = f"time() - min by (stack) ({_chosen(openmetrics.LOOKED)})"
    return [
        (
            4,
            4,
            _stat("Stacks", f"count(max by (stack) ({_chosen(openmetrics.LOOKED)})) or vector(0)", ((None, _GREEN),)),
        ),
        (4, 4, _stat("Drifted", _stacks_with(openmetrics.DRIFTED, judged="== 1"), _WARN_ABOVE_0)),
        (4, 4, _stat("With errors", f"count({errors} > 0) or vector(0)", _BAD_ABOVE_0)),
        (4, 4, _stat("Not reachable", _stacks_with(openmetrics.REACHABLE, judged="== 0"), _BAD_ABOVE_0)),
        (4, 4, _stat("Not judged in full", _stacks_with(openmetrics.NOT_JUDGED, judged="> 0"), _WARN_ABOVE_0)),
        (4, 4, _stat("Oldest look", f"max({age})", ((None, _GREEN), (3600, _YELLOW), (14400, _RED)), unit="s")),
        (
            _COLUMNS,
            10,
            _table(
                "Stacks",
                {
                    "Errors": errors,
                    "Drifted": f"max by (stack) ({_chosen(openmetrics.DRIFTED)})",
                    "Changed objects": f"max by (stack) ({_chosen(openmetrics.CHANGES)})",
                    "Reachable": f"min by (stack) ({_chosen(openmetrics.REACHABLE)})",
                    "Not judged": f"sum by (stack) ({_chosen(openmetrics.NOT_JUDGED)})",
                    "Paths ready": f"max by (stack) ({_chosen(openmetrics.READY)})",
                    "Paths": f"max by (stack) ({_chosen(openmetrics.PATHS)})",
                    "Since the last look": age,
                },
                seconds="Since the last look",
            ),
        ),
        (
            12,
            8,
            _graph("Findings", {"{{severity}} {{code}}": f"sum by (severity, code) ({_chosen(openmetrics.FINDINGS)})"}),
        ),
        (
            12,
            8,
            _graph(
                "Paths between clusters",
                {
                    "all": f"sum(max by (stack) ({_chosen(openmetrics.PATHS)}))",
                    "ready": f"sum(max by (stack) ({_chosen(openmetrics.READY)}))",
                },
            ),
        ),
        (12, 8, _graph("Waived findings", {"{{stack}}": f"sum by (stack) ({_chosen(openmetrics.WAIVED)})"})),
        (
            12,
            8,
            _graph("Longest look", {"{{verb}}": f"max by (verb) ({_chosen(openmetrics.TOOK)})"}, unit="s"),
        ),
    ]


def _migrations() -> Sequence[tuple[int, int, dict[str, Any]]]:
    copied = f"({series(metrics.COPIED)} or {series(metrics.COPIED_BEFORE)})"
    return [
        (
            12,
            8,
            _graph(
                "Under way",
                {
                    "pending": f"sum({series(metrics.PENDING)})",
                    "scheduling": f"sum({series(metrics.SCHEDULING)})",
                    "running": f"sum({series(metrics.RUNNING)})",
                },
            ),
        ),
        (
            12,
            8,
            _graph(
                "Ended, of those that are kept",
                {
                    "succeeded": f"count(max by (namespace, vmim) ({series(metrics.SUCCEEDED)}) == 1)",
                    "failed": f"count(max by (namespace, vmim) ({series(metrics.FAILED)}) == 1)",
                },
            ),
        ),
        (
            12,
            8,
            _graph(
                "Left to copy",
                {"{{namespace}}/{{name}}": f"max by (namespace, name) ({series(metrics.REMAINING)})"},
                unit="bytes",
            ),
        ),
        (
            12,
            8,
            _graph(
                "Copied and written over",
                {
                    "copied {{namespace}}/{{name}}": f"max by (namespace, name) {copied}",
                    "written {{namespace}}/{{name}}": f"max by (namespace, name) ({series(metrics.DIRTIED)})",
                },
                unit="binBps",
            ),
        ),
    ]


def _operators() -> Sequence[tuple[int, int, dict[str, Any]]]:
    return [
        (12, 8, _graph("Policies of nmstate", {"{{status}}": f"sum by (status) ({series(metrics.POLICIES)})"})),
        (
            12,
            8,
            _graph(
                "Nodes that nmstate is not done with",
                {"{{node}} {{status}}": f"sum by (node, status) ({series(metrics.ENACTMENTS, _NOT_DONE)}) > 0"},
            ),
        ),
        (
            12,
            4,
            _stat(
                "Health of OpenShift Virtualization",
                f"max({series(metrics.HEALTH)})",
                ((None, _GREEN), (1, _YELLOW), (2, _RED)),
            ),
        ),
        (
            12,
            4,
            _stat(
                "Unsafe modifications of the HyperConverged",
                f"sum({series(metrics.UNSAFE)}) or vector(0)",
                _WARN_ABOVE_0,
            ),
        ),
    ]


def _target(number: int, expr: str, *, legend: str = "", instant: bool = False, table: bool = False) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + number),
        "datasource": _SOURCE,
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def _field(*, unit: str = "short", steps: Sequence[tuple[float | None, str]] = ((None, _GREEN),)) -> dict[str, Any]:
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}
    return {"defaults": {"unit": unit, "thresholds": thresholds}, "overrides": []}


def _stat(title: str, expr: str, steps: Sequence[tuple[float | None, str]], *, unit: str = "short") -> dict[str, Any]:
    return {
        "type": "stat",
        "title": title,
        "datasource": _SOURCE,
        "targets": [_target(0, expr, instant=True)],
        "fieldConfig": _field(unit=unit, steps=steps),
        "options": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    }


def _graph(title: str, lines: dict[str, str], *, unit: str = "short") -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "targets": [_target(number, expr, legend=legend) for number, (legend, expr) in enumerate(lines.items())],
        "fieldConfig": _field(unit=unit),
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _table(title: str, columns: dict[str, str], *, seconds: str) -> dict[str, Any]:
    targets = [_target(number, expr, instant=True, table=True) for number, expr in enumerate(columns.values())]
    names = {f"Value #{target['refId']}": column for target, column in zip(targets, columns, strict=True)}
    field = _field()
    field["overrides"] = [
        {"matcher": {"id": "byName", "options": seconds}, "properties": [{"id": "unit", "value": "s"}]}
    ]
    return {
        "type": "table",
        "title": title,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": field,
        "options": {"showHeader": True, "sortBy": [{"displayName": "Errors", "desc": True}]},
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {"excludeByName": {"Time": True}, "renameByName": {"stack": "Stack", **names}},
            },
        ],
    }
