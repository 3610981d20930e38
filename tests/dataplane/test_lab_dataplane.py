"""The lab with a data plane: pods as a checkup makes them run in namespaces of their nodes, behind the real plugins."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from operated import ATTACHMENTS, NAMESPACE, PODS, POOLS, Cluster, events, interface, until
from support import Kube

from mignet.lab.dataplane.namespaces import NEW
from mignet.lab.errors import LabError
from mignet.lab.fault_store import Switchboard
from mignet.lab.lab import DATAPLANE, Lab
from mignet.lab.seeding.definitions import SLIM
from mignet.lab.state import Record

CHECKUP = "migration-network.io/checkup"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
TARGETS = "migration-network.io/targets"
MACVLAN = {"type": "macvlan", "master": "eth1", "mode": "bridge"}

PROBE = """
import concurrent.futures, json, os, socket, threading, time
path, result = os.environ["MIGNET_TARGETS"], os.environ["MIGNET_RESULT"]
def wait(key):
    while True:
        try:
            found = json.load(open(path))
            if key in found:
                return found[key]
        except ValueError:
            time.sleep(0.02)
mine = wait("address")
def datagrams(port):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(0, 10, 3)
    one.bind((mine, port))
    return one
def answer(listener):
    while True:
        listener.accept()[0].close()
def echo(one):
    while True:
        one.sendto(*one.recvfrom(65536))
for port in (9185, 40001):
    threading.Thread(target=answer, args=[socket.create_server((mine, port))], daemon=True).start()
threading.Thread(target=echo, args=[datagrams(40002)], daemon=True).start()
with open(result, "w") as file:
    file.write("listening")
def opens(address, port):
    try:
        socket.create_connection((address, port), 1, (mine, 0)).close()
        return True
    except OSError as error:
        return type(error).__name__
def sizes(address):
    asking, arrived = datagrams(0), []
    asking.settimeout(1)
    for size in (9000, 1500, 100):
        asking.sendto(b"." * (size - 28), (address, 40002))
    try:
        while 100 not in arrived:
            arrived.insert(0, len(asking.recv(65536)) + 28)
    except OSError:
        pass
    return arrived
def measure(address):
    return {"sync": opens(address, 9185), "high": opens(address, 40001), "sizes": sizes(address)}
with concurrent.futures.ThreadPoolExecutor() as pool:
    targets = wait("targets")
    found = dict(zip(targets, pool.map(measure, targets)))
for line in open("/proc/net/arp"):
    if line.split()[0] in found:
        found[line.split()[0]]["mac"] = line.split()[3]
with open(result, "w") as file:
    json.dump(found, file)
wait("finish")
os._exit(0)
"""


@pytest.fixture(scope="module")
def plane(nothing_remains: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("dataplane") / "lab", crds=SLIM, dataplane=True)
    try:
        lab.up(lambda _: None)
        yield lab
    finally:
        held = namespaces(lab)
        lab.down()
        assert not held & all_namespaces()


def namespaces(lab: Lab) -> set[int]:
    """Return the network namespaces that the process of the data plane holds."""
    record = Record.read(lab.directory / "lab.json")
    assert record is not None
    return cookies(Path(f"/proc/{record.processes[DATAPLANE].pid}/fd").iterdir())


def all_namespaces() -> set[int]:
    """Return every network namespace that some process is in, or holds open."""
    return cookies(each for pattern in ("ns/net", "fd/*") for each in Path("/proc").glob(f"[0-9]*/{pattern}"))


def cookies(files: Iterable[Path]) -> set[int]:
    """Return the kernel's own mark of each network namespace: unlike an inode's number, it is never given again."""
    links: dict[Path, Path] = {}
    for file in files:
        with contextlib.suppress(OSError):
            links.setdefault(file.readlink(), file)
    found: set[int] = set()
    for link, file in links.items():
        if link.name.startswith("net:["):
            # A thread goes into it, and does not come back.
            thread = threading.Thread(target=_add_cookie, args=(file, found))
            thread.start()
            thread.join()
    return found


def _add_cookie(file: Path, found: set[int]) -> None:
    with contextlib.suppress(OSError), file.open() as there:
        if ctypes.CDLL(None).setns(there.fileno(), NEW) == 0:
            with socket.socket() as asking:
                cookie = asking.getsockopt(socket.SOL_SOCKET, 71, 8)  # SO_NETNS_COOKIE
                found.add(int.from_bytes(cookie, sys.byteorder))


class Checkup:
    """Pods on nodes of both clusters, as a checkup makes them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.clusters = {name: Cluster(name, Kube(lab.kubeconfig, name)) for name in lab.clusters}

    def pod(
        self,
        cluster: str,
        node: str,
        *,
        network: str = "migration",
        command: list[str] | None = None,
        owners: list[dict[str, str]] | None = None,
        **spec: Any,
    ) -> str:
        file = {"path": "targets", "fieldRef": {"fieldPath": f"metadata.annotations['{TARGETS}']"}}
        container = {
            "name": "probe",
            "image": "any",
            "command": command or ["python3", "-c", PROBE],
            "env": [{"name": "MIGNET_TARGETS", "value": "/etc/mignet/targets"}],
            "volumeMounts": [{"name": "targets", "mountPath": "/etc/mignet"}],
        }
        name = f"checkup-{node}"
        body = {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": {CHECKUP: "run"},
                "ownerReferences": owners or [],
                "annotations": {"k8s.v1.cni.cncf.io/networks": f"{network}@migration0"},
            },
            "spec": {
                "nodeName": node,
                "restartPolicy": "Never",
                "containers": [container],
                "volumes": [{"name": "targets", "downwardAPI": {"items": [file]}}],
                **spec,
            },
        }
        self.clusters[cluster].kube.call("POST", PODS, json=body)
        return name

    def get(self, cluster: str, name: str) -> Any:
        return self.clusters[cluster].get(f"{PODS}/{name}")

    def running(self, cluster: str, name: str) -> Any:
        until(lambda: self.get(cluster, name)["status"].get("phase") == "Running", f"{name} running")
        return self.get(cluster, name)

    def tell(self, cluster: str, name: str, **targets: Any) -> None:
        annotations = {TARGETS: json.dumps(targets)}
        self.clusters[cluster].merge(f"{PODS}/{name}", {"metadata": {"annotations": annotations}})

    def measure(self, *nodes: str, network: str = "migration") -> dict[str, dict[str, dict[str, Any]]]:
        """Run a checkup on these nodes; return what each found of each other one, by the nodes' names."""
        where = {node: node.rpartition("-worker-")[0] for node in nodes}
        names = {node: self.pod(cluster, node, network=network) for node, cluster in where.items()}
        addresses, macs = {}, {}
        for node, cluster in where.items():
            found = interface(self.running(cluster, names[node]))
            assert found is not None
            addresses[node], macs[node] = found["ips"][0], found["mac"]
        for node, cluster in where.items():
            self.tell(cluster, names[node], address=addresses[node])
        until(lambda: self._written() == ["listening"] * len(nodes))
        for node, cluster in where.items():
            others = [address for other, address in addresses.items() if other != node]
            self.tell(cluster, names[node], targets=others)
        until(lambda: all(text.startswith("{") for text in self._written()))
        results = {}
        for node, cluster in where.items():
            self.tell(cluster, names[node], finish=True)
            name = names[node]
            pod = until(lambda: (one := self.get(cluster, name))["status"]["phase"] == "Succeeded" and one)  # noqa: B023
            (status,) = pod["status"]["containerStatuses"]
            results[node] = json.loads(status["state"]["terminated"]["message"])
        owner = {address: node for node, address in addresses.items()}
        for found in results.values():
            for address, each in found.items():
                each["twice"] = each.get("mac") not in {macs[owner[address]], "00:00:00:00:00:00", None}
                each.pop("mac", None)
        return {node: {owner[address]: each for address, each in found.items()} for node, found in results.items()}

    def _written(self) -> list[str]:
        """Return what each pod has written as its result so far; a test may look, a checkup sees it when a pod ends."""
        return [file.read_text() for file in (self.lab.directory / "dataplane").glob("*/result")]

    def remove(self) -> None:
        for cluster in self.clusters.values():
            pods = f"{PODS}?labelSelector={CHECKUP}"
            cluster.kube.call("DELETE", f"{pods}&gracePeriodSeconds=1")
            until(lambda pods=pods, cluster=cluster: not cluster.get(pods)["items"], "pods removed")  # type: ignore[misc]
            cluster.heal()
        # The API server removes a pod that has ended without asking its node.
        until(self.emptied)

    def emptied(self) -> bool:
        """Whether the nodes have nothing of a pod left."""
        return not list((self.lab.directory / "dataplane").glob("*"))


@pytest.fixture(scope="module")
def made(plane: Lab) -> Checkup:
    one = Checkup(plane)
    for cluster in one.clusters.values():
        cluster.attach("migration", config(cluster, **MACVLAN))
    return one


def config(cluster: Cluster, **keys: Any) -> dict[str, Any]:
    """Return an attachment's configuration with the slice of the cluster."""
    first, last = {"dev": (10, 60), "dev-peer": (61, 110)}[cluster.name]
    ipam = {"type": "whereabouts", "range": "10.200.5.0/24"}
    ipam |= {"range_start": f"10.200.5.{first}", "range_end": f"10.200.5.{last}"}
    return {"cniVersion": "0.3.1", "name": "m", "mtu": 9000, "ipam": ipam} | keys


@pytest.fixture
def checkup(made: Checkup) -> Iterator[Checkup]:
    yield made
    made.remove()


WELL = {"sync": True, "high": True, "sizes": [100, 1500, 9000], "twice": False}
NODES = ("dev-worker-0", "dev-worker-2", "dev-peer-worker-0", "dev-peer-worker-2")
LAST = "dev-worker-2"


def test_pods_on_a_healthy_fabric_reach_each_other_with_addresses_of_their_slices(checkup: Checkup) -> None:
    found = checkup.measure(*NODES)
    assert found == {node: {other: WELL for other in NODES if other != node} for node in NODES}
    for cluster, numbers in (("dev", {10, 11}), ("dev-peer", {61, 62})):
        pods = checkup.clusters[cluster].get(f"{PODS}?labelSelector={CHECKUP}")["items"]
        given = {(interface(pod) or {})["ips"][0] for pod in pods}
        assert given == {f"10.200.5.{number}" for number in numbers}
        assert {(interface(pod) or {})["mtu"] for pod in pods} == {9000}


def test_what_a_pod_has_held_is_free_when_it_has_ended(checkup: Checkup) -> None:
    checkup.measure(*NODES[:1])
    cluster = checkup.clusters["dev"]
    until(lambda: all(not each["spec"]["allocations"] for each in cluster.get(POOLS)["items"]))
    assert checkup.emptied()


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ("nic-unplugged", {"sync": "TimeoutError", "high": "TimeoutError", "sizes": []}),
        ("nic-on-another-vlan", {"sync": "TimeoutError", "high": "TimeoutError", "sizes": []}),
        ("nic-small-mtu", {"sizes": [100, 1500]}),
        ("port-9185-blocked", {"sync": "TimeoutError"}),
        ("ports-high-blocked", {"high": "TimeoutError"}),
        (
            "address-twice",
            {"sync": "ConnectionRefusedError", "high": "ConnectionRefusedError", "sizes": [], "twice": True},
        ),
    ],
)
def test_a_fault_of_the_fabric_shows_at_the_last_node_and_nowhere_else(
    checkup: Checkup, fault: str, wrong: dict[str, Any]
) -> None:
    Switchboard(checkup.lab, "dev").switch_on([fault])
    found = checkup.measure(*NODES[:3])
    others = [node for node in NODES[:3] if node != LAST]
    for node in others:
        assert found[node][LAST] == WELL | wrong, node
        assert {other: found[node][other] for other in others if other != node} == {
            other: WELL for other in others if other != node
        }


def test_a_fault_is_about_the_node_that_it_names(checkup: Checkup) -> None:
    Switchboard(checkup.lab, "dev").switch_on(["nic-unplugged=dev-worker-0"])
    found = checkup.measure(*NODES[:3])
    assert found[LAST]["dev-peer-worker-0"] == WELL
    assert found[LAST]["dev-worker-0"]["sizes"] == []


VLAN = {"name": "eth1.2001", "type": "vlan", "state": "up", "mtu": 9000, "vlan": {"id": 2001, "base-iface": "eth1"}}
BRIDGE = {"name": "br1", "type": "linux-bridge", "state": "up", "mtu": 9000, "bridge": {"port": [{"name": "eth1"}]}}


@pytest.mark.parametrize(
    ("interface_", "keys"),
    [
        (VLAN, {"type": "macvlan", "master": "eth1.2001", "mode": "bridge"}),
        (BRIDGE, {"type": "bridge", "bridge": "br1", "vlan": 2001}),
    ],
    ids=["vlan", "bridge"],
)
def test_a_node_has_what_a_policy_declares_and_a_vlan_is_a_fabric_of_its_own(
    checkup: Checkup, interface_: dict[str, Any], keys: dict[str, Any]
) -> None:
    policies = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"
    name = interface_["name"].replace(".", "-")
    for cluster in checkup.clusters.values():
        policy = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "metadata": {"name": name}}
        policy["spec"] = {"desiredState": {"interfaces": [interface_]}}
        cluster.kube.call("POST", policies, json=policy)
        cluster.attach(name, config(cluster, **keys))
    try:
        found = checkup.measure(*NODES[:3], network=name)
        assert found == {node: {other: WELL for other in NODES[:3] if other != node} for node in NODES[:3]}
        checkup.remove()
        # One untagged pod among them: it is alone.
        other = checkup.clusters["dev-peer"]
        other.merge(f"{ATTACHMENTS}/{name}", {"spec": {"config": json.dumps(config(other, **MACVLAN))}})
        found = checkup.measure(*NODES[:3], network=name)
        assert found["dev-worker-0"][LAST] == WELL
        assert found["dev-worker-0"]["dev-peer-worker-0"]["sizes"] == []
    finally:
        for cluster in checkup.clusters.values():
            cluster.kube.call("DELETE", f"{policies}/{name}")


def test_a_pod_that_is_deleted_is_ended_and_gone(checkup: Checkup) -> None:
    before = namespaces(checkup.lab)
    name = checkup.pod("dev", LAST)
    checkup.running("dev", name)
    assert namespaces(checkup.lab) > before
    checkup.clusters["dev"].kube.call("DELETE", f"{PODS}/{name}")
    until(lambda: checkup.get("dev", name) is None)
    assert namespaces(checkup.lab) == before


def test_a_pod_is_ended_when_its_deadline_is_over(checkup: Checkup) -> None:
    name = checkup.pod("dev", LAST, activeDeadlineSeconds=1)
    pod = until(lambda: (one := checkup.get("dev", name))["status"].get("phase") == "Failed" and one)
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_a_command_that_fails_leaves_the_end_of_what_it_printed(checkup: Checkup) -> None:
    name = checkup.pod("dev", LAST, command=["python3", "-c", "raise SystemExit('no luck')"])
    pod = until(lambda: (one := checkup.get("dev", name))["status"].get("phase") == "Failed" and one)
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["message"].strip()) == (1, "no luck")


def test_a_pod_has_no_privilege(checkup: Checkup) -> None:
    program = "import os; s = open('/proc/self/status').read(); open(os.environ['MIGNET_RESULT'], 'w').write(s)"
    name = checkup.pod("dev", LAST, command=["python3", "-c", program])
    pod = until(lambda: (one := checkup.get("dev", name))["status"].get("phase") == "Succeeded" and one)
    text = pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert {status[f"Cap{each}"] for each in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


def test_an_attachment_that_cannot_be_made_leaves_the_pod_pending_and_says_why(checkup: Checkup) -> None:
    cluster = checkup.clusters["dev"]
    path = f"/apis/k8s.cni.cncf.io/v1/namespaces/{NAMESPACE}/network-attachment-definitions/migration"
    config = cluster.get(path)["spec"]["config"]
    cluster.merge(path, {"spec": {"config": config.replace("9000", "9100")}})
    try:
        name = checkup.pod("dev", LAST)
        said = until(lambda: events(cluster, checkup.get("dev", name)).get("FailedCreatePodSandBox"))
        assert "MTU" in said
        assert checkup.get("dev", name)["status"]["phase"] == "Pending"
    finally:
        cluster.merge(path, {"spec": {"config": config}})
    checkup.running("dev", name)


def test_pods_that_nobody_checks_stay_objects_alone(checkup: Checkup) -> None:
    cluster = checkup.clusters["dev"]
    assert [pod["status"]["phase"] for pod in cluster.pods()] == ["Running"] * 3
    assert checkup.emptied()


def test_a_data_plane_that_is_killed_leaves_nothing_and_the_next_one_says_that_its_pods_are_lost(
    checkup: Checkup,
) -> None:
    name = checkup.pod("dev", LAST)
    checkup.running("dev", name)
    held = namespaces(checkup.lab)
    record = Record.read(checkup.lab.directory / "lab.json")
    assert record is not None
    process = psutil.Process(record.processes[DATAPLANE].pid)
    children = process.children(recursive=True)
    assert children
    assert held <= all_namespaces()
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not held & all_namespaces())
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    checkup.lab.up(lambda _: None)
    pod = until(lambda: (one := checkup.get("dev", name))["status"].get("phase") == "Failed" and one)
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["reason"] == "ContainerStatusUnknown"
    assert checkup.measure("dev-worker-0", "dev-peer-worker-0")["dev-worker-0"] == {"dev-peer-worker-0": WELL}


def test_a_checkup_that_nobody_ends_is_removed_by_the_cluster_itself(checkup: Checkup) -> None:
    """Its Job reaches its deadline, and goes; its pods go with it: Kubernetes' own controllers see to it."""
    cluster = checkup.clusters["dev"]
    container = {"name": "none", "image": "any"}
    spec = {"parallelism": 0, "activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 0}
    spec |= {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    job = cluster.kube.call("POST", JOBS, json={"metadata": {"name": "run"}, "spec": spec})
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "run", "uid": job["metadata"]["uid"]}
    name = checkup.pod("dev", LAST, owners=[owner], terminationGracePeriodSeconds=1)
    until(lambda: cluster.get(f"{JOBS}/run") is None)
    until(lambda: checkup.get("dev", name) is None)
    until(checkup.emptied)
    assert len(cluster.pods()) == 3


def test_a_fault_of_the_fabric_is_refused_in_a_lab_without_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="mignet lab up --dataplane"):
        Switchboard(Lab(tmp_path / "lab"), "dev").switch_on(["nic-unplugged"])
