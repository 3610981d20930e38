"""Preflight: is a cluster fit for what its stack declares? Everything is read at once; nothing is changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from config.attachment.localnet import OvnLocalnet
from config.finding import codes_of
from config.hyperconverged import NAME
from mignet.checks.preflight import access, apis, attachments, hyperconverged, leases, nodes, policies, ranges
from mignet.checks.preflight.seen import Seen, definition_name
from mignet.checks.rules import network_policies, strangers
from mignet.kube.client import ClusterError
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    DEFINITION,
    KUBEVIRT,
    MIGRATION_POLICY,
    NAMESPACE,
    NETWORK_ATTACHMENT,
    NODE,
    NODE_NETWORK_STATE,
    NODE_POLICY,
    OPENSHIFT_NETWORK,
    OPENSHIFT_OPERATOR_NETWORK,
    POD,
)
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SYNC
from mignet.kube.kubevirt.take_over import conflicts
from mignet.kube.rbac import denied, to_apply, to_look
from mignet.kube.snapshot import Judged, Read, Snapshot, judge, look

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.finding import Rule
    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.diff import FieldChange
    from mignet.kube.rbac import Right


def reads(stack: Stack) -> list[Read]:
    """Return what preflight reads of the stack's cluster."""
    namespace, of_ovn = stack.cluster.namespace, isinstance(stack.attachment, OvnLocalnet)
    return [
        Read(NAMESPACE, name=namespace),
        Read(hyperconverged_kind(stack), namespace, NAME),
        Read(KUBEVIRT, namespace),
        Read(NETWORK_ATTACHMENT),
        Read(CLUSTER_USER_NETWORK),
        Read(NODE),
        Read(NODE_NETWORK_STATE),
        Read(NODE_POLICY),
        Read(OPENSHIFT_NETWORK, name="cluster"),
        Read(OPENSHIFT_OPERATOR_NETWORK, name="cluster"),
        *(Read(MIGRATION_POLICY, name=policy.name) for policy in stack.migration_policies),
        *(Read(DEFINITION, name=definition_name(kind)) for kind in apis.needed(stack)),
        *apis.reads(),
        *leases.reads(stack),
        *network_policies.reads(stack),
        *strangers.READS,
        *(Read(POD, namespace, labels={LABEL: role}) for role in (HANDLER, SYNC) if of_ovn),
    ]


async def preflight(stack: Stack, cluster: Cluster, *, needed: Iterable[Right] = ()) -> Judged:
    """Look at the cluster and judge it; nothing is changed. `needed` are rights to ask for besides its own and `up`'s.

    Raises ClusterError when nothing can be read of it, or when it fails to answer a part of it.
    """
    wanted = reads(stack)
    rights = {*to_look(wanted), *to_apply(stack), *needed}
    snapshot, missing = await asyncio.gather(look(cluster, stack, wanted), _denied(cluster, rights))
    for _, error in snapshot.unread:
        # What half answers is not judged by halves.
        if error.reason == "refused":
            raise error
    dry_run = await _dry_run(cluster, snapshot)
    return judge(RULES, Seen(stack, snapshot.found, missing, dry_run))


async def _denied(cluster: Cluster, rights: Iterable[Right]) -> tuple[Right, ...] | ClusterError:
    try:
        return await denied(cluster, rights)
    except ClusterError as error:
        return error


async def _dry_run(cluster: Cluster, snapshot: Snapshot) -> tuple[FieldChange, ...] | ClusterError:
    """Ask the API server what an apply of the limits would take from others."""
    stack = snapshot.stack
    found = snapshot.found[Read(hyperconverged_kind(stack), stack.cluster.namespace, NAME)]
    if isinstance(found, ClusterError):
        return found
    try:
        return await conflicts(stack, cluster, found[0]) if found else ()
    except ClusterError as error:
        return error


RULES: tuple[Rule[Seen], ...] = (
    *access.RULES,
    *apis.RULES,
    *hyperconverged.RULES,
    *nodes.RULES,
    *policies.RULES,
    *ranges.RULES,
    *attachments.RULES,
    *leases.RULES,
    strangers.vm_attached,
    network_policies.network_policy_cuts,
)
CODES = codes_of(RULES)
