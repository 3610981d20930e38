"""What is believed of a policy's status, and what undoes a policy."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mignet.engines.direct_engine import _content
from mignet.kube.client import _resource
from mignet.kube.kinds import Kind
from mignet.kube.network.nmstate import Rollout, _failure, one_line, removal_state, rollout, wait


def conditions(**statuses: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "message": ""} for kind, status in statuses.items()]


def policy(**statuses: str) -> dict[str, Any]:
    return {"metadata": {"name": "p", "generation": 3}, "status": {"conditions": conditions(**statuses)}}


def enactment(node: str, generation: int, **statuses: str) -> dict[str, Any]:
    status = {"policyGeneration": generation, "conditions": conditions(**statuses)}
    return {"metadata": {"name": f"{node}.p"}, "status": status}


DONE, BUSY = {"Available": "True"}, {"Available": "Unknown", "Progressing": "True"}


@pytest.mark.parametrize(
    ("conditions_", "enactments", "done"),
    [
        (DONE, [enactment("a", 3, **DONE), enactment("b", 3, **DONE)], True),
        (DONE, [], False),
        (DONE, [enactment("a", 2, **DONE)], False),
        (DONE, [enactment("a", 3, **DONE), enactment("b", 3, **BUSY)], False),
        (BUSY, [enactment("a", 3, **DONE)], False),
        # A node that is not ready is left behind by nmstate, too: its enactment keeps the old generation.
        (DONE, [enactment("a", 3, **DONE), enactment("b", 2, **DONE)], True),
        ({}, [enactment("a", 3, **DONE)], False),
    ],
)
def test_available_is_believed_when_the_nodes_say_it_of_this_generation(
    conditions_: dict[str, str], enactments: list[dict[str, Any]], *, done: bool
) -> None:
    assert rollout(policy(**conditions_), enactments).done is done


@pytest.mark.parametrize(("generation", "failed"), [(3, True), (2, False)])
def test_degraded_is_believed_when_it_is_about_this_generation(generation: int, *, failed: bool) -> None:
    seen = rollout(policy(Degraded="True", Available="False"), [enactment("a", generation, Failing="True")])
    assert seen.failed is failed


def test_a_node_that_tries_again_has_not_failed() -> None:
    trying = enactment("a", 3, Failing="True", Progressing="True")
    trying["status"]["conditions"][0] |= {"reason": "Retrying", "message": "Retrying 2/5"}
    assert rollout(policy(**BUSY), [trying]).nodes == {}


def test_a_node_that_gave_up_since_another_failed_is_named() -> None:
    aborted = enactment("a", 3, Aborted="True")
    aborted["status"]["conditions"][0]["message"] = 'reconciliation of enactment "a.p" has aborted'
    seen = rollout(policy(Degraded="True"), [aborted])
    assert seen.nodes == {"a": 'reconciliation of enactment "a.p" has aborted'}


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            'error reconciling NodeNetworkConfigurationPolicy on node a at desired state apply: "",\n failed to execute'
            " nmstatectl set: 'exit status 1' '' '[INFO] x\nNmstateError: VerificationError: eth1.mtu\n  is 1500\n'",
            "VerificationError: eth1.mtu is 1500",
        ),
        ("timed out", "timed out"),
        ("x" * 400, "…" + "x" * 300),
    ],
)
def test_the_reason_of_a_node_is_one_line(message: str, line: str) -> None:
    assert one_line(message) == line


def test_what_stops_many_nodes_is_one_line() -> None:
    nodes = {f"w-{number}": f"Failed to find eth1 on w-{number}" for number in range(1200)} | {"x": "busy"}
    first, same, other = _failure("mig0", Rollout(failed=True, message="no", nodes=nodes))
    assert first.startswith("NodeNetworkConfigurationPolicy mig0 failed: no")
    assert same == "nodes w-0, w-1, w-10, w-100, w-1000 and 1195 more: Failed to find eth1 on w-0"
    assert other == "node x: busy"


STATE = {
    "interfaces": [
        {"name": "eth1", "state": "up", "mtu": 9000},
        {"name": "bond1", "type": "bond", "state": "up"},
        {"name": "mig0", "type": "vlan", "state": "up"},
    ],
    "ovn": {"bridge-mappings": [{"localnet": "migration", "bridge": "ovs-mig", "state": "present"}]},
}
UNDONE = {
    "interfaces": [
        {"name": "eth1", "state": "up"},
        {"name": "bond1", "type": "bond", "state": "absent"},
        {"name": "mig0", "type": "vlan", "state": "absent"},
    ],
    "ovn": {"bridge-mappings": [{"localnet": "migration", "state": "absent"}]},
}


def test_what_a_policy_made_goes_and_nics_stay_up() -> None:
    assert removal_state(STATE, {}) == (UNDONE, [])


def test_undoing_twice_is_undoing_once() -> None:
    assert removal_state(UNDONE, {}) == (UNDONE, [])


def test_what_another_policy_declares_stays_and_is_named() -> None:
    state, left = removal_state(STATE, {"bond1": "other", "eth1": "other", "localnet:migration": "other"})
    assert state == {"interfaces": [{"name": "mig0", "type": "vlan", "state": "absent"}]}
    assert left == [
        "bond1 stays on the nodes: policy other declares it too",
        "localnet migration stays on the nodes: policy other declares it too",
    ]


def test_a_policy_that_made_nothing_needs_no_undoing() -> None:
    assert removal_state({"interfaces": [{"name": "eth1", "state": "up"}]}, {}) == ({}, [])


def test_the_time_that_nmstates_webhook_writes_is_no_change() -> None:
    written = {"metadata": {"name": "p", "annotations": {"a": "b", "nmstate.io/webhook-mutating-timestamp": "17"}}}
    assert _content(written) == {"metadata": {"name": "p", "annotations": {"a": "b"}}}


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_several_threads_may_meet_a_kind_at_once(eager_threads: None) -> None:
    """Pulumi deletes the uplinks of several groups side by side, in one process."""
    threads = 8
    for number in range(20):
        kind = Kind("test.example", "v1", f"Met{number}", f"met{number}s", namespaced=False)
        together = threading.Barrier(threads)

        def meet(kind: Kind = kind, together: threading.Barrier = together) -> object:
            together.wait()
            return _resource(kind)

        with ThreadPoolExecutor(threads) as executor:
            met = [executor.submit(meet) for _ in range(threads)]
            assert len({id(future.result()) for future in met}) == 1


class Unfolding:
    """A cluster on which a policy's rollout goes one step further with each read."""

    def __init__(self) -> None:
        self.moments = iter(
            [
                (policy(**DONE), [enactment("a", 2, **DONE), enactment("b", 2, **DONE)]),
                (policy(**BUSY), [enactment("a", 3, **DONE), enactment("b", 2, **DONE)]),
                (policy(**BUSY), [enactment("a", 3, **DONE), enactment("b", 3, **BUSY)]),
                (policy(**DONE), [enactment("a", 3, **DONE), enactment("b", 3, **DONE)]),
            ]
        )
        self.last = next(self.moments)

    async def get(self, *_: object) -> Any:
        found, self.last = self.last[0], next(self.moments, self.last)
        return found

    async def list(self, *_: object, **__: object) -> Any:
        found, self.last = self.last[1], next(self.moments, self.last)
        return found


def test_a_policy_that_still_speaks_of_the_generation_before_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mignet.kube.network.nmstate.POLL_SECONDS", 0)
    unfolding = Unfolding()
    asyncio.run(wait(unfolding, "p", seconds=10))  # type: ignore[arg-type]
    assert next(unfolding.moments, None) is None
    assert [each["status"]["policyGeneration"] for each in unfolding.last[1]] == [3, 3]
