"""Rights on a cluster as values: which ones looking and applying take, and whether the API server grants them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from config.attachment.localnet import OvnLocalnet
from config.hyperconverged import NAME
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import (
    ACCESS_REVIEW,
    CLUSTER_USER_NETWORK,
    EVENT,
    INSTANCE,
    KUBEVIRT,
    LEASE,
    MACHINE,
    MIGRATION,
    MIGRATION_POLICY,
    NAMESPACE,
    NETWORK_ATTACHMENT,
    NODE,
    NODE_ENACTMENT,
    NODE_NETWORK_STATE,
    NODE_POLICY,
    POD,
    Kind,
)
from mignet.kube.objects import lease_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.snapshot import Read
    from mignet.kube.watched import Watch


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource. An empty `namespace` means the whole cluster, an empty `name` every object."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        name = f" {self.name}" if self.name else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{name}{where}"


def to_look(reads: Iterable[Read]) -> frozenset[Right]:
    """Return the rights that reading takes, and no other."""
    return frozenset(
        right
        for read in reads
        for right in _rights(read.kind, read.namespace, read.name, "get" if read.name else "list")
    )


def to_watch(watches: Iterable[Watch]) -> frozenset[Right]:
    """Return the rights that keeping watches takes: to list, and to watch."""
    return frozenset(
        right for each in watches for right in _rights(each.kind, each.namespace, each.name, "list", "watch")
    )


def to_apply(stack: Stack) -> frozenset[Right]:
    """Return the rights that `up` and `destroy` take, on either engine."""
    return frozenset(_to_apply(stack))


def _to_apply(stack: Stack) -> Iterator[Right]:
    namespace = stack.cluster.namespace
    yield from _rights(NAMESPACE, None, namespace, "get")
    yield from _rights(hyperconverged_kind(stack), namespace, NAME, "get", "patch")
    yield from _rights(NETWORK_ATTACHMENT, namespace, None, "get", "create", "patch", "delete")
    # What is ours and no longer declared may be in a namespace that the stack named before.
    yield from _rights(NETWORK_ATTACHMENT, None, None, "list")
    if stack.user_network:
        yield from _rights(CLUSTER_USER_NETWORK, None, None, "get", "list", "create", "patch", "delete")
    if isinstance(stack.attachment, OvnLocalnet):
        # Who has which address stands on the pods: OVN keeps its books by network.
        yield from _rights(POD, namespace, None, "list")
    yield from _to_hold(stack)
    # A network in use is not destroyed, and a restart of virt-handlers waits.
    yield from _rights(MIGRATION, None, None, "list")
    if stack.migration_policies:
        yield from _rights(MIGRATION_POLICY, None, None, "get", "list", "create", "patch", "delete")
    if stack.uplink:
        yield from _rights(NODE_POLICY, None, None, "get", "list", "create", "patch", "delete")
        yield from _rights(NODE_ENACTMENT, None, None, "list")
        yield from _rights(NODE, None, None, "list")
        yield from _rights(NODE_NETWORK_STATE, None, None, "list")


def to_cross(stack: Stack) -> frozenset[Right]:
    """Return the rights that moving a test machine to another cluster and back takes, but for those of looking."""
    return frozenset(_to_cross(stack))


def _to_cross(stack: Stack) -> Iterator[Right]:
    namespace = stack.cluster.namespace
    yield from _rights(MACHINE, namespace, None, "list", "create", "delete")
    yield from _rights(MIGRATION, namespace, None, "get", "list", "create", "delete")
    yield from _rights(INSTANCE, namespace, None, "get")
    yield from _rights(POD, namespace, None, "list")
    yield from _rights(EVENT, namespace, None, "list")
    yield from _rights(KUBEVIRT, namespace, None, "list")
    yield from _to_hold(stack)


def _to_hold(stack: Stack) -> Iterator[Right]:
    """Who works on a stack (mignet/kube/lease.py); one's own is created, which no rule can bind to a name."""
    yield from _rights(LEASE, stack.cluster.namespace, None, "create")
    yield from _rights(LEASE, stack.cluster.namespace, lease_name(stack.name), "get", "patch", "delete")


def _rights(kind: Kind, namespace: str | None, name: str | None, *verbs: str) -> Iterator[Right]:
    # A namespace is read inside itself: a Role is enough for it.
    where = name if kind == NAMESPACE else namespace
    for verb in verbs:
        yield Right(kind.group, kind.plural, verb, where or "", name or "")


def least(rights: Iterable[Right]) -> frozenset[Right]:
    """Return the rights without those on one object where the same verb on every object is among them."""
    wanted = frozenset(rights)
    return frozenset(right for right in wanted if not right.name or replace(right, name="") not in wanted)


def grouped(rights: Iterable[Right]) -> list[str]:
    """Write rights in few words: those on the same objects together, in order.

    >>> grouped([Right("", "nodes", "get"), Right("", "nodes", "list")])
    ['get, list nodes']
    """
    verbs: dict[Right, list[str]] = {}
    for right in rights:
        verbs.setdefault(replace(right, verb=""), []).append(right.verb)
    return [f"{', '.join(found)}{right}" for right, found in verbs.items()]


async def denied(cluster: Cluster, rights: Iterable[Right]) -> tuple[Right, ...]:
    """Ask the API server for each right, all at once; return those that it does not grant, in order."""
    asked = sorted(least(rights))
    answers = await asyncio.gather(*(_granted(cluster, right) for right in asked))
    return tuple(right for right, granted in zip(asked, answers, strict=True) if not granted)


async def _granted(cluster: Cluster, right: Right) -> bool:
    attributes = {
        "group": right.group,
        "resource": right.resource,
        "verb": right.verb,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = await cluster.create(ACCESS_REVIEW, {"metadata": {}, "spec": {"resourceAttributes": attributes}})
    return review.get("status", {}).get("allowed") is True
