"""Effective limits for a terminal: who gets what, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mignet.checks.limits import Outcome


def lines(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """Yield a block for each group of virtual machines that get the same limits."""
    for stack, groups in outcomes.items():
        if not groups:
            yield visible(f"{stack}: no virtual machine runs")
        for each in groups:
            count = len(each.machines)
            head = f"{stack}: {count} virtual machine{'' if count == 1 else 's'}: {few(each.machines)}"
            yield visible(head)
            wide = max((len(value.key) for value in each.values), default=0)
            shown = max((len(value.words) for value in each.values), default=0)
            for value in each.values:
                yield visible(f"    {value.key:<{wide}}  {value.words:<{shown}}  {value.source}")
