"""Findings in order: none is lost, how they came is no matter, and what follows stands under its cause."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cluster import Cluster
from config.finding import Finding, Subject
from mignet.checks import drift_rules, peers, preflight, verify
from mignet.checks.diagnosis.consequences import FOLLOWS, FORBIDDEN, NO_ACCESS, depth, reach
from mignet.checks.diagnosis.folding import Cause, fold
from mignet.checks.diagnosis.next_steps import next_step

CODES = sorted(
    {
        *FOLLOWS,
        *NO_ACCESS,
        *FORBIDDEN,
        *preflight.CODES,
        *verify.CODES,
        *drift_rules.CODES,
        *peers.CODES,
        "unknown-code",
    }
)


def finding(code: str, severity: str = "error", *nodes: str, stack: str = "dev", name: str = "x") -> Finding:
    kind = "Node" if nodes else "HyperConverged"
    key = Subject(f"{kind} {name} {' '.join(nodes)}", kind=kind, name=name, nodes=nodes)
    return Finding(key, None, "is wrong", "", code=code, severity=severity, stack=stack)  # type: ignore[arg-type]


FINDINGS = st.lists(
    st.builds(
        lambda code, severity, nodes, stack, name, peer, waived: Finding(
            Subject(f"Node {name} {' '.join(nodes)}", kind="Node", name=name, nodes=nodes),
            None,
            "is wrong",
            "",
            code=code,
            severity=severity,
            stack=stack,
            peer=peer,
            waived=waived,
        ),
        st.sampled_from(CODES),
        st.sampled_from(["error", "warning", "info"]),
        st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        st.sampled_from(["dev", "prod"]),
        st.sampled_from("xy"),
        st.sampled_from([None, "prod"]),
        st.sampled_from([None, "known"]),
    ),
    max_size=20,
)
REFUSING = st.sets(st.sampled_from(sorted(preflight.CODES)))


def listed(causes: tuple[Cause, ...]) -> list[Finding]:
    return [each for cause in causes for each in (*cause.findings, *cause.explains)]


@given(FINDINGS, REFUSING, st.randoms())
def test_no_finding_is_lost_and_their_order_is_no_matter(
    findings: list[Finding], refusing: set[str], randomness: random.Random
) -> None:
    causes = fold(findings, refusing=refusing)
    assert sorted(map(repr, listed(causes))) == sorted(map(repr, findings))
    mixed = randomness.sample(findings, len(findings))
    assert list(map(repr, fold(mixed, refusing=refusing))) == list(map(repr, causes))
    assert [each.blocks for each in causes if each.code != "stack-not-applied"] == sorted(
        (each.blocks for each in causes if each.code != "stack-not-applied"), reverse=True
    )


@pytest.mark.parametrize("code", FOLLOWS)
def test_nothing_explains_itself(code: str) -> None:
    assert code not in reach(code)
    assert all(depth(each) > depth(code) for each in FOLLOWS[code])


def test_what_follows_through_others_is_under_the_first_cause() -> None:
    chain = ["whereabouts-missing", "pod-no-network", "rollout-unfinished", "operator-degraded"]
    (cause,) = fold(map(finding, chain))
    assert cause.code == "whereabouts-missing"
    assert {each.code for each in cause.explains} == set(chain[1:])


def test_a_node_explains_what_is_on_it_and_nothing_elsewhere() -> None:
    nic = finding("nic-missing", "error", "a")
    here, there = finding("pod-no-network", "error", "a", name="p"), finding("pod-no-network", "error", "b", name="q")
    first, second = fold([there, here, nic])
    assert (first.findings, first.explains) == ((nic,), (here,))
    assert second.findings == (there,)


def test_another_cluster_explains_nothing_and_a_cluster_out_of_reach_all_of_its_own() -> None:
    dark, own, other = (
        finding("cluster-unreachable"),
        finding("unknown-code"),
        finding("unknown-code", stack="prod"),
    )
    causes = {cause.findings[0].stack: cause for cause in fold([dark, own, other])}
    assert causes["dev"].explains == (own,)
    assert causes["prod"].explains == ()


def test_why_up_refuses_is_why_a_stack_is_not_applied_and_a_warning_only_comes_before() -> None:
    unapplied, wrong = finding("stack-not-applied"), finding("range-pod-network")
    assert [each.code for each in fold([unapplied, wrong], refusing={"range-pod-network"})] == ["range-pod-network"]
    warned = fold([unapplied, finding("handlers-none", "warning")], refusing={"handlers-none"})
    assert [each.code for each in warned] == ["handlers-none", "stack-not-applied"]


def test_what_is_the_same_on_many_nodes_is_one_cause() -> None:
    (cause,) = fold(finding("nic-missing", "error", node, name=node) for node in "abc")
    assert "and 2 more" in cause.finding.sentence


OC = "oc --kubeconfig ~/k --context 'my dev'"


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (finding("stack-not-applied"), "mignet up dev"),
        (
            finding("nic-missing", "error", "w 1"),
            f"{OC} get nodenetworkstate 'w 1' -o yaml",
        ),
        (finding("cluster-unreachable"), f"{OC} get --raw /readyz"),
        (
            finding("unknown-code", name="cnv/h"),
            f"{OC} -n cnv get hyperconverged h -o yaml",
        ),
        (Finding("slice", None, "is wrong", "", code="slice-order", stack="dev"), "mignet help slice-order"),
    ],
)
def test_the_next_command_has_the_real_names(found: Finding, command: str) -> None:
    assert next_step(found, Cluster(context="my dev", kubeconfig="~/k")) == command
