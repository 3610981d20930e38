"""The books of OVN-Kubernetes: which addresses of a network pods have, network by network.

Two networks of one subnet know nothing of each other. Source: ovn-kubernetes, go-controller (pkg/allocator/ip: an
allocator for each network).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment.localnet import OvnLocalnet
from config.finding import Finding, few
from config.fleet import handed_out
from config.types.json_text import parse_json
from mignet.kube.kubevirt.pods import asks_for
from mignet.kube.network.cni_configuration import OVN, PATH, ovn_parts
from mignet.kube.objects import full_name, name_of, value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.stack import Stack
    from config.types.addressing import AddressRange
    from mignet.kube.kinds import Object


def given_twice(
    stack: Stack, attachments: Iterable[Object], *, networks: Iterable[str], named: str | None
) -> Iterator[Finding]:
    """Yield each other network of OVN that pods which migrate are on, and that gives addresses of the stack's, too.

    `networks` is what these pods ask multus for, `named` the network that the HyperConverged names: its pods are on it,
    or will be. While they move to the stack's network, both would give the same addresses.
    """
    if not isinstance(stack.attachment, OvnLocalnet):
        return
    mine, asked = tuple(handed_out(stack)), tuple(networks)
    namespace = stack.cluster.namespace
    for live in sorted(attachments, key=full_name):
        name = live["metadata"]["name"]
        if live["metadata"]["namespace"] != namespace or name == stack.network:
            continue
        if name != named and not any(asks_for(each, name, namespace) for each in asked):
            continue
        common = [both for given in _gives(live) for own in mine if (both := given.clipped(own))]
        if common:
            key = "slice" if stack.slices else "segment.subnet"
            yield Finding(
                name_of(live),
                None,
                f"gives {few(common)} to pods that migrate, and {stack.network} would give them as well: OVN keeps its"
                " books by network, so that addresses would be given twice until the last pod has moved",
                f"Change {key} together with the attachment, to a part that shares no address with the old one",
                code="ovn-books-shared",
                stack=stack.name,
            )


def _gives(live: Object) -> list[AddressRange]:
    try:
        config = parse_json(str(value_at(live, PATH) or "{}"))
    except ValueError:
        return []
    if not isinstance(config, dict) or config.get("type") != OVN or config.get("topology") != "localnet":
        return []
    return [each for _, free in ovn_parts(config) or () for each in free]
