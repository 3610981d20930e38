"""What the documents say of Pulumi and of switches, where they said too much before."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from support import ROOT

from config.uplink import Bond

DOCS = ROOT / "docs"
NEEDS = {
    "LACP": {"802.3ad"},
    "static link aggregation": {"balance-rr", "balance-xor", "broadcast"},
    "nothing": {"active-backup", "balance-tlb", "balance-alb"},
}
"""Source: the kernel's Documentation/networking/bonding.rst, \"Switch Configuration\"."""


@pytest.mark.parametrize("path", ["configuration.md", "uplinks.md"])
def test_what_each_bond_mode_needs_of_the_switch_is_told(path: str) -> None:
    assert set().union(*NEEDS.values()) == set(get_args(Bond.model_fields["mode"].annotation))
    text = " ".join((DOCS / path).read_text().split()).replace("`", "")
    for need, modes in NEEDS.items():
        clauses = [each for each in re.split(r"[;.:](?= )", text) if need in each]
        assert any(all(mode in each for mode in modes) for each in clauses), need
        others = set().union(*NEEDS.values()) - modes
        assert not any(mode in each for each in clauses if modes & set(re.findall(r"[\w.-]+", each)) for mode in others)


def test_the_guide_to_a_lost_cluster_says_how_pulumi_forgets_it() -> None:
    text = (DOCS / "how-to" / "when-one-cluster-is-lost.md").read_text()
    assert "PULUMI_K8S_DELETE_UNREACHABLE=true" in text
    assert "this one command only" in text


def test_what_either_engine_sees_of_a_field_that_left_the_stack_is_told() -> None:
    text = (DOCS / "engines.md").read_text()
    assert "neither\nengine sees a change in what the other has made, as long as the stack declares it" in text
    assert "a field that only the other engine has set | seen | not seen" in text
