"""Measure preflight and verify on clusters of 50, 500 and 5,000 nodes: `python bench/big_cluster.py`.

Each node has ten pods (one of them virt-handler), a virtual machine and, in its NodeNetworkState, what a node of
OpenShift has: NICs, a bond, br-ex, br-int, and a veth for each pod. Whole processes, start to exit, against the lab's
API server; the objects are put into etcd behind its back, as 50,000 requests would take longer than what is measured.
Writes docs/benchmarks-big-cluster.md.
"""

from __future__ import annotations

import argparse
import base64
import ipaddress
import itertools
import json
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

import healthy
import yaml
from measuring import MACHINE, measure, spread
from support import BIN, REAL_CRDS, Kube

from config.loading import load_stack
from mignet.lab.lab import ETCD, Lab
from mignet.lab.seeding.seeds import Site as Seeds
from mignet.lab.seeding.seeds import cluster_objects
from mignet.lab.servers.http_client import connect
from mignet.lab.state import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Object = dict[str, Any]
NAMESPACE = "openshift-cnv"
SIZES = (50, 500, 5_000)
PODS, MACHINES, ATTACHMENTS = 10, 1, 2_000
"""Pods and virtual machines on each node, and attachments in a cluster of 5,000 nodes."""
AT_ONCE = 100
"""Objects that etcd is given in one transaction; it takes 128."""
VALUES: Object = {
    "segment": {"subnet": "10.200.0.0/16", "mtu": 9000, "vlan": 2001},
    "cluster": {"context": "big"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
    "slice": {"rangeStart": "10.200.8.0", "rangeEnd": "10.200.47.255"},
}


def nodes(count: int) -> Iterator[Object]:
    """Yield nodes and what nmstate reports of them, made from the lab's own."""
    first = {each["kind"]: each for each in cluster_objects(Seeds("big", 0))[-3:-1]}
    network = ipaddress.ip_network("172.16.0.0/16")
    for index in range(count):
        name, address = f"node-{index}", str(network[256 + index])
        node, state = (json.loads(json.dumps(first[kind])) for kind in ("Node", "NodeNetworkState"))
        node["metadata"] |= {"name": name, "uid": f"node-{index}", "managedFields": _owners(40)}
        node["metadata"]["labels"]["kubernetes.io/hostname"] = name
        node["status"]["addresses"] = [{"type": "InternalIP", "address": address}]
        node["status"]["images"] = [{"names": [f"quay.invalid/{n}@sha256:{n:064}"], "sizeBytes": n} for n in range(50)]
        state["metadata"] |= {"name": name, "uid": f"state-{index}"}
        current = state["status"]["currentState"]
        current["interfaces"][0]["ipv4"]["address"] = [{"ip": address, "prefix-length": 16}]
        for pod in range(PODS):
            veth = {"name": f"{index:08x}{pod:06x}", "type": "veth", "state": "ignore", "mtu": 1400}
            off = {"enabled": False, "address": []}
            statistics_ = dict.fromkeys(("rx-bytes", "tx-bytes", "rx-packets", "tx-packets"), index)
            veth |= {"ipv4": off, "ipv6": off, "controller": "ovs-system", "statistics": statistics_}
            veth |= {"accept-all-mac-addresses": False, "lldp": {"enabled": False}, "wait-ip": "any"}
            veth |= {"ethtool": {"feature": {f"rx-feature-{n}": n % 2 == 0 for n in range(12)}}}
            current["interfaces"].append(veth)
            route = {"next-hop-interface": "eth0", "table-id": 254, "metric": 100, "next-hop-address": ""}
            current["routes"]["running"].append(route | {"destination": f"10.128.{pod}.0/24"})
        yield node
        yield state


def _owners(fields: int) -> list[Object]:
    written = {f"f:{n}": {".": {}, "f:status": {}} for n in range(fields)}
    return [{"manager": "kubelet", "operation": "Update", "time": healthy.MADE, "fieldsV1": {"f:status": written}}]


def workloads(count: int) -> Iterator[Object]:
    """Yield pods, virtual machines and attachments of other people."""
    for node, number in itertools.product(range(count), range(1, PODS)):
        name = f"app-{node}-{number}"
        metadata = {"name": name, "namespace": f"shop-{node % 50}", "uid": name, "creationTimestamp": healthy.MADE}
        container = {
            "name": "app",
            "image": "quay.invalid/app",
            "env": [{"name": f"E{n}", "value": ""} for n in range(9)],
        }
        spec = {"nodeName": f"node-{node}", "containers": [container]}
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"managedFields": _owners(20)}} | {
            "spec": spec,
            "status": status,
        }
    for node, number in itertools.product(range(count), range(MACHINES)):
        name = f"vm-{node}-{number}"
        metadata = {"name": name, "namespace": f"shop-{node % 50}", "uid": name, "creationTimestamp": healthy.MADE}
        devices = {"disks": [{"name": f"disk{n}", "disk": {"bus": "virtio"}} for n in range(4)]}
        spec = {"domain": {"devices": devices}, "evictionStrategy": "LiveMigrate"}
        spec |= {"networks": [{"name": "default", "pod": {}}]}
        status = {"phase": "Running", "nodeName": f"node-{node}", "interfaces": [{"name": "default"}]}
        yield {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance"} | {
            "metadata": metadata | {"managedFields": _owners(30)},
            "spec": spec,
            "status": status,
        }
    for number in range(count * ATTACHMENTS // max(SIZES)):
        ipam = {"type": "whereabouts", "range": f"10.{number % 50}.{number // 50}.0/24"}
        cni = {"cniVersion": "0.3.1", "name": f"net-{number}", "type": "macvlan", "master": "eth1", "ipam": ipam}
        metadata = {"name": f"net-{number}", "namespace": f"shop-{number % 50}", "uid": f"net-{number}"}
        metadata |= {"creationTimestamp": healthy.MADE}
        kind = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
        yield kind | {"metadata": metadata, "spec": {"config": json.dumps(cni)}}


PLACES = {
    "Node": "minions",
    "Pod": "pods",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "NodeNetworkState": "nmstate.io/nodenetworkstates",
    "KubeVirt": "kubevirt.io/kubevirts",
    "VirtualMachineInstance": "kubevirt.io/virtualmachineinstances",
    "NetworkAttachmentDefinition": "k8s.cni.cncf.io/network-attachment-definitions",
    "IPPool": "whereabouts.cni.cncf.io/ippools",
}
"""Where an API server keeps the objects of a kind, under its own prefix."""


def put(lab: Lab, objects: Iterable[Object]) -> int:
    """Put objects into etcd; return how many."""
    record = Record.read(lab.directory / "lab.json")
    assert record is not None
    count = 0
    with connect(record.processes[ETCD].port, lab.directory / "certificates" / "etcd", name="client") as http:
        waiting = iter(objects)
        while batch := list(itertools.islice(waiting, AT_ONCE)):
            http.post("/v3/kv/txn", json={"success": [_request(each) for each in batch]}).raise_for_status()
            count += len(batch)
    return count


def _request(live: Object) -> Object:
    metadata = live["metadata"]
    where = [metadata["namespace"]] if "namespace" in metadata else []
    key = "/".join(("/big", PLACES[live["kind"]], *where, metadata["name"]))
    return {"requestPut": {"key": _encoded(key), "value": _encoded(json.dumps(live))}}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def fill(lab: Lab, kube: Kube, count: int) -> None:
    """Make a healthy cluster of so many nodes of the lab's own."""
    stack = load_stack("big", VALUES)
    now = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    objects = healthy.cluster(stack, nodes=count)
    for live in objects:
        if live["kind"] in {"DaemonSet", "Deployment"}:
            role = {"kubevirt.io": live["metadata"]["name"]}
            live["spec"]["selector"] = {"matchLabels": role}
            live["spec"]["template"]["metadata"]["labels"] = role
            live["spec"]["template"]["spec"] = {"containers": [{"name": "main", "image": "quay.invalid/main"}]}
        if live["kind"] == "Pod":
            live["spec"]["containers"] = [{"name": "main", "image": "quay.invalid/main"}]
            live["metadata"] |= {"managedFields": _owners(60), "creationTimestamp": now}
            live["status"]["startTime"] = now
    left = {"HyperConverged", "NetworkAttachmentDefinition", "Node"}
    for path in ("/api/v1/nodes", "/apis/nmstate.io/v1beta1/nodenetworkstates"):
        kube.call("DELETE", path)
    made = put(lab, (each for each in objects if each["kind"] not in left))
    made += put(lab, nodes(count)) + put(lab, workloads(count))
    path = f"/apis/hco.kubevirt.io/v1beta1/namespaces/{NAMESPACE}/hyperconvergeds/kubevirt-hyperconverged"
    live = kube.call("GET", path)
    live["status"]["observedGeneration"] = live["metadata"]["generation"]
    for each in live["status"]["conditions"]:
        each["observedGeneration"] = live["metadata"]["generation"]
    kube.call("PUT", f"{path}/status", json=live)
    print(f"{made:,} objects", file=sys.stderr)


def measured(count: int, runs: int, verbs: Iterable[str]) -> list[str]:
    """Return the table's rows of one size."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        crds = REAL_CRDS if REAL_CRDS.is_dir() else None
        lab = Lab(Path(scratch) / "lab", clusters=("big",), crds=crds, operators=False)
        lab.up(lambda _: None)
        try:
            for name in ("Pulumi.yaml", "__main__.py"):
                shutil.copy(ROOT / name, folder)
            values = VALUES | {"cluster": VALUES["cluster"] | {"kubeconfig": str(lab.kubeconfig), "nodes": count}}
            config = {f"migration-network:{key}": value for key, value in values.items()}
            (folder / "Pulumi.big.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
            measure([str(BIN / "mignet"), "up", "big", "--engine", "direct", "--yes", "--skip-preflight"], folder)
            kube = Kube(lab.kubeconfig, "big")
            fill(lab, kube, count)
            for verb in verbs:
                command = [str(BIN / "mignet"), verb, "big", *(["--no-peers"] if verb == "verify" else [])]
                taken = [measure(command, folder) for _ in range(runs)]
                seconds = [each.seconds for each in taken]
                processor = statistics.median(each.processor for each in taken)
                peak = max(each.megabytes for each in taken)
                rows.append(f"| {count:,} | {verb} | {spread(seconds)} | {processor:.2f} | {peak:.0f} |")
                print(rows[-1], taken[-1].printed, file=sys.stderr, flush=True)
        finally:
            lab.down()
    return rows


def main() -> None:
    """Measure each size, print a table, and write it unless only some sizes were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--verbs", default="preflight,verify")
    arguments = parser.parse_args()
    rows = [row for size in arguments.sizes for row in measured(size, arguments.runs, arguments.verbs.split(","))]
    lines = [
        "# Benchmarks of big clusters\n",
        f"A node has {PODS} pods and {MACHINES} virtual machine, the largest cluster {ATTACHMENTS:,} attachments.",
        f"Whole processes; median of {arguments.runs} runs (least to most in brackets), all in one run of",
        f"`make bench` on {MACHINE}, where the API server runs, too. Memory is the process' peak.\n",
        "| nodes | verb | seconds | processor seconds | MB |",
        "|---|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if tuple(arguments.sizes) == SIZES:
        (ROOT / "docs" / "benchmarks-big-cluster.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
