"""A MultiNetworkPolicy that lets migrations through where all else on the network is denied.

Source: k8snetworkplumbingwg/multi-networkpolicy (v1beta1). Addresses are written as blocks, which each controller
understands; selectors of pods would find none of another cluster.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from mignet.kube.kinds import MULTI_NETWORK_POLICY
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SYNC
from mignet.kube.network.pod_policies import FOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.stack import Stack
    from config.types.addressing import Network
    from mignet.exports.firewall import Opening

NAME = "migration-network"


def policy(stack: Stack, found: Iterable[Opening]) -> dict[str, Any]:
    """Return the policy for the pods of a stack's cluster, of what must be open between it and the others."""
    tcp = [each for each in found if each.sends is not None and each.protocol == "tcp"]
    namespace = stack.cluster.namespace
    return {
        "apiVersion": MULTI_NETWORK_POLICY.api_version,
        "kind": MULTI_NETWORK_POLICY.kind,
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "annotations": {FOR: f"{namespace}/{stack.network}"},
        },
        "spec": {
            "podSelector": {"matchExpressions": [{"key": LABEL, "operator": "In", "values": [HANDLER, SYNC]}]},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": _rules("from", ((each.ports, each.sends) for each in tcp if each.target == stack.name)),
            "egress": _rules("to", ((each.ports, each.takes) for each in tcp if each.source == stack.name)),
        },
    }


def _rules(peers: str, wanted: Iterable[tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Return a rule for each range of ports, with every address block that it is for."""
    blocks: dict[tuple[int, int], list[Network]] = {}
    for ports, span in wanted:
        blocks.setdefault(ports, []).extend(span.cidrs())
    return [
        {
            "ports": [{"protocol": "TCP", "port": first} | ({"endPort": last} if last != first else {})],
            peers: [{"ipBlock": {"cidr": str(each)}} for each in _fewest(listed)],
        }
        for (first, last), listed in blocks.items()
    ]


def _fewest(blocks: Iterable[Network]) -> Iterator[Network]:
    """Yield the same addresses in the fewest blocks, those of IPv4 first."""
    listed = list(blocks)
    yield from ipaddress.collapse_addresses(each for each in listed if isinstance(each, ipaddress.IPv4Network))
    yield from ipaddress.collapse_addresses(each for each in listed if isinstance(each, ipaddress.IPv6Network))
