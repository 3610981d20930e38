"""Check stacks from their files alone: each by itself, and against all others of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.files.fleet_files import read_fleet
from config.finding import Finding, Remark, natural
from config.loading import WAIVABLE
from config.rules.fleet_rules import CODES as FLEET_CODES
from config.rules.fleet_rules import RULES as FLEET_RULES
from config.rules.stack_rules import RULES
from config.rules.waivable_codes import ALSO_LIVE, WAIVABLE_LIVE
from mignet.fleet.results import Checked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from config.files.fleet_files import FleetFiles
    from config.files.project_files import Project


def check(project: Project, names: Collection[str] = ()) -> Checked:
    """Check the named stacks, or all of them, against each other and all others of the project."""
    files = read_fleet(project, also=names)
    chosen = tuple(sorted(names or project.stack_names(), key=natural))
    found = [*files.findings, *files.between()]
    found += _unused_waivers(files, found)
    wanted = set(chosen)
    about = [finding for finding in found if not wanted.isdisjoint({finding.stack, finding.peer})]
    about.sort(key=lambda finding: natural(finding.stack))
    unread = Remark("", f"not compared with the others, as they cannot be read: {', '.join(files.unread)}")
    left_out = (unread,) if files.unread else ()
    return Checked(project, chosen, tuple(about), left_out, rules=len(RULES) + len(FLEET_RULES))


def _unused_waivers(files: FleetFiles, found: Iterable[Finding]) -> Iterator[Finding]:
    used = {
        (name, finding.code)
        for finding in found
        if finding.waived is not None
        for name in (finding.stack, finding.peer)
    }
    for stack in files.fleet.stacks:
        for code in stack.waivers:
            # Whether a cluster has what is waived, no file says; with a stack missing, what it is for may be hidden.
            if (
                code not in WAIVABLE - WAIVABLE_LIVE - ALSO_LIVE
                or (stack.name, code) in used
                or (files.unread and code in FLEET_CODES)
            ):
                continue
            yield Finding(
                f"waivers.{code}",
                stack.waivers[code],
                "waives what is not broken",
                "Remove it, so that it hides nothing later",
                code="waiver-unused",
                severity="warning",
                stack=stack.name,
            )
