"""Change one config key in the text of a stack file, and not one byte beside it.

The text is cut at the places that the YAML parser names; nothing is written anew but the value itself. So comments,
order, quotes, spacing, anchors and line ends stay as their author left them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from config.files.yaml_text import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = str | int | bool | list["Value"] | dict[str, "Value"]
_Edit = tuple[int, int, str]


class NotEditableError(ValueError):
    """The text is YAML, and yet the key cannot be changed without changing something else."""


@dataclass(slots=True)
class _Node:
    """A node of the text: where it begins (its anchor included) and where its last character ends."""

    start: int
    end: int
    event: yaml.Event
    entries: list[tuple[_Node, _Node]] = field(default_factory=list)
    items: list[_Node] = field(default_factory=list)

    @property
    def flow(self) -> bool:
        return bool(getattr(self.event, "flow_style", False))

    @property
    def value(self) -> object:
        return self.event.value if isinstance(self.event, yaml.ScalarEvent) else None

    def within(self) -> Iterator[_Node]:
        yield self
        for child in (*(each for entry in self.entries for each in entry), *self.items):
            yield from child.within()

    def entry(self, *keys: str) -> int | None:
        """Return the place of the first entry whose key is one of `keys`."""
        return next((index for index, (key, _) in enumerate(self.entries) if key.value in keys), None)


def with_key(text: str, project: str, key: str, value: Value, *, after: str) -> str:
    """Return `text` with config key `key` (of `project`, with or without its name before it) set to `value`.

    A key that is not there yet comes after key `after`, or at the end without that one. Raises NotEditableError.
    """
    config = _config(text)
    place = config.entry(key, f"{project}:{key}")
    if place is None:
        name = f"{project}:{key}" if str(config.entries[-1][0].value).startswith(f"{project}:") else key
        neighbour = config.entry(after, f"{project}:{after}")
        edits = [_insertion(text, config, -1 if neighbour is None else neighbour, {name: value})]
    else:
        node = config.entries[place][1]
        _refuse_shared(config, node)
        edits = list(_edits(text, node, value))
    return _applied(text, project, key, edits, value)


def without_key(text: str, project: str, key: str) -> str:
    """Return `text` without config key `key`: its lines go, or its part of a line. Raises NotEditableError.

    Text that does not have the key comes back as it is.
    """
    config = _config(text)
    place = config.entry(key, f"{project}:{key}")
    if place is None:
        return text
    key_node, value_node = config.entries[place]
    _refuse_shared(config, value_node)
    start, end = key_node.start, max(key_node.end, value_node.end)
    if not config.flow:
        start, end = text.rfind("\n", 0, start) + 1, _line_end(text, end)
    elif place + 1 < len(config.entries):
        end = config.entries[place + 1][0].start
    elif place:
        before = config.entries[place - 1]
        start = max(before[0].end, before[1].end)
    return _applied(text, project, key, [(start, end, "")], None)


def _applied(text: str, project: str, key: str, edits: list[_Edit], value: Value | None) -> str:
    new = text
    for start, end, replacement in sorted(edits, reverse=True):
        new = new[:start] + replacement + new[end:]
    # What is said above holds by this check, whatever YAML the file is made of.
    if _rest(new, project, key) != (_rest(text, project, key)[0], value):
        msg = "is written in a way that cannot be changed in place"
        raise NotEditableError(msg)
    return new


def _rest(text: str, project: str, key: str) -> tuple[object, object]:
    """Return everything but the key, and the key's value."""
    try:
        content = load_yaml(text)
    except yaml.YAMLError:
        return None, None
    if not isinstance(content, dict):
        return None, None
    config = dict(content.get("config") or {})
    found = [config.pop(name) for name in (key, f"{project}:{key}") if name in config]
    return content | {"config": config}, found[0] if found else None


def _config(text: str) -> _Node:
    """Return the node of the mapping `config`."""
    root = _tree(text)
    place = None if root is None else root.entry("config")
    node = None if root is None or place is None else root.entries[place][1]
    if node is None or not node.entries:
        msg = "is in a file without a mapping config"
        raise NotEditableError(msg)
    return node


def _refuse_shared(config: _Node, value: _Node) -> None:
    """Refuse to touch a value of which another place of the file repeats a part."""
    inside = {id(each) for each in value.within()}
    aliases = {
        getattr(each.event, "anchor", None)
        for each in config.within()
        if isinstance(each.event, yaml.AliasEvent) and id(each) not in inside
    }
    anchors = {
        getattr(each.event, "anchor", None) for each in value.within() if not isinstance(each.event, yaml.AliasEvent)
    }
    if anchors & aliases - {None}:
        msg = "has an anchor that another key repeats"
        raise NotEditableError(msg)


def _tree(text: str) -> _Node | None:
    events = yaml.parse(text, yaml.SafeLoader)

    def read(event: yaml.Event) -> _Node:
        start, end = _marks(event)
        node = _Node(start, start + len(text[start:end].rstrip()), event)
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(following := next(events), yaml.MappingEndEvent):
                node.entries.append((read(following), read(next(events))))
            node.end = _marks(following)[1] if node.flow else _last(node, *(node.entries[-1] if node.entries else ()))
        elif isinstance(event, yaml.SequenceStartEvent):
            while not isinstance(following := next(events), yaml.SequenceEndEvent):
                node.items.append(read(following))
            node.end = _marks(following)[1] if node.flow else _last(node, *node.items[-1:])
        return node

    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            return read(event)
    return None


def _marks(event: yaml.Event) -> tuple[int, int]:
    if event.start_mark is None or event.end_mark is None:
        raise AssertionError
    return event.start_mark.index, event.end_mark.index


def _last(node: _Node, *children: _Node) -> int:
    return max([node.end, *(child.end for child in children)])


def _edits(text: str, node: _Node, value: Value) -> Iterator[_Edit]:
    """Yield what to replace in `node`: only scalars that differ and keys that are new, where it has no other ones."""
    keys = {key.value: each for key, each in node.entries}
    if isinstance(value, dict) and keys and keys.keys() <= value.keys() and len(keys) == len(node.entries):
        for key, entry in keys.items():
            yield from _edits(text, entry, value[str(key)])
        if new := {key: each for key, each in value.items() if key not in keys}:
            yield _insertion(text, node, -1, new)
    elif isinstance(value, list) and node.items and len(value) == len(node.items):
        for item, each in zip(node.items, value, strict=True):
            yield from _edits(text, item, each)
    elif isinstance(value, str) and isinstance(node.event, yaml.ScalarEvent):
        if node.value != value:
            properties = re.match(r"(?:[&!]\S*\s+)*", text[node.start : node.end])
            start = node.start + (properties.end() if properties else 0)
            quote = node.event.style if node.event.style in {"'", '"'} else ""
            blank = "" if text[:start].endswith((" ", "\n", "[", "{")) else " "
            yield start, node.end, blank + (f"{quote}{value}{quote}" if quote else _flow(value))
    else:
        blank = "" if text[: node.start].endswith((" ", "\n", "[", "{")) else " "
        yield node.start, node.end, blank + _flow(value)


def _insertion(text: str, config: _Node, neighbour: int, entry: dict[str, Value]) -> _Edit:
    key_node, value_node = config.entries[neighbour]
    end = max(key_node.end, value_node.end)
    if config.flow:
        return end, end, f", {_flow(entry)[1:-1]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = " " * (key_node.start - (text.rfind("\n", 0, key_node.start) + 1))
    lines = "".join(f"{line}{newline}" for name, value in entry.items() for line in _block(name, value, indent))
    place = _line_end(text, end)
    if text[:place].endswith("\n"):
        return place, place, lines
    return place, place, newline + lines.removesuffix(newline)


def _line_end(text: str, index: int) -> int:
    """Return where the line after `index` begins, or where the text ends."""
    newline = text.find("\n", index)
    return len(text) if newline < 0 else newline + 1


def _block(key: str, value: Value, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{indent}{key}:"
        for name, each in value.items():
            yield from _block(name, each, indent + "  ")
    elif isinstance(value, list):
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {_flow(each)}" for each in value)
    else:
        yield f"{indent}{key}: {_flow(value)}"


def _flow(value: Value) -> str:
    """Write a value on one line, text without quotes where every reader of YAML takes it for text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, str):
        try:
            plain: Any = yaml.safe_load(f"{{key: {value}}}")
        except yaml.YAMLError:
            plain = None
        return value if plain == {"key": value} else json.dumps(value)
    return json.dumps(value)
