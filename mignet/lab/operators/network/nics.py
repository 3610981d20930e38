"""The NICs of the control-plane nodes, which a fault takes out and healing puts back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mignet.kube.kinds import NODE_NETWORK_STATE
from mignet.lab.operators.controllers import CONTROL_PLANE, sorted_nodes

if TYPE_CHECKING:
    from mignet.lab.operators.cluster_view import World

FAULT = "control-plane-without-nic"
NIC = "eth1"
TAKEN = "lab.migration-network/taken-out"
"""The annotation of a node's network state with the interfaces that the fault took out of it."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    about = world.faults.get(FAULT)
    for node in sorted_nodes(world):
        state = world.one(NODE_NETWORK_STATE, node["metadata"]["name"])
        if CONTROL_PLANE not in node["metadata"].get("labels", {}) or state is None:
            continue
        annotations = dict(state["metadata"].get("annotations", {}))
        if (about is not None) == (TAKEN in annotations):
            continue
        current = state.get("status", {}).get("currentState", {})
        interfaces = current.get("interfaces", [])
        if about is None:
            interfaces = [*interfaces, *json.loads(annotations.pop(TAKEN))]
        else:
            taken = [each for each in interfaces if each["name"] == (about or NIC)]
            interfaces = [each for each in interfaces if each not in taken]
            annotations[TAKEN] = json.dumps(taken)
        interfaces = sorted(interfaces, key=lambda each: str(each["name"]))
        metadata = state["metadata"] | {"annotations": annotations}
        written = await world.replace(NODE_NETWORK_STATE, state | {"metadata": metadata})
        status = state["status"] | {"currentState": current | {"interfaces": interfaces}}
        await world.report(NODE_NETWORK_STATE, written, status)
