"""Pulumi.yaml and the stack files, read the way the Pulumi CLI reads them.

The CLI hands a program its config; whoever works from the files alone (offline checks, the direct engine) reads them
here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import yaml

from config.files.file_text import read_text
from config.files.yaml_text import load_yaml
from config.finding import ConfigError, Finding, Subject, UserError, natural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_STACK_FILE = "Pulumi.{}.yaml"
_USUAL = "migration-network"
"""What the documents call a project: keys that are copied from there begin with it."""


class ProjectNotFoundError(UserError):
    """There is no Pulumi.yaml in the folder, nor in one above it."""

    exit_code = 2


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
            if os.path.lexists(folder / "Pulumi.yaml"):
                return cls._read(folder)
        remedy = "change into the project's folder, name it with --cwd, or make one: mignet new DIR"
        msg = f"no Pulumi.yaml in {start} or above it; {remedy}"
        raise ProjectNotFoundError(msg)

    @classmethod
    def _read(cls, folder: Path) -> Project:
        try:
            content = _read(folder / "Pulumi.yaml", stack="Pulumi.yaml")
        except FileNotFoundError:
            rule, remedy = "is a link to a file that does not exist", "Correct it"
            raise ConfigError([_mistake("Pulumi.yaml", "Pulumi.yaml", None, rule, remedy)]) from None
        name = content.get("name")
        if not isinstance(name, str):
            raise ConfigError([_mistake("Pulumi.yaml", "name", name, "is required", "Add it")])
        defaults: dict[str, object] = {}
        for key, declared in _mapping(content, "config", stack="Pulumi.yaml").items():
            namespace, _, bare = key.rpartition(":")
            if namespace not in {"", name}:
                continue
            # `segment: {…type, default…}` declares; anything that is no mapping is itself the default.
            if not isinstance(declared, dict):
                defaults[bare] = declared
            elif "default" in declared or "value" in declared:
                defaults[bare] = declared.get("default", declared.get("value"))
        return cls(folder, name, defaults)

    def stack_names(self) -> list[str]:
        """Return the names of all stacks that have a file, sorted as people do: c2 before c10."""
        prefix, suffix = _STACK_FILE.split("{}")
        names = (
            path.name[len(prefix) : -len(suffix)]
            for path in self.directory.glob(_STACK_FILE.format("*"))
            if path.name != "Pulumi.yaml"
        )
        return sorted(names, key=natural)

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
            if {"/", "\0"} & {*stack}:
                raise FileNotFoundError  # noqa: TRY301 (no name of a file, whatever is elsewhere)
            content = _read(path, stack=stack)
        except FileNotFoundError:
            known = ", ".join(self.stack_names()) or "none"
            mistake = _mistake(stack, path.name, None, "does not exist", f"Stacks with a file: {known}")
            raise ConfigError([mistake]) from None
        values: dict[str, object] = {}
        given = _mapping(content, "config", stack=stack)
        findings = [*strayed(stack, given, self.name)]
        for key, value in given.items():
            namespace, _, bare = key.rpartition(":")
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

    def of_environments(self, stack: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return findings of a stack; one on a missing key says so where the file names environments of Pulumi ESC."""
        found = tuple(findings)
        if not any(each.code == "key-missing" for each in found):
            return found
        if not _read(self.stack_file(stack), stack=stack).get("environment"):
            return found
        rule = "is required, and not in this file; what its environment of Pulumi ESC gives is not visible offline"
        remedy = "Write it here: what a stack declares is reviewed in git"
        return tuple(replace(each, rule=rule, remedy=remedy) if each.code == "key-missing" else each for each in found)


def strayed(stack: str, keys: Iterable[str], project: str) -> Iterator[Finding]:
    """Say it of the first key that begins with the usual name of a project, where this one has another."""
    strays = [key for key in keys if key.startswith(f"{_USUAL}:")]
    if strays and project != _USUAL:
        rule = f"is not read: Pulumi.yaml calls the project {project}, with which its keys begin"
        remedy = f"Write {project}:{strays[0].removeprefix(f'{_USUAL}:')}, and so with all others"
        yield _mistake(stack, strays[0], None, rule, remedy)


def _read(path: Path, *, stack: str) -> dict[str, object]:
    try:
        content = load_yaml(read_text(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        remedy = "Correct that, or take it away"
        raise ConfigError([_mistake(stack, path.name, None, f"cannot be read: {error.strerror}", remedy)]) from None
    except UnicodeDecodeError:
        raise ConfigError([_mistake(stack, path.name, None, "is not UTF-8 text", "Save it as UTF-8")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = None if mark is None else (mark.line + 1, mark.column + 1)
        where = Subject(path.name if at is None else f"{path.name}:{at[0]}:{at[1]}", at=at)
        if error.note:
            raise ConfigError([_mistake(stack, where, None, str(error.problem), error.note)]) from None
        raise ConfigError([_mistake(stack, where, None, f"is not YAML: {error.problem}", "Fix that line")]) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError([_mistake(stack, path.name, None, f"is not YAML: {reason}", "Fix it")]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError([_mistake(stack, path.name, content, "is not a mapping", "Write key: value lines")])
    return content


def _mapping(content: dict[str, object], key: str, *, stack: str) -> dict[str, object]:
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError([_mistake(stack, key, value, "is not a mapping", "Write key: value lines under it")])
    return value


def _mistake(stack: str, key: str, value: object, rule: str, remedy: str) -> Finding:
    return Finding(key, value, rule, remedy, code="project-file", stack=stack)
