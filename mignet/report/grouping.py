"""Findings as a reader is told them: one that is between a cluster and many others is told once, of that cluster."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.finding import Finding


@dataclass(frozen=True, slots=True)
class Told:
    """A finding about `stack`, or about it and `others`: then it stands for one finding with each of these."""

    finding: Finding
    stack: str
    others: tuple[str, ...] = ()

    @property
    def about(self) -> tuple[str, ...]:
        """The stacks it counts for: of a pair both, of a stack and many others that one."""
        return (self.stack, *self.others) if len(self.others) == 1 else (self.stack,)


def told(findings: Iterable[Finding]) -> tuple[Told, ...]:
    """Put together what is between a stack and others, code by code: first the stack that most are about."""
    found = list(findings)
    pairs: defaultdict[tuple[str, str | None], list[Finding]] = defaultdict(list)
    for finding in found:
        if finding.peer:
            pairs[finding.code, finding.waived].append(finding)
    between = {key: _by_stack(same) for key, same in pairs.items()}
    result: list[Told] = []
    for finding in found:
        if not finding.peer:
            result.append(Told(finding, finding.stack))
        else:
            # All of a code where its first one stands.
            result += between.pop((finding.code, finding.waived), [])
    return tuple(result)


def _by_stack(same: list[Finding]) -> list[Told]:
    ends = [(finding, (finding.stack, str(finding.peer))) for finding in same]
    of: defaultdict[str, list[int]] = defaultdict(list)
    for index, (_, both) in enumerate(ends):
        for name in both:
            of[name].append(index)
    left = Counter({name: len(indices) for name, indices in of.items()})
    done: set[int] = set()
    result = []
    while len(done) < len(ends):
        # Of equals the first by name, so that a report of the same fleet is the same.
        stack = min(left, key=lambda name: (-left[name], name))
        mine = [index for index in of[stack] if index not in done]
        others = [next(name for name in ends[index][1] if name != stack) for index in mine]
        result.append(Told(ends[mine[0]][0], stack, tuple(dict.fromkeys(others))))
        done.update(mine)
        left.subtract(others)
        del left[stack]
    return result
