"""kubernetes-nmstate: policies turn Available, their enactments say so node by node, and nodes report what they have.

Shaped after pkg/policyconditions and pkg/enactmentstatus of kubernetes-nmstate. Nothing is set up anywhere: a node's
interfaces are what its NodeNetworkState lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mignet.kube.kinds import NODE_ENACTMENT, NODE_NETWORK_STATE, NODE_POLICY
from mignet.lab.operators.cluster_view import conditions
from mignet.lab.operators.controllers import sorted_nodes

if TYPE_CHECKING:
    from mignet.kube.kinds import Object
    from mignet.lab.operators.cluster_view import World

REFUSES = "policy-refused"
"""The fault by which a node (the one that it is about, else the last) refuses every policy."""
MANAGER = "manager"
"""The field manager of the real one."""
_MTU = 1500


async def step(world: World) -> None:
    """Do what is to be done next."""
    policies = world.all(NODE_POLICY)
    for enactment in world.all(NODE_ENACTMENT):
        if enactment["metadata"]["name"].partition(".")[2] not in {each["metadata"]["name"] for each in policies}:
            await world.delete(NODE_ENACTMENT, enactment)
            return
    for policy in policies:
        if await _followed(world, policy):
            return


async def _followed(world: World, policy: Object) -> bool:
    """Take one step of a policy's rollout; whether something was written."""
    name, generation = policy["metadata"]["name"], policy["metadata"]["generation"]
    selector = policy["spec"].get("nodeSelector") or {}
    nodes = [each for each in sorted_nodes(world) if selector.items() <= each["metadata"].get("labels", {}).items()]
    names = [each["metadata"]["name"] for each in nodes]
    if not names:
        statuses = {"Ignored": "True", "Available": "False", "Degraded": "False", "Progressing": "False"}
        return await _said(world, policy, "NoMatchingNode", "Policy does not match any node", statuses)
    reason, message = "ConfigurationProgressing", f"Policy is progressing 0/{len(names)} nodes finished"
    statuses = {"Progressing": "True", "Available": "Unknown", "Degraded": "Unknown", "Ignored": "False"}
    begun, lasted = (
        f"{policy['metadata']['uid']} {generation}",
        world.lasted(("policy", name, generation), world.pace.notice),
    )
    # Whatever the pace: what it says of the generation before never stands beside a node's word about this one.
    if not lasted or not world.has_said(begun):
        written = await _said(world, policy, reason, message, statuses)
        world.said(begun)
        if written or not lasted:
            return written
    refusing = {world.faults[REFUSES] or names[-1]} & set(names) if REFUSES in world.faults else set()
    for node in names:
        if await _enacted(world, policy, node, refuses=node in refusing):
            return True
        if node not in refusing and await _reported(world, node, policy["spec"]["desiredState"]):
            return True
    if refusing:
        statuses = {"Degraded": "True", "Available": "False", "Progressing": "False", "Ignored": "False"}
        message = f"{len(refusing)}/{len(names)} nodes failed to configure"
        return await _said(world, policy, "FailedToConfigure", message, statuses)
    statuses = {"Available": "True", "Degraded": "False", "Progressing": "False", "Ignored": "False"}
    message = f"{len(names)}/{len(names)} nodes successfully configured"
    return await _said(world, policy, "SuccessfullyConfigured", message, statuses)


async def _said(world: World, policy: Object, reason: str, message: str, statuses: dict[str, str]) -> bool:
    status = policy.get("status", {})
    wanted = status | {
        "conditions": conditions(status.get("conditions", []), reason=reason, message=message, **statuses)
    }
    await world.report(NODE_POLICY, policy, wanted, manager=MANAGER)
    return bool(status != wanted)


async def _enacted(world: World, policy: Object, node: str, *, refuses: bool) -> bool:
    """Say in a node's enactment how the policy went there."""
    name, generation = f"{node}.{policy['metadata']['name']}", policy["metadata"]["generation"]
    there = world.one(NODE_ENACTMENT, name)
    if there is None:
        labels = {"nmstate.io/policy": policy["metadata"]["name"], "nmstate.io/node": node}
        await world.create(NODE_ENACTMENT, {"metadata": {"name": name, "labels": labels}}, manager=MANAGER)
        return True
    status = there.get("status", {})
    if refuses:
        message = (
            f'error reconciling NodeNetworkConfigurationPolicy on node {node} at desired state apply: "",\n failed to'
            " execute nmstatectl set --no-commit --timeout 480: 'exit status 1' '' '[INFO] Nmstate version: 2.2.57\\n"
            "NmstateError: VerificationError: the link did not come up\n'"
        )
        found = {"Failing": "True", "Available": "False", "Progressing": "False"}
        reason = "FailedToConfigure"
    else:
        reason, message = "SuccessfullyConfigured", "successfully reconciled"
        found = {"Available": "True", "Failing": "False", "Progressing": "False"}
    said = conditions(status.get("conditions", []), reason=reason, message=message, **found)
    wanted = status | {"conditions": said, "policyGeneration": generation}
    await world.report(NODE_ENACTMENT, there, wanted, manager=MANAGER)
    return bool(status != wanted)


async def _reported(world: World, node: str, desired: Object) -> bool:
    """Let the node report what the policy makes of it."""
    state = world.one(NODE_NETWORK_STATE, node)
    if state is None:
        return False
    current = state.get("status", {}).get("currentState", {})
    wanted = _after(current, desired)
    if wanted == current:
        return False
    status = state["status"] | {"currentState": wanted}
    await world.report(NODE_NETWORK_STATE, state, status, manager=MANAGER)
    return True


def _after(current: Object, desired: Object) -> Object:
    """Return a node's state once it holds what is desired."""
    interfaces = {each["name"]: each for each in current.get("interfaces", ())}
    for each in desired.get("interfaces", ()):
        if each.get("state") == "absent":
            interfaces.pop(each["name"], None)
            continue
        before = interfaces.get(each["name"], {})
        interfaces[each["name"]] = {"mtu": _mtu(each, interfaces), "state": "up", **before, **_given(each)}
    wanted = current | {"interfaces": sorted(interfaces.values(), key=lambda each: str(each["name"]))}
    if mappings := desired.get("ovn", {}).get("bridge-mappings"):
        known = {each["localnet"]: each for each in current.get("ovn", {}).get("bridge-mappings", ())}
        for each in mappings:
            if each.get("state") == "absent":
                known.pop(each["localnet"], None)
            else:
                known[each["localnet"]] = {"localnet": each["localnet"], "bridge": each["bridge"]}
        wanted["ovn"] = current.get("ovn", {}) | {"bridge-mappings": list(known.values())}
    return wanted


def _given(interface: Object) -> Object:
    # An address that was copied is reported as one, not from where.
    said = {key: value for key, value in interface.items() if key != "copy-mac-from"}
    return {key: value for key, value in said.items() if key != "state" or value == "up"}


def _mtu(interface: Object, interfaces: dict[str, Any]) -> int:
    """Return the MTU that the kernel gives where nothing is desired: a VLAN interface has its base's."""
    base = interface.get("vlan", {}).get("base-iface")
    return int(interfaces.get(base, {}).get("mtu", _MTU))
