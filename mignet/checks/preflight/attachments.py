"""Attachments and policies that are there already: of our names, on our NIC, or with our addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment import Ipvlan, Macvlan
from config.attachment.ipam import Whereabouts
from config.attachment.localnet import OvnLocalnet
from config.finding import Finding, few, rule
from config.fleet import handed_out
from mignet.checks.preflight import other_pools
from mignet.kube.kinds import CLUSTER_USER_NETWORK, MIGRATION_POLICY, NAMESPACE, NETWORK_ATTACHMENT, NODE_POLICY, POD
from mignet.kube.kubevirt import ovn_books
from mignet.kube.kubevirt.pods import read_pod
from mignet.kube.kubevirt.take_over import network_named
from mignet.kube.network import user_network
from mignet.kube.objects import controller_of, kept_by, made_by, name_of, stack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.address_share import Part
    from config.stack import Stack
    from config.types.addressing import AddressRange
    from mignet.checks.preflight.other_pools import Pool
    from mignet.checks.preflight.seen import Seen
    from mignet.kube.kinds import Object


@rule("attachment-foreign", "attachment-adopted")
def attachment_foreign(seen: Seen) -> Iterator[Finding]:
    """An attachment of our name that somebody else made may serve other pods: it is replaced with consent only."""
    stack = seen.stack
    live = seen.one(NETWORK_ATTACHMENT, stack.network, stack.cluster.namespace)
    if stack.user_network:
        if live is not None and not user_network.made_of_a_network(live):
            remedy = "Choose another attachment.name, and a slice that shares no address with it"
            yield Finding(name_of(live), None, user_network.IN_THE_WAY, remedy, code="attachment-foreign")
        live = seen.one(CLUSTER_USER_NETWORK, stack.network)
    if live is not None:
        yield from _whole(stack, live, "attachment", "attachment", adopt=stack.attachment.adopt)


def _whole(stack: Stack, live: Object, key: str, code: str, *, adopt: bool) -> Iterator[Finding]:
    """Judge an object of our name, which `key` declares, by who made it."""
    makers = made_by(live)
    if controller := controller_of(live):
        remedy = f"Choose another {key}.name{', or a network of your own' if key == 'attachment' else ''}"
        yield Finding(name_of(live), None, kept_by(controller), remedy, code=f"{code}-foreign", stack=stack.name)
    elif adopt and makers:
        yield Finding(
            name_of(live),
            None,
            f"was made by somebody else (field manager {makers}); up takes it over, as {key}.adopt says",
            f"Remove {key}.adopt to refuse instead",
            code=f"{code}-adopted",
            severity="info",
            stack=stack.name,
        )
    elif makers:
        yield Finding(
            name_of(live),
            None,
            f"exists and was made by somebody else (field manager {makers})",
            f"Set {key}.adopt: true to take it over, or choose another {key}.name",
            code=f"{code}-foreign",
            stack=stack.name,
        )
    elif (other := stack_of(live)) not in {None, stack.name} and not adopt:
        yield Finding(
            name_of(live),
            None,
            f"belongs to stack {other}",
            f"Choose another {key}.name, or destroy that stack first",
            code=f"{code}-foreign",
            stack=stack.name,
        )


@rule("network-unchangeable")
def network_unchangeable(seen: Seen) -> Iterator[Finding]:
    """Nothing of a ClusterUserDefinedNetwork's network can be changed, not even the addresses that it gives."""
    live = seen.one(CLUSTER_USER_NETWORK, seen.stack.network) if seen.stack.user_network else None
    if live is not None:
        yield from user_network.unchangeable(seen.stack, live)


@rule("namespace-not-selected")
def namespace_not_selected(seen: Seen) -> Iterator[Finding]:
    """Pods find an attachment in their own namespace: one that its network does not select has none."""
    if seen.stack.user_network:
        yield from user_network.not_selected(seen.stack, seen.one(NAMESPACE, seen.stack.cluster.namespace))


@rule("ovn-books-shared")
def ovn_books_shared(seen: Seen) -> Iterator[Finding]:
    """OVN keeps its books by network: one of another name would give what pods on this stack's old one still have."""
    stack = seen.stack
    if not isinstance(stack.attachment, OvnLocalnet):
        return
    # Of somebody else's, pool-overlap says it.
    own = (each for each in seen.all(NETWORK_ATTACHMENT) if stack_of(each) == stack.name)
    pods = (read_pod(each) for each in seen.all(POD, stack.cluster.namespace))
    asked = (pod.networks for pod in pods if pod is not None)
    yield from ovn_books.given_twice(stack, own, networks=asked, named=network_named(seen.hyperconverged))


@rule("policy-foreign")
def policy_foreign(seen: Seen) -> Iterator[Finding]:
    """A policy of our name that somebody else made would be overwritten, and what it made stay on the nodes."""
    stack = seen.stack
    for policy in stack.policies:
        live = seen.one(NODE_POLICY, policy.name)
        if live is None:
            continue
        makers, other = made_by(live), stack_of(live)
        if controller := controller_of(live):
            yield Finding(name_of(live), None, kept_by(controller), "Rename the node group")
        elif makers or other not in {None, stack.name}:
            why = f"was made by somebody else (field manager {makers})" if makers else f"belongs to stack {other}"
            remedy = "Rename the node group, or delete that policy after taking its interfaces back"
            yield Finding(name_of(live), None, why, remedy)


@rule("policy-foreign", "policy-adopted")
def migration_policy_foreign(seen: Seen) -> Iterator[Finding]:
    """A MigrationPolicy of our name that somebody else made has limits that somebody meant."""
    stack = seen.stack
    for index, policy in enumerate(stack.migration_policies):
        live = seen.one(MIGRATION_POLICY, policy.name)
        if live is not None:
            yield from _whole(stack, live, f"migrationPolicies[{index}]", "policy", adopt=policy.adopt)


@rule("nic-ipvlan-macvlan")
def nic_ipvlan_macvlan(seen: Seen) -> Iterator[Finding]:
    """The kernel lets either macvlan or ipvlan interfaces onto a NIC: the pods that come second do not start."""
    mine = seen.stack.attachment
    if not isinstance(mine, Macvlan | Ipvlan):
        return
    other = "ipvlan" if isinstance(mine, Macvlan) else "macvlan"
    for live, plugin in other_pools.other_attachments(seen):
        if plugin.get("type") == other and plugin.get("master") == mine.master:
            yield Finding(
                name_of(live),
                None,
                f"puts {other} on {mine.master}, and attachment.type is {mine.type}: the kernel allows one of both",
                f"Use {other} here too, another NIC, or remove that attachment",
            )


@rule("pool-overlap", "pool-shared")
def pool_overlap(seen: Seen) -> Iterator[Finding]:
    """Whereabouts compares addresses of one range and one name only: another attachment may hand out ours as well."""
    given = tuple(handed_out(seen.stack))
    for pool in other_pools.pools(seen):
        for part in seen.stack.parts:
            yield from _between(seen, pool, part, [own for each in given if (own := each.clipped(part.span))])


def _between(seen: Seen, pool: Pool, part: Part, given: Iterable[AddressRange]) -> Iterator[Finding]:
    """Judge another's pool against what this stack hands out of a part: those that share no address are no matter."""
    ipam = seen.stack.attachment.ipam
    book = other_pools.book(part.subnet, ipam.network_name) if isinstance(ipam, Whereabouts) else None
    common = next((both for own in given for each in pool.given if (both := each.clipped(own))), None)
    if common is None:
        return
    theirs = few(pool.given)
    # On another VLAN only the books count.
    apart = other_pools.on_one_network(seen.stack, pool) is False
    if pool.book is not None and pool.book == book:
        inside = all(each.first in part.span and each.last in part.span for each in pool.given)
        if not part.is_slice or inside or apart:
            rule_ = f"hands out addresses of {theirs} from the same pool: its pods count against {part.key}"
            remedy = "See that the slice is large enough for both, or give it another range"
            yield Finding(pool.owner, None, rule_, remedy, code="pool-shared", severity="info", stack=seen.stack.name)
        else:
            rule_ = f"hands out {theirs} from the same pool, beyond {part.key} {part.span}: addresses of other clusters"
            remedy = "Give it the same range_start and range_end, or another range"
            yield Finding(pool.owner, None, rule_, remedy, code="pool-overlap", stack=seen.stack.name)
        return
    if apart:
        return
    checked = (
        book is not None
        and pool.book is not None
        and pool.book.partition("@")[0] == book.partition("@")[0]
        and pool.checks_others
        and isinstance(ipam, Whereabouts)
        and ipam.enable_overlapping_ranges is not False
    )
    yield Finding(
        pool.owner,
        None,
        f"hands out {theirs}, which overlaps {part.key} {part.span}"
        + (", and only whereabouts' check across ranges keeps them apart" if checked else ": addresses given twice"),
        f"Give one of the two another range, or exclude {common} from one of them",
        code="pool-overlap",
        severity="warning" if checked else "error",
        stack=seen.stack.name,
    )


RULES = (
    attachment_foreign,
    network_unchangeable,
    namespace_not_selected,
    ovn_books_shared,
    policy_foreign,
    migration_policy_foreign,
    nic_ipvlan_macvlan,
    pool_overlap,
)
