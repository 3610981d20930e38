"""Which stacks of a fleet are meant: by name, by pattern, or by the labels in their files; and in which waves."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, RootModel, WithJsonSchema

from config.types.model import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"[-A-Za-z0-9_.]*"
_TERM = re.compile(rf"(?P<key>{_KEY})(?:(?P<sign>!?=)(?P<value>{_VALUE}))?")


def _label_key(value: str) -> str:
    if not re.fullmatch(_KEY, value):
        refuse("label-key", "is not a label's key (letters, digits, - _ . and /)", "Write it as region or team/owner")
    return value


def _label_value(value: str) -> str:
    if not re.fullmatch(_VALUE, value):
        refuse("label-value", "is not a label's value (letters, digits, - _ and .)", "Write it as eu-1")
    return value


def _member(value: str) -> str:
    if not value.strip() or ("=" in value and not all(map(_TERM.fullmatch, value.split(",")))):
        refuse(
            "wave-member",
            "names no stacks",
            "Write a stack's name, a pattern such as prod-*, or labels such as tier=canary,region!=eu",
        )
    return value


LabelKey = Annotated[str, AfterValidator(_label_key), WithJsonSchema({"type": "string", "pattern": f"^{_KEY}$"})]
LabelValue = Annotated[str, AfterValidator(_label_value), WithJsonSchema({"type": "string", "pattern": f"^{_VALUE}$"})]
_Member = Annotated[str, AfterValidator(_member), WithJsonSchema({"type": "string", "pattern": r"\S"})]


class Labels(RootModel[dict[LabelKey, LabelValue]]):
    """Labels of the stack, by which `--select` and `waves` choose it: `tier: canary`. Nothing of them is applied."""


class Waves(RootModel[tuple[Annotated[tuple[_Member, ...], Field(min_length=1)], ...]]):
    """The order in which a fleet is applied: each wave must verify before the next starts.

    A wave is a list of stacks' names, patterns (`prod-*`) and labels (`tier=canary,region!=eu`). What is in several
    counts in the first; what is in none comes last.
    """


def is_selector(text: str) -> bool:
    """Whether the text is a selector of labels: `key`, `key=value` and `key!=value`, separated by commas."""
    return bool(text) and all(map(_TERM.fullmatch, text.split(",")))


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil every term of a selector, as kubectl's `-l` has them."""
    for text in selector.split(","):
        term = _TERM.fullmatch(text)
        if term is None:
            return False
        key, sign, value = term["key"], term["sign"], term["value"]
        if sign == "!=":
            if labels.get(key) == value:
                return False
        elif key not in labels or (sign and labels[key] != value):
            return False
    return True


def matches(member: str, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a name, a pattern or a selector with a sign means the stack of that name and those labels."""
    return selects(member, labels) if "=" in member else fnmatchcase(name, member)


def in_waves(waves: Iterable[Iterable[str]], stacks: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """Order stacks (name to labels) by waves; empty ones are left out, and stacks in none are the last."""
    left = dict(stacks)
    ordered = []
    for wave in waves:
        members = tuple(wave)
        chosen = [name for name, labels in left.items() if any(matches(each, name, labels) for each in members)]
        for name in chosen:
            del left[name]
        ordered.append(chosen)
    return [wave for wave in (*ordered, list(left)) if wave]
