"""What is built and installed does the whole job in an empty folder, without the checkout: as new users find it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked import BIN
from support import ROOT

NEEDED = {
    "mignet/lab/tools/go.mod",
    "mignet/lab/tools/pulumi-kubernetes/go.sum",
    "mignet/lab/crds/hyperconverged.crd.yaml",
    "mignet/report/rendering/page.html.j2",
    "mignet/templates/migration-network/.gitignore",
    "mignet/templates/migration-network/.github/workflows/migration-network.yaml",
    "config/stack.py",
    "components/migration_network.py",
}


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=180)


def uv(*arguments: str | Path, cwd: Path) -> str:
    done = run(BIN / "uv", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of the checkout, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (one,) = built.glob("*.whl")
    return one


@dataclass
class User:
    """Somebody with an environment of their own, an empty folder and a lab."""

    environment: Path
    folder: Path
    variables: dict[str, str]

    def runs(self, *command: str, cwd: str = "", code: int = 0) -> str:
        program = self.environment / "bin" / command[0]
        done = run(program if program.exists() else command[0], *command[1:], cwd=self.folder / cwd, env=self.variables)
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("user")
    uv("venv", "--quiet", "environment", cwd=folder)
    uv("pip", "install", "--quiet", "--python", folder / "environment/bin/python", wheel, cwd=folder)
    (folder / "empty").mkdir()
    # The state is the user's own, and so is the lab; what is built once is everybody's.
    variables = {"HOME": str(Path.home()), "PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(folder / "state")}
    variables |= {name: os.environ[name] for name in ("XDG_CACHE_HOME", "KUBEBUILDER_ASSETS") if name in os.environ}
    one = User(folder / "environment", folder / "empty", variables)
    try:
        one.runs("mignet", "lab", "up")
        for line in one.runs("mignet", "lab", "env").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            variables[name] = "".join(shlex.split(value))
        yield one
    finally:
        one.runs("mignet", "lab", "down")


def test_the_wheel_has_what_is_read_at_run_time_and_the_sdist_has_the_tests(built: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names > NEEDED
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"config", "components", "mignet"}
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    assert members > {"tests/lab/test_wheel.py", "Makefile", "docs/architecture.md", "tools/docs/generate.py"} | NEEDED


def test_the_whole_job_in_an_empty_folder(user: User, engine: str) -> None:
    if engine == "pulumi":
        user.variables["PATH"] = os.environ["PATH"]
    # A cluster for each engine.
    stack = {"direct": "dev", "pulumi": "dev-peer"}[engine]
    user.runs("mignet", "new", engine, "--from-cluster", stack)
    # `pulumi install` would make it, with the same in it.
    (user.folder / engine / ".venv").symlink_to(user.environment, target_is_directory=True)
    user.runs("mignet", "check", cwd=engine)
    chosen = [stack, "--engine", engine]
    planned = json.loads(user.runs("mignet", "preview", *chosen, "--expect-no-changes", "--json", cwd=engine, code=7))
    (report,) = planned["reports"]
    assert [each["operation"] for each in report["changes"]] == ["create", "update"]
    user.runs("mignet", "up", *chosen, "--yes", cwd=engine)
    user.runs("mignet", "verify", stack, cwd=engine)
    user.runs("mignet", "drift", *chosen, cwd=engine)
    user.runs("mignet", "preview", *chosen, "--expect-no-changes", cwd=engine)
    if engine == "pulumi":
        user.runs("pulumi", "preview", "--non-interactive", "--expect-no-changes", "--stack", stack, cwd=engine)


def test_pip_and_uvx_install_it_as_well(user: User, wheel: Path) -> None:
    python = user.environment / "bin" / "python"
    pip = [BIN / "python", "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--force-reinstall"]
    done = run(*pip, wheel, cwd=user.folder)
    assert done.returncode == 0, done.stderr
    version = wheel.name.split("-")[1]
    assert user.runs("mignet", "--version").startswith(f"migration-network {version}\n")
    assert uv("tool", "run", "--from", wheel, "mignet", "--version", cwd=user.folder).startswith(
        f"migration-network {version}\n"
    )


def test_it_is_the_installed_one_that_runs(user: User) -> None:
    script = "import mignet, config, components; print(mignet.__file__, config.__file__, components.__file__)"
    for path in user.runs("python", "-c", script).split():
        assert Path(path).is_relative_to(user.environment.resolve())
