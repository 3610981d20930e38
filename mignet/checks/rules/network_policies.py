"""MultiNetworkPolicies that cut migrations: the rule that preflight and verify share, and what peers says of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment import Bridge
from config.finding import Finding, Subject, few, rule
from mignet.kube.kinds import MULTI_NETWORK_POLICY, OPENSHIFT_OPERATOR_NETWORK
from mignet.kube.kubevirt.pods import HANDLER, HANDLER_PORTS, LABEL, Role
from mignet.kube.network.pod_policies import Endpoint, about, cut
from mignet.kube.objects import full_name, value_at
from mignet.kube.snapshot import Read, where_served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.checks.rules.strangers import Look
    from mignet.kube.kinds import Object
    from mignet.kube.network.pod_policies import Direction, Ports
    from mignet.kube.snapshot import Snapshot


def filters(stack: Stack) -> bool:
    """Tell whether controllers of MultiNetworkPolicies work on its type of attachment: on a bridge none does."""
    return not isinstance(stack.attachment, Bridge)


def reads(stack: Stack) -> list[Read]:
    """Return what is read for it."""
    namespace = stack.cluster.namespace
    return [Read(MULTI_NETWORK_POLICY, namespace), Read(OPENSHIFT_OPERATOR_NETWORK, name="cluster")]


@rule("network-policy-cuts")
def network_policy_cuts(look: Look) -> Iterator[Finding]:
    """A default-deny policy on the network ends every migration at its first packet, and KubeVirt says "timed out"."""
    found = in_force(look)
    handlers = endpoint(look.stack, HANDLER)
    for direction in ("Ingress", "Egress"):
        yield from judged(look.stack, found, direction, HANDLER_PORTS, (handlers, handlers))


def in_force(look: Look | Snapshot) -> tuple[Object, ...]:
    """Return the policies in KubeVirt's namespace, where somebody enforces them. Raises UnreadError."""
    if not filters(look.stack):
        return ()
    found = where_served(lambda: look.all(MULTI_NETWORK_POLICY, look.stack.cluster.namespace), ())
    # Without OpenShift's operator, whoever installed the API installed its controller.
    networks = where_served(lambda: look.all(OPENSHIFT_OPERATOR_NETWORK), ()) if found else ()
    return found if all(value_at(each, "spec.useMultiNetworkPolicy") is True for each in networks) else ()


def endpoint(stack: Stack, role: Role) -> Endpoint:
    """Return a workload of a stack as the end of a connection over its network."""
    return Endpoint(stack.cluster.namespace, {LABEL: role}, stack.spans)


def judged(
    stack: Stack,
    policies: tuple[Object, ...],
    direction: Direction,
    ports: Ports,
    ends: tuple[Endpoint, Endpoint],
    *,
    peer: str | None = None,
) -> Iterator[Finding]:
    """Say what of connections between the two ends the policies here do not let through; the first is of this stack.

    `peer` is the other end's stack, where it is another one.
    """
    own, other = ends
    selecting = about(policies, stack.network, own, direction)
    lost = cut(selecting, direction, ports, other=other, same_cluster=peer is None) if selecting else []
    if not lost:
        return
    names = tuple(full_name(each) for each in selecting)
    tcp = str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
    way = "takes connections from" if direction == "Ingress" else "opens connections to"
    yield Finding(
        Subject(f"MultiNetworkPolicy {few(names)}", kind="MultiNetworkPolicy", name=names[0]),
        None,
        f"{'selects' if len(names) == 1 else 'select'} {own.labels[LABEL]} on {stack.network}, and"
        f" {'does' if len(names) == 1 else 'do'} not let it where it {way} {few(lost)}"
        f"{f' of {peer}' if peer else ''}, TCP {tcp}: migrations fail there",
        f"Add what mignet export multinetworkpolicy {stack.name} writes: what one policy allows, no other forbids",
        code="network-policy-cuts" if peer is None else "peer-policy-cuts",
        stack=stack.name,
        peer=peer,
    )
