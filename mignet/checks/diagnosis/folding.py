"""Put findings in order: which of them are causes, what each cause explains, and which comes first."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from config.finding import alike, as_one, natural
from mignet.checks.diagnosis.consequences import FOLLOWS, FORBIDDEN, NO_ACCESS, NOT_APPLIED, TOLD_TWICE, depth, reach

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from config.finding import Finding

_CLASSES = {"error": 0, "warning": 1, "info": 3}
_UNAPPLIED, _WAIVED = 2, 4


@dataclass(frozen=True, slots=True)
class Cause:
    """What nothing else explains: one finding, or several that say the same of many nodes or pods; and what follows."""

    findings: tuple[Finding, ...]
    explains: tuple[Finding, ...] = ()

    @property
    def finding(self) -> Finding:
        """All of it in one sentence."""
        return as_one(self.findings)

    @property
    def code(self) -> str:
        """Its code."""
        return self.findings[0].code

    @property
    def blocks(self) -> bool:
        """Whether it, or something that follows from it, is an error that nobody waived."""
        return any(each.blocks for each in (*self.findings, *self.explains))


def fold(findings: Iterable[Finding], *, refusing: Collection[str] = ()) -> tuple[Cause, ...]:
    """Return the causes, the most probable first. Each finding is in one of them: in its own, or in what it explains.

    `refusing` are the codes for which `up` refuses to work on a stack, where they are errors.
    """
    # Each is an object of its own, also where two are equal.
    ordered = [replace(each) for each in sorted(findings, key=_fixed)]
    root = _roots(ordered, refusing)
    under: dict[int, list[Finding]] = defaultdict(list)
    for index, finding in enumerate(ordered):
        if root[index] != index:
            under[root[index]].append(finding)
    tops = [index for index in range(len(ordered)) if root[index] == index]
    place = {id(ordered[index]): index for index in tops}
    causes = [
        Cause(tuple(same), tuple(each for one in same for each in under[place[id(one)]]))
        for same in alike(ordered[index] for index in tops)
    ]
    return tuple(sorted(causes, key=_rank))


def _roots(ordered: list[Finding], refusing_: Collection[str]) -> list[int]:
    """Return for each finding the index of the cause that it is under: its own where nothing explains it."""
    by_code: dict[str, list[int]] = defaultdict(list)
    for index, finding in enumerate(ordered):
        by_code[finding.code].append(index)
    weight = {code: sum(len(by_code[each]) for each in reach(code) & by_code.keys()) for code in by_code}
    # What may follow from a stack that is not applied is no reason for it.
    refusing = frozenset(refusing_).difference(*map(reach, FORBIDDEN))
    above: dict[str, set[str]] = defaultdict(set)
    for cause in by_code:
        for each in FOLLOWS.get(cause, frozenset()) & by_code.keys():
            above[each].add(cause)
        if cause in NO_ACCESS:
            for each in by_code.keys() - NO_ACCESS:
                above[each].add(cause)
        if cause in refusing:
            for each in FORBIDDEN & by_code.keys():
                above[each].add(cause)
    parent: list[int] = []
    for index, finding in enumerate(ordered):
        candidates = [
            other
            for code in above[finding.code]
            for other in by_code[code]
            if _explains(ordered[other], finding, refusing)
        ]
        # The same of the same object, in other words: what weighs more says it.
        candidates += [other for other in by_code[finding.code] if other < index and _same(ordered[other], finding)]
        parent.append(min(candidates, key=lambda each: _worth(ordered[each], weight), default=index))
    return [_top(parent, index) for index in range(len(ordered))]


def _top(parent: list[int], index: int) -> int:
    while parent[index] != index:
        index = parent[index]
    return index


def _explains(cause: Finding, finding: Finding, refusing: Collection[str]) -> bool:
    """Tell whether a finding of a code that may explain another one is about the same cluster, and the same nodes."""
    if not {cause.stack, cause.peer or cause.stack} & {finding.stack, finding.peer or finding.stack}:
        return False
    # What is only worth knowing, or forbids nothing, is not why something does not work.
    if cause.severity == "info" and finding.severity != "info":
        return False
    if finding.code not in FOLLOWS.get(cause.code, ()) and cause.code in refusing and not cause.blocks:
        return False
    here, there = set(cause.subject.nodes), set(finding.subject.nodes)
    return not (here and there) or bool(here & there)


def _same(one: Finding, other: Finding) -> bool:
    return one.code in TOLD_TWICE and (one.stack, one.key) == (other.stack, other.key)


def _worth(finding: Finding, weight: dict[str, int]) -> tuple[object, ...]:
    return not finding.blocks, depth(finding.code), -weight[finding.code], _fixed(finding)


def _fixed(finding: Finding) -> tuple[object, ...]:
    """Return a key by which findings have one order, however they came; the graver of two about one thing first."""
    return (
        natural(finding.stack),
        finding.code,
        natural(finding.key),
        finding.waived is not None,
        _CLASSES[finding.severity],
        natural(finding.sentence),
        natural(finding.peer or ""),
    )


def _rank(cause: Cause) -> tuple[object, ...]:
    """Return a key by which the most probable cause comes first.

    Errors first; then what explains more; then what is about one cluster, and about an object of it rather than a file;
    then what is nearer to where it began; then a fixed order.
    """
    everything = (*cause.findings, *cause.explains)
    if cause.code == NOT_APPLIED:
        # No fault: the next step, once what stands before it is read.
        graveness = _UNAPPLIED
    else:
        graveness = min(_WAIVED if each.waived is not None else _CLASSES[each.severity] for each in everything)
    first = cause.findings[0]
    return (
        graveness,
        -len(everything),
        first.peer is not None,
        not first.subject.kind,
        depth(cause.code),
        _fixed(first),
    )
