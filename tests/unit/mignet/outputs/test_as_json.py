"""JSON of all verbs: one style, one published schema a kind, and a document for what cannot begin, too."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import forked
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, document

from config.files.project_files import Project
from config.finding import Finding, Subject
from config.loading import load_stack
from mignet.checks import peers
from mignet.cli import app
from mignet.commands.files import Kind
from mignet.fleet.results import Checked
from mignet.kube.diff import FieldChange, ObjectChange, PulumiView, Report, Writer
from mignet.outputs import as_json, documents

STACK = (ROOT / "Pulumi.dev.yaml").read_text()
PROJECT = Project(ROOT, "migration-network", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Pulumi.yaml", "__main__.py", "Pulumi.dev.yaml", "Pulumi.dev-peer.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def _asks_for_json(command: Any) -> list[str]:
    for parameter in command.params:
        if "--json" in parameter.opts:
            return ["--json"]
        if "--output" in parameter.opts and "json" in get_args(parameter.type_descriptor.annotation):
            return ["-o", "json"]
    return []


VERBS = {
    name: option
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    # A watch has no end, and so no document: each change is a line.
    if (option := _asks_for_json(command)) and name != "watch"
}


def test_these_verbs_print_json() -> None:
    assert set(VERBS) == {verb.replace("_", "-") for verb in as_json._KINDS}
    assert set(get_args(Kind)) == set(documents.KINDS)


# The history reads no stack file: what happened stays what it was.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "history"])
def test_a_mistake_in_every_stack_file_is_a_document_as_well(folder: Path, verb: str) -> None:
    for stack in ("dev", "dev-peer"):
        (folder / f"Pulumi.{stack}.yaml").write_text(STACK.replace("rangeEnd:", "rangeStop:"))
    yes = ["--yes"] if verb in {"up", "destroy"} else []
    stacks = [] if verb == "plan-addresses" else ["--all"]
    done = forked.mignet(verb, *stacks, *VERBS[verb], *yes, cwd=folder)
    # A report fails for what it cannot see, and shows what it finds.
    assert done.returncode == (1 if verb == "report" else 2), done.stdout + done.stderr
    read = document(done.stdout)
    assert read["kind"] == as_json._KINDS[verb.replace("-", "_")]
    assert read["blocks"]
    (wrong,) = [each for each in read["findings"] if (each["stack"], each["code"]) == ("dev", "key-unknown")]
    assert (wrong["key"], wrong["file"]) == ("slice.rangeStop", "Pulumi.dev.yaml")
    assert (folder / wrong["file"]).read_text().splitlines()[wrong["line"] - 1].lstrip().startswith("rangeStop:")
    if verb not in {"check", "report"}:
        assert wrong["message"] in done.stderr, "people read the same line"


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_project_or_without_a_stack_it_is_a_document_too(tmp_path: Path, verb: str) -> None:
    nowhere = forked.mignet(verb, *VERBS[verb], cwd=tmp_path)
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    empty = forked.mignet(verb, *VERBS[verb], cwd=tmp_path)
    for done in (nowhere, empty):
        assert done.returncode == 2, done.stdout + done.stderr
        (finding,) = document(done.stdout)["findings"]
        assert (finding["stack"], finding["code"], finding["file"]) == ("mignet", "usage", None)


@pytest.mark.parametrize(
    "arguments",
    [
        "up dev --json",
        "drift dev --fix --json",
        "preview dev --json -o markdown",
        "peers dev -o json",
        "preview x* --json",
    ],
)
def test_a_mistake_on_the_command_line_is_a_document_too(folder: Path, arguments: str) -> None:
    done = forked.mignet(*arguments.split(), cwd=folder)
    assert done.returncode == 2
    (finding,) = document(done.stdout)["findings"]
    assert done.stderr.strip() == finding["message"]


@pytest.mark.parametrize("arguments", ["check -o json", "plan-addresses --json", "peers --files --json"])
def test_what_needs_no_cluster_has_its_schema(folder: Path, arguments: str) -> None:
    done = forked.mignet(*arguments.split(), cwd=folder)
    assert done.returncode == 0
    read = document(done.stdout)
    assert (read["stacks"], read["findings"], read["blocks"]) == (["dev", "dev-peer"], [], False)


def test_every_key_of_every_kind_is_in_camel_case() -> None:
    def keys(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", ())
            for each in schema.values():
                yield from keys(each)

    for kind in documents.KINDS:
        schema = json.loads(documents.schema_text(kind))
        assert {"apiVersion", "kind"} <= set(schema["required"])
        assert [key for key in keys(schema) if not re.fullmatch("[a-z]+([A-Z][a-z0-9]*)*", key)] == []


BY = Writer("kubectl-edit", "Update", "2026-01-02T03:04:05Z")
CHANGE = ObjectChange(
    "update", "HyperConverged", "ns", "hco", (FieldChange("spec.a", 1, {"b_c": [2]}, "x", BY, inside=("b",)),)
)
BETWEEN = Finding("slice", None, "overlaps", "Move it", code="slice-overlap", stack="a", peer="b")


def test_a_drift_has_the_plan_and_the_findings_in_one_document() -> None:
    taken = Finding(Subject.of("HyperConverged", "ns/hco"), None, "is taken", "Fix it", code="field-taken", stack="a")
    view = PulumiView((CHANGE,), "it stopped")
    seen = Report("a", "drift", "pulumi", (CHANGE,), ("w",), {"some_output": ipaddress.ip_address("10.0.0.1")})
    object.__setattr__(seen, "pulumi", view)
    object.__setattr__(seen, "findings", (taken, BETWEEN))
    other = Report("b", "drift", "direct", error=str(BETWEEN), findings=(BETWEEN,), left_out=("no",), not_judged=3)
    failed = Report("c", "drift", "direct", error="one\ntwo")
    read = document(as_json.reports(PROJECT, "drift", [seen, other, failed]))
    assert [(each["stack"], each["drifted"], each["error"] is None) for each in read["reports"]] == [
        ("a", True, True),
        ("b", False, False),
        ("c", False, False),
    ]
    told = [(each["stack"], each["code"], each["subject"]["kind"]) for each in read["findings"]]
    assert told == [
        ("a", "field-taken", "HyperConverged"),
        ("a", "slice-overlap", ""),
        ("c", "run-failed", ""),
        ("c", "run-failed", ""),
    ], "what is between two stacks stands there once, and an error that no finding tells is one"
    assert (read["leftOut"], read["notJudged"], read["blocks"]) == ([{"stack": "b", "sentence": "no"}], {"b": 3}, True)
    (field,) = read["reports"][0]["changes"][0]["fields"]
    assert field == {
        "path": "spec.a{b}",
        "field": "spec.a",
        "inside": ["b"],
        "old": 1,
        "new": {"b_c": [2]},
        "owner": "x",
        "by": {"manager": "kubectl-edit", "operation": "Update", "time": BY.time, "subresource": "", "owns": True},
        "sameMeaning": False,
    }, "keys that are data stay as they are"
    assert read["reports"][0]["outputs"] == {"some_output": "10.0.0.1"}
    assert read["reports"][0]["pulumi"]["error"] == "it stopped"


def test_a_path_between_peers_that_is_not_ready_names_its_reason() -> None:
    fine = dict.fromkeys(("a", "b"))
    matrix = peers.Matrix(("a", "b"), fine, dict.fromkeys(fine, False), {("a", "b"): BETWEEN, ("b", "a"): None})
    values = {
        "segment": {"subnet": "10.200.5.0/24", "mtu": 9000},
        "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
    }
    stacks = tuple(load_stack(name, values | {"cluster": {"context": name}}) for name in "ab")
    found = peers.Peers(stacks, (BETWEEN,), (), matrix)
    read = document(as_json.peers(found, Checked(PROJECT, ("a", "b"), found.findings, ())))
    assert read["ready"] == 1
    assert [(path["source"], path["ready"], path["code"]) for path in read["paths"]] == [
        ("a", False, "slice-overlap"),
        ("b", True, None),
    ]
    assert [(path["via"], path["mtu"]) for path in read["paths"]] == [([], 9000)] * 2


Values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.ip_addresses(),
    lambda each: st.lists(each) | st.tuples(each) | st.dictionaries(st.text() | st.integers(), each),
)


@given(Values)
def test_whatever_stands_in_a_stack_file_is_written(value: object) -> None:
    checked = Checked(PROJECT, ("a",), (Finding("k", value, "r", "m", code="c", stack="a"),), ())
    (finding,) = document(as_json.render(checked, ROOT))["findings"]
    assert finding["value"] == json.loads(json.dumps(value, default=str))
