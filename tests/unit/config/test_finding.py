"""Findings as text: many that say the same are one line, and values stand there as in YAML."""

from __future__ import annotations

import copy
import doctest
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import finding
from config.finding import Finding, Subject, folded, is_not, shown


def of_pod(number: int, **changes: object) -> Finding:
    pod = f"virt-handler-{number:05x}"
    said = f"gets no network: k8s_{pod}_openshift-cnv_0a1b2c3d-0000-4000-8000-{number:012x}_0({number:064x}): no link"
    values = {
        "severity": "error",
        "code": "pod-no-network",
        "stack": "dev",
        "key": Subject(
            f"Pod openshift-cnv/{pod} on node worker-{number}",
            kind="Pod",
            name=f"openshift-cnv/{pod}",
            nodes=(f"worker-{number}",),
        ),
        "value": None,
        "rule": said,
        "remedy": f"oc -n openshift-cnv delete pod {pod}",
    }
    return Finding(**values | changes)  # type: ignore[arg-type]


def test_what_is_said_of_1200_pods_is_one_line_that_names_a_few() -> None:
    (one,) = folded(of_pod(number) for number in range(1200))
    assert one.key == (
        "Pod openshift-cnv/virt-handler-00000 on node worker-0 and 1199 more (on worker-1, worker-2, worker-3, "
        "worker-4, …)"
    )
    assert len(str(one)) < 500


@given(st.integers(1, 30))
def test_none_is_lost_and_what_differs_stays_apart(count: int) -> None:
    different = [
        of_pod(0, code="pod-not-starting"),
        of_pod(0, stack="prod"),
        of_pod(0, severity="warning"),
        of_pod(0, rule="gets no network: another reason"),
        of_pod(0, value=1400),
        of_pod(0, waived="known"),
        of_pod(0, key="HyperConverged openshift-cnv/x"),
        of_pod(0, key="HyperConverged openshift-cnv/x"),
    ]
    found = folded([*(of_pod(number) for number in range(count)), *different])
    assert len(found) == 1 + len(different)
    assert (f"and {count - 1} more" in found[0].key) == (count > 1)


def test_addresses_of_each_do_not_keep_them_apart() -> None:
    found = folded(of_pod(number, value=f"10.9.0.{number}", rule="on migration0 is outside") for number in range(3))
    assert [each.key.partition(" and ")[2] for each in found] == ["2 more (on worker-1, worker-2)"]


def test_nodes_are_put_together_as_pods_are() -> None:
    nodes = [Subject(f"Node worker-{n}", kind="Node", name=f"worker-{n}", nodes=(f"worker-{n}",)) for n in range(2)]
    (one,) = folded(of_pod(0, key=node, rule="takes machines", remedy="See why") for node in nodes)
    assert one.key == "Node worker-0 and 1 more (worker-1)"


def test_one_interface_on_two_nodes_is_one_line_and_another_interface_is_another() -> None:
    def nic(node: str, name: str) -> Finding:
        return of_pod(
            0, key=Subject(f"Node {node} NIC {name}", kind="NIC", nodes=(node,), interface=name), rule="is down"
        )

    found = folded([nic("a", "eth1"), nic("b", "eth1"), nic("c", "eth2")])
    assert [each.key for each in found] == ["Node a NIC eth1 and 1 more (b)", "Node c NIC eth2"]


def test_a_policy_that_fails_on_many_nodes_is_one_line() -> None:
    kind = "NodeNetworkConfigurationPolicy"
    keys = [Subject(f"{kind} mig on node w-{n}", kind=kind, name="mig", nodes=(f"w-{n}",)) for n in range(9)]
    (one,) = folded(of_pod(0, key=key, rule=f"fails: no eth1 on w-{n}") for n, key in enumerate(keys))
    assert one.key == "NodeNetworkConfigurationPolicy mig on node w-0 and 8 more (on w-1, w-2, w-3, w-4, …)"


@pytest.mark.parametrize(
    ("live", "wanted", "words"),
    [
        ("5", 5, "is '5' (text), not 5 (number)"),
        (True, "true", "is true (true or false), not 'true' (text)"),
        (99, 800, "is 99, not 800"),
        (None, False, "is not set, not false"),
        (True, None, "is true, not unset"),
        (["a"], "a", "is [\"a\"] (list), not 'a' (text)"),
    ],
)
def test_what_differs_is_said_also_where_it_looks_the_same(live: object, wanted: object, words: str) -> None:
    assert is_not(live, wanted) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        ({"secure": "v1:abc:def"}, "{secure: …}"),
        (
            {"context": {"secure": "v1:abc:def"}, "nodes": [{"secure": "x"}]},
            '{"context": {secure: …}, "nodes": [{secure: …}]}',
        ),
        ("5", '"5"'),
        ("eth1", "eth1"),
    ],
)
def test_a_value_is_written_as_in_yaml_and_a_secret_without_what_it_holds(value: object, text: str) -> None:
    assert shown(value) == text


def test_the_examples_hold() -> None:
    assert doctest.testmod(finding).failed == 0


def test_a_subject_is_its_words_and_keeps_its_parts() -> None:
    subject = Subject("Node a NIC eth1", kind="NIC", name="eth1", nodes=("a",), interface="eth1")
    assert subject == "Node a NIC eth1"
    for each in (subject, copy.deepcopy(subject), pickle.loads(pickle.dumps(subject))):
        assert (each.kind, each.name, each.nodes, each.interface) == ("NIC", "eth1", ("a",), "eth1")
    assert of_pod(0, key="slice.rangeEnd").subject.kind == ""
