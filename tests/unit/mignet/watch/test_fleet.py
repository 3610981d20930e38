"""When a stack is judged again: neither at once for ever, nor forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support import ROOT

from config.finding import Finding
from mignet.kube.client import ClusterError
from mignet.watch import fleet
from mignet.watch.changes import Change
from mignet.watch.fleet import Fleet, Judged

STACK = (ROOT / "Pulumi.dev.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK)
    return tmp_path


def ran(folder: Path, *steps: object) -> tuple[Fleet, list[Change]]:
    """Read the files after each step, which changes them; clusters are nowhere."""
    told: list[Change] = []

    async def run() -> Fleet:
        one = Fleet(folder, lambda project: project.stack_names(), tell=told.append)
        one.read_files()
        for step in steps:
            step()  # type: ignore[operator]
            one.read_files()
        tasks = [task for each in one.stacks.values() for task in each.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return one

    return asyncio.run(run()), told


def test_a_stack_whose_cluster_is_lost_is_not_judged_again_and_again(folder: Path) -> None:
    one, _ = ran(folder)
    watching = one.stacks["dev"]
    watching.verified = 1.0
    watching.lost = ClusterError("unreachable", "no answer")
    assert one._until_due(watching) >= fleet.LEAST_PAUSE
    watching.lost = None
    watching.unverified = False
    assert one._until_due(watching) >= fleet.LEAST_PAUSE


def test_files_that_change_are_read_again_and_mistakes_are_told_once(folder: Path) -> None:
    file = folder / "Pulumi.dev.yaml"
    one, told = ran(
        folder,
        lambda: file.write_text(STACK.replace("macvlan", "nonsense")),
        lambda: None,
        lambda: file.write_text(STACK),
        lambda: (folder / "Pulumi.second.yaml").write_text(STACK),
        file.unlink,
        lambda: (folder / "Pulumi.yaml").write_text("name: ["),
        lambda: (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text()),
    )
    assert [(each.what, each.stack) for each in told] == [
        ("stack-added", "dev"),
        ("files-refused", "dev"),
        ("files-read", "dev"),
        ("stack-added", "second"),
        ("stack-removed", "dev"),
        ("files-refused", ""),
        ("files-read", ""),
    ]
    assert list(one.stacks) == ["second"]


def test_what_a_cluster_refuses_to_show_has_not_ended(folder: Path) -> None:
    told: list[Change] = []
    one, _ = ran(folder)
    one._tell = told.append
    watching = one.stacks["dev"]
    watching.verify = Judged(when=1.0)
    changed = Finding("HyperConverged", None, "differs", "", code="field-changed", stack="dev")
    refused = Finding("cluster.context", None, "refused", "", code="cluster-refused", stack="dev")
    for judged in (
        Judged((changed,), when=1.0),
        Judged((refused,), when=2.0, whole=False),
        Judged((changed,), when=3.0),
        Judged(when=4.0),
    ):
        watching.drift = judged
        one._compare(watching)
    assert [(each.what, each.code) for each in told] == [
        ("finding-began", "field-changed"),
        ("finding-began", "cluster-refused"),
        ("finding-ended", "cluster-refused"),
        ("finding-ended", "field-changed"),
    ]
