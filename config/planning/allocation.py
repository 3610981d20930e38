"""Which part of a subnet a stack gets: the best-fitting free one, never moving what is there.

Of one address family; a dual-stack segment asks once for each. Everything is deterministic: the same files give the
same slices, in whatever order the stacks are named.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.types.addressing import AddressRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.types.addressing import Network

SHORTEST_PREFIX = {4: 8, 6: 64}
"""The widest subnets that are proposed: whereabouts hands out of the first half only when an IPv6 one is wider."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one stack wants: `size` addresses that can be handed out, in the slice `current` when it has one.

    `avoid` are addresses that count for nothing in this stack, such as those that its own IPAM excludes.
    """

    stack: str
    size: int
    current: AddressRange | None = None
    avoid: tuple[AddressRange, ...] = ()

    @property
    def missing(self) -> int:
        """Addresses that `current` lacks; 0 when it has enough."""
        if self.current is None:
            return self.size
        return max(0, self.size - sum(part.size for part in self.current.without(self.avoid)))


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Why a wish cannot be granted, and the smallest subnet around this one in which all of them could be.

    `largest` is the size of the largest free part that the stack could have had; for a slice that has to grow, `before`
    and `after` are the sizes of the free parts that touch it.
    """

    wish: Wish
    largest: int
    before: int
    after: int
    smallest: Network | None


class FreeSpace:
    """The free parts of a range, kept so that the best-fitting one is found in logarithmic time."""

    def __init__(self, usable: AddressRange, taken: Iterable[AddressRange]) -> None:
        parts = list(usable.without(taken))
        self._by_first = {int(part.first): part for part in parts}
        self._by_last = {int(part.last): part for part in parts}
        self._by_size = sorted((part.size, int(part.first)) for part in parts)

    @property
    def parts(self) -> list[AddressRange]:
        """What is free, in the order of the addresses."""
        return [self._by_first[first] for first in sorted(self._by_first)]

    def take(self, size: int, *, avoid: Sequence[AddressRange] = ()) -> AddressRange | None:
        """Take `size` addresses from the start of the smallest part that has them, the lowest of equals.

        None when no part has as many in a row.
        """
        if avoid:
            pieces = ((piece, part) for part in self._by_first.values() for piece in part.without(avoid))
            fitting = [(piece.size, int(piece.first), piece, part) for piece, part in pieces if piece.size >= size]
            if not fitting:
                return None
            _, _, piece, part = min(fitting, key=lambda each: each[:2])
        else:
            index = bisect.bisect_left(self._by_size, (size, 0))
            if index == len(self._by_size):
                return None
            piece = part = self._by_first[self._by_size[index][1]]
        taken = AddressRange(piece.first, piece.first + (size - 1))
        self._cut(part, taken)
        return taken

    def grow(self, current: AddressRange, more: int, *, avoid: Sequence[AddressRange] = ()) -> AddressRange | None:
        """Take `more` addresses that touch `current`: after its end, else before its start, else on both sides.

        Returns `current` with them, or None when there are not as many.
        """
        before, after = self.around(current, avoid=avoid)
        if before + after < more:
            return None
        at_end = more if after >= more else 0 if before >= more else after
        at_start = more - at_end
        if at_end:
            part = self._by_first[int(current.last) + 1]
            self._cut(part, AddressRange(part.first, current.last + at_end))
        if at_start:
            part = self._by_last[int(current.first) - 1]
            self._cut(part, AddressRange(current.first - at_start, part.last))
        return AddressRange(current.first - at_start, current.last + at_end)

    def around(self, current: AddressRange, *, avoid: Sequence[AddressRange] = ()) -> tuple[int, int]:
        """Return how many free addresses touch `current`: before its start, and after its end."""
        before, after = self._by_last.get(int(current.first) - 1), self._by_first.get(int(current.last) + 1)
        if before is not None and avoid:
            before = next((piece for piece in before.without(avoid) if piece.last == before.last), None)
        if after is not None and avoid:
            after = next((piece for piece in after.without(avoid) if piece.first == after.first), None)
        return (before.size if before else 0), (after.size if after else 0)

    def largest(self, *, avoid: Sequence[AddressRange] = ()) -> int:
        """Return the size of the largest part; 0 when nothing is free."""
        if avoid:
            return max((piece.size for part in self.parts for piece in part.without(avoid)), default=0)
        return self._by_size[-1][0] if self._by_size else 0

    def _cut(self, part: AddressRange, taken: AddressRange) -> None:
        del self._by_first[int(part.first)], self._by_last[int(part.last)]
        self._by_size.pop(bisect.bisect_left(self._by_size, (part.size, int(part.first))))
        for rest in part.without([taken]):
            self._by_first[int(rest.first)] = self._by_last[int(rest.last)] = rest
            bisect.insort(self._by_size, (rest.size, int(rest.first)))


def allocate(
    subnet: Network,
    *,
    kept_free: Iterable[AddressRange],
    slices: Iterable[AddressRange],
    wishes: Iterable[Wish],
) -> tuple[dict[str, AddressRange], list[NoRoom]]:
    """Grant every wish, or say which cannot be, with all of them in one order, whoever is named first.

    `kept_free` are the gateway and the reserved ranges, `slices` all that exist, those of the wishes included. Slices
    grow before new ones are placed, and large new ones come before small ones. Returns the slice of each stack that
    wished for one; when the second part is not empty, the first is not complete, and nothing should be written.
    """
    kept_free, slices, wishes = tuple(kept_free), tuple(slices), sorted(wishes, key=_order)
    granted, refused = _placed(subnet, (*kept_free, *slices), wishes)
    if not refused:
        return granted, []
    smallest = _smallest(subnet, (*kept_free, *slices), wishes)
    return granted, [NoRoom(wish, *measures, smallest) for wish, measures in refused]


def _order(wish: Wish) -> tuple[object, ...]:
    return (wish.current is None, -wish.missing, wish.stack)


_Measures = tuple[int, int, int]


def _placed(
    subnet: Network, taken: Iterable[AddressRange], wishes: Iterable[Wish]
) -> tuple[dict[str, AddressRange], list[tuple[Wish, _Measures]]]:
    free = FreeSpace(AddressRange.usable(subnet), taken)
    granted: dict[str, AddressRange] = {}
    refused: list[tuple[Wish, _Measures]] = []
    for wish in wishes:
        current = wish.current
        if current is None:
            found = free.take(wish.size, avoid=wish.avoid)
        elif wish.missing:
            found = free.grow(current, wish.missing, avoid=wish.avoid)
        else:
            found = current
        if found is not None:
            granted[wish.stack] = found
        else:
            around = (0, 0) if current is None else free.around(current, avoid=wish.avoid)
            refused.append((wish, (free.largest(avoid=wish.avoid), *around)))
    return granted, refused


def _smallest(subnet: Network, taken: Iterable[AddressRange], wishes: Iterable[Wish]) -> Network | None:
    """Return the smallest subnet around `subnet` in which all wishes are granted; None when even the widest is none.

    The ends of the subnet become usable in a wider one, on one side at least; so more may fit than the number of its
    addresses says.
    """
    taken, wishes, wider = tuple(taken), tuple(wishes), subnet
    while wider.prefixlen > SHORTEST_PREFIX[wider.version]:
        wider = wider.supernet()
        if wider.is_private != subnet.is_private:
            return None
        if not _placed(wider, taken, wishes)[1]:
            return wider
    return None
