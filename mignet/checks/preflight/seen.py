"""What preflight knows of a cluster: what was read of it, the rights that are missing, and what a dry run says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from config.finding import natural
from config.hyperconverged import NAME
from config.planning.demand import Demand, demand_of
from mignet.kube.hyperconverged_versions import hyperconverged_kind
from mignet.kube.kinds import ACCESS_REVIEW, DEFINITION, KUBEVIRT, NODE, NODE_NETWORK_STATE, NODE_POLICY, Kind, Object
from mignet.kube.kubevirt.feature_gates import migrates_between_clusters
from mignet.kube.kubevirt.sync_controllers import SyncControllers, sync_controllers
from mignet.kube.network.node_network import Node
from mignet.kube.snapshot import Snapshot, UnreadError, where_served

if TYPE_CHECKING:
    from mignet.kube.client import ClusterError
    from mignet.kube.diff import FieldChange
    from mignet.kube.rbac import Right


@dataclass(frozen=True)
class Seen(Snapshot):
    """A snapshot, with the rights that the API server does not grant, and the outcome of a dry run of the limits."""

    denied: tuple[Right, ...] | ClusterError = ()
    dry_run: tuple[FieldChange, ...] | ClusterError = ()
    """Fields of the HyperConverged that another field manager owns, or why the API server refuses the patch."""

    @property
    def hyperconverged(self) -> Object | None:
        """The HyperConverged, None when there is none. Raises UnreadError."""
        return self.one(hyperconverged_kind(self.stack), NAME, self.stack.cluster.namespace)

    @property
    def missing_rights(self) -> tuple[Right, ...]:
        """The rights that are not granted. Raises UnreadError when nobody could be asked."""
        if isinstance(self.denied, tuple):
            return self.denied
        raise UnreadError(ACCESS_REVIEW, self.denied)

    @property
    def conflicts(self) -> tuple[FieldChange, ...]:
        """The fields that another field manager owns. Raises UnreadError when the dry run was refused."""
        if isinstance(self.dry_run, tuple):
            return self.dry_run
        raise UnreadError(hyperconverged_kind(self.stack), self.dry_run)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node with what nmstate says of it. Raises UnreadError when one of both cannot be read."""
        states = {state["metadata"]["name"]: state for state in self.all(NODE_NETWORK_STATE)}
        return tuple(
            Node.read(node, states.get(node["metadata"]["name"])) for node in sorted(self.all(NODE), key=_by_name)
        )

    @property
    def policies(self) -> tuple[Object, ...]:
        """Every policy of kubernetes-nmstate; none where it is not installed. Raises UnreadError."""
        return where_served(lambda: self.all(NODE_POLICY), ())

    @property
    def migrates_between_clusters(self) -> bool:
        """Whether sync controllers run here: as the stack says, else when KubeVirt has the gate on.

        Raises UnreadError.
        """
        said = self.stack.cluster.cross_cluster
        if said is not None:
            return said
        found = where_served(lambda: self.all(KUBEVIRT, self.stack.cluster.namespace), ())
        return any(map(migrates_between_clusters, found))

    @property
    def sync_controllers(self) -> SyncControllers | None:
        """The sync controllers of this cluster, None where nothing migrates between clusters. Raises UnreadError."""
        if not self.migrates_between_clusters:
            return None
        kubevirt = next(iter(self.all(KUBEVIRT, self.stack.cluster.namespace)), None)
        return sync_controllers(kubevirt, self.hyperconverged)

    @property
    def demand(self) -> Demand | None:
        """The addresses that the cluster needs now, None where nobody knows of nodes. Raises UnreadError."""
        handlers = sum(Node.read(node, None).schedulable for node in self.all(NODE))
        syncs = self.sync_controllers
        return demand_of(
            self.stack.cluster, nodes=handlers or None, sync_controllers=0 if syncs is None else syncs.replicas
        )

    def definition(self, kind: Kind) -> Object | None:
        """Return the CustomResourceDefinition of a kind, None when there is none. Raises UnreadError."""
        return self.one(DEFINITION, definition_name(kind))


def definition_name(kind: Kind) -> str:
    """Return the name of a kind's CustomResourceDefinition."""
    return f"{kind.plural}.{kind.group}"


def _by_name(node: Object) -> tuple[tuple[str, int], ...]:
    return natural(node["metadata"]["name"])
