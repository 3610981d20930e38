"""Findings as SARIF 2.1.0, which code hosts and editors show at the lines.

Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from config.files.source_location import Place, place_of
from config.finding import REASONS, visible
from mignet.outputs.placed import relative

if TYPE_CHECKING:
    from pathlib import Path

    from config.finding import Finding
    from mignet.fleet.results import Checked

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


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
        {"level": level, "message": {"text": _text(str(sentence))}}
        for level, sentences in (("warning", checked.left_out), ("note", checked.proven))
        for sentence in sentences
    ]
    if notifications:
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": notifications}]
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(code: str) -> dict[str, Any]:
    return {"id": code, "shortDescription": {"text": REASONS.get(code) or code.replace("-", " ")}}


def _result(checked: Checked, finding: Finding, codes: list[str], base: Path) -> dict[str, Any]:
    place = place_of(checked.project, finding)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": _LEVELS[finding.severity],
        "message": {"text": _text(str(finding))},
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


def _text(text: str) -> str:
    # A viewer makes a link of [words](address), in plain text, too (3.11.6).
    return visible(text).replace("](", "] (")


def _physical(place: Place, base: Path) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": quote(os.fsencode(relative(place.path, base)))},
        "region": {"startLine": place.line, "startColumn": place.column},
    }
