"""The uplink against what is on the nodes: their addresses, interfaces that are not ours, other policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, rule
from mignet.checks.preflight.links import attached, places
from mignet.kube.network import uplink_conflicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.preflight.seen import Seen


@rule("uplink-host-address")
def uplink_host_address(seen: Seen) -> Iterator[Finding]:
    """An uplink turns IP off on what it makes: an interface that is there would lose its addresses everywhere."""
    if seen.stack.uplink:
        yield from uplink_conflicts.host_addresses(seen.stack, seen.nodes, seen.policies)


@rule("uplink-existing")
def uplink_existing(seen: Seen) -> Iterator[Finding]:
    """A policy takes over what it names, whoever made it, and destroy removes it from under its users."""
    if seen.stack.uplink:
        yield from uplink_conflicts.existing(seen.stack, seen.nodes, seen.policies)


@rule("policy-shared")
def policy_shared(seen: Seen) -> Iterator[Finding]:
    """Two policies that declare one interface on one node are applied in no order: either may hold after a reboot."""
    if seen.stack.uplink:
        yield from uplink_conflicts.shared(seen.stack, seen.nodes, seen.policies)


@rule("policies-disagree")
def policies_disagree(seen: Seen) -> Iterator[Finding]:
    """What the attachment stands on may change at a node's next reboot when two policies say two things of it."""
    if len(seen.policies) < 2:
        return
    used = []
    for place in places(seen):
        top, _ = attached(seen.stack, place)
        if top is not None:
            used.append((place.node, [layer.name for layer in place.node.below(top)]))
    yield from uplink_conflicts.disagreeing(seen.stack, used, seen.policies)


RULES = (uplink_host_address, uplink_existing, policy_shared, policies_disagree)
