"""Where the lab's Pulumi comes from, with a stand-in for Go, and what its language host makes of a project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi.runtime.proto import language_pb2

from mignet.lab.pulumi_programs import programs
from mignet.lab.pulumi_programs.language_host import interpreter

GO = """#!/bin/sh
case "$1" in
env) echo go1.99.1; exit ;;
mod) exit ;;
list) echo "{sources}"; exit ;;
esac
for argument; do
  case $argument in
  -o=*) output=${{argument#-o=}} ;;
  -modfile=*) copy=$(dirname "${{argument#-modfile=}}") ;;
  esac
done
{{
  [ -z "$copy" ] || {{ tail -n 1 "$copy/go.mod"; cat "$copy"/source/cmd/*/schema-embed.json; echo; }}
  echo "$*"
}} > "$output"
chmod +x "$output"
"""


def quiet(_line: str) -> None:
    pass


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make programs of these names, in a folder that is on a PATH without any Go or Pulumi."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def make(*names: str, text: str = "#!/bin/sh\n") -> Path:
        for name in names:
            (tmp_path / "bin" / name).write_text(text)
            (tmp_path / "bin" / name).chmod(0o755)
        return tmp_path / "bin"

    return make


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What Go would have fetched: read-only, as it keeps it."""
    folder = tmp_path / "sources"
    for name in (
        *(f"{where}/{script}" for script, where in programs.SCRIPTS.items()),
        "cmd/pulumi-resource-kubernetes/terraform-mapping.json",
        "cmd/pulumi-resource-kubernetes/schema.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"name": "kubernetes"}')
        (folder / name).chmod(0o444)
    return folder


def test_a_pulumi_that_is_on_path_comes_first_and_nothing_is_built(there: Callable[..., Path]) -> None:
    there("pulumi", "pulumi-resource-kubernetes")
    assert programs.path(pytest.fail) == os.environ["PATH"]


def test_only_the_provider_is_built_where_pulumi_is_installed(there: Callable[..., Path], sources: Path) -> None:
    there("pulumi")
    there("go", text=GO.format(sources=sources))
    own, _, added = programs.path(quiet).rpartition(os.pathsep)
    assert own == os.environ["PATH"], "what is there already stays first"
    assert [file.name for file in Path(added).iterdir()] == ["pulumi-resource-kubernetes"]


def test_the_provider_is_built_from_a_copy_that_has_what_it_embeds(there: Callable[..., Path], sources: Path) -> None:
    there("pulumi")
    there("go", text=GO.format(sources=sources))
    replaced, embedded = (
        Path(programs.path(quiet).rpartition(os.pathsep)[2], "pulumi-resource-kubernetes").read_text().splitlines()[:2]
    )
    assert replaced.startswith(f'replace {programs.PROVIDER_SOURCE} => "')
    assert json.loads(embedded) == {"name": "kubernetes", "version": programs.PROVIDER_VERSION}


def test_without_pulumi_its_cli_comes_with_what_programs_in_python_need(
    there: Callable[..., Path], sources: Path
) -> None:
    there("pulumi-resource-kubernetes")
    there("go", text=GO.format(sources=sources))
    cli, host = map(Path, programs.path(quiet).split(os.pathsep)[-2:])
    assert {file.name for file in cli.iterdir()} == {"pulumi", *programs.SCRIPTS}
    assert "version.Version=v3." in (cli / "pulumi").read_text(), "the Automation API reads it"
    assert all(os.access(cli / name, os.X_OK) for name in programs.SCRIPTS)
    (script,) = host.iterdir()
    assert script.name == "pulumi-language-python"
    assert f"{sys.executable} -I -m {programs.HOST} {cli / programs.EXECUTOR}" in script.read_text()


def info(folder: Path, **options: str) -> language_pb2.ProgramInfo:
    found = language_pb2.ProgramInfo(root_directory=str(folder), program_directory=str(folder), entry_point=".")
    found.options.update(options)
    return found


def test_a_program_is_run_by_the_python_of_the_environment_that_its_project_names(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert interpreter(info(tmp_path, virtualenv="env")) == str(python)
    assert interpreter(info(tmp_path)) == sys.executable
    with pytest.raises(FileNotFoundError, match="names the virtual environment other, but there is no"):
        interpreter(info(tmp_path, virtualenv="other"))


def test_the_host_ends_quietly_and_at_once_when_the_engine_interrupts_it_or_is_gone() -> None:
    for end in (lambda process: process.send_signal(2), lambda process: process.stdin.close()):
        with subprocess.Popen(
            [sys.executable, "-I", "-m", programs.HOST, "executor", "127.0.0.1:1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert int(process.stdout.readline()) > 0, "it serves"
            end(process)
            assert process.wait(timeout=30) == 0
            assert process.stderr.read() == ""
