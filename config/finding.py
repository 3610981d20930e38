"""A finding: one thing that is wrong, or worth knowing, as a value that every output renders."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

Severity = Literal["error", "warning", "info"]
Subject_contra = TypeVar("Subject_contra", contravariant=True)


class Subject(str):
    """What a finding is about: the words by which a sentence names it, and its parts, which nobody reads out of them.

    `kind` and `name` are those of an object (`namespace/name` where it has a namespace), `nodes` the nodes that it is
    on, `interface` one of theirs, `at` the line and the column of a file that cannot be read.
    """

    __slots__ = ("at", "interface", "kind", "name", "nodes")

    def __new__(
        cls,
        words: str,
        *,
        kind: str = "",
        name: str = "",
        nodes: Iterable[str] = (),
        interface: str = "",
        at: tuple[int, int] | None = None,
    ) -> Self:
        """Name a subject by `words`."""
        one = super().__new__(cls, words)
        one.kind, one.name, one.nodes, one.interface, one.at = kind, name, tuple(nodes), interface, at
        return one

    kind: str
    name: str
    nodes: tuple[str, ...]
    interface: str
    at: tuple[int, int] | None

    @classmethod
    def of(cls, kind: str, name: str) -> Self:
        """Name an object by its kind and its name."""
        return cls(f"{kind} {name}", kind=kind, name=name)

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        """Keep the parts in copies."""
        return (str(self),), {part: getattr(self, part) for part in self.__slots__}


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about one place: what stands there, the rule, and the way out.

    `key` is the path in the stack file (`slice.rangeEnd`), or a Subject on the cluster; `value` is what was given
    (None when nothing was). `rule` completes the sentence that key and value begin; `remedy` is a sentence of its own.
    What finds it fills in the rest where it is the same for all: the decorator `rule`, and the reader of a section.
    """

    key: str
    value: object
    rule: str
    remedy: str
    code: str = ""
    severity: Severity = "error"
    stack: str = ""
    waived: str | None = None
    """The reason why it is accepted all the same, when the stack says so."""
    peer: str | None = None
    """The other stack, when the finding is about two of them; either can waive it."""

    @property
    def subject(self) -> Subject:
        """What it is about, in parts; a key path has none."""
        return self.key if isinstance(self.key, Subject) else Subject(self.key)

    @property
    def blocks(self) -> bool:
        """Whether nothing may be done before it is fixed."""
        return self.severity == "error" and self.waived is None

    @property
    def sentence(self) -> str:
        """What is said of the stack, without its name."""
        subject = f"{self.key} {shown(self.value)}" if self.value is not None else self.key
        text = f"{subject} {self.rule.rstrip('.')}. {self.remedy}".rstrip()
        return visible(text if self.waived is None else f"{text} (waived: {self.waived})")

    def __str__(self) -> str:
        return visible(f"{self.stack}: {self.sentence}")


def sentences(stack: str, findings: Iterable[Finding]) -> str:
    """Return what is said of a stack, a line for each finding; one about another stack is named with it."""
    return "\n".join(each.sentence if each.stack == stack else str(each) for each in findings)


class Remark(NamedTuple):
    """A sentence that is no finding, such as what could not be looked at; `stack` is "" when about no single one."""

    stack: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.stack}: {self.sentence}" if self.stack else self.sentence


class UserError(Exception):
    """What a user can fix: its message is the sentence, or the lines, that are shown. All else is our own fault."""

    exit_code: ClassVar[int] = 1
    """That of a verb that it ends: 1 for what failed, 2 for a mistake in what was asked or configured."""

    def __str__(self) -> str:
        return "\n".join(visible(line) for line in super().__str__().split("\n"))


def unforeseen(error: Exception) -> str:
    """Say what went wrong in the program itself, and where, on one line."""
    import traceback

    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{visible(f'{type(error).__name__}: {error}')} ({where.filename.rpartition('/')[2]}:{where.lineno})"


class ConfigError(UserError):
    """A configuration that must not run. Carries every mistake that was found, not just the first."""

    exit_code = 2

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject_contra]):
    """A named rule over a stack or a fleet: its codes, why it holds, and the function that finds what breaks it."""

    codes: tuple[str, ...]
    why: str
    find: Callable[[Subject_contra], Iterator[Finding]]
    severity: Severity | None = None
    """That of all its findings; None where each says its own."""

    def __call__(self, subject: Subject_contra) -> Iterator[Finding]:
        """Yield what breaks the rule, each with its code, severity and stack: the subject's own, where it has one."""
        stack: str = getattr(getattr(subject, "stack", subject), "name", "")
        for found in self.find(subject):
            yield replace(
                found,
                code=found.code or self.codes[0],
                severity=self.severity or found.severity,
                stack=found.stack or stack,
            )


REASONS: dict[str, str] = {}
"""Why each rule holds, by the codes that it finds; the outputs say it beside a finding."""


def codes_of(rules: Iterable[Rule[Any]]) -> frozenset[str]:
    """Return all codes that rules may find."""
    return frozenset(code for each in rules for code in each.codes)


def rule(
    *codes: str, severity: Severity | None = None
) -> Callable[[Callable[[Subject_contra], Iterator[Finding]]], Rule[Subject_contra]]:
    """Name the codes that a function finds, and their severity; its docstring says why.

    A finding without a code has the first one. Only what is named so can be waived.
    """

    def named(find: Callable[[Subject_contra], Iterator[Finding]]) -> Rule[Subject_contra]:
        why = " ".join((find.__doc__ or "").split())
        REASONS.update(dict.fromkeys(codes, why))
        return Rule(codes, why, find, severity)

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
                "waivers",
                code,
                "is no rule that can be waived",
                f"{hint}See docs/rules.md and docs/check.md",
                code="waiver-unknown",
                stack=stack,
            )


def waived(stack: str, findings: Iterable[Finding], waivers: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings, those about the stack with a waived code with the reason."""
    for finding in findings:
        about = stack in {finding.stack, finding.peer}
        if about and finding.waived is None and finding.code in waivers:
            yield replace(finding, waived=waivers[finding.code])
        else:
            yield finding


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Return a key by which names sort as people sort them.

    >>> sorted(["c10", "c2", "c1"], key=natural)
    ['c1', 'c2', 'c10']
    """
    # Digits of ASCII alone: others are letters of a name.
    return tuple((word, int(number or -1)) for word, number in re.findall(r"([^0-9]*)([0-9]*)", text))


FEW = 5
"""Names that a sentence about many nodes or pods has at most."""
_IDENTITY = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|(?<![0-9a-z])[0-9a-f]{12,}(?![0-9a-z])")


def few(items: Iterable[object], *, most: int = FEW, of: int | None = None) -> str:
    """Write a list in a sentence: at most so many, and how many more there are; `of` is how many when not all are here.

    >>> few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    listed = [str(item) for item in items]
    more = (len(listed) if of is None else of) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def folded(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings that say the same of many nodes or pods as one that names a few of them; the others stay.

    What differs are the names, the ids that a runtime gives, and addresses.
    """
    return tuple(as_one(same) for same in alike(findings))


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Return findings in groups that say the same of many nodes or pods; most are alone in theirs."""
    groups: dict[object, list[Finding]] = {}
    for number, finding in enumerate(findings):
        groups.setdefault(_likeness(finding) or number, []).append(finding)
    return list(groups.values())


def _likeness(finding: Finding) -> object:
    subject = finding.subject
    if not subject.kind or (len(subject.nodes) != 1 and subject.kind != "Pod"):
        return None
    names = {each for each in (subject.name, subject.name.rpartition("/")[2], *subject.nodes) if each}
    said = tuple(nameless(each, names) for each in (finding.key, finding.rule, finding.remedy))
    value = "•" if _is_address(finding.value) else shown(finding.value)
    return finding.severity, finding.code, finding.stack, finding.peer, finding.waived, subject.kind, value, *said


def nameless(text: str, names: Iterable[str]) -> str:
    """Return text without names, and without the ids that a runtime gives: what is the same of all that have one.

    >>> nameless("no eth1 on worker-1 of worker-10", {"worker-1"})
    'no eth1 on • of worker-10'
    """
    longest_first = sorted(names, key=len, reverse=True)
    own = "|".join(rf"(?<![A-Za-z0-9.-]){re.escape(each)}(?![A-Za-z0-9.-])" for each in longest_first)
    return _IDENTITY.sub("•", re.sub(own, "•", text))


def _is_address(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def as_one(same: Iterable[Finding]) -> Finding:
    """Return findings that are alike as one, which names a few of the nodes or pods."""
    first, *others = same
    if not others:
        return first
    where = [next(iter(each.subject.nodes), each.subject.name) for each in others[: FEW - 1]]
    on = "on " if others[0].subject.nodes and others[0].subject.kind not in {"Node", "NIC"} else ""
    rest = ", …" if len(others) > len(where) else ""
    words = f"{first.key} and {len(others)} more ({on}{', '.join(where)}{rest})"
    nodes = dict.fromkeys(node for each in same for node in each.subject.nodes)
    return replace(first, key=Subject(words, kind=first.subject.kind, nodes=nodes))


def is_not(live: object, wanted: object) -> str:
    """Say that a value is another than is wanted; where the two look the same, what differs.

    >>> is_not("5", 5)
    "is '5' (text), not 5 (number)"
    >>> is_not(None, True)
    'is not set, not true'
    """
    if live is None:
        return f"is not set, not {shown(wanted)}"
    if wanted is None:
        return f"is {shown(live)}, not unset"
    if (one := _kind(live)) != (other := _kind(wanted)):
        return f"is {_quoted(live)} ({one}), not {_quoted(wanted)} ({other})"
    return f"is {shown(live)}, not {shown(wanted)}"


def _quoted(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else shown(value)


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
        case _:
            return "list" if isinstance(value, list | tuple) else "mapping"


UNSEEN = re.compile(
    # Controls; marks of direction and of joining, and what has no width; separators; halves of a character; tags.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""What a terminal, a browser or a reader does not show as a character, and may act upon."""
ACTING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls, and marks that turn the direction of text: no value of a stack has one."""
COMMAND = re.compile(r"(?:^|(?<=\s)):(?=:.*::)", re.MULTILINE)
"""The first colon of `::error::`, but not of an address such as `::1`."""
_BREAKS = re.compile(r"[ \t]*[\n\r\t\x0b\x0c\x85\u2028\u2029][\s\x85]*")


def visible(text: str) -> str:
    r"""Return text of a file or a cluster on one line, with what would act in an output written as `\u001b`.

    >>> visible("eth0\x1b[2J\n::error::gone")
    'eth0\\u001b[2J \\u003a:error::gone'
    >>> visible("fd00::1 and ::1")
    'fd00::1 and ::1'
    """
    if text.isprintable() and "::" not in text and "##[" not in text:
        return text
    line = UNSEEN.sub(lambda found: escaped(found[0]), _BREAKS.sub(" ", text)).replace("##[", "##\\u005b")
    # A line that begins so is a command to GitHub Actions, and any word may begin one where lines are wrapped.
    return COMMAND.sub(r"\\u003a", line)


def escaped(character: str) -> str:
    """Write a character as JSON does where nothing else is safe."""
    return json.dumps(character)[1:-1] if character != "[" else "\\u005b"


def shown(value: object, *, limit: int = 80) -> str:
    """Write a value on one line, at most `limit` characters long."""
    # Text that would read as a number or a truth value keeps its quotes: "5" was refused because it is not 5.
    plain = isinstance(value, str) and not re.fullmatch(r"[-+]?\d+(\.\d+)?|true|false|null|", value)
    text = str(value) if plain else json.dumps(without_secrets(value), default=str, ensure_ascii=False)
    text = text.replace(f'"{_SECRET}"', _SECRET)
    text = visible(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


_SECRET = "{secure: …}"  # noqa: S105 (what stands for one)


def without_secrets(value: object) -> object:
    """Return a value whose secrets, as Pulumi writes them into a stack file, are told without what they hold."""
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            return _SECRET
        return {key: without_secrets(each) for key, each in value.items()}
    return [without_secrets(each) for each in value] if isinstance(value, list) else value
