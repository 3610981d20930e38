"""Guards: what must be true of a cluster before anything is declared on it. They read, and change nothing."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from config.attachment.content import is_of_ranges
from config.attachment.localnet import OvnLocalnet
from config.finding import UserError, shown, waived
from config.hyperconverged import NAME
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.diff import declared_differences
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    MIGRATION_POLICY,
    NAMESPACE,
    NETWORK_ATTACHMENT,
    NODE,
    NODE_NETWORK_STATE,
    NODE_POLICY,
    POD,
    Object,
)
from mignet.kube.kubevirt import field_writers, json_patches, migrations, ovn_books
from mignet.kube.kubevirt.pods import HANDLER, LABEL, NETWORKS, SYNC
from mignet.kube.kubevirt.take_over import conflicts, network_named, switches
from mignet.kube.network import cni_configuration, uplink_conflicts, user_network
from mignet.kube.network.nmstate import rollout
from mignet.kube.network.node_network import Node
from mignet.kube.objects import controller_of, kept_by, made_by, name_of, stack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.finding import Finding
    from config.stack import Stack
    from mignet.kube.diff import FieldChange


class GuardError(UserError):
    """The cluster is not fit for what the stack declares: one sentence for each reason."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


async def prerequisites(stack: Stack, cluster: Cluster, *, foreign: bool = False) -> tuple[Object | None, Object]:
    """Return the live attachment (None when there is none) and HyperConverged of a cluster fit for the stack.

    The namespace and the HyperConverged exist, both APIs are served in the wanted version, a
    NetworkAttachmentDefinition of the wanted name is ours or may be adopted, and no patch of the operator overrides
    what is declared. Raises GuardError otherwise. With `foreign`, what is somebody else's will do: who only looks takes
    nothing from anybody.
    """
    namespace, kind = stack.cluster.namespace, hyperconverged_kind(stack)
    found = await asyncio.gather(
        cluster.get(NETWORK_ATTACHMENT, stack.network, namespace),
        cluster.get(kind, NAME, namespace),
        return_exceptions=True,
    )
    sentences: list[str] = []
    for outcome in found:
        if isinstance(outcome, ClusterError):
            if outcome.reason in {"unreachable", "unauthorized", "kubeconfig", "not-gathered"}:
                raise GuardError([str(outcome)]) from outcome
            sentences.append(str(outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
    attachment, hyperconverged = (None if isinstance(each, BaseException) else each for each in found)
    if hyperconverged is None and await _without(namespace, cluster):
        sentences.append(
            f"namespace {namespace} does not exist; install OpenShift Virtualization, or correct cluster.namespace"
        )
    elif hyperconverged is None and not isinstance(found[1], BaseException):
        sentences.append(
            f"HyperConverged {NAME} does not exist in namespace {namespace}; create it with the operator's own"
            " default first (this program never creates one), or correct cluster.namespace"
        )
    if attachment is not None and not foreign and stack.user_network is None:
        sentences.extend(_foreign(stack, attachment, _ADOPT, adopt=stack.attachment.adopt))
    elif attachment is not None and not foreign and not user_network.made_of_a_network(attachment):
        sentences.append(
            f"{name_of(attachment)} {user_network.IN_THE_WAY}; choose another attachment.name, and a free slice"
        )
    if not foreign:
        sentences.extend(
            f"{name_of(hyperconverged)} has {each.sentence}. {each.remedy}"
            for each in json_patches.overrides(stack, hyperconverged)
            if hyperconverged is not None
        )
    if sentences or hyperconverged is None:
        raise GuardError(sentences)
    return attachment, hyperconverged


_ADOPT = "set attachment.adopt: true to take it over, or choose another attachment.name"


async def user_networks(
    stack: Stack, cluster: Cluster, hyperconverged: Object, *, foreign: bool = False
) -> tuple[Object, ...]:
    """Return the live ClusterUserDefinedNetwork of the stack's, where it declares one and there is one.

    Raises GuardError when its API is not served, and, unless `foreign` will do, when it is somebody else's and not to
    be adopted, when it would have to change, which it cannot, and when pods that migrate have addresses by another
    network of OVN that the stack's would give as well.
    """
    try:
        live = await cluster.get(CLUSTER_USER_NETWORK, stack.network) if stack.user_network else None
        of_ovn = isinstance(stack.attachment, OvnLocalnet) and not foreign
        sentences = await _given_twice(stack, cluster, hyperconverged) if of_ovn else []
    except ClusterError as error:
        raise GuardError([str(error)]) from error
    if not foreign and stack.user_network:
        found = user_network.not_selected(stack, await _namespace(stack.cluster.namespace, cluster))
        sentences += [each.sentence for each in found]
    if live is not None and not foreign:
        sentences += _foreign(stack, live, _ADOPT, adopt=stack.attachment.adopt)
        sentences += [each.sentence for each in user_network.unchangeable(stack, live)]
    if sentences:
        raise GuardError(sentences)
    return () if live is None else (live,)


async def _given_twice(stack: Stack, cluster: Cluster, hyperconverged: Object) -> list[str]:
    namespace = stack.cluster.namespace
    attachments, *pods = await asyncio.gather(
        cluster.list(NETWORK_ATTACHMENT, namespace=namespace),
        *(cluster.list(POD, namespace=namespace, labels={LABEL: role}) for role in (HANDLER, SYNC)),
    )
    asked = [(pod["metadata"].get("annotations") or {}).get(NETWORKS, "") for listed in pods for pod in listed]
    found = ovn_books.given_twice(stack, attachments, networks=asked, named=network_named(hyperconverged))
    return [each.sentence for each in found]


async def _namespace(namespace: str, cluster: Cluster) -> Object | None:
    """Return a namespace, None where it is not there or may not be read."""
    try:
        return await cluster.get(NAMESPACE, namespace)
    except ClusterError:
        return None


async def _without(namespace: str, cluster: Cluster) -> bool:
    """Whether a namespace is known not to be there; reading one is a right of its own, which not everybody has."""
    try:
        return await cluster.get(NAMESPACE, namespace) is None
    except ClusterError:
        return False


async def uplinks(stack: Stack, cluster: Cluster, *, foreign: bool = False) -> tuple[Object, ...]:
    """Return the live policies of the stack's uplink, as far as there are some.

    Raises GuardError when kubernetes-nmstate is not there, and, unless `foreign` will do, when a policy of that name is
    somebody else's, and when the uplink would take over what the nodes have.
    """
    if not stack.policies:
        return ()
    try:
        found = await asyncio.gather(*(cluster.get(NODE_POLICY, policy.name) for policy in stack.policies))
        met = () if foreign else await _met(stack, cluster)
    except ClusterError as error:
        raise GuardError([str(error)]) from error
    live = tuple(policy for policy in found if policy is not None)
    remedy = "rename the node group, or delete that policy after taking its interfaces back"
    sentences = [] if foreign else [sentence for policy in live for sentence in _foreign(stack, policy, remedy)]
    sentences += [each.sentence for each in met]
    if sentences:
        raise GuardError(sentences)
    return live


async def migration_policies(stack: Stack, cluster: Cluster, *, foreign: bool = False) -> tuple[Object, ...]:
    """Return the live MigrationPolicies of the names that the stack declares.

    Raises GuardError when their API is not served, and, unless `foreign` will do, when one is somebody else's and not
    to be adopted.
    """
    declared = stack.migration_policies
    try:
        found = await asyncio.gather(*(cluster.get(MIGRATION_POLICY, policy.name) for policy in declared))
    except ClusterError as error:
        raise GuardError([str(error)]) from error
    sentences = [
        sentence
        for index, (policy, live) in enumerate(zip(declared, found, strict=True))
        if live is not None and not foreign
        for sentence in _foreign(
            stack,
            live,
            f"set migrationPolicies[{index}].adopt: true to take it over, or choose another name",
            adopt=policy.adopt,
        )
    ]
    if sentences:
        raise GuardError(sentences)
    return tuple(live for live in found if live is not None)


async def _met(stack: Stack, cluster: Cluster) -> list[Finding]:
    """Return what forbids to apply the uplink on the nodes as they are. Raises ClusterError."""
    nodes, states, policies = await asyncio.gather(
        cluster.list(NODE), cluster.list(NODE_NETWORK_STATE), cluster.list(NODE_POLICY)
    )
    by_name = {state["metadata"]["name"]: state for state in states}
    read = [Node.read(node, by_name.get(node["metadata"]["name"])) for node in nodes]
    found = waived(stack.name, uplink_conflicts.findings(stack, read, policies), stack.waivers)
    return [each for each in found if each.blocks]


def settled(stack: Stack, live: Iterable[Object]) -> None:
    """Raise GuardError when a policy that would change is being rolled out: what nmstate makes of that is undefined."""
    wanted = {policy.name: policy.spec for policy in stack.policies}
    sentences = [
        f"{policy['kind']} {policy['metadata']['name']} is being rolled out ({seen.message}), and would be changed"
        " meanwhile; run again when it has ended"
        for policy in live
        if (seen := rollout(policy, ())).progressing
        and any(declared_differences(wanted[policy["metadata"]["name"]], policy.get("spec", {})))
    ]
    if sentences:
        raise GuardError(sentences)


def _foreign(stack: Stack, live: Object, remedy: str, *, adopt: bool = False) -> Iterable[str]:
    if controller := controller_of(live):
        yield f"{name_of(live)} {kept_by(controller)}; choose another name"
    elif adopt:
        return
    elif makers := made_by(live):
        yield f"{name_of(live)} exists and was made by somebody else (field manager {makers}); {remedy}"
    elif (instance := stack_of(live)) not in {None, stack.name}:
        yield f"{name_of(live)} belongs to stack {instance}; choose another name, or destroy that stack first"


async def take_overs(stack: Stack, cluster: Cluster, live: Object) -> tuple[FieldChange, ...]:
    """Return the fields of the HyperConverged that an apply takes from other field managers.

    Asks the API server by a dry run. Raises GuardError when there are some and the stack says `onConflict: fail`, and
    when the API server refuses the patch for another reason.
    """
    try:
        taken = await conflicts(stack, cluster, live)
    except ClusterError as error:
        raise GuardError([str(error)]) from error
    if taken and stack.hyper_converged.on_conflict == "fail":
        raise GuardError(map(refused_take_over, taken))
    return taken


async def in_flight(cluster: Cluster) -> str | None:
    """Say which migrations a restart of virt-handlers would fail; None when there are none, or it is not known."""
    names = await migrations.in_flight(cluster)
    return f"{migrations.are_running(names)}, and would fail when virt-handlers restart" if names else None


def stale_handlers(stack: Stack, changes: Iterable[FieldChange]) -> Iterator[str]:
    """Warn that a change of an attachment's content reaches no virt-handler that runs: `changes` are its fields.

    More addresses to give are no matter for those that run.
    """
    inside = [change for change in changes if change.field == cni_configuration.PATH]
    kept = [each.path for each in inside if not is_of_ranges(each.inside)]
    where = f"NetworkAttachmentDefinition {stack.cluster.namespace}/{stack.network}"
    if any(change.same_meaning for change in inside):
        yield f"{where} only changes its form: what it means to pods stays the same, and nothing restarts"
    elif kept:
        remedy = (
            "" if stack.attachment.rollout == "rename" else "; attachment.rollout: rename has the operator move them"
        )
        yield (
            f"{where} changes in place ({', '.join(kept)}): virt-handlers that run keep the old network until their"
            f" pods are made anew{remedy}"
        )
    elif not all(map(_widens, inside)):
        paths = ", ".join(each.path for each in inside)
        yield (
            f"{where} gives other addresses ({paths}): pods that run keep those that they have, and nothing restarts;"
            f" mignet verify {stack.name} names the pods whose address is no longer of this stack's"
        )


def _widens(change: FieldChange) -> bool:
    """Tell whether a change of one end of a range takes no address away."""
    key = change.inside[-1].replace("_", "").lower() if change.inside else ""
    if key not in {"rangestart", "rangeend"} or change.old is None or change.new is None:
        return key in {"rangestart", "rangeend"} and change.new is None
    old, new = int(ip_address(change.old)), int(ip_address(change.new))
    return new <= old if key == "rangestart" else new >= old


def switch(stack: Stack, old: object) -> Iterator[str]:
    """Say that the HyperConverged names another network, which an apply switches; `old` is what it names.

    A network of the stack's own, of before a change with `rollout: rename`, is what its user has asked to change over.
    """
    mine = stack.attachment
    own = mine.rollout == "rename" and re.fullmatch(rf"{re.escape(mine.name)}(-[0-9a-f]{{8}})?", str(old))
    if old not in {None, "", stack.network} and not own:
        yield f"HyperConverged {stack.cluster.namespace}/{NAME} {switches(stack, old)}"


def will_be_written_back(stack: Stack, live: Iterable[Object | None]) -> Iterator[str]:
    """Warn of the controllers that write declared fields of these objects back."""
    for each in live:
        if each is not None:
            found = waived(stack.name, field_writers.written_back(stack, each), stack.waivers)
            yield from (finding.sentence for finding in found if finding.waived is None)


def refused_take_over(change: FieldChange) -> str:
    """Say why a field is not taken over."""
    return (
        f"HyperConverged {change.path} is {said(change.old)} and owned by {change.owner}, and the stack wants"
        f" {said(change.new)}; agree on one value, or set hyperConverged.onConflict: take-over"
    )


def said(value: object) -> str:
    """Write the value of a field in a sentence, as YAML has it; `unset` where there is none."""
    return "unset" if value is None else shown(value)
