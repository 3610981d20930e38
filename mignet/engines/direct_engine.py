"""The direct engine: what the program declares, applied server-side, for where the Pulumi CLI is not.

It keeps no state. What is ours on the cluster is found by labels and by field manager; what is ours and no longer
declared is removed. Every verb asks the API server by dry runs first, so that a preview shows what an apply would do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from components.ownership import FIELD_MANAGER, labels
from config.finding import UserError, few, is_not
from config.uplink import Uplink
from mignet.engines.read_only_diff import compared
from mignet.kube.client import Cluster, ClusterError, ConflictError
from mignet.kube.diff import FieldChange, ObjectChange, Operation, declared_differences, differences
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    MIGRATION_POLICY,
    NETWORK_ATTACHMENT,
    NODE_POLICY,
    Kind,
    Object,
    kind_of,
)
from mignet.kube.kubevirt import rollout
from mignet.kube.managed_fields import owned_paths, taken_over, writer_of
from mignet.kube.network import attachment_history, cni_configuration, nmstate, user_network
from mignet.kube.objects import controller_of, made_by, name_of, value_at
from mignet.program import guards

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from config.stack import Stack
    from mignet.engines.evaluation import Declaration, Declared

_WEBHOOK = "nmstate.io/webhook-mutating-timestamp"
"""What kubernetes-nmstate's webhook writes into every policy that passes it, dry runs included."""
_SERVER_SIDE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that is waited for, for at most so many `seconds`."""

    words: str
    """What, such as `the nodes to take policy x`."""
    seconds: float
    after: str
    """What happens when the time is over, as a part of a sentence."""
    goes_on: str = ""
    """What goes on by itself when nobody waits any more; empty when nothing does."""


class Between(Protocol):
    """What is asked where work may end: between two objects, and while nodes are waited for."""

    def __call__(self, done: int, waits_for: Wait | None = None) -> None:
        """Raise where somebody wants to stop; `waits_for` is what has to be waited for, where something has."""


class ReadBackError(UserError):
    """The API server accepted an object and holds something else."""


@dataclass(frozen=True, slots=True)
class Step:
    """One object's change, and what carries it out."""

    change: ObjectChange
    manifest: Object
    declared: Declared | None
    """None when the object is ours and no longer declared."""
    live: Object | None = None
    """What stands there now; None when nothing does."""


async def plan(
    stack: Stack, declaring: Awaitable[Declaration], cluster: Cluster, *, only_look: bool = False
) -> list[Step]:
    """Return the steps that make the cluster hold what is declared, in order; nothing is changed.

    The cluster is read while the program is `declaring`; what that raises goes before what the cluster says. Raises
    GuardError when the cluster is not fit, or a field is somebody else's and is not to be taken over. With
    `only_look`, what is somebody else's is planned like all the rest, and the right to write is not needed: where a
    dry run is forbidden, what is declared is compared with what stands there.
    """
    reading = asyncio.ensure_future(_read(stack, cluster, only_look=only_look))
    try:
        declaration = await declaring
        live_objects, ours = await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    found = {_identity(live): live for live in live_objects}
    objects = [
        _noting(declared, found.get(_identity(declared.manifest)), only_look=only_look)
        for declared in declaration.objects
    ]
    planned = (
        _plan_one(declared, found.get(_identity(declared.manifest)), cluster, only_look=only_look)
        for declared in objects
    )
    steps = await asyncio.gather(*planned)
    keep = {_identity(declared.manifest) for declared in declaration.objects}
    leftovers = [live for live in ours if _identity(live) not in keep]
    return [*steps, *(Step(_change("delete", live, _removal(live)), live, None) for live in leftovers)]


async def _read(stack: Stack, cluster: Cluster, *, only_look: bool) -> tuple[list[Object], list[Object]]:
    """Return what stands where the program declares something, and all that is ours."""
    ours = asyncio.ensure_future(_ours(stack, cluster))
    try:
        attachment, hyperconverged = await guards.prerequisites(stack, cluster, foreign=only_look)
        live = (
            attachment,
            hyperconverged,
            *await guards.user_networks(stack, cluster, hyperconverged, foreign=only_look),
            *await guards.uplinks(stack, cluster, foreign=only_look),
            *await guards.migration_policies(stack, cluster, foreign=only_look),
        )
        return [each for each in live if each], await ours
    finally:
        ours.cancel()
        await asyncio.gather(ours, return_exceptions=True)


def _noting(declared: Declared, live: Object | None, *, only_look: bool) -> Declared:
    """Return an attachment with the note since when its pods keep what it declares; anything else as it is.

    One of somebody else gets it as it is adopted: to who only looks, it has nothing of ours.
    """
    manifest = declared.manifest
    foreign = live is None or (only_look and made_by(live))
    if manifest["kind"] != NETWORK_ATTACHMENT.kind or foreign:
        return declared
    annotations = manifest["metadata"].get("annotations", {}) | attachment_history.note(live, manifest)
    return replace(declared, manifest=manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}})


async def _plan_one(declared: Declared, live: Object | None, cluster: Cluster, *, only_look: bool) -> Step:
    try:
        step = replace(await _dry_run(declared, live, cluster, only_look=only_look), live=live)
        return _without_directives(step) if only_look else step
    except ClusterError as error:
        # What cannot be changed, the API server refuses to look at; that it differs is what one looks for.
        immutable = error.reason == "refused" and declared.manifest["kind"] == CLUSTER_USER_NETWORK.kind
        if not only_look or not (error.reason in {"forbidden", "not-gathered"} or immutable):
            raise
    fields = (
        differences({}, _content(declared.manifest))
        if live is None
        else _by_meaning(compared(_content(declared.manifest), _content(live), owned_by=live), live, declared.manifest)
    )
    operation: Operation = "create" if live is None else "same"
    change = _change(operation, declared.manifest, fields)
    return _without_directives(
        Step(replace(change, operation="update") if live and change.fields else change, declared.manifest, declared)
    )


def _without_directives(step: Step) -> Step:
    """Leave out what only tells Pulumi's provider how to go about it: kubectl or a GitOps tool does not write it."""
    if step.change.operation != "update":
        return step
    prefix = "metadata.annotations.pulumi.com/"
    fields = tuple(each for each in step.change.fields if each.old is not None or not each.path.startswith(prefix))
    return replace(step, change=replace(step.change, operation="update" if fields else "same", fields=fields))


async def _dry_run(declared: Declared, live: Object | None, cluster: Cluster, *, only_look: bool) -> Step:
    manifest = declared.manifest
    if live is None:
        # The dry run asks whether the API server would take it.
        await cluster.apply(manifest, manager=FIELD_MANAGER, force=True, dry_run=True)
        return Step(_change("create", manifest, differences({}, _content(manifest))), manifest, declared)
    try:
        applied = await cluster.apply(manifest, manager=FIELD_MANAGER, force=declared.force or only_look, dry_run=True)
    except ConflictError as error:
        refused = [
            FieldChange(each.path, value_at(live, each.path), value_at(manifest, each.path), each.owner)
            for each in error.conflicts
        ]
        raise guards.GuardError(map(guards.refused_take_over, refused)) from error
    owners = taken_over(live, applied, ours=FIELD_MANAGER)
    fields = [replace(each, owner=owners.get(each.field)) for each in differences(_content(live), _content(applied))]
    seen, whole = {each.path for each in fields}, {each.field for each in fields}
    # What a dry run cannot show: items that somebody appended to a list of ours stay where they are.
    fields += [each for each in declared_differences(_content(manifest), _content(applied)) if each.path not in seen]
    gained = owned_paths(applied, FIELD_MANAGER) - owned_paths(live, FIELD_MANAGER) - seen
    fields += [
        FieldChange(path, value_at(live, path), value_at(live, path), owners.get(path))
        for path in sorted(gained)
        if not path.startswith("metadata.") and path not in whole
    ]
    fields = [replace(each, by=writer_of(live, each.field, ours=FIELD_MANAGER)) for each in fields]
    fields = _by_meaning(fields, live, manifest)
    return Step(_change("update" if fields else "same", manifest, fields), manifest, declared)


def _by_meaning(fields: Iterable[FieldChange], live: Object, manifest: Object) -> list[FieldChange]:
    if kind_of(manifest) != NETWORK_ATTACHMENT:
        return list(fields)
    old, new = (value_at(each, cni_configuration.PATH) for each in (live, manifest))
    return list(cni_configuration.by_meaning(fields, old, new, name=manifest["metadata"]["name"]))


async def carry_out(stack: Stack, steps: Iterable[Step], cluster: Cluster, *, between: Between) -> list[str]:
    """Apply and delete what the steps say, then read each object back. Returns a line for what had to stay.

    Before each object, `between` is told how many are done: whoever wants to stop raises there.
    Raises ReadBackError when the API server holds something else than what was applied, and UplinkError when the nodes
    do not take a policy: what needs it is not applied then.
    """
    left = []
    for done, step in enumerate(steps):
        between(done)
        if step.declared is None:
            left += await _remove(stack, step.manifest, cluster, between=partial(between, done))
            continue
        if step.change.operation != "same":
            await _apply(stack, step, cluster, between=partial(between, done))
        if kind_of(step.manifest) == NODE_POLICY:
            # Also when nothing changed: a run that was killed may have left before the nodes were done.
            name = step.manifest["metadata"]["name"]
            check = partial(between, done, _on_nodes(stack, name))
            await nmstate.wait(cluster, name, seconds=_patience(stack), check=check)
        elif kind_of(step.manifest) == CLUSTER_USER_NETWORK:
            name = step.manifest["metadata"]["name"]
            check = partial(between, done, _until_made(name))
            await user_network.wait(cluster, name, stack.cluster.namespace, check=check)
    return left


async def _apply(stack: Stack, step: Step, cluster: Cluster, *, between: Callable[[], None]) -> None:
    metadata, kind = step.manifest["metadata"], kind_of(step.manifest)
    manifest = step.manifest
    if kind == NODE_POLICY:
        await nmstate.settle(cluster, metadata["name"], seconds=_patience(stack), check=between)
    if step.declared is not None and step.declared.patch:
        manifest = await _pinned(manifest, cluster)
    force = step.declared is not None and step.declared.force
    await cluster.apply(manifest, manager=FIELD_MANAGER, force=force, dry_run=False)
    live = await cluster.get(kind, metadata["name"], metadata.get("namespace"))
    lost = [] if live is None else list(declared_differences(_content(step.manifest), _content(live)))
    if live is None or lost:
        what = "the object is gone" if live is None else "; ".join(f"{c.path} {is_not(c.old, c.new)}" for c in lost)
        msg = f"{kind.kind} {metadata['name']} was applied, but the API server holds something else: {what}"
        raise ReadBackError(msg)


def _on_nodes(stack: Stack, policy: str) -> Wait:
    after = "this is an error and the nodes go on"
    return Wait(f"the nodes to take policy {policy}", _patience(stack), after, f"the nodes go on with policy {policy}")


async def _remove(stack: Stack, live: Object, cluster: Cluster, *, between: Callable[[Wait], None]) -> list[str]:
    """Delete what is ours, once nothing needs it.

    A policy's interfaces go first, which would stay on the nodes for ever; an attachment when its last pod has moved.
    """
    metadata, kind = live["metadata"], kind_of(live)
    left: list[str] = []
    if kind == NODE_POLICY:
        name = metadata["name"]
        check = partial(between, _on_nodes(stack, name))
        left = await nmstate.take_back(cluster, stack.name, name, seconds=_patience(stack), check=check)
    elif kind in {NETWORK_ATTACHMENT, CLUSTER_USER_NETWORK}:
        namespace = metadata.get("namespace", stack.cluster.namespace)
        users = await rollout.released(
            cluster,
            namespace,
            metadata["name"],
            waits=lambda users: between(_until_released(f"{namespace}/{metadata['name']}", users)),
        )
        if users:
            some = few(users, most=3)
            stays = f"{name_of(live)} stays, as it is still in use"
            return [f"{stays} by {some}; mignet verify {stack.name} says why, and another run removes it"]
    await cluster.delete(kind, metadata["name"], metadata.get("namespace"))
    if kind == CLUSTER_USER_NETWORK:
        check = partial(between, _until_gone(metadata["name"]))
        if not await user_network.gone(cluster, metadata["name"], check=check):
            left.append(f"{name_of(live)} is being deleted, and stays until no pod of any namespace uses it")
    return left


def _until_made(name: str) -> Wait:
    what = f"the attachment of {CLUSTER_USER_NETWORK.kind} {name} to be made"
    return Wait(what, user_network.WAIT_SECONDS, "this is an error")


def _until_gone(name: str) -> Wait:
    what = f"{CLUSTER_USER_NETWORK.kind} {name} to go"
    return Wait(what, user_network.WAIT_SECONDS, "it goes when no pod uses it")


def _until_released(name: str, users: Sequence[str]) -> Wait:
    what = f"{few(users, most=3)} to leave {name}"
    return Wait(what, rollout.WAIT_SECONDS, "it stays until another run")


def _patience(stack: Stack) -> float:
    return (stack.uplink or Uplink.model_construct()).wait_seconds


async def _pinned(manifest: Object, cluster: Cluster) -> Object:
    """Pin a patch to the object that exists: an apply without its uid would create one that is gone meanwhile."""
    metadata = manifest["metadata"]
    live = await cluster.get(kind_of(manifest), metadata["name"], metadata["namespace"])
    if live is None:
        msg = f"{manifest['kind']} {metadata['name']} is gone since the preview; nothing was created in its place"
        raise ReadBackError(msg)
    return manifest | {"metadata": metadata | {"uid": live["metadata"]["uid"]}}


async def plan_removal(stack: Stack, declaring: Awaitable[Declaration], cluster: Cluster) -> list[Step]:
    """Return the steps that take everything of this stack off the cluster: dependents first; nothing is changed."""
    steps: list[Step] = []
    for declared in reversed((await declaring).objects):
        metadata = declared.manifest["metadata"]
        if not declared.patch:
            continue
        live = await cluster.get(kind_of(declared.manifest), metadata["name"], metadata["namespace"])
        if live is not None and owned_paths(live, FIELD_MANAGER):
            empty = _relinquishing(live)
            left = await cluster.apply(empty, manager=FIELD_MANAGER, force=False, dry_run=True)
            change = _change("relinquish", live, differences(_content(live), _content(left)))
            steps.append(Step(change, empty, declared))
    ours = await _ours(stack, cluster)
    return steps + [Step(_change("delete", live, _removal(live)), live, None) for live in ours]


async def carry_out_removal(stack: Stack, steps: Iterable[Step], cluster: Cluster, *, between: Between) -> list[str]:
    """Give patched fields back and delete what is ours, `between` as above. Returns a line for what had to stay."""
    left = []
    for done, step in enumerate(steps):
        between(done)
        if step.declared is None:
            left += await _remove(stack, step.manifest, cluster, between=partial(between, done))
        else:
            await cluster.apply(step.manifest, manager=FIELD_MANAGER, force=False, dry_run=False)
    return left


def _relinquishing(live: Object) -> Object:
    """Write the apply that owns nothing: fields without another owner fall back to their defaults.

    With the uid in it, the API server refuses rather than creates when the object is gone meanwhile.
    """
    keep = ("name", "namespace", "uid")
    metadata = {key: live["metadata"][key] for key in keep}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}


async def _ours(stack: Stack, cluster: Cluster) -> list[Object]:
    """Find what carries this stack's labels: attachments in every namespace, networks that make some, policies.

    Many clusters have no kubernetes-nmstate, and many users no right to it; then nothing there is ours.
    """
    found = await asyncio.gather(
        cluster.list(NETWORK_ATTACHMENT, labels=labels(stack.name)),
        _if_served(stack, CLUSTER_USER_NETWORK, cluster, needed=stack.user_network is not None),
        _if_served(stack, NODE_POLICY, cluster, needed=stack.uplink is not None),
        _if_served(stack, MIGRATION_POLICY, cluster, needed=bool(stack.migration_policies)),
    )
    # The controller of a network copies our labels to what it makes, which is its own all the same.
    return [
        live for listed in found for live in listed if owned_paths(live, FIELD_MANAGER) and controller_of(live) is None
    ]


async def _if_served(stack: Stack, kind: Kind, cluster: Cluster, *, needed: bool) -> list[Object]:
    try:
        return await cluster.list(kind, labels=labels(stack.name))
    except ClusterError as error:
        if needed or error.reason not in {"not-served", "forbidden", "not-gathered"}:
            raise
    return []


def _identity(manifest: Object) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _content(manifest: Object) -> Object:
    """Return what somebody declared, without what the API server writes itself."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVER_SIDE}
    if _WEBHOOK in metadata.get("annotations", {}):
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != _WEBHOOK}
    return {key: value for key, value in manifest.items() if key != "status"} | {"metadata": metadata}


def _removal(live: Object) -> Iterator[FieldChange]:
    return differences(_content(live).get("spec", {}), {}, "spec")


def _change(operation: Operation, manifest: Object, fields: Iterable[FieldChange]) -> ObjectChange:
    metadata = manifest["metadata"]
    # Names and versions identify the object; they are no change of it.
    identity = {"apiVersion", "kind", "metadata.name", "metadata.namespace"}
    kept = tuple(each for each in fields if each.path not in identity)
    return ObjectChange(operation, manifest["kind"], metadata.get("namespace", ""), metadata["name"], kept)
