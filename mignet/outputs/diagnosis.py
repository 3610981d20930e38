"""A diagnosis for people: each cause with what it explains, what the events say, and the command to type next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from config.finding import few, folded, shown, visible
from mignet.fleet.results import MOST, not_judged
from mignet.outputs.as_markdown import plain
from mignet.outputs.as_table import COLOURS, across_stacks, kind_of
from mignet.outputs.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.finding import Finding
    from mignet.checks.diagnosis import Diagnosed, Diagnosis

LOOKS = "stack files, preflight, verify, drift, peers, events and the last checkup"
"""What is looked at."""


def table(diagnosis: Diagnosis) -> str:
    """Write the causes for a terminal, the most probable first, and a last line that counts them."""
    lines = []
    for number, same in enumerate(_alike(diagnosis), 1):
        first, kind = same[0], kind_of(same[0].finding)
        told = f"{', '.join(each.finding.stack for each in same)}: {first.finding.sentence}"
        head = f"{number}. {typer.style(kind, fg=COLOURS[kind])} {typer.style(first.finding.code, bold=True)}  "
        lines.append(wrapped(f"{head}{visible(told)}", sys.stdout, hanging=3))
        lines += (wrapped(f"   {visible(each)}", sys.stdout, hanging=5) for each in _details(same))
        # A command that is broken into lines cannot be copied.
        lines.append(f"   next: {typer.style(visible(first.next), bold=True)}")
    checked = diagnosis.checked
    said = (*checked.left_out, *checked.proven, summary(diagnosis))
    return "\n".join([*lines, *(wrapped(visible(str(each)), sys.stdout) for each in said)]) + "\n"


def markdown(diagnosis: Diagnosis) -> str:
    """Write the causes as a numbered list under a line that counts them."""
    lines = [f"**{plain(summary(diagnosis))}**", ""]
    for number, same in enumerate(_alike(diagnosis), 1):
        first = same[0]
        told = f"{', '.join(each.finding.stack for each in same)}: {first.finding.sentence}"
        lines += [f"{number}. {kind_of(first.finding)} `{first.finding.code}` {plain(told)}", ""]
        lines += [f"    - {plain(each)}" for each in _details(same)]
        lines += [f"    - next: `{visible(first.next)}`", ""]
    for remark in (*diagnosis.checked.left_out, *diagnosis.checked.proven):
        lines += [plain(str(remark)), ""]
    return "\n".join(lines)


def summary(diagnosis: Diagnosis) -> str:
    """Say in one line what was looked at, and how many causes were found.

    >>> summary(example)  # doctest: +SKIP
    '1 stack, 113 rules: 1 cause of 4 findings'
    """
    checked = diagnosis.checked
    unknown = not_judged(checked.not_judged)
    if not checked.findings:
        found = "" if unknown else f"no problems in {LOOKS}"
    else:
        causes, findings = len(diagnosis.causes), len(checked.findings)
        found = f"{causes} cause{'s' if causes > 1 else ''} of {findings} finding{'s' if findings > 1 else ''}"
    return f"{checked.looked_at}: {'; '.join(filter(None, (found, unknown)))}"


def _alike(diagnosis: Diagnosis) -> Iterator[Sequence[Diagnosed]]:
    """Yield the causes; what is the same on several stacks together."""
    found: dict[tuple[str, str, str], list[Diagnosed]] = {}
    for each in diagnosis.causes:
        found.setdefault(across_stacks(each.finding), []).append(each)
    yield from found.values()


def _details(same: Sequence[Diagnosed]) -> Iterator[str]:
    following = folded(one for each in same for one in each.explains)
    if following:
        by_code: dict[str, list[str]] = {}
        for each in following:
            by_code.setdefault(each.code, []).append(_subject(each))
        count = sum(len(each.explains) for each in same)
        listed = "; ".join(f"{code} ({few(dict.fromkeys(about), most=MOST)})" for code, about in by_code.items())
        yield f"explains {count} other finding{'s' if count > 1 else ''}: {listed}"
    for said in dict.fromkeys(each for one in same for each in one.evidence):
        yield f"event: {said}"


def _subject(finding: Finding) -> str:
    return finding.key if finding.value is None else f"{finding.key} {shown(finding.value)}"
