"""Proposed limits: what helps, and what no limit can help."""

from __future__ import annotations

import pytest

from mignet.capacity.estimate import CLASSES, GIB, Conditions, Limits, Machine, Range, by_node, leaves, outlook
from mignet.capacity.proposal import propose

LINK = Range(0.6e9, 1.1e9)


def machines(count: int, load: str = "typical", **limits: int) -> list[Machine]:
    return [Machine(f"shop/vm-{n}", f"node-{n % 2}", 8 * GIB, CLASSES[load], Limits(**limits)) for n in range(count)]


def test_what_did_not_finish_does_under_the_proposed_limits() -> None:
    conditions = Conditions(LINK)
    (before,) = machines(1, "busy", per_gib=5)
    assert not leaves(outlook(before, conditions).worst)
    found = propose([before], conditions)
    assert found is not None
    per_gib = int(found.limits["completionTimeoutPerGiB"])
    (after,) = machines(1, "busy", per_gib=per_gib, auto_converge=bool(found.limits["allowAutoConverge"]))
    assert leaves(outlook(after, conditions).worst)


@pytest.mark.parametrize("per_node", [0, 2])
def test_a_cluster_whose_limits_let_nothing_begin_gets_none_and_a_node_s_limit_of_0_is_not_kept(per_node: int) -> None:
    assert propose(machines(2), Conditions(LINK, per_node=per_node, per_cluster=0)) is None
    found = propose(machines(2), Conditions(LINK, per_node=per_node))
    assert found is not None
    assert int(found.limits["parallelOutboundMigrationsPerNode"]) >= 1


def test_machines_that_cannot_migrate_get_none() -> None:
    assert propose([], Conditions(LINK)) is None


def test_machines_are_told_apart_by_node() -> None:
    assert {node: len(on) for node, on in by_node(machines(3)).items()} == {"node-0": 2, "node-1": 1}
