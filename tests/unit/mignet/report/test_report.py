"""The values of a report: books, paths, ways, and what is told of findings."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pictured
import pytest
import yaml

from config.files.project_files import Project
from config.finding import Finding
from config.planning.demand import Demand
from mignet.checks.limits import Outcome, Value
from mignet.fleet import last_checkup
from mignet.fleet.journal import RunRecord, place
from mignet.report import Report, assemble, checkups, files_of, history, limit_groups
from mignet.report.address_usage import Use
from mignet.report.collect import from_files
from mignet.report.grouping import told
from mignet.report.rendering import diagrams, page


@pytest.fixture(autouse=True)
def nothing_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def outcome(policy: str | None, *machines: str) -> Outcome:
    source = f"MigrationPolicy {policy}" if policy else "this stack"
    return Outcome(machines, (Value("completionTimeoutPerGiB", 20 if policy else 800, source),), policy)


def test_clusters_whose_machines_get_the_same_share_a_table_of_limits(tmp_path: Path) -> None:
    both = (outcome(None, "a/1", "a/2"), outcome("db", "a/3"))
    limits = {"two": (*both[:1], outcome("db", "b/1", "b/2")), "one": both, "three": both[:1], "empty": ()}
    first, second, last = limit_groups.groups(limits)
    assert first.stacks == ("one", "two")
    assert [(each.words, each.machines, each.policy) for each in first.columns] == [
        ("4 virtual machines", ("a/1", "a/2"), None),
        ("3 virtual machines", ("a/3",), "db"),
    ]
    assert [(key, [each and each.value for each in values]) for key, values in first.rows] == [
        ("completionTimeoutPerGiB", [800, 20])
    ]
    assert (second.stacks, last.stacks, last.columns) == (("three",), ("empty",), ())
    report = replace(pictured.fleet(tmp_path / "p", {"one": "", "two": ""}), limits=limits)
    text = page.render(report)
    assert text.count('<table class="plain limits">') == 2
    assert "no virtual machine runs" in text
    assert "MigrationPolicy db" in text


def test_more_outcomes_than_columns_are_counted() -> None:
    (group,) = limit_groups.groups({"one": tuple(outcome(f"p{number}", "a/1") for number in range(6))})
    assert (len(group.columns), group.more) == (4, 2)


def codes(report: Report) -> list[str]:
    return [each.finding.code for each in report.findings]


def test_a_sound_fleet_has_no_findings_and_every_way_is_ready(tmp_path: Path) -> None:
    report = pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    assert codes(report) == []
    assert (report.ways.ready, report.ways.of) == (2, 2)
    assert report.seen == ("one", "two")
    assert [path.tone for path in report.paths] == ["good", "good"]


def test_the_path_of_a_node_is_its_nics_bond_vlan_attachment_and_pod(tmp_path: Path) -> None:
    (path,) = pictured.fleet(tmp_path / "p", {"one": ""}).paths
    handlers, sync = path.lanes
    assert handlers.nodes == ("node-0", "node-1", "node-2")
    assert [(step.kind, step.name) for step in handlers.steps] == [
        ("NIC", "ens1f0 + ens1f1"),
        ("bond", "bond1"),
        ("VLAN", "mig0"),
        ("attachment", "migration"),
        ("pod", "virt-handler"),
    ]
    assert handlers.steps[-1].detail == "10.200.5.16-10.200.5.18"
    assert (sync.nodes, sync.steps[-1].name) == (("control-0",), "sync controller")


@pytest.mark.parametrize(
    ("ailment", "tone", "kind", "nodes"),
    [
        ("cable", "warn", "NIC", ("node-1",)),
        ("nic", "bad", "NIC", ("node-2",)),
        ("attachment", "bad", "attachment", ("node-0", "node-1", "node-2")),
        ("pod-network", "bad", "pod", ("node-1",)),
    ],
)
def test_a_path_says_where_it_breaks_and_on_which_nodes(
    tmp_path: Path, ailment: str, tone: str, kind: str, nodes: tuple[str, ...]
) -> None:
    (path,) = pictured.fleet(tmp_path / "p", {"one": ailment}).paths
    assert path.tone == tone
    worst = path.lanes[0]
    assert worst.nodes == nodes
    assert [step.kind for step in worst.steps if step.tone == tone] == [kind]
    assert all(step.tone in {"good", "idle"} for step in worst.steps if step.kind != kind)


def test_without_clusters_the_path_is_what_the_files_declare_and_nothing_is_called_well(tmp_path: Path) -> None:
    report = pictured.fleet(tmp_path / "p", {"one": "", "two": ""}, asked=False)
    assert not report.seen
    for path in report.paths:
        assert not path.seen
        assert {step.tone for lane in path.lanes for step in lane.steps} == {"idle"}
        assert [step.name for step in path.lanes[0].steps][:3] == ["ens1f0 + ens1f1", "bond1", "mig0"]
    assert any("no cluster was asked" in sentence for sentence in report.left_out)


def test_leases_are_counted_where_they_are_and_the_forecast_is_the_demand_with_its_headroom(tmp_path: Path) -> None:
    (books,) = pictured.fleet(tmp_path / "p", {"one": "", "two": "full"}).books
    one, two = books.uses
    assert (one.stack, len(one.leases or ()), one.size, one.needed, one.tone) == ("one", 5, 32, 3 + 2 + 1 + 1, "good")
    assert (two.stack, len(two.leases or ()), two.tone) == ("two", 32, "bad")
    assert one.words == "5 of 32 leased; 7 needed: 25 to spare"


@pytest.mark.parametrize(
    ("size", "leases", "nodes", "tone", "words"),
    [
        (10, 5, 3, "good", "5 of 10 leased; 7 needed: 3 to spare"),
        (6, 5, 3, "warn", "5 of 6 leased; 7 needed: 1 too few"),
        (5, 5, 3, "bad", "5 of 5 leased; 7 needed: 2 too few"),
        (10, None, 3, "good", "leases not seen; 7 needed: 3 to spare"),
        (10, None, None, "idle", "leases not seen; no forecast without cluster.nodes"),
        (None, None, 3, "idle", "another party gives the addresses, and keeps track of them"),
    ],
)
def test_a_use_says_whether_the_slice_does(
    size: int | None, leases: int | None, nodes: int | None, tone: str, words: str
) -> None:
    span = pictured.span("10.0.0.1", 64)
    given = None if leases is None else tuple(span.first + index for index in range(leases))
    demand = None if nodes is None else Demand(nodes=nodes, sync_controllers=2, headroom=1, percent=20)
    use = Use("one", span, size, given, demand, has_slice=True)
    assert (use.tone, use.words) == (tone, words)


def test_the_map_has_the_slices_of_stacks_that_the_report_is_not_about(tmp_path: Path) -> None:
    pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    project = Project.find(tmp_path / "p")
    files, stacks = files_of(project, ["one"])
    report = assemble(project, ["one"], files, [from_files(stack) for stack in stacks], asked=False)
    (books,) = report.books
    assert [part.stack for part in books.plan.parts if part.stack] == ["one", "two"]
    assert [use.stack for use in books.uses] == ["one"]


def test_a_stack_that_cannot_be_read_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    (tmp_path / "p" / "Pulumi.two.yaml").write_text("config:\n  migration-network:cluster: 5\n")
    project = Project.find(tmp_path / "p")
    files, stacks = files_of(project, ["one", "two"])
    report = assemble(project, ["one", "two"], files, [from_files(stack) for stack in stacks], asked=False)
    assert [path.stack for path in report.paths] == ["one"]
    assert report.errors
    assert {each.finding.stack for each in report.findings} == {"two"}
    assert "two cannot be read" in report.left_out[0]


def pair(one: str, other: str, code: str = "peer-untrusted") -> Finding:
    return Finding("key", None, "is not right", "Fix it", code=code, stack=one, peer=other)


def test_what_is_between_one_stack_and_many_others_is_told_once_of_that_one() -> None:
    findings = [pair(name, "odd") for name in ("a", "b", "c")] + [pair("d", "e")]
    first, second = told(findings)
    assert (first.stack, first.others, first.about) == ("odd", ("a", "b", "c"), ("odd",))
    assert (second.stack, second.others, second.about) == ("d", ("e",), ("d", "e"))


def test_no_pair_is_lost_when_half_of_a_fleet_differs_from_the_other_half() -> None:
    findings = [pair(f"a{i}", f"b{j}") for i in range(8) for j in range(8)]
    found = told(findings)
    covered = {frozenset({each.stack, other}) for each in found for other in each.others}
    assert covered == {frozenset({finding.stack, str(finding.peer)}) for finding in findings}
    assert len(found) == 8


def test_of_few_clusters_each_has_a_row_and_of_many_each_kind_of_trouble(tmp_path: Path) -> None:
    few = pictured.fleet(tmp_path / "few", {"one": "", "two": "gate", "three": ""}).ways
    assert [group.stacks for group in few.groups] == [("one",), ("two",), ("three",)]
    assert few.cells["one", "two"].code == "peer-gate"
    assert few.cells["one", "three"].tone == "good"
    names = {f"c{number:02}": "" for number in range(20)} | {"c03": "gate", "c04": "gate", "c09": "unreachable"}
    many = pictured.fleet(tmp_path / "many", names, subnet="10.200.0.0/16").ways
    assert {group.name: len(group.stacks) for group in many.groups} == {
        "nothing against them": 17,
        "peer-gate": 2,
        "cluster-unreachable": 1,
    }
    assert sum(cell.of for cell in many.cells.values()) == many.of == 20 * 19
    assert sum(cell.ready for cell in many.cells.values()) == many.ready == 17 * 16
    assert many.sends["c00"] == 16
    assert many.takes["c03"] == 0


def test_the_last_checkup_is_shown_with_its_broken_ways(tmp_path: Path) -> None:
    report = pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    assert any("no checkup was found" in sentence for sentence in report.left_out)
    path = pictured.checkup(report, tmp_path / "c.json", broken={("one/node-1", "two/node-0"): "no answer"})
    project = Project.find(tmp_path / "p")
    files, stacks = files_of(project, ["one", "two"])
    report = assemble(project, ["one", "two"], files, [from_files(s) for s in stacks], asked=False, checkup=path)
    assert report.checkup is not None
    assert [way.words for way in report.checkup.broken] == ["one/node-1 → two/node-0: no answer"]
    heads, ways = checkups.matrix(report.checkup)
    assert heads == tuple(f"{stack}/node-{index}" for stack in ("one", "two") for index in range(3))
    assert [way.ok for way in ways["one/node-1", "two/node-0"]] == [False]
    assert checkups.tone(report.checkup) == "bad"


def test_a_checkup_of_many_nodes_is_shown_by_cluster_and_of_many_clusters_by_those_that_are_hit(tmp_path: Path) -> None:
    names = {f"c{number:02}": "" for number in range(20)}
    report = pictured.fleet(tmp_path / "p", names, subnet="10.200.0.0/16", asked=True)
    path = pictured.checkup(report, tmp_path / "c.json", broken={("c01/node-1", "c07/node-0"): "no answer"})
    found = last_checkup.last(Project.find(tmp_path / "p"), path)
    assert found is not None
    heads, ways = checkups.matrix(found)
    assert set(heads) == {"c01", "c07", "the other 18"}
    assert sum(len(each) for each in ways.values()) == len(found.ways)


def test_a_finding_of_a_checkup_is_read_back_as_it_was(tmp_path: Path) -> None:
    finding = Finding(
        "Node node-1", None, "does not answer", "See it", code="checkup-silent", stack="one", waived=None, peer="two"
    )
    entry = {"severity": "error", "code": finding.code, "stack": "one", "peer": "two", "key": finding.key}
    entry |= {"waived": None, "rule": finding.rule, "remedy": finding.remedy, "message": str(finding)}
    path = tmp_path / "c.json"
    report = pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    content = json.loads(pictured.checkup(report, path, broken={}).read_text()) | {"findings": [entry]}
    path.write_text(json.dumps(content))
    found = last_checkup.last(Project.find(tmp_path / "p"), path)
    assert found is not None
    assert found.findings == (finding,)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"begun": "x", "coverage": 5}'])
def test_what_is_no_result_of_a_checkup_is_said_and_stops_nothing(tmp_path: Path, text: str) -> None:
    pictured.fleet(tmp_path / "p", {"one": ""})
    project = Project.find(tmp_path / "p")
    path = place(project, "checkup-result")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    files, stacks = files_of(project, ["one"])
    report = assemble(project, ["one"], files, [from_files(stack) for stack in stacks], asked=False)
    assert report.checkup is None
    assert any("is no result of a checkup" in sentence for sentence in report.left_out)


def test_the_last_runs_are_listed_the_latest_first_and_a_broken_record_is_said(tmp_path: Path) -> None:
    pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    project = Project.find(tmp_path / "p")
    record = RunRecord.begin("up", "direct", ["one", "two"], [place(project, "up")])
    record.watch("one", "done")
    record.watch("two", "failed", "cluster is unreachable\nand more")
    record.end()
    place(project, "drift").write_text("not JSON")
    runs, unread = history.runs(project)
    assert [(run.verb, run.counts, run.failed) for run in runs] == [
        ("up", "1 done, 1 failed", [("two", "cluster is unreachable")])
    ]
    assert len(unread) == 1
    assert "drift" in unread[0]


def test_who_wrote_last_is_told_once_for_clusters_that_were_written_to_together(tmp_path: Path) -> None:
    report = pictured.fleet(tmp_path / "p", {"one": "", "two": "", "three": "unreachable"})
    assert [(write.what, write.stacks) for write in report.writes] == [
        ("NetworkAttachmentDefinition migration", ("one", "two"))
    ]


def test_a_finding_that_is_seen_twice_is_told_once(tmp_path: Path) -> None:
    report = pictured.fleet(tmp_path / "p", {"one": "unreachable", "two": ""})
    assert codes(report).count("cluster-unreachable") == 1


def test_what_stands_in_the_files_is_found_as_mignet_check_finds_it(tmp_path: Path) -> None:
    pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    path = tmp_path / "p" / "Pulumi.two.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["migration-network:slice"] = {"rangeStart": "10.200.5.40", "rangeEnd": "10.200.5.79"}
    path.write_text(yaml.safe_dump(content))
    project = Project.find(tmp_path / "p")
    files, stacks = files_of(project, ["one", "two"])
    report = assemble(project, ["one", "two"], files, [from_files(stack) for stack in stacks], asked=False)
    assert {finding.code for finding in files.between()} <= set(codes(report))
    assert report.errors


@pytest.mark.parametrize(
    ("attachment", "uplink", "steps"),
    [
        (
            {"type": "macvlan", "name": "m", "master": "eth1"},
            None,
            [("NIC", "eth1"), ("VLAN", "VLAN 2001")],
        ),
        (
            {"type": "macvlan", "name": "m", "master": "eth1.2001"},
            {"vlan": {"baseInterface": "eth1"}},
            [("NIC", "eth1"), ("VLAN", "eth1.2001")],
        ),
        (
            {"type": "bridge", "name": "m", "bridge": "br-mig", "vlan": 2001},
            {"bridge": {"name": "br-mig", "port": "eth1"}},
            [("NIC", "eth1"), ("bridge", "br-mig"), ("VLAN", "VLAN 2001")],
        ),
        (
            {"type": "localnet", "name": "m", "physicalNetworkName": "mig"},
            {"ovsBridge": {"name": "ovs-mig", "port": "eth1"}, "localnet": {"localnet": "mig"}},
            [("NIC", "eth1"), ("bridge", "ovs-mig"), ("VLAN", "VLAN 2001")],
        ),
    ],
    ids=["nic", "vlan", "bridge", "localnet"],
)
def test_every_type_of_attachment_has_its_declared_path(
    tmp_path: Path, attachment: object, uplink: object, steps: list[tuple[str, str]]
) -> None:
    own = {"attachment": attachment, "uplink": uplink or {}}
    report = pictured.fleet(tmp_path / "p", {"one": ""}, own=own, without=() if uplink else ("uplink",), asked=False)
    (path,) = report.paths
    assert [(step.kind, step.name) for step in path.lanes[0].steps] == [
        *steps,
        ("attachment", "m"),
        ("pod", "virt-handler"),
    ]


def test_both_families_have_a_map_and_a_use(tmp_path: Path) -> None:
    own = {
        "segment": {"subnet": ["10.200.5.0/24", "fd00:200:5::/64"], "vlan": 2001, "mtu": 9000},
        "slice": [
            {"rangeStart": "10.200.5.16", "rangeEnd": "10.200.5.47"},
            {"rangeStart": "fd00:200:5::10", "rangeEnd": "fd00:200:5::2f"},
        ],
    }
    report = pictured.fleet(tmp_path / "p", {"one": ""}, own=own)
    assert [str(books.plan.subnet) for books in report.books] == ["10.200.5.0/24", "fd00:200:5::/64"]
    assert [len(use.leases or ()) for books in report.books for use in books.uses] == [5, 5]
    narrow, wide = (diagrams.strip(number, each) for number, each in enumerate(report.books, 1))
    assert (narrow.size, narrow.beyond) == (254, 0)
    assert wide.size == 64
    assert wide.beyond > 2**62
    assert "fd00:200:5::10" in page.render(report)


def test_addresses_that_two_stacks_have_are_marked_on_the_map(tmp_path: Path) -> None:
    report = pictured.fleet(
        tmp_path / "p", {"one": "", "two": ""}, own={"slice": {"rangeStart": "10.200.5.16", "rangeEnd": "10.200.5.47"}}
    )
    areas = diagrams.strip(1, report.books[0]).areas
    assert [(area.first, area.last) for area in areas if area.kind == "twice"] == [(15, 46)]
    assert report.ways.ready == 0


DAY = timedelta(days=1)


def with_checkup(folder: Path, *, hours: float = 24, **measured: Any) -> Report:
    """Return the report of a sound fleet whose node-1 of one did not reach anybody in a checkup."""
    report = pictured.fleet(folder / "p", {"one": "", "two": "", "three": ""})
    ends = [f"{stack}/node-{number}" for stack in ("one", "two", "three") for number in range(3)]
    broken = {(a, b): "no answer" for a in ends for b in ends if "one/node-1" in {a, b}}
    measured = {"broken": broken, "problems": {"one/node-1": "checkup-link-down"}} | measured
    path = pictured.checkup(report, folder / "c.json", **measured)
    return pictured.fleet(folder / "p", {"one": "", "two": "", "three": ""}, checkup=path, hours=hours)


def test_a_node_whose_link_a_checkup_found_down_is_green_nowhere(tmp_path: Path) -> None:
    report = with_checkup(tmp_path)
    one, two, _ = report.paths
    (down,) = [lane for lane in one.lanes if "node-1" in lane.nodes]
    assert (down.nodes, down.tone, down.steps[0].code) == (("node-1",), "bad", "checkup-link-down")
    assert "measured less than a minute ago" in down.steps[0].why
    assert two.tone == "good"
    tones = {cell: each.tone for cell, each in report.ways.cells.items() if cell[0] != cell[1]}
    assert {cell for cell, tone in tones.items() if tone == "good"} == {("two", "three"), ("three", "two")}
    assert report.ways.ready == 2
    (row, *_) = page.rows(report)
    assert (row.name, row.tone) == ("one", "bad")
    assert page.headline(report).tone != "good"


def test_what_was_measured_long_ago_is_unknown_and_no_finding(tmp_path: Path) -> None:
    report = with_checkup(tmp_path, begun=datetime.now(UTC) - 3 * DAY)
    assert report.checkup is not None
    assert checkups.tone(report.checkup) == "idle"
    assert report.checkup.words.startswith("unknown: the last checkup was 3 days ago (")
    assert report.checkup.words.endswith("counts for 24 hours; run mignet checkup")
    assert codes(report) == []
    assert [path.tone for path in report.paths] == ["good"] * 3
    assert {cell.tone for row in diagrams.measured(report.checkup).cells for cell in row} == {"idle"}
    assert "unknown between the nodes, as the last checkup was 3 days ago" in page.headline(report).text
    assert any("is unknown: the last checkup was 3 days ago" in each for each in report.left_out)


def test_how_long_a_checkup_counts_is_the_users_choice(tmp_path: Path) -> None:
    report = with_checkup(tmp_path, begun=datetime.now(UTC) - 3 * DAY, hours=100)
    assert report.paths[0].tone == "bad"
    assert "measured 3 days ago (" in report.paths[0].lanes[0].steps[0].why


def test_every_sentence_says_whether_it_was_measured_or_derived(tmp_path: Path) -> None:
    derived = pictured.fleet(tmp_path / "p", {"one": "", "two": ""})
    nothing = "nothing was measured between the nodes (mignet checkup does)"
    assert page.headline(derived).text.endswith(f", as the clusters' objects say; {nothing}")
    assert diagrams.chains(derived.paths)[0].words == f"every station of 4 nodes is healthy, as objects say; {nothing}"
    path = pictured.checkup(derived, tmp_path / "c.json", broken={}, begun=datetime.now(UTC) - timedelta(hours=2))
    measured = pictured.fleet(tmp_path / "p", {"one": "", "two": ""}, checkup=path)
    assert "measured between the nodes 2 hours ago (" in page.headline(measured).text
    assert page.headline(measured).text.endswith("18 of 18 healthy")
    assert "; 3 of 4 nodes were measured 2 hours ago" in diagrams.chains(measured.paths)[0].words
