"""Kubeconfigs as kubectl and Pulumi's provider read them, each key of them, and what is refused instead of ignored."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import os
import pwd
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from config.cluster import Cluster as ClusterConfig
from config.types.model import parse
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import NAMESPACE
from mignet.kube.kubeconfig import KubeconfigError, connection, path_of

SERVER = "https://a.example:6443"


def content(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, *, context: str = "c"
) -> dict[str, Any]:
    return {
        "clusters": [{"name": "cluster", "cluster": {"server": SERVER} | (cluster or {})}],
        "users": [{"name": "user", "user": user or {}}],
        "contexts": [{"name": context, "context": {"cluster": "cluster", "user": "user"}}],
    }


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., ClusterConfig]:
    def write(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> ClusterConfig:
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(content(cluster, user)))
        return ClusterConfig(context="c", kubeconfig=str(path))

    return write


# Which file


def test_a_tilde_is_the_home_of_the_account_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere/else")
    found = path_of(ClusterConfig(context="c", kubeconfig="~/.kube/config"), Path("/project"))
    assert found == Path(pwd.getpwuid(os.getuid()).pw_dir, ".kube/config")


def test_a_tilde_of_an_account_without_a_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(KubeconfigError, match="begins with ~, and account 4000000000 has no home; write the whole"):
        path_of(ClusterConfig(context="c", kubeconfig="~/.kube/config"), Path("/project"))


def test_other_relative_paths_start_at_the_projects_folder() -> None:
    assert path_of(ClusterConfig(context="c", kubeconfig="kube/c"), Path("/project")) == Path("/project/kube/c")


@pytest.mark.parametrize("path", ["$HOME/.kube/config", "${KUBECONFIG}", "/home/$USER/config", "~bob/config", "~"])
def test_what_the_provider_does_not_expand_is_refused(path: str) -> None:
    findings = parse(ClusterConfig, {"context": "c", "kubeconfig": path}, stack="dev", key="cluster")
    assert isinstance(findings, tuple)
    (finding,) = findings
    assert finding.code == ("kubeconfig-variable" if "$" in path else "kubeconfig-home")
    assert "Pulumi's provider" in str(finding)


def test_the_first_of_several_files_that_has_a_name_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(yaml.safe_dump({"clusters": content({"server": "https://first"})["clusters"]}))
    other.write_text(yaml.safe_dump(content({"server": "https://second", "tls-server-name": "n"}, {"token": "t"})))
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(tmp_path / "missing"), str(one), "", str(other)]))
    found = connection(ClusterConfig(context="c"), tmp_path)
    assert found.single.cluster.server == "https://first", "the first, as a whole"
    assert found.server_name is None
    assert found.single.user is not None
    assert found.single.user.token == "t", "what only the second has"


def test_relative_paths_inside_a_file_of_the_environment_start_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(
        yaml.safe_dump(content({"certificate-authority": "ca.crt"}, {"tokenFile": "tokens/t"}))
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    found = connection(ClusterConfig(context="c"), Path("/"))
    assert found.single.cluster.certificate_auth == str(tmp_path / "ca.crt")
    assert found.single.user is not None
    assert found.single.user.token_file == str(tmp_path / "tokens/t")


@pytest.mark.parametrize(
    ("cluster", "user", "key"),
    [
        ({"certificate-authority": "ca.crt"}, {}, "cluster.certificate-authority"),
        ({}, {"tokenFile": "token"}, "user.tokenFile"),
        ({}, {"client-certificate": "c.crt", "client-key": "/c.key"}, "user.client-certificate"),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "./p"}}, "user.exec.command"),
    ],
)
def test_relative_paths_that_the_provider_would_not_find_are_refused(
    written: Callable[..., ClusterConfig], cluster: dict[str, Any], user: dict[str, Any], key: str
) -> None:
    with pytest.raises(KubeconfigError, match=f"{key} is a relative path, which Pulumi's provider does not find"):
        connection(written(cluster, user), Path("/"))


def test_a_relative_path_in_the_environment_is_refused_where_pulumi_would_read_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(yaml.safe_dump(content()))
    monkeypatch.setenv("KUBECONFIG", "config")
    monkeypatch.chdir(tmp_path)
    assert connection(ClusterConfig(context="c"), tmp_path).single.cluster.server == SERVER
    with pytest.raises(KubeconfigError, match=r"config of \$KUBECONFIG is a relative path"):
        connection(ClusterConfig(context="c"), tmp_path.parent)


def test_without_any_path_the_home_of_the_environment_counts_as_for_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(yaml.safe_dump(content()))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert connection(ClusterConfig(context="c"), Path("/")).single.cluster.server == SERVER
    monkeypatch.delenv("HOME")
    with pytest.raises(KubeconfigError, match=r"neither \$KUBECONFIG nor \$HOME is set"):
        connection(ClusterConfig(context="c"), Path("/"))


# What is refused, by its key

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({}, {"auth-provider": {"name": "oidc"}}, "user.auth-provider was taken out of kubectl in 1.26"),
        ({"server": ""}, {}, "cluster.server is missing"),
        ({"proxy-url": "socks5://127.0.0.1:1080"}, {}, "cluster.proxy-url is socks5; http and https are supported"),
        (
            {"proxy-url": "http://127.0.0.1:1", "tls-server-name": "n"},
            {},
            "cluster.tls-server-name together with proxy-url is not supported",
        ),
        (
            {"insecure-skip-tls-verify": True, "certificate-authority-data": "eA=="},
            {},
            "cluster.certificate-authority-data and insecure-skip-tls-verify exclude each other",
        ),
        (
            {"certificate-authority": "/ca", "certificate-authority-data": "eA=="},
            {},
            "cluster.certificate-authority and certificate-authority-data exclude each other",
        ),
        ({}, {"token": "t", "username": "u", "password": "p"}, "user.token and username exclude each other"),
        ({}, {"username": "u"}, "user.username has no password"),
        ({}, {"client-certificate-data": "eA=="}, "user.client-certificate has no client-key"),
        ({}, {"client-key": "/k"}, "user.client-key has no client-certificate"),
        (
            {},
            {"client-certificate": "/c", "client-certificate-data": "eA==", "client-key": "/k"},
            "user.client-certificate and client-certificate-data exclude each other",
        ),
        ({}, {"as-groups": ["g"]}, "user.as-groups needs a user to act as"),
        ({}, {"as-uid": "1"}, "user.as-uid needs a user to act as"),
        ({}, {"as-user-extra": {"k": ["v"]}}, "user.as-user-extra needs a user to act as"),
        ({}, {"exec": {"command": "p"}}, "user.exec.apiVersion is missing"),
        ({}, {"exec": {"apiVersion": "v0", "command": "p"}}, "user.exec.apiVersion is v0"),
        ({}, {"exec": {"apiVersion": V1BETA1}}, "user.exec.command is missing"),
        ({}, {"exec": {"apiVersion": V1, "command": "p"}}, "user.exec.interactiveMode is missing"),
        (
            {},
            {"exec": {"apiVersion": V1BETA1, "command": "p", "interactiveMode": "Always"}},
            "user.exec.interactiveMode is Always",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence_with_its_key(
    written: Callable[..., ClusterConfig], cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    config = written(cluster, user)
    with pytest.raises(KubeconfigError) as refused:
        connection(config, Path("/"))
    assert str(refused.value).startswith(f"context c of kubeconfig {config.kubeconfig}: {message}")
    assert "\n" not in str(refused.value)


# What works


class Server(ThreadingHTTPServer):
    """An API server that keeps what it was asked, and by which way."""

    asked: list[tuple[str, Any]]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Server)
            self.server.asked.append((self.path, self.headers))
            body = json.dumps({"metadata": {"name": "x", "uid": "u"}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def read(config: ClusterConfig) -> Any:
    async def one() -> Any:
        async with Cluster(config, base=Path("/")) as cluster:
            return await cluster.get(NAMESPACE, "x")

    return asyncio.run(one())


def test_impersonation_is_sent_with_every_request(written: Callable[..., ClusterConfig], server: Server) -> None:
    user = {"as": "alice", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"reason": ["x", "y"]}}
    read(written({"server": f"http://127.0.0.1:{server.server_port}"}, user))
    (_, headers) = server.asked[0]
    assert headers["Impersonate-User"] == "alice"
    assert headers["Impersonate-Uid"] == "7"
    assert headers.get_all("Impersonate-Group") == ["a", "b"]
    assert headers.get_all("Impersonate-Extra-reason") == ["x", "y"]


def test_a_proxy_of_the_kubeconfig_is_used_whatever_the_environment_says(
    written: Callable[..., ClusterConfig], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    read(written({"server": "http://a.invalid", "proxy-url": f"http://127.0.0.1:{server.server_port}"}))
    assert server.asked[0][0] == "http://a.invalid/api/v1/namespaces/x"


def test_a_token_file_is_read(written: Callable[..., ClusterConfig], server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    read(written({"server": f"http://127.0.0.1:{server.server_port}"}, {"tokenFile": str(tmp_path / "token")}))
    assert server.asked[0][1]["Authorization"] == "Bearer t"


def test_a_credential_plugin_is_told_what_it_is_run_for(
    written: Callable[..., ClusterConfig], server: Server, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f'#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\necho \'{{"status": {{"token": "t"}}}}\'\n'
    )
    plugin.chmod(0o755)
    exec_ = {"apiVersion": V1, "command": str(plugin), "interactiveMode": "IfAvailable", "env": None}
    read(written({"server": f"http://127.0.0.1:{server.server_port}"}, {"exec": exec_}))
    assert server.asked[0][1]["Authorization"] == "Bearer t"
    told = json.loads((tmp_path / "info").read_text())
    assert told == {"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False}}


def pem(authority: trustme.CA, *, days: int, server: str = "u") -> dict[str, str]:
    """Return a certificate that ends in so many days, and its key, as a kubeconfig holds a user's."""
    now = datetime.datetime.now(datetime.UTC)
    ends = now + datetime.timedelta(days=days)
    made = authority.issue_cert(server, not_before=now - datetime.timedelta(days=30), not_after=ends)
    return {
        "client-certificate-data": base64.b64encode(made.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(made.private_key_pem.bytes()).decode(),
    }


@pytest.mark.parametrize("days", [-1, 1])
def test_an_expired_client_certificate_is_named_where_the_server_does_not_know_the_user(
    written: Callable[..., ClusterConfig], days: int
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    refusing = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=refusing.serve_forever, daemon=True).start()
    try:
        with pytest.raises(ClusterError) as refused:
            read(written({"server": f"http://127.0.0.1:{refusing.server_port}"}, pem(trustme.CA(), days=days)))
    finally:
        refusing.shutdown()
        refusing.server_close()
    assert refused.value.reason == "unauthorized"
    assert ("user.client-certificate of the kubeconfig expired on 20" in str(refused.value)) == (days < 0)


@pytest.fixture
def of_another_name(server: Server, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Let the server speak TLS with a certificate for `api.internal`; return the cluster's keys in the kubeconfig."""

    def secure(*, days: int = 1) -> dict[str, Any]:
        authority = trustme.CA()
        made = pem(authority, days=days, server="api.internal")
        pair = tmp_path / "pair"
        pair.write_bytes(b"".join(base64.b64decode(each) for each in made.values()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return {
            "server": f"https://127.0.0.1:{server.server_port}",
            "certificate-authority-data": base64.b64encode(authority.cert_pem.bytes()).decode(),
        }

    return secure


def test_a_name_of_the_servers_certificate_is_what_it_must_have(
    written: Callable[..., ClusterConfig], of_another_name: Callable[..., dict[str, Any]]
) -> None:
    cluster = of_another_name()
    assert read(written(cluster | {"tls-server-name": "api.internal"}))["metadata"]["name"] == "x"
    with pytest.raises(ClusterError, match=r"its certificate is not trusted \(IP address mismatch.*tls-server-name"):
        read(written(cluster))
    assert read(written({"server": cluster["server"], "insecure-skip-tls-verify": True}))["metadata"]["name"] == "x"


def test_an_expired_certificate_of_the_server_is_named(
    written: Callable[..., ClusterConfig], of_another_name: Callable[..., dict[str, Any]]
) -> None:
    cluster = of_another_name(days=-1)
    with pytest.raises(ClusterError, match=r"its certificate is not trusted \(certificate has expired\)"):
        read(written(cluster | {"tls-server-name": "api.internal"}))


@pytest.mark.parametrize("user", [{}, {"token": "t"}])
def test_without_an_authority_the_systems_own_are_trusted_and_no_others(
    written: Callable[..., ClusterConfig], of_another_name: Callable[..., dict[str, Any]], user: dict[str, Any]
) -> None:
    cluster = of_another_name()
    for _ in range(2):
        with pytest.raises(ClusterError, match=r"its certificate is not trusted \((self.signed|unable to get)"):
            read(written({"server": cluster["server"], "tls-server-name": "api.internal"}, user))


# Which cluster


def test_a_context_that_leads_to_another_cluster_is_refused(
    written: Callable[..., ClusterConfig], server: Server
) -> None:
    config = written({"server": f"http://127.0.0.1:{server.server_port}"})
    assert read(config.model_copy(update={"uid": "u"}))["metadata"]["name"] == "x"
    with pytest.raises(ClusterError, match="is another cluster: the UID of its namespace kube-system is u, and") as no:
        read(config.model_copy(update={"uid": "v"}))
    assert no.value.reason == "other-cluster"
