"""Look which limits the virtual machines of each stack's cluster get. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mignet.checks import limits
from mignet.fleet import survey
from mignet.kube.snapshot import Judged, judge, known, look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack
    from mignet.checks.limits import Outcome
    from mignet.fleet.results import Checked
    from mignet.fleet.run_context import Course
    from mignet.kube.client import Cluster


@dataclass(frozen=True, slots=True)
class Limits:
    """What was found, and who gets what, by stack; a stack whose cluster could not be read has no entry."""

    checked: Checked
    outcomes: Mapping[str, tuple[Outcome, ...]]


async def effective(project: Project, stacks: Sequence[Stack], course: Course, *, machine: str | None = None) -> Limits:
    """Return who gets which limits; only of one virtual machine (`namespace/name`) where one is meant."""
    outcomes: dict[str, tuple[Outcome, ...]] = {}

    async def one(stack: Stack, cluster: Cluster) -> Judged:
        seen = await look(cluster, stack, limits.reads(stack))
        subject = limits.Seen(stack, seen.found, machine)
        judged = judge(limits.RULES, subject)
        got = known(lambda: subject.outcomes)
        if got is None:
            return judged
        outcomes[stack.name] = got
        if machine is not None and not got:
            return Judged((*judged.findings, limits.not_running(stack, machine)), judged.left_out)
        return judged

    checked = await survey.look_at(project, stacks, one, course)
    return Limits(
        replace(checked, rules=len(limits.RULES)),
        {stack.name: outcomes[stack.name] for stack in stacks if stack.name in outcomes},
    )
