"""A finding: one thing that is wrong, or worth knowing, as a value that every output renders."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

Severity = Literal["error", "warning", "info"]
Subject_contra = TypeVar("Subject_contra", contravariant=True)


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
    waived: str | None = None
    """The reason why it is accepted all the same, when the stack says so."""
    peer: str | None = None
    """The other stack, when the finding is about two of them; either can waive it."""

    @property
    def blocks(self) -> bool:
        """Whether nothing may be done before it is mended."""
        return self.severity == "error" and self.waived is None

    def __str__(self) -> str:
        subject = f"{self.key} {shown(self.value)}" if self.value is not None else self.key
        text = f"{self.stack}: {subject} {self.rule.rstrip('.')}. {self.remedy}".rstrip()
        return text if self.waived is None else f"{text} (waived: {self.waived})"


class ConfigError(Exception):
    """A configuration that must not run. Carries every mistake that was found, not just the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject_contra]):
    """A named rule over a stack or a fleet: its codes, why it holds, and the function that finds what breaks it."""

    codes: tuple[str, ...]
    why: str
    find: Callable[[Subject_contra], Iterator[Finding]]

    def __call__(self, subject: Subject_contra) -> Iterator[Finding]:
        """Yield what breaks the rule."""
        return self.find(subject)


def rule(*codes: str) -> Callable[[Callable[[Subject_contra], Iterator[Finding]]], Rule[Subject_contra]]:
    """Name the codes that a function finds; its docstring says why. Only what is named so can be waived."""

    def named(find: Callable[[Subject_contra], Iterator[Finding]]) -> Rule[Subject_contra]:
        return Rule(codes, " ".join((find.__doc__ or "").split()), find)

    return named


def apply_waivers(
    stack: str, findings: Iterable[Finding], waivers: Mapping[str, str], *, known: Collection[str]
) -> Iterator[Finding]:
    """Yield the findings, those with a waived code with the reason; and what is wrong with the waivers themselves.

    `waivers` maps a rule's code to the reason; `known` are the codes that can be waived at all.
    """
    used = set()
    for finding in findings:
        if finding.stack == stack and finding.code in waivers:
            used.add(finding.code)
            yield replace(finding, waived=waivers[finding.code])
        else:
            yield finding
    for code in waivers:
        if code not in known:
            near = difflib.get_close_matches(code, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            yield Finding(
                "error",
                "waiver-unknown",
                stack,
                "waivers",
                code,
                "is no rule that can be waived",
                f"{hint}See docs/rules.md and docs/check.md",
            )


def waived(stack: str, findings: Iterable[Finding], waivers: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings, those about the stack with a waived code with the reason."""
    for finding in findings:
        about = stack in {finding.stack, finding.peer}
        if about and finding.waived is None and finding.code in waivers:
            yield replace(finding, waived=waivers[finding.code])
        else:
            yield finding


def shown(value: object, *, limit: int = 80) -> str:
    """Write a value on one line, at most `limit` characters long."""
    # Text that would read as a number or a truth value keeps its quotes: "5" was refused because it is not 5.
    plain = isinstance(value, str) and not re.fullmatch(r"[-+]?\d+(\.\d+)?|true|false|null|", value)
    text = str(value) if plain else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
