"""What the documents show is true: files that are generated are fresh, examples are valid, commands exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from support import ROOT, document

from config.files.project_files import Project
from config.loading import load_stack
from mignet.checks import drift_rules, migrations, preflight, verify
from mignet.checks.stack_files import check
from mignet.cli import app
from mignet.outputs import documents

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for indent, text in re.findall(
            rf"^( *)```{language}\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL
        ):
            yield path.name, "\n".join(line.removeprefix(indent) for line in text.splitlines())


COMMANDS = [
    (name, line[2:])
    for name, text in blocks("console")
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("$ ") and not line.startswith("$ eval")
]

OTHERS = {
    "curl",
    "openssl",
    "cd",
    "pipx",
    "podman",
    "for",
    "pulumi",
    "kubectl",
    "git",
    "python3",
    "export",
    "printf",
    "sed",
    "mkdir",
    "grep",
    "if",
    "rm",
    "env",
    ".venv/bin/pip",
}
"""Programs that are not ours."""

MARK = "migration-network:"
"""With which keys of stack files begin; a project file may have it, too."""


@pytest.mark.parametrize(
    ("name", "text"), [each for each in blocks("yaml") if MARK in each[1] and "runtime:" not in each[1]]
)
def test_a_stack_file_that_is_shown_is_valid(name: str, text: str) -> None:
    config = yaml.safe_load(text)["config"]
    values = {key.removeprefix("migration-network:"): value for key, value in config.items()}
    segment: dict[str, object] = {"subnet": "10.200.5.0/24"}
    if "site" in values:
        east = {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"}
        segment = {"supernet": "10.200.0.0/16", "sites": {"east": east}}
    rest = {"segment": segment, "cluster": {"context": "prod-1"}}
    if "type" not in values.get("attachment", {}):
        # A part of a file: a guide shows what is new.
        values["attachment"] = {"type": "macvlan", "name": "m", "master": "eth1"} | values.get("attachment", {})
    load_stack("prod-1", rest | values)


def test_the_stack_that_the_readme_shows_stands_beside_those_of_the_lab(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.dev-peer.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (text,) = [text for name, text in blocks("yaml") if name == "README.md"]
    (tmp_path / "Pulumi.prod-1.yaml").write_text(text)
    assert check(Project.find(tmp_path)).findings == ()


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_a_command_that_is_shown_exists_with_its_options(name: str, command: str) -> None:
    program, *arguments = shlex.split(re.split(" && | > | [|]{2} ", command)[0])
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        return
    if program in OTHERS:
        return
    assert program in {".venv/bin/mignet", "mignet"}, command
    command_line = typer.main.get_command(app)
    while hasattr(command_line, "commands") and arguments != ["--version"]:
        command_line = command_line.commands[arguments.pop(0)]
    known = {option for parameter in command_line.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for argument in arguments:
        assert not argument.startswith("-") or argument in known, command


def test_every_verb_shows_an_example_that_exists_and_fits_a_line() -> None:
    for name, verb in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(verb, "commands"):
            continue
        example = (verb.epilog or "").partition("Example: ")[2]
        assert example.startswith(f"mignet {name}"), name
        test_a_command_that_is_shown_exists_with_its_options("help", example)
        assert len((verb.help or "").split("\n\n")[0].split(". ")) == 1, f"{name} says what it does in one sentence"


def test_the_template_of_a_project_has_this_program_this_version_and_the_workflow() -> None:
    script = (
        "import json, sys; sys.path.insert(0, 'tools/docs'); import generate; print(json.dumps(generate.template()))"
    )
    fresh = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    written = {name: (ROOT / "mignet/templates/migration-network" / name).read_text() for name in json.loads(fresh)}
    assert written == json.loads(fresh), "run: python tools/docs/generate.py"


def test_what_help_knows_is_what_the_documents_say() -> None:
    script = "import sys; sys.path.insert(0, 'tools/docs'); import generate; sys.stdout.write(generate.topics())"
    fresh = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "mignet/outputs/topics.json").read_text() == fresh, "run: python tools/docs/generate.py"


def test_links_between_the_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_reference_of_config_keys_is_what_the_models_say() -> None:
    script = "import sys; sys.path.insert(0, 'tools/docs'); import generate; sys.stdout.write(generate.configuration())"
    fresh = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs/configuration.md").read_text() == fresh, "run: python tools/docs/generate.py"


@pytest.mark.parametrize("name", ["observe", "apply"])
def test_the_roles_are_what_the_code_asks_for(name: str) -> None:
    script = f"import sys; sys.path.insert(0, 'tools/docs'); import generate; sys.stdout.write(generate.role({name!r}))"
    fresh = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / f"docs/roles/{name}.yaml").read_text() == fresh, "run: python tools/docs/generate.py"


def test_the_schemas_are_what_the_verbs_print() -> None:
    script = (
        "import json, sys; sys.path.insert(0, 'tools/docs'); import generate; print(json.dumps(generate.schemas()))"
    )
    fresh = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    written = {path.name: path.read_text() for path in (ROOT / "docs/schemas").iterdir()}
    assert written == json.loads(fresh), "run: python tools/docs/generate.py"


def test_a_document_that_is_shown_has_the_schema_of_its_kind_and_every_kind_is_shown() -> None:
    shown = [document(text) for name, text in blocks("json") if name == "json.md"]
    assert sorted(each["kind"] for each in shown) == sorted(documents.KINDS)


def test_the_codes_of_preflight_are_all_in_its_document() -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", (ROOT / "docs/preflight.md").read_text()))
    assert preflight.CODES - named == set()


def test_every_rule_that_the_list_of_traps_names_exists() -> None:
    rules = set(re.findall(r"^## (\S+)$", (ROOT / "docs/rules.md").read_text(), re.MULTILINE))
    closing = [line.split(" | ")[-1] for line in (ROOT / "docs/traps.md").read_text().splitlines() if line[:2] == "| "]
    named = {name for cell in closing for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", cell)}
    assert named - rules - preflight.CODES - verify.CODES - drift_rules.CODES - migrations.CODES == set()
    assert len(named) > 30
