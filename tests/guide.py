"""A how-to guide as steps that can be carried out: its fenced blocks, and what comments before them ask for.

`$ ` lines of a `console` block are commands; what stands below one is its output. `…` stands for any text within a
line, and alone on a line for any lines. A `yaml` block counts only with `into` or `as`. A comment before a block says:

    <!-- run: exit 7 -->               the block's last command ends with this code, all others with 0
    <!-- run: needs pulumi -->         the block is skipped where that program is not on PATH
    <!-- run: not here: REASON -->     the block is skipped
    <!-- run: into FILE -->            the YAML goes into the file, over the keys that are there
    <!-- run: as FILE -->              the text becomes the file
    <!-- run: first                    commands that bring about the situation, not shown to the reader;
    $ ...                              with `first needs pulumi`, only where that program is
    -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PARTS = re.compile(
    r"^ *<!-- run: (?P<asked>.*?)-->\n|^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Command:
    """One command line, and the output that the guide shows: None when it shows none."""

    line: str
    shown: tuple[str, ...] | None
    code: int = 0

    def shows(self, output: str) -> bool:
        """Tell whether the output is what the guide shows."""
        if self.shown is None:
            return True
        pattern = "".join(_line(each) for each in self.shown)
        return re.fullmatch(pattern, output if output.endswith("\n") else f"{output}\n") is not None


@dataclass(frozen=True)
class Step:
    """One block: commands to run, or a file to write; `needs` names a program, `skip` says why it cannot be run."""

    title: str
    commands: tuple[Command, ...] = ()
    needs: str | None = None
    skip: str | None = None
    file: str | None = None
    text: str = ""
    merge: bool = False


def read(path: Path) -> Iterator[Step]:
    """Yield the steps of a guide, in order."""
    asked = ""
    for part in _PARTS.finditer(path.read_text(encoding="utf-8")):
        if part["asked"] is not None:
            asked, _, hidden = part["asked"].partition("\n")
            if asked.startswith("first"):
                needs = asked.partition(" needs ")[2].strip() or None
                yield Step("before", tuple(_commands(hidden, 0)), needs=needs)
                asked = ""
            continue
        text = "".join(line.removeprefix(part["indent"]) for line in part["text"].splitlines(keepends=True))
        if part["language"] == "console" or re.match("into|as", asked):
            yield _step(asked.strip(), text)
        asked = ""


def _step(asked: str, text: str) -> Step:
    verb, _, rest = asked.partition(" ")
    match verb:
        case "into" | "as":
            return Step(f"{verb} {rest}", file=rest, text=text, merge=verb == "into")
        case "not":
            return Step(text.splitlines()[0], tuple(_commands(text, 0)), skip=rest.partition(": ")[2])
        case "needs":
            return Step(text.splitlines()[0], tuple(_commands(text, 0)), needs=rest)
        case "exit" | "":
            return Step(text.splitlines()[0], tuple(_commands(text, int(rest or 0))))
    raise AssertionError(asked)


def _commands(text: str, code: int) -> Iterator[Command]:
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and not found[-1][1] and _goes_on(found[-1][0]):
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif found:
            found[-1][1].append(line)
    for number, (line, shown) in enumerate(found, start=1):
        yield Command(line, tuple(shown) or None, code if number == len(found) else 0)


def _goes_on(command: str) -> bool:
    """Tell whether a command has more lines: after a backslash, and in a loop."""
    return command.endswith("\\") or (command.startswith("for ") and not command.endswith("done"))


def _line(shown: str) -> str:
    if shown.strip() == "…":
        return r"(?:.*\n)*"
    return r".*".join(re.escape(each) for each in shown.split("…")) + r"\n"
