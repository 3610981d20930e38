"""How verify waits: looks again while something is missing, says what, and ends at the right moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import healthy
import pytest
from healthy import find, unready, warning

from mignet.checks import verify as module
from mignet.checks.verify import Patience, Verdict, verify
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import EVENT, HYPERCONVERGED_V1BETA1, IP_POOL, POD, Kind
from mignet.kube.snapshot import Read

STACK = healthy.stack()
Objects = list[dict[str, Any]]

BOUND = " (0 s of at most 60 s, after which it is judged as it is)"


class Fake:
    """A cluster that holds one state after another: the next one whenever the HyperConverged is read."""

    def __init__(self, *states: Objects | ClusterError) -> None:
        self.states: Iterator[Objects | ClusterError] = iter(states)
        self.last = states[-1]
        self.now = states[0]
        self.reads: list[Read] = []

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Any:
        if kind == HYPERCONVERGED_V1BETA1:
            self.now = next(self.states, self.last)
        return next(iter(self._found(Read(kind, namespace, name))), None)

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Any:
        return self._found(Read(kind, namespace, labels=labels or {}, fields=fields or {}))

    async def serves(self, _: Kind) -> bool:
        return True

    def _found(self, read: Read) -> Objects:
        self.reads.append(read)
        if isinstance(self.now, ClusterError):
            raise self.now
        found = [each for each in self.now if healthy.answers(read, each)]
        name = read.fields.get("metadata.name")
        return [each for each in found if name is None or each["metadata"]["name"] == name]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)


def waited(fake: Fake, *, patience: Patience, progress: Callable[[str], None] = lambda _: None) -> Verdict:
    return asyncio.run(verify(STACK, cast(Cluster, fake), patience=patience, progress=progress))


def rolling() -> Objects:
    objects = healthy.cluster(STACK)
    pod = find(objects, "Pod", "virt-handler-1")
    unready(pod)
    pod["metadata"]["creationTimestamp"] = "2999-01-01T00:00:00Z"
    find(objects, "DaemonSet")["status"]["numberAvailable"] = 2
    return objects


def asleep() -> Objects:
    objects = healthy.cluster(STACK)
    find(objects, "KubeVirt")["metadata"]["generation"] = 6
    return objects


def test_the_waiting_ends_with_the_last_pod_and_says_each_step_once() -> None:
    said: list[str] = []

    verdict = waited(
        Fake(asleep(), asleep(), rolling(), rolling(), healthy.cluster(STACK)),
        patience=Patience(timeout=60),
        progress=said.append,
    )

    assert verdict.judged.findings == ()
    assert verdict.proven is not None
    assert all(each.endswith(BOUND) for each in said)
    assert [each.removesuffix(BOUND) for each in said] == [
        "waiting for virt-operator to look at generation 6 (it is at 5)",
        "virt-handler 2 of 3, virt-synchronization-controller 2 of 2",
    ]


def test_an_api_server_that_goes_away_while_it_is_waited_for_is_waited_for_too() -> None:
    said: list[str] = []
    gone = ClusterError("unreachable", "context dev is unreachable")

    verdict = waited(Fake(rolling(), gone, healthy.cluster(STACK)), patience=Patience(timeout=60), progress=said.append)

    assert verdict.proven is not None
    assert said[-1] == f"context dev is unreachable{BOUND}"


def test_a_wait_that_goes_on_is_told_of_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mignet.checks.verify.TELL_SECONDS", 0.0)
    said: list[str] = []
    waited(Fake(asleep(), asleep(), healthy.cluster(STACK)), patience=Patience(timeout=60), progress=said.append)
    assert len(said) == 2


@pytest.mark.parametrize("reason", ["unreachable", "unauthorized", "forbidden", "not-served"])
def test_a_cluster_that_does_not_answer_from_the_start_is_not_waited_for(reason: str) -> None:
    fake = Fake(ClusterError(reason, "no"))

    with pytest.raises(ClusterError):
        waited(fake, patience=Patience(timeout=3600))


def test_without_time_one_look_is_all() -> None:
    fake = Fake(rolling())

    verdict = waited(fake, patience=Patience(timeout=0))

    assert [each.code for each in verdict.judged.findings] == ["rollout-unfinished"]
    assert len([read for read in fake.reads if read.kind == HYPERCONVERGED_V1BETA1]) == 1


def test_a_cause_ends_the_waiting_long_before_the_time_is_over() -> None:
    stuck = rolling()
    pod = find(stuck, "Pod", "virt-handler-1")
    pod["metadata"]["creationTimestamp"] = healthy.MADE
    stuck.append(warning(pod, "FailedCreatePodSandBox", "ERRORED: Link not found"))

    verdict = waited(Fake(rolling(), stuck), patience=Patience(timeout=3600, stuck_after=30))

    assert [each.code for each in verdict.judged.findings] == ["pod-no-network"]
    assert verdict.proven is None


def test_a_patch_of_the_operator_that_drops_the_network_ends_the_waiting_at_once() -> None:
    """The case jsonpatch-drops-the-network; whether the operator has looked at the last change or not."""
    operation = '[{"op":"add","path":"/spec/configuration/migrations","value":{"allowPostCopy":true}}]'
    for observed in (2, 3):
        dropped = healthy.cluster(STACK)
        above = find(dropped, "HyperConverged")
        above["metadata"]["annotations"] = {"kubevirt.kubevirt.io/jsonpatch": operation}
        above["status"]["observedGeneration"] = observed
        find(dropped, "KubeVirt")["spec"]["configuration"]["migrations"] = {"allowPostCopy": True}

        verdict = waited(Fake(dropped), patience=Patience(timeout=3600))

        (finding,) = verdict.judged.findings
        assert finding.code == "settings-not-taken"
        assert "operation 1 of 1 (add /spec/configuration/migrations" in finding.rule
        assert "drops network: the operator applies it to KubeVirt after" in finding.rule


def test_a_patch_of_something_else_is_waited_beside() -> None:
    patched = healthy.cluster(STACK)
    operation = '[{"op":"add","path":"/spec/configuration/migrations/allowPostCopy","value":true}]'
    find(patched, "HyperConverged")["metadata"]["annotations"] = {"kubevirt.kubevirt.io/jsonpatch": operation}
    find(patched, "KubeVirt")["spec"]["configuration"]["migrations"]["allowPostCopy"] = True
    assert waited(Fake(patched), patience=Patience(timeout=3600)).proven is not None


def test_what_explains_a_rollout_is_read_only_when_a_pod_does_not_come() -> None:
    fake = Fake(asleep(), healthy.cluster(STACK))

    waited(fake, patience=Patience(timeout=60))

    assert len([read for read in fake.reads if read.kind == EVENT]) == 1
    assert len([read for read in fake.reads if read.kind == IP_POOL]) == 1


def test_pods_are_read_by_their_labels_and_holders_of_leases_by_their_names() -> None:
    objects = healthy.cluster(STACK)
    find(objects, "IPPool")["spec"]["allocations"]["40"] = {"id": "x", "podref": "elsewhere/gone"}
    fake = Fake(objects)

    verdict = waited(fake, patience=Patience(timeout=0))

    assert [each.code for each in verdict.judged.findings] == ["lease-leaked"]
    assert all(read.labels or read.fields for read in fake.reads if read.kind == POD)


def test_the_addresses_are_told_as_ranges() -> None:
    objects = healthy.cluster(STACK)
    healthy.link(find(objects, "Pod", "virt-handler-1"), ["10.200.5.40"])

    verdict = waited(Fake(objects), patience=Patience(timeout=0))

    assert verdict.proven == (
        "3 virt-handlers and 2 sync controllers use migration, addresses 10.200.5.10, 10.200.5.12-10.200.5.14,"
        " 10.200.5.40; 5 of 51 addresses leased in IPPool 10.200.5.0-24 (as their objects say; nothing was measured)"
    )


def test_what_comes_after_a_fault_is_undecided_and_not_said_to_be_well() -> None:
    """Whoever told of a leaked lease must not take it back because the network is gone by now."""
    whole = healthy.cluster(STACK)
    (attachment,) = (each for each in whole if each["kind"] == "NetworkAttachmentDefinition")
    without = cast(Cluster, Fake([each for each in whole if each is not attachment]))

    async def declared() -> list[Any]:
        return [attachment]

    early = asyncio.run(verify(STACK, without, declared=declared, patience=Patience(0, 0))).judged
    assert [each.code for each in early.findings] == ["attachment-gone"]
    assert early.undecided >= {"lease-leaked", "pod-network-fallback", "rollout-unfinished"}
    assert early.not_judged == 0
    late = waited(Fake(rolling()), patience=Patience(0, 0)).judged
    assert [each.code for each in late.findings] == ["rollout-unfinished"]
    assert "lease-leaked" in late.undecided
    assert late.undecided.isdisjoint({"rollout-unfinished", "attachment-gone", "pod-no-network"})
    assert not waited(Fake(whole), patience=Patience(0, 0)).judged.undecided
