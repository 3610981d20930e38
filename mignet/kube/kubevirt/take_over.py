"""What an apply of the limits takes from others, and what a switch of the network does to virt-handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from config.hyperconverged import NAME
from mignet.kube.client import ConflictError
from mignet.kube.diff import FieldChange
from mignet.kube.hyperconverged_versions import hyperconverged_kind, limits_path
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object


async def conflicts(stack: Stack, cluster: Cluster, live: Object) -> tuple[FieldChange, ...]:
    """Return the fields of the HyperConverged that the stack wants and another field manager owns.

    Asks the API server by a dry run. Raises ClusterError when it refuses the patch for another reason.
    """
    kind = hyperconverged_kind(stack)
    manifest = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": NAME, "namespace": stack.cluster.namespace, "uid": live["metadata"]["uid"]},
        "spec": stack.hyper_converged.spec(stack.network),
    }
    try:
        await cluster.apply(manifest, manager=FIELD_MANAGER, force=False, dry_run=True)
    except ConflictError as error:
        return tuple(
            FieldChange(each.path, value_at(live, each.path), value_at(manifest, each.path), each.owner)
            for each in error.conflicts
        )
    return ()


def network_named(hyperconverged: Object | None) -> str | None:
    """Return the migration network that a HyperConverged names, in whatever version it is; None when it names none."""
    if hyperconverged is None:
        return None
    found = value_at(hyperconverged, f"{limits_path(hyperconverged['apiVersion'])}.network")
    return found if isinstance(found, str) and found else None


def switches(stack: Stack, old: object) -> str:
    """Say what a switch of the network does, as the rest of a sentence that begins with the HyperConverged."""
    return (
        f"switches from {old} to {stack.network}: every virt-handler restarts, one after the other, and migrations fail"
        " meanwhile"
    )
