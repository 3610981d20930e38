"""The result of a checkup: a value that is shown as a matrix, kept as JSON, and drawn by others.

`as_json` is what `mignet checkup -o json` prints and `--report FILE` keeps; the last result of a project is kept by
itself (`place`). Keys are camelCase; times are in UTC; what was not measured is null.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mignet.fleet.journal import place as record_place
from mignet.fleet.journal import write_whole

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
    def first_broken(self) -> PairResult | None:
        """The first pair that is not as it should be."""
        return next((pair for pair in self.pairs if not pair.ok), None)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready values; findings have their sentence as `message`."""
        return {
            "run": self.run,
            "seed": self.seed,
            "begun": self.begun,
            "ended": self.ended,
            "mtu": dict(self.mtu),
            "ports": list(self.ports),
            "clusters": [
                {
                    "stack": each.stack,
                    "network": each.network,
                    "problem": each.problem,
                    "nodes": [asdict(node) for node in each.nodes],
                }
                for each in self.clusters
            ],
            "pairs": [
                {
                    "source": asdict(pair.source),
                    "target": asdict(pair.target),
                    "ok": pair.ok,
                    "reason": pair.reason,
                    "rttMs": pair.rtt_ms,
                    "pathMtu": pair.path_mtu,
                    "throughput": pair.throughput,
                }
                for pair in self.pairs
            ],
            "coverage": asdict(self.coverage) | {"share": round(self.coverage.share, 6)},
            "findings": [
                {
                    "severity": each.severity,
                    "code": each.code,
                    "stack": each.stack,
                    "peer": each.peer,
                    "key": each.key,
                    "waived": each.waived,
                    "rule": each.rule,
                    "remedy": each.remedy,
                    "message": str(each),
                }
                for each in self.findings
            ],
            "leftOut": list(map(str, self.left_out)),
            "notJudged": dict(self.not_judged),
        }

    def write(self, path: Path) -> None:
        """Write it as JSON. Raises OSError."""
        write_whole(path, json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n")


def place(project: Project) -> Path:
    """Return where the last result of a project is kept."""
    return record_place(project, "checkup-result")
