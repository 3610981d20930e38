"""The migration toolkit (Forklift), as far as a switch of it decides about migrations between clusters.

It is not installed, unless a fault is about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.kube.kinds import FORKLIFT, NAMESPACE
from mignet.lab.operators.cluster_view import TOOLKIT_NAMESPACE

if TYPE_CHECKING:
    from mignet.lab.operators.cluster_view import World

NAME = "forklift-controller"


async def step(world: World) -> None:
    """Do what is to be done next."""
    there = world.one(FORKLIFT, NAME, TOOLKIT_NAMESPACE)
    if "toolkit-off" not in world.faults:
        if there is not None:
            await world.delete(FORKLIFT, there)
        return
    if there is None:
        if await world.read(NAMESPACE, TOOLKIT_NAMESPACE) is None:
            await world.create(NAMESPACE, {"metadata": {"name": TOOLKIT_NAMESPACE}})
        metadata = {"name": NAME, "namespace": TOOLKIT_NAMESPACE}
        await world.create(FORKLIFT, {"metadata": metadata, "spec": {"feature_ocp_live_migration": "false"}})
