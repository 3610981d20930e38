"""What counts as drift where only time tells, and who wrote a field."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support import ROOT

from config.files.project_files import Project
from config.loading import load_stack
from mignet.checks.drift_rules import CODES, NOT_IN_FIELDS, SHOWN_AS_FIELDS, Seen, asleep_for_long, field_changed, reads
from mignet.checks.rules.hyperconverged import settings_not_taken
from mignet.kube.diff import FieldChange, ObjectChange, Writer
from mignet.kube.managed_fields import writer_of
from mignet.kube.snapshot import Snapshot

WRITTEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMIT = "spec.liveMigrationConfig.completionTimeoutPerGiB"


def entry(manager: str, operation: str, time: str, *keys: str, **more: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key in reversed(keys):
        fields = {f"f:{key}": fields}
    return {"manager": manager, "operation": operation, "time": time, "fieldsV1": fields} | more


def hyperconverged(*entries: dict[str, Any], observed: int = 2) -> dict[str, Any]:
    return {
        "apiVersion": "hco.kubevirt.io/v1beta1",
        "kind": "HyperConverged",
        "metadata": {
            "name": "kubevirt-hyperconverged",
            "namespace": "openshift-cnv",
            "generation": 3,
            "managedFields": list(entries),
        },
        "spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 800}},
        "status": {"observedGeneration": observed},
    }


def seen(live: dict[str, Any], *, after: timedelta) -> Seen:
    project = Project.find(ROOT)
    stack = load_stack("dev", project.stack_values("dev"))
    found = {read: (live,) if read.kind.kind == "HyperConverged" else () for read in reads(stack)}
    return Seen(Snapshot(stack, found), (), now=WRITTEN + after)


@pytest.mark.parametrize(
    ("observed", "minutes", "found"),
    [(2, 3, ["operator-asleep"]), (2, 1, []), (3, 3, [])],
    ids=["late", "soon", "done"],
)
def test_an_operator_is_asleep_that_has_not_looked_for_minutes(observed: int, minutes: int, found: list[str]) -> None:
    spec = entry("migration-network", "Apply", "2026-01-02T03:04:05Z", *LIMIT.split("."))
    # What the operator writes into its own status is no change that it has to look at.
    status = entry("hyperconverged-cluster-operator", "Update", "2026-01-02T03:06:00Z", "status", subresource="status")
    live = hyperconverged(spec, status, observed=observed)
    findings = list(asleep_for_long(seen(live, after=timedelta(minutes=minutes))))
    assert [each.code for each in findings] == found
    for each in findings:
        assert "is at generation 3, and the HyperConverged operator has only looked at 2" in str(each)


OURS = entry("migration-network", "Apply", "2026-01-02T03:04:05Z", *LIMIT.split("."))
EDIT = entry("kubectl-edit", "Update", "2026-01-01T00:00:00Z", *LIMIT.split("."))
OTHER = entry("Mozilla", "Update", "2026-01-03T00:00:00Z", "spec", "infra")
STATUS = entry("operator", "Update", "2026-01-04T00:00:00Z", "status", subresource="status")


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        ([OURS, OTHER], Writer("migration-network", "Apply", "2026-01-02T03:04:05Z")),
        ([OURS, EDIT], Writer("kubectl-edit", "Update", "2026-01-01T00:00:00Z")),
        ([OTHER, STATUS], Writer("Mozilla", "Update", "2026-01-03T00:00:00Z", owns=False)),
        ([STATUS], None),
        ([], None),
    ],
    ids=["ours", "shared", "removed", "only a status was written", "no trace"],
)
def test_the_writer_of_a_field_is_who_owns_it_else_who_wrote_last(
    entries: list[dict[str, Any]], writer: Writer | None
) -> None:
    assert writer_of(hyperconverged(*entries), LIMIT, ours="migration-network") == writer


def test_a_field_within_a_text_or_a_list_is_its_whole_texts_or_lists_owners() -> None:
    fields = {"f:spec": {"f:config": {}, "f:items": {'k:{"name":"a"}': {".": {}}}}}
    live = {"metadata": {"managedFields": [entry("one", "Update", "2026-01-01T00:00:00Z") | {"fieldsV1": fields}]}}
    for path in ("spec.config", "spec.items"):
        assert writer_of(live, path, ours="migration-network") == Writer("one", "Update", "2026-01-01T00:00:00Z")


def test_each_code_is_in_the_document() -> None:
    text = (ROOT / "docs" / "drift.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert {code for line in table for code in re.findall("`([a-z-]+)`", line.split("|")[1])} == CODES


def test_each_code_is_of_a_rule() -> None:
    assert NOT_IN_FIELDS.keys() | SHOWN_AS_FIELDS <= CODES


def test_a_patch_of_the_operator_is_the_cause_that_is_named() -> None:
    live = hyperconverged(OURS)
    live["spec"]["liveMigrationConfig"] |= {"network": "migration"}
    operation = '[{"op":"remove","path":"/spec/configuration/migrations"}]'
    live["metadata"]["annotations"] = {"kubevirt.kubevirt.io/jsonpatch": operation}
    kubevirt = {"metadata": {"name": "kubevirt", "namespace": "openshift-cnv"}, "kind": "KubeVirt", "spec": {}}
    project = Project.find(ROOT)
    stack = load_stack("dev", project.stack_values("dev"))
    there = {"HyperConverged": (live,), "KubeVirt": (kubevirt,)}
    found = {read: there.get(read.kind.kind, ()) for read in reads(stack)}
    (finding,) = settings_not_taken(Seen(Snapshot(stack, found), (), now=WRITTEN))
    assert finding.code == "settings-not-taken"
    assert "operation 1 of 1 (remove /spec/configuration/migrations) drops completionTimeoutPerGiB, " in finding.rule


def test_who_writes_back_is_told_first_in_the_way_that_works_there() -> None:
    by = Writer("argocd-controller", "Apply", "2026-01-02T03:04:05Z")
    change = ObjectChange(
        "update", "HyperConverged", "openshift-cnv", "kubevirt-hyperconverged", (FieldChange(LIMIT, 150, 800, by=by),)
    )
    base = seen(hyperconverged(), after=timedelta())
    (finding,) = field_changed(replace(base, changes=(change,)))
    assert "RespectIgnoreDifferences=true" in finding.remedy
    assert "/spec/liveMigrationConfig/completionTimeoutPerGiB" in finding.remedy
