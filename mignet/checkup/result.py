"""The result of a checkup: a value that is shown as a matrix, kept as JSON, and drawn by others.

`mignet checkup -o json` prints it and `--report FILE` keeps it; the last result of a project is kept by itself
(`place`). Times are in UTC; what was not measured is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from config.files.file_text import write_whole
from mignet.fleet.journal import place as record_place
from mignet.outputs import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from config.files.project_files import Project
    from config.finding import Finding, Remark


@dataclass(frozen=True, slots=True, order=True)
class End:
    """One end of a pair: a node of a stack's cluster."""

    stack: str
    node: str

    def __str__(self) -> str:
        return f"{self.stack}/{self.node}"


@dataclass(frozen=True, slots=True)
class NodeResult:
    """One node and the probe that ran on it."""

    name: str
    address: str | None = None
    """The probe's address on migration0; None when it got none."""
    mac: str | None = None
    ok: bool = True
    """Whether nothing is wrong with the node itself, nor with every way from and to it."""
    problem: str | None = None
    """The code of the finding that names this node; None when none does."""


@dataclass(frozen=True, slots=True)
class PairResult:
    """What one node measured of another: the way from `source` to `target`."""

    source: End
    target: End
    ok: bool
    reason: str | None = None
    """Why not, in a few words: `no answer`, `ports 9185 blocked`, `path MTU 1500`, `another machine answers`."""
    rtt_ms: float | None = None
    """Round-trip time in milliseconds: the least of a few."""
    path_mtu: int | None = None
    """Bytes that go there and back in one piece: the declared MTU, when that does."""
    throughput: float | None = None
    """Mbit/s; None unless it was asked for."""


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """One stack's cluster."""

    stack: str
    network: str
    nodes: tuple[NodeResult, ...] = ()
    problem: str | None = None
    """The code of the finding for which nothing was measured there; None when something was."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much was measured: of all ways from one node to another, those that this run chose, and what came back."""

    possible: int = 0
    planned: int = 0
    measured: int = 0

    @property
    def share(self) -> float:
        """The measured part of all that is possible, from 0 to 1; 1 when nothing is possible."""
        return self.measured / self.possible if self.possible else 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """What one run found. `seed` chooses the sample: the same seed on the same nodes is the same sample."""

    run: str
    seed: int
    begun: str
    ended: str
    mtu: Mapping[str, int | None] = field(default_factory=dict)
    """The declared MTU of each stack's network, in bytes."""
    ports: tuple[int, ...] = ()
    """TCP ports that were tried: the sync controllers' and some ephemeral ones."""
    clusters: tuple[ClusterResult, ...] = ()
    pairs: tuple[PairResult, ...] = ()
    coverage: Coverage = Coverage()
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Remark, ...] = ()
    """A sentence for what was not measured, or could not be judged."""
    not_judged: Mapping[str, int] = field(default_factory=dict)
    """How many rules could not be judged, by stack."""

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks that it is about, by name."""
        return tuple(each.stack for each in self.clusters)

    @property
    def first_broken(self) -> PairResult | None:
        """The first pair that is not as it should be."""
        return next((pair for pair in self.pairs if not pair.ok), None)

    def write(self, path: Path, project: Project) -> None:
        """Write it as JSON. Raises OSError."""
        write_whole(path, as_json.checkup(self, project))


def place(project: Project) -> Path:
    """Return where the last result of a project is kept."""
    return record_place(project, "checkup-result")
