"""What is shown of a result: a matrix that fits, the first broken pair, and how much was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support import document

from config.files.project_files import Project
from config.finding import Remark
from mignet.checkup.matrix import MOST, lines, markdown
from mignet.checkup.result import ClusterResult, Coverage, End, NodeResult, PairResult, Result
from mignet.fleet.last_checkup import last


def result(sizes: dict[str, int], broken: dict[tuple[str, str], str]) -> Result:
    ends = [End(stack, f"{stack}{number}") for stack, size in sizes.items() for number in range(size)]
    pairs = tuple(
        PairResult(source, target, ok=reason is None, reason=reason, rtt_ms=None if reason == "no answer" else 0.5)
        for source in ends
        for target in ends
        if source != target
        for reason in [broken.get((source.node, target.node))]
    )
    clusters = tuple(
        ClusterResult(stack, "m", tuple(NodeResult(f"{stack}{number}") for number in range(size)))
        for stack, size in sizes.items()
    )
    coverage = Coverage(len(pairs), len(pairs), len(pairs))
    return Result("r1", 42, "b", "e", clusters=clusters, pairs=pairs, coverage=coverage)


BROKEN = {("a0", "b1"): "no answer", ("b1", "a1"): "path MTU 1500", ("b0", "a0"): "ports 9185 blocked"}


def test_a_small_fleet_is_a_matrix_of_its_nodes_each_kind_of_trouble_with_a_mark_and_a_word() -> None:
    text = markdown(result({"a": 2, "b": 2}, BROKEN))
    rows = [line for line in text.splitlines() if line.strip()[:1].isdigit() and "/" in line]
    assert rows == [
        "  1 a/a0       ✓  ✓  ✗",
        "  2 a/a1    ✓     ✓  ✓",
        "  3 b/b0    ▪  ✓     ✓",
        "  4 b/b1    ✓  ~  ✓",
    ]
    for word in ("✗ no answer", "▪ ports blocked", "~ small path MTU", "· not measured"):
        assert word in text
    assert "another machine" not in text


def test_the_first_broken_pair_and_the_share_are_said() -> None:
    text = "\n".join(lines(result({"a": 2, "b": 2}, BROKEN)))
    assert "first broken: a/a0 → b/b1: no answer (3 of 12 paths)" in text
    assert "12 of 12 paths measured (100.0%), each node as source and target; --seed 42 repeats this sample" in text


def test_a_large_fleet_has_a_row_for_each_cluster_and_a_line_for_each_node_that_is_not_sound() -> None:
    size = MOST
    broken = {("a3", f"b{number}"): "no answer" for number in range(size)}
    text = list(lines(result({"a": size, "b": size}, broken)))
    assert len(text) < MOST + 12
    assert any("a/a3: 24 paths" in line for line in text)
    assert any("552/576" in line for line in text)


def test_nothing_measured_is_said_and_no_matrix_is_drawn() -> None:
    assert list(lines(Result("r", 1, "b", "e"))) == ["nothing was measured"]


def test_the_result_is_kept_whole_as_json(tmp_path: Path) -> None:
    one = result({"a": 2}, {("a0", "a1"): "no answer"})
    one = replace(one, begun="2026-01-02T03:04:05Z", left_out=(Remark("a", "not asked"),))
    project = Project(tmp_path, "migration-network", {})
    one.write(tmp_path / "deep" / "result.json", project)
    read = document((tmp_path / "deep" / "result.json").read_text())
    assert (read["kind"], read["stacks"], read["coverage"]["share"]) == ("CheckupResult", ["a"], 1)
    checkup = last(project, tmp_path / "deep" / "result.json")
    assert checkup is not None
    assert checkup.left_out == ("a: not asked",)
    assert read["pairs"][0] == {
        "source": {"stack": "a", "node": "a0"},
        "target": {"stack": "a", "node": "a1"},
        "ok": False,
        "reason": "no answer",
        "rttMs": None,
        "pathMtu": None,
        "throughput": None,
    }
