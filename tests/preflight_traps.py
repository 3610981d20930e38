"""Traps for preflight, as edits of a healthy cluster's objects: for a snapshot in memory, and for a real API server."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.stack import Stack, load_stack
from mignet import kinds
from mignet.kinds import Kind
from mignet.lab import definitions, seeds

Object = dict[str, Any]
Place = tuple[Kind, str, str]
"""A kind, a namespace (empty for what belongs to the whole cluster), a name."""
Change = Callable[[Object | None], Object | None]
"""What makes of an object, None when there is none, another one; None takes it away."""
Edit = tuple[Place, Change]

SLIM = definitions.SLIM
NAMESPACE = "openshift-cnv"
HYPERCONVERGED: Place = (kinds.HYPERCONVERGED_V1BETA1, NAMESPACE, "kubevirt-hyperconverged")
KUBEVIRT: Place = (kinds.KUBEVIRT, NAMESPACE, "kubevirt-kubevirt-hyperconverged")
RECONCILER: Place = (kinds.DAEMON_SET, "openshift-multus", "whereabouts-reconciler")
MULTUS: Place = (kinds.DAEMON_SET, "openshift-multus", "multus")
NETWORK: Place = (kinds.OPENSHIFT_NETWORK, "", "cluster")
NODES = ("dev-control-plane-0", "dev-worker-0", "dev-worker-1", "dev-worker-2")
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
WORKERS = {"node-role.kubernetes.io/worker": ""}

CONFIG: Object = {
    "segment": {"subnet": "10.200.5.0/24", "vlan": 2001, "mtu": 9000, "gateway": "10.200.5.1"},
    "cluster": {"context": "dev"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
}


def path(place: Place) -> str:
    kind, namespace, name = place
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    return f"{root}{f'/namespaces/{namespace}' if namespace else ''}/{kind.plural}/{name}"


def stack(config: Object | None = None) -> Stack:
    return load_stack("dev", merged(CONFIG, config or {}))


def merged(base: Object, change: Object) -> Object:
    """Return `base` with `change` in it: None takes a key away."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict) and value.get("type") is None:
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def kubevirt(*gates: str) -> Object:
    configuration = {"developerConfiguration": {"featureGates": list(gates)}}
    return _object(KUBEVIRT, spec={"configuration": configuration})


def daemon_set(place: Place) -> Object:
    labels = {"app": place[2]}
    container = {"name": place[2], "image": f"registry.example/{place[2]}:v1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return _object(place, spec={"selector": {"matchLabels": labels}, "template": template})


def _object(place: Place, **rest: Any) -> Object:
    kind, namespace, name = place
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **rest}


def edit(place: Place, **changes: Any) -> Edit:
    """Merge into an object, which is made when it is not there."""

    def change(old: Object | None) -> Object:
        return merged(old or _object(place), changes)

    return place, change


def gone(place: Place) -> Edit:
    return place, lambda _: None


def there(manifest: Object, kind: Kind) -> Edit:
    metadata = manifest["metadata"]
    return (kind, metadata.get("namespace", ""), metadata["name"]), lambda _: manifest


def state(node: str, change: Callable[[Object], None]) -> Edit:
    """Edit what nmstate says of a node."""

    def changed(old: Object | None) -> Object:
        assert old is not None
        new = copy.deepcopy(old)
        change(new["status"]["currentState"])
        return new

    return (kinds.NODE_NETWORK_STATE, "", node), changed


def nic(node: str, name: str, **keys: Any) -> Edit:
    """Change a NIC of a node, or add one."""

    def change(current: Object) -> None:
        for each in current["interfaces"]:
            if each["name"] == name:
                each.update(keys)
                return
        current["interfaces"].append({"name": name, "type": "ethernet", "state": "up", "mtu": 9000} | keys)

    return state(node, change)


def without(node: str, *names: str) -> Edit:
    def change(current: Object) -> None:
        current["interfaces"] = [each for each in current["interfaces"] if each["name"] not in names]

    return state(node, change)


def address(cidr: str) -> Object:
    ip, _, prefix = cidr.partition("/")
    return {"enabled": True, "address": [{"ip": ip, "prefix-length": int(prefix)}]}


def policy(name: str, *interfaces: Object, selector: Object | None = None, stack: str = "", **state: Any) -> Edit:
    """Add a policy of somebody else's, or of a stack's own."""
    ours = {"app.kubernetes.io/managed-by": "migration-network", "app.kubernetes.io/part-of": "migration-network"}
    labels = ours | {"app.kubernetes.io/instance": stack} if stack else {}
    desired = {"interfaces": list(interfaces)} | state
    spec = {"desiredState": desired} | ({"nodeSelector": selector} if selector else {})
    place = (kinds.NODE_POLICY, "", name)
    return place, lambda _: merged(_object(place), {"spec": spec, "metadata": {"name": name, "labels": labels}})


def bridge(node: str, name: str, *ports: str, kind: str = "linux-bridge", mapping: str | None = None) -> Edit:
    def change(current: Object) -> None:
        listed = [{"name": port} for port in ports]
        current["interfaces"].append(
            {"name": name, "type": kind, "state": "up", "mtu": 9000, "bridge": {"port": listed}}
        )
        if mapping:
            current["ovn"] = {"bridge-mappings": [{"localnet": mapping, "bridge": name}]}

    return state(node, change)


def reported(interfaces: tuple[Object, ...], route: str, **more: Any) -> tuple[Edit, ...]:
    """Have every node report these interfaces, with the default route on one of them."""

    def change(current: Object) -> None:
        current["interfaces"] = copy.deepcopy(list(interfaces))
        current["routes"]["running"] = [{"destination": "0.0.0.0/0", "next-hop-interface": route, "table-id": 254}]
        current |= more

    return tuple(state(node, change) for node in NODES)


def tagged(node: str, name: str, base: str, tag: int, **keys: Any) -> Edit:
    return nic(node, name, type="vlan", vlan={"id": tag, "base-iface": base}, **keys)


def filtered(node: str, name: str, port: str, filter_: Object, *, kind: str = "linux-bridge") -> Edit:
    """Add a bridge whose port lets some VLANs through; an OVS bridge is mapped to physnet."""

    def change(current: Object) -> None:
        ports = {"port": [{"name": port, "vlan": filter_}]}
        current["interfaces"].append({"name": name, "type": kind, "state": "up", "mtu": 9000, "bridge": ports})
        if kind == "ovs-bridge":
            current["ovn"] = {"bridge-mappings": [{"localnet": "physnet", "bridge": name}]}

    return state(node, change)


def ovs_bond(node: str, bridge_: str, *nics: str, patched_to: str = "br-int") -> Edit:
    """Put NICs into a bond inside an OVS bridge, where OVN maps physnet to, with OVN's own patch port."""

    def change(current: Object) -> None:
        for each in current["interfaces"]:
            if each["name"] in nics:
                each["controller"] = bridge_
        members = {"mode": "balance-slb", "port": [{"name": nic} for nic in nics]}
        ports = [{"name": "ovs-bond", "link-aggregation": members}, {"name": f"patch-phy-to-{patched_to}"}]
        current["interfaces"].append({"name": bridge_, "type": "ovs-bridge", "state": "up", "bridge": {"port": ports}})
        current["ovn"] = {"bridge-mappings": [{"localnet": "physnet", "bridge": bridge_}]}

    return state(node, change)


def default_bridge(node: str) -> Edit:
    """Put the default route on OVN-Kubernetes's bridge, and the localnet beside it."""

    def change(current: Object) -> None:
        nic = next(each for each in current["interfaces"] if each["name"] == "eth0")
        ports = [{"name": "eth0"}, {"name": "br-ex"}]
        current["interfaces"] += [
            {"name": "br-ex", "type": "ovs-bridge", "state": "up", "bridge": {"port": ports}},
            # nmstate reports the internal port with the bridge of its own name above it.
            {
                "name": "br-ex",
                "type": "ovs-interface",
                "state": "up",
                "mtu": 1500,
                "controller": "br-ex",
                "ipv4": nic.pop("ipv4"),
            },
        ]
        for route in current["routes"]["running"]:
            route["next-hop-interface"] = "br-ex"
        current["ovn"] = {"bridge-mappings": [{"localnet": "physnet", "bridge": "br-ex"}]}

    return state(node, change)


def attachment(
    name: str,
    config: Object,
    *,
    namespace: str = "default",
    manager: str = "kubectl-create",
    owner: Object | None = None,
) -> Edit:
    metadata: Object = {"name": name, "namespace": namespace}
    metadata["managedFields"] = [{"manager": manager, "operation": "Update"}]
    if owner is not None:
        metadata["ownerReferences"] = [{"apiVersion": "k8s.ovn.org/v1", "controller": True, "uid": "1"} | owner]
    manifest = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": metadata,
        "spec": {"config": json.dumps({"cniVersion": "0.3.1", "name": name} | config)},
    }
    return there(manifest, kinds.NETWORK_ATTACHMENT)


def whereabouts(range_: str, **keys: Any) -> Object:
    return {"type": "macvlan", "master": "eth2", "ipam": {"type": "whereabouts", "range": range_} | keys}


def user_network(name: str, **localnet: Any) -> Edit:
    network = {"topology": "Localnet", "localnet": {"role": "Secondary", "physicalNetworkName": "physnet"} | localnet}
    place: Place = (kinds.CLUSTER_USER_NETWORK, "", name)
    return edit(place, spec={"namespaceSelector": {}, "network": network})


HOST_LOCAL: Object = {"type": "host-local", "subnet": "10.200.5.0/24"}
LOCALNET_CONFIG: Object = {"type": "ovn-k8s-cni-overlay", "topology": "localnet", "subnets": "10.200.5.0/24"}


def machine(name: str, *networks: str, namespace: str = "shop") -> Edit:
    multus = [{"name": f"n{i}", "multus": {"networkName": network}} for i, network in enumerate(networks)]
    listed = [{"name": "default", "pod": {}}, *multus]
    place: Place = (kinds.INSTANCE, namespace, name)
    return edit(place, spec={"domain": {"devices": {}}, "networks": listed})


PINNED = {"hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 150}}}


def patched(*operations: Object, component: str = "kubevirt") -> Edit:
    """Have the operator patch what it makes of the HyperConverged."""
    annotation = {f"{component}.kubevirt.io/jsonpatch": json.dumps(operations)}
    return edit(HYPERCONVERGED, metadata={"annotations": annotation})


def _plugin(*commands: str) -> Object:
    """whereabouts' own DaemonSet, as it is upstream."""
    manifest = daemon_set((kinds.DAEMON_SET, "kube-system", "whereabouts"))
    manifest["spec"]["template"]["spec"]["containers"][0] |= {
        "command": ["/bin/sh"],
        "args": ["-c", " && ".join(commands)],
    }
    return manifest


def _deployment() -> Object:
    place: Place = (kinds.DEPLOYMENT, "kube-system", "whereabouts-reconciler")
    return daemon_set(place) | {"kind": "Deployment"}


def _cron_job() -> Object:
    place: Place = (kinds.CRON_JOB, "kube-system", "ip-reconciler")
    template = daemon_set(place)["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    return _object(place, spec={"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}})


def definition(name: str, change: Callable[[Object], None] | None) -> Edit:
    def changed(old: Object | None) -> Object | None:
        if change is None:
            return None
        new = copy.deepcopy(old)
        assert new is not None
        change(new)
        return new

    return (kinds.DEFINITION, "", name), changed


def versions(**served: bool) -> Callable[[Object], None]:
    def change(found: Object) -> None:
        first = found["spec"]["versions"][0]
        found["spec"]["versions"] = [
            first | {"name": name, "served": is_served, "storage": index == 0}
            for index, (name, is_served) in enumerate(served.items())
        ]

    return change


@dataclass(frozen=True)
class Trap:
    """Something that is wrong with a cluster, and the only code that it gives. `says` is part of the finding's line."""

    code: str
    edits: tuple[Edit, ...] = ()
    config: Object | None = None
    says: str = ""

    def __str__(self) -> str:
        return f"{self.code}-{self.says.replace(' ', '_')[:30]}"


def healthy(folder: Path = SLIM, *, release: str = "v1.18.1") -> dict[Place, Object]:
    """Return the objects of a cluster on which preflight finds nothing: the lab's own seeds, and what they lack."""
    site = seeds.Site("dev", 0)
    found = definitions.load(folder, hco_release=release)
    objects: dict[Place, Object] = {}
    by_kind = {each.kind: each for each in (kinds.NAMESPACE, kinds.NODE, kinds.NODE_NETWORK_STATE)}
    for item in seeds.cluster_objects(site):
        if (kind := by_kind.get(item["kind"])) is not None:
            objects[kind, "", item["metadata"]["name"]] = item
        elif item["apiVersion"].startswith("config.openshift.io"):
            objects[NETWORK] = item
    for each in found:
        objects[kinds.DEFINITION, "", each["metadata"]["name"]] = each
    if (kinds.DEFINITION, "", "ippools.whereabouts.cni.cncf.io") not in objects:
        pools = {"versions": [{"name": "v1alpha1", "served": True, "storage": True}]}
        name = "ippools.whereabouts.cni.cncf.io"
        objects[kinds.DEFINITION, "", name] = {"metadata": {"name": name}, "spec": pools}
    limits = {"completionTimeoutPerGiB": 150, "progressTimeout": 150}
    objects[HYPERCONVERGED] = _object(HYPERCONVERGED, spec={"liveMigrationConfig": limits}) | {
        "status": {"versions": [{"name": "operator", "version": "1.18.1"}], "observedGeneration": 1}
    }
    objects[HYPERCONVERGED]["metadata"] |= {"generation": 1, "uid": "1"}
    objects[KUBEVIRT] = kubevirt("DecentralizedLiveMigration")
    objects |= {place: daemon_set(place) for place in (RECONCILER, MULTUS)}
    return objects


ON_WORKERS = {"nodeSelector": WORKERS}
SHIM = {
    "name": "whereabouts-shim",
    "namespace": "default",
    "type": "Raw",
    "rawCNIConfig": '{"name": "whereabouts-shim", "type": "bridge", "ipam": {"type": "whereabouts"}}',
}
LOCALNET = {"type": "localnet", "name": "migration", "physicalNetworkName": "physnet"}
BRIDGE = {"type": "bridge", "name": "migration", "bridge": "br1", "vlan": 2001, "preserveDefaultVlan": False}


UNTAGGED = {"vlan-untagged": "the uplink of the bridge tags"}


def everywhere(make: Callable[[str], Edit]) -> tuple[Edit, ...]:
    return tuple(make(node) for node in NODES)


def _bond(node: str) -> Edit:
    return nic(node, "bond0", type="bond", **{"link-aggregation": {"mode": "802.3ad", "port": ["eth1", "eth2"]}})


BONDED = everywhere(_bond)
TAKES_NFS: Object = {
    "segment": {"vlan": 3876},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1.3876"},
    "uplink": {"vlan": {"baseInterface": "eth1"}},
}
BONDS_ETH3: Object = {
    "attachment": {"type": "macvlan", "name": "migration", "master": "bond1"},
    "uplink": {"bond": {"name": "bond1", "ports": ["eth3", "eth4"], "mode": "802.3ad"}},
    "waivers": {"uplink-untagged": "access ports"},
}


def _nic(name: str, mtu: int, kind: str = "ethernet", **keys: Any) -> Object:
    return {"name": name, "type": kind, "state": "up", "mtu": mtu, "ipv4": {"enabled": False}} | keys


def _in_bond(name: str, mtu: int, *ports: str) -> Object:
    return _nic(name, mtu, "bond", **{"link-aggregation": {"mode": "802.3ad", "port": list(ports)}})


_CNF_WORKER = (
    # The internal port with the bridge's ports in it, as nmstate of 2021 reported them, and pods' ends of veth pairs.
    _nic(
        "br-ex",
        1500,
        "ovs-interface",
        bridge={"port": [{"name": "br-ex"}, {"name": "eno2"}]},
        ipv4=address("10.0.11.11/27"),
    ),
    _nic("br-int", 1400, "ovs-interface", state="down", bridge={}),
    _nic("2735c4a3d86e4b5", 1400, state="down"),
    _nic("genev_sys_6081", 65000, "unknown", state="down"),
    _nic("lo", 65536, "unknown", state="down"),
    _nic("idrac", 1500, ipv4=address("169.254.0.2/24")),
    *(_nic(name, 1500) for name in ("eno1", "eno2", "eno3", "eno4")),
)
_CNV_WORKSHOP = (
    _nic("enp2s0", 1500, ipv4=address("192.168.123.104/24")),
    _nic("enp3s0", 1500, controller="br1"),
    _nic("br1", 1500, "linux-bridge", bridge={"options": {"stp": {"enabled": False}}, "port": [{"name": "enp3s0"}]}),
    _nic("veth4d1f", 1400, "veth", controller="br1"),
)
_TWO_BONDS = (
    *(_nic(name, 9000) for name in ("fe1", "fe2", "lm1", "lm2")),
    _in_bond("bond0", 9000, "fe1", "fe2"),
    _in_bond("bond1", 9000, "lm1", "lm2"),
    _nic("bond0.178", 9000, "vlan", vlan={"base-iface": "bond0", "id": 178}),
    _nic("bond1.179", 9000, "vlan", vlan={"base-iface": "bond1", "id": 179}),
    _nic("br-ex", 9000, "ovs-bridge", bridge={"port": [{"name": "bond0.178"}, {"name": "br-ex"}]}),
    _nic("br-ex", 9000, "ovs-interface", controller="br-ex", ipv4=address("10.1.48.111/24")),
)
_BALANCE_SLB = (
    *(_nic(name, 9000, controller="br-phy") for name in ("ens33", "ens34")),
    _nic("br-ex", 9000, "ovs-bridge", bridge={"port": [{"name": "br-ex"}, {"name": "patch-ex-to-phy"}]}),
    _nic("br-ex", 9000, "ovs-interface", controller="br-ex", ipv4=address("10.132.254.25/24")),
    _nic("patch-ex-to-phy", 1500, "ovs-interface", patch={"peer": "patch-phy-to-ex"}),
    _nic("patch-phy-to-ex", 1500, "ovs-interface", patch={"peer": "patch-ex-to-phy"}),
    _nic(
        "br-phy",
        9000,
        "ovs-bridge",
        bridge={
            "port": [
                {"name": "patch-phy-to-ex", "vlan": {"mode": "access", "tag": 100}},
                {
                    "name": "ovs-bond",
                    "link-aggregation": {"mode": "balance-slb", "port": [{"name": "ens33"}, {"name": "ens34"}]},
                },
            ]
        },
    ),
)
_BOND1_POLICY = policy(
    "bond1-vlan179",
    {"name": "bond1", "type": "bond", "link-aggregation": {"mode": "802.3ad", "ports": ["lm1", "lm2"]}},
    {"name": "bond1.179", "type": "vlan", "vlan": {"base-iface": "bond1", "id": "179"}},
)


TRAPS: tuple[Trap, ...] = (
    # The APIs and their operators.
    Trap(
        "whereabouts-missing",
        (definition("ippools.whereabouts.cni.cncf.io", None),),
        says="does not exist: whereabouts is not installed",
    ),
    Trap(
        "api-version",
        (definition("ippools.whereabouts.cni.cncf.io", versions(v1beta1=True, v1alpha1=False)),),
        says="serves v1beta1, and v1alpha1 is needed. Upgrade its operator",
    ),
    Trap("kubevirt-missing", (gone(KUBEVIRT),), says="does not exist, though the HyperConverged does"),
    Trap("multus-missing", (gone(MULTUS),), says="pods may start without a second interface"),
    Trap("reconciler-missing", (gone(RECONCILER),), says="leases of pods that are gone are never freed"),
    Trap(
        "reconciler-missing",
        (gone(RECONCILER), there(_plugin("/install-cni.sh"), kinds.DAEMON_SET)),
        says="nor does another reconciler of whereabouts",
    ),
    Trap(
        "vm-attached",
        (machine("web", "openshift-cnv/migration"),),
        says="VirtualMachineInstance shop/web is attached to migration, where the memory",
    ),
    # Without a namespace it is the machine's own.
    Trap(
        "vm-attached",
        tuple(machine(f"vm-{n}", "migration", namespace=NAMESPACE) for n in range(7)),
        says="openshift-cnv/vm-4 and 2 more are attached to migration",
    ),
    # The HyperConverged.
    Trap("namespace-missing", config={"cluster": {"namespace": "nowhere"}}, says="Namespace nowhere does not exist"),
    Trap("hyperconverged-missing", (gone(HYPERCONVERGED),), says="Create it with the operator's own default first"),
    Trap(
        "operator-degraded",
        (
            edit(
                HYPERCONVERGED,
                status={
                    "conditions": [
                        {
                            "type": "ReconcileComplete",
                            "status": "False",
                            "reason": "X",
                            "message": "cannot reach the registry",
                            "lastTransitionTime": "2026-01-01T00:00:00Z",
                        }
                    ]
                },
            ),
        ),
        says="says: ReconcileComplete is False since 2026-01-01T00:00:00Z (cannot reach the registry)",
    ),
    Trap(
        "operator-asleep",
        (edit(HYPERCONVERGED, status={"observedGeneration": 0}),),
        says="the HyperConverged operator has only looked at 0",
    ),
    Trap(
        "limit-unmanaged",
        (edit(HYPERCONVERGED, spec={"liveMigrationConfig": {"parallelMigrationsPerCluster": 9}}),),
        says="parallelMigrationsPerCluster 9 is not this release's default 5",
    ),
    Trap(
        "gate-off",
        (edit(KUBEVIRT, spec={"configuration": {"developerConfiguration": {"featureGates": ["Snapshot"]}}}),),
        {"cluster": {"crossCluster": True}},
        says="does not list the feature gate DecentralizedLiveMigration (release 1.1",
    ),
    # The limits, as they are after up.
    Trap(
        "limit-zero",
        (edit(HYPERCONVERGED, spec={"liveMigrationConfig": {"progressTimeout": 0}}),),
        says="spec.liveMigrationConfig.progressTimeout 0 is no limit: a migration that is stuck is never cancelled",
    ),
    Trap(
        "migration-too-slow",
        (edit(HYPERCONVERGED, spec={"liveMigrationConfig": {"bandwidthPerMigration": "4Mi"}}),),
        says="lets 1 GiB take 256 s, and completionTimeoutPerGiB allows 150 s",
    ),
    Trap(
        "migration-too-slow",
        config={"hyperConverged": {"liveMigration": {"bandwidthPerMigration": "4Mi"}}},
        says="Raise bandwidthPerMigration to 7Mi or more, or completionTimeoutPerGiB to 256 or more",
    ),
    # The nodes.
    Trap(
        "handlers-none",
        tuple(
            edit((kinds.NODE, "", node), metadata={"labels": {"kubevirt.io/schedulable": None}}) for node in NODES[1:]
        ),
        says="on none of 4 nodes",
    ),
    Trap(
        "slice-short",
        config={"slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.14"}},
        says="has 5 addresses, and the cluster needs 7 (3 nodes + 2 sync controllers + 1",
    ),
    Trap(
        "node-state-missing", (gone((kinds.NODE_NETWORK_STATE, "", "dev-worker-1")),), says="Node dev-worker-1 is not"
    ),
    Trap("nic-single", (without("dev-worker-1", "eth1"),), says="Node dev-worker-1 has one NIC"),
    Trap(
        "nic-missing",
        (without("dev-worker-1", "eth1"), nic("dev-worker-1", "eth9")),
        says="Node dev-worker-1 NIC eth1 is missing; virt-handler may run there",
    ),
    Trap(
        "nic-missing",
        (without("dev-control-plane-0", "eth1"), nic("dev-control-plane-0", "eth9")),
        {"cluster": {"crossCluster": True}},
        says="the sync controller may run there",
    ),
    # Where the stack says nothing, KubeVirt's gate does.
    Trap(
        "nic-missing",
        (without("dev-control-plane-0", "eth1"), nic("dev-control-plane-0", "eth9")),
        says="the sync controller may run there",
    ),
    # Where the HyperConverged names other nodes for them, those are looked at.
    Trap(
        "nic-missing",
        (
            edit((kinds.NODE, "", "dev-worker-1"), metadata={"labels": {"kubevirt.io/schedulable": None}}),
            without("dev-worker-1", "eth1"),
            nic("dev-worker-1", "eth9"),
            without("dev-control-plane-0", "eth1"),
            edit(HYPERCONVERGED, spec={"infra": {"nodePlacement": ON_WORKERS}}),
        ),
        says="Node dev-worker-1 NIC eth1 is missing; the sync controller may run there",
    ),
    Trap(
        "nic-missing",
        config={"attachment": {"type": "macvlan", "name": "migration", "master": "eth7"}},
        says="NIC eth7 is missing on dev-worker-0, dev-worker-1, dev-worker-2; virt-handler",
    ),
    Trap("nic-down", (nic("dev-worker-1", "eth1", state="down"),), says="NIC eth1 is down"),
    Trap(
        "nic-type",
        everywhere(lambda node: bridge(node, "br7", "eth1", kind="ovs-bridge")),
        {"attachment": {"type": "macvlan", "name": "migration", "master": "br7"}},
        says="is of type ovs-bridge, and attachment.type macvlan takes a NIC, a VLAN interface, a bond or a",
    ),
    Trap(
        "nic-type",
        everywhere(lambda node: bridge(node, "br1", "eth1", kind="ovs-bridge")),
        {"attachment": BRIDGE},
        says="takes a Linux bridge (an Open vSwitch bridge takes type localnet)",
    ),
    Trap(
        "nic-down",
        (nic("dev-worker-1", "eth1", state="down"), *everywhere(lambda node: bridge(node, "br1", "eth1"))),
        {"attachment": BRIDGE},
        says="NIC br1 stands on eth1 alone, which is down",
    ),
    Trap("nic-enslaved", (bridge("dev-worker-1", "br7", "eth1"),), says="is a port of br7"),
    Trap("nic-enslaved", (nic("dev-worker-1", "eth1", controller="bond0"),), says="is a port of bond0"),
    Trap(
        "nic-default-route",
        everywhere(lambda node: nic(node, "eth0", mtu=9000)),
        {"attachment": {"type": "macvlan", "name": "migration", "master": "eth0"}},
        says="NIC eth0 has the default route",
    ),
    Trap("nic-mtu", (nic("dev-worker-1", "eth1", mtu=1500),), says="has MTU 1500, and 9000 is needed"),
    Trap(
        "nic-vlan",
        everywhere(lambda node: nic(node, "eth1.7", type="vlan", vlan={"id": 7, "base-iface": "eth1"})),
        {"attachment": {"type": "macvlan", "name": "migration", "master": "eth1.7"}},
        says="tags VLAN 7, and segment.vlan is 2001",
    ),
    Trap(
        "nic-vlan",
        (
            *everywhere(lambda node: tagged(node, "eth1.300", "eth1", 300)),
            *everywhere(lambda node: bridge(node, "br1", "eth1.300")),
        ),
        {"attachment": BRIDGE | {"vlan": None, "preserveDefaultVlan": None}, "waivers": UNTAGGED},
        says="stands on eth1.300, which tags VLAN 300, and segment.vlan is 2001",
    ),
    Trap(
        "uplink-double-tag",
        (
            *everywhere(lambda node: tagged(node, "eth1.2001", "eth1", 2001)),
            *everywhere(lambda node: bridge(node, "br1", "eth1.2001")),
        ),
        {"attachment": BRIDGE},
        says="stands on eth1.2001, which tags with 2001 what attachment.vlan tags with 2001 already",
    ),
    Trap(
        "uplink-double-tag",
        (
            *everywhere(lambda node: tagged(node, "eth1.7", "eth1", 7)),
            *everywhere(lambda node: tagged(node, "eth1.7.2001", "eth1.7", 2001)),
        ),
        {"attachment": {"type": "macvlan", "name": "migration", "master": "eth1.7.2001"}},
        says="tags 2001, 7, one inside the other",
    ),
    Trap(
        "uplink-trunk",
        everywhere(lambda node: filtered(node, "br1", "eth1", {"mode": "trunk", "trunk-tags": [{"id": 100}]})),
        {"attachment": BRIDGE},
        says="has port eth1, a trunk of VLAN 100, which does not let VLAN 2001 of the attachment pass",
    ),
    Trap(
        "uplink-trunk",
        everywhere(lambda node: filtered(node, "br1", "eth1", {"mode": "access", "tag": 300})),
        {"attachment": BRIDGE},
        says="has port eth1, an access port of VLAN 300, which does not let VLAN 2001 of the attachment pass",
    ),
    Trap(
        "uplink-trunk",
        everywhere(lambda node: filtered(node, "br-x", "eth1", {"mode": "access", "tag": 300}, kind="ovs-bridge")),
        {"attachment": LOCALNET},
        says="has port eth1, an access port of VLAN 300",
    ),
    Trap(
        "uplink-trunk",
        everywhere(
            lambda node: filtered(
                node,
                "br-x",
                "eth1",
                {"mode": "trunk", "trunk-tags": [{"id-range": {"min": 100, "max": 2000}}, {"id": 7}]},
                kind="ovs-bridge",
            )
        ),
        {"attachment": LOCALNET},
        says="has port eth1, a trunk of VLAN 100-2000, 7",
    ),
    Trap(
        "nic-mtu",
        (nic("dev-worker-1", "eth1", mtu=1500), *everywhere(lambda node: ovs_bond(node, "br-phy", "eth1", "eth2"))),
        {"attachment": LOCALNET},
        says="NIC br-phy stands on eth1 with MTU 1500, and 9000 is needed",
    ),
    Trap(
        "nic-mtu",
        (nic("dev-worker-1", "eth1", **{"max-mtu": 4000, "controller": "bond0", "mtu": None}), *BONDED),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "bond0.2001"},
            "uplink": {"vlan": {"baseInterface": "bond0"}},
        },
        says="NIC bond0 stands on eth1 with MTU at most 4000, and 9000 is needed",
    ),
    Trap(
        "bridge-without-nic",
        everywhere(lambda node: bridge(node, "br-x", "patch-vmnet-to-br-int", kind="ovs-bridge", mapping="physnet")),
        {"attachment": LOCALNET},
        says="NIC br-x has no NIC as its port, only patch-vmnet-to-br-int",
    ),
    Trap(
        "bridge-without-nic",
        everywhere(lambda node: bridge(node, "br1", "bond7")),
        {"attachment": BRIDGE},
        says="NIC br1 has no NIC as its port, only bond7",
    ),
    Trap(
        "nic-default-route",
        everywhere(default_bridge),
        {"segment": {"mtu": 1400}, "attachment": {"type": "macvlan", "name": "migration", "master": "br-ex"}},
        says="NIC br-ex has the default route",
    ),
    Trap(
        "default-route-shared",
        everywhere(lambda node: tagged(node, "eth0.2001", "eth0", 2001, mtu=1500)),
        {"segment": {"mtu": 1400}, "attachment": {"type": "macvlan", "name": "migration", "master": "eth0.2001"}},
        says="NIC eth0.2001 stands on eth0, which has the default route: the kernel passes tagged frames there, but",
    ),
    Trap(
        "default-route-shared",
        (
            *everywhere(default_bridge),
            *everywhere(lambda node: tagged(node, "eth0.2001", "eth0", 2001, mtu=1500)),
        ),
        {"segment": {"mtu": 1400}, "attachment": {"type": "macvlan", "name": "migration", "master": "eth0.2001"}},
        says="NIC eth0.2001 stands on eth0, which carries the default route of br-ex",
    ),
    Trap(
        "default-route-shared",
        everywhere(default_bridge),
        {
            "segment": {"mtu": 1400},
            "attachment": {"type": "macvlan", "name": "migration", "master": "eth0.2001"},
            "uplink": {"vlan": {"baseInterface": "eth0"}},
        },
        says="NIC eth0 is to carry a VLAN interface, and carries the default route of br-ex",
    ),
    Trap(
        "nic-default-route",
        reported(_BALANCE_SLB, "br-ex", ovn={"bridge-mappings": [{"localnet": "physnet", "bridge": "br-phy"}]}),
        {"attachment": LOCALNET},
        says="NIC br-phy carries the default route of br-ex",
    ),
    Trap("bridge-missing", config={"attachment": BRIDGE}, says="would be made without a NIC as its port"),
    Trap(
        "bridge-without-nic",
        everywhere(lambda node: bridge(node, "br1")),
        {"attachment": BRIDGE},
        says="NIC br1 has no NIC as its port",
    ),
    Trap("localnet-unmapped", config={"attachment": LOCALNET}, says="no bridge mapping of localnet physnet"),
    Trap(
        "nic-default-route",
        everywhere(default_bridge),
        {"segment": {"mtu": 1400}, "attachment": LOCALNET},
        says="NIC br-ex has the default route",
    ),
    # What the uplink builds upon.
    Trap(
        "nic-missing",
        config={
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {"vlan": {"baseInterface": "eth7", "name": "mig0"}},
        },
        says="NIC eth7 is missing",
    ),
    Trap(
        "nic-mtu",
        (nic("dev-worker-1", "eth1", **{"max-mtu": 1500}),),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        },
        says="has MTU at most 1500",
    ),
    Trap(
        "node-selected-twice",
        (edit((kinds.NODE, "", "dev-worker-1"), metadata={"labels": {"rack": "b"}}),),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {
                "nodeGroups": [
                    {"name": "a", "nodeSelector": WORKERS, "vlan": {"baseInterface": "eth1", "name": "mig0"}},
                    {"name": "b", "nodeSelector": {"rack": "b"}, "vlan": {"baseInterface": "eth1", "name": "mig0"}},
                    {"name": "c", "nodeSelector": CONTROL_PLANE, "vlan": {"baseInterface": "eth1", "name": "mig0"}},
                ]
            },
        },
        says="Node dev-worker-1 is selected by the groups a and b",
    ),
    # What the uplink meets there.
    Trap(
        "uplink-host-address",
        (
            *everywhere(
                lambda node: tagged(node, "eth1.3876", "eth1", 3876, ipv4=address(f"192.168.22.{ord(node[-1])}/26"))
            ),
            policy(
                "nfs-vlan", {"name": "eth1.3876", "type": "vlan", "state": "up", "ipv4": address("192.168.22.71/26")}
            ),
        ),
        TAKES_NFS,
        says="NIC eth1.3876 carries 192.168.22.48/26 on dev-control-plane-0, 192.168.22.48/26 on dev-worker-0,",
    ),
    Trap(
        "uplink-host-address",
        (
            tagged("dev-worker-1", "eth1.3876", "eth1", 3876, ipv4=address("192.168.22.71/26")),
            policy("nfs-vlan", {"name": "eth1.3876"}, selector={"kubernetes.io/hostname": "dev-worker-1"}),
        ),
        TAKES_NFS,
        says="NIC eth1.3876 carries 192.168.22.71/26 on dev-worker-1"
        " (declared by NodeNetworkConfigurationPolicy nfs-vlan): the uplink"
        " turns IP off there, and takes it away. Remove uplink and attach to eth1.3876 as it is",
    ),
    Trap(
        "uplink-host-address",
        (nic("dev-worker-1", "eth1", ipv4=address("192.168.22.71/26")),),
        {"attachment": BRIDGE, "uplink": {"bridge": {"name": "br1", "port": "eth1"}}},
        says="NIC eth1 carries 192.168.22.71/26 on dev-worker-1: the uplink makes it a port of br1, and takes it away",
    ),
    Trap(
        "uplink-existing",
        (*everywhere(lambda node: nic(node, "eth2")), _bond("dev-worker-1")),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "bond0"},
            "uplink": {"bond": {"name": "bond0", "ports": ["eth1", "eth2"], "mode": "802.3ad"}},
            "waivers": {"uplink-untagged": "access ports"},
        },
        says="NIC bond0 is there already (bond) on dev-worker-1, and no policy of this stack made it: up would take it",
    ),
    Trap(
        "uplink-existing",
        everywhere(lambda node: tagged(node, "storage", "eth1", 2001)),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        },
        says="NIC mig0 would be a second interface of VLAN 2001 of eth1, after storage on",
    ),
    Trap(
        "uplink-existing",
        everywhere(lambda node: bridge(node, "br-mig", "eth1", kind="ovs-bridge", mapping="physnet")),
        {"attachment": LOCALNET, "uplink": {"localnet": {"localnet": "physnet", "bridge": "br-mig"}}},
        says="localnet physnet is mapped to br-mig already on",
    ),
    Trap(
        "policy-shared",
        (
            *everywhere(lambda node: nic(node, "eth3")),
            *everywhere(lambda node: nic(node, "eth4")),
            policy("other", {"name": "eth3", "state": "down"}, {"name": "bond1", "ipv4": {"dhcp": True}}),
        ),
        BONDS_ETH3,
        says="NodeNetworkConfigurationPolicy other declares eth3 (state: down); bond1 (ipv4.enabled: true), as this",
    ),
    Trap(
        "policies-disagree",
        (
            policy("one", {"name": "eth1", "mtu": 9000}),
            policy("two", {"name": "eth1", "mtu": 1500}),
        ),
        says="NodeNetworkConfigurationPolicy one declares eth1, which the attachment uses, and so does two with mtu",
    ),
    # The ranges.
    Trap(
        "range-pod-network",
        (edit(NETWORK, status={"clusterNetwork": [{"cidr": "10.200.0.0/14", "hostPrefix": 23}]}),),
        says="segment.subnet 10.200.5.0/24 overlaps the pods' network 10.200.0.0/14",
    ),
    Trap(
        "range-service-network",
        (edit(NETWORK, status={"serviceNetwork": ["10.200.0.0/16"]}),),
        says="overlaps the services' network 10.200.0.0/16",
    ),
    Trap(
        "range-ovn-internal",
        config={"segment": {"subnet": "100.64.5.0/24", "gateway": "100.64.5.1"}, "slice": None},
        says="overlaps OVN's internal network 100.64.0.0/16",
    ),
    Trap(
        "range-machine-network",
        config={
            "segment": {"subnet": "192.168.10.0/24", "gateway": "192.168.10.1"},
            "slice": {"rangeStart": "192.168.10.100", "rangeEnd": "192.168.10.150"},
        },
        says="overlaps the machine network 192.168.10.0/24: virt-handler's answers to the nodes",
    ),
    Trap(
        "range-node-address",
        (nic("dev-worker-1", "eth1", ipv4=address("10.200.5.11/24")),),
        says="holds 10.200.5.11, which eth1 of node dev-worker-1 has. Add 10.200.5.11/32 to attachment.ipam.exclude",
    ),
    # On whatever interface, and however many: the pod that gets it answers for the node.
    Trap(
        "range-node-address",
        tuple(nic(node, "eth2", ipv4=address(f"10.200.5.{20 + n}/24")) for n, node in enumerate(NODES)),
        says="holds 10.200.5.20, which eth2 of node dev-control-plane-0 has, and 3 more of nodes: 10.200.5.21,",
    ),
    # What is there already.
    Trap(
        "attachment-foreign",
        (attachment("migration", {"type": "macvlan"}, namespace=NAMESPACE),),
        says="was made by somebody else (field manager kubectl-create)",
    ),
    # The cases cudn-owns-the-nad, and additionalNetworks of the network operator: with or without consent.
    *(
        Trap(
            "attachment-foreign",
            (attachment("migration", {"type": "macvlan"}, namespace=NAMESPACE, owner=owner),),
            {"attachment": {"adopt": adopt}},
            says=f"is kept by {owner['kind']} {owner['name']}, which writes its content back: it cannot be adopted",
        )
        for owner in (
            {"kind": "ClusterUserDefinedNetwork", "name": "lm"},
            {"kind": "Network", "name": "cluster", "apiVersion": "operator.openshift.io/v1"},
        )
        for adopt in (True, False)
    ),
    # The case jsonpatch-drops-the-network (hyperconverged-cluster-operator#1201), and its kin.
    *(
        Trap("jsonpatch-overrides", (patched(*operations),), PINNED, says=says)
        for operations, says in (
            (
                [{"op": "add", "path": "/spec/configuration/migrations", "value": {"allowPostCopy": True}}],
                'operation 1 of 1 (add /spec/configuration/migrations {"allowPostCopy": true}) drops'
                " completionTimeoutPerGiB, network:",
            ),
            ([{"op": "remove", "path": "/spec/configuration"}], "drops completionTimeoutPerGiB, network:"),
            (
                [
                    {"op": "add", "path": "/spec/configuration/developerConfiguration/cpuAllocationRatio", "value": 5},
                    {"op": "replace", "path": "/spec/configuration/migrations/network", "value": "other"},
                ],
                "operation 2 of 2 (replace /spec/configuration/migrations/network other) sets network to other",
            ),
            (
                [{"op": "move", "path": "/spec/x", "from": "/spec/configuration/migrations/network"}],
                "drops network:",
            ),
        )
    ),
    Trap(
        "attachment-adopted",
        (attachment("migration", {"type": "macvlan"}, namespace=NAMESPACE),),
        {"attachment": {"adopt": True}},
        says="up takes it over",
    ),
    Trap(
        "nic-ipvlan-macvlan",
        (attachment("storage", {"type": "ipvlan", "master": "eth1"}),),
        says="puts ipvlan on eth1",
    ),
    Trap(
        "pool-shared",
        (attachment("storage", whereabouts("10.200.5.0/24", range_start="10.200.5.20", range_end="10.200.5.30")),),
        says="hands out addresses of 10.200.5.20-10.200.5.30 from the same pool",
    ),
    Trap(
        "pool-overlap",
        (attachment("storage", whereabouts("10.200.5.0/24")),),
        says="hands out 10.200.5.1-10.200.5.254 from the same pool, beyond slice",
    ),
    Trap(
        "pool-overlap",
        (attachment("storage", whereabouts("10.200.5.0/24", network_name="other")),),
        says="overlaps slice 10.200.5.10-10.200.5.60: addresses given twice",
    ),
    Trap(
        "pool-overlap",
        (attachment("storage", whereabouts("10.200.4.0/23")),),
        says="only whereabouts' check across ranges keeps them apart",
    ),
    Trap(
        "pool-overlap",
        (
            attachment(
                "storage",
                {"type": "ovn-k8s-cni-overlay", "topology": "localnet", "subnets": "10.200.5.0/26"},
            ),
        ),
        says="addresses given twice",
    ),
    *(
        Trap(
            "pool-overlap",
            (attachment("storage", {"type": "macvlan", "master": "eth1", "ipam": ipam}),),
            says=says,
        )
        for ipam, says in (
            (
                HOST_LOCAL | {"rangeStart": "10.200.5.20", "rangeEnd": "10.200.5.40"},
                "hands out 10.200.5.20-10.200.5.40,",
            ),
            (HOST_LOCAL, "hands out 10.200.5.2-10.200.5.254, which overlaps slice"),
            ({"type": "host-local", "ranges": [[{"subnet": "10.200.5.0/26"}]]}, "hands out 10.200.5.2-10.200.5.62,"),
            ({"type": "static", "addresses": [{"address": "10.200.5.11/24"}]}, "hands out 10.200.5.11, which overlaps"),
        )
    ),
    Trap(
        "pool-overlap",
        (attachment("chained", {"plugins": [{"type": "tuning"}, {"type": "macvlan", "ipam": HOST_LOCAL}]}),),
        says="hands out 10.200.5.2-10.200.5.254, which overlaps slice",
    ),
    Trap(
        "pool-overlap",
        (user_network("storage", subnets=["10.200.5.0/24"], excludeSubnets=["10.200.5.0/27", "10.200.5.128/25"]),),
        says="ClusterUserDefinedNetwork storage hands out 10.200.5.32-10.200.5.127, which overlaps slice",
    ),
    # The attachments that its controller makes are no further pools.
    Trap(
        "pool-overlap",
        (
            user_network("storage", subnets=["10.200.5.0/24"]),
            attachment("storage", LOCALNET_CONFIG, owner={"kind": "ClusterUserDefinedNetwork", "name": "storage"}),
        ),
        says="ClusterUserDefinedNetwork storage hands out",
    ),
    # What is left when both have excluded something.
    Trap(
        "pool-overlap",
        (attachment("storage", whereabouts("10.200.5.0/24", network_name="x", exclude=["10.200.5.0/27"])),),
        {"attachment": {"ipam": {"type": "whereabouts", "exclude": ["10.200.5.40/29"]}}},
        says="or exclude 10.200.5.32-10.200.5.39 from one of them",
    ),
)

FITS: dict[str, tuple[tuple[Edit, ...], Object]] = {
    "as it is": ((), {}),
    "patches of what no stack declares": (
        (
            patched(
                {"op": "add", "path": "/spec/configuration/migrations/allowPostCopy", "value": True},
                {"op": "add", "path": "/spec/configuration/developerConfiguration/cpuAllocationRatio", "value": 5},
                {"op": "remove", "path": "/spec/configuration/migrationsOfOthers"},
            ),
        ),
        PINNED,
    ),
    "a patch that sets what is declared": (
        (
            patched(
                {"op": "add", "path": "/spec/configuration/migrations", "value": {}},
                {
                    "op": "replace",
                    "path": "/spec/configuration/migrations",
                    "value": {"network": "migration", "completionTimeoutPerGiB": 150},
                },
            ),
        ),
        PINNED,
    ),
    **{
        f"a patch of {component}": (
            (patched({"op": "remove", "path": "/spec/configuration"}, component=component),),
            PINNED,
        )
        for component in ("containerizeddataimporter", "networkaddonsconfigs", "ssp")
    },
    "the network that the stack names": (
        (edit(HYPERCONVERGED, spec={"liveMigrationConfig": {"network": "migration"}}),),
        {},
    ),
    "a bridge with the NIC as its port": (
        everywhere(lambda node: bridge(node, "br1", "eth1")),
        {"attachment": BRIDGE},
    ),
    "a macvlan on a Linux bridge": (
        everywhere(lambda node: bridge(node, "br-mig", "eth1")),
        {"attachment": {"type": "macvlan", "name": "migration", "master": "br-mig"}},
    ),
    "a bridge whose port is the VLAN's interface": (
        (
            *everywhere(lambda node: tagged(node, "eth1.2001", "eth1", 2001)),
            *everywhere(lambda node: bridge(node, "br1", "eth1.2001")),
        ),
        {"attachment": BRIDGE | {"vlan": None, "preserveDefaultVlan": None}, "waivers": UNTAGGED},
    ),
    "a bridge whose port passes all VLANs, as nmstate makes it": (
        everywhere(
            lambda node: filtered(
                node, "br1", "eth1", {"mode": "trunk", "trunk-tags": [{"id-range": {"min": 2, "max": 4094}}]}
            )
        ),
        {"attachment": BRIDGE},
    ),
    "untagged frames over a port that nmstate made": (
        everywhere(
            lambda node: filtered(
                node, "br1", "eth1", {"mode": "trunk", "trunk-tags": [{"id-range": {"min": 2, "max": 4094}}]}
            )
        ),
        {"attachment": BRIDGE | {"vlan": None, "preserveDefaultVlan": None}, "waivers": UNTAGGED},
    ),
    "an access port of the attachment's own VLAN": (
        everywhere(lambda node: filtered(node, "br1", "eth1", {"mode": "access", "tag": 2001})),
        {"attachment": BRIDGE},
    ),
    "a VLAN on a NIC that is a bridge's port as well": (
        everywhere(lambda node: bridge(node, "br7", "eth1")),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        },
    ),
    "NICs in a bond inside an OVS bridge": (
        everywhere(lambda node: ovs_bond(node, "br-phy", "eth1", "eth2")),
        {"attachment": LOCALNET},
    ),
    "a localnet mapped to a bridge of its own": (
        everywhere(lambda node: bridge(node, "br-mig", "eth1", kind="ovs-bridge", mapping="physnet")),
        {"attachment": LOCALNET},
    ),
    "an uplink that makes what the attachment needs": (
        (),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        },
    ),
    "an uplink that is there already": (
        (
            *everywhere(lambda node: tagged(node, "mig0", "eth1", 2001)),
            policy("migration-dev-before", {"name": "mig0", "type": "vlan"}, stack="dev"),
        ),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
        },
    ),
    "no NIC on control-plane nodes without cross-cluster migration": (
        (without("dev-control-plane-0", "eth1"),),
        {"cluster": {"crossCluster": False}},
    ),
    "no NIC on control-plane nodes while the gate is off": (
        (without("dev-control-plane-0", "eth1"), (KUBEVIRT, lambda _: kubevirt())),
        {},
    ),
    "no NIC on control-plane nodes where the HyperConverged sends the sync controllers to workers": (
        (without("dev-control-plane-0", "eth1"), edit(HYPERCONVERGED, spec={"infra": {"nodePlacement": ON_WORKERS}})),
        {},
    ),
    "a hosted control plane, whose placement is empty": (
        (
            gone((kinds.NODE, "", "dev-control-plane-0")),
            gone((kinds.NODE_NETWORK_STATE, "", "dev-control-plane-0")),
            edit(KUBEVIRT, spec={"infra": {"nodePlacement": {}}}),
        ),
        {"cluster": {"crossCluster": True}},
    ),
    "one sync controller on a cluster without a second node for it": (
        (edit(KUBEVIRT, spec={"infra": {"replicas": 1}}),),
        {"slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.15"}},
    ),
    "a small segment without other clusters": (
        (),
        {
            "segment": {"subnet": "192.0.2.224/29", "gateway": None},
            "cluster": {"nodes": 3, "crossCluster": False},
            "slice": {"rangeStart": "192.0.2.225", "rangeEnd": "192.0.2.230"},
        },
    ),
    # Nodes as others have published them, reduced to what is looked at.
    "a worker of an OpenShift 4.7, with a macvlan on a NIC that is up without an address": (
        reported(_CNF_WORKER, "br-ex"),
        {"segment": {"mtu": 1500}, "attachment": {"type": "macvlan", "name": "migration", "master": "eno3"}},
    ),
    "a workshop's bridge with one NIC, as its policy made it": (
        (
            *reported(_CNV_WORKSHOP, "enp2s0"),
            policy(
                "br1-enp3s0-policy-workers",
                {"name": "br1", "type": "linux-bridge", "bridge": {"port": [{"name": "enp3s0"}]}},
                selector=WORKERS,
            ),
        ),
        {
            "segment": {"mtu": 1500},
            "attachment": {"type": "cnv-bridge", "name": "migration", "bridge": "br1"},
            "waivers": UNTAGGED,
        },
    ),
    "nodes with a second bond for live migration": (
        (*reported(_TWO_BONDS, "br-ex"), _BOND1_POLICY),
        {
            "segment": {"vlan": 179},
            "attachment": {"type": "macvlan", "name": "migration", "master": "bond1.179"},
        },
    ),
    "a VLAN of the uplink's own on the second bond": (
        (*reported(_TWO_BONDS, "br-ex"), _BOND1_POLICY),
        {
            "attachment": {"type": "macvlan", "name": "migration", "master": "bond1.2001"},
            "uplink": {"vlan": {"baseInterface": "bond1"}},
        },
    ),
    "policies of other interfaces, of other nodes, or that agree": (
        (
            policy("storage", {"name": "eth2", "state": "up", "mtu": 1500}),
            policy("elsewhere", {"name": "eth1", "state": "down"}, selector={"rack": "nowhere"}),
            policy("one", {"name": "eth1", "mtu": 9000}),
            policy("two", {"name": "eth1", "state": "up", "description": "for migration"}),
            ((kinds.NODE_POLICY, "", "empty"), lambda _: _object((kinds.NODE_POLICY, "", "empty"), spec={})),
        ),
        {},
    ),
    "an attachment of addresses elsewhere": ((attachment("storage", whereabouts("10.9.0.0/24")),), {}),
    "an attachment without a configuration": ((attachment("broken", {"plugins": [7]}),), {}),
    "excludes that keep two attachments of one range apart": (
        (attachment("storage", whereabouts("10.200.5.0/24", exclude=["10.200.5.0/26"])),),
        {},
    ),
    "excludes that keep two attachments of other books apart": (
        (attachment("storage", whereabouts("10.200.4.0/23", exclude=["10.200.5.3/25", "10.200.4.0/24"])),),
        {"slice": None, "attachment": {"ipam": {"type": "whereabouts", "exclude": ["10.200.5.128/25"]}}},
    ),
    "a user-defined network that spares the slice": (
        (user_network("storage", subnets=["10.200.5.0/24"], excludeSubnets=["10.200.5.0/26"]),),
        {},
    ),
    "a user-defined network whose addresses nobody hands out": (
        (user_network("storage", ipam={"mode": "Disabled"}),),
        {},
    ),
    "a static address beside the slice": (
        (
            attachment(
                "storage", {"type": "macvlan", "ipam": {"type": "static", "addresses": [{"address": "10.200.5.9/24"}]}}
            ),
        ),
        {},
    ),
    "hosts in the segment": (
        tuple(nic(node, "eth2", ipv4=address(f"10.200.5.{200 + n}/24")) for n, node in enumerate(NODES)),
        {},
    ),
    "hosts in the segment, beside the slice": (
        tuple(nic(node, "eth1.3876", ipv4=address(f"192.168.22.{71 + n}/24")) for n, node in enumerate(NODES)),
        {
            "segment": {"subnet": "192.168.22.0/24", "gateway": None},
            "slice": {"rangeStart": "192.168.22.100", "rangeEnd": "192.168.22.150"},
        },
    ),
    "hosts whose addresses are excluded": (
        (nic("dev-worker-1", "eth1", ipv4=address("192.168.31.223/24")),),
        {
            "segment": {"subnet": "192.168.31.0/24", "gateway": None},
            "slice": None,
            "attachment": {"ipam": {"type": "whereabouts", "exclude": ["192.168.31.223/32"]}},
        },
    ),
    "a node's reserved address on the link": (
        (nic("dev-worker-1", "eth1", ipv4=address("10.200.5.11/24")),),
        {"segment": {"reserved": ["10.200.5.11"]}, "slice": None},
    ),
    "an overlap that the stack itself declares and accepts": (
        (edit(NETWORK, status={"clusterNetwork": [{"cidr": "10.200.0.0/14", "hostPrefix": 23}]}),),
        {"otherNetworks": {"pods": "10.200.0.0/14"}, "waivers": {"subnet-overlap": "the range is routed nowhere"}},
    ),
    "a slice that the stack itself says is short": (
        (),
        {
            "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.12"},
            "waivers": {"slice-too-small": "one node at a time is enough here"},
        },
    ),
    **{
        f"a reconciler of whereabouts as {what}": ((gone(RECONCILER), edit), {})
        for what, edit in {
            "a CronJob": there(_cron_job(), kinds.CRON_JOB),
            "a part of the plugin's DaemonSet": there(
                _plugin("SLEEP=false /install-cni.sh", "/ip-control-loop -log-level debug"), kinds.DAEMON_SET
            ),
            "a Deployment": there(_deployment(), kinds.DEPLOYMENT),
        }.items()
    },
    "virtual machines on other networks": (
        (machine("web", "migration", "shop/migration", "openshift-cnv/other"),),
        {},
    ),
    "a network operator that was told of whereabouts": (
        (
            gone(RECONCILER),
            edit(
                (kinds.OPENSHIFT_OPERATOR_NETWORK, "", "cluster"),
                spec={"additionalNetworks": [SHIM]},
            ),
        ),
        {},
    ),
}
"""Clusters that are fit, and look a little as if they were not."""
