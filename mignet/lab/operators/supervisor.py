"""The stand-ins of all clusters of a lab, for as long as it runs: in a process of the lab's own, or in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from mignet.lab.operators.kube_api import StaleError
from mignet.lab.operators.reconcile import RETRY, STEPS, Operators
from mignet.lab.servers.http_client import connect_async
from mignet.lab.state import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mignet.lab.operators.cluster_view import Pace
    from mignet.lab.operators.reconcile import Step

NAMESPACE = "openshift-cnv"


def operators(cluster: str) -> Sequence[Step]:  # noqa: ARG001 - the same for each
    """Return the steps of the stand-ins for a cluster's operators."""
    return STEPS


async def attend(directory: Path, *, pace: Pace, steps: Callable[[str], Sequence[Step]] = operators) -> None:
    """Keep stand-ins of the lab in `directory` at work until cancelled, wherever its servers move to.

    `steps` returns those for a cluster: the operators' unless given.
    """
    record = Record.read(directory / "lab.json")
    clusters = record.clusters if record else []
    async with asyncio.TaskGroup() as group:
        for cluster in clusters:
            group.create_task(_attend(directory, cluster, pace, steps(cluster)))


@contextlib.contextmanager
def attended(directory: Path, *, pace: Pace) -> Iterator[None]:
    """Have the stand-ins of that lab at work in a thread of this program."""
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    ready = threading.Event()

    async def work() -> None:
        task = asyncio.create_task(attend(directory, pace=pace))
        begun.append((asyncio.get_running_loop(), task))
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: asyncio.run(work()), name="operators", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loop, task = begun[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


async def _attend(directory: Path, cluster: str, pace: Pace, steps: Sequence[Step]) -> None:
    import httpx2

    while True:
        try:
            async with contextlib.AsyncExitStack() as stack:
                # Read again each time: a server that was restarted may have another port.
                record = Record.read(directory / "lab.json")
                clients = {
                    name: await stack.enter_async_context(
                        connect_async(process.port, directory / "certificates" / name, name="admin")
                    )
                    for name, process in (record.processes if record else {}).items()
                    if record and name in record.clusters
                }
                await Operators(clients, cluster, namespace=NAMESPACE, pace=pace, steps=steps).run()
        except* (httpx2.TransportError, OSError, StaleError):
            pass
        await asyncio.sleep(RETRY)
