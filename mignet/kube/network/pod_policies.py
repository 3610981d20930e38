"""MultiNetworkPolicies: what they let a pod send and take on a secondary network. Pure, given the objects.

Source: k8snetworkplumbingwg/multi-networkpolicy (v1beta1, which has the words of Kubernetes' NetworkPolicy): a pod that
a policy selects for a direction may do there what one of its policies allows, and nothing else; one that none selects
may do anything. NetworkPolicies and AdminNetworkPolicies are about the pod network alone.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from config.types.addressing import AddressRange
from config.types.label_selector import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mignet.kube.kinds import Object

Direction = Literal["Ingress", "Egress"]
Ports = tuple[int, int]
"""The first and the last one, both inclusive."""

FOR = "k8s.v1.cni.cncf.io/policy-for"
"""The annotation that names the attachments that a policy is about."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that each namespace has its name in."""
_PEERS: Mapping[Direction, str] = {"Ingress": "from", "Egress": "to"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Pods on the network: the labels that they have, in which namespace, and the addresses that they may have."""

    namespace: str
    labels: Mapping[str, str]
    spans: Sequence[AddressRange]


def about(policies: Iterable[Object], network: str, pods: Endpoint, direction: Direction) -> list[Object]:
    """Return those that select these pods, on an attachment of their namespace, for a direction."""
    return [each for each in policies if _selects(each, network, pods) and direction in _types(each["spec"])]


def cut(
    policies: Sequence[Object], direction: Direction, ports: Ports, *, other: Endpoint, same_cluster: bool
) -> list[AddressRange]:
    """Return the addresses of the other end with which policies, which select this one, allow no TCP on all the ports.

    A selector of pods or namespaces finds those of this cluster only. Where a label is not known that it asks for, it
    is taken to match.
    """
    rules = [rule for each in policies for rule in each["spec"].get(direction.lower()) or ()]
    edges = {ports[0], ports[1] + 1}
    for rule in rules:
        for first, last in _ports(rule):
            edges |= {edge for edge in (first, last + 1) if ports[0] < edge <= ports[1]}
    left: list[AddressRange] = []
    for first, following in pairwise(sorted(edges)):
        open_ = [rule for rule in rules if any(low <= first and following - 1 <= high for low, high in _ports(rule))]
        allowed = [span for rule in open_ for span in _allowed(rule.get(_PEERS[direction]), other, same=same_cluster)]
        left += [gap for span in other.spans for gap in span.without(allowed) if gap not in left]
    return left


def _types(spec: Mapping[str, Any]) -> Sequence[str]:
    """Return the directions; where none are named, as Kubernetes has it."""
    return spec.get("policyTypes") or ("Ingress", *(("Egress",) if spec.get("egress") else ()))


def _selects(policy: Object, network: str, pods: Endpoint) -> bool:
    namespace = policy["metadata"]["namespace"]
    named = str((policy["metadata"].get("annotations") or {}).get(FOR, "")).split(",")
    of = {each if "/" in each else f"{namespace}/{each}" for each in map(str.strip, named) if each}
    return (
        namespace == pods.namespace
        and f"{pods.namespace}/{network}" in of
        and matches(policy["spec"].get("podSelector") or {}, pods.labels)
    )


def _ports(rule: Mapping[str, Any]) -> Iterator[Ports]:
    """Yield the TCP ports of a rule; those by name are none of KubeVirt's."""
    listed = rule.get("ports")
    if not listed:
        yield (0, 65535)
    for each in listed or ():
        port = each.get("port")
        if each.get("protocol", "TCP") != "TCP" or isinstance(port, str):
            continue
        yield (0, 65535) if port is None else (port, each.get("endPort") or port)


def _allowed(peers: Sequence[Mapping[str, Any]] | None, other: Endpoint, *, same: bool) -> Iterator[AddressRange]:
    """Yield the addresses that one of the peers of a rule lets through."""
    if not peers:
        yield from other.spans
    for peer in peers or ():
        if listed := peer.get("ipBlock"):
            block = AddressRange.all_of(ipaddress.ip_network(listed["cidr"], strict=False))
            excepted = (ipaddress.ip_network(each, strict=False) for each in listed.get("except") or ())
            yield from block.without(map(AddressRange.all_of, excepted))
        elif same and _is_peer(peer, other):
            yield from other.spans


def _is_peer(peer: Mapping[str, Any], other: Endpoint) -> bool:
    """Tell whether selectors find these pods, which are in the policy's own namespace."""
    pods, namespaces = peer.get("podSelector"), peer.get("namespaceSelector")
    if pods is None and namespaces is None:
        return False
    namespace = {NAMESPACE_NAME: other.namespace}
    return matches(pods or {}, other.labels, unknown=True) and matches(namespaces or {}, namespace, unknown=True)
