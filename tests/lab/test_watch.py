"""`mignet watch` against a real API server: what changes is told within seconds, and nothing is written."""

from __future__ import annotations

import contextlib
import html
import http.server
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml
from forked import BIN
from operated import ATTACHMENTS, HCO, VMS, Operated, until
from support import ROOT, Kube, Site, Workspace, document
from watching import TOKEN, Watch

from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM
from mignet.lab.servers.certificates import Authority

WRITING = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}


def asked(kube: Kube) -> Counter[str]:
    """Return how often an API server was asked for what a stack reads or writes, by verb: dry runs are among them."""
    found: Counter[str] = Counter()
    for line in kube.http.get("/metrics").text.splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if (
                re.search(r"kubevirt\.io|cncf\.io|nmstate\.io|ovn\.org|authorization\.k8s\.io", labels["group"])
                or labels["resource"] == "pods"
            ):
                found[labels["verb"]] += int(float(line.rpartition(" ")[2]))
    return found


class Hook:
    """A receiver of changes whose first answer is an error, so that one is sent twice."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.asked: list[str | None] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.asked.append(self.headers["Authorization"])
                fails = len(hook.asked) == 1
                if not fails:
                    hook.taken.append(document(body.decode()))
                self.send_response(503 if fails else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


@dataclass
class Seen:
    """What a server saw: connections that were refused in their handshake, and requests."""

    refused: int = 0
    requests: int = 0


@contextlib.contextmanager
def impostor(folder: Path, port: int) -> Iterator[Seen]:
    """Serve at a cluster's place with a certificate of another authority."""
    folder.mkdir()
    Authority(folder, name="another").issue("server", name="kube-apiserver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    seen, listening = Seen(), socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                client.settimeout(5)
                try:
                    with context.wrap_socket(client, server_side=True) as secure:
                        seen.requests += bool(secure.recv(1))
                except OSError:
                    seen.refused += 1

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield seen
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab", clusters=("one", "two"), crds=SLIM, operators=False)
    try:
        lab.up(lambda _: None)
        yield lab
    finally:
        lab.down()


def test_it_tells_of_drift_and_of_lost_clusters_and_writes_nothing(  # noqa: PLR0915 (a walk through it)
    pair: Lab, tmp_path: Path
) -> None:
    sites = [Site(Kube(pair.kubeconfig, name), pair.kubeconfig, name, f"watched-{name}") for name in ("one", "two")]
    folder = tmp_path / "project"
    workspaces = [Workspace(folder, site) for site in sites]
    for number, workspace in enumerate(workspaces):
        workspace.site.create()
        workspace.create() if not number else None
        if number:
            workspace.config = workspaces[0].config | {
                "cluster": {
                    "context": "two",
                    "kubeconfig": str(pair.kubeconfig),
                    "namespace": workspace.site.namespace,
                },
                "slice": {"rangeStart": "10.200.5.70", "rangeEnd": "10.200.5.120"},
            }
            workspace.write()
    for workspace in workspaces:
        done = workspace.mignet("up", "direct", "--skip-preflight")
        assert done.code == 0, done.out + done.err
    one, two = workspaces
    quiet = asked(two.site.kube)
    hook = Hook()
    (folder / "token").write_text(TOKEN + "\n")
    watch = Watch(
        folder, one.environment, "--token-file", "token", "--webhook", hook.url, "--webhook-token-file", "token"
    )
    try:
        drifted = f'mignet_drifted{{stack="{one.stack}"}}'
        until(
            lambda: watch.metrics().get(drifted) == 0 and f'mignet_drifted{{stack="{two.stack}"}}' in watch.metrics(),
            seconds=30,
        )
        assert not watch.told_of("drift-began", one.stack)

        edited = time.monotonic()
        one.site.kube.merge(
            one.site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "kubectl-edit"
        )
        until(lambda: watch.told_of("drift-began", one.stack), seconds=5)
        until(lambda: watch.metrics()[drifted] == 1, seconds=5)
        (found,) = watch.told_of("finding-began", one.stack, code="field-changed")
        assert "completionTimeoutPerGiB is 99, not 800: set by kubectl-edit" in found["sentence"]
        assert time.monotonic() - edited < 5
        until(lambda: any(each["what"] == "drift-began" for each in hook.taken), seconds=5)
        assert set(hook.asked) == {f"Bearer {TOKEN}"}
        assert len(hook.asked) == len(hook.taken) + 1

        page = watch.http.get("/")
        assert page.status_code == 200
        assert "field-changed" in page.text
        assert (
            watch.http.get("/metrics", headers={"Authorization": "Bearer wrong-wrong-wrong-wrong"}).status_code == 401
        )
        assert watch.http.get("/healthz", headers={"Authorization": ""}).json()["status"] == "ok"
        assert watch.http.post("/").status_code == 405

        assert one.mignet("up", "direct", "--skip-preflight").code == 0
        until(lambda: watch.told_of("drift-ended", one.stack), seconds=5)
        until(lambda: watch.told_of("finding-ended", one.stack, code="field-changed"), seconds=5)
        assert not watch.told_of("drift-began", two.stack)
        looked = f'mignet_last_look_timestamp_seconds{{stack="{two.stack}",verb="limits"}}'
        until(lambda: looked in watch.metrics(), seconds=30)
        assert asked(two.site.kube)["LIST"] > quiet["LIST"]
        assert {verb: count for verb, count in asked(two.site.kube).items() if verb in WRITING} == {
            verb: count for verb, count in quiet.items() if verb in WRITING
        }

        path = folder / f"Pulumi.{two.stack}.yaml"
        before = path.read_text()
        path.write_text(before.replace("type: macvlan", "type: nonsense"))
        until(lambda: watch.told_of("files-refused", two.stack), seconds=10)
        path.write_text(before)
        until(lambda: watch.told_of("files-read", two.stack), seconds=10)

        server = next(each for each in pair.status() if each.name == "two")
        psutil.Process(server.pid).kill()
        until(lambda: watch.told_of("cluster-lost", two.stack), seconds=15)
        assert watch.metrics()[f'mignet_cluster_reachable{{stack="{two.stack}",verb="drift"}}'] == 0
        with impostor(tmp_path / "impostor", server.port or 0) as seen:
            until(lambda: seen.refused, seconds=30)
        assert not watch.told_of("cluster-back", two.stack)
        assert not seen.requests, "what cannot show the cluster's certificate gets no credentials"
        pair.up(lambda _: None)
        until(lambda: watch.told_of("cluster-back", two.stack), seconds=90)
        assert not watch.told_of("cluster-lost", one.stack)
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(10) == 0
        assert not [each for each in watch.told if each["what"] == "failed"], watch.told
    finally:
        watch.process.kill()
        watch.process.wait()


def test_it_looks_with_all_eyes_of_the_report(operated: Operated) -> None:
    dev, policies = operated.dev, "/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies"
    operated.up()
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    dev.kube.call("POST", VMS, json=body | {"spec": {"domain": {"devices": {}}}})
    until(lambda: dev.get(f"{VMS}/vm").get("status", {}).get("phase") == "Running", seconds=20)
    watch = Watch(operated.folder, os.environ | operated.lab.pulumi_environment(), "--every", "30")
    ready = 'mignet_peer_paths_ready{stack="dev"}'
    try:
        until(lambda: watch.metrics().get(ready) == 1, seconds=60)
        for verb in ("preflight", "verify", "drift", "peers", "limits"):
            assert watch.metrics()[f'mignet_cluster_reachable{{stack="dev",verb="{verb}"}}'] == 1
        page = watch.http.get("/").text
        assert "completionTimeoutPerGiB" in page
        assert "2 of 2 paths are ready" in page

        slow = {
            "apiVersion": "migrations.kubevirt.io/v1alpha1",
            "kind": "MigrationPolicy",
            "metadata": {"name": "slow"},
        }
        settings = {"completionTimeoutPerGiB": 20, "bandwidthPerMigration": "32Mi"}
        selectors = {"virtualMachineInstanceSelector": {"app": "slow"}}
        dev.merge(f"{VMS}/vm", {"metadata": {"labels": {"app": "slow"}}})
        dev.kube.call("POST", policies, json=slow | {"spec": {"selectors": selectors} | settings})
        pool = {"type": "whereabouts", "range": "10.200.5.0/24", "network_name": "another"}
        dev.attach("another", {"cniVersion": "0.3.1", "type": "macvlan", "master": "eth1", "ipam": pool})
        dev.merge(HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 151}}})
        found = {("limits", "limit-too-slow"), ("preflight", "pool-overlap"), ("peers", "peer-limits-differ")}

        def on(what: str) -> set[tuple[str, str]]:
            return {(each["verb"], each["code"]) for each in watch.told if each["what"] == what}

        until(lambda: found <= on("finding-began"), seconds=90)
        # As the report says, which does not look at drift.
        reported = operated.run("report", "-o", "json").document["findings"]
        page = html.unescape(watch.http.get("/").text)
        assert {code for _, code in found} <= {each["code"] for each in reported}
        assert all(each["code"] in page for each in reported)
        judged = {code for key in watch.metrics() for code in re.findall(r'^mignet_findings.*code="([^"]+)"', key)}
        of_drift = {each["code"] for each in watch.told if each["verb"] == "drift"}
        assert judged - of_drift == {each["code"] for each in reported} - of_drift

        dev.kube.call("DELETE", f"{policies}/slow")
        dev.kube.call("DELETE", f"{ATTACHMENTS}/another")
        operated.up("dev")
        until(lambda: found <= on("finding-ended"), seconds=90)
        until(lambda: watch.metrics().get(ready) == 1, seconds=30)
        assert not [each for each in watch.told if each["what"] in {"failed", "cluster-lost"}], watch.told
    finally:
        watch.process.terminate()
        assert watch.process.wait(10) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--listen", "0.0.0.0:9464"], "demands --token-file, --tls-cert and --tls-key"),
        (["--listen", "localhost"], "is not ADDRESS:PORT"),
        (["--tls-cert", "x"], "belong together"),
        (["--token-file", "none"], "cannot be read"),
        (["--webhook", "ftp://x"], "--webhook is no URL"),
    ],
)
def test_what_it_would_serve_to_others_or_not_at_all_is_refused_in_one_line(
    tmp_path: Path, options: list[str], sentence: str
) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.dev.yaml").write_text((ROOT / "Pulumi.dev.yaml").read_text())
    done = subprocess.run(
        [str(BIN / "mignet"), "watch", *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert sentence in line


def test_its_deployment_is_one_that_a_restricted_namespace_takes(fit: Lab, tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    command = [
        str(BIN / "mignet"),
        "export",
        "watch",
        "dev",
        "--image",
        "registry.example/x:1",
        "--webhook-secret",
        "hook",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    namespace, account, deployment, service, policy = yaml.safe_load_all(done.stdout)
    kube = Kube(fit.kubeconfig, "dev")
    kube.call("POST", "/api/v1/namespaces", json=namespace)
    where = f"namespaces/{namespace['metadata']['name']}"
    strict = {"dryRun": "All", "fieldValidation": "Strict"}
    kube.call("POST", f"/api/v1/{where}/serviceaccounts", json=account)
    for place, made in (
        (f"/apis/apps/v1/{where}/deployments", deployment),
        (f"/api/v1/{where}/services", service),
        (f"/apis/networking.k8s.io/v1/{where}/networkpolicies", policy),
        (f"/api/v1/{where}/pods", {"metadata": {"name": "one"}, "spec": deployment["spec"]["template"]["spec"]}),
    ):
        response = kube.http.post(place, json=made, params=strict)
        assert response.status_code == 201, response.text
        assert "Warning" not in response.headers
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"][:4] == ["mignet", "watch", "dev", "-o"]
    # What is secret comes by reference.
    assert "MIGNET_WEBHOOK" not in " ".join(container["command"])


def test_who_has_the_token_reads_over_tls(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "certificates").mkdir()
    Authority(tmp_path / "certificates", name="of the site").issue("server", name="mignet-watch")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "config").write_text("{apiVersion: v1, kind: Config}")
    secure = ["--tls-cert", "certificates/server.crt", "--tls-key", "certificates/server.key", "--token-file", "token"]
    watch = Watch(tmp_path, os.environ | {"KUBECONFIG": str(tmp_path / "config")}, *secure)
    try:
        assert watch.url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(tmp_path / "certificates" / "ca.crt"))
        with httpx2.Client(base_url=watch.url, verify=trust, trust_env=False) as client:
            assert client.get("/metrics").status_code == 401
            assert client.get("/healthz").status_code == 200
            answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
            # The token is read anew.
            (tmp_path / "token").write_text("another-one-of-sixteen\n")
            assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401
            assert client.get("/", headers={"Authorization": "Bearer another-one-of-sixteen"}).status_code == 200
        with pytest.raises(httpx2.ConnectError), httpx2.Client(base_url=watch.url, trust_env=False) as client:
            client.get("/healthz")
    finally:
        watch.process.terminate()
        assert watch.process.wait(10) == 0
