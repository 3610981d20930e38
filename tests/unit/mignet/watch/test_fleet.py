"""When a stack is judged again: neither at once for ever, nor forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pictured
import pytest
from support import ROOT

from config.files.project_files import Project
from config.finding import Finding
from mignet.checks import preflight
from mignet.kube.client import ClusterError
from mignet.report import assemble, files_of
from mignet.report.digest import digest_of
from mignet.watch import fleet, page
from mignet.watch.changes import Change
from mignet.watch.fleet import Fleet, Judged, _compared, packed, packed_side

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


def found(code: str, **more: object) -> Finding:
    return Finding("key", None, "is wrong", "", code=code, stack="dev", **more)  # type: ignore[arg-type]


def test_what_could_not_be_judged_again_is_not_told_to_be_over(folder: Path) -> None:
    one, told = ran(folder)
    watching = one.stacks["dev"]
    watching.preflight = Judged((found("pool-overlap"),), when=1.0)
    watching.limits = Judged((found("limit-too-slow", severity="warning"),), when=1.0)
    watching.peers = Judged((found("peer-gate", peer="prod"), found("cluster-unreachable")), when=1.0)
    one._compare(watching)
    began = {(each.verb, each.code) for each in told if each.what == "finding-began"}
    assert began == {("preflight", "pool-overlap"), ("limits", "limit-too-slow"), ("peers", "peer-gate")}
    before = len(told)
    one._unseen(watching, ClusterError("unreachable", "did not answer in 30 s"))
    one._compare(watching)
    assert watching.preflight.not_judged == len(preflight.CODES)
    assert "not judged again: did not answer in 30 s" in watching.limits.left_out
    watching.preflight = Judged((), when=2.0, undecided=frozenset({"pool-overlap"}))
    one._compare(watching)
    assert len(told) == before
    watching.peers = Judged((), when=2.0, dark=frozenset({"prod"}))
    one._compare(watching)
    assert len(told) == before, "a machine that runs twice does so still when one of both clusters is away"
    watching.preflight = watching.limits = watching.peers = Judged((), when=3.0)
    one._compare(watching)
    assert [each.what for each in told[before:]] == ["finding-ended"] * 3


def test_the_page_of_what_is_kept_packed_is_the_report_of_what_was_seen(tmp_path: Path) -> None:
    names = {ailment or "sound": ailment for ailment in pictured.AILMENTS}
    pictured.fleet(tmp_path, names)
    project = Project.find(tmp_path)
    files, stacks = files_of(project, list(names))
    sightings = [pictured.sighting(each, names[each.name], 3) for each in stacks]
    sights = [(each.stack, None, packed_side(each)) for each in sightings]
    known = [
        page.Known(each.stack, None, packed(digest_of(each)), (Judged(each.findings, each.not_judged),))
        for each in sightings
    ]
    apart, ready = _compared(project, sights)
    made = page.assembled(project, known, apart)
    wanted = assemble(project, list(names), files, sightings, asked=True)
    assert replace(made, made=wanted.made, drift=wanted.drift) == wanted
    assert wanted.findings
    assert ready == dict(wanted.ways.sends)
    lost = replace(known[0], lost=ClusterError("unreachable", "context sound is unreachable"))
    codes = {(each.stack, each.finding.code) for each in page.assembled(project, [lost, *known[1:]], None).findings}
    assert ("sound", "cluster-unreachable") in codes


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
