"""What tests need to look at a lab cluster from outside, and to run the program as a user does. No product code."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import forked
import httpx2
import yaml
from forked import BIN

from config.cluster import Cluster as ClusterConfig
from mignet.changes import declared_differences

ROOT = Path(__file__).parent.parent
REAL_CRDS = ROOT.parent / "shared" / "crds"
HCO = "hco.kubevirt.io/v1beta1"
LIMITS = {
    "completionTimeoutPerGiB": 800,
    "parallelMigrationsPerCluster": 5,
    "parallelOutboundMigrationsPerNode": 2,
    "progressTimeout": 150,
}

NO_PULUMI = "the Pulumi CLI or its Kubernetes plugin is not on PATH"
pulumi_there = bool(shutil.which("pulumi") and shutil.which("pulumi-resource-kubernetes"))


class Kube:
    """Plain HTTP to one cluster, with the credentials of a kubeconfig's context."""

    def __init__(self, kubeconfig: Path, context: str) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        chosen = next(c["context"] for c in content["contexts"] if c["name"] == context)
        cluster = next(c["cluster"] for c in content["clusters"] if c["name"] == chosen["cluster"])
        user = next(u["user"] for u in content["users"] if u["name"] == chosen["user"])

        def pem(entry: dict[str, str], name: str) -> str:
            if name in entry:
                return (kubeconfig.parent / entry[name]).read_text()
            return base64.b64decode(entry[f"{name}-data"]).decode()

        tls = ssl.create_default_context(cadata=pem(cluster, "certificate-authority"))
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:
            both.write(pem(user, "client-certificate") + pem(user, "client-key"))
            both.flush()
            tls.load_cert_chain(both.name)
        self.http = httpx2.Client(base_url=cluster["server"], verify=tls, trust_env=False, timeout=30)

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        response = self.http.request(method, path, **kwargs)
        while response.status_code == 429:
            time.sleep(0.2)
            response = self.http.request(method, path, **kwargs)
        if response.status_code == 404:
            return None
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def merge(self, path: str, patch: dict[str, Any], manager: str) -> Any:
        """Change an object by hand, as `kubectl edit` does."""
        headers = {"content-type": "application/merge-patch+json"}
        return self.call("PATCH", path, json=patch, headers=headers, params={"fieldManager": manager})


@dataclass
class Site:
    """A namespace of a lab cluster with a HyperConverged of its own, as the operator leaves it."""

    kube: Kube
    kubeconfig: Path
    context: str
    namespace: str
    api: str = HCO

    @property
    def hyperconverged(self) -> str:
        return f"/apis/{self.api}/namespaces/{self.namespace}/hyperconvergeds/kubevirt-hyperconverged"

    @property
    def attachments(self) -> str:
        return f"/apis/k8s.cni.cncf.io/v1/namespaces/{self.namespace}/network-attachment-definitions"

    def create(self) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.kube.call("POST", "/api/v1/namespaces", json=namespace)
        metadata = {"name": "kubevirt-hyperconverged", "namespace": self.namespace}
        created = self.kube.call(
            "POST",
            self.hyperconverged.rpartition("/")[0],
            json={"apiVersion": self.api, "kind": "HyperConverged", "metadata": metadata, "spec": {}},
            params={"fieldManager": "kubectl-create"},
        )
        created["metadata"]["labels"] = {"app": "kubevirt-hyperconverged"}
        self.kube.call(
            "PUT", self.hyperconverged, json=created, params={"fieldManager": "hyperconverged-cluster-operator"}
        )

    def remove(self) -> None:
        """Remove what is in the namespace; the namespace itself stays, as no controller finalizes it here."""
        self.kube.call("DELETE", self.hyperconverged)
        self.kube.call("DELETE", self.attachments)

    def live(self) -> dict[str, Any]:
        """Return what is in the namespace, as it stands in the API server."""
        attachments = self.kube.call("GET", self.attachments)["items"]
        return {
            "hyperconverged": self.kube.call("GET", self.hyperconverged),
            "attachments": {item["metadata"]["name"]: item for item in attachments},
        }

    def others(self) -> dict[str, Any]:
        """Return everything in the namespace that is not ours: all but our fields, and who owns them."""
        live = self.live()
        live["attachments"].pop("migration", None)
        metadata = live["hyperconverged"]["metadata"]
        for key in ("managedFields", "resourceVersion", "generation"):
            metadata.pop(key)
        metadata["annotations"] = {
            key: value for key, value in metadata.get("annotations", {}).items() if not key.startswith("pulumi.com/")
        }
        for key in (*LIMITS, "network"):
            live["hyperconverged"]["spec"]["liveMigrationConfig"].pop(key, None)
        return live

    def foreign(self) -> None:
        """Put an attachment of somebody else beside ours."""
        metadata = {"name": "foreign", "namespace": self.namespace}
        attachment = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": metadata}
        self.kube.call("POST", self.attachments, json=attachment | {"spec": {"config": "{}"}})

    def accepts(self, manifest: dict[str, Any]) -> None:
        """Apply an object with strict checks of its fields, and demand that the API server holds all of it as it is."""
        path = self.hyperconverged
        if manifest["kind"] == "NetworkAttachmentDefinition":
            path = f"{self.attachments}/{manifest['metadata']['name']}"
        headers = {"content-type": "application/apply-patch+yaml"}
        params = {"fieldManager": "migration-network", "force": "true", "fieldValidation": "Strict"}
        self.kube.call("PATCH", path, content=json.dumps(manifest), headers=headers, params=params)
        live = self.kube.call("GET", path)
        assert list(declared_differences(manifest, live)) == []

    def content(self) -> str:
        """Return the same without what differs from run to run: times, versions, and this site's own name."""
        text = json.dumps(_comparable(self.live()), indent=1, sort_keys=True)
        return text.replace(self.namespace, "NAMESPACE")


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    volatile = {"uid", "resourceVersion", "creationTimestamp", "generation", "time"}
    kept = {key: _comparable(item) for key, item in value.items() if key not in volatile}
    if "managedFields" in kept:
        # They stand in the order of their times, to the second.
        kept["managedFields"] = sorted(kept["managedFields"], key=lambda entry: json.dumps(entry, sort_keys=True))
    return kept


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def reports(self) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = json.loads(self.out)
        return reports

    @property
    def changes(self) -> dict[str, tuple[str, dict[str, tuple[Any, Any, str | None]]]]:
        """Return, by kind, the operation and the fields: path to (old, new, owner)."""
        (report,) = self.reports
        assert report["error"] is None, report["error"]
        return {
            change["kind"]: (
                change["operation"],
                {each["path"]: (each["old"], each["new"], each["owner"]) for each in change["fields"]},
            )
            for change in report["changes"]
        }


@dataclass
class Workspace:
    """A project folder of a user's own: this project's program with a stack file for one site."""

    folder: Path
    site: Site
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def stack(self) -> str:
        """A name of its own: what is ours on a cluster is told by the stack's name."""
        return f"stack-{self.site.namespace}"

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, self.folder)
        (self.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
        self.config = {
            "cluster": {
                "context": self.site.context,
                "kubeconfig": str(self.site.kubeconfig),
                "namespace": self.site.namespace,
            },
            "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
            "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
            "hyperConverged": {"liveMigration": dict(LIMITS)},
        }
        if self.site.api.endswith("/v1"):
            self.config["hyperConverged"]["apiVersion"] = "v1"
        self.write()

    def write(self) -> None:
        path = self.folder / f"Pulumi.{self.stack}.yaml"
        rest = yaml.safe_load(path.read_text()) if path.exists() else {}
        rest["config"] = {f"migration-network:{key}": value for key, value in self.config.items()}
        path.write_text(yaml.safe_dump(rest))

    @property
    def environment(self) -> dict[str, str]:
        backend = self.folder / "backend"
        backend.mkdir(exist_ok=True)
        return os.environ | {
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        executable = str(BIN / command[0]) if command[0] == "mignet" else command[0]
        return subprocess.Popen(
            [executable, *command[1:]],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, timeout: float = 120) -> Outcome:
        if command[0] == "mignet":
            done = forked.mignet(*command[1:], cwd=self.folder, env=self.environment, timeout=timeout)
            return Outcome(done.returncode, done.stdout, done.stderr)
        process = self.start(*command)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return Outcome(process.returncode, out, err)

    def mignet(self, verb: str, engine: str, *more: str) -> Outcome:
        yes = ["--yes"] if verb in {"up", "destroy"} else []
        # The namespaces of tests share one cluster's nodes, NICs and addresses, and have no operator behind them.
        yes += ["--skip-preflight"] if verb == "up" else []
        # Nor is there anybody to wait for after a repair.
        yes += ["--wait", "0"] if "--fix" in more else []
        return self.run("mignet", verb, self.stack, "--engine", engine, "--json", *yes, *more)


Answer = tuple[int, dict[str, str], str]
"""An HTTP status, headers and a body."""


def status(code: int, message: str, **details: Any) -> Answer:
    """Write an API server's refusal."""
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message, "details": details}
    return code, {"content-type": "application/json"}, json.dumps(body)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Callable[..., ClusterConfig]]:
    """Hand out what starts a server that gives these answers, one after the other; it returns the way there."""
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: Answer, user: dict[str, Any] | None = None) -> ClusterConfig:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                code, headers, body = left.pop(0)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_PATCH(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        content = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return ClusterConfig(context="c", kubeconfig=str(path))

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
