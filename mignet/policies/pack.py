"""The policy pack: the rules as Pulumi runs them, over the fleet of a project's stack files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from config.files.fleet_files import read_fleet
from config.files.project_files import Project
from config.finding import UserError
from config.types.json_text import whole_numbers
from mignet.policies.rules import RULES, Declared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from config.files.fleet_files import FleetFiles
    from config.stack import Stack
    from mignet.policies.rules import Rule

NAME = "migration-network"


def serve(folder: Path) -> None:
    """Serve the pack to the engine that started this process, for the project in `folder` or above it.

    Ends the process with a line on each mistake when there is no such project, or none of its stacks can be read.
    """
    try:
        files = read_fleet(Project.find(folder.resolve()))
    except UserError as error:
        sys.exit(str(error))
    if not files.fleet.stacks:
        sys.exit(f"no stack file of {folder} can be read: no policy would look at anything (mignet check says why)")
    PolicyPack(
        NAME,
        [*(_policy(rule, files.fleet.stacks) for rule in RULES), _files_policy(files)],
        enforcement_level=EnforcementLevel.ADVISORY,
    )


def _policy(rule: Rule, stacks: Sequence[Stack]) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for sentence in rule.find(stacks, declared(args)):
            report(sentence)

    level = None if rule.on else EnforcementLevel.DISABLED
    return ResourceValidationPolicy(rule.name, rule.why, validate, enforcement_level=level)


def _files_policy(files: FleetFiles) -> StackValidationPolicy:
    def validate(_args: StackValidationArgs, report: ReportViolation) -> None:
        if files.unread:
            report(f"{', '.join(files.unread)} cannot be read: no policy knows what these stacks own. Run mignet check")

    return StackValidationPolicy("stack-files", "A stack file that cannot be read is held against nothing.", validate)


def declared(args: ResourceValidationArgs) -> Declared:
    """Return the resource that Pulumi asks about. What is not known at preview raises, and Pulumi says so."""
    provider = args.provider.props.get("context") if args.provider else None
    manifest: dict[str, Any] = whole_numbers(_plain(args.props)) if args.resource_type.startswith("kubernetes:") else {}
    return Declared(args.urn, manifest, protect=bool(args.opts.protect), context=str(provider) if provider else None)


def _plain(value: Any) -> Any:
    """Return a value without what the SDK wraps it in to tell of what is not known."""
    if hasattr(value, "items"):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return [_plain(each) for each in value] if hasattr(value, "__iter__") else value
