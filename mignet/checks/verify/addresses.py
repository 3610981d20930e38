"""The addresses of the pods: there, of the right family, this cluster's own, and nobody else's."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from config.attachment.ipam import HostLocal, Static, Whereabouts
from config.finding import Finding, rule
from mignet.kube.kubevirt.pods import INTERFACE, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.types.addressing import Address
    from mignet.checks.verify.sight import Sight
    from mignet.kube.kubevirt.pods import Pod


_KEPT_FREE = "the gateway's, or reserved"
_GIVERS = {
    "whereabouts": "see which IPPool gives it",
    "dhcp": "correct the range of the segment's DHCP server",
    "static": "correct attachment.ipam.addresses",
    "host-local": "see which attachment it was made from",
    "ovn": "see which attachment it was made from",
}
"""Where an address comes from, by type of IPAM."""


@rule("address-missing")
def families(sight: Sight) -> Iterator[Finding]:
    """Each pod has an address of every family of the segment.

    virt-handler uses one address: the first global unicast one that the kernel lists on migration0, and it lists IPv4
    first, in whatever order multus reports them. Without any it panics.
    """
    wanted = [subnet.version for subnet in sight.stack.segment.subnets]
    for pod in sight.attached:
        has = {address.version for address in _of(pod)}
        missing = [f"IPv{version}" for version in wanted if version not in has]
        if missing:
            yield Finding(
                pod.place,
                None,
                f"has no {' and no '.join(missing)} address on {INTERFACE}",
                "See that the attachment's ipam hands out addresses of that family, then restart the pod",
            )


@rule("address-outside", "address-reserved")
def own(sight: Sight) -> Iterator[Finding]:
    """An address outside of the cluster's slice may be given by another cluster too, to another pod."""
    spans, kept_free = sight.stack.spans, sight.stack.segment.kept_free
    ipam = sight.stack.attachment.ipam
    excluded = ipam.exclude if isinstance(ipam, Whereabouts) else ()
    for pod in sight.attached:
        for address in _of(pod):
            spared = any(address in block for block in excluded)
            if spared or any(address in part for part in kept_free):
                rule_ = f"on {INTERFACE} is {'excluded by attachment.ipam' if spared else _KEPT_FREE}"
                remedy = "See which attachment gave it; restart the pod when that is fixed"
                yield Finding(pod.place, str(address), rule_, remedy, code="address-reserved")
            elif not any(address in span for span in spans):
                slices = " and ".join(map(str, spans))
                rule_ = f"on {INTERFACE} is outside of this cluster's slice {slices}"
                remedy = (
                    f"Restart the pod; if it gets such an address again, {_GIVERS[sight.stack.attachment.ipam.type]}"
                )
                yield Finding(pod.place, str(address), rule_, remedy, code="address-outside")


@rule("address-duplicate")
def duplicate(sight: Sight) -> Iterator[Finding]:
    """Two pods with one address get each other's migrations, or none."""
    ipam = sight.stack.attachment.ipam
    for address, pods in holders(sight.attached).items():
        if len(pods) > 1:
            rule_ = f"on {INTERFACE} is the address of {names(pods[1:])}, too"
            remedy = f"Restart all but one of them: oc -n {sight.namespace} delete pod {pods[-1].name}"
            if isinstance(ipam, Static | HostLocal):
                remedy = f"Use ipam type whereabouts: {ipam.type} gives the same addresses on every node"
            yield Finding(pods[0].place, str(address), rule_, remedy)


@rule("mtu-differs", "mtu-unreported")
def mtu(sight: Sight) -> Iterator[Finding]:
    """With a smaller MTU than the peer's, frames are lost on the way; with a larger one, too."""
    wanted = sight.stack.mtu
    if wanted is None:
        return
    silent = []
    for pod in sight.attached:
        found = pod.link.mtu if pod.link else None
        if found is None:
            silent.append(pod)
        elif found != wanted:
            rule_ = f"is the MTU of {INTERFACE}, not {wanted}"
            remedy = "See the MTU of the NIC below it on that node, and of the attachment; restart the pod then"
            yield Finding(pod.place, found, rule_, remedy)
    if silent:
        yield Finding(
            f"Pods in {sight.namespace}",
            None,
            f"do not say which MTU {INTERFACE} has ({len(silent)} of {len(sight.attached)}): the plugin reports none",
            f"Look at one of them: oc -n {sight.namespace} exec {silent[0].name} -- ip link show {INTERFACE}",
            code="mtu-unreported",
            severity="info",
        )


def holders(pods: Iterable[Pod]) -> dict[Address, list[Pod]]:
    """Return the pods of each address."""
    found: defaultdict[Address, list[Pod]] = defaultdict(list)
    for pod in pods:
        for address in _of(pod):
            found[address].append(pod)
    return dict(found)


def _of(pod: Pod) -> tuple[Address, ...]:
    return () if pod.link is None else tuple(each for each in pod.link.addresses if not each.is_link_local)


RULES = (families, own, duplicate, mtu)
