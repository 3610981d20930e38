"""The command line: one line for each mistake, and the documented exit codes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import forked
import pytest
import typer
import yaml
from support import ROOT

from config.finding import ConfigError, Finding, UserError
from mignet.cli import _answer, app
from mignet.kube.client import ClusterError
from mignet.kube.lease import HeldError

if TYPE_CHECKING:
    from collections.abc import Iterator


STATE = tempfile.TemporaryDirectory(prefix="mignet-state-")
"""What is kept between runs is kept outside the checkout."""


def mignet(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return forked.mignet(*arguments, cwd=cwd, env=environment(cwd))


def installed(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Start the installed script itself."""
    return subprocess.run(
        [forked.MIGNET, *arguments],
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_STATE_HOME": STATE.name}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["preview"], "mignet: STACK is required. Name one of: dev, dev-peer; or --all"),
        (["preview", "dev", "--all"], "mignet: --all and names of stacks exclude each other. Give one of them"),
        (["preview", "nope"], "nope: Pulumi.nope.yaml does not exist. Stacks with a file: dev, dev-peer"),
        (
            ["preview", "dev", "--engine", "pulumi"],
            "mignet: --engine pulumi is not on PATH. Install it (https://www.pulumi.com/docs/install/), or use",
        ),
        (
            ["up", "dev", "--engine", "direct"],
            "mignet: up asks before it changes anything. Add --yes to run without the question",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(arguments: list[str], line: str) -> None:
    result = mignet(*arguments)
    assert result.returncode == 2, result.stderr
    (only,) = result.stderr.splitlines()
    assert only.startswith(line)


@pytest.mark.parametrize("verb", ["preflight", "verify", "drift", "destroy"])
def test_without_a_cluster_the_installed_script_says_so(tmp_path: Path, verb: str) -> None:
    for name in ("Pulumi.yaml", "__main__.py", "Pulumi.dev.yaml"):
        # Not ~: that is the account's home, whatever $HOME says, and a lab may be up there.
        (tmp_path / name).write_text((ROOT / name).read_text().replace("~/.local", str(tmp_path)))
    result = installed(verb, "dev", *(["--yes"] if verb == "destroy" else []), cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert "kubeconfig" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_the_installed_script_takes_a_stack_from_init_to_the_release_of_its_slice(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    for command in (
        ["init", "new", "--context", "new", "--master", "eth1", "--nodes", "3"],
        ["allocate", "new"],
        ["check"],
        ["plan-addresses"],
        ["release", "new", "--yes"],
    ):
        result = installed(*command, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "slice" not in yaml.safe_load((tmp_path / "Pulumi.new.yaml").read_text())["config"]


_MORE = {
    "export operator": ["--repo", "https://example.org/x.git", "--kubeconfig-secret", "a:b"],
    "export monitoring": ["--runbooks", "https://example.org/runbooks.md"],
    "allocate": ["dev"],
    "release": ["dev"],
    "export role": ["observe"],
    "export watch": ["--image", "x"],
}
"""What a verb demands besides stacks."""


OUTSIDE = {"init", "schema", "new", "help"}
"""Verbs that need no stack."""


def _verbs(group: typer.core.TyperGroup, *before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from _verbs(command, *before, name)
        else:
            yield " ".join([*before, name])


def test_without_a_stack_file_every_verb_says_so_and_which_command_makes_one(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    verbs = [verb for verb in _verbs(group) if verb not in OUTSIDE and not verb.startswith("lab ")]
    assert {"preflight", "report", "plan-addresses", "checkup"} < set(verbs)
    for verb in verbs:
        for stacks in ([], ["dev"]) if verb not in {*_MORE, "plan-addresses"} else ([],):
            result = mignet(*verb.split(), *stacks, *_MORE.get(verb, []), cwd=tmp_path)
            assert result.returncode == 2, (verb, result.stdout)
            assert result.stdout == ""
            (line,) = result.stderr.splitlines()
            assert f"{tmp_path} has no stack file" in line, (verb, line)
            assert line.endswith("Make one: mignet init STACK --context CONTEXT --from-cluster")
    assert not list(tmp_path.glob("*.html"))


def test_an_unknown_option_is_exit_code_2_without_a_traceback() -> None:
    result = mignet("preview", "--engin", "direct")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_all_mistakes_of_all_stacks_are_reported_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(
        "name: migration-network\nconfig: {segment: {default: {subnet: 10.0.0.0/24}}}\n"
    )
    for name in ("a", "b"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(f"config: {{cluster: {{contxt: {name}}}}}\n")
    result = mignet("up", "--all", "--yes", cwd=tmp_path)
    assert result.returncode == 2
    assert [line.split(" ")[:2] for line in result.stderr.splitlines()] == [
        [f"{name}:", key] for name in ("a", "b") for key in ("cluster.context", "cluster.contxt", "attachment")
    ]


def test_render_needs_no_cluster(tmp_path: Path) -> None:
    result = mignet("render", "dev")
    assert result.returncode == 0, result.stderr
    kinds = [document["kind"] for document in yaml.safe_load_all(result.stdout)]
    assert kinds == ["NetworkAttachmentDefinition", "HyperConverged"]
    result = mignet("render", "--all", "--output", str(tmp_path / "out"))
    assert result.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev-peer.yaml", "dev.yaml"]


def test_auto_says_once_that_it_takes_the_direct_engine_when_pulumi_is_not_there(
    tmp_path: Path,
) -> None:
    state = environment(ROOT) | {"XDG_STATE_HOME": str(tmp_path)}
    first, second = (forked.mignet("preview", "dev", cwd=ROOT, env=state).stderr for _ in range(2))
    assert first.startswith("the Pulumi CLI is not on PATH: using the direct engine")
    assert "PATH" not in second


def test_the_exit_codes_are_in_the_help() -> None:
    text = " ".join(mignet("--help").stdout.split())
    assert (
        "0 fine, 1 failed or stopped, 2 configuration, 7 changes or drift where none were expected, 8 answered no,"
        " so that nothing was changed, 130 broken off" in text
    )


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = mignet("render", "dev", "--output", str(tmp_path / "file" / "below"))
    assert result.returncode == 1
    (only,) = result.stderr.splitlines()
    assert only.startswith("mignet: ")


def test_a_program_that_refuses_is_one_line(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "__main__.py").write_text("import pulumi\nraise pulumi.RunError('not today')\n")
    result = mignet("render", "dev", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "dev: __main__.py the program refuses: not today. Fix the program\n"


def test_no_model_is_imported_before_a_command_runs() -> None:
    # `mignet schema` says first how their documentation is to be read; and each start would pay for pydantic.
    done = subprocess.run(
        [sys.executable, "-c", "import sys, mignet.cli; print('config.types.model' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            ClusterError("unreachable", "context dev (x) is unreachable: down"),
            1,
            "mignet: context dev (x) is unreachable",
        ),
        (
            ConfigError([Finding("--x", None, "is wrong", "Leave it out", code="usage", stack="dev")]),
            2,
            "dev: --x is wrong",
        ),
        (HeldError("somebody is at work"), 1, "mignet: somebody is at work"),
    ],
)
def test_what_a_user_can_fix_is_a_sentence_wherever_it_comes_from(
    error: UserError, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr("mignet.cli.app", broken)
    with pytest.raises(SystemExit) as ended:
        _answer()
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(says)


def test_a_fault_of_our_own_is_one_line_that_asks_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise KeyError("spec\n::error::x")

    monkeypatch.setattr("mignet.cli.app", broken)
    with pytest.raises(SystemExit) as ended:
        _answer()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mignet itself failed, please report it: KeyError: 'spec\\n::error::x' (test_cli.py:")
    assert line.endswith("; MIGNET_TRACEBACK=1 shows where")
    monkeypatch.setenv("MIGNET_TRACEBACK", "1")
    with pytest.raises(KeyError):
        _answer()
