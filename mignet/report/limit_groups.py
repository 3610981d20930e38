"""Effective limits as a reader is shown them: clusters together whose virtual machines get the same from the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import natural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mignet.checks.limits import Outcome, Value

MOST_COLUMNS = 4
"""Outcomes that are shown side by side; of more, it is said how many there are."""


@dataclass(frozen=True, slots=True)
class Column:
    """Virtual machines that get the same, of all clusters of the group."""

    machines: tuple[str, ...]
    """As `namespace/name`, of the first cluster; `count` is of all."""
    count: int
    policy: str | None

    @property
    def words(self) -> str:
        """How many they are."""
        return f"{self.count:,} virtual machine{'' if self.count == 1 else 's'}"

    @property
    def label(self) -> str:
        """The same, with the policy that they get."""
        return f"{self.words}, MigrationPolicy {self.policy}" if self.policy else self.words


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """Clusters with the same outcomes: a column each, and a row for each limit with its value in every column."""

    stacks: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Value | None, ...]], ...]
    more: int
    """Outcomes that have no column."""


def groups(limits: Mapping[str, Sequence[Outcome]]) -> list[LimitGroup]:
    """Put clusters together by what their virtual machines get; the largest group first, those without any last."""
    alike: dict[object, list[str]] = {}
    for stack in sorted(limits, key=natural):
        alike.setdefault(tuple((each.policy, each.values) for each in limits[stack]), []).append(stack)
    made = [_group(stacks, [limits[stack] for stack in stacks]) for stacks in alike.values()]
    return sorted(made, key=lambda group: (not group.columns, -len(group.stacks)))


def _group(stacks: list[str], outcomes: list[Sequence[Outcome]]) -> LimitGroup:
    first = outcomes[0][:MOST_COLUMNS]
    columns = tuple(
        Column(each.machines, sum(len(of_one[index].machines) for of_one in outcomes), each.policy)
        for index, each in enumerate(first)
    )
    keys = dict.fromkeys(value.key for each in first for value in each.values)
    rows = tuple((key, tuple(each.limit(key) for each in first)) for key in keys)
    return LimitGroup(tuple(stacks), columns, rows, len(outcomes[0]) - len(first))
