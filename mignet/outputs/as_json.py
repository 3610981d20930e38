"""Documents in JSON, of the kinds that `documents` describes and docs/schemas publishes."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.files.source_location import place_of
from config.finding import ConfigError, Finding, Remark, folded
from config.stack import gateways_between, path_mtu
from mignet.outputs.placed import relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.files.project_files import Project
    from config.finding import UserError
    from config.planning.address_map import AddressMap
    from mignet.capacity.estimate import Evacuation, Range
    from mignet.capacity.proposal import Proposal
    from mignet.checks.capacity import Seen
    from mignet.checks.diagnosis import Diagnosis
    from mignet.checks.peers import Peers
    from mignet.fleet.results import Checked
    from mignet.kube.diff import Report
    from mignet.outputs import documents

_KINDS = {
    "check": "CheckResult",
    "preflight": "CheckResult",
    "verify": "CheckResult",
    "diagnose": "DiagnosisResult",
    "preview": "PlanResult",
    "up": "PlanResult",
    "destroy": "PlanResult",
    "drift": "DriftResult",
    "peers": "PeersResult",
    "checkup": "CheckupResult",
    "plan_addresses": "AddressPlan",
    "report": "ReportResult",
    "limits": "LimitsResult",
    "capacity": "CapacityResult",
    "migrations": "MigrationsResult",
    "history": "HistoryResult",
}
"""What each verb answers with."""


def render(checked: Checked, base: Path) -> str:
    """Write what a check found; files are relative to `base`."""
    return _written("CheckResult", checked, checked.findings, checked.project, base)


def reports(project: Project, verb: str, found: Sequence[Report]) -> str:
    """Write what a verb did, would do or found, stack by stack, and every finding behind it once."""
    source = {
        "stacks": [each.stack for each in found],
        "left_out": [Remark(each.stack, sentence) for each in found for sentence in each.left_out],
        "not_judged": {each.stack: each.not_judged for each in found if each.not_judged},
        "reports": found,
    }
    # What is wrong between two stacks is a finding of both.
    findings = {str(finding): finding for each in found for finding in each.all_findings}
    return _written(_KINDS[verb], source, findings.values(), project)


def peers(found: Peers, checked: Checked) -> str:
    """Write which clusters can take virtual machines from which, and what was found."""
    stacks = {stack.name: stack for stack in found.stacks}
    source = {
        "stacks": checked.stacks,
        "left_out": checked.left_out,
        "not_judged": checked.not_judged,
        "ready": found.ready,
        "checkup": found.checkup and found.checkup.outcome,
        "paths": [
            {
                "source": source,
                "target": target,
                "ready": reason is None,
                "code": reason and reason.code,
                "reason": reason and str(reason),
                "via": [str(each) for each in gateways_between(stacks[source], stacks[target])],
                "mtu": path_mtu(stacks[source], stacks[target]),
            }
            for (source, target), reason in found.matrix.items()
        ],
    }
    return _written("PeersResult", source, checked.findings, checked.project)


def limits(outcomes: Mapping[str, Sequence[Any]], checked: Checked) -> str:
    """Write who gets which limits (`mignet.checks.limits.Outcome`), and what was found."""
    source = {
        "stacks": checked.stacks,
        "left_out": checked.left_out,
        "not_judged": checked.not_judged,
        "limits": _effective(outcomes),
    }
    return _written("LimitsResult", source, checked.findings, checked.project)


def _effective(outcomes: Mapping[str, Sequence[Any]]) -> list[Mapping[str, Any]]:
    return [
        {"stack": stack, "machines": each.machines, "policy": each.policy, "values": each.values}
        for stack, groups in outcomes.items()
        for each in groups
    ]


def capacity(clusters: Mapping[str, Seen], proposals: Mapping[str, Proposal], checked: Checked) -> str:
    """Write how long migrations and drains take, what that rests on, and what was found."""
    source = {
        "stacks": checked.stacks,
        "left_out": checked.left_out,
        "not_judged": checked.not_judged,
        "clusters": [_cluster(name, seen, proposals.get(name)) for name, seen in clusters.items()],
    }
    return _written("CapacityResult", source, checked.findings, checked.project)


def _cluster(stack: str, seen: Seen, proposal: Proposal | None) -> dict[str, Any]:
    conditions = seen.conditions
    going = {each.machine.name: each for each in seen.outlooks}
    return {
        "stack": stack,
        "link": conditions and {"source": seen.link_source, "bytes_per_second": _span(conditions.link)},
        "per_node": conditions and conditions.per_node,
        "per_cluster": conditions and conditions.per_cluster,
        "machines": [
            {
                "name": each.name,
                "node": each.node,
                "memory": each.memory,
                "disks": each.disks,
                "dirty_rate": _span(each.writing.rate),
                "source": each.writing.source,
                "not_migratable": each.stays,
                "seconds": one and {"low": _finite(one.best.end), "high": _finite(one.worst.end)},
                "stopped": one and {"low": _finite(one.best.stopped), "high": _finite(one.worst.stopped)},
                "endings": one and [one.best.ending, one.worst.ending],
                "decides": one and one.decides,
            }
            for each in seen.known
            for one in (going.get(each.name),)
        ],
        "drains": [_evacuation(node, each) for node, each in seen.drains.items()],
        "all_at_once": seen.all_at_once and _evacuation(None, seen.all_at_once),
        "proposal": proposal and {"limits": proposal.limits, "reasons": proposal.reasons},
    }


def _evacuation(node: str | None, each: Evacuation) -> dict[str, Any]:
    return {
        "node": node,
        "seconds": {"low": _finite(each.seconds.low), "high": _finite(each.seconds.high)},
        "stay": [one.name for one in each.stay],
        "doubtful": [one.name for one in each.doubtful],
        "plan": [
            {"machine": one.name, "begin": _finite(one.begin), "end": _finite(one.end), "ending": one.ending}
            for one in each.worst
        ],
    }


def _span(each: Range) -> dict[str, float]:
    return {"low": each.low, "high": each.high}


def _finite(seconds: float) -> float | None:
    return round(seconds, 3) if isfinite(seconds) else None


def migrations(found: Any, checked: Checked) -> str:
    """Write what runs (`mignet.operations.migrations.Migrations`), and what was found."""
    source = {
        "stacks": checked.stacks,
        "left_out": checked.left_out,
        "not_judged": checked.not_judged,
        "migrations": [_migrating(stack, row) for stack, rows in found.rows.items() for row in rows],
        "plans": [
            {"stack": stack, "name": each.name, "since": each.since, "machines": each.machines}
            for stack, plans in found.plans.items()
            for each in plans
        ],
    }
    return _written("MigrationsResult", source, checked.findings, checked.project)


def _migrating(stack: str, row: Any) -> dict[str, Any]:
    from mignet.checks.migrations.ends import shown

    flight = row.flight
    same = ("machine", "way", "shared_id", "phase", "mode", "source_node", "target_node")
    return {key: getattr(flight, key) for key in same} | {
        "stack": stack,
        "migration": flight.name,
        "peer": row.peer,
        "since": shown(flight.since),
        "started": shown(flight.started) if flight.started else None,
        "address": str(flight.address) if flight.address else None,
        "abort_status": flight.state.get("abortStatus") or None,
        "expected_end": row.expected
        and {end: at and shown(at) for end, at in (("soon", row.expected.soon), ("late", row.expected.late))},
        "latest_end": shown(row.end.at) if row.end.at else None,
        "bound": row.end.words,
    }


def history(found: Any, entries: Sequence[Any], project: Project) -> str:
    """Write what happened (`mignet.fleet.history.Entry`), and how it is kept (`mignet.operations.history.History`)."""
    source = {
        "stacks": list(dict.fromkeys(each.stack for each in entries)),
        "left_out": found.left_out,
        "entries": entries,
        "chains": [
            {
                "name": each.chain.name,
                "folder": str(each.chain.folder),
                "lines": len(each.read.hashes),
                "head": each.read.head if each.read.number else None,
                "number": each.read.number or None,
                "problem": each.read.problem and str(each.read.problem),
                "remarks": each.read.remarks,
            }
            for each in found.chains
        ],
    }
    return _written("HistoryResult", source, found.findings, project)


def diagnosis(found: Diagnosis) -> str:
    """Write what was found, and by which causes."""
    checked, project, base = found.checked, found.checked.project, Path.cwd()
    causes = [
        {
            "finding": _finding(each.finding, project, base),
            "explains": [_finding(one, project, base) for one in folded(each.explains)],
            "evidence": each.evidence,
            "next": each.next,
        }
        for each in found.causes
    ]
    source = {
        "stacks": checked.stacks,
        "left_out": checked.left_out,
        "not_judged": checked.not_judged,
        "proven": checked.proven,
        "causes": causes,
    }
    return _written("DiagnosisResult", source, checked.findings, project, base)


def checkup(result: Any, project: Project) -> str:
    """Write what a checkup (`mignet.checkup.result.Result`) measured."""
    return _written("CheckupResult", result, result.findings, project)


def addresses(maps: Sequence[AddressMap], project: Project) -> str:
    """Write who has which addresses of the subnets."""
    return _written("AddressPlan", {"maps": maps, "stacks": project.stack_names()}, (), project)


def report(found: Any, headline: str, project: Project) -> str:
    """Write what a report (`mignet.report.Report`) shows; a finding between a cluster and many others stands once."""
    source = {
        "stacks": found.stacks,
        "left_out": [Remark("", sentence) for sentence in found.left_out],
        "not_judged": {name: count for name, count in found.not_judged.items() if count},
        "made": found.made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "headline": headline,
        "seen": found.seen,
        "subnets": found.books,
        "sites": found.sites,
        "paths": found.paths,
        "limits": _effective(found.limits),
        "drains": [
            {"stack": stack, **_evacuation(node, each)}
            for stack, nodes in found.drains.items()
            for node, each in nodes.items()
        ],
        "drift": [{"stack": each.stack, "spans": each.spans, "marks": each.marks} for each in found.drift.rows],
        "ready": found.ways.ready,
        "of": found.ways.of,
    }
    return _written("ReportResult", source, (each.finding for each in found.findings), project)


def refusal(verb: str, error: UserError, project: Project | None) -> str:
    """Write the document of a verb that could not begin: what is wrong stands in its findings."""
    if isinstance(error, ConfigError):
        return _written(_KINDS[verb], {}, error.findings, project)
    code = "usage" if error.exit_code == ConfigError.exit_code else "run-failed"
    stopped = Finding(verb.replace("_", "-"), None, f"stopped: {error}", "", code=code, stack="mignet")
    return _written(_KINDS[verb], {}, [stopped], project)


def _written(
    kind: str, source: object, findings: Iterable[Finding], project: Project | None, base: Path | None = None
) -> str:
    from mignet.outputs import documents

    found = tuple(_finding(each, project, base or Path.cwd()) for each in findings)
    document = documents.KINDS[kind].model_validate(source).model_copy(update={"findings": found})
    return document.model_dump_json(indent=2) + "\n"


def _finding(finding: Finding, project: Project | None, base: Path) -> documents.Finding:
    from mignet.outputs import documents

    more: dict[str, Any] = {"message": str(finding)}
    # What is about the command line, or a stack without a file, is in no file.
    if project is not None and (place := place_of(project, finding)).path.is_file():
        more |= {"file": documents.whole(relative(place.path, base)), "line": place.line, "column": place.column}
    return documents.Finding.model_validate(finding).model_copy(update=more)
