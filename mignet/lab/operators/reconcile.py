"""All stand-ins of one cluster, at work until they are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mignet.kube.kinds import (
    CONFIG_MAP,
    DEFINITION,
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    INSTANCE,
    MIGRATION,
    POD,
)
from mignet.lab.operators import controllers, kubelet
from mignet.lab.operators.cluster_view import Pace, World
from mignet.lab.operators.kube_api import Api, RefusedError, StaleError
from mignet.lab.operators.kubevirt import (
    between_clusters,
    ca_bundles,
    forklift,
    hyperconverged_operator,
    virt_controller,
    virt_operator,
    virtual_machines,
)
from mignet.lab.operators.network import foreign_leases, network_operator, nics, nmstate, user_networks
from mignet.lab.operators.templates import HANDLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx2

    from mignet.kube.kinds import Kind, Object

Step = Callable[[World], Awaitable[None]]

STEPS: Sequence[Step] = (
    network_operator.step,
    nmstate.step,
    nics.step,
    user_networks.step,
    hyperconverged_operator.step,
    ca_bundles.step,
    virt_operator.step,
    controllers.step,
    foreign_leases.step,
    kubelet.step,
    forklift.step,
    virtual_machines.step,
    virt_controller.step,
    between_clusters.step,
)

RETRY = 0.2
"""Seconds until a cluster is tried again that could not be reached, or refused."""


class Operators:
    """The stand-ins of one cluster. `clients` names each cluster of the lab; `cluster` is the one they work in.

    `steps` are what they do in a round, in order.
    """

    def __init__(
        self,
        clients: dict[str, httpx2.AsyncClient],
        cluster: str,
        *,
        namespace: str,
        pace: Pace,
        steps: Sequence[Step] = STEPS,
    ) -> None:
        self._apis = {name: Api(client) for name, client in clients.items()}
        self._cluster = cluster
        self._namespace = namespace
        self._pace = pace
        self._steps = steps

    async def run(self) -> None:
        """Work until cancelled. Raises httpx2.TransportError when the API server goes away."""
        api = self._apis[self._cluster]
        world = World(
            api,
            hyperconverged=await _stored(api, self._namespace),
            namespace=self._namespace,
            pace=self._pace,
            number=list(self._apis).index(self._cluster),
            peers=self._peers,
            beyond={name: peer for name, peer in self._apis.items() if name != self._cluster},
        )
        async with asyncio.TaskGroup() as group:
            for kind in world.kinds:
                group.create_task(world.watch(kind))
            for name, peer in self._apis.items():
                if name != self._cluster:
                    group.create_task(self._exchange(world, name, peer))
                    for kind in (INSTANCE, MIGRATION):
                        group.create_task(_heed(world, peer, kind))
            group.create_task(self._work(world))

    async def _work(self, world: World) -> None:
        while True:
            world.begin()
            try:
                await _round(world, self._steps)
                pause = world.due
            except StaleError:
                pause = 0.02
            except RefusedError as error:
                # A fault of the stand-ins, or of the definitions: said, and tried again, as an operator does.
                print(f"{self._cluster}: {error}", file=sys.stderr, flush=True)  # noqa: T201
                pause = RETRY
            except (AttributeError, LookupError, TypeError, ValueError):
                # An object that nobody expected: it must not end the operators.
                traceback.print_exc()
                pause = RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await world.awake.wait()

    async def _exchange(self, world: World, name: str, peer: Api) -> None:
        """Learn the authority of another cluster, and each that takes its place."""
        import httpx2

        while True:
            with contextlib.suppress(httpx2.TransportError, RefusedError, StaleError):
                async for _ in peer.changes(CONFIG_MAP, self._namespace):
                    world.learn(name, ca_bundles.owned(await peer.get(CONFIG_MAP, ca_bundles.NAME, self._namespace)))
            await asyncio.sleep(RETRY)

    async def _peers(self) -> list[Object]:
        others = [api for name, api in self._apis.items() if name != self._cluster]
        lists = [await api.list(POD, self._namespace, labels={"kubevirt.io": HANDLER}) for api in others]
        return [pod for pods in lists for pod in pods]


async def _heed(world: World, peer: Api, kind: Kind) -> None:
    """Wake up when something of a kind changes on another cluster: the sync controllers tell each other at once."""
    import httpx2

    while True:
        with contextlib.suppress(httpx2.TransportError, RefusedError, StaleError):
            async for _ in peer.changes(kind):
                world.awake.set()
        await asyncio.sleep(RETRY)


async def _round(world: World, steps: Sequence[Step]) -> None:
    """Let every stand-in do its next step on what is there now, until none has anything to do at once."""
    await world.refresh()
    for step in steps:
        await step(world)
        if not world.settled:
            await world.refresh()
            world.awake.set()
    world.end()


async def _stored(api: Api, namespace: str) -> Kind:
    """Return the HyperConverged in the version that this cluster stores, once there is one: it is the last seed."""
    while True:
        definition = await api.get(DEFINITION, "hyperconvergeds.hco.kubevirt.io")
        if definition is not None:
            stored = next(each["name"] for each in definition["spec"]["versions"] if each["storage"])
            kind = HYPERCONVERGED_V1 if stored == "v1" else HYPERCONVERGED_V1BETA1
            if await api.list(kind, namespace):
                return kind
        await asyncio.sleep(RETRY)
