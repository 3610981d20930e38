"""How OVN-Kubernetes makes attachments of a ClusterUserDefinedNetwork, and when it is done.

Source: ovn-kubernetes, go-controller/pkg/clustermanager/userdefinednetwork (condition NetworkCreated; a
NetworkAttachmentDefinition of the network's name in each selected namespace, whose controller it is).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from config.finding import Finding, UserError, is_not, shown
from mignet.kube.client import ClusterError
from mignet.kube.diff import differences
from mignet.kube.kinds import CLUSTER_USER_NETWORK, NETWORK_ATTACHMENT
from mignet.kube.objects import controller_of, full_name, made_by, name_of, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object

POLL_SECONDS = 0.3
WAIT_SECONDS = 300.0
"""How long its controller may take."""
FAILS_SECONDS = 20.0
"""How long it may say that it failed: what it meets, it tries again."""
PROTECTION = "k8s.ovn.org/user-defined-network-protection"
"""The finalizer by which it keeps a network, and its attachments, until no pod uses them."""
_CREATED = "NetworkCreated"

IN_THE_WAY = "is there already: the controller of a ClusterUserDefinedNetwork of that name would not write over it"


class UserNetworkError(UserError):
    """The controller did not make the attachment, or did not let go of a network."""


def made_of_a_network(attachment: Object) -> bool:
    """Tell whether the controller of a ClusterUserDefinedNetwork keeps an attachment: one of the same name."""
    return controller_of(attachment) == f"{CLUSTER_USER_NETWORK.kind} {attachment['metadata']['name']}"


def not_created(network: Object, attachment: Object | None) -> str | None:
    """Say why the attachment is not made, as the rest of a sentence that begins with the network; None when it is."""
    condition = next((each for each in _conditions(network) if each.get("type") == _CREATED), None)
    if "deletionTimestamp" in network["metadata"]:
        return f"is being deleted, and goes when no pod uses it{_said(condition)}"
    if condition is None:
        return f"has no condition {_CREATED} yet: its controller, OVN-Kubernetes' cluster manager, has not looked at it"
    if condition.get("status") != "True":
        return f"is not made ({condition.get('reason') or _CREATED}){_said(condition)}"
    if attachment is None:
        return f"has no NetworkAttachmentDefinition in KubeVirt's namespace: it selects others{_said(condition)}"
    if not made_of_a_network(attachment):
        return f"does not keep NetworkAttachmentDefinition {full_name(attachment)}: another one of that name is there"
    return None


def unchangeable(stack: Stack, live: Object) -> Iterator[Finding]:
    """Yield what a declared ClusterUserDefinedNetwork would change of the live one that must stay as it is."""
    wanted, name = stack.user_network or {}, name_of(live)
    another = (
        "Choose another attachment.name (rollout: rename does), with a slice that shares no address with this one's"
    )
    if "deletionTimestamp" in live["metadata"]:
        rule = "is being deleted, and goes when no pod uses it"
        yield Finding(name, None, rule, another, code="network-unchangeable", stack=stack.name)
        return
    path = "spec.network"
    if changed := [*differences(value_at(live, path), wanted.get("network"), path)]:
        what = ", ".join(f"{each.path} {is_not(each.old, each.new)}" for each in changed)
        rule = f"cannot be changed, and is not what is declared: {what}"
        yield Finding(name, None, rule, another, code="network-unchangeable", stack=stack.name)
    path = "spec.namespaceSelector"
    selects = value_at(live, path)
    if made_by(live) and selects != wanted.get("namespaceSelector"):
        rule = f"selects namespaces by {shown(selects)}, and some would lose it"
        remedy = "Write that as attachment.namespaceSelector"
        yield Finding(name, None, rule, remedy, code="network-unchangeable", stack=stack.name)


def not_selected(stack: Stack, namespace: Object | None) -> Iterator[Finding]:
    """Say that a ClusterUserDefinedNetwork makes no attachment in KubeVirt's namespace, where the pods look for it."""
    selector = getattr(stack.attachment, "namespace_selector", None)
    if selector is None or namespace is None or selector.selects(namespace["metadata"].get("labels", {})):
        return
    yield Finding(
        "attachment.namespaceSelector",
        None,
        f"does not select namespace {stack.cluster.namespace}, where virt-handler looks for its attachment",
        "Correct it, or leave it out to select that namespace alone",
        code="namespace-not-selected",
        stack=stack.name,
    )


def is_judged(network: Object) -> bool:
    """Tell whether the controller has said what became of a network, or somebody has deleted it."""
    return "deletionTimestamp" in network["metadata"] or any(
        each.get("type") == _CREATED for each in _conditions(network)
    )


def _conditions(network: Object) -> list[Object]:
    found = network.get("status", {}).get("conditions")
    return found if isinstance(found, list) else []


def _said(condition: Object | None) -> str:
    message = " ".join(str((condition or {}).get("message") or "").split())
    return f": {message}" if message else ""


async def wait(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    seconds: float = WAIT_SECONDS,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Wait until the attachment in `namespace` is made. Raises UserNetworkError when it is not after `seconds`.

    It raises that earlier when the controller goes on saying that it failed.
    An API server that cannot be reached in between is waited for; `check` raises where somebody wants to stop.
    """
    deadline = time.monotonic() + seconds
    failed = None
    while True:
        try:
            network, attachment = await asyncio.gather(
                cluster.get(CLUSTER_USER_NETWORK, name), cluster.get(NETWORK_ATTACHMENT, name, namespace)
            )
        except ClusterError as error:
            if error.reason != "unreachable" or time.monotonic() >= deadline:
                raise
        else:
            why = "is gone" if network is None else not_created(network, attachment)
            if why is None:
                return
            failed = (failed or time.monotonic()) if network is None or is_judged(network) else None
            if time.monotonic() >= min(deadline, deadline if failed is None else failed + FAILS_SECONDS):
                msg = f"{CLUSTER_USER_NETWORK.kind} {name} {why}"
                raise UserNetworkError(msg)
            check()
        await asyncio.sleep(POLL_SECONDS)


async def gone(
    cluster: Cluster, name: str, *, seconds: float = WAIT_SECONDS, check: Callable[[], None] = lambda: None
) -> bool:
    """Wait until a network that was deleted is gone, for at most `seconds`; return whether it is."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if await cluster.get(CLUSTER_USER_NETWORK, name) is None:
                return True
        except ClusterError as error:
            if error.reason != "unreachable" or time.monotonic() >= deadline:
                raise
        if time.monotonic() >= deadline:
            return False
        check()
        await asyncio.sleep(POLL_SECONDS)
