"""Long lines on a terminal: broken between words, and what follows is indented under what it belongs to."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_LEAST = 40
"""Columns under which a line is left to the terminal."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"\S+\s*")


def wrapped(line: str, stream: TextIO, *, hanging: int | None = None) -> str:
    """Return a line as it fits a terminal; elsewhere (a file, a pipe, CI) as it is, on one line.

    What follows the first line is indented by `hanging` columns: two more than the line itself, unless given. A word
    that is too long stays in one piece.
    """
    if not stream.isatty():
        return line
    return wrapped_at(line, shutil.get_terminal_size().columns, hanging=hanging)


def wrapped_at(line: str, columns: int, *, hanging: int | None = None) -> str:
    """Return a line in lines of at most so many columns, colours not counted.

    >>> print(wrapped_at("  error: every word of this is here", 20))
      error: every word
        of this is here
    """
    if columns < _LEAST // 2 or len(_COLOUR.sub("", line)) <= columns:
        return line
    start = _COLOUR.sub("", line)
    indent = len(start) - len(start.lstrip())
    under = " " * (indent + 2 if hanging is None else hanging)
    begin = re.match(r"(?:\s|\x1b\[[0-9;]*m)*", line)
    text = begin[0] if begin else ""
    made, wide = [], indent
    for word in _WORD.findall(line[len(text) :]):
        size = len(_COLOUR.sub("", word).rstrip())
        if wide + size > columns and text.strip():
            made.append(text.rstrip())
            text, wide = under, len(under)
        text += word
        wide += len(_COLOUR.sub("", word))
    return "\n".join([*made, text.rstrip()])
