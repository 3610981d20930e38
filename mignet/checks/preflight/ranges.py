"""Whether the segment's subnets stay clear of the networks that the cluster has already."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from config.attachment.ipam import Static, Whereabouts
from config.finding import Finding, few, rule
from config.fleet import handed_out
from mignet.kube.kinds import NODE, OPENSHIFT_NETWORK, OPENSHIFT_OPERATOR_NETWORK, Object
from mignet.kube.network.node_network import Node, addresses_of, machine_networks
from mignet.kube.snapshot import where_served

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.address_share import Part
    from config.finding import Severity
    from config.stack import Stack
    from config.types.addressing import Address, Network
    from mignet.checks.preflight.seen import Seen

_CLUSTER = "cluster"
_OVN = "OVNKubernetes"
_OVN_SETTINGS = {
    "ipv4.internalJoinSubnet": "100.64.0.0/16",
    "ipv4.internalTransitSwitchSubnet": "100.88.0.0/16",
    "gatewayConfig.ipv4.internalMasqueradeSubnet": "169.254.0.0/17",
}
"""OVN-Kubernetes's own networks: the setting of the network operator, and its default."""


def overlap(one: Network, other: Network) -> bool:
    """Tell whether two networks share an address."""
    return one.version == other.version and one.overlaps(other)


@rule("range-pod-network")
def range_pod_network(seen: Seen) -> Iterator[Finding]:
    """Pods of the cluster have these addresses: answers to a migration would go there."""
    status = _openshift(seen).get("status", {})
    found = [each["cidr"] for each in status.get("clusterNetwork", ())]
    yield from _overlapping(seen, "range-pod-network", "the pods' network", _parsed(found))


@rule("range-service-network")
def range_service_network(seen: Seen) -> Iterator[Finding]:
    """Services of the cluster have these addresses, and each node rewrites what is sent to them."""
    found = _parsed(_openshift(seen).get("status", {}).get("serviceNetwork", ()))
    yield from _overlapping(seen, "range-service-network", "the services' network", found)


@rule("range-ovn-internal")
def range_ovn_internal(seen: Seen) -> Iterator[Finding]:
    """OVN-Kubernetes uses networks of its own inside each node, and nothing sent to them leaves it."""
    if _openshift(seen).get("status", {}).get("networkType") != _OVN:
        return
    settings = _ovn_settings(seen)
    found = []
    for path, default in _OVN_SETTINGS.items():
        value: object = settings
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        found.append(value if isinstance(value, str) else default)
    yield from _overlapping(seen, "range-ovn-internal", "OVN's internal network", _parsed(found))


def _openshift(seen: Seen) -> Object:
    # Kubernetes without OpenShift says nowhere what its networks are.
    return where_served(lambda: seen.one(OPENSHIFT_NETWORK, _CLUSTER), None) or {}


def _ovn_settings(seen: Seen) -> dict[str, object]:
    found = where_served(lambda: seen.one(OPENSHIFT_OPERATOR_NETWORK, _CLUSTER), None) or {}
    settings: dict[str, object] = found.get("spec", {}).get("defaultNetwork", {}).get("ovnKubernetesConfig", {})
    return settings


@rule("range-machine-network")
def range_machine_network(seen: Seen) -> Iterator[Finding]:
    """The nodes' own network: what virt-handler answers to a node leaves through migration0, and may not arrive."""
    known = where_served(lambda: machine_networks(seen.nodes), [])
    addresses = [address for node in seen.all(NODE) for address in Node.read(node, None).addresses]
    # Without nmstate, the addresses alone tell.
    alone = [ipaddress.ip_network(each) for each in addresses if not any(each in network for network in known)]
    yield from _overlapping(
        seen,
        "range-machine-network",
        "the machine network",
        [*known, *alone],
        severity="warning",
        so=": virt-handler's answers to the nodes, such as those to probes, leave through migration0",
        remedy="Choose a subnet that no network of this cluster uses, or waive this where migration0 reaches the nodes",
    )


@rule("range-node-address")
def range_node_address(seen: Seen) -> Iterator[Finding]:
    """An address that a node has is handed out to a pod as well, unless it is excluded or reserved.

    Nodes may have other addresses of the segment's subnet: virt-handler has a network namespace of its own.
    """
    stack = seen.stack
    given, taken = tuple(handed_out(stack)), _node_addresses(seen)
    if isinstance(ipam := stack.attachment.ipam, Static):
        for number, each in enumerate(ipam.addresses):
            if (address := each.address.ip) in taken:
                key, is_had = f"attachment.ipam.addresses[{number}].address", f"is what {taken[address]} has"
                remedy = "Give the pods another address"
                yield Finding(key, str(each.address), is_had, remedy)
        return
    for part in stack.parts:
        twice = [
            (address, where)
            for address, where in taken.items()
            if address in part.span and any(address in each for each in given)
        ]
        if twice:
            address, where = twice[0]
            more = f", and {len(twice) - 1} more of nodes: {few(each for each, _ in twice[1:])}" if twice[1:] else ""
            yield Finding(
                part.key,
                str(part.span),
                f"holds {address}, which {where} has{more}",
                _remedy(stack, part, [each for each, _ in twice]),
            )


def _node_addresses(seen: Seen) -> dict[Address, str]:
    """Return the addresses of all nodes, in order; where nmstate is silent, those that Kubernetes knows."""
    found: dict[Address, str] = {}
    for node in seen.nodes:
        for address in node.addresses:
            found[address] = f"node {node.name}"
        for name, interface in node.interfaces.items():
            for each in addresses_of(interface):
                if not each.is_loopback:
                    found[each.ip] = f"{name} of node {node.name}"
    return dict(sorted(found.items(), key=lambda item: (item[0].version, int(item[0]))))


def _remedy(stack: Stack, part: Part, addresses: list[Address]) -> str:
    if isinstance(stack.attachment.ipam, Whereabouts):
        blocks = few(f"{each}/{each.max_prefixlen}" for each in addresses)
        return f"Add {blocks} to attachment.ipam.exclude, or move the slice"
    return "Move the slice" if part.is_slice else f"Add {few(addresses)} to segment.reserved, or use a slice"


def _overlapping(
    seen: Seen,
    code: str,
    what: str,
    networks: Iterable[Network],
    *,
    severity: Severity = "error",
    so: str = "",
    remedy: str = "Choose a subnet that no network of this cluster uses",
) -> Iterator[Finding]:
    networks = [each for each in networks if not _is_declared(seen, each)]
    segment = seen.stack.segment
    told: set[Network] = set()
    places = [(f"{segment.key}.subnet", subnet) for subnet in segment.subnets]
    # All that pods send to a supernet leaves through migration0.
    places += [("segment.supernet", supernet) for supernet in segment.supernets]
    for key, subnet in places:
        if met := [each for each in networks if each not in told and overlap(subnet, each)]:
            told.update(met)
            yield Finding(
                key,
                str(subnet),
                f"overlaps {what} {few(met)}{so}",
                remedy,
                code=code,
                severity=severity,
                stack=seen.stack.name,
            )


def _is_declared(seen: Seen, network: Network) -> bool:
    """Tell whether the stack names the network among otherNetworks: then subnet-overlap has said it, or is waived."""
    declared = [each for networks in seen.stack.other_networks.values() for each in networks]
    return any(
        each.version == network.version and network.subnet_of(each)  # type: ignore[arg-type]
        for each in declared
    )


def _parsed(cidrs: Iterable[str]) -> list[Network]:
    return [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]


RULES = (
    range_pod_network,
    range_service_network,
    range_ovn_internal,
    range_machine_network,
    range_node_address,
)
