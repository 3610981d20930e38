"""mignet check: every finding of all stacks, from files alone, in each of its forms."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import forked
import pytest
from support import document

from config.files.project_files import Project
from config.rules import fleet_rules, stack_rules
from mignet.checks.stack_files import check
from mignet.outputs import RENDER

PROJECT = """name: migration-network
runtime: python
config:
  segment:
    default:
      subnet: 10.200.5.0/24
      mtu: 900
"""
A = """# Cluster a
config:
  migration-network:cluster: {context: a}
  migration-network:attachment:
    type: macvlan
    name: migration
    master: eth1
  migration-network:slice:
    rangeStart: 10.200.5.10
    rangeEnd: 10.200.5.60
"""
B = A.replace("context: a", "context: b").replace("10.200.5.10", "10.200.5.50").replace("10.200.5.60", "10.200.5.99")
WAIVED = "  migration-network:waivers:\n    slice-overlap: '50% off | <b>, :x'\n"


def project(folder: Path, shared: str = PROJECT.replace("900", "9000"), **files: str) -> Project:
    (folder / "Pulumi.yaml").write_text(shared)
    for name, text in files.items():
        (folder / f"Pulumi.{name.replace('_', '-')}.yaml").write_text(text)
    return Project.find(folder)


def mignet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.mignet(*arguments, cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)})


def places(folder: Path, output: str = "json") -> dict[str, tuple[str, int]]:
    content = document(RENDER[output](check(Project.find(folder)), folder))
    return {finding["code"]: (finding["file"], finding["line"]) for finding in content["findings"]}


RULES = f"{len(stack_rules.RULES) + len(fleet_rules.RULES)} rules"
OVERLAP = (
    "b: slice 10.200.5.50-10.200.5.99 shares 10.200.5.50-10.200.5.60 with a (10.200.5.10-10.200.5.60); both clusters"
    " give these addresses to pods. Run mignet release b and mignet allocate b, or move one of the two by hand"
)


def test_a_fleet_without_findings_is_exit_code_0(tmp_path: Path) -> None:
    project(tmp_path, a=A, b=B.replace("5.50", "5.61"))
    result = mignet(tmp_path, "check")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"2 stacks, {RULES} each: no problems\n", "")


def test_the_table_has_one_line_a_finding_and_a_blocking_one_is_exit_code_2(tmp_path: Path) -> None:
    project(tmp_path, a=A, b=B)
    result = mignet(tmp_path, "check", "--all")
    assert result.returncode == 2
    assert result.stdout == f"error    slice-overlap  {OVERLAP} (Pulumi.b.yaml:8:3)\n2 stacks, {RULES} each: 1 error\n"


def test_all_mistakes_of_all_stacks_come_at_once_and_who_cannot_be_read_is_said(tmp_path: Path) -> None:
    project(tmp_path, a=A, b=B, c="config: {slice: 5}\n", d="config: [\n", e=A.replace("context: a", "context: e"))
    result = mignet(tmp_path, "check")
    assert [line.split()[:3] for line in result.stdout.splitlines()[:-2]] == [
        ["error", "slice-overlap", "b:"],
        ["error", "value-model-type", "c:"],
        ["error", "key-missing", "c:"],
        ["error", "key-missing", "c:"],
        ["error", "project-file", "d:"],
        ["error", "slice-overlap", "e:"],
    ]
    assert result.stdout.splitlines()[-2] == "not compared with the others, as they cannot be read: c, d"
    assert result.stdout.splitlines()[-1] == f"5 stacks, {RULES} each: 6 errors"


def test_a_stack_that_breaks_a_rule_of_its_own_is_compared_with_the_others_all_the_same(tmp_path: Path) -> None:
    checked = check(project(tmp_path, a=A.replace("{context: a}", "{context: a, nodes: 100}"), b=B))
    assert [finding.code for finding in checked.findings] == ["slice-too-small", "slice-overlap"]
    assert not checked.left_out


def test_a_named_stack_is_held_against_all_others_and_only_what_is_about_it_is_shown(tmp_path: Path) -> None:
    one = project(tmp_path, a=A, b=B, c="config: {}\n")
    assert [finding.code for finding in check(one, ["a"]).findings] == ["slice-overlap"]
    assert mignet(tmp_path, "check", "a").stdout.endswith(
        f"not compared with the others, as they cannot be read: c\n1 stack, {RULES}: 1 error\n"
    )


def test_a_stack_without_a_file_is_a_finding(tmp_path: Path) -> None:
    project(tmp_path, a=A)
    result = mignet(tmp_path, "check", "nope")
    assert result.returncode == 2
    assert "nope: Pulumi.nope.yaml does not exist. Stacks with a file: a" in result.stdout


def test_warnings_are_exit_code_0_unless_strict(tmp_path: Path) -> None:
    project(tmp_path, a=A + "  migration-network:segment: {subnet: 10.200.5.0/24, mtu: 9000}\n")
    assert mignet(tmp_path, "check").returncode == 0
    assert mignet(tmp_path, "check", "--strict").returncode == 2


def test_a_waiver_is_printed_with_its_reason_and_blocks_nothing(tmp_path: Path) -> None:
    project(tmp_path, a=A, b=B + WAIVED)
    result = mignet(tmp_path, "check", "--strict")
    assert result.returncode == 0
    waived = f"waived   slice-overlap  {OVERLAP} (waived: 50% off | <b>, :x) (Pulumi.b.yaml:8:3)"
    assert result.stdout == f"{waived}\n2 stacks, {RULES} each: 1 waived\n"


def test_a_waiver_of_what_is_not_broken_is_a_warning_unless_a_stack_is_missing(tmp_path: Path) -> None:
    one = project(tmp_path, a=A + WAIVED)
    assert [str(finding) for finding in check(one).findings] == [
        "a: waivers.slice-overlap 50% off | <b>, :x waives what is not broken."
        " Remove it, so that it hides nothing later"
    ]
    assert not [f for f in check(project(tmp_path, b="config: {}")).findings if f.code == "waiver-unused"]


@pytest.mark.parametrize("reason", ['""', '"  "', "null", "5"])
def test_a_waiver_without_a_reason_is_refused(tmp_path: Path, reason: str) -> None:
    checked = check(project(tmp_path, a=f"{A}  migration-network:waivers: {{slice-overlap: {reason}}}\n"))
    assert checked.blocks


def test_a_mistake_in_the_form_of_a_file_cannot_be_waived(tmp_path: Path) -> None:
    checked = check(project(tmp_path, a=f"{A}  migration-network:waivers: {{key-unknown: why not}}\n"))
    assert [finding.code for finding in checked.findings] == ["waiver-unknown"]


def test_a_finding_stands_at_the_line_of_its_key_or_of_what_is_around_it(tmp_path: Path) -> None:
    project(
        tmp_path,
        PROJECT,
        a=A.replace("eth1", "eth1/x").replace("type: macvlan", "type: macvlan\n    mtu: 5"),
        b="config:\n  other:key: 1\n  migration-network:slic: 5\n",
        c="config:\n  a: 1\n  a: 2\n",
    )
    found = document(RENDER["json"](check(Project.find(tmp_path)), tmp_path))["findings"]
    assert {(each["stack"], each["key"]): (each["file"], each["line"], each["column"]) for each in found} == {
        ("a", "segment.mtu"): ("Pulumi.yaml", 7, 7),
        ("a", "attachment.mtu"): ("Pulumi.a.yaml", 6, 5),
        ("a", "attachment.master"): ("Pulumi.a.yaml", 8, 5),
        ("b", "segment.mtu"): ("Pulumi.yaml", 7, 7),
        ("b", "slic"): ("Pulumi.b.yaml", 3, 3),
        ("b", "cluster"): ("Pulumi.b.yaml", 1, 1),
        ("b", "attachment"): ("Pulumi.b.yaml", 1, 1),
        ("c", "Pulumi.c.yaml:3:3"): ("Pulumi.c.yaml", 3, 3),
    }


def test_items_of_lists_have_lines_too(tmp_path: Path) -> None:
    text = A.replace(
        "    master: eth1\n",
        "    master: eth1\n    ipam:\n      type: whereabouts\n      exclude:\n"
        "        - 10.200.5.20/32\n        - 10.9.0.0/24\n",
    )
    project(tmp_path, a=text)
    assert places(tmp_path) == {"exclude-outside": ("Pulumi.a.yaml", 12)}


def test_json_has_every_part_of_a_finding_by_name(tmp_path: Path) -> None:
    checked = check(project(tmp_path, a=A, b=B))
    assert document(RENDER["json"](checked, tmp_path)) == {
        "apiVersion": "migration-network/v1",
        "kind": "CheckResult",
        "stacks": ["a", "b"],
        "leftOut": [],
        "proven": [],
        "crossings": [],
        "notJudged": {},
        "blocks": True,
        "findings": [
            {
                "severity": "error",
                "code": "slice-overlap",
                "stack": "b",
                "key": "slice",
                "value": "10.200.5.50-10.200.5.99",
                "rule": "shares 10.200.5.50-10.200.5.60 with a (10.200.5.10-10.200.5.60); both clusters give these"
                " addresses to pods",
                "remedy": "Run mignet release b and mignet allocate b, or move one of the two by hand",
                "waived": None,
                "peer": "a",
                "subject": {"kind": "", "name": "", "nodes": [], "interface": ""},
                "blocks": True,
                "message": OVERLAP,
                "file": "Pulumi.b.yaml",
                "line": 8,
                "column": 3,
            }
        ],
    }


def test_github_gets_one_command_a_finding_with_its_special_characters_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "net, 1%"
    folder.mkdir()
    checked = check(project(folder, a=A, b=B + WAIVED, c="config: {}\n"))
    lines = RENDER["github"](checked, tmp_path).splitlines()
    assert lines[0] == (
        "::notice file=net%2C 1%25/Pulumi.b.yaml,line=8,col=3,title=slice-overlap::"
        + OVERLAP
        + " (waived: 50%25 off | <b>, :x)"
    )
    assert lines[1].startswith("::error file=net%2C 1%25/Pulumi.c.yaml,line=1,col=1,title=key-missing::c: cluster is")
    assert lines[-1] == "::notice::not compared with the others, as they cannot be read: c"


def test_markdown_is_a_table_that_nothing_in_a_finding_can_break(tmp_path: Path) -> None:
    checked = check(project(tmp_path, a=A, b=B + WAIVED))
    assert RENDER["markdown"](checked, tmp_path) == (
        f"**2 stacks, {RULES} each: 1 waived**\n"
        "\n"
        "| | stack | where | what | remedy |\n"
        "|---|---|---|---|---|\n"
        "| waived: 50% off \\| &lt;b>, :x `slice-overlap` | b | Pulumi.b.yaml:8 | slice 10.200.5.50-10.200.5.99 shares"
        " 10.200.5.50-10.200.5.60 with a (10.200.5.10-10.200.5.60); both clusters give these addresses to pods"
        " | Run mignet release b and mignet allocate b, or move one of the two by hand |\n"
    )


def sarif(folder: Path, **files: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(RENDER["sarif"](check(project(folder, **files)), folder.parent))
    return log


def test_sarif_has_what_version_2_1_0_requires(tmp_path: Path) -> None:
    log = sarif(tmp_path, a=A, b=B, c="config: {}\n", d=A + "  migration-network:segment: {subnet: 10.9.0.0/24}\n")
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("/sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "mignet"
    assert [rule["id"] for rule in driver["rules"]] == sorted({result["ruleId"] for result in run["results"]})
    assert run["invocations"][0]["executionSuccessful"] is True
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert (tmp_path.parent / physical["artifactLocation"]["uri"]).is_file()
        assert not re.search(r"[ \\]", physical["artifactLocation"]["uri"])
        assert physical["region"]["startLine"] >= 1
        assert physical["region"]["startColumn"] >= 1


def test_sarif_says_where_a_finding_is_and_that_a_waiver_suppresses_it(tmp_path: Path) -> None:
    log = sarif(tmp_path, a=A, b=B + WAIVED)
    (result,) = log["runs"][0]["results"]
    assert result == {
        "ruleId": "slice-overlap",
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": f"{OVERLAP} (waived: 50% off | <b>, :x)"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": f"{tmp_path.name}/Pulumi.b.yaml"},
                    "region": {"startLine": 8, "startColumn": 3},
                },
                "logicalLocations": [{"fullyQualifiedName": "b/slice"}],
            }
        ],
        "partialFingerprints": {"finding/v1": "slice-overlap:b:slice"},
        "suppressions": [{"kind": "inSource", "justification": "50% off | <b>, :x"}],
    }


@pytest.mark.parametrize("command", ["preview a --engine direct", "up a --engine direct --yes", "render a"])
def test_a_stack_that_collides_with_another_is_refused_before_any_cluster_is_asked(
    tmp_path: Path, command: str
) -> None:
    project(tmp_path, a=A, b=B)
    result = mignet(tmp_path, *command.split())
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"{OVERLAP}\n")


def test_what_other_stacks_have_with_each_other_stops_nobody_else(tmp_path: Path) -> None:
    project(
        tmp_path, a=A, b=B, c=A.replace("context: a", "context: c").replace("5.10", "5.100").replace("5.60", "5.110")
    )
    result = mignet(tmp_path, "preview", "c", "--engine", "direct")
    assert result.returncode == 1, "no cluster is there"
    assert "slice" not in result.stderr


def test_destroy_and_drift_are_never_in_the_way_of_tidying_up(tmp_path: Path) -> None:
    project(tmp_path, a=A, b=B)
    for verb in ("drift", "destroy"):
        result = mignet(tmp_path, verb, "a", "--engine", "direct", *(["--yes"] if verb == "destroy" else []))
        assert result.returncode == 1, "no cluster is there"
