"""API servers of many simulated clusters in one process: what lists and watches of `mignet watch` are answered with.

    python bench/watched_fleet.py FOLDER CLUSTERS NODES

Writes FOLDER/kubeconfig and FOLDER/port; each cluster is a path of one server over TLS with a certificate of its own.
Commands come on standard input, a line each: `drift N`, `repair N`, `gone N` (its watches end, and it answers 503),
`back N`, `hang N` (it answers nothing more), `expire N` (its watches are told 410), `stranger` (the server is started
again with another certificate: all its connections break), `known` (the same with the old one), `count` (prints what
was asked, by method). Heartbeats: each
HyperConverged's conditions and one pod's status are written again each minute, each with a new resource version; a
bookmark comes each minute on each watch.
"""

# ruff: noqa: D102, D103, ASYNC110

from __future__ import annotations

import asyncio
import collections
import ipaddress
import itertools
import json
import random
import ssl
import sys
import time
import urllib.parse
import uuid
from pathlib import Path
from typing import Any

import trustme
import yaml

BOOKMARK_SECONDS = 60.0
HEARTBEAT_SECONDS = 60.0
NAMESPACE = "openshift-cnv"
BUNDLE = trustme.CA().cert_pem.bytes().decode()
"""The authority of KubeVirt, one for all of them, so that each trusts the others."""


class Simulated:
    """One cluster: its objects by the path of their collection, and who watches."""

    def __init__(self, number: int, nodes: int, objects: dict[str, list[dict[str, Any]]]) -> None:
        self.number, self.nodes = number, nodes
        self.objects = objects
        self.version = itertools.count(1000)
        self.now = 1000
        self.watchers: list[tuple[str, dict[str, str], asyncio.Queue[bytes | None]]] = []
        self.state = "works"
        for listed in objects.values():
            for each in listed:
                each["metadata"]["resourceVersion"] = self.next()

    def next(self) -> str:
        self.now = next(self.version)
        return str(self.now)

    def touch(self, path: str, live: dict[str, Any]) -> None:
        live["metadata"]["resourceVersion"] = self.next()
        event = json.dumps({"type": "MODIFIED", "object": live}).encode() + b"\n"
        for where, query, queue in self.watchers:
            if where == path and selected(live, query):
                queue.put_nowait(event)

    def tell(self, line: bytes | None) -> None:
        for *_, queue in self.watchers:
            queue.put_nowait(line)


def selected(live: dict[str, Any], query: dict[str, str]) -> bool:
    name = query.get("fieldSelector", "").partition("metadata.name=")[2]
    if name and live["metadata"]["name"] != name:
        return False
    own = live["metadata"].get("labels") or {}
    selector = query.get("labelSelector", "")
    if " in " in selector:
        key, _, values = selector.partition(" in ")
        return own.get(key) in values.strip("()").split(",")
    wanted = dict(each.split("=", 1) for each in selector.split(",") if "=" in each)
    return all(own.get(key) == value for key, value in wanted.items())


def pod(number: int, node: int) -> dict[str, Any]:
    """Make a virt-handler's pod, as large as a real one: some 9 KB."""
    address = str(ipaddress.ip_network("10.0.0.0/12")[16 + 100 * number + node])
    status = [
        {
            "name": "ovn-kubernetes",
            "interface": "eth0",
            "ips": [f"10.128.{node}.9"],
            "mac": "0a:58:0a:80:00:09",
            "default": True,
        },
        {"name": f"{NAMESPACE}/migration", "interface": "migration0", "ips": [address], "mac": "0a:58:0a:80:00:10"},
    ]
    return {
        "metadata": {
            "name": f"virt-handler-{node:05}",
            "namespace": NAMESPACE,
            "uid": f"{number:08}-0000-0000-0000-{node:012}",
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "labels": {
                "kubevirt.io": "virt-handler",
                "pod-template-generation": "4",
                "controller-revision-hash": "x" * 10,
            },
            "annotations": {
                "k8s.v1.cni.cncf.io/networks": "migration@migration0",
                "k8s.v1.cni.cncf.io/network-status": json.dumps(status),
                "openshift.io/scc": "kubevirt-handler",
            },
            "ownerReferences": [{"kind": "DaemonSet", "name": "virt-handler", "controller": True, "uid": "d"}],
            "managedFields": [
                {"manager": "kubelet", "operation": "Update", "fieldsV1": {f"f:{n}": {} for n in range(120)}}
            ],
        },
        "spec": {
            "nodeName": f"node-{node}",
            "volumes": [{"name": f"volume-{n}", "hostPath": {"path": f"/var/lib/kubevirt/{n}"}} for n in range(14)],
            "containers": [
                {
                    "name": "virt-handler",
                    "image": "registry.example.com/container-native-virtualization/virt-handler-rhel9@sha256:"
                    + "a" * 64,
                    "args": [f"--argument-{n}=value" for n in range(14)],
                    "env": [{"name": f"VARIABLE_{n}", "value": "value"} for n in range(12)],
                    "volumeMounts": [{"name": f"volume-{n}", "mountPath": f"/var/lib/kubevirt/{n}"} for n in range(14)],
                }
            ],
        },
        "status": {
            "phase": "Running",
            "startTime": "2026-11-01T00:00:00Z",
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-11-02T00:00:00Z"}
                for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [{"name": "virt-handler", "ready": True, "restartCount": 0, "state": {"running": {}}}],
        },
    }


def node(number: int) -> dict[str, Any]:
    """Make a node with the labels that KubeVirt gives it: some 200."""
    models = [f"Model-{n}" for n in range(20)]
    labels = {
        "kubevirt.io/schedulable": "true",
        "host-model-cpu.node.kubevirt.io/Model-19": "true",
        **{f"cpu-model.node.kubevirt.io/{each}": "true" for each in models},
        **{f"cpu-model-migration.node.kubevirt.io/{each}": "true" for each in models},
        **{f"cpu-feature.node.kubevirt.io/feature-{n}": "true" for n in range(150)},
    }
    return {
        "metadata": {"name": f"node-{number}", "labels": labels, "uid": str(number)},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": ["x" * 80], "sizeBytes": 1}] * 50,
        },
    }


def node_network_state(number: int) -> dict[str, Any]:
    """Make what nmstate says of a node: NICs, and an end of a veth pair of each of 60 pods."""
    nics = [
        {
            "name": name,
            "type": "ethernet",
            "state": "up",
            "mtu": 9000,
            "max-mtu": 9978,
            "mac-address": f"52:54:00:00:{number:02x}:{n:02x}",
            "ethernet": {"speed": 25000, "duplex": "full"},
            "ipv4": {"enabled": n == 0, "address": [{"ip": f"192.168.0.{number + 1}", "prefix-length": 24}]},
        }
        for n, name in enumerate(("eth0", "eth1", "ens2f0", "bond1"))
    ]
    pods = [
        {"name": f"veth{number:04x}{n:04x}", "type": "veth", "state": "up", "mtu": 1400, "ipv4": {"enabled": False}}
        for n in range(60)
    ]
    routes = [{"destination": "0.0.0.0/0", "next-hop-interface": "eth0", "next-hop-address": "192.168.0.254"}]
    state = {"interfaces": nics + pods, "routes": {"running": routes, "config": routes}}
    return {"metadata": {"name": f"node-{number}", "uid": f"s{number}"}, "status": {"currentState": state}}


def machine(cluster: int, number: int, nodes: int) -> dict[str, Any]:
    """Make a virtual machine that runs: some 6 KB."""
    key = uuid.uuid5(uuid.NAMESPACE_OID, f"{cluster}/{number}")
    return {
        "metadata": {
            "name": f"vm-{number}",
            "namespace": "machines",
            "uid": str(key),
            "labels": {"kubevirt.io/domain": f"vm-{number}", "app": f"app-{number % 9}"},
            "creationTimestamp": "2026-11-01T00:00:00Z",
        },
        "spec": {
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [
                {"name": f"disk-{n}", "persistentVolumeClaim": {"claimName": f"vm-{number}-{n}"}} for n in range(4)
            ],
            "domain": {
                "memory": {"guest": "8Gi"},
                "cpu": {"cores": 4, "sockets": 1, "threads": 1, "model": "host-model"},
                "firmware": {"uuid": str(uuid.uuid5(key, "firmware"))},
                "devices": {"disks": [{"name": f"disk-{n}", "disk": {"bus": "virtio"}} for n in range(4)]},
            },
        },
        "status": {
            "phase": "Running",
            "nodeName": f"node-{number % nodes}",
            "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "LiveMigratable", "AgentConnected")],
            "phaseTransitionTimestamps": [
                {"phase": phase, "phaseTransitionTimestamp": "2026-11-01T00:00:00Z"}
                for phase in ("Pending", "Scheduling", "Scheduled", "Running")
            ],
            "volumeStatus": [
                {
                    "name": f"disk-{n}",
                    "target": f"vd{n}",
                    "persistentVolumeClaimInfo": {"claimName": f"vm-{number}-{n}"},
                }
                for n in range(4)
            ],
            "memory": {"guestAtBoot": "8Gi", "guestCurrent": "8Gi", "guestRequested": "8Gi"},
        },
    }


def cluster(number: int, nodes: int, declared: list[dict[str, Any]]) -> Simulated:
    """Make a cluster that holds what is declared for it."""
    at = "2026-11-01T00:00:00Z"

    def live(manifest: dict[str, Any], *, owned: dict[str, Any]) -> dict[str, Any]:
        made = json.loads(json.dumps(manifest))
        made["metadata"] |= {"uid": f"{number}-{manifest['kind']}", "creationTimestamp": at, "generation": 1}
        entry = {
            "manager": "migration-network",
            "operation": "Apply",
            "time": at,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned,
        }
        made["metadata"]["managedFields"] = [entry]
        return made

    def fields(value: Any) -> dict[str, Any]:
        return {f"f:{key}": fields(each) if isinstance(each, dict) else {} for key, each in value.items()}

    objects: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    paths = {
        "NetworkAttachmentDefinition": "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions",
        "HyperConverged": "/apis/hco.kubevirt.io/v1beta1/hyperconvergeds",
    }
    for manifest in declared:
        metadata = {key: value for key, value in manifest["metadata"].items() if key in {"labels", "annotations"}}
        owned = {"f:spec": fields(manifest["spec"]), "f:metadata": fields(metadata)}
        objects[paths[manifest["kind"]]].append(live(manifest, owned=owned))
    hyperconverged = objects[paths["HyperConverged"]][0]
    hyperconverged["status"] = {
        "observedGeneration": 1,
        "conditions": [{"type": "Available", "status": "True", "lastHeartbeatTime": at, "lastTransitionTime": at}],
    }
    migrations = hyperconverged["spec"]["liveMigrationConfig"]
    objects["/apis/kubevirt.io/v1/kubevirts"].append(
        {
            "metadata": {
                "name": "kubevirt-kubevirt-hyperconverged",
                "namespace": NAMESPACE,
                "uid": "k",
                "generation": 1,
            },
            "spec": {"configuration": {"migrations": migrations}},
            "status": {
                "phase": "Deployed",
                "observedGeneration": 1,
                "conditions": [{"type": "Available", "status": "True"}],
                "observedKubeVirtVersion": "v1.6.0",
            },
        }
    )
    objects["/api/v1/pods"] += [pod(number, node) for node in range(nodes)]
    objects["/api/v1/nodes"] += [node(n) for n in range(nodes)]
    objects["/apis/nmstate.io/v1beta1/nodenetworkstates"] += [node_network_state(n) for n in range(nodes)]
    objects["/api/v1/configmaps"].append(
        {"metadata": {"name": "kubevirt-ca", "namespace": NAMESPACE, "uid": "ca"}, "data": {"ca-bundle": BUNDLE}}
    )
    labels = {"kubevirt.io": "virt-handler"}
    objects["/apis/apps/v1/daemonsets"].append(
        {
            "metadata": {"name": "virt-handler", "namespace": NAMESPACE, "generation": 1, "uid": "d"},
            "spec": {
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {"k8s.v1.cni.cncf.io/networks": "migration@migration0"},
                    },
                    "spec": {},
                }
            },
            "status": {
                "desiredNumberScheduled": nodes,
                "numberReady": nodes,
                "updatedNumberScheduled": nodes,
                "numberAvailable": nodes,
                "observedGeneration": 1,
            },
        }
    )
    objects["/apis/kubevirt.io/v1/virtualmachineinstances"] += [machine(number, n, nodes) for n in range(4 * nodes)]
    objects["/apis/kubevirt.io/v1/virtualmachineinstancemigrations"] += [
        {
            "metadata": {"name": f"move-{n}", "namespace": "machines", "uid": f"m{n}", "creationTimestamp": at},
            "spec": {"vmiName": f"vm-{n}"},
            "status": {"phase": "Succeeded"},
        }
        for n in range(2 * nodes)
    ]
    objects["/api/v1/namespaces"] += [
        {"metadata": {"name": name, "uid": f"{name}-{number}"}, "status": {"phase": "Active"}}
        for name in (NAMESPACE, "kube-system", "machines")
    ]
    objects["/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"] += [
        {
            "metadata": {"name": f"network-{n}", "namespace": "machines", "uid": f"n{n}"},
            "spec": {"config": json.dumps({"cniVersion": "0.3.1", "type": "bridge", "bridge": f"br{n}", "vlan": n})},
        }
        for n in range(20)
    ]
    for path in (
        "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies",
        "/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies",
        "/apis/config.openshift.io/v1/networks",
        "/apis/operator.openshift.io/v1/networks",
        "/apis/forklift.konveyor.io/v1beta1/forkliftcontrollers",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/whereabouts.cni.cncf.io/v1alpha1/ippools",
        "/apis/whereabouts.cni.cncf.io/v1alpha1/overlappingrangeipreservations",
        "/apis/k8s.cni.cncf.io/v1beta1/multi-networkpolicies",
        "/api/v1/events",
        "/apis/apps/v1/deployments",
    ):
        objects[path] = []
    return Simulated(number, nodes, objects)


class Servers:
    """All of them behind one port."""

    def __init__(self, clusters: list[Simulated]) -> None:
        self.clusters = clusters
        self.asked: collections.Counter[str] = collections.Counter()
        self.connections: set[asyncio.StreamWriter] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                path, _, rest = target.partition("?")
                query = dict(urllib.parse.parse_qsl(rest))
                _, _, number, path = path.split("/", 3)
                self.asked["watch" if "watch" in query else method] += 1
                one = self.clusters[int(number)]
                while one.state == "hangs":
                    await asyncio.sleep(0.2)
                if one.state == "gone":
                    self.send(writer, 503, {"kind": "Status", "code": 503, "message": "gone"})
                elif "watch" in query:
                    await self.watch(one, "/" + path, query, writer)
                else:
                    self.send(writer, *self.read(one, "/" + path, query))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()

    def send(self, writer: asyncio.StreamWriter, code: int, value: Any) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body
        )

    @staticmethod
    def place(path: str) -> tuple[str, str, str]:
        """Return the path of a collection, the namespace and the name."""
        parts = path.split("/")
        base = 3 if parts[1] == "api" else 4
        namespace = ""
        if len(parts) > base + 2 and parts[base] == "namespaces":
            namespace = parts[base + 1]
            parts = [*parts[:base], *parts[base + 2 :]]
        return "/".join(parts[: base + 1]), namespace, parts[base + 1] if len(parts) > base + 1 else ""

    def read(self, one: Simulated, path: str, query: dict[str, str]) -> tuple[int, Any]:
        collection, namespace, name = self.place(path)
        if collection not in one.objects:
            if path.count("/") == 3:
                return 200, {"kind": "APIResourceList", "resources": []}
            return 404, "404 page not found"
        found = [
            each for each in one.objects[collection] if not namespace or each["metadata"].get("namespace") == namespace
        ]
        if name:
            live = next((each for each in found if each["metadata"]["name"] == name), None)
            return (
                (200, live)
                if live
                else (404, {"kind": "Status", "apiVersion": "v1", "code": 404, "message": "not found"})
            )
        return 200, {
            "kind": "List",
            "metadata": {"resourceVersion": str(one.now)},
            "items": [each for each in found if selected(each, query)],
        }

    async def watch(self, one: Simulated, path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        collection, _, _ = self.place(path)
        me = collection, query, queue
        one.watchers.append(me)
        end = time.monotonic() + float(query.get("timeoutSeconds", "300"))
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while (left := end - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(min(left, BOOKMARK_SECONDS * random.uniform(0.9, 1.0))):
                        line = await queue.get()
                except TimeoutError:
                    line = (
                        json.dumps(
                            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(one.now)}}}
                        ).encode()
                        + b"\n"
                    )
                if line is None:
                    break
                while one.state == "hangs":
                    await asyncio.sleep(0.2)
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        finally:
            one.watchers.remove(me)

    async def heartbeats(self) -> None:
        path = "/apis/hco.kubevirt.io/v1beta1/hyperconvergeds"
        for number in itertools.cycle(range(len(self.clusters))):
            await asyncio.sleep(HEARTBEAT_SECONDS / len(self.clusters))
            one = self.clusters[number]
            live = one.objects[path][0]
            live["status"]["conditions"][0]["lastHeartbeatTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            one.touch(path, live)
            one.touch("/api/v1/pods", random.choice(one.objects["/api/v1/pods"]))

    def command(self, line: str, contexts: dict[str, Any]) -> None:
        verb, _, number = line.strip().partition(" ")
        one = self.clusters[int(number or 0)]
        path = "/apis/hco.kubevirt.io/v1beta1/hyperconvergeds"
        if verb in {"drift", "repair"}:
            live = one.objects[path][0]
            live["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] = 99 if verb == "drift" else 800
            live["metadata"]["generation"] += 1
            live["status"]["observedGeneration"] = live["metadata"]["generation"]
            one.touch(path, live)
        elif verb in {"gone", "hang", "back"}:
            one.state = {"gone": "gone", "hang": "hangs", "back": "works"}[verb]
            one.tell(None)
        elif verb == "expire":
            one.tell(
                json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}).encode()
                + b"\n"
            )
            one.tell(None)
        elif verb in {"stranger", "known"}:
            contexts[verb].configure_cert(contexts["tls"])
            for writer in self.connections:
                writer.transport.abort()
            for each in self.clusters:
                # Who writes to a watch that is no more has nothing else to notice it by.
                each.tell(None)
        elif verb == "count":
            print(json.dumps(self.asked), flush=True)


async def main() -> None:
    """Serve until the input ends."""
    folder, count, nodes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    declared = json.loads((folder / "declared.json").read_text())
    clusters = [cluster(number, nodes, declared[number]) for number in range(count)]
    authority, other = trustme.CA(), trustme.CA()
    certificates = {"known": authority.issue_cert("127.0.0.1"), "stranger": other.issue_cert("127.0.0.1")}
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificates["known"].configure_cert(tls)
    servers = Servers(clusters)
    server = await asyncio.start_server(servers.answer, "127.0.0.1", 0, ssl=tls, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    content = {
        "clusters": [
            {
                "name": f"c{n}",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}/c/{n}",
                    "certificate-authority": str(folder / "ca.pem"),
                },
            }
            for n in range(count)
        ],
        "users": [{"name": "u", "user": {"token": "token-of-a-benchmark"}}],
        "contexts": [{"name": f"cluster-{n:05}", "context": {"cluster": f"c{n}", "user": "u"}} for n in range(count)],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config"} | content))
    print("ready", flush=True)
    beats = asyncio.create_task(servers.heartbeats())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        servers.command(line, certificates | {"tls": tls})
    beats.cancel()


if __name__ == "__main__":
    asyncio.run(main())
