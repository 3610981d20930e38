"""The cluster of a stack: how it is reached, and where KubeVirt lives in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from config.types.model import Model, refuse
from config.types.names import DnsLabel, InterfaceName


def _path(value: str) -> str:
    # A kubeconfig's contents would end up in the state and in `pulumi preview --json`, in plain text.
    if "\n" in value or value.lstrip().startswith("{") or "apiVersion" in value:
        refuse("kubeconfig-contents", "is the contents of a kubeconfig", "Write the path of the file")
    if not value.strip():
        refuse("kubeconfig-empty", "is empty", "Write the path of the file, or leave the key out to use $KUBECONFIG")
    if "$" in value:
        reason = "holds a variable, which Pulumi's provider takes as it stands"
        refuse("kubeconfig-variable", reason, "Write the path itself, or leave the key out to use $KUBECONFIG")
    if value.startswith("~") and not value.startswith("~/"):
        reason = "names a home folder in a way that Pulumi's provider does not know"
        refuse("kubeconfig-home", reason, "Write the whole path, or ~/ for the home of the account that runs it")
    return value


_PATH_SCHEMA = {
    "type": "string",
    "pattern": r"^[^\n$]*[^\s$][^\n$]*$",
    "not": {"pattern": r"^\s*\{|apiVersion|^~($|[^/])"},
}
_UID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class Cluster(Model):
    """How to reach one cluster.

    `context` is a context of the kubeconfig at `kubeconfig` (default: `$KUBECONFIG`, else `~/.kube/config`); a leading
    `~/` is the home folder of the account, whatever `$HOME` says, as for Pulumi's provider; other relative paths start
    at the project's folder. `uid` makes sure of it: a context that leads to another cluster is refused
    (docs/kubeconfig.md). `namespace` is KubeVirt's own: `openshift-cnv`, or `kubevirt-hyperconverged` upstream. `nodes`
    is the number of nodes that run virt-handler, when the demand for addresses shall be known.
    """

    context: str = Field(min_length=1)
    """A context of the kubeconfig."""
    kubeconfig: Annotated[str, AfterValidator(_path), WithJsonSchema(_PATH_SCHEMA)] | None = None
    """The kubeconfig's path; `$KUBECONFIG`, else `~/.kube/config`, when left out. Never its contents."""
    uid: str | None = Field(default=None, pattern=_UID_PATTERN)
    """UID of the cluster's namespace `kube-system`, which no other cluster has: every verb refuses another one.
    `oc get namespace kube-system -o jsonpath='{.metadata.uid}'` prints it, and `mignet init --from-cluster` writes
    it."""
    namespace: DnsLabel = "openshift-cnv"
    """KubeVirt's own namespace; `kubevirt-hyperconverged` upstream."""
    nodes: int | None = Field(default=None, ge=1, le=5000)
    """Nodes that run virt-handler, when the demand for addresses shall be known."""
    headroom: int = Field(default=20, ge=0, le=1000)
    """Percent of `nodes`, rounded up: addresses for leases of pods that are gone, which whereabouts takes back once a
    day at best. The default is two batches of a rollout, which restarts 10 % of the nodes at a time."""
    cross_cluster: bool | None = None
    """Whether VMs migrate between clusters, so that the sync controllers and their nodes need the network too."""
    sync_controllers: int = Field(default=2, ge=1, le=100)
    """Sync controllers of migrations between clusters, one address each: `spec.infra.replicas` of the KubeVirt object,
    which is 1 on single-node clusters."""
    default_route_interface: InterfaceName | None = None
    """The NIC of the nodes' default route, which an uplink must not use."""
