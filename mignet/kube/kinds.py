"""The kinds of object that this project reads and writes, and where an API server serves them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: where the API server serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    bulk: tuple[str, ...] = ()
    """Where an object of this kind has what nobody here reads, and is large with: lists leave it out."""

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.kind} ({self.api_version})"


NETWORK_ATTACHMENT = Kind("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions")
HYPERCONVERGED_V1BETA1 = Kind("hco.kubevirt.io", "v1beta1", "HyperConverged", "hyperconvergeds")
HYPERCONVERGED_V1 = Kind("hco.kubevirt.io", "v1", "HyperConverged", "hyperconvergeds")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("", "v1", "Node", "nodes", namespaced=False, bulk=("metadata.managedFields", "status.images"))
NODE_POLICY = Kind(
    "nmstate.io", "v1", "NodeNetworkConfigurationPolicy", "nodenetworkconfigurationpolicies", namespaced=False
)
NODE_ENACTMENT = Kind(
    "nmstate.io", "v1beta1", "NodeNetworkConfigurationEnactment", "nodenetworkconfigurationenactments", namespaced=False
)
_INTERFACES = "status.currentState.interfaces"
NODE_NETWORK_STATE = Kind(
    "nmstate.io",
    "v1beta1",
    "NodeNetworkState",
    "nodenetworkstates",
    namespaced=False,
    bulk=(
        *("metadata.managedFields", "status.currentState.dns-resolver", "status.currentState.routes.config"),
        *(f"status.currentState.routes.running.{key}" for key in ("metric", "next-hop-address", "table-id")),
        *(f"{_INTERFACES}.{key}" for key in ("accept-all-mac-addresses", "ethtool", "lldp", "mac-address")),
        *(f"{_INTERFACES}.{key}" for key in ("min-mtu", "statistics", "wait-ip")),
    ),
)
MIGRATION_POLICY = Kind("migrations.kubevirt.io", "v1alpha1", "MigrationPolicy", "migrationpolicies", namespaced=False)
OPENSHIFT_NETWORK = Kind("config.openshift.io", "v1", "Network", "networks", namespaced=False)

# What is read only.
KUBEVIRT = Kind("kubevirt.io", "v1", "KubeVirt", "kubevirts")
INSTANCE = Kind(
    "kubevirt.io",
    "v1",
    "VirtualMachineInstance",
    "virtualmachineinstances",
    bulk=(
        *("metadata.managedFields", "spec.accessCredentials", "spec.domain.devices", "spec.domain.features"),
        *("spec.volumes", "status.guestOSInfo", "status.volumeStatus"),
    ),
)
INSTANCE_WITH_DISKS = replace(
    INSTANCE,
    bulk=(
        *("metadata.managedFields", "spec.accessCredentials", "spec.domain.features", "spec.volumes"),
        *(f"spec.domain.devices.{key}" for key in ("disks", "filesystems", "inputs", "interfaces")),
        *("status.guestOSInfo", "status.phaseTransitionTimestamps"),
    ),
)
"""The same, with how large the disks are, and what is passed through."""
MACHINE = Kind(
    "kubevirt.io",
    "v1",
    "VirtualMachine",
    "virtualmachines",
    bulk=("metadata.managedFields", "spec.template", "spec.dataVolumeTemplates"),
)
MIGRATION = Kind("kubevirt.io", "v1", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations")
FORKLIFT = Kind("forklift.konveyor.io", "v1beta1", "ForkliftController", "forkliftcontrollers")
FORKLIFT_PLAN = Kind("forklift.konveyor.io", "v1beta1", "Plan", "plans")
CLUSTER_USER_NETWORK = Kind(
    "k8s.ovn.org", "v1", "ClusterUserDefinedNetwork", "clusteruserdefinednetworks", namespaced=False
)
IP_POOL = Kind("whereabouts.cni.cncf.io", "v1alpha1", "IPPool", "ippools")
IP_RESERVATION = Kind(
    "whereabouts.cni.cncf.io", "v1alpha1", "OverlappingRangeIPReservation", "overlappingrangeipreservations"
)
MULTI_NETWORK_POLICY = Kind("k8s.cni.cncf.io", "v1beta1", "MultiNetworkPolicy", "multi-networkpolicies")
POD = Kind("", "v1", "Pod", "pods", bulk=("metadata.managedFields", "spec.volumes"))
EVENT = Kind("", "v1", "Event", "events")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
DAEMON_SET = Kind("apps", "v1", "DaemonSet", "daemonsets")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
CRON_JOB = Kind("batch", "v1", "CronJob", "cronjobs")
JOB = Kind("batch", "v1", "Job", "jobs")
DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
OPENSHIFT_OPERATOR_NETWORK = Kind("operator.openshift.io", "v1", "Network", "networks", namespaced=False)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)

LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")

WRITTEN_KINDS = (
    *(NODE_POLICY, NETWORK_ATTACHMENT, HYPERCONVERGED_V1BETA1, HYPERCONVERGED_V1, MIGRATION_POLICY),
    *(CLUSTER_USER_NETWORK, LEASE, POD),
)


def kind_of(manifest: Object) -> Kind:
    """Return the kind of an object that this project writes. Raises KeyError for any other."""
    by_name = {(kind.api_version, kind.kind): kind for kind in WRITTEN_KINDS}
    return by_name[manifest["apiVersion"], manifest["kind"]]
