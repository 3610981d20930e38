"""Findings as SARIF 2.1.0, which code hosts and editors show at the lines.

Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from config.fleet_rules import RULES as FLEET_RULES
from config.places import Place, place_of
from config.stack_rules import RULES
from mignet.outputs.placed import relative

if TYPE_CHECKING:
    from pathlib import Path

    from config.findings import Finding, Rule
    from mignet.checked import Checked

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_WHY = {
    code: why
    for codes, why in (*((r.codes, r.why) for r in RULES), *((r.codes, r.why) for r in FLEET_RULES))
    for code in codes
}


def render(checked: Checked, base: Path) -> str:
    """Write one run, whose rules are the codes that were found; a waiver is a suppression with its reason."""
    codes = sorted({finding.code for finding in checked.findings})
    driver = {
        "name": "mignet",
        "version": version("migration-network"),
        "rules": [_rule(code) for code in codes],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(checked, finding, codes, base) for finding in checked.findings],
    }
    notifications = [
        {"level": level, "message": {"text": sentence}}
        for level, sentences in (("warning", checked.left_out), ("note", checked.proven))
        for sentence in sentences
    ]
    if notifications:
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": notifications}]
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(code: str) -> dict[str, Any]:
    return {"id": code, "shortDescription": {"text": _WHY.get(code) or _live(code) or code.replace("-", " ")}}


def _live(code: str) -> str | None:
    """Return why a rule about clusters holds; what looks at them is imported for the output that needs it only."""
    from mignet import drift_rules, preflight, verify
    from mignet.checkup import causes, site

    live = (*preflight.RULES, *verify.ALL_RULES, *drift_rules.RULES)
    rules: tuple[Rule[Any], ...] = (*live, *site.RULES, *causes.RULES)
    return next((rule.why for rule in rules if code in rule.codes), None)


def _result(checked: Checked, finding: Finding, codes: list[str], base: Path) -> dict[str, Any]:
    place = place_of(checked.project, finding)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": _LEVELS[finding.severity],
        "message": {"text": str(finding)},
        "locations": [
            {
                "physicalLocation": _physical(place, base),
                "logicalLocations": [{"fullyQualifiedName": f"{finding.stack}/{finding.key}"}],
            }
        ],
        # The line may move; what is said of which key does not.
        "partialFingerprints": {"finding/v1": f"{finding.code}:{finding.stack}:{finding.key}"},
    }
    if finding.waived is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.waived}]
    return result


def _physical(place: Place, base: Path) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": quote(relative(place.path, base))},
        "region": {"startLine": place.line, "startColumn": place.column},
    }
