"""Look how long migrations and node drains take on each stack's cluster, and write a proposal into stack files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from config.files.yaml_edit import NotEditableError, Value, with_key
from config.finding import ConfigError, Finding
from mignet.capacity.proposal import propose
from mignet.checks import capacity, limits
from mignet.fleet import stack_files, survey
from mignet.kube.snapshot import Judged, judge, known, look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.capacity.proposal import Proposal
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was found, and what each cluster held, by stack; a cluster that could not be read has no entry."""

    checked: Checked
    clusters: Mapping[str, capacity.Seen]
    proposals: Mapping[str, Proposal]


async def estimate(
    project: Project,
    stacks: Sequence[Stack],
    course: Course,
    what_if: capacity.WhatIf,
    *,
    machine: str | None = None,
    proposing: bool = False,
) -> Capacity:
    """Return what can be told of each cluster; of one virtual machine (`namespace/name`) where one is meant."""
    clusters: dict[str, capacity.Seen] = {}

    async def one(stack: Stack, cluster: Cluster) -> Judged:
        seen = await look(cluster, stack, capacity.reads(stack))
        subject = capacity.Seen(stack, seen.found, machine, what_if)
        judged = judge(capacity.RULES, subject)
        # All that is shown of it rests on this.
        if known(lambda: (subject.known, subject.outlooks, subject.drains)) is None:
            return judged
        clusters[stack.name] = subject
        if machine is not None and not subject.known:
            return Judged((*judged.findings, limits.not_running(stack, machine)), judged.left_out)
        return judged

    checked = await survey.look_at(project, stacks, one, course)
    ordered = {stack.name: clusters[stack.name] for stack in stacks if stack.name in clusters}
    proposals = {}
    if proposing:
        for name, seen in ordered.items():
            if seen.conditions is not None and (found := propose(seen.known, seen.conditions)):
                proposals[name] = found
    return Capacity(replace(checked, rules=len(capacity.RULES)), ordered, proposals)


def write(project: Project, proposals: Mapping[str, Proposal]) -> None:
    """Write proposed limits into the stack files, and leave everything else there as it is. Raises ConfigError."""
    texts = {}
    for name, proposal in proposals.items():
        held = cast("dict[str, Value]", project.stack_values(name).get("hyperConverged") or {})
        before = held.get("liveMigration")
        wanted = held | {"liveMigration": (before if isinstance(before, dict) else {}) | proposal.limits}
        try:
            texts[name] = with_key(
                stack_files.read(project, name), project.name, "hyperConverged", wanted, after="slice"
            )
        except NotEditableError as error:
            remedy = "Write them there yourself: mignet capacity --propose shows them"
            finding = Finding(
                "hyperConverged.liveMigration", None, str(error), remedy, code="limits-not-editable", stack=name
            )
            raise ConfigError([finding]) from error
    stack_files.write(project, texts)
