"""The attachment by a ClusterUserDefinedNetwork of OVN-Kubernetes, of the localnet topology.

Source: the API's own definition (k8s.ovn.org/v1), and ovn-kubernetes, go-controller/pkg/clustermanager/
userdefinednetwork: its controller writes a NetworkAttachmentDefinition of the network's name into each namespace that
is selected.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from config.address_share import parts_of
from config.attachment.content import fingerprint_of_all
from config.attachment.localnet import Localnet, OvnLocalnet
from config.finding import Finding
from config.types.addressing import Subnet
from config.types.label_selector import matches
from config.types.model import Model
from config.types.names import CniName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from config.address_share import Part
    from config.segment import Segment
    from config.slice import Slice
    from config.types.addressing import Network

MOST_EXCLUDES = 25
"""Blocks that `excludeSubnets` of a ClusterUserDefinedNetwork may have, those of both families together."""


class _Choice(NamedTuple):
    """A slice that might do: how many addresses its ends have moved by, and the blocks that it leaves to exclude."""

    moved: int
    blocks: int
    slice: Slice


class MatchExpression(Model):
    """A condition on a label of namespaces, as Kubernetes has them."""

    key: str = Field(min_length=1)
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What must hold of it."""
    values: tuple[str, ...] = ()
    """The values that In and NotIn compare with."""

    def rules(self) -> Iterator[Finding]:
        """In and NotIn take values, the others none (Kubernetes' own rule)."""
        if (self.operator in {"In", "NotIn"}) is not bool(self.values):
            takes = "needs values" if not self.values else "takes no values"
            yield Finding("values", None, f"{self.operator} {takes}", "Correct one of both", code="selector-values")


class NamespaceSelector(Model):
    """Which namespaces get the attachment; one that says nothing selects all."""

    match_labels: dict[str, str] | None = None
    """Labels that a namespace has to have."""
    match_expressions: tuple[MatchExpression, ...] = ()
    """Conditions that have to hold besides."""

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a namespace with these labels gets the attachment."""
        return matches(self.written(), labels)

    def written(self) -> dict[str, Any]:
        """Return it as the API has it."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")


class ClusterUserDefinedNetwork(OvnLocalnet):
    """A localnet of OVN as a ClusterUserDefinedNetwork, whose controller makes the NetworkAttachmentDefinition.

    Nothing of its network can be changed, slice included: with `rollout: rename`, a change is a network of another
    name, which needs a slice that shares no address with the old one's, as OVN keeps its books by network.
    """

    refusals: ClassVar[tuple[Finding, ...]] = (
        *Localnet.refusals,
        *(
            Finding(
                key,
                None,
                "is the controller's own: it writes the CNI configuration of a ClusterUserDefinedNetwork",
                "Remove it",
                code="cudn-cni",
            )
            for key in ("cniName", "cniVersion")
        ),
    )

    type: Literal["clusterUserDefinedNetwork"]
    physical_network_name: CniName
    """The localnet of the nodes' bridge mapping."""
    rollout: Literal["in-place", "rename"] = "rename"
    """What a change of the network does: make a new one, which the operator rolls out; or, with the name as it is
    written, nothing: it is refused."""
    namespace_selector: NamespaceSelector | None = None
    """The namespaces that get the attachment; KubeVirt's alone when left out."""
    exclude_subnets: tuple[Subnet, ...] | None = Field(default=None, min_length=1)
    """The blocks that are not given, as a network that is adopted has them; they must leave what the slice says. Left
    out, they are the fewest."""

    @property
    def physical_network(self) -> str:
        """The localnet of the nodes' bridge mapping that the port is connected to."""
        return self.physical_network_name

    def excluded(self, segment: Segment, slices: Sequence[Slice]) -> list[Network]:
        """Return what OVN must not give, as the network has it."""
        return self.ipam.excluded(segment, slices) if self.exclude_subnets is None else [*self.exclude_subnets]

    def user_network(self, segment: Segment, slices: Sequence[Slice], *, namespace: str) -> dict[str, Any]:
        """Return the spec of the ClusterUserDefinedNetwork that gives the attachment to `namespace`."""
        selector = self.namespace_selector
        return {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
            if selector is None
            else selector.written(),
            "network": self._content(segment, slices),
        }

    def cni_config(self, segment: Segment, slices: Sequence[Slice], *, namespace: str) -> dict[str, Any]:
        """Return the CNI configuration that the controller writes."""
        name, localnet = self.network(segment, slices), self._content(segment, slices)["localnet"]
        config = {
            "cniVersion": "1.0.0",
            "type": "ovn-k8s-cni-overlay",
            "name": f"cluster.udn.{name}",
            "netAttachDefName": f"{namespace}/{name}",
            "topology": "localnet",
            "role": "secondary",
            "physicalNetworkName": localnet["physicalNetworkName"],
            "subnets": ",".join(localnet["subnets"]),
        }
        if "excludeSubnets" in localnet:
            config["excludeSubnets"] = ",".join(localnet["excludeSubnets"])
        if "vlan" in localnet:
            config["vlanID"] = localnet["vlan"]["access"]["id"]
        return config | ({"mtu": localnet["mtu"]} if "mtu" in localnet else {})

    def _suffix(self, segment: Segment, slices: Sequence[Slice]) -> str:
        # All of it: not even the addresses that it gives can be changed.
        return "" if self.rollout == "in-place" else f"-{fingerprint_of_all(self._content(segment, slices))}"

    def _content(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        localnet: dict[str, Any] = {
            "role": "Secondary",
            "physicalNetworkName": self.physical_network_name,
            "subnets": [str(subnet) for subnet in segment.subnets],
        }
        if excluded := self.excluded(segment, slices):
            localnet["excludeSubnets"] = [str(block) for block in excluded]
        if vlan := self.tag(segment):
            localnet["vlan"] = {"mode": "Access", "access": {"id": vlan}}
        if mtu := self.mtu or segment.mtu:
            localnet["mtu"] = mtu
        return {"topology": "Localnet", "localnet": localnet}

    def fitting(self, segment: Segment, slices: Sequence[Slice]) -> tuple[Slice, ...] | None:
        """Return the nearest slices inside these ones that leave at most 25 blocks to exclude; None if there are none.

        Inside, since what lies around a slice may be another cluster's. Both ends move by as few addresses in all as
        possible.
        """
        by_family = {slice_.family: slice_ for slice_ in slices}
        parts = [part for part in parts_of(segment, slices) if part.is_slice]
        fixed = self.ipam.excluded(segment, slices)
        spare = MOST_EXCLUDES - sum(1 for block in fixed if block.version not in by_family)
        choices = [list(self._choices(part, segment, by_family[part.subnet.version])) for part in parts]
        fit = (each for each in itertools.product(*choices) if sum(choice.blocks for choice in each) <= spare)
        best = min(fit, key=lambda each: sum(choice.moved for choice in each), default=None)
        if best is None:
            return None
        chosen = {choice.slice.family: choice.slice for choice in best}
        return tuple(chosen[slice_.family] for slice_ in slices)

    def _choices(self, part: Part, segment: Segment, slice_: Slice) -> Iterator[_Choice]:
        """Yield, for each number of blocks, the slice inside `slice_` that moves the least; fewer blocks move more."""
        first, last = int(slice_.range_start), int(slice_.range_end)
        base = int(part.subnet.network_address)
        bits = range(part.subnet.max_prefixlen - part.subnet.prefixlen + 1)
        # What lies before a start is the fewer blocks, the rounder the number is; the same for what lies behind.
        starts = sorted({base + (-((base - first) >> bit) << bit) for bit in bits})
        ends = sorted({base + (((last + 1 - base) >> bit) << bit) - 1 for bit in bits}, reverse=True)
        found = []
        for start, end in itertools.product(starts, ends):
            if first <= start <= end <= last:
                inner = slice_.model_copy(
                    update={
                        "range_start": slice_.range_start + (start - first),
                        "range_end": slice_.range_start + (end - first),
                    }
                )
                blocks = len([b for b in self.ipam.excluded(segment, (inner,)) if b.version == part.subnet.version])
                found.append(_Choice(start - first + last - end, blocks, inner))
        fewest = MOST_EXCLUDES + 1
        for choice in sorted(found, key=lambda each: (each.moved, each.blocks)):
            if choice.blocks < fewest:
                fewest = choice.blocks
                yield choice
