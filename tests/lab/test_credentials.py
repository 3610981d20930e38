"""No credential is ever shown or written: every verb, every output, with credentials that work and that fail.

One project has a stack for each kind of credential, so that one run of a verb meets all of them.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from support import Outcome, Site, Workspace

from config.files.project_files import Project
from mignet.cli import app
from mignet.fleet.loading import load
from mignet.fleet.run_context import Course
from mignet.lab.lab import Lab
from mignet.operations import apply
from mignet.outputs import RENDER

SECRET = "s3cr3t-"
"""Begins every credential that a test makes up, and stands nowhere else."""

VERBS: dict[str, list[list[str]]] = {
    "check": [["--all"]],
    "preview": [["--all", "--json"]],
    "up": [["--all", "--yes"], ["--all", "--yes", "--json", "--skip-preflight"]],
    "drift": [["--all"], ["--all", "--output", "sarif"], ["--all", "--json", "--fix", "--yes", "--wait", "0"]],
    "preflight": [["--all"]],
    "verify": [
        ["--all", "--timeout", "0", "--vm", "ns/vm"],
        ["--all", "--timeout", "0", "--migrate", "ns/vm", "--yes"],
        ["works", "--timeout", "0", "--migrate", "--to", "key-works", "--yes"],
    ],
    "destroy": [["--all", "--yes"]],
    "peers": [[], ["--json"], ["-o", "openmetrics"]],
    "diagnose": [["--all"], ["--all", "-o", "json"]],
    "gather": [["--all", "-o", "gathered.tar.gz"]],
    "limits": [["--all"], ["--all", "--json"]],
    "capacity": [["--all", "--propose"], ["--all", "--json"]],
    "migrations": [["--all"], ["--all", "--json"]],
    "checkup": [["--all", "--timeout", "10", "-o", "json"], ["--all", "--dry-run"]],
    "history": [[], ["--last", "0", "-o", "json"], ["--check"]],
    # It runs until it is ended: an address that is refused ends it.
    "watch": [["--all", "--listen", "nowhere"]],
    "report": [[], ["--output", "markdown"]],
    "render": [["--all"], ["--all", "--output", "manifests"]],
    "export operator": [["--all", "--repo", "https://git.example/fleet.git", "--kubeconfig-secret", "clusters:config"]],
    "export ci": [["--all"]],
    "export watch": [["--all", "--image", "registry.example.com/migration-network:0.1.0"]],
    "export role": [["observe", "works"]],
    "export firewall": [["--all", "--output", "nftables"]],
    "export multinetworkpolicy": [["works"]],
    "export monitoring": [["--all", "--runbooks", "https://git.example/runbooks.md"], ["--all", "--only", "dashboard"]],
    "schema": [[]],
    "plan-addresses": [[], ["--json"]],
    "allocate": [["works"]],
    "release": [["works", "--yes"]],
    "init": [["new", "--context", "{context}", "--kubeconfig", "{kubeconfig}", "--from-cluster"]],
    "new": [["own", "--from-cluster", "{context}", "--stack", "first", "--kubeconfig", "{kubeconfig}"]],
    "help": [["cluster-kubeconfig"]],
}
"""Every verb with its arguments, in an order in which they can be run. Those of `mignet lab` reach no other cluster."""


def verbs(group: Any = None, before: str = "") -> Iterator[str]:
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_no_verb_is_forgotten_here() -> None:
    assert {name for name in verbs() if not name.startswith("lab ")} == set(VERBS)


@dataclass
class Credentials:
    """Kubeconfigs, one for each kind of credential, and what must never be seen of them."""

    folder: Path
    site: Site
    kubeconfigs: dict[str, Path] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=lambda: {SECRET})

    @property
    def server(self) -> str:
        return str(self.site.kube.http.base_url).rstrip("/")

    def add(self, name: str, user: dict[str, Any], **cluster: Any) -> None:
        """Write a kubeconfig whose context has the credential's name."""
        content = yaml.safe_load(self.site.kubeconfig.read_text())
        chosen = next(each["cluster"] for each in content["clusters"] if each["name"] == self.site.context)
        config = {
            "clusters": [{"name": "c", "cluster": chosen | cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}}],
        }
        self.write(name, yaml.safe_dump(config))

    def write(self, name: str, content: str) -> None:
        self.kubeconfigs[name] = self.folder / f"{name}.kubeconfig"
        self.kubeconfigs[name].write_text(content)

    def plugin(self, name: str, script: str, *, version: str = "v1") -> dict[str, Any]:
        path = self.folder / f"{name}-plugin"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        api = f"client.authentication.k8s.io/{version}"
        environment = [{"name": "PASSWORD", "value": f"{SECRET}environment"}]
        arguments = ["--password", f"{SECRET}argument"]
        plugin = {"apiVersion": api, "command": str(path), "args": arguments, "env": environment}
        return {"exec": plugin | {"interactiveMode": "IfAvailable"}}


def working_token(site: Site) -> str:
    """Return the token of a service account that may do everything."""
    accounts = f"/api/v1/namespaces/{site.namespace}/serviceaccounts"
    site.kube.call("POST", accounts, json={"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "all"}})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"all-{site.namespace}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "all", "namespace": site.namespace}],
    }
    site.kube.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", json=binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(site.kube.call("POST", f"{accounts}/all/token", json=request)["status"]["token"])


def pem_lines(encoded: str) -> set[str]:
    """Return what of a key in a kubeconfig is recognised anywhere: its base64, and each line of the key itself."""
    lines = base64.b64decode(encoded).decode().splitlines()
    return {encoded[:60], *(line for line in lines if len(line) > 40)}


@pytest.fixture
def credentials(site: Site, tmp_path: Path) -> Credentials:
    made = Credentials(tmp_path, site)
    content = yaml.safe_load(site.kubeconfig.read_text())
    admin = next(each["user"] for each in content["users"] if each["name"] == site.context)
    token = working_token(site)
    made.secrets |= {token, token.split(".")[2], *pem_lines(admin["client-key-data"])}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = closed.getsockname()[1]
    port = made.server.rpartition(":")[2]

    made.add("works", {"token": token})
    made.add("key-works", admin)
    made.add("token-refused", {"token": f"{SECRET}token"})
    made.add("token-of-two-lines", {"token": f"{SECRET}token\nof two lines"})
    made.add("token-with-umlaut-refused", {"token": f"{SECRET}tökén"})
    made.add("token-file-is-the-token", {"tokenFile": f"{SECRET}token"})
    made.add("token-file-is-too-long", {"tokenFile": SECRET + "x" * 5000})
    made.add("token-dead-server", {"token": token}, server=f"https://127.0.0.1:{dead}")
    made.add("password-refused", {"username": "admin", "password": f"{SECRET}password"})
    made.add("plugin-fails", made.plugin("fails", f"echo password {SECRET}stderr; echo {SECRET}stderr >&2; exit 3"))
    made.add("plugin-fails-in-bytes", made.plugin("bytes", f"printf '{SECRET}\\377' >&2; exit 3"))
    made.add("plugin-prints-text", made.plugin("text", f"echo {SECRET}stdout", version="v1beta1"))
    made.add("plugin-prints-list", made.plugin("list", f"echo '[\"{SECRET}stdout\"]'"))
    made.add("plugin-prints-other", made.plugin("other", f'echo \'{{"token": "{SECRET}stdout"}}\''))
    made.add("plugin-prints-null", made.plugin("null", f'echo \'{{"status": null, "x": "{SECRET}stdout"}}\''))
    made.add("plugin-of-old-version", made.plugin("old", f"echo {SECRET}stdout", version="v0"))
    made.add("plugin-token-refused", made.plugin("late", f'echo \'{{"status": {{"token": "{SECRET}late"}}}}\''))
    made.add("plugin-missing", {"exec": made.plugin("x", "")["exec"] | {"command": "no-such-plugin"}})
    made.add("key-is-no-key", admin | {"client-key-data": base64.b64encode(f"{SECRET}key".encode()).decode()})
    made.add("key-is-no-base64", admin | {"client-key-data": f"{SECRET}key"})
    made.add("key-is-no-path", {"client-certificate": "x", "client-key": f"{SECRET}key"})
    made.add("provider", {"auth-provider": {"name": "oidc", "config": {"id-token": f"{SECRET}token"}}})
    made.add("server-user", {"token": token}, server=f"https://admin:{SECRET}password@127.0.0.1:{port}")
    made.add("server-user-dead", {"token": token}, server=f"https://admin:{SECRET}password@127.0.0.1:{dead}")
    made.add("server-no-url", {"token": token}, server=f"https://admin:{SECRET}password")
    made.add("server-ftp", {"token": token}, server=f"ftp://admin:{SECRET}password@127.0.0.1:{port}")
    made.add("proxy", {"token": token}, **{"proxy-url": f"http://admin:{SECRET}password@127.0.0.1:{dead}"})
    made.write("not-yaml", f"users:\n- user: {{token: {SECRET}token\n")
    made.write("not-yaml-either", f"token: @{SECRET}token\n")
    made.write("text", f"{SECRET}token")
    made.write("users-are-text", f"clusters: []\ncontexts: []\nusers: {SECRET}token\n")
    return made


@pytest.fixture
def project(credentials: Credentials, tmp_path: Path) -> Workspace:
    """A project with a stack for each kubeconfig, each with a slice of its own."""
    workspace = Workspace(tmp_path / "project", credentials.site)
    workspace.create()
    (workspace.folder / f"Pulumi.{workspace.stack}.yaml").unlink()
    for number, (name, path) in enumerate(credentials.kubeconfigs.items()):
        cluster = {"context": name, "kubeconfig": str(path), "namespace": credentials.site.namespace}
        slice_ = {"rangeStart": f"10.200.5.{2 * number + 10}", "rangeEnd": f"10.200.5.{2 * number + 11}"}
        config = workspace.config | {"cluster": cluster, "slice": slice_}
        config["attachment"] = config["attachment"] | {"name": f"migration-{number}"}
        content = {"config": {f"migration-network:{key}": value for key, value in config.items()}}
        (workspace.folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(content))
    return workspace


def clean(outcome: Outcome, secrets: set[str], what: str) -> None:
    for text in (outcome.out, outcome.err):
        assert "Traceback" not in text, f"{what}: {text}"
        for secret in secrets:
            at = text.find(secret)
            assert at < 0, f"{what}: {text[max(0, at - 300) : at + 100]}"


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and ".venv" not in path.parts)


def test_no_output_of_any_verb_and_no_file_shows_a_credential(
    project: Workspace, credentials: Credentials, engine: str
) -> None:
    for verb, runs in VERBS.items():
        takes_engine = verb in {"preview", "up", "drift", "destroy"}
        if engine == "pulumi" and not takes_engine:
            continue
        # Pulumi takes its time, and the rendering of reports is not its part.
        for arguments in runs[-1:] if engine == "pulumi" else runs:
            given = [each.format(context="works", kubeconfig=credentials.kubeconfigs["works"]) for each in arguments]
            command = [verb, *given, *(["--engine", engine] if takes_engine else [])]
            outcome = project.run("mignet", *command, timeout=300)
            clean(outcome, credentials.secrets, " ".join(command))
    for path in files_below(project.folder):
        content = path.read_bytes()
        for secret in credentials.secrets:
            assert secret.encode() not in content, path


def test_every_kind_of_credential_that_fails_is_one_finding_that_says_which(
    project: Workspace, credentials: Credentials
) -> None:
    outcome = project.run("mignet", "preflight", "--all", "--output", "json", timeout=300)
    assert outcome.code == 1, outcome.err
    clean(outcome, credentials.secrets, "preflight --output json")
    found: dict[str, str] = {}
    for finding in outcome.findings:
        # All of these contexts lead to one cluster, which is another matter.
        if finding["code"].startswith("cluster-") and finding["code"] != "cluster-shared":
            assert finding["stack"] not in found, "one finding"
            found[finding["stack"]] = finding["code"].removeprefix("cluster-")
    reasons = {name: "unauthorized" for name in credentials.kubeconfigs if name.endswith("-refused")}
    reasons |= {
        name: "unreachable"
        for name in credentials.kubeconfigs
        if name.endswith(("-dead", "-dead-server", "-ftp")) or name == "proxy"
    }
    working = ("works", "key-works", "server-user")
    assert found == {name: "kubeconfig" for name in credentials.kubeconfigs if name not in working} | reasons


def test_no_rendering_of_what_preflight_finds_shows_a_credential(project: Workspace, credentials: Credentials) -> None:
    read = Project.find(project.folder)
    checked = asyncio.run(apply.preflight(read, load(read, credentials.kubeconfigs), Course()))
    assert len(checked.findings) >= len(credentials.kubeconfigs) - 4, "all but those that work"
    for form, rendering in RENDER.items():
        clean(Outcome(0, rendering(checked, project.folder), ""), credentials.secrets, form)


@pytest.mark.parametrize("verb", ["preview", "preflight"])
@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_proxy_of_the_environment_is_not_shown_with_its_password(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, verb: str, scheme: str
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"{scheme}://admin:{SECRET}password@127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    outcome = workspace.run("mignet", verb, workspace.stack)
    assert outcome.code == 1
    clean(outcome, {SECRET}, verb)


def test_the_logs_of_the_lab_hold_no_key(lab: Lab, site: Site, workspace: Workspace) -> None:
    assert workspace.mignet("up", "direct", "--skip-preflight").code == 0
    content = yaml.safe_load(lab.kubeconfig.read_text())
    secrets = set().union(*(pem_lines(each["user"]["client-key-data"]) for each in content["users"]))
    secrets.add(working_token(site))
    logs = [*(lab.directory / "logs").iterdir(), lab.directory / "lab.json"]
    assert any("apiserver" in log.read_text() for log in logs), "they are the real logs"
    for log in logs:
        for secret in secrets:
            assert secret not in log.read_text(errors="replace"), log
