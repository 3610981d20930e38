"""Pulumi.yaml and the stack files, read the way the Pulumi CLI reads them.

The CLI hands a program its config; whoever works from the files alone (offline checks, the direct engine) reads them
here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from config.finding import ConfigError, Finding, Subject, UserError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

_STACK_FILE = "Pulumi.{}.yaml"


class ProjectNotFoundError(UserError):
    """There is no Pulumi.yaml in the folder, nor in one above it."""

    exit_code = 2


_STR, _MAP, _SEQ, _MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq", "merge"))


class _Loader(yaml.CSafeLoader):
    """YAML as Pulumi's parser takes it: a repeated key is an error, yes/no/on/off and 1:20 are text, dates are text."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Name the type of a node that names none itself; only what stands without quotes can be more than text."""
        if kind is yaml.ScalarNode:
            return _type_of(value) if implicit[0] else _STR
        return _MAP if kind is yaml.MappingNode else _SEQ

    def construct_document(self, node: yaml.Node) -> object:
        """Build the values of plain nodes directly: a fleet has ten thousand files, and PyYAML's own way is slower."""
        return self._value(node, {})

    def _value(self, node: yaml.Node, done: dict[yaml.Node, object]) -> object:
        tag = node.tag
        if tag == _STR:
            return node.value
        if tag not in {_MAP, _SEQ}:
            return self.construct_object(node, deep=True)
        # An alias leads to the same node again; inside itself it has no value yet.
        if node in done:
            if done[node] is None:
                problem = "a value stands inside itself"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            return done[node]
        done[node] = None
        result: object
        if tag == _SEQ:
            result = [self._value(item, done) for item in node.value]
        elif any(key.tag != _STR for key, _ in node.value):
            result = self.construct_object(node, deep=True)
        else:
            result = {key.value: self._value(below, done) for key, below in node.value}
            if len(result) < len(node.value) and isinstance(node, yaml.MappingNode):
                self.construct_mapping(node)  # names the key that stands there twice
        done[node] = result
        return result

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"the key {key} stands here a second time"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


@lru_cache(maxsize=4096)
def _type_of(text: str) -> str:
    patterns = _Loader.yaml_implicit_resolvers.get(text[:1], ())
    return next((tag for tag, pattern in patterns if pattern.match(text)), _STR)


_YAML_1_2 = {
    "tag:yaml.org,2002:bool": r"^(?:true|True|TRUE|false|False|FALSE)$",
    "tag:yaml.org,2002:int": r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$",
    "tag:yaml.org,2002:float": r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
    "tag:yaml.org,2002:null": r"^(?:~|null|Null|NULL|)$",
}


def _use_yaml_1_2() -> None:
    _Loader.yaml_implicit_resolvers = {}
    first = {"bool": "tTfF", "int": "-+0123456789", "float": "-+.0123456789", "null": "~nN"}
    for tag, pattern in _YAML_1_2.items():
        letters = [*first[tag.rpartition(":")[2]]]
        _Loader.add_implicit_resolver(tag, re.compile(pattern), [*letters, ""] if tag.endswith("null") else letters)
    _Loader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


_use_yaml_1_2()


def load_yaml(text: str) -> object:
    """Return what YAML says, as Pulumi reads it. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)


@dataclass(frozen=True, slots=True)
class Project:
    """A Pulumi project's folder: its name, and the config of its stacks as the files give it."""

    directory: Path
    name: str
    defaults: dict[str, object]
    """Config values that a stack has unless its file sets the key (whole key, no merge)."""

    @classmethod
    def find(cls, start: Path) -> Project:
        """Read the project whose folder is `start` or above it.

        Raises ProjectNotFoundError, or ConfigError when Pulumi.yaml cannot be read.
        """
        for folder in (start, *start.parents):
            if (folder / "Pulumi.yaml").is_file():
                return cls._read(folder)
        msg = f"no Pulumi.yaml in {start} or above it; change into the project's folder, or name it with --cwd"
        raise ProjectNotFoundError(msg)

    @classmethod
    def _read(cls, folder: Path) -> Project:
        content = _read(folder / "Pulumi.yaml", stack="Pulumi.yaml")
        name = content.get("name")
        if not isinstance(name, str):
            raise ConfigError([_mistake("Pulumi.yaml", "name", name, "is required", "Add it")])
        defaults: dict[str, object] = {}
        for key, declared in _mapping(content, "config", stack="Pulumi.yaml").items():
            namespace, _, bare = str(key).rpartition(":")
            if namespace not in {"", name}:
                continue
            # `segment: {…type, default…}` declares; anything that is no mapping is itself the default.
            if not isinstance(declared, dict):
                defaults[bare] = declared
            elif "default" in declared or "value" in declared:
                defaults[bare] = declared.get("default", declared.get("value"))
        return cls(folder, name, defaults)

    def stack_names(self) -> list[str]:
        """Return the names of all stacks that have a file, sorted."""
        prefix, suffix = _STACK_FILE.split("{}")
        return sorted(
            path.name[len(prefix) : -len(suffix)]
            for path in self.directory.glob(_STACK_FILE.format("*"))
            if path.name != "Pulumi.yaml"
        )

    def stack_file(self, stack: str) -> Path:
        """Return the path of a stack's file, which need not exist."""
        return self.directory / _STACK_FILE.format(stack)

    def stack_values(self, stack: str) -> dict[str, object]:
        """Return the config values of one stack: its file's, and the project's where the file has none.

        Raises ConfigError when the file is missing or cannot be read.
        """
        return self.defaults | self.own_values(stack)

    def own_values(self, stack: str) -> dict[str, object]:
        """Return the config values that the stack's file itself sets. Raises as `stack_values` does."""
        path = self.stack_file(stack)
        try:
            content = _read(path, stack=stack)
        except FileNotFoundError:
            known = ", ".join(self.stack_names()) or "none"
            mistake = _mistake(stack, path.name, None, "does not exist", f"Stacks with a file: {known}")
            raise ConfigError([mistake]) from None
        values: dict[str, object] = {}
        findings = []
        for key, value in _mapping(content, "config", stack=stack).items():
            namespace, _, bare = str(key).rpartition(":")
            if namespace not in {"", self.name}:
                continue
            if isinstance(value, dict) and value.keys() == {"secure"}:
                findings.append(
                    _mistake(stack, bare, value, "is encrypted", "Nothing here is secret: write it in plain text")
                )
            values[bare] = value
        if findings:
            raise ConfigError(findings)
        return values


def _read(path: Path, *, stack: str) -> dict[str, object]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigError([_mistake(stack, path.name, None, "is not UTF-8 text", "Save it as UTF-8")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = None if mark is None else (mark.line + 1, mark.column + 1)
        where = Subject(path.name if at is None else f"{path.name}:{at[0]}:{at[1]}", at=at)
        raise ConfigError([_mistake(stack, where, None, f"is not YAML: {error.problem}", "Mend that line")]) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError([_mistake(stack, path.name, None, f"is not YAML: {reason}", "Mend it")]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError([_mistake(stack, path.name, content, "is not a mapping", "Write key: value lines")])
    return content


def _mapping(content: dict[str, object], key: str, *, stack: str) -> dict[object, object]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError([_mistake(stack, key, value, "is not a mapping", "Write key: value lines under it")])
    return value


def _mistake(stack: str, key: str, value: object, rule: str, remedy: str) -> Finding:
    return Finding(key, value, rule, remedy, code="project-file", stack=stack)
