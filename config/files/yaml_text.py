"""YAML as Pulumi reads it, within bounds.

What is nested deep, has many parts, or grows by its aliases is refused before anything is built of it. What Pulumi
reads otherwise than its author may think (0100 is 64, a date becomes other text) is refused, too. Sources: yaml.v3
(resolve.go, decode.go) and Pulumi's config package (object.go), and what `pulumi config` was seen to make of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, NoReturn

import yaml

DEPTH = 50
"""Levels that values may be nested: a stack file has five, a kubeconfig six."""
MOST_NODES = 20_000
"""Values and keys of one text; a stack file has a hundred."""
_GROWTH = 4, 100_000
"""How much aliases may make of a text: so many times its characters, and so many more."""

_STR, _MAP, _SEQ, _MERGE, _INT, _FLOAT, _BOOL, _NULL = (
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq", "merge", "int", "float", "bool", "null")
)
_DATE, _NUMBER = "date", "number"
"""What stands for the tag of plain text that Pulumi takes for one, in a form that others take for something else."""


class _Loader(yaml.CSafeLoader):
    """The C parser, told when to stop, with a way of its own from nodes to values.

    As Pulumi's parser has it: a repeated key is an error, yes/no/on/off and 1:20 are text.
    """

    strict = True
    """Whether numbers and dates of an unusual form are refused; else they are text."""
    most_nodes = MOST_NODES

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = self._size = 0
        factor, more = _GROWTH
        self._most = factor * len(text) + more

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:  # noqa: ARG002
        """Count the levels and the nodes: the parser calls this for each, and itself for each level."""
        self._depth += 1
        self._nodes += 1
        if self._depth > DEPTH:
            _refuse(parent, f"is nested deeper than {DEPTH} levels", "Write it flatter")
        if self._nodes > self.most_nodes:
            _refuse(parent, f"has more than {self.most_nodes:,} values", "Make it smaller")

    def ascend_resolver(self) -> None:
        """Leave a level."""
        self._depth -= 1

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Name the type of a node that names none itself; only what stands without quotes can be more than text."""
        if kind is yaml.ScalarNode:
            # Neither is so for `! 5`, which some take for text.
            return _type_of(value) if implicit[0] else _STR if implicit[1] else "!"
        return _MAP if kind is yaml.MappingNode else _SEQ

    def construct_document(self, node: yaml.Node) -> object:
        """Build the values: a fleet has ten thousand files, and PyYAML's own way is slower."""
        return self._value(node, {})

    def _value(self, node: yaml.Node, done: dict[yaml.Node, tuple[object, int] | None]) -> object:
        if type(node) is yaml.ScalarNode:
            self._size += 1 + len(node.value)
            return node.value if node.tag == _STR else self._scalar(node)
        # An alias leads to the same node again; inside itself it has no value yet.
        if node in done:
            if (known := done[node]) is None:
                _refuse(node, "is not YAML: a value stands inside itself", "Fix that line")
            self._grow(node, known[1])
            return known[0]
        done[node] = None
        before = self._size
        self._size += 1
        result: object
        if type(node) is yaml.MappingNode and node.tag == _MAP:
            result = self._mapping(node, done)
        elif type(node) is yaml.SequenceNode and node.tag == _SEQ:
            result = [self._value(item, done) for item in node.value]
        else:
            _refuse_tag(node)
        done[node] = result, self._size - before
        self._grow(node, 0)
        return result

    def _grow(self, node: yaml.Node, size: int) -> None:
        self._size += size
        if self._size > self._most:
            _refuse(node, "grows too large by its aliases", "Write it out, or repeat less")

    def _mapping(self, node: yaml.MappingNode, done: dict[yaml.Node, tuple[object, int] | None]) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key_node, below in node.value:
            if key_node.tag == _MERGE and key_node.value == "<<":
                merged = self._merged(below, done) | merged
                self._grow(node, len(merged))
                continue
            key = self._key(key_node)
            if key in own:
                _refuse(key_node, f"is not YAML: the key {key} occurs twice in one mapping", "Fix that line")
            own[key] = self._value(below, done)
        return merged | own if merged else own

    def _key(self, node: yaml.Node) -> str:
        if type(node) is yaml.ScalarNode:
            if node.tag == _STR:
                self._size += 1 + len(node.value)
                return str(node.value)
            # Pulumi makes text of it; of 1.50 it would be 1.5, of null <nil>.
            value = self._value(node, {})
            if isinstance(value, str):
                return value
            if node.tag in {_INT, _BOOL}:
                return str(value).lower()
        _refuse(node, "is a key, and no text", "Write a text, in quotes where it would be a number")

    def _merged(self, node: yaml.Node, done: dict[yaml.Node, tuple[object, int] | None]) -> dict[str, object]:
        value = self._value(node, done)
        merged: dict[str, object] = {}
        # Of several, an earlier one counts before a later one.
        for each in reversed(value) if isinstance(value, list) else (value,):
            if not isinstance(each, dict):
                _refuse(node, "is not YAML: << takes a mapping, or a list of some", "Fix that line")
            merged |= each
            self._grow(node, len(each))
        return merged

    def _scalar(self, node: yaml.ScalarNode) -> object:
        text, tag = node.value, node.tag
        kind = _type_of(text)
        if kind in {_DATE, _NUMBER} and tag in {kind, _INT, _FLOAT}:
            if not self.strict:
                return text
            if kind is _DATE:
                _refuse(node, f"{_short(text)} is a date to Pulumi, which writes it otherwise", "Put it in quotes")
            rule = f"{_short(text)} is a number in a form that Pulumi takes for another, or for none"
            _refuse(node, rule, "Write plain digits, or put it in quotes if it is text")
        if tag == _NULL == kind:
            return None
        if tag == _BOOL == kind:
            return text in {"true", "True", "TRUE"}
        if tag in {_INT, _FLOAT} and kind in {_INT, _FLOAT} and (tag, kind) != (_INT, _FLOAT):
            return _number(text)
        return _refuse_tag(node)


class _Lenient(_Loader):
    """As client-go's parser has it: yes and on are true."""

    strict = False
    most_nodes = 200_000
    _words: ClassVar = {"yes": True, "on": True, "no": False, "off": False}

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Name the type of a node that names none itself."""
        if kind is yaml.ScalarNode and implicit[0] and value.lower() in self._words:
            return _BOOL
        return super().resolve(kind, value, implicit)

    def _scalar(self, node: yaml.ScalarNode) -> object:
        word = self._words.get(node.value.lower())
        return super()._scalar(node) if node.tag != _BOOL or word is None else word


def _refuse(node: yaml.Node | None, rule: str, remedy: str) -> NoReturn:
    raise yaml.MarkedYAMLError(None, None, rule, None if node is None else node.start_mark, remedy)


def _refuse_tag(node: yaml.Node) -> NoReturn:
    tag = node.tag.replace("tag:yaml.org,2002:", "!!")
    _refuse(node, f"has the tag {_short(tag)}, which does not fit it here", "Leave the tag out")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


_HEXADECIMAL_OR_OCTAL = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+")
_PLAIN = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_UNUSUAL = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[0-9]+)|" + _DECIMAL.pattern + r"|[-+]?\.(?:inf|Inf|INF)|"
    r"\.(?:nan|NaN|NAN)"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
_EXACT = 1 << 53
"""Pulumi hands numbers on as JSON, in which whole ones are exact up to here."""


@lru_cache(maxsize=4096)
def _type_of(text: str) -> str:
    first = text[:1]
    if first not in _FIRST:
        return _STR
    if text in {"", "~", "null", "Null", "NULL"}:
        return _NULL
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return _BOOL
    if text == "<<":
        return _MERGE
    if first in "tTfFnN~<":
        return _STR
    if _PLAIN.fullmatch(text) or _HEXADECIMAL_OR_OCTAL.fullmatch(text):
        return _INT if len(text) <= 20 and abs(_number(text)) <= _EXACT else _NUMBER
    if _DECIMAL.fullmatch(text) and not text.lstrip("+-").isdigit():
        return _FLOAT if abs(float(text)) < 1e300 else _NUMBER
    if _DAY.fullmatch(text):
        return _DATE
    # Underscores are taken out first, wherever they stand behind a digit or a sign.
    return _NUMBER if _UNUSUAL.fullmatch(text.replace("_", "")) else _STR


_FIRST = {"", *"~nNtTfF<-+.0123456789"}


def _number(text: str) -> int | float:
    digits = text.lower().removeprefix("0x").removeprefix("0o")
    if digits != text.lower():
        return int(digits, 16 if text[1] in "xX" else 8)
    if _PLAIN.fullmatch(text):
        return int(text)
    value = float(text)
    # 9000.0 and 9e3 reach the program as 9000.
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def load_yaml(text: str) -> object:
    """Return what YAML says, as Pulumi reads it. Raises yaml.YAMLError; its `note` is a remedy, where it has one."""
    return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)


def load_kubeconfig(text: str) -> object:
    """Return what YAML says, dates and numbers of an unusual form as text. Raises yaml.YAMLError."""
    return yaml.load(text, _Lenient)  # noqa: S506 (a safe loader)


def compose(text: str) -> yaml.Node | None:
    """Return the nodes of a text, with their places. Raises yaml.YAMLError."""
    node: yaml.Node | None = yaml.compose(text, _Loader)
    return node
