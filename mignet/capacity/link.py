"""Migrations that share a link: each gets an equal part of it, and what one does not need goes to the others."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from mignet.capacity.rounds import Ending, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 7 * 24 * 3600.0
"""Seconds after which a migration counts as one that never ends."""


def share(link: float, wants: Sequence[float]) -> list[float]:
    """Return what each gets of a link (bytes per second): equal parts, none more than it wants (max-min fairness).

    >>> share(100, [20, 60, 60])
    [20, 40.0, 40.0]
    """
    given = [0.0] * len(wants)
    left, waiting = link, sorted(range(len(wants)), key=wants.__getitem__)
    for place, which in enumerate(waiting):
        given[which] = min(wants[which], left / (len(waiting) - place))
        left -= given[which]
    return given


def together(runs: Sequence[Run], link: float = inf, *, longest: float = LONGEST) -> None:
    """Run migrations that begin at one time on one link (bytes per second) until each has ended."""
    while active := [each for each in runs if not each.ended]:
        for each, rate in zip(active, share(link, [each.wants for each in active]), strict=True):
            each.rate = rate
        step = min(each.until() for each in active)
        if step == inf or active[0].elapsed + step > longest:
            for each in active:
                each.ended = Ending.NEVER
            return
        for each in active:
            each.advance(step)
        for each in active:
            each.happen()
