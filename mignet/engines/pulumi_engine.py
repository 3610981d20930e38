"""The Pulumi engine: the same verbs through Pulumi's Automation API, and the same report values.

What happens to an object is Pulumi's word (its engine events). Old values, new values and owners of the fields are the
API server's (a dry run of ours), because Pulumi asks nobody at the first preview of an object.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pulumi import automation

from mignet.changes import FieldChange, ObjectChange, Operation, PulumiView, Report, differences
from mignet.guards import value_at
from mignet.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.project_files import Project
    from config.stack import Stack

PARALLEL = os.cpu_count() or 1
"""Pulumi processes at a time: each takes a core and some 320 MB."""

_Events = list[automation.EngineEvent]
_Act = Callable[[automation.Stack, _Events], None]

_OPERATIONS: dict[str, Operation] = {
    "create": "create",
    "create-replacement": "create",
    "update": "update",
    "delete": "delete",
    "delete-replaced": "delete",
    "same": "same",
}


def run(
    project: Project,
    stacks: Sequence[Stack],
    verb: str,
    plans: Sequence[Report],
    *,
    confirm: Callable[[list[Report]], bool] | None,
    read_back: Callable[[list[Report]], list[Report]],
) -> list[Report]:
    """Run a verb on each stack through Pulumi. `plans` are the dry runs of the same verb, in the same order.

    `read_back` looks at the clusters after an `up`, and says what they do not hold.

    With `confirm`, what would change is shown to it first; None stands for a yes that was given already.
    """

    def each(act: _Act) -> list[Report]:
        def one(pair: tuple[Stack, Report]) -> Report:
            stack, plan = pair
            report = replace(plan, engine="pulumi")
            return report if report.error else _run_one(project, stack, report, act)

        with ThreadPoolExecutor(max_workers=PARALLEL) as executor:
            return list(executor.map(one, zip(stacks, plans, strict=True)))

    if verb == "preview":
        return each(_preview)
    if confirm is not None:
        foreseen = each(_preview_destroy if verb == "destroy" else _preview)
        if any(report.error for report in foreseen) or not confirm(foreseen):
            return foreseen
    return each(_destroy) if verb == "destroy" else read_back(each(_up))


def views(project: Project, stacks: Sequence[Stack]) -> dict[str, PulumiView]:
    """Return what Pulumi itself says of each stack, by name, after it has looked at the cluster; fields are its own."""

    def one(stack: Stack) -> tuple[str, PulumiView]:
        seen = _run_one(project, stack, Report(stack.name, "drift", "pulumi"), _preview)
        return stack.name, PulumiView(seen.changes, seen.error)

    with ThreadPoolExecutor(max_workers=PARALLEL) as executor:
        return dict(executor.map(one, stacks))


def _preview(stack: automation.Stack, events: _Events) -> None:
    stack.preview(refresh=True, on_event=events.append)


def _up(stack: automation.Stack, events: _Events) -> None:
    stack.up(refresh=True, on_event=events.append)


def _preview_destroy(stack: automation.Stack, events: _Events) -> None:
    stack.preview_destroy(refresh=True, on_event=events.append)


def _destroy(stack: automation.Stack, events: _Events) -> None:
    # Without a refresh, an object that is gone would be created to be given back.
    stack.destroy(refresh=True, on_event=events.append)


def _run_one(project: Project, stack: Stack, report: Report, act: _Act) -> Report:
    events: _Events = []
    try:
        selected = automation.create_or_select_stack(
            stack.name,
            work_dir=str(project.directory),
            opts=automation.LocalWorkspaceOptions(env_vars=environment(project, stack)),
        )
        act(selected, events)
    except automation.ConcurrentUpdateError as error:
        message = f"{stack.name}: another run holds this stack{_holder(error)}; if it is dead, run: pulumi cancel"
        return replace(report, error=message)
    except automation.CommandError as error:
        return replace(report, changes=changes(events, report), error=_errors(events, error))
    return replace(report, changes=changes(events, report))


def environment(project: Project, stack: Stack) -> dict[str, str]:
    """Return what Pulumi needs beyond this process's environment: the lab's stacks have a backend of their own."""
    lab = Lab()
    kubeconfig = stack.cluster.kubeconfig_path(project.directory)
    if "PULUMI_BACKEND_URL" in os.environ or kubeconfig != lab.kubeconfig:
        return {}
    return lab.pulumi_environment()


def changes(events: Sequence[automation.EngineEvent], plan: Report) -> tuple[ObjectChange, ...]:
    """Read what happened to each object from Pulumi's events; the fields come from the dry run where it has them."""
    planned = {(each.kind, each.namespace, each.name): each for each in plan.changes}
    found: dict[tuple[str, str, str], ObjectChange] = {}
    for event in events:
        step = event.resource_pre_event.metadata if event.resource_pre_event else None
        if step is None or not step.type.startswith("kubernetes:") or str(step.op.value) not in _OPERATIONS:
            continue
        state = step.new or step.old
        if state is None:
            continue
        manifest: dict[str, Any] = dict(state.inputs or {})
        metadata = manifest["metadata"]
        key = (manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        operation = _OPERATIONS[str(step.op.value)]
        if step.type.endswith("Patch"):
            # The object is not ours: taking up some of its fields is no creation, and letting go of them no deletion.
            patched: dict[str, Operation] = {"create": "update", "delete": "relinquish"}
            operation = patched.get(operation, operation)
        fields: tuple[FieldChange, ...] = ()
        if operation != "same":
            fields = planned[key].fields if key in planned else ()
            fields = fields or _from_event(step, manifest)
        found[key] = ObjectChange(operation, *key, fields)
    return tuple(found.values())


def _from_event(step: Any, manifest: dict[str, Any]) -> tuple[FieldChange, ...]:
    live = dict(step.old.outputs) if step.old else {}
    return tuple(
        change
        for path in step.detailed_diff or ()
        for change in differences(value_at(live, path), value_at(manifest, path), path)
    )


def _errors(events: Sequence[automation.EngineEvent], error: automation.CommandError) -> str:
    messages = [
        _plain(event.diagnostic_event.message)
        for event in events
        if event.diagnostic_event and event.diagnostic_event.severity == "error"
    ]
    told = [
        message for message in messages if message and not re.fullmatch(r"(update|preview|destroy) failed", message)
    ]
    if told:
        return "\n".join(dict.fromkeys(told))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "Pulumi failed")


def _plain(message: str) -> str:
    """Remove Pulumi's colour directives, such as <{%reset%}>."""
    return re.sub(r"<\{%.*?%\}>", "", message).strip()


def _holder(error: automation.CommandError) -> str:
    match = re.search(r"created by (.+?) at (\S+)", str(error))
    return f" ({match[1]}, since {match[2]})" if match else ""
