"""The catalogue of rules: every code in the source, and what its example really prints."""

from __future__ import annotations

import ast
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from config.files.project_files import Project
from config.loading import WAIVABLE
from config.types.model import PLAIN
from mignet.checks.stack_files import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.finding import Finding

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(__file__).parent / "rules-examples.yaml"

_HEAD = """# Rules

Every rule that `mignet check` holds stacks to, with an example and what is really printed for it; generated from the
code and from `tools/docs/rules-examples.yaml` (`python tools/docs/generate.py`). The examples
show only what differs from a good stack. Errors end a run with exit code 2 before anything is changed; warnings are
printed, and fail `mignet check --strict`.

A rule that can be waived is accepted as broken where the stack says so, with the reason; of two stacks that a rule is
about, either can. Every waiver is printed:

```yaml
config:
  migration-network:cluster: {context: lab}
  migration-network:attachment: {type: macvlan, name: migration, master: eth1}
  migration-network:waivers:
    cluster-twice: both stacks are of the lab, and never applied together
```

| code | severity | can be waived |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One entry of rules-examples.yaml, as the files that it makes of the good stacks."""

    code: str
    why: str | None
    shown: str
    """The change to the good stacks, as the catalogue shows it."""
    files: dict[str, str]

    def findings(self, folder: Path) -> tuple[Finding, ...]:
        """Write the files into an empty folder and check them, as `mignet check` does."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        checked = check(Project.find(folder))
        return tuple(finding for finding in checked.findings if finding.waived is None)


def examples() -> list[Example]:
    """Return all examples in the order of the file."""
    content = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    return [_example(entry, content["good"]) for entry in content["examples"]]


def _example(entry: dict[str, Any], good: dict[str, Any]) -> Example:
    project = _changed(good["project"], entry.get("project", {}))
    config = {"segment": {"default": project["segment"]}} if "segment" in project else {}
    name = entry.get("name", "dev")
    own = {f"Pulumi.{name}.yaml": entry.get("file") or _stack(_changed(good["dev"], entry.get("dev", {})))}
    peer = {"Pulumi.peer.yaml": _stack(_changed(good["peer"], entry["peer"]))} if "peer" in entry else {}
    files = {"Pulumi.yaml": yaml.safe_dump({"name": "migration-network", "config": config})} | own | peer
    parts = [
        ("Pulumi.yaml", entry.get("project")),
        (f"Pulumi.{name}.yaml", entry.get("dev")),
        ("Pulumi.peer.yaml", entry.get("peer")),
    ]
    shown = "".join(f"# {file}\n{_yaml(_without(change))}{_comment(change)}" for file, change in parts if change)
    if "file" in entry:
        shown = f"# Pulumi.{name}.yaml\n{entry['file'].replace('migration-network:', '')}"
    return Example(entry["code"], entry.get("why"), shown or f"# Pulumi.{name}.yaml\n", files)


def _stack(sections: dict[str, Any]) -> str:
    return yaml.safe_dump({"config": {f"migration-network:{key}": value for key, value in sections.items()}})


def _changed(good: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    result = dict(good)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _changed(result[key], value)
        else:
            result[key] = value
    return result


def _without(change: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an example takes away: its absence is what a file shows."""
    kept = {key: _without(value) if isinstance(value, dict) else value for key, value in change.items()}
    return {key: value for key, value in kept.items() if value not in (None, {})}


def _taken(change: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in change.items():
        if value is None:
            yield f"{above}{key}"
        elif isinstance(value, dict):
            yield from _taken(value, f"{above}{key}.")


def _comment(change: dict[str, Any]) -> str:
    taken = ", ".join(_taken(change))
    return f"# without {taken}\n" if taken else ""


def _yaml(value: object) -> str:
    return "" if value == {} else yaml.safe_dump(value, sort_keys=False, width=110)


def codes() -> dict[str, str | None]:
    """Return every code that the source can find, with the docstring of the rule that finds it, if it has one.

    A code that is put together when it is found has `*` where the source does not say what stands there.
    """
    found: dict[str, str | None] = {f"value-{kind.replace('_', '-')}": None for kind in PLAIN}
    for path in (*sorted((ROOT / "config").rglob("*.py")), ROOT / "mignet" / "checks" / "stack_files.py"):
        for code, why in _codes_in(ast.parse(path.read_text(encoding="utf-8")), None):
            found[code] = found.get(code) or why
    return found


def _codes_in(node: ast.AST, function: ast.FunctionDef | None) -> Iterator[tuple[str, str | None]]:
    for below in ast.iter_child_nodes(node):
        inner = below if isinstance(below, ast.FunctionDef) else function
        if isinstance(below, ast.Call):
            name = below.func.id if isinstance(below.func, ast.Name) else ""
            given = below.args if name == "rule" else below.args[:1] if name == "refuse" else []
            for each in (*given, *(keyword.value for keyword in below.keywords if keyword.arg == "code")):
                if code := _code(each):
                    yield code, _why(function)
        yield from _codes_in(below, inner)


def _code(argument: ast.expr) -> str | None:
    if isinstance(argument, ast.JoinedStr):
        code = "".join(_code(part) or "*" for part in argument.values)
        return None if code == "value-*" else code
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def _why(function: ast.FunctionDef | None) -> str | None:
    """Return what a rule's docstring says; those of other functions say what they do, not why."""
    if function is None:
        return None
    decorators = [each.func for each in function.decorator_list if isinstance(each, ast.Call)]
    named = any(isinstance(each, ast.Name) and each.id == "rule" for each in decorators)
    text = ast.get_docstring(function) if named or function.name == "rules" else None
    return text and " ".join(text.split())


def topics() -> dict[str, dict[str, str]]:
    """Return what `mignet help` says of each code."""
    why = codes()
    found: dict[str, dict[str, str]] = {}
    for example in examples():
        if example.code not in found:
            with tempfile.TemporaryDirectory() as folder:
                first = example.findings(Path(folder))[0]
            found[example.code] = {
                "severity": first.severity,
                "why": " ".join((example.why or why.get(example.code) or "").split()),
                "remedy": f"{first.remedy.rstrip('.')}.",
                "page": f"docs/rules.md#{example.code}",
            }
    return found


def rules() -> str:
    """Return the catalogue."""
    why = codes()
    rows, sections = [], []
    shown: set[str] = set()
    for example in examples():
        with tempfile.TemporaryDirectory() as folder:
            findings = example.findings(Path(folder))
        severity = findings[0].severity
        waivable = "yes" if example.code in WAIVABLE else "no"
        if example.code not in shown:
            rows.append(f"| [{example.code}](#{example.code}) | {severity} | {waivable} |\n")
            sections.append(f"\n## {example.code}\n\n{example.why or why.get(example.code)}\n")
        shown.add(example.code)
        printed = "\n".join(str(finding) for finding in findings)
        sections.append(f"\n```yaml\n{example.shown}```\n\n```text\n{printed}\n```\n")
    return _HEAD + "".join(rows) + "".join(sections)
