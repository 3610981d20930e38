"""The Deployment that `mignet export watch` writes, started as a kubelet starts it.

Its container's own command, arguments and environment, as an account of OpenShift's, without capabilities, on a root
filesystem that is read-only, with Secrets and the ConfigMap mounted where it says, and probed as it says.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml
from operated import until
from support import BIN, ROOT, Kube, Site, Workspace, document

from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM
from mignet.lab.servers.certificates import Authority

USER = 1_000_650_000
"""One of those that OpenShift gives to a namespace's pods; their group is 0."""


def project_volume(folder: Path, content: dict[str, bytes]) -> None:
    """Write a Secret or ConfigMap as a kubelet does: behind a link that is swapped, so that all changes at once."""
    folder.mkdir(exist_ok=True)
    data = folder / "..data"
    version = folder / f"..2026_11_28_09_00_00.{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, text in content.items():
        (version / name).write_bytes(text)
    new = folder / "..data_tmp"
    new.symlink_to(version.name)
    before = data.resolve() if data.exists() else None
    new.replace(data)
    for name in content:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if before is not None:
        shutil.rmtree(before)


class Pod:
    """One container of a pod, in a mount namespace of its own."""

    def __init__(self, spec: dict[str, Any], folder: Path, stored: dict[str, dict[str, bytes]]) -> None:
        (self.container,) = spec["containers"]
        self.folder, self.stored = folder, stored
        self.volumes = {each["name"]: each for each in spec["volumes"]}
        for name in self.volumes:
            self.project(name)
        environment = {"PATH": f"{BIN}:/usr/bin"}
        for each in self.container["env"]:
            environment[each["name"]] = each.get("value") or self._from(each["valueFrom"]["secretKeyRef"])
        assert spec["securityContext"]["runAsNonRoot"]
        assert self.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        as_user = f"--reuid={USER} --regid=0 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs"
        assigned = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
        command = shlex.join([*self.container["command"], *self.container.get("args", [])])
        run = f"exec chroot root /usr/bin/setpriv {as_user} /usr/bin/env --ignore-environment {assigned} {command}"
        self.out, self.err = folder / "out", folder / "err"
        script = "\n".join(["set -eu", *self._mounts(), run])
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script], cwd=folder, stdout=out, stderr=err, start_new_session=True
            )

    def project(self, name: str) -> None:
        """Write what a volume holds, or write it anew."""
        volume = self.volumes[name]
        if "emptyDir" not in volume:
            source = volume["secret"]["secretName"] if "secret" in volume else volume["configMap"]["name"]
            project_volume(self.folder / name, self.stored[source])

    def _from(self, reference: dict[str, str]) -> str:
        return self.stored[reference["name"]][reference["key"]].decode()

    def _mounts(self) -> Iterator[str]:
        yield "mount --make-rprivate /"
        yield "mkdir root"
        yield "mount -t tmpfs -o mode=755 tmpfs root"
        # What an image has; here that is this checkout, its Python, and the system's libraries.
        for path in ("/usr", "/dev", "/proc", str(ROOT), sys.base_prefix):
            yield f"mkdir -p root{path} && mount --rbind {path} root{path}"
            if path not in {"/dev", "/proc"}:
                yield f"mount -o remount,bind,ro root{path}"
        for link in ("/bin", "/lib", "/lib64"):
            if Path(link).is_symlink():
                yield f"ln -s {Path(link).readlink()} root{link}"
        for mount in self.container["volumeMounts"]:
            name, path = mount["name"], mount["mountPath"]
            if "emptyDir" in self.volumes[name]:
                yield f"mkdir -p root{path} && mount -t tmpfs -o mode=1777 tmpfs root{path}"
            else:
                assert mount["readOnly"]
                yield f"mkdir -p root{path} && mount --bind {name} root{path} && mount -o remount,bind,ro root{path}"
        yield "mount -o remount,ro root"

    @property
    def told(self) -> list[dict[str, Any]]:
        return [document(line) for line in self.out.read_text().splitlines(keepends=True) if line[-1] == "\n"]

    def probe(self, name: str) -> int:
        """Ask as a kubelet does, which trusts any certificate."""
        asked = self.container[name]["httpGet"]
        (port,) = (each["containerPort"] for each in self.container["ports"] if each["name"] == asked["port"])
        with contextlib.suppress(httpx2.TransportError), httpx2.Client(verify=False, trust_env=False) as client:
            address = f"{asked['scheme'].lower()}://127.0.0.1:{port}{asked['path']}"
            return client.get(address, timeout=self.container[name]["timeoutSeconds"]).status_code
        return 0


@contextlib.contextmanager
def hook() -> Iterator[tuple[str, list[tuple[str | None, dict[str, Any]]]]]:
    """Take changes; yields the URL and what was taken, with what it was authorized by."""
    taken: list[tuple[str | None, dict[str, Any]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.headers["Authorization"], document(body.decode())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret-path", taken
    finally:
        server.shutdown()
        server.server_close()


def observer(kube: Kube, documents: str) -> str:
    """Make an account with what `mignet export role observe` writes, and no other right; return its token."""
    if kube.call("GET", "/api/v1/namespaces/default") is None:
        kube.call("POST", "/api/v1/namespaces", json={"metadata": {"name": "default"}})
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    kube.call("POST", accounts, json={"metadata": {"name": "watch"}})
    subject = {"kind": "ServiceAccount", "name": "watch", "namespace": "default"}
    for each in yaml.safe_load_all(documents):
        metadata, kind = each["metadata"], each["kind"]
        place = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        group = f"/apis/rbac.authorization.k8s.io/v1{place}"
        kube.call("POST", f"{group}/{kind.lower()}s", json=each)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
        binding = {"metadata": metadata, "roleRef": reference, "subjects": [subject]}
        kube.call("POST", f"{group}/{kind.lower()}bindings", json=binding)
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(kube.call("POST", f"{accounts}/watch/token", json=wanted)["status"]["token"])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("only root makes a mount namespace with a root of its own")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", 9464))
        except OSError:
            pytest.skip("somebody else listens on port 9464, which is the Deployment's")
    lab = Lab(tmp_path / "lab", clusters=("one",), crds=SLIM, operators=False)
    try:
        lab.up(lambda _: None)
        yield lab
    finally:
        lab.down()


def test_it_runs_as_it_is_written_and_takes_what_is_rotated(  # noqa: PLR0915 (a walk through it)
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(lab.kubeconfig))
    kube = Kube(lab.kubeconfig, "one")
    site = Site(kube, lab.kubeconfig, "one", "deployed")
    site.create()
    workspace = Workspace(tmp_path / "workspace", site)
    workspace.create()
    # In the container, the kubeconfig is another one.
    del workspace.config["cluster"]["kubeconfig"]
    workspace.write()
    done = workspace.mignet("up", "direct")
    assert done.code == 0, done.out + done.err
    stack = workspace.stack
    content = yaml.safe_load(lab.kubeconfig.read_text())
    token = observer(kube, workspace.run("mignet", "export", "role", "observe", stack).out)
    content["users"] = [{"name": "one", "user": {"token": token}}]

    def certificate(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        folder.mkdir()
        Authority(folder, name=name).issue("server", name="mignet-watch")
        return {f"tls.{end}": (folder / f"server.{end}").read_bytes() for end in ("crt", "key")}

    def files() -> dict[str, bytes]:
        names = ("Pulumi.yaml", "__main__.py", f"Pulumi.{stack}.yaml")
        return {name: (workspace.folder / name).read_bytes() for name in names}

    written = workspace.run(
        "mignet", "export", "watch", "--all", "--image", "registry.example/x:1", "--webhook-secret", "hook"
    )
    assert written.code == 0, written.err
    objects = {each["kind"]: each for each in yaml.safe_load_all(written.out)}
    spec = objects["Deployment"]["spec"]["template"]["spec"]
    with hook() as (url, taken):
        stored = {
            "migration-network-kubeconfig": {"kubeconfig": yaml.safe_dump(content).encode()},
            "mignet-watch-token": {"token": b"first-token-of-readers\n"},
            "mignet-watch-tls": certificate("first"),
            "migration-network-project": files(),
            # A webhook that demands no token.
            "hook": {"url": url.encode()},
        }
        (tmp_path / "pod").mkdir()
        pod = Pod(spec, tmp_path / "pod", stored)
        try:
            until(lambda: pod.probe("readinessProbe") == 200 or pod.process.poll() is not None, seconds=60)
            assert pod.process.poll() is None, pod.err.read_text()
            assert pod.probe("livenessProbe") == 200
            assert psutil.Process(pod.process.pid).uids().real == USER

            def scraped(token: str, authority: str) -> httpx2.Response:
                trust = ssl.create_default_context(cafile=str(tmp_path / authority / "ca.crt"))
                with httpx2.Client(verify=trust, trust_env=False) as client:
                    headers = {"Authorization": f"Bearer {token}"}
                    return client.get("https://127.0.0.1:9464/metrics", headers=headers)

            looked = f'mignet_drifted{{stack="{stack}"}}'
            until(lambda: f"{looked} 0" in scraped("first-token-of-readers", "first").text, seconds=30)
            assert scraped("another-token-of-readers", "first").status_code == 401
            # Nothing that it looks at is beyond its rights.
            assert "forbidden" not in pod.out.read_text()

            kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "edit")
            until(lambda: any(each["what"] == "drift-began" for _, each in taken), seconds=20)
            assert {authorized for authorized, _ in taken} == {None}

            # A kubelet swaps what changed, within a minute or so.
            stored["mignet-watch-token"] = {"token": b"second-token-of-readers\n"}
            stored["mignet-watch-tls"] = certificate("second")
            pod.project("token")
            pod.project("tls")
            assert scraped("second-token-of-readers", "second").status_code == 200
            assert scraped("first-token-of-readers", "second").status_code == 401
            workspace.config["hyperConverged"]["liveMigration"]["completionTimeoutPerGiB"] = 99
            workspace.write()
            stored["migration-network-project"] = files()
            pod.project("project")
            until(
                lambda: any((each["what"], each["code"]) == ("finding-ended", "field-changed") for each in pod.told),
                seconds=20,
            )

            pod.process.send_signal(signal.SIGTERM)
            assert pod.process.wait(spec.get("terminationGracePeriodSeconds", 30)) == 0
            assert not [each for each in pod.told if each["what"] in {"failed", "cluster-lost", "files-refused"}]
            assert pod.err.read_text().count("\n") == 1, pod.err.read_text()
            assert "secret-path" not in pod.err.read_text() + pod.out.read_text()
        finally:
            pod.process.kill()
            pod.process.wait()
