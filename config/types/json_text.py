"""JSON that others wrote: in a stack file, on a cluster, in a record of an earlier run."""

from __future__ import annotations

import json
from typing import Any, NoReturn

DEPTH = 100
"""Levels of a value: what walks through one calls itself for each."""


def parse_json(text: object) -> Any:
    """Return what JSON says.

    Raises ValueError for what is none, is nested too deep, or has half of a character that nothing can write again.
    """
    if not isinstance(text, str | bytes):
        msg = "is no text"
        raise ValueError(msg)  # noqa: TRY004 (as for all else that is no JSON)
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    if raw.count(b"[") + raw.count(b"{") > DEPTH and _deeper(value, DEPTH):
        raise ValueError(_TOO_DEEP)
    if b"\\u" in raw:
        json.dumps(value, ensure_ascii=False).encode()
    return value


_TOO_DEEP = f"is nested deeper than {DEPTH} levels"


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)


def _deeper(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        level = [each for each in below if isinstance(each, dict | list)]
    return bool(level)


def whole_numbers(value: object) -> Any:
    """Return a value as a file holds it: Pulumi hands plugins one kind of number, 9000 as 9000.0.

    >>> whole_numbers({"mtu": 9000.0, "share": [0.5]})
    {'mtu': 9000, 'share': [0.5]}
    """
    match value:
        case dict():
            return {key: whole_numbers(each) for key, each in value.items()}
        case list():
            return [whole_numbers(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
