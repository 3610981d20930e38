"""Verify many stacks side by side, each with its peers, and gather what was found and what is proven."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from config.fleet_files import read_fleet
from mignet import looks, run
from mignet.checked import Checked
from mignet.cluster import Cluster, ClusterError
from mignet.snapshot import judge
from mignet.verify import Verdict, migration, peers, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from config.findings import Finding
    from config.project_files import Project
    from config.stack import Stack
    from mignet.verify import Patience
    from mignet.verify.pods import Pod

PEER_SECONDS = 10.0
"""Seconds that a peer has to answer."""


async def prove(
    project: Project,
    stacks: Sequence[Stack],
    patience: Patience,
    *,
    with_peers: bool,
    progress: Callable[[str, str], None],
) -> Checked:
    """Verify the stacks. A cluster that cannot be looked at is one finding; `progress` gets a stack and a line.

    Raises ConfigError when the program refuses a stack.
    """
    # One after the other: the program runs in this process, and Pulumi keeps one stack at a time.
    declared = {stack.name: tuple(each.manifest for each in run.declare(project, stack).objects) for stack in stacks}
    limit = asyncio.Semaphore(looks.PARALLEL)

    async def one(stack: Stack) -> Verdict | ClusterError:
        try:
            async with limit, Cluster(stack.cluster, base=project.directory) as cluster:
                return await verify(
                    stack,
                    cluster,
                    declared=declared[stack.name],
                    patience=patience,
                    progress=lambda line: progress(stack.name, line),
                )
        except ClusterError as error:
            return error

    outcomes = dict(
        zip((stack.name for stack in stacks), await asyncio.gather(*(one(stack) for stack in stacks)), strict=True)
    )
    doubles: list[Finding] = []
    if with_peers:
        doubles = [
            each
            for clusters in await _segments(project, stacks, outcomes)
            for each in judge(peers.RULES, clusters).findings
        ]
    return _gathered(project, stacks, outcomes, doubles)


async def prove_machine(
    project: Project,
    stack: Stack,
    machine: str,
    *,
    migrate_within: float | None,
    progress: Callable[[str, str], None],
) -> Checked:
    """Prove the way of a virtual machine's last migration; `machine` is `NAMESPACE/NAME`.

    With `migrate_within`, in seconds, it is migrated first, which changes the cluster. A cluster that refuses is one
    finding.
    """
    namespace, _, name = machine.partition("/")
    segments = read_fleet(project, known=[stack]).fleet.segments
    others = [each for segment in segments if stack in segment for each in segment if each != stack]
    try:
        async with Cluster(stack.cluster, base=project.directory) as cluster:
            move = await migration.look_at(cluster, stack, namespace, name, others)
            judged = judge(migration.LAST if migrate_within is None else migration.BEFORE, move)
            if migrate_within is not None and not judged.findings:
                judged, move = await migration.migrate(
                    cluster, move, within=migrate_within, progress=lambda line: progress(stack.name, line)
                )
    except ClusterError as error:
        return Checked(project, (stack.name,), (looks.trouble(stack, error),), ())
    proven = () if judged.findings else (f"{stack.name}: {move.proven}",)
    left_out = tuple(f"{stack.name}: {sentence}" for sentence in judged.sentences())
    return Checked(project, (stack.name,), judged.findings, left_out, proven)


def _gathered(
    project: Project,
    stacks: Sequence[Stack],
    outcomes: Mapping[str, Verdict | ClusterError],
    doubles: Sequence[Finding],
) -> Checked:
    findings: list[Finding] = []
    left_out: list[str] = []
    proven: list[str] = []
    for stack in stacks:
        outcome = outcomes[stack.name]
        between = [each for each in doubles if each.stack == stack.name]
        if isinstance(outcome, ClusterError):
            findings.append(looks.trouble(stack, outcome))
            continue
        findings += [*peers.without_doubles(outcome.judged.findings, between), *between]
        left_out += [f"{stack.name}: {sentence}" for sentence in outcome.judged.sentences()]
        if outcome.proven and not any(each.blocks for each in between):
            proven.append(f"{stack.name}: {outcome.proven}")
    return Checked(project, tuple(each.name for each in stacks), tuple(findings), tuple(left_out), tuple(proven))


async def _segments(
    project: Project, stacks: Sequence[Stack], outcomes: Mapping[str, Verdict | ClusterError]
) -> list[peers.Clusters]:
    """Return the segments of the stacks that are rolled out, with the pods of all their clusters."""
    known = {
        name: tuple(pod for pod in outcome.sight.living if pod.link)
        for name, outcome in outcomes.items()
        if isinstance(outcome, Verdict) and outcome.rolled_out
    }
    limit = asyncio.Semaphore(looks.PARALLEL)

    async def pods_of(stack: Stack) -> tuple[Pod, ...] | ClusterError:
        try:
            async with limit, asyncio.timeout(PEER_SECONDS), Cluster(stack.cluster, base=project.directory) as cluster:
                return await peers.attached(stack, cluster)
        except TimeoutError:
            return ClusterError("unreachable", f"no answer in {PEER_SECONDS:.0f} s")
        except ClusterError as error:
            return error

    found = []
    for segment in read_fleet(project, known=stacks).fleet.segments:
        judged = frozenset(stack.name for stack in segment if stack.name in known)
        others = [stack for stack in segment if stack.name not in outcomes]
        if not judged or len(segment) < 2:
            continue
        answers = dict(zip((each.name for each in others), await asyncio.gather(*map(pods_of, others)), strict=True))
        pods = {name: each for name, each in answers.items() if not isinstance(each, ClusterError)}
        found.append(
            peers.Clusters(
                {stack.name: stack for stack in segment},
                judged,
                {name: known[name] for name in judged} | pods,
                {name: each for name, each in answers.items() if isinstance(each, ClusterError)},
            )
        )
    return found
