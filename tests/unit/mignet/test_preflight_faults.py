"""A cluster that cannot be looked at: one finding, in a bounded time, nothing changed, and no credential shown."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from preflight_traps import CONFIG
from support import BIN, ROOT

TOKEN = "a-token-that-nobody-may-see"
PASSWORD = "a-password-in-the-address"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

Send = Callable[[bytes], None]


def answer(code: int, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


def status(code: int) -> bytes:
    return answer(code, {"kind": "Status", "status": "Failure", "code": code, "message": f"etcd is gone: {code}"})


def silent(_: str, __: Send, ended: threading.Event) -> None:
    ended.wait()


def trickling(_: str, send: Send, ended: threading.Event) -> None:
    for byte in answer(200, {"items": []}):
        send(bytes([byte]))
        if ended.wait(0.2):
            return


def failing(code: int) -> Callable[[str, Send, threading.Event], None]:
    """Answer what needs no storage, and nothing else."""

    def handle(request: str, send: Send, _: threading.Event) -> None:
        granted = answer(201, {"metadata": {}, "status": {"allowed": True}})
        send(granted if REVIEWS in request else status(code))

    return handle


def refusing(_: str, send: Send, __: threading.Event) -> None:
    send(status(401))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[..., tuple[Path, list[str]]]]:
    """Make a project whose cluster behaves so; return it, and the requests that the cluster gets."""
    servers: list[socketserver.ThreadingTCPServer] = []
    ended = threading.Event()

    def start(behave: Callable[[str, Send, threading.Event], None] | None) -> tuple[Path, list[str]]:
        seen: list[str] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline().decode().strip():
                    length = 0
                    while header := self.rfile.readline().decode().strip():
                        if header.lower().startswith("content-length:"):
                            length = int(header.partition(":")[2])
                    self.rfile.read(length)
                    seen.append(line.rpartition(" ")[0])
                    try:
                        behave(line, self.wfile.write, ended) if behave else None
                    except OSError:
                        return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        server = Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        port = server.server_address[1]
        if behave is None:
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        content = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://admin:{PASSWORD}@127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u"}}],
        }
        for name in ("Pulumi.yaml", "__main__.py"):
            (tmp_path / name).write_text((ROOT / name).read_text())
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
        config = CONFIG | {"cluster": {"context": "dev", "kubeconfig": str(tmp_path / "kubeconfig")}}
        written = {f"migration-network:{key}": value for key, value in config.items()}
        (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": written}))
        return tmp_path, seen

    yield start
    ended.set()
    for server in servers:
        server.shutdown() if server.fileno() >= 0 else None
        server.server_close()


def mignet(folder: Path, *command: str, seconds: float = 1) -> tuple[int, str, str]:
    done = subprocess.run(
        [BIN / "mignet", *command],
        cwd=folder,
        env=os.environ | {"MIGNET_TIMEOUT": str(seconds)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


FAULTS = {
    "closed": (None, "cluster-unreachable", "is unreachable: "),
    "silent": (silent, "cluster-unreachable", "is unreachable: no "),
    "trickling": (trickling, "cluster-unreachable", "no complete answer in 1 s"),
    "failing-500": (failing(500), "cluster-refused", "etcd is gone: 500"),
    "failing-503": (failing(503), "cluster-refused", "etcd is gone: 503"),
    "expired": (refusing, "cluster-unauthorized", "log in again"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["preflight", "up"])
def test_a_cluster_that_cannot_be_looked_at_is_one_finding(project: Any, fault: str, verb: str) -> None:
    behave, code, says = FAULTS[fault]
    folder, seen = project(behave)
    more = ["--output", "json"] if verb == "preflight" else ["--yes", "--engine", "direct", "--json"]
    begun = time.monotonic()
    exit_code, out, err = mignet(folder, verb, "dev", *more)
    took = time.monotonic() - begun
    assert exit_code == 1, out + err
    if verb == "preflight":
        (finding,) = json.loads(out)["findings"]
        assert finding["code"] == code
        told = finding["rule"]
    else:
        (report,) = json.loads(out)
        told = report["error"]
        assert len(told.splitlines()) == 1
        assert report["changes"] == []
    assert says in told
    assert took < 20, "seconds; the limit is 1, the rest is the start on a busy machine"
    assert TOKEN not in out + err
    assert PASSWORD not in out + err
    # To ask for rights is a POST, and creates nothing.
    assert [each for each in seen if not each.startswith("GET ") and REVIEWS not in each] == []


def test_a_limit_that_is_no_number_is_named(project: Any) -> None:
    folder, _ = project(silent)
    code, out, err = mignet(folder, "preflight", "dev", seconds=-1)
    assert code == 1
    assert "MIGNET_TIMEOUT is -1" in out + err
