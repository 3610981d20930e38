"""Migrations that share a link: each gets an equal part of it, and what one does not need goes to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
