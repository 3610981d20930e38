"""Diagnosis: what all looks at a cluster found, put in order: causes, what each of them explains, and what to do next.

Pure: findings in, causes out. Nothing here asks a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.finding import Finding
    from mignet.checks.diagnosis.folding import Cause
    from mignet.fleet.results import Checked


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """A cause, the warnings of the cluster's events about it and what follows, and the command to type next."""

    cause: Cause
    evidence: tuple[str, ...]
    next: str

    @property
    def finding(self) -> Finding:
        """The cause itself."""
        return self.cause.finding

    @property
    def explains(self) -> tuple[Finding, ...]:
        """What follows from it."""
        return self.cause.explains


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, as `checked`, and the causes of it: the most probable first."""

    checked: Checked
    causes: tuple[Diagnosed, ...]
