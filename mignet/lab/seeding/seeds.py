"""What stands in a cluster before the first migration network: nodes and their NICs, ranges, and the HyperConverged.

Made from nothing but the cluster's name and number; shaped after what the real operators leave behind (HyperConverged
operator 1.18.1, kubernetes-nmstate).
"""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from mignet.lab.seeding.definitions import Definition, storage_version

Object = dict[str, Any]

NAMESPACES = ("openshift-cnv", "openshift-multus", "shop")

OPERATOR = "hyperconverged-cluster-operator"
"""The field manager under which the HyperConverged operator writes."""

WORKERS = 3


@dataclasses.dataclass(frozen=True)
class Site:
    """One cluster's name and its number, from 0; each has networks of its own, none of which meets 10.200.5.0/24."""

    cluster: str
    number: int

    @property
    def cluster_network(self) -> str:
        """The pods' range."""
        return f"10.{128 + 4 * self.number}.0.0/14"

    @property
    def service_network(self) -> str:
        """The services' range."""
        return f"172.{30 + self.number}.0.0/16"

    def address(self, host: int) -> str:
        """Return the address of `host`, 1 to 254, in the machine network, a /24."""
        return f"192.168.{10 + self.number}.{host}"

    def mac(self, host: int, nic: int) -> str:
        """Return the hardware address of a NIC: locally administered, unique among all clusters."""
        return f"02:00:00:{self.number:02x}:{host:02x}:{nic:02x}"


def cluster_objects(site: Site) -> list[Object]:
    """Return everything except the HyperConverged, in an order in which it can be created; statuses included."""
    objects: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES
    ]
    objects.append(_cluster_network(site))
    hosts = {f"{site.cluster}-control-plane-0": 10} | {f"{site.cluster}-worker-{n}": 20 + n for n in range(WORKERS)}
    for name, host in hosts.items():
        objects.append(_node(name, site.address(host), worker=host >= 20))
        objects.append(_network_state(name, host, site))
    objects.append(_virtual_machine())
    return objects


def hyperconverged(definition: Definition) -> Object:
    """Return the HyperConverged as whoever installs the operator creates it: an empty spec, all defaults are theirs."""
    return {
        "apiVersion": f"hco.kubevirt.io/{storage_version(definition)}",
        "kind": "HyperConverged",
        "metadata": {"name": "kubevirt-hyperconverged", "namespace": "openshift-cnv"},
        "spec": {},
    }


def adopted(created: Object) -> Object:
    """Return the HyperConverged `created` with what the operator writes into it when it sees it first."""
    metadata = created["metadata"] | {
        "labels": created["metadata"].get("labels", {}) | {"app": "kubevirt-hyperconverged"},
        "finalizers": ["kubevirt.io/hyperconverged"],
    }
    # v1 has no such fields: there, where things run is part of spec.deployment, and stays unset.
    placement: Object = {"infra": {}, "workloads": {}} if created["apiVersion"].endswith("/v1beta1") else {}
    return created | {"metadata": metadata, "spec": created["spec"] | placement}


def hyperconverged_status(definition: Definition, *, generation: int) -> Object:
    """Return the status of a healthy HyperConverged that the operator has reconciled at `generation`."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = {
        "ReconcileComplete": "True",
        "Available": "True",
        "Progressing": "False",
        "Degraded": "False",
        "Upgradeable": "True",
    }
    return {
        "conditions": [
            {
                "type": condition,
                "status": status,
                "reason": "ReconcileCompleted",
                "message": "Reconcile completed successfully",
                "lastTransitionTime": now,
                "observedGeneration": generation,
            }
            for condition, status in conditions.items()
        ],
        "dataImportSchedule": "47 2/12 * * *",
        "infrastructureHighlyAvailable": True,
        "nodeInfo": {},
        "observedGeneration": generation,
        "relatedObjects": [],
        "systemHealthStatus": "healthy",
        "versions": [{"name": "operator", "version": _operator_version(definition)}],
    }


def _operator_version(definition: Definition) -> str:
    """Return a release of the operator that brings `definition`: it is told by the versions served and stored."""
    if storage_version(definition) == "v1":
        return "1.19.0"
    served = {version["name"] for version in definition["spec"]["versions"]}
    return "1.18.1" if "v1" in served else "1.17.3"


def _cluster_network(site: Site) -> Object:
    ranges = {
        "clusterNetwork": [{"cidr": site.cluster_network, "hostPrefix": 23}],
        "serviceNetwork": [site.service_network],
        "networkType": "OVNKubernetes",
    }
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "Network",
        "metadata": {"name": "cluster"},
        "spec": ranges,
        "status": ranges | {"clusterNetworkMTU": 1400},
    }


def _node(name: str, address: str, *, worker: bool) -> Object:
    roles = ["worker"] if worker else ["control-plane", "master"]
    labels = {f"node-role.kubernetes.io/{role}": "" for role in roles}
    labels |= {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if worker:
        labels["kubevirt.io/schedulable"] = "true"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {} if worker else {"taints": [{"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "capacity": {"cpu": "16", "memory": "64Gi", "pods": "250"},
            "allocatable": {"cpu": "15500m", "memory": "63Gi", "pods": "250"},
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
            ],
        },
    }


def _virtual_machine() -> Object:
    """Return something to migrate: `shop/web-0`. Who runs it says so in its status."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "web-0", "namespace": "shop"},
        "spec": {"domain": {"devices": {}, "memory": {"guest": "2Gi"}}, "evictionStrategy": "LiveMigrate"},
    }


def _network_state(name: str, host: int, site: Site) -> Object:
    no_address = {"enabled": False}
    interfaces: list[Object] = [
        {
            "name": "eth0",
            "type": "ethernet",
            "state": "up",
            "mac-address": site.mac(host, 0),
            "mtu": 1500,
            "min-mtu": 68,
            "max-mtu": 9216,
            "ipv4": {
                "enabled": True,
                "dhcp": True,
                "address": [{"ip": site.address(host), "prefix-length": 24}],
            },
            "ipv6": no_address,
        },
        {
            "name": "eth1",
            "type": "ethernet",
            "state": "up",
            "mac-address": site.mac(host, 1),
            "mtu": 9000,
            "ethernet": {"auto-negotiation": True, "duplex": "full", "speed": 10000},
            "min-mtu": 68,
            "max-mtu": 9216,
            "ipv4": no_address,
            "ipv6": no_address,
        },
        {
            "name": "lo",
            "type": "loopback",
            "state": "up",
            "mac-address": "00:00:00:00:00:00",
            "mtu": 65536,
            "ipv4": {"enabled": True, "address": [{"ip": "127.0.0.1", "prefix-length": 8}]},
            "ipv6": {"enabled": True, "address": [{"ip": "::1", "prefix-length": 128}]},
        },
    ]
    route = {"next-hop-interface": "eth0", "table-id": 254, "metric": 100}
    routes = [
        route | {"destination": "0.0.0.0/0", "next-hop-address": site.address(1)},
        route | {"destination": site.address(0) + "/24", "next-hop-address": ""},
    ]
    return {
        "apiVersion": "nmstate.io/v1beta1",
        "kind": "NodeNetworkState",
        "metadata": {"name": name},
        "status": {
            "currentState": {
                "dns-resolver": {"running": {"search": [], "server": [site.address(1)]}, "config": {}},
                "interfaces": interfaces,
                "routes": {"running": routes, "config": []},
                "route-rules": {"config": []},
            },
            "handlerNmstateVersion": "2.2.48",
            "lastSuccessfulUpdateTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }
