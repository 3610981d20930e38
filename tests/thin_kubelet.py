"""A thin kubelet: attaches the pods of checkups to a fabric of namespaces, and runs their command there.

It stands in for kubelet, multus and the CNI plugins. Addresses are the lowest free ones of the cluster's slice. There is
no controller behind Jobs, so what a test wants to see of those it asks the API server for.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from probes import Fabric
from support import Kube

PODS = "/api/v1/namespaces/openshift-cnv/pods"
JOBS = "/apis/batch/v1/namespaces/openshift-cnv/jobs"
LABEL = "migration-network.io/checkup"


@dataclass
class ThinKubelet:
    """All nodes of one cluster."""

    kube: Kube
    fabric: Fabric
    first: str
    placed: Callable[[str], dict[str, Any]] = lambda _: {}
    """How a node is put on the fabric: what `Fabric.host` is told besides its address."""
    address: Callable[[str], str | None] = lambda _: None
    """The address that a node's pod gets, when it is another than the next free one."""
    python: str = ""
    seen: set[str] = field(default_factory=set)
    _running: dict[str, tuple[str, subprocess.Popen[bytes]]] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._over.wait(0.05):
            pods = self.kube.call("GET", PODS, params={"labelSelector": LABEL})["items"]
            for pod in pods:
                name = pod["metadata"]["name"]
                if "deletionTimestamp" in pod["metadata"]:
                    self._end(name)
                    body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
                    self.kube.call("DELETE", f"{PODS}/{name}", json=body)
                elif name not in self.seen:
                    self._start(pod)
                elif name in self._running:
                    self._follow(pod)

    def _start(self, pod: dict[str, Any]) -> None:
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        self.seen.add(name)
        used = {host for host, *_ in self._running.values()}
        taken = {self.fabric.addresses[host] for host in used}
        free = (ipaddress.ip_address(self.first) + number for number in range(200))
        address = self.address(node) or next(str(each) for each in free if str(each) not in taken)
        # Pods of two clusters may have one name.
        host = f"{self.first}-{name}"
        self.fabric.host(host, address, **self.placed(node))
        mac = self.fabric.mac(host)
        network = pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"]
        status = [{"name": f"openshift-cnv/{network.partition('@')[0]}", "interface": "migration0", "ips": [address]}]
        status[0] |= {"mac": mac}
        self.kube.merge(f"{PODS}/{name}", {"metadata": {"annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)}}}, "multus")
        (container,) = pod["spec"]["containers"]
        environment = {each["name"]: each["value"] for each in container["env"]}
        files = {"MIGNET_TARGETS": self.fabric.folder / f"{host}-targets", "MIGNET_RESULT": self.fabric.folder / f"{host}-result"}
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.fabric.hosts[host], *container["command"]],
            env=os.environ | environment | {key: str(path) for key, path in files.items()},
        )
        self._running[name] = (host, process)
        self._report(name, "Running", {"running": {}})

    def _follow(self, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        host, process = self._running[name]
        told = self.fabric.folder / f"{host}-targets"
        text = pod["metadata"]["annotations"].get("migration-network.io/targets", "")
        if text and not told.exists():
            new = self.fabric.folder / f"{host}-new"
            new.write_text(text)
            new.replace(told)
        if process.poll() is not None and pod["status"].get("phase") == "Running":
            result = self.fabric.folder / f"{host}-result"
            message = result.read_text() if result.exists() else ""
            state = {"terminated": {"exitCode": process.returncode, "message": message}}
            self._report(name, "Failed" if process.returncode else "Succeeded", state)

    def _report(self, name: str, phase: str, state: dict[str, Any]) -> None:
        container = {"name": "probe", "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}
        patch = {"status": {"phase": phase, "containerStatuses": [container]}}
        self.kube.merge(f"{PODS}/{name}/status", patch, "kubelet")

    def _end(self, name: str) -> None:
        if name in self._running:
            host, process = self._running.pop(name)
            process.kill()
            process.wait()
            subprocess.run(["ip", "netns", "del", self.fabric.hosts.pop(host)], check=False)

    def stop(self) -> None:
        self._over.set()
        for name in list(self._running):
            self._end(name)


@contextlib.contextmanager
def kubelets(*each: ThinKubelet) -> Iterator[None]:
    threads = [threading.Thread(target=one.run) for one in each]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for one in each:
            one._over.set()
        for thread in threads:
            thread.join()
        for one in each:
            one.stop()
