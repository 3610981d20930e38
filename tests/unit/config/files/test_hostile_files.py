"""Whatever stands where a file belongs is one finding, soon, and stops no stack beside it."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import hostile
import mutations
import pytest
from forked import mignet

from config.files.project_files import Project
from config.files.yaml_text import load_kubeconfig, load_yaml
from config.finding import ConfigError
from mignet.checks.stack_files import check
from mignet.outputs import RENDER

SECONDS = 5.0
"""Many times what any of them takes, for a machine that is busy."""


def findings(folder: Path) -> list[str]:
    """Return what is found in a project, after it was written in every form."""
    begun = time.monotonic()
    checked = check(Project.find(folder))
    for render in RENDER.values():
        render(checked, folder).encode()
    assert time.monotonic() - begun < SECONDS
    assert all(finding.blocks for finding in checked.findings)
    assert all("\n" not in str(finding) for finding in checked.findings)
    return [f"{finding.stack}: {finding.code}" for finding in checked.findings]


@pytest.mark.parametrize("name", hostile.FILES)
def test_a_stack_file_is_a_finding_of_its_own_stack_alone(tmp_path: Path, name: str) -> None:
    if name == "unreadable" and os.getuid() == 0:
        pytest.skip("root reads all")
    hostile.project(tmp_path, "good")
    hostile.FILES[name](tmp_path / "Pulumi.bad.yaml")
    found = findings(tmp_path)
    assert found
    assert {each.partition(":")[0] for each in found} == {"bad"}
    assert len(found) == (3 if name == "integer key" else 1), found
    assert load(tmp_path, "good") == "read"


@pytest.mark.parametrize("name", hostile.FILES)
def test_the_project_file_is_one_finding(tmp_path: Path, name: str) -> None:
    if name == "unreadable" and os.getuid() == 0:
        pytest.skip("root reads all")
    hostile.project(tmp_path, "good")
    (tmp_path / "Pulumi.yaml").unlink()
    hostile.FILES[name](tmp_path / "Pulumi.yaml")
    begun = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        Project.find(tmp_path)
    assert time.monotonic() - begun < SECONDS
    assert len(caught.value.findings) == 1
    assert "\n" not in str(caught.value)


def load(folder: Path, name: str) -> str:
    from config.loading import load_stack

    load_stack(name, Project.find(folder).stack_values(name))
    return "read"


@pytest.mark.parametrize("name", ["100,000 brackets", "exploding", "FIFO", "device", "50 MB"])
def test_the_whole_command_ends_with_2_in_bounded_memory(tmp_path: Path, name: str) -> None:
    hostile.project(tmp_path, "good")
    hostile.FILES[name](tmp_path / "Pulumi.bad.yaml")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    ended = mignet("check", cwd=tmp_path, timeout=30)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert ended.stdout.splitlines()[0].startswith("error    project-file  bad: Pulumi.bad.yaml")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 400_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # As `pulumi config get` shows them.
        ("{x: 0o17}", {"x": 15}),
        ("{x: 0O17}", {"x": 15}),
        ("{x: 0x10}", {"x": 16}),
        ("{x: +5}", {"x": 5}),
        ("{x: 9000.0}", {"x": 9000}),
        ("{x: 9e3}", {"x": 9000}),
        ("{x: 0.10}", {"x": 0.1}),
        ("{x: 5.}", {"x": 5}),
        ("{x: _1, y: 0x, z: 1:20}", {"x": "_1", "y": "0x", "z": "1:20"}),
        ("{5: x, true: y}", {"5": "x", "true": "y"}),
        ('{x: !!int "5", y: !!float 5}', {"x": 5, "y": 5}),
        ("{a: 2, <<: [{a: 1}, {a: 3, b: 4}]}", {"a": 2, "b": 4}),
        ('{x: "a\\0b"}', {"x": "a\0b"}),
        ("{x: =}", {"x": "="}),
    ],
)
def test_what_is_read_is_what_pulumi_reads(text: str, value: object) -> None:
    assert load_yaml(text) == value


def test_a_mark_at_the_beginning_is_no_text(tmp_path: Path) -> None:
    hostile.project(tmp_path, "good")
    path = tmp_path / "Pulumi.good.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert findings(tmp_path) == []


def test_a_kubeconfig_keeps_as_text_what_kubectl_takes_for_text() -> None:
    text = "{a: 2026-01-02, b: 0100, c: 1_000, d: yes, e: Off, f: 5}"
    assert load_kubeconfig(text) == {"a": "2026-01-02", "b": "0100", "c": "1_000", "d": True, "e": False, "f": 5}


def test_two_thousand_mutated_documents_break_nothing() -> None:
    outcome = mutations.run(seed=20, count=2_000)
    assert outcome.broken == []
    assert outcome.counts["documents"] == 2_000
