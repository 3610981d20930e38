"""An `up` that is killed anywhere, or loses its API server, converges when it is run again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from support import Kube, Outcome, Site, Workspace

from mignet.lab.lab import Lab


def killed_after(workspace: Workspace, engine: str, seconds: float) -> None:
    process = workspace.start("mignet", "up", workspace.stack, "--engine", engine, "--yes", "--skip-preflight")
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def converged(workspace: Workspace, engine: str) -> None:
    outcome = workspace.mignet("up", engine)
    if engine == "pulumi" and "holds this stack" in outcome.out:
        workspace.run("pulumi", "cancel", "--yes", "--stack", workspace.stack)
        outcome = workspace.mignet("up", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    assert workspace.mignet("drift", engine).code == 0


def uninterrupted(workspace: Workspace, engine: str) -> tuple[float, str]:
    """Return the seconds that an `up` takes, and what it leaves."""
    start = time.monotonic()
    assert workspace.mignet("up", engine).code == 0
    elapsed = time.monotonic() - start
    left = workspace.site.content()
    assert workspace.mignet("destroy", engine).code == 0
    return elapsed, left


def test_an_up_killed_anywhere_converges_when_run_again(workspace: Workspace, engine: str) -> None:
    """Kills it at points spread over its whole run, the later half denser: that is where it writes."""
    workspace.site.foreign()
    before = workspace.site.others()
    whole, left = uninterrupted(workspace, engine)
    parts = [0.3, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95] if engine == "direct" else [0.4, 0.6, 0.75, 0.9]
    for part in parts:
        killed_after(workspace, engine, whole * part)
        converged(workspace, engine)
        assert workspace.site.content() == left
        assert workspace.site.others() == before, "nothing foreign was changed"
        assert workspace.mignet("destroy", engine).code == 0
    assert list(workspace.site.live()["attachments"]) == ["foreign"]


def test_an_up_killed_between_its_two_writes_converges_when_run_again(workspace: Workspace, engine: str) -> None:
    """The attachment is there, the HyperConverged not yet ours, and Pulumi's state knows of neither."""
    assert workspace.mignet("up", engine).code == 0
    left = workspace.site.live()["attachments"]["migration"]
    assert workspace.mignet("destroy", engine).code == 0
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
        left["metadata"].pop(key)
    workspace.site.kube.call(
        "PATCH",
        f"{workspace.site.attachments}/migration",
        json=left,
        headers={"content-type": "application/apply-patch+yaml"},
        params={"fieldManager": "migration-network", "force": "true"},
    )
    converged(workspace, engine)


@pytest.fixture
def own_lab(tmp_path: Path) -> Lab:
    """A lab that this test may break."""
    return Lab(tmp_path / "lab", clusters=("dev",), operators=False)


def test_an_up_that_loses_its_api_server_converges_when_run_again(own_lab: Lab, tmp_path: Path, engine: str) -> None:
    own_lab.up(lambda _: None)
    try:
        site = Site(Kube(own_lab.kubeconfig, "dev"), own_lab.kubeconfig, "dev", "t-lost")
        site.create()
        workspace = Workspace(tmp_path / "project", site)
        workspace.create()
        before = site.others()
        whole, left = uninterrupted(workspace, engine)
        for part in (0.6, 0.8, 0.9):
            process = workspace.start("mignet", "up", workspace.stack, "--engine", engine, "--yes", "--skip-preflight")
            deadline = time.monotonic() + whole * part
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            server = next(each for each in own_lab.status() if each.name == "dev")
            assert server.pid is not None
            dying = psutil.Process(server.pid)
            dying.kill()
            # One that is still ending is taken for the new one, which has then ended early.
            with contextlib.suppress(psutil.NoSuchProcess):
                dying.wait(10)
            out, err = process.communicate(timeout=60)
            outcome = Outcome(process.returncode, out, err)
            assert outcome.code in {0, 1}, out + err
            if engine == "direct":
                assert "Traceback" not in out + err
            if outcome.code:
                assert "error: " in out
            own_lab.up(lambda _: None)
            converged(workspace, engine)
            assert site.content() == left
            assert site.others() == before, "nothing foreign was changed"
            assert workspace.mignet("destroy", engine).code == 0
    finally:
        own_lab.down()
