"""What is said of a test machine's way between two clusters, from objects as both sides leave them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.loading import load_stack
from mignet.checks import crossing
from mignet.checks.crossing import End, Leg
from mignet.kube.snapshot import judge

COMMON = {
    "segment": {"subnet": "10.200.5.0/24"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
}
ONE, OTHER = (
    load_stack(name, COMMON | {"cluster": {"context": name}, "slice": {"rangeStart": start, "rangeEnd": end}})
    for name, start, end in (("one", "10.200.5.10", "10.200.5.60"), ("other", "10.200.5.61", "10.200.5.110"))
)
STATUS = '[{"name": "openshift-cnv/migration", "interface": "migration0", "ips": ["fd00::1", "10.200.5.11"]}]'
HANDLER: dict[str, Any] = {
    "metadata": {
        "name": "virt-handler-a",
        "namespace": "openshift-cnv",
        "labels": {"kubevirt.io": "virt-handler"},
        "annotations": {"k8s.v1.cni.cncf.io/network-status": STATUS},
        "creationTimestamp": "2026-11-01T00:00:00Z",
    },
    "spec": {"nodeName": "node-a"},
}


def end(stack: Any, phase: str, moving: str, **state: Any) -> End:
    live = {"status": {"phase": phase, "nodeName": "node-a", "migrationState": state}}
    return End(stack, live, {"metadata": {"name": "m"}, "status": {"phase": moving}})


def arrived(**state: Any) -> Leg:
    known = {"targetNode": "node-b", "targetNodeAddress": "10.200.5.62"} | state
    known["sourceState"] = {"node": "node-a", "syncAddress": "10.200.5.12:9185"} | known.get("sourceState", {})
    source = replace(end(ONE, "Succeeded", "Succeeded"), handlers=(HANDLER,))
    return Leg(source, end(OTHER, "Running", "Succeeded", **known), "test", "10.200.5.64:9185", 9185, 3.0)


def found(leg: Leg) -> list[str]:
    return [each.code for each in judge(crossing.WAY, leg).findings]


def test_each_end_has_its_address_and_its_slice() -> None:
    leg = arrived()

    assert found(leg) == []
    assert leg.result.proven
    assert [(hop.stack, hop.node, hop.address, hop.inside) for hop in leg.hops] == [
        ("one", "node-a", "10.200.5.11", True),
        ("other", "node-b", "10.200.5.62", True),
        ("one", None, "10.200.5.12", True),
        ("other", None, "10.200.5.64", True),
    ]


@pytest.mark.parametrize(
    ("leg", "stack"),
    [
        (arrived(targetNodeAddress="192.168.0.1"), "other"),
        (arrived(targetNodeAddress="10.200.5.11"), "other"),
        (arrived(targetNodeAddress=""), "other"),
        (arrived(sourceState={"node": "node-z"}), "one"),
        (arrived(sourceState={"syncAddress": "10.200.5.70:9185"}), "one"),
        (replace(arrived(), sync="192.168.0.1:9185"), "other"),
    ],
)
def test_an_address_outside_of_its_slice_is_no_proof(leg: Leg, stack: str) -> None:
    (finding,) = judge(crossing.WAY, leg).findings

    assert (finding.code, finding.stack) == ("crossing-other-network", stack)
    assert not leg.result.proven


def test_a_sync_address_that_nobody_says_is_not_said_and_no_finding() -> None:
    leg = arrived(sourceState={"syncAddress": None})

    assert found(leg) == []
    assert [hop.inside for hop in leg.hops] == [True, True, None, True]


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [
        (("Running", "Failed"), ("Running", "Succeeded"), ["crossing-runs-twice"] * 2),
        (("Running", "Running"), ("Running", "Running"), ["crossing-unfinished"]),
        (("Succeeded", "Succeeded"), ("Failed", "Failed"), ["crossing-target-lost"]),
        (("Succeeded", "Succeeded"), ("WaitingForSync", "Failed"), ["crossing-target-lost"]),
        (("Running", "Failed"), ("WaitingForSync", "Failed"), ["crossing-failed"]),
        (("Running", "Running"), ("WaitingForSync", "Failed"), ["crossing-failed"]),
        (("Running", "Synchronizing"), ("WaitingForSync", "WaitingForSync"), ["crossing-waits"]),
        (("Running", "Scheduling"), ("Scheduling", "Scheduling"), ["crossing-unfinished"]),
    ],
)
def test_each_end_that_is_not_well_has_its_code(
    source: tuple[str, str], target: tuple[str, str], codes: list[str]
) -> None:
    assert found(Leg(end(ONE, *source), end(OTHER, *target), "test", "10.200.5.64:9185", 9185)) == codes


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("dial tcp 10.200.5.64:9185: i/o timeout", "Let TCP port 9185 pass"),
        ("x509: certificate signed by unknown authority", "Exchange the authorities"),
        ("credentials: cannot check peer: missing selected ALPN property", "Upgrade both to one minor version"),
        ("something else", "See the log of virt-synchronization-controller"),
    ],
)
def test_what_a_side_says_is_the_reason_and_tells_the_way_out(message: str, remedy: str) -> None:
    source, target = end(ONE, "Running", "Synchronizing"), end(OTHER, "WaitingForSync", "WaitingForSync")
    for each, said in ((source, message), (target, "waiting for incoming synchronization, unable to proceed")):
        condition = {"type": "DecentralizedLiveMigrationFailure", "status": "True", "message": said}
        (each.instance or {})["status"]["conditions"] = [condition]

    (finding,) = judge(crossing.WAY, Leg(source, target, "test", "10.200.5.64:9185", 9185)).findings

    assert (finding.code, finding.stack, finding.peer) == ("crossing-waits", "one", "other")
    assert message in finding.rule
    assert finding.remedy.startswith(remedy)
