"""Uplinks on a cluster: wait until nmstate has rolled a policy out, and take one back without leaving anything behind.

A policy's conditions carry no generation, and after a change they speak of the old content until the first node looks
at the new one. Each node's enactment names the generation that it is about; it decides what is believed here.
Source: kubernetes-nmstate, pkg/policyconditions and the policy controller.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.ownership import FIELD_MANAGER, labels
from config.finding import UserError, few, nameless
from mignet.kube.client import ClusterError
from mignet.kube.kinds import NETWORK_ATTACHMENT, NODE, NODE_ENACTMENT, NODE_POLICY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object

POLL_SECONDS = 0.5
_POLICY_LABEL, _NODE_LABEL = "nmstate.io/policy", "nmstate.io/node"
AVAILABLE, DEGRADED, PROGRESSING, IGNORED = "Available", "Degraded", "Progressing", "Ignored"
FAILING, ABORTED = "Failing", "Aborted"
RETRYING = "Retrying"


class UplinkError(UserError):
    """A policy was not rolled out: one line for what happened, and one for each node that refused it."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Rollout:
    """A policy's state on the nodes, as far as it is about the policy's present generation.

    `done`: rolled out. `failed`: ended, and not well. `selects_nothing`: nmstate says that no node matches, which may
    still be about an older generation. `nodes`: each node that failed, and nmstate's own words.
    """

    done: bool = False
    failed: bool = False
    progressing: bool = False
    selects_nothing: bool = False
    message: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)


def rollout(policy: Object, enactments: Iterable[Object]) -> Rollout:
    """Judge a policy from itself and its enactments; those of another generation count for nothing."""
    generation = policy["metadata"]["generation"]
    conditions = _conditions(policy)
    present = [each for each in enactments if each.get("status", {}).get("policyGeneration") == generation]
    errors = {}
    for enactment in present:
        of_node = _conditions(enactment)
        for kind in (FAILING, ABORTED):
            condition = of_node.get(kind, {})
            if condition.get("status") == "True" and condition.get("reason") != RETRYING:
                errors[_node(enactment)] = one_line(condition.get("message") or condition.get("reason", ""))
    everywhere = all(_true(_conditions(each), AVAILABLE) for each in present)
    return Rollout(
        done=bool(present) and everywhere and _true(conditions, AVAILABLE),
        failed=bool(present) and _true(conditions, DEGRADED),
        progressing=_true(conditions, PROGRESSING),
        selects_nothing=not present and _true(conditions, IGNORED),
        message=next(
            (c["message"] for c in conditions.values() if c.get("message")), "no word from kubernetes-nmstate"
        ),
        nodes=errors,
    )


def one_line(message: str, *, limit: int = 300) -> str:
    """Return what nmstate's error ends in, after its logs: why it failed, on one line."""
    text = " ".join(message.replace("\\n", "\n").split())
    mark = next((each for each in ("NmstateError: ", "libnmstate.error.") if each in text), None)
    text = text if mark is None else text.rpartition(mark)[2].rstrip("'\" ")
    return text if len(text) <= limit else f"…{text[-limit:]}"


async def wait(cluster: Cluster, name: str, *, seconds: float, check: Callable[[], None] = lambda: None) -> None:
    """Wait until the policy `name` is rolled out in its present generation, for at most `seconds`.

    Whoever wants to wait no longer raises in `check`; nmstate goes on without us. Raises UplinkError when it failed,
    when it selects no node, when it is gone, and when the time is over. An API server that cannot be reached in between
    is waited for: changing a node's network may do that.
    """
    deadline = time.monotonic() + seconds
    seen, trouble = Rollout(), ""
    while True:
        try:
            # Nodes first: by the time one speaks of a generation, the policy no longer speaks of the one before.
            enactments = await _enactments(cluster, name)
            policy = await cluster.get(NODE_POLICY, name)
            if policy is None:
                raise UplinkError([f"{NODE_POLICY.kind} {name} is gone; somebody deleted it"])
            seen, trouble = rollout(policy, enactments), ""
            if seen.done:
                return
            if seen.selects_nothing and not await _selected(cluster, policy):
                selector = policy["spec"].get("nodeSelector", {})
                wanted = ", ".join(f"{key}={value}" for key, value in selector.items()) or "every node"
                raise UplinkError([f"{NODE_POLICY.kind} {name} selects no node ({wanted}); correct nodeSelector"])
        except ClusterError as error:
            if error.reason != "unreachable":
                raise
            trouble = str(error)
        if seen.failed:
            raise UplinkError(_failure(name, seen))
        check()
        if time.monotonic() >= deadline:
            what = trouble or seen.message
            lines = [f"{NODE_POLICY.kind} {name} is not Available after {seconds:.0f} s: {what}; run up again to go on"]
            raise UplinkError([*lines, *_of_nodes(seen)])
        await asyncio.sleep(POLL_SECONDS)


async def settle(cluster: Cluster, name: str, *, seconds: float, check: Callable[[], None] = lambda: None) -> None:
    """Wait until no rollout of the policy is under way: what nmstate makes of a change meanwhile is undefined.

    A policy that is not there, or whose time is over, is left to what comes next; `check` as above.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        policy = await cluster.get(NODE_POLICY, name)
        if policy is None or not rollout(policy, ()).progressing:
            return
        check()
        await asyncio.sleep(POLL_SECONDS)


async def take_back(
    cluster: Cluster, stack: str, name: str, *, seconds: float, check: Callable[[], None] = lambda: None
) -> list[str]:
    """Take what the policy made off the nodes, and wait until it is; the policy itself stays, to be deleted next.

    Can be killed and run again at any point. Returns a line for each interface that was left because another policy
    declares it. A policy that is gone needs nothing; `check` as above. Raises UplinkError as `wait` does.
    """
    policy = await cluster.get(NODE_POLICY, name)
    if policy is None:
        return []
    kept = _declared(await _others(cluster, stack, policy))
    state, left = removal_state(policy["spec"].get("desiredState", {}), kept)
    if state and await _selected(cluster, policy):
        await settle(cluster, name, seconds=seconds, check=check)
        await cluster.apply(_with_state(policy, stack, state), manager=FIELD_MANAGER, force=True, dry_run=False)
        await wait(cluster, name, seconds=seconds, check=check)
    return left


def removal_state(state: Mapping[str, Any], kept: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the state that undoes `state`, and a line for what is left since another policy declares it.

    What has a `type` was made by the policy and goes; what has none was there before, and stays up. `kept` maps names
    of interfaces, and localnets as `localnet:<name>`, to the policy that declares them.
    """
    interfaces: list[dict[str, Any]] = []
    mappings = []
    left = []
    for interface in state.get("interfaces", ()):
        name, made = interface["name"], "type" in interface
        if name not in kept:
            gone = {"type": interface["type"], "state": "absent"} if made else {"state": "up"}
            interfaces.append({"name": name} | gone)
        elif made:
            left.append(f"{name} stays on the nodes: policy {kept[name]} declares it too")
    for mapping in state.get("ovn", {}).get("bridge-mappings", ()):
        localnet = mapping["localnet"]
        if f"localnet:{localnet}" in kept:
            left.append(
                f"localnet {localnet} stays on the nodes: policy {kept[f'localnet:{localnet}']} declares it too"
            )
        else:
            mappings.append({"localnet": localnet, "state": "absent"})
    undone: dict[str, Any] = {}
    if any(each["state"] == "absent" for each in interfaces):
        undone["interfaces"] = interfaces
    if mappings:
        undone["ovn"] = {"bridge-mappings": mappings}
    return undone, left


async def _others(cluster: Cluster, stack: str, policy: Object) -> list[Object]:
    """Return the policies whose interfaces stay: those that select a node of this one's and are not going, too.

    While the stack has an attachment, the network is in use, and its other policies stay; without one, all of them go.
    """
    in_use = bool(await cluster.list(NETWORK_ATTACHMENT, labels=labels(stack)))
    ours = labels(stack).items()
    nodes = await _selected(cluster, policy)
    return [
        other
        for other in await cluster.list(NODE_POLICY)
        if other["metadata"]["name"] != policy["metadata"]["name"]
        and (in_use or not ours <= other["metadata"].get("labels", {}).items())
        and nodes & await _selected(cluster, other)
    ]


def _declared(policies: Iterable[Object]) -> dict[str, str]:
    names = {}
    for policy in policies:
        state, by = policy.get("spec", {}).get("desiredState", {}), policy["metadata"]["name"]
        for interface in state.get("interfaces", ()):
            if interface.get("state", "up") != "absent":
                names[interface["name"]] = by
        for mapping in state.get("ovn", {}).get("bridge-mappings", ()):
            if mapping.get("state", "present") != "absent":
                names[f"localnet:{mapping['localnet']}"] = by
    return names


def _with_state(policy: Object, stack: str, state: Mapping[str, Any]) -> Object:
    """Write the apply of another state: pinned by uid, so that it never creates a policy that is gone meanwhile."""
    metadata = policy["metadata"]
    directives = {key: value for key, value in metadata.get("annotations", {}).items() if key.startswith("pulumi.com/")}
    return {
        "apiVersion": NODE_POLICY.api_version,
        "kind": NODE_POLICY.kind,
        "metadata": {
            "name": metadata["name"],
            "uid": metadata["uid"],
            "labels": labels(stack),
            "annotations": directives,
        },
        "spec": policy["spec"] | {"desiredState": state},
    }


async def _enactments(cluster: Cluster, policy: str) -> list[Object]:
    return await cluster.list(NODE_ENACTMENT, labels={_POLICY_LABEL: policy})


async def _selected(cluster: Cluster, policy: Object) -> set[str]:
    """Return the names of the nodes that a policy selects."""
    nodes = await cluster.list(NODE, labels=policy.get("spec", {}).get("nodeSelector", {}))
    return {node["metadata"]["name"] for node in nodes}


def _failure(name: str, seen: Rollout) -> Iterator[str]:
    yield f"{NODE_POLICY.kind} {name} failed: {seen.message}; nodes that refused it went back to what they had"
    yield from _of_nodes(seen)


def _of_nodes(seen: Rollout) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for node, message in sorted(seen.nodes.items()):
        alike.setdefault(nameless(message, {node}), []).append(node)
    for nodes in alike.values():
        yield f"node{'s' if len(nodes) > 1 else ''} {few(nodes)}: {seen.nodes[nodes[0]]}"


def _node(enactment: Object) -> str:
    metadata = enactment["metadata"]
    return str(metadata.get("labels", {}).get(_NODE_LABEL) or metadata["name"].partition(".")[0])


def _conditions(status_of: Object) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in status_of.get("status", {}).get("conditions", ())}


def _true(conditions: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    return bool(conditions.get(kind, {}).get("status") == "True")
