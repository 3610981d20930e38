"""Troubleshooting by symptom: what is seen elsewhere stands in symptoms.yaml, why and the way out in the code."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml

from config.rules.waivable_codes import WAIVABLE_LIVE
from mignet.kube.client import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
SYMPTOMS = Path(__file__).parent / "symptoms.yaml"
# What an archive or a folder lacks is not judged, and no finding.
CLUSTER_CODES = tuple(f"cluster-{reason}" for reason in get_args(Reason) if reason != "not-gathered")

_OF_FILES = {
    "checks/stack_files.py",
    "commands/addresses.py",
    "commands/arguments.py",
    "commands/files.py",
    "commands/help.py",
    "evidence/archive.py",
    "evidence/must_gather.py",
    "exports/monitoring/manifests.py",
    "fleet/stack_files.py",
    "operations/allocate.py",
    "operations/apply/__init__.py",
    "operations/init.py",
    "operations/new_links.py",
    "operations/read_uplinks.py",
    "watch/fleet.py",
}
"""Modules whose findings are about the command line and the stack files, before any cluster is looked at."""

_HEAD = """# Troubleshooting

By what is seen: on the cluster, on the terminal, or in a migration that does not work. Under each symptom stand the
codes that `mignet preflight`, `verify`, `drift`, `peers` and `checkup` find for it, why it matters, and the way out;
generated from the code and from `tools/docs/symptoms.yaml` (`python tools/docs/generate.py`).

Not sure where to begin? [`mignet diagnose STACK`](diagnose.md) looks at everything once, and says what is wrong by its
causes: the most probable first, with the next command to type. It changes nothing. `mignet checkup` measures, with
short-lived pods, whether the nodes reach each other. What is wrong in the stack files themselves stands in
[rules.md](rules.md).

| symptom | codes |
|---|---|
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One code in the source: why it is found, and the ways out that its findings name."""

    why: str | None
    ways_out: tuple[str, ...]


@functools.cache
def codes() -> dict[str, Found]:
    """Return every code that a look at a cluster can find, with what its rule says."""
    found: dict[str, Found] = dict.fromkeys(CLUSTER_CODES, Found(None, ()))
    for path in sorted((ROOT / "mignet").rglob("*.py")):
        if path.parent.name == "exports" or path.relative_to(ROOT / "mignet").as_posix() in _OF_FILES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for code in _named(node):
                    found[code] = Found(_docstring(node), tuple(dict.fromkeys(_ways_out(node, code))))
            elif isinstance(node, ast.Call) and (code := _code(node)):
                found.setdefault(code, Found(None, ()))
    return found


def _named(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the codes of a rule; none for another function."""
    for each in function.decorator_list:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "rule":
            yield from (argument.value for argument in each.args if isinstance(argument, ast.Constant))


def _docstring(function: ast.FunctionDef) -> str | None:
    text = ast.get_docstring(function)
    return text and " ".join(text.split())


def _code(call: ast.Call) -> str | None:
    """Return the code that a finding is made with, None where its rule has only one."""
    named = [each.value.value for each in call.keywords if each.arg == "code" and isinstance(each.value, ast.Constant)]
    return next(map(str, named), None)


def _ways_out(function: ast.FunctionDef, code: str) -> Iterator[str]:
    """Yield the remedies of the findings with this code, where the source says what they are."""
    first = next(_named(function))
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or any(call is each for each in function.decorator_list):
            continue
        # What makes findings for several rules is told the code.
        told = any(isinstance(each, ast.Constant) and each.value == code for each in call.args)
        if told or (_code(call) or (first if ast.unparse(call.func) in {"Finding", "_missing"} else None)) == code:
            named = [each.value for each in call.keywords if each.arg == "remedy"]
            yield from _texts((named or call.args)[-1], function)


def _texts(argument: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    """Yield the texts that an expression can be; what is filled in when it is found stands in pointed brackets."""
    match argument:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.JoinedStr(values=parts):
            filled = [each.value if isinstance(each, ast.Constant) else _placeholder(each) for each in parts]
            yield "".join(map(str, filled))
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, function)
            yield from _texts(other, function)
        case ast.Name(id=name):
            for each in ast.walk(function):
                if isinstance(each, ast.Assign) and any(ast.unparse(target) == name for target in each.targets):
                    yield from _texts(each.value, function)


def _placeholder(part: ast.expr) -> str:
    names = re.findall(r"[a-z_]+", ast.unparse(part))
    return f"<{names[-1].replace('_', ' ').strip()}>" if names else "…"


def symptoms() -> list[dict[str, Any]]:
    """Return the entries of symptoms.yaml, in its order."""
    entries: list[dict[str, Any]] = yaml.safe_load(SYMPTOMS.read_text(encoding="utf-8"))
    return entries


def topics() -> dict[str, dict[str, str]]:
    """Return what `mignet help` says of each code."""
    found = codes()
    return {
        code: {
            "why": _plain((said or {}).get("why") or found[code].why or ""),
            "remedy": _plain((said or {}).get("way-out") or "; or: ".join(found[code].ways_out)),
            "page": f"docs/troubleshooting.md#{code}",
        }
        for entry in symptoms()
        for code, said in entry.get("codes", {}).items()
    }


def _plain(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."


def troubleshooting() -> str:
    """Return the document."""
    found = codes()
    rows, sections = [], []
    for entry in symptoms():
        own, also = entry.get("codes", {}), entry.get("also", [])
        links = ", ".join(_link(code) for code in (*own, *also))
        rows.append(f"| [{entry['symptom']}](#{_anchor(entry['symptom'])}) | {links} |\n")
        sections.append(f"\n## {entry['symptom']}\n\n{entry['seen'].strip()}\n")
        if also:
            sections.append(f"\nSee also {', '.join(_link(code) for code in also)}.\n")
        sections.extend(_section(code, said or {}, found[code]) for code, said in own.items())
    return _HEAD + "".join(rows) + "".join(sections)


def _section(code: str, said: Mapping[str, str], found: Found) -> str:
    why = said.get("why") or found.why
    ways = [said["way-out"]] if "way-out" in said else list(found.ways_out)
    untried = f"\n\nNot tried on the lab: {_sentence(said['not-tried'])}" if "not-tried" in said else ""
    waive = "\n\nA stack can [waive](check.md#accept-a-broken-rule) it." if code in WAIVABLE_LIVE else ""
    return f"\n### {code}\n\n{_sentence(why or '')}\n\nWay out: {_sentence('; or: '.join(ways))}{untried}{waive}\n"


def _sentence(text: str) -> str:
    # Pointed brackets are tags elsewhere in Markdown.
    text = re.sub(r"<([^<>]*)>", r"`<\1>`", " ".join(text.split()))
    return text if text.endswith((".", "?")) else f"{text}."


def _link(code: str) -> str:
    return f"[`{code}`]({'' if code in codes() else 'rules.md'}#{code})"


def _anchor(title: str) -> str:
    """Return the anchor that code hosts give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
