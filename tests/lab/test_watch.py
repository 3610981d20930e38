"""`mignet watch` against a real API server: what changes is told within seconds, and nothing is written."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml
from forked import BIN
from support import ROOT, Kube, Site, Workspace

from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM

TOKEN = "of-sixteen-characters-and-more"


def until(found: Callable[[], Any], *, seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)
    return value


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
                    hook.taken.append(json.loads(body))
                self.send_response(503 if fails else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


class Watch:
    """A watch that runs, and what it told."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        command = [str(BIN / "mignet"), "watch", "--all", "-o", "json", "--listen", "127.0.0.1:0", *options]
        self.log, self.err = folder / "watch.log", folder / "watch.err"
        with self.log.open("w") as log, self.err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=err)
        until(lambda: "serving" in self.err.read_text() or self.process.poll() is not None, seconds=30)
        assert "serving" in self.err.read_text(), self.err.read_text()
        self.url = self.err.read_text().split("serving ")[1].split(",")[0]
        self.http = httpx2.Client(base_url=self.url, trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"})

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def told_of(self, what: str, stack: str, **more: str) -> list[dict[str, Any]]:
        wanted = {"what": what, "stack": stack} | more
        return [each for each in self.told if wanted.items() <= each.items()]

    def metrics(self) -> dict[str, float]:
        lines = self.http.get("/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


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
        versions = {
            each.stack: each.site.live()["hyperconverged"]["metadata"]["resourceVersion"] for each in workspaces
        }

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
        assert two.site.live()["hyperconverged"]["metadata"]["resourceVersion"] == versions[two.stack]

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
        pair.up(lambda _: None)
        until(lambda: watch.told_of("cluster-back", two.stack), seconds=90)
        assert not watch.told_of("cluster-lost", one.stack)
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(10) == 0
        assert not [each for each in watch.told if each["what"] == "failed"], watch.told
    finally:
        watch.process.kill()
        watch.process.wait()


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
