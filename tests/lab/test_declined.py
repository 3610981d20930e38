"""A question that is answered no: nothing was changed, and the last line and the exit code say so."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from operated import Operated, until
from support import BIN, ROOT, Outcome, Workspace, document

UNCHANGED = "nothing was changed: it was not agreed to"
ANSWERS = {"no": b"n\n", "an empty line": b"\n", "the end of the input": b"\x04"}


def asked(folder: Path, environment: dict[str, str], answer: bytes, *command: str) -> Outcome:
    """Run mignet with somebody at its keyboard who answers so."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    try:
        done = subprocess.run(
            [BIN / "mignet", *command],
            cwd=folder,
            env=environment,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return Outcome(done.returncode, done.stdout, done.stderr)


def ask(workspace: Workspace, answer: bytes, *command: str) -> Outcome:
    verb, *more = command
    return asked(workspace.folder, workspace.environment, answer, verb, workspace.stack, *more)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_up_that_is_not_agreed_to_changes_nothing_and_says_so(workspace: Workspace, engine: str, answer: bytes) -> None:
    before = workspace.site.live()
    said = ask(workspace, answer, "up", "--engine", engine, "--skip-preflight")
    assert said.code == 8, said.out + said.err
    assert said.out.splitlines()[-1] == UNCHANGED
    assert "1 object will be created, 1 changed" in said.err
    assert "was created" not in said.out + said.err
    assert workspace.site.live() == before


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_destroy_that_is_not_agreed_to_deletes_nothing_and_says_so(
    workspace: Workspace, engine: str, answer: bytes
) -> None:
    assert workspace.mignet("up", engine).code == 0
    before = workspace.site.live()
    said = ask(workspace, answer, "destroy", "--engine", engine)
    assert said.code == 8, said.out + said.err
    assert said.out.splitlines()[-1] == UNCHANGED
    assert "1 object will be deleted, 1 released" in said.err
    assert "was deleted" not in said.out + said.err
    assert workspace.site.live() == before


def test_as_json_a_report_says_that_it_was_declined(workspace: Workspace) -> None:
    said = ask(workspace, b"n\n", "up", "--engine", "direct", "--skip-preflight", "--json")
    assert said.code == 8
    assert [(each["declined"], each["changed"]) for each in said.reports] == [(True, True)]
    assert said.err.endswith(f"{UNCHANGED}\n")


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_repair_that_is_not_agreed_to_leaves_the_drift(workspace: Workspace, engine: str, answer: bytes) -> None:
    assert workspace.mignet("up", engine).code == 0
    path = workspace.site.hyperconverged
    workspace.site.kube.merge(path, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "kubectl-edit")
    said = ask(workspace, answer, "drift", "--engine", engine, "--fix", "--wait", "0")
    assert said.code == 7, said.out + said.err
    assert said.out.splitlines()[-1] == UNCHANGED
    history = document(workspace.run("mignet", "history", "--engine", "direct", "-o", "json").out)["entries"]
    assert [(each["verb"], each["outcome"]) for each in history if each["verb"] != "drift"] == [
        ("drift --fix", "declined"),
        ("up", "done"),
    ]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_slice_that_is_not_to_be_released_stays(tmp_path: Path, answer: bytes) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    said = asked(tmp_path, {"PATH": "/usr/bin", "HOME": str(tmp_path)}, answer, "release", "dev")
    assert (said.code, said.out) == (8, f"{UNCHANGED}\n"), said.err
    assert (tmp_path / "Pulumi.dev.yaml").read_text() == (ROOT / "Pulumi.dev.yaml").read_text()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_machine_that_is_not_to_migrate_is_left_where_it_is(operated: Operated, answer: bytes) -> None:
    place = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstance"
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    operated.up("dev")
    operated.dev.kube.call("POST", f"{place}s", json=machine | {"spec": {"domain": {"devices": {}}}})
    until(lambda: operated.dev.get(f"{place}s/vm").get("status", {}).get("phase") == "Running")
    environment = os.environ | operated.lab.pulumi_environment()
    said = asked(operated.folder, environment, answer, "verify", "dev", "--no-peers", "--migrate", "default/vm")
    assert said.code == 8, said.out + said.err
    assert said.out.splitlines()[-1] == UNCHANGED
    assert operated.dev.get(f"{place}migrations")["items"] == []
