"""Gather what the verbs read of clusters into an archive, by having them look. Changes nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, Any

from config.files.file_text import read_text
from config.finding import ConfigError
from mignet.checks import peers
from mignet.checks.capacity import WhatIf
from mignet.checks.verify import Patience
from mignet.evidence.archive import Archive
from mignet.evidence.asked import OPEN
from mignet.evidence.recording import Recording, name_of
from mignet.fleet import history
from mignet.fleet.journal import MOST_BYTES, place
from mignet.fleet.loading import Readable
from mignet.fleet.run_context import Course
from mignet.kube.source import looking_at
from mignet.operations import apply, capacity, diagnose, drift, limits, migrations, verify_fleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from config.files.project_files import Project
    from config.stack import Stack


async def gather(
    project: Project, stacks: Sequence[Stack], course: Course, *, machine: str | None = None
) -> tuple[Archive, list[str]]:
    """Have every verb look at the clusters of the stacks, and keep what these answered.

    Returns it with the stacks whose clusters did not answer, which are kept as such. What lies in the project's folder
    and what earlier runs left is kept as well. `machine` is a virtual machine of the only stack (`namespace/name`),
    whose last migration is looked at, too.
    """
    recording = Recording()
    looks: dict[str, Callable[[Course], Awaitable[Any]]] = {
        "preflight": partial(apply.preflight, project, stacks),
        "verify": partial(_verify, project, stacks),
        "drift": lambda quiet: drift.drift(project, stacks, "direct", quiet),
        "peers": partial(peers.look_at_all, project, stacks),
        "limits": partial(limits.effective, project, stacks),
        "capacity": lambda quiet: capacity.estimate(project, stacks, quiet, WhatIf()),
        "migrations": partial(migrations.migrating, project, stacks),
        "diagnose": lambda quiet: diagnose.diagnose(project, Readable(tuple(stacks)), quiet, machine=machine),
    }
    for stack in stacks:
        course.watch(stack.name, "running", "")
    with looking_at(recording):
        for verb, look in looks.items():
            for stack in stacks:
                course.say(stack.name, f"looking as {verb} does")
            # Each shows, and counts, the time of its own; what a stack may take holds for each of them.
            await look(Course(course.pace, course.stop))
    silent = []
    for stack in stacks:
        why = recording.clusters.get(name_of(stack.cluster), {}).get(OPEN)
        silent += [stack.name] if why else []
        course.watch(stack.name, "failed" if why else "done", str(why or ""))
    declared = await _declared(project, stacks)
    archive = Archive(
        at=recording.at,
        stacks=tuple(stack.name for stack in stacks),
        versions=_versions(),
        clusters=recording.clusters,
        declared=dict(zip((stack.name for stack in stacks), declared, strict=True)),
        project=_files(project),
        runs=_runs(project),
    )
    return archive, silent


async def _verify(project: Project, stacks: Sequence[Stack], course: Course) -> None:
    await verify_fleet.prove(project, stacks, Patience(0, 0), with_peers=True, course=course)


async def _declared(project: Project, stacks: Sequence[Stack]) -> list[dict[str, Any]]:
    async def one(stack: Stack) -> dict[str, Any]:
        try:
            return (await apply.declared(project, stack)).as_json()
        except ConfigError as error:
            return {"refused": error.findings[0].rule}

    return await asyncio.gather(*map(one, stacks))


def _versions() -> Mapping[str, str]:
    names = ("migration-network", "pulumi", "pulumi-kubernetes", "lightkube")
    return {"python": python_version()} | {name: version(name) for name in names}


def _files(project: Project) -> dict[str, str]:
    """Return Pulumi.yaml and the stack files, of all stacks: rules between them need them."""
    paths = [project.directory / "Pulumi.yaml", *(project.stack_file(name) for name in project.stack_names())]
    found = {}
    for path in paths:
        try:
            found[path.name] = read_text(path)
        except (OSError, UnicodeDecodeError):
            # It was told as a mistake where it matters.
            continue
    return found


def _runs(project: Project) -> dict[str, str]:
    """Return the records of earlier runs, the last checkup, and the history."""
    found = {}
    above = place(project, "any").parent
    for path in sorted([*above.glob("*.json"), *history.folder(project).glob("*.jsonl")]):
        try:
            found[path.relative_to(above).as_posix()] = read_text(path, most=MOST_BYTES)
        except (OSError, UnicodeDecodeError):
            continue
    return found
