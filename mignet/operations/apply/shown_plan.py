"""Whether a plan still is the one that was shown: somebody may have changed the cluster since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mignet.kube.diff import FieldChange, ObjectChange


def not_applied(before: Sequence[ObjectChange], now: Sequence[ObjectChange]) -> str | None:
    """Say what differs of a plan that was shown from the one that holds now; None when they are the same."""
    if found := list(_differing(before, now)):
        return f"was changed since the plan was shown, so that nothing was applied: {few(found)}. Look at it, run again"
    return None


def _differing(before: Sequence[ObjectChange], now: Sequence[ObjectChange]) -> Iterator[str]:
    old, new = ({change.key: change for change in each if change.operation != "same"} for each in (before, now))
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        if one is None or other is None or one.operation != other.operation:
            then, since = ("unchanged" if each is None else f"to {each.operation}" for each in (one, other))
            yield f"{key} was {then}, and is {since} now"
            continue
        fields, others = ({each.path: each for each in change.fields} for change in (one, other))
        for path in dict.fromkeys((*fields, *others)):
            if sentence := _moved(fields.get(path), others.get(path)):
                yield f"{key} {path} {sentence}"


def _moved(one: FieldChange | None, other: FieldChange | None) -> str | None:
    if one is None or other is None:
        return "is to be changed, too" if one is None else "is what is declared already"
    if one.old != other.old:
        return f"was {shown(one.old)}, and is {shown(other.old)} now"
    if one.new != other.new:
        return f"was to become {shown(one.new)}, and is to become {shown(other.new)} now"
    return None if one.owner == other.owner else f"belongs to {other.owner or 'nobody else'} now"
