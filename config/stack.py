"""One stack: one cluster, its attachment to the segment, its slice and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from config.address_share import Part, parts_of
from config.attachment.content import canonical_json
from config.attachment.ipam import Whereabouts
from config.attachment.localnet import OvnIpam
from config.attachment.tags import attachment_tags
from config.hyperconverged import HyperConverged
from config.planning.demand import Demand, demand_of
from config.sites import SiteSegment
from config.uplink.rendering import Policy, policies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.attachment import AnyAttachment
    from config.cluster import Cluster
    from config.finding import Finding
    from config.migration_policy import MigrationPolicy
    from config.segment import Segment
    from config.slice import Slice
    from config.types.addressing import Address, AddressRange, Network
    from config.uplink import Uplink


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that one stack declares, valid in itself."""

    name: str
    segment: Segment
    cluster: Cluster
    attachment: AnyAttachment
    slices: tuple[Slice, ...] = ()
    """None, or one for each of the segment's subnets, in any order."""
    hyper_converged: HyperConverged = field(default_factory=HyperConverged)
    other_networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    uplink: Uplink | None = None
    migration_policies: tuple[MigrationPolicy, ...] = ()
    """Other limits for some virtual machines."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What `--select` and waves choose the stack by."""
    waves: tuple[tuple[str, ...], ...] = ()
    """The order in which the whole fleet is applied."""
    waivers: Mapping[str, str] = field(default_factory=dict)
    """Rules that are accepted as broken: code to reason."""
    findings: tuple[Finding, ...] = ()
    """What is worth knowing and stops nothing: warnings, and errors that are waived."""
    values: Mapping[str, object] | None = field(default=None, compare=False, repr=False)
    """What it was read from: the program is told the same, whatever the file holds by then."""

    @property
    def mtu(self) -> int | None:
        """The MTU that pods' interfaces are declared with, in bytes: the attachment's own, else the segment's."""
        return self.attachment.mtu or self.segment.mtu

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the stack has of each of the segment's subnets, in their order."""
        return parts_of(self.segment, self.slices)

    @property
    def slice(self) -> Slice | None:
        """The slice of the segment's first subnet."""
        return next((slice_ for slice_ in self.slices if slice_.family == self.segment.subnet.version), None)

    @property
    def span(self) -> AddressRange:
        """The addresses of the first subnet that belong to the stack: its slice, or all that is usable."""
        return self.spans[0]

    @property
    def spans(self) -> tuple[AddressRange, ...]:
        """The same for each address family, in the order of the segment's subnets."""
        return tuple(part.span for part in self.parts)

    @property
    def network(self) -> str:
        """The NetworkAttachmentDefinition's name as it is on the cluster, and the HyperConverged's `network`."""
        return self.attachment.network(self.segment, self.slices)

    @property
    def cni_config(self) -> dict[str, Any]:
        """The CNI configuration of the NetworkAttachmentDefinition."""
        return self.attachment.cni_config(self.segment, self.slices, namespace=self.cluster.namespace)

    @property
    def cni_json(self) -> str:
        """The same as the canonical JSON that the object holds."""
        return canonical_json(self.cni_config)

    @property
    def user_network(self) -> dict[str, Any] | None:
        """The spec of the ClusterUserDefinedNetwork, of the network's name, whose controller makes the attachment.

        None where the stack makes it itself.
        """
        return self.attachment.user_network(self.segment, self.slices, namespace=self.cluster.namespace)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The NodeNetworkConfigurationPolicies of the uplink, one for each node group."""
        if self.uplink is None:
            return ()
        return tuple(policies(self.name, self.uplink, self.segment, attachment_tags(self.attachment, self.segment)))

    @property
    def demand(self) -> int | None:
        """Addresses of each family that the cluster needs, or None when `nodes` is not given."""
        return None if self.demand_sum is None else self.demand_sum.total

    @property
    def demand_sum(self) -> Demand | None:
        """What that is the sum of: nodes, sync controllers, surge and headroom."""
        return demand_of(self.cluster)

    @property
    def capacity(self) -> int | None:
        """Pods that can get an address of each family, or None when the IPAM keeps no count of its own here."""
        ipam = self.attachment.ipam
        return ipam.hands_out(self.segment, self.slices) if isinstance(ipam, Whereabouts | OvnIpam) else None


def path_mtu(one: Stack, other: Stack) -> int | None:
    """Return the most bytes that a packet between the pods of two stacks may have: the least MTU on the path.

    None when it is not known of an end, and the segment does not say what passes between its sites.
    """
    known = [stack.mtu for stack in (one, other) if stack.mtu is not None]
    segments = (one.segment, other.segment)
    if one.segment.site != other.segment.site:
        between = [each.path_mtu for each in segments if isinstance(each, SiteSegment) and each.path_mtu is not None]
        if between:
            return min(known + between)
    return min(known) if len(known) == 2 else None


def gateways_between(one: Stack, other: Stack) -> tuple[Address, ...]:
    """Return the routers that a migration between two stacks passes, the first one's first; none within a site.

    Those of IPv4 where both have it, which is what migrations use then.
    """
    if one.segment.site == other.segment.site:
        return ()
    mine, theirs = ({route.via.version: route.via for route in each.segment.routes} for each in (one, other))
    family = min(mine.keys() & theirs.keys(), default=None)
    return () if family is None else (mine[family], theirs[family])
