"""Versions that a real API server has forgotten (410): of a watch that is begun again, and of a list between two pages.

A watch cache knows what happened since its server began, and etcd what happened since it was compacted (Kubernetes,
storage/cacher/watch_cache.go and storage/etcd3/errors.go): so a load balancer that leads to another server is enough.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml
from operated import until
from support import Kube, Site, Workspace
from watching import Watch

from config.cluster import Cluster as ClusterConfig
from mignet.kube.client import PAGE, Cluster
from mignet.kube.kinds import NETWORK_ATTACHMENT
from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM
from mignet.lab.servers.http_client import connect, is_ready
from mignet.lab.servers.processes import free_port

CLUSTER = "one"
WATCHES = 5
"""Of this stack: HyperConverged, attachments, what carries its labels, KubeVirt and the pods that migrate."""


class Balancer:
    """What stands before API servers: it passes bytes on to one of them, holds back answers, or breaks and leads on."""

    def __init__(self, port: int) -> None:
        self._target, self._held, self._pairs = port, False, []  # type: ignore[var-annotated]
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Let no answer through from now on."""
        self._held = True

    def lead_to(self, port: int) -> None:
        """Break all connections, and pass the next ones on to another server."""
        self._target, self._held = port, False
        pairs, self._pairs = self._pairs, []
        for each in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((client, server))
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    if not (part := key.fileobj.recv(65536)):  # type: ignore[union-attr]
                        return
                    if not (self._held and key.fileobj is server):
                        key.data.sendall(part)


class Servers:
    """A lab's API server, more of them on the same etcd, and that etcd itself."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab, self._folder = lab, folder
        first, etcd = (next(each for each in lab.status() if each.name == name) for name in (CLUSTER, "etcd"))
        self.first: int = first.port or 0
        self._command = psutil.Process(first.pid).cmdline()
        self._certificates = lab.directory / "certificates"
        self._etcd = connect(etcd.port or 0, self._certificates / "etcd", name="client")
        self.more: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> int:
        """Start another one, wait until it is ready, and return its port."""
        port = free_port(None, avoid=())
        command = [f"--secure-port={port}" if each.startswith("--secure-port=") else each for each in self._command]
        with (self._folder / f"apiserver-{port}.log").open("wb") as log:
            self.more.append(subprocess.Popen([*command, *options], stdout=log, stderr=log, env={}))
        with self.client(port) as client:
            until(lambda: is_ready(client), seconds=60)
        return port

    def client(self, port: int) -> httpx2.Client:
        return connect(port, self._certificates / CLUSTER, name="admin")

    def compact(self) -> None:
        """Have etcd forget all that was before now, as an API server asks it to every five minutes."""
        key = base64.b64encode(b"/x").decode()
        revision = self._etcd.post("/v3/kv/range", json={"key": key}).json()["header"]["revision"]
        answer = self._etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True})
        assert answer.is_success, answer.text

    def close(self) -> None:
        for each in self.more:
            each.kill()
            each.wait()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Lab, Servers]]:
    lab = Lab(tmp_path / "lab", clusters=(CLUSTER,), crds=SLIM, operators=False)
    try:
        lab.up(lambda _: None)
        more = Servers(lab, tmp_path)
        try:
            yield lab, more
        finally:
            more.close()
    finally:
        lab.down()


def through(lab: Lab, port: int, path: Path) -> Path:
    """Write a kubeconfig of the same cluster at another port."""
    content = yaml.safe_load(lab.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_watch_whose_version_has_expired_lists_anew_and_misses_nothing(  # noqa: PLR0915 (a walk through it)
    servers: tuple[Lab, Servers], tmp_path: Path
) -> None:
    lab, more = servers
    kube = Kube(lab.kubeconfig, CLUSTER)
    balancer = Balancer(more.first)
    site = Site(kube, through(lab, balancer.port, tmp_path / "kubeconfig"), CLUSTER, "expired")
    site.create()
    workspace = Workspace(tmp_path / "project", site)
    workspace.create()
    done = workspace.mignet("up", "direct")
    assert done.code == 0, done.out + done.err
    attachment = f"{site.attachments}/migration"
    made = kube.call("GET", attachment)
    version = made["metadata"]["resourceVersion"]
    watch = Watch(workspace.folder, workspace.environment)
    stack = workspace.stack
    relists = f'mignet_watch_relists_total{{stack="{stack}"}}'
    drifted = f'mignet_drifted{{stack="{stack}"}}'

    def change(value: int) -> None:
        kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": value}}}, "edit")

    try:
        until(lambda: watch.metrics().get(drifted) == 0, seconds=30)
        until(lambda: watch.told_of("finding-began", stack, code="operator-asleep"), seconds=30)
        before = watch.metrics()[relists]

        # What the server's cache no longer has: while no event comes through, one thing changes and another is deleted.
        balancer.hold()
        change(99)
        kube.call("DELETE", attachment)
        second = more.start()
        assert "too old resource version" in expired(more, second, site.attachments, version)
        balancer.lead_to(second)
        until(lambda: watch.told_of("finding-began", stack, code="field-changed"), seconds=20)
        until(lambda: watch.told_of("finding-began", stack, code="object-missing"), seconds=20)
        # All of the watches, or those of another version would miss what happened meanwhile.
        until(lambda: watch.metrics()[relists] >= before + WATCHES, seconds=30)
        assert len(watch.told_of("drift-began", stack)) == 1

        # What etcd no longer has, through a server without a cache.
        made["metadata"] = {key: made["metadata"][key] for key in ("name", "labels", "annotations")}
        before = watch.metrics()[relists]
        balancer.hold()
        change(800)
        kube.call("POST", site.attachments, json=made, params={"fieldManager": "migration-network"})
        more.compact()
        third = more.start("--watch-cache=false")
        assert "too old" in expired(more, third, site.attachments, version)
        balancer.lead_to(third)
        until(lambda: watch.told_of("finding-ended", stack, code="field-changed"), seconds=20)
        until(lambda: watch.told_of("finding-ended", stack, code="object-missing"), seconds=20)
        until(lambda: watch.metrics()[relists] >= before + WATCHES, seconds=30)

        # And what happens from then on is told as ever.
        change(98)
        until(lambda: len(watch.told_of("finding-began", stack, code="field-changed")) == 2, seconds=5)
        assert not watch.told_of("cluster-lost", stack)
        assert not watch.told_of("failed", stack)
        watch.process.terminate()
        assert watch.process.wait(10) == 0
    finally:
        watch.process.kill()
        watch.process.wait()
        balancer.close()


def expired(servers: Servers, port: int, path: str, version: str) -> str:
    """Ask a server for what happened since a version; return why it does not say."""
    params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "5"}
    with servers.client(port) as client:
        # Its storage is made when somebody first asks for it: until then it answers 429.
        answer = until(lambda: None if (got := client.get(path, params=params)).status_code == 429 else got, seconds=20)
    assert '"code":410' in answer.text, answer.text
    text: str = answer.text
    return text


def test_a_list_whose_next_page_has_expired_is_begun_anew(servers: tuple[Lab, Servers], tmp_path: Path) -> None:
    lab, more = servers
    kube = Kube(lab.kubeconfig, CLUSTER)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pages"}}
    kube.call("POST", "/api/v1/namespaces", json=namespace)
    path = "/apis/k8s.cni.cncf.io/v1/namespaces/pages/network-attachment-definitions"
    kind = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "spec": {"config": "{}"}}

    def make(number: int) -> None:
        kube.call("POST", path, json=kind | {"metadata": {"name": f"a{number:04}", "namespace": "pages"}})

    for number in range(PAGE + 10):
        make(number)
    # A cache answers from what it had at the time of the first page, as long as it keeps that.
    port = more.start("--watch-cache=false")
    kubeconfig = through(lab, port, tmp_path / "kubeconfig")
    config = ClusterConfig(context=CLUSTER, namespace="pages", kubeconfig=str(kubeconfig))
    answered: list[int] = []

    async def forget(response: Any) -> None:
        answered.append(response.status_code)
        if len(answered) == 1:
            await asyncio.to_thread(make, PAGE + 10)
            await asyncio.to_thread(more.compact)

    async def listed() -> tuple[list[dict[str, Any]], str]:
        async with Cluster(config, base=tmp_path) as cluster:
            cluster._client._client._client.event_hooks["response"].append(forget)
            return await cluster.listed(NETWORK_ATTACHMENT, namespace="pages")

    found, version = asyncio.run(listed())
    assert answered == [200, 410, 200, 200]
    assert [each["metadata"]["name"] for each in found] == [f"a{number:04}" for number in range(PAGE + 11)]
    assert version
