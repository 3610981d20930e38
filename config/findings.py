"""A finding: one thing that is wrong, or worth knowing, as a value that every output renders."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about one place: what stands there, the rule, and the way out.

    `key` is the path in the stack file (`slice.rangeEnd`), or the object on the cluster; `value` is what was given
    (None when nothing was). `rule` completes the sentence that key and value begin; `remedy` is a sentence of its own.
    """

    severity: Severity
    code: str
    stack: str
    key: str
    value: object
    rule: str
    remedy: str

    def __str__(self) -> str:
        subject = f"{self.key} {shown(self.value)}" if self.value is not None else self.key
        return f"{self.stack}: {subject} {self.rule.rstrip('.')}. {self.remedy}".rstrip()


class ConfigError(Exception):
    """A configuration that must not run. Carries every mistake that was found, not just the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def shown(value: object, *, limit: int = 80) -> str:
    """Write a value on one line, at most `limit` characters long."""
    # Text that would read as a number or a truth value keeps its quotes: "5" was refused because it is not 5.
    plain = isinstance(value, str) and not re.fullmatch(r"[-+]?\d+(\.\d+)?|true|false|null|", value)
    text = str(value) if plain else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
