"""What is printed, on its way out: nothing that a file or a cluster holds acts on a terminal, or in a log of CI."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import TextIO

from config.finding import COMMAND, UNSEEN, escaped

_COLOUR = r"\x1b\[[0-9;]{1,8}m"
"""What this program writes itself, to a terminal alone."""
_ACTS = re.compile(rf"(?P<ours>{_COLOUR}|\n)|{UNSEEN.pattern}|(?<=##)\[")
_ANNOTATION = re.compile(r"::(?:error|warning|notice)(?: file=|::)")
"""The commands of GitHub Actions that `-o github` writes; no other one leaves."""


class Visible(io.TextIOWrapper):
    r"""A stream that writes control characters, and marks that turn the direction of text, as `\u001b`.

    That is also how JSON writes them, so that a reader of JSON finds what was there. Half a character, and what the
    stream's encoding lacks, is written in that way, too. With NO_COLOR in the environment (no-color.org), colours are
    left out.
    """

    def __init__(self, stream: TextIO) -> None:
        # typer writes UTF-8 beside a stream of ASCII, which some machines take for the terminal's.
        encoding = "utf-8" if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding
        super().__init__(stream.buffer, encoding=encoding, errors="backslashreplace", newline="\n", line_buffering=True)
        self._plain = bool(os.environ.get("NO_COLOR"))
        # Collected, it would close the file below both.
        self._below = stream

    def _ours(self, found: str) -> str:
        return "" if self._plain and found != "\n" else found

    def write(self, text: str) -> int:
        """Write text, and return how much of it that was."""
        shown = _ACTS.sub(lambda found: self._ours(found[0]) if found["ours"] else escaped(found[0]), text)
        if "::" in shown:
            shown = COMMAND.sub(lambda found: ":" if _ANNOTATION.match(shown, found.start()) else "\\u003a", shown)
        super().write(shown)
        return len(text)


def make_visible() -> None:
    """Have all that is printed from here on go through `Visible`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Visible):
            stream.flush()
            setattr(sys, name, Visible(stream))
