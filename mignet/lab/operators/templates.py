"""What the operators make, in the shape in which the real ones make it, cut down to what a migration network needs.

Shaped after the HyperConverged operator 1.18.1 and virt-operator 1.8.4. The images do not exist: nothing runs.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mignet.kube.kubevirt.sync_controllers import sync_controllers

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

KUBEVIRT_NAME = "kubevirt-kubevirt-hyperconverged"
HYPERCONVERGED_NAME = "kubevirt-hyperconverged"
HANDLER = "virt-handler"
SYNCHRONIZER = "virt-synchronization-controller"
VERSION, NEXT_VERSION, OLD_VERSION = "v1.8.4", "v1.9.0", "v1.6.6"

HYPERCONVERGED_OPERATOR = "hyperconverged-cluster-operator"
VIRT_OPERATOR = "virt-operator"
"""Field managers: the names of the operators' programs."""

NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
INTERFACE = "migration0"
GATE = "DecentralizedLiveMigration"
"""The feature gate without which there is no sync controller."""


_GATES = (
    "CPUManager",
    "Snapshot",
    "ExpandDisks",
    "HostDevices",
    "VMExport",
    "KubevirtSeccompProfile",
    "LiveUpdateNADRef",
    "WithHostModelCPU",
    "HypervStrictCheck",
    "VideoConfig",
    "HotplugVolumes",
)
_OLD_MODELS = (
    "486 Conroe Opteron_G1 Opteron_G2 athlon core2duo coreduo kvm32 kvm64 n270 pentium pentium2 pentium3 pentiumpro"
    " phenom qemu32 qemu64"
)
_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_MACHINES = {"amd64": ("q35*", "pc-q35*"), "arm64": ("virt*",), "s390x": ("s390-ccw-virtio*",)}


def kubevirt(owner: Object, *, migrations: Object, gate: bool, placement: Object | None = None) -> Object:
    """Return the KubeVirt that the HyperConverged operator makes of `owner`, on a highly available cluster."""
    profile = {"customProfile": {"localhostProfile": "kubevirt/kubevirt.json"}}
    return {
        "metadata": {
            "name": KUBEVIRT_NAME,
            "namespace": owner["metadata"]["namespace"],
            "labels": {
                "app": HYPERCONVERGED_NAME,
                "app.kubernetes.io/component": "compute",
                "app.kubernetes.io/managed-by": "hco-operator",
                "app.kubernetes.io/part-of": "hyperconverged-cluster",
                "app.kubernetes.io/version": "1.18.1",
            },
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "certificateRotateStrategy": {
                "selfSigned": {
                    "ca": {"duration": "48h0m0s", "renewBefore": "24h0m0s"},
                    "server": {"duration": "24h0m0s", "renewBefore": "12h0m0s"},
                }
            },
            "configuration": {
                "architectureConfiguration": {
                    name: {"emulatedMachines": list(machines), "machineType": machines[0].rstrip("*")}
                    for name, machines in _MACHINES.items()
                },
                "developerConfiguration": {
                    "cpuAllocationRatio": 10,
                    "diskVerification": {"memoryLimit": "2G"},
                    "featureGates": [*_GATES, *([GATE] if gate else [])],
                    "memoryOvercommit": 100,
                },
                "migrations": migrations,
                "network": {
                    "binding": {"l2bridge": {"domainAttachmentType": "managedTap", "migration": {}}},
                    "defaultNetworkInterface": "masquerade",
                },
                "obsoleteCPUModels": {f"{name}{end}": True for name in _OLD_MODELS.split() for end in ("", "-v1")},
                "seccompConfiguration": {"virtualMachineInstanceProfile": profile},
                "smbios": {"family": "KubeVirt", "manufacturer": "KubeVirt", "product": "None"},
                "tlsConfiguration": {"ciphers": list(_CIPHERS), "minTLSVersion": "VersionTLS12"},
                "vmRolloutStrategy": "LiveUpdate",
            },
            "customizeComponents": {},
            **({} if placement is None else {"infra": {"nodePlacement": placement}}),
            "productComponent": "compute",
            "productName": "hyperconverged-cluster",
            "productVersion": "1.18.1",
            "serviceMonitorNamespace": owner["metadata"]["namespace"],
            "uninstallStrategy": "BlockUninstallIfWorkloadsExist",
            "workloadUpdateStrategy": {
                "batchEvictionInterval": "1m0s",
                "batchEvictionSize": 10,
                "workloadUpdateMethods": ["LiveMigrate"],
            },
        },
    }


def handler(owner: Object, *, network: str | None) -> Object:
    """Return the DaemonSet of virt-handler that virt-operator makes of the KubeVirt `owner`."""
    container = {
        "name": HANDLER,
        "image": f"stand-in.invalid/kubevirt/virt-handler:{VERSION}",
        "command": ["virt-handler"],
        "args": ["--port", "8443", "--hostname-override", "$(NODE_NAME)", "--pod-ip-address", "$(MY_POD_IP)"],
        "env": [_field("NODE_NAME", "spec.nodeName"), _field("MY_POD_IP", "status.podIP")],
        "ports": [{"containerPort": 8443, "name": "metrics", "protocol": "TCP"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec = {
        "selector": {"matchLabels": {"kubevirt.io": HANDLER}},
        "template": _template(HANDLER, container, network, scc="kubevirt-handler"),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
    }
    return {"metadata": _metadata(owner, HANDLER), "spec": spec}


def synchronizer(owner: Object, *, network: str | None) -> Object:
    """Return the Deployment of the sync controller that virt-operator makes of the KubeVirt `owner`."""
    wanted = sync_controllers(owner, None)
    container = {
        "name": "sync",
        "image": f"stand-in.invalid/kubevirt/virt-synchronization-controller:{VERSION}",
        "command": [SYNCHRONIZER, "--v", "2", "--port", "9185"],
        "env": [_field("MY_POD_IP", "status.podIP")],
        "ports": [{"containerPort": 9185, "name": "sync", "protocol": "TCP"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    template = _template(SYNCHRONIZER, container, network, scc="restricted-v2")
    spec = {
        "replicas": wanted.replicas,
        "selector": {"matchLabels": {"kubevirt.io": SYNCHRONIZER}},
        "template": template | {"spec": template["spec"] | wanted.placement},
    }
    return {"metadata": _metadata(owner, SYNCHRONIZER), "spec": spec}


PLACEMENT = ("nodeSelector", "affinity", "tolerations")
"""Where the pods of a template may run."""
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""The annotation of a template by which `kubectl rollout restart` has pods made anew."""


def annotated(template: Object, network: str | None, *, without: str = NETWORKS) -> Object:
    """Return a pod template that asks multus for `network`, or for none, and does not have the annotation `without`."""
    old = template["metadata"]["annotations"].items()
    annotations = {key: value for key, value in old if key not in {NETWORKS, without}}
    if network:
        annotations[NETWORKS] = f"{network}@{INTERFACE}"
    return template | {"metadata": template["metadata"] | {"annotations": annotations}}


def fingerprint(template: Object) -> str:
    """Return a short hash of a pod template: pods of another one are out of date."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def owner_reference(owner: Object) -> Object:
    """Return the reference of a controller to itself, for what it makes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _metadata(owner: Object, name: str) -> Object:
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {"kubevirt.io": name, "app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": VIRT_OPERATOR},
        "ownerReferences": [owner_reference(owner)],
    }


def _template(name: str, container: Object, network: str | None, *, scc: str) -> Object:
    bare = {
        "metadata": {"labels": {"kubevirt.io": name}, "annotations": {"openshift.io/required-scc": scc}},
        "spec": {"containers": [container], "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]},
    }
    return annotated(bare, network)


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
