"""Where a look at a stack's cluster gets its objects: its API server, or what stands for it (an archive, a watch)."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from mignet.kube.client import Cluster
from mignet.kube.snapshot import OneLook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from config.cluster import Cluster as ClusterConfig


class Source(Protocol):
    """What stands for the clusters' API servers while somebody looks."""

    def opened(self, config: ClusterConfig, *, base: Path) -> Cluster:
        """Return what stands for this cluster: an asynchronous context manager, as a connection is."""

    @property
    def at(self) -> datetime | None:
        """When what it holds was true, in UTC; None where that is now."""

    @property
    def state(self) -> Path | None:
        """Where the records of earlier runs are, and what is kept of a run goes; None for the user's own folder."""

    def declaration(self, stack: str) -> Mapping[str, Any] | None:
        """Return what the program declared for a stack, as `Declaration.as_json`; None to evaluate it."""


_SOURCE: ContextVar[Source | None] = ContextVar("source", default=None)


@contextlib.contextmanager
def looking_at(source: Source) -> Iterator[None]:
    """Have all looks inside see what this source holds. What changes a cluster opens its connections by itself."""
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


def opened(config: ClusterConfig, *, base: Path, once: bool = False) -> Cluster:
    """Open a connection to a cluster, to look; with `once`, each thing is read once through it.

    Use it as an asynchronous context manager. Raises ClusterError, as Cluster does.
    """
    if source := _SOURCE.get():
        return source.opened(config, base=base)
    return OneLook(config, base=base) if once else Cluster(config, base=base)


def current_time() -> datetime:
    """Return the time that what is looked at is held against, in UTC."""
    source = _SOURCE.get()
    return (source.at if source else None) or datetime.now(UTC)


def state_folder() -> Path | None:
    """Return where records of runs are while something stands for the clusters; None for the user's own folder."""
    source = _SOURCE.get()
    return source.state if source else None


def declaration(stack: str) -> Mapping[str, Any] | None:
    """Return what the program declared for a stack when what stands for its cluster was true; None to evaluate it."""
    source = _SOURCE.get()
    return source.declaration(stack) if source else None
