"""What verify judges: a look at one cluster, what is declared for it, and who holds leases there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from config.hyperconverged import NAME
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    IP_POOL,
    IP_RESERVATION,
    KUBEVIRT,
    MIGRATION_POLICY,
    NETWORK_ATTACHMENT,
    NODE,
    NODE_ENACTMENT,
    NODE_POLICY,
    POD,
    Kind,
    Object,
)
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SCHEDULABLE, SYNC, Pod, Role, from_before, read_pod, workload_kind
from mignet.kube.network.whereabouts import leases_of
from mignet.kube.snapshot import Read, Snapshot
from mignet.kube.source import current_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from config.stack import Stack
    from mignet.kube.client import ClusterError


DISPENSABLE = (NODE_POLICY, MIGRATION_POLICY)
"""What one can do without to say how far a rollout is: not everybody may read it."""


def core_reads(stack: Stack) -> list[Read]:
    """Return what says how far a rollout is, and what is declared; only of the policies can one do without."""
    namespace = stack.cluster.namespace
    return [
        Read(hyperconverged_kind(stack), namespace, NAME),
        Read(KUBEVIRT, namespace),
        Read(NETWORK_ATTACHMENT, namespace, stack.network),
        *([Read(CLUSTER_USER_NETWORK, name=stack.network)] if stack.user_network else ()),
        Read(DAEMON_SET, namespace, HANDLER),
        Read(DEPLOYMENT, namespace, SYNC),
        Read(POD, namespace, labels={LABEL: HANDLER}),
        Read(POD, namespace, labels={LABEL: SYNC}),
        *(Read(NODE_POLICY, name=policy.name) for policy in stack.policies),
        *(Read(MIGRATION_POLICY, name=policy.name) for policy in stack.migration_policies),
    ]


def other_reads(stack: Stack) -> list[Read]:
    """Return what is looked at besides, when the pods are there, or do not come."""
    reads = [Read(NODE, labels=SCHEDULABLE), Read(EVENT, stack.cluster.namespace, fields={"type": "Warning"})]
    if leases_of(stack):
        reads += [Read(IP_POOL), Read(IP_RESERVATION)]
    if stack.policies:
        reads.append(Read(NODE_ENACTMENT))
    return reads


@dataclass(frozen=True)
class Sight:
    """A look at a cluster. `now` is this machine's time; `declared` the objects of the program, as manifests."""

    seen: Snapshot
    declared: tuple[Object, ...] = ()
    holders: Mapping[str, tuple[Object, ...] | ClusterError] = field(default_factory=dict)
    """Pods by `namespace/name` that hold leases and are none of those that migrate: nothing when there is none."""
    now: datetime = field(default_factory=current_time)
    stuck_after: float = 0
    """Seconds that a pod may try to start before its error counts."""

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""
        return self.seen.stack

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Object, ...]:
        """Return all objects of a kind that were read. Raises UnreadError."""
        return self.seen.all(kind, namespace)

    @property
    def namespace(self) -> str:
        """KubeVirt's namespace."""
        return self.stack.cluster.namespace

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that migrate, those of virt-handler first, by name."""
        live = (read_pod(each) for each in self.seen.all(POD, self.namespace))
        return tuple(sorted((pod for pod in live if pod), key=lambda pod: (pod.role != HANDLER, pod.name)))

    def of(self, role: Role) -> tuple[Pod, ...]:
        """Return the pods of one role, those that end left out."""
        return tuple(pod for pod in self.pods if pod.role == role and not pod.terminating)

    @property
    def living(self) -> tuple[Pod, ...]:
        """The pods that do not end."""
        return tuple(pod for pod in self.pods if not pod.terminating)

    @cached_property
    def hyperconverged(self) -> Object | None:
        """The HyperConverged."""
        return self.seen.one(hyperconverged_kind(self.stack), NAME, self.namespace)

    @cached_property
    def kubevirt(self) -> Object | None:
        """The KubeVirt object that the HyperConverged operator keeps."""
        return next(iter(self.seen.all(KUBEVIRT, self.namespace)), None)

    @cached_property
    def attachment(self) -> Object | None:
        """The NetworkAttachmentDefinition."""
        return self.seen.one(NETWORK_ATTACHMENT, self.stack.network, self.namespace)

    @cached_property
    def user_network(self) -> Object | None:
        """The ClusterUserDefinedNetwork that the attachment is made of, where the stack declares one."""
        return self.seen.one(CLUSTER_USER_NETWORK, self.stack.network) if self.stack.user_network else None

    def workload(self, role: Role) -> Object | None:
        """Return virt-handler's DaemonSet, or the sync controller's Deployment."""
        return self.seen.one(workload_kind(role), role, self.namespace)

    @cached_property
    def attached(self) -> tuple[Pod, ...]:
        """Pods with `migration0`, made from the attachment as it is now, or nobody can tell from which."""
        before = () if in_doubt(self.stack) else from_before(self.attachment, self.living)
        old = {pod.reference for pod in before}
        return tuple(pod for pod in self.living if pod.link is not None and pod.reference not in old)


def in_doubt(stack: Stack) -> bool:
    """Tell whether the attachment may have been written without another content, so that its older pods may be right.

    An adopted one is written in our own spelling, and nobody knows what stood there before; with `rollout: rename` the
    name carries the content's hash, so that a later write only puts back what the name stands for.
    """
    return stack.attachment.adopt or stack.attachment.rollout == "rename"
