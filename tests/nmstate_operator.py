"""kubernetes-nmstate, as far as a cluster's objects show it: it sets the conditions that the real one sets.

Shaped after pkg/policyconditions and pkg/enactmentstatus of kubernetes-nmstate. A node has no interfaces here; what
would be on it is told by the policies, in the order in which they were applied: `on_nodes`.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from support import Kube

POLICIES = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
ENACTMENTS = "/apis/nmstate.io/v1beta1/nodenetworkconfigurationenactments"
PROGRESSING, CONFIGURED, FAILED, NO_NODE = (
    "ConfigurationProgressing",
    "SuccessfullyConfigured",
    "FailedToConfigure",
    "NoMatchingNode",
)


def of_this_worker(interface: str) -> str:
    """Return a name that no other worker's tests declare: what another policy declares on the same nodes stays."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"{interface}-{worker}" if worker else interface


def conditions(reason: str, message: str, **statuses: str) -> list[dict[str, str]]:
    """Return one condition for each status; the message stands on the first."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return [
        {"type": kind, "status": status, "reason": reason, "message": "" if index else message, **times}
        for index, (kind, status) in enumerate(statuses.items())
    ]


@dataclass
class NmstateOperator:
    """Answers the policies of one stack, node by node, until it is left."""

    kube: Kube
    stack: str
    fails: dict[str, str] = field(default_factory=dict)
    """Nodes that refuse, and what nmstate says there."""
    fails_on: str = ""
    """Only states that contain this text are refused; all of them when empty."""
    states: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Each policy and state that was rolled out, in order."""
    released: threading.Event = field(default_factory=threading.Event)
    """While it is not set, every rollout stays under way."""

    def __enter__(self) -> Self:
        self.released.set()
        self._ended = threading.Event()
        self.under_way = threading.Event()
        self._seen: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.released.set()
        self._thread.join()

    @property
    def labels(self) -> str:
        return f"app.kubernetes.io/instance={self.stack}"

    def policies(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.kube.call("GET", POLICIES, params={"labelSelector": self.labels})["items"]
        return items

    def on_nodes(self) -> dict[str, str]:
        """Return each interface that was ever declared, and its last state."""
        return {
            interface["name"]: interface["state"]
            for _, state in self.states
            for interface in state.get("interfaces", ())
        }

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            there = self.policies()
            for policy in there:
                name, generation = policy["metadata"]["name"], policy["metadata"]["generation"]
                if self._seen.get(name) != generation:
                    self._roll_out(policy)
                    self._seen[name] = generation
            for name in self._seen.keys() - {policy["metadata"]["name"] for policy in there}:
                del self._seen[name]
                self._forget(name)

    def _roll_out(self, policy: dict[str, Any]) -> None:
        name, generation = policy["metadata"]["name"], policy["metadata"]["generation"]
        selector = ",".join(f"{key}={value}" for key, value in policy["spec"].get("nodeSelector", {}).items())
        nodes = [
            node["metadata"]["name"]
            for node in self.kube.call("GET", "/api/v1/nodes", params={"labelSelector": selector})["items"]
        ]
        self._status(POLICIES, name, conditions("", "", Available="Unknown", Degraded="Unknown", Progressing="Unknown"))
        if not nodes:
            message = "Policy does not match any node"
            statuses = {"Ignored": "True", "Available": "False", "Degraded": "False", "Progressing": "False"}
            self._status(POLICIES, name, conditions(NO_NODE, message, **statuses))
            return
        for node in nodes:
            self._enact(node, name, generation, conditions(PROGRESSING, "Applying desired state", Progressing="True"))
        statuses = {"Progressing": "True", "Available": "Unknown", "Degraded": "Unknown", "Ignored": "False"}
        message = f"Policy is progressing 0/{len(nodes)} nodes finished"
        self._status(POLICIES, name, conditions(PROGRESSING, message, **statuses))
        self.under_way.set()
        self.released.wait()
        if self._ended.is_set():
            return
        state = policy["spec"]["desiredState"]
        refused = {node: why for node, why in self.fails.items() if node in nodes and self.fails_on in str(state)}
        for node in nodes:
            if node in refused:
                text = (
                    f'error reconciling NodeNetworkConfigurationPolicy on node {node} at desired state apply: "",\n'
                    " failed to execute nmstatectl set --no-commit --timeout 480: 'exit status 1' '' '[INFO] "
                    f"Nmstate version: 2.2.57\\nNmstateError: {refused[node]}\n'"
                )
                found = conditions(FAILED, text, Failing="True", Available="False", Progressing="False")
            else:
                found = conditions(CONFIGURED, "successfully reconciled", Available="True", Failing="False")
            self._enact(node, name, generation, found)
        if refused:
            message = f"{len(refused)}/{len(nodes)} nodes failed to configure"
            statuses = {"Degraded": "True", "Available": "False", "Progressing": "False", "Ignored": "False"}
            self._status(POLICIES, name, conditions(FAILED, message, **statuses))
            return
        self.states.append((name, state))
        message = f"{len(nodes)}/{len(nodes)} nodes successfully configured"
        statuses = {"Available": "True", "Degraded": "False", "Progressing": "False", "Ignored": "False"}
        self._status(POLICIES, name, conditions(CONFIGURED, message, **statuses))

    def _enact(self, node: str, policy: str, generation: int, found: list[dict[str, str]]) -> None:
        name = f"{node}.{policy}"
        labels = {"nmstate.io/policy": policy, "nmstate.io/node": node, "app.kubernetes.io/instance": "nmstate"}
        if self.kube.call("GET", f"{ENACTMENTS}/{name}") is None:
            enactment = {
                "apiVersion": "nmstate.io/v1beta1",
                "kind": "NodeNetworkConfigurationEnactment",
                "metadata": {"name": name, "labels": labels},
            }
            self.kube.call("POST", ENACTMENTS, json=enactment)
        self._status(ENACTMENTS, name, found, policyGeneration=generation)

    def _status(self, resource: str, name: str, found: list[dict[str, str]], **more: Any) -> None:
        # A policy that goes in between is none of its business any more.
        self.kube.call(
            "PATCH",
            f"{resource}/{name}/status",
            json={"status": {"conditions": found, **more}},
            headers={"content-type": "application/merge-patch+json"},
            params={"fieldManager": "manager"},
        )

    def _forget(self, policy: str) -> None:
        self.kube.call("DELETE", ENACTMENTS, params={"labelSelector": f"nmstate.io/policy={policy}"})
