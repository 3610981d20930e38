"""A sighting made small: what a report says of one cluster, without the objects that it was seen by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mignet.checks import peers
from mignet.checks.peers.endpoint import Side
from mignet.report import collect
from mignet.report.address_usage import leases_seen
from mignet.report.history import last_writes
from mignet.report.reachability import Ways, ways
from mignet.report.topology import Lanes, lanes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from config.finding import Finding, Remark
    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.capacity.estimate import Evacuation
    from mignet.checks.limits import Outcome
    from mignet.fleet.last_checkup import Checkup
    from mignet.kube.client import ClusterError
    from mignet.kube.kubevirt.pods import Pod
    from mignet.report.collect import Sighting
    from mignet.report.history import Write


@dataclass(frozen=True, slots=True)
class Digest:
    """What a report says of one cluster. It knows the stack by its name only."""

    name: str
    seen: bool
    lanes: Lanes
    leases: tuple[Address, ...] | None = None
    """Those that whereabouts has given; None where its books were not seen."""
    writes: tuple[Write, ...] = ()
    limits: tuple[Outcome, ...] | None = None
    drains: Mapping[str, Evacuation] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Remark, ...] = ()
    not_judged: int = 0


@dataclass(frozen=True, slots=True)
class Between:
    """What holds between the clusters: findings, and the matrix."""

    stacks: tuple[Stack, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[Remark, ...]
    ways: Ways
    not_judged: Mapping[str, int]
    asked: bool
    checkup: Checkup | None
    unread: tuple[str, ...]
    """Why no checkup could be read, where that is so."""
    undecided: Mapping[str, Set[str]]
    """Codes that could not be judged about a stack, or between it and another one."""


def digest_of(seen: Sighting) -> Digest:
    """Return what a report says of a cluster."""
    return Digest(
        seen.name,
        bool(seen.fitness or seen.verdict or seen.side.seen),
        lanes_of(seen),
        leases_seen(seen),
        tuple(last_writes(seen)),
        seen.limits,
        seen.drains,
        seen.findings,
        seen.left_out,
        seen.not_judged,
    )


def unseen(stack: Stack, error: ClusterError | None = None) -> Digest:
    """Return what is to be said of a stack whose cluster was not seen."""
    return digest_of(collect.Sighting(stack, side=Side(stack, error)))


def between(
    sides: Sequence[Side],
    attached: Mapping[str, tuple[Pod, ...]],
    checkup: Checkup | None,
    *,
    asked: bool = True,
    unread: tuple[str, ...] = (),
) -> Between:
    """Hold the clusters against each other; `attached` are the pods with an address, where they are known."""
    found = peers.compare(sides, checkup if asked else None)
    doubles = tuple(collect.between(found.stacks, attached))
    return Between(
        found.stacks,
        (*doubles, *found.findings),
        found.left_out,
        ways(found),
        Counter(found.not_judged),
        asked,
        checkup,
        unread,
        found.undecided,
    )
