"""Keep what clusters answer while the verbs look at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from mignet.evidence.asked import OPEN, Asked, given
from mignet.evidence.scrub import scrubbed, scrubbed_text
from mignet.kube.client import ClusterError, ConflictError
from mignet.kube.snapshot import STOPS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from config.cluster import Cluster as ClusterConfig
    from mignet.evidence.asked import Outcome


class Recording:
    """A source of looks that keeps every answer, and gives it again to who asks the same: all verbs see one cluster.

    A cluster that does not answer is not asked again.
    """

    def __init__(self) -> None:
        # Times in objects have no smaller unit.
        self.at = datetime.now(UTC).replace(microsecond=0)
        self.clusters: dict[str, dict[str, Outcome]] = {}
        self.state = None

    def opened(self, config: ClusterConfig, *, base: Path) -> _Recorded:
        """Return a connection whose answers are kept."""
        return _Recorded(config, base=base, book=self.clusters.setdefault(name_of(config), {}))

    def declaration(self, stack: str) -> None:
        """Return nothing: the program is there, to be evaluated."""


def name_of(config: ClusterConfig) -> str:
    """Return what tells the clusters of an archive apart: the context, and the kubeconfig where one is named."""
    return f"{config.context} in {config.kubeconfig}" if config.kubeconfig else config.context


class _Recorded(Asked):
    def __init__(self, config: ClusterConfig, *, base: Path, book: dict[str, Outcome]) -> None:
        super().__init__(config, base=base)
        self._book = book

    async def __aenter__(self) -> Self:
        if isinstance(silent := self._book.get(OPEN), ClusterError):
            given(silent)
        try:
            return await super().__aenter__()
        except ClusterError as error:
            self._book[OPEN] = _clean(error)
            raise

    async def answer(self, question: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return what was answered before, else ask."""
        if question not in self._book:
            if isinstance(silent := self._book.get(OPEN), ClusterError):
                given(silent)
            try:
                outcome = scrubbed(await ask())
            except (ClusterError, ConflictError) as error:
                outcome = _clean(error)
                if isinstance(error, ClusterError) and error.reason in STOPS:
                    self._book[OPEN] = outcome
            # Of two that asked at the same time, both get the same.
            self._book.setdefault(question, outcome)
        return given(self._book[question])


def _clean(error: ClusterError | ConflictError) -> ClusterError | ConflictError:
    return ClusterError(error.reason, scrubbed_text(str(error))) if isinstance(error, ClusterError) else error
