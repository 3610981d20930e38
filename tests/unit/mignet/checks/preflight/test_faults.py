"""A cluster that cannot be looked at: one finding, in a bounded time, nothing changed, and no credential shown."""

from __future__ import annotations

import json
import os
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from preflight_traps import CONFIG
from support import ROOT, document

from mignet.kube import kinds

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


def forbidding(_: str, send: Send, __: threading.Event) -> None:
    send(status(403))


def forbidding_all_but_discovery(request: str, send: Send, _: threading.Event) -> None:
    """Behave as a cluster without OpenShift and nmstate to one who has no right: discovery is open to everybody."""
    path = request.split()[1]
    group = path.removeprefix("/apis/").rpartition("/")[0]
    if path.startswith("/apis/") and path.count("/") == 3 and group != "authorization.k8s.io":
        if group.endswith("openshift.io") or group == "nmstate.io":
            send(status(404))
        else:
            send(answer(200, {"resources": [{"kind": kind.kind} for kind in KINDS if kind.group == group]}))
    else:
        send(status(403))


KINDS = [each for each in vars(kinds).values() if isinstance(each, kinds.Kind)]


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
    done = forked.mignet(*command, cwd=folder, env=os.environ | {"MIGNET_TIMEOUT": str(seconds)})
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
        (finding,) = document(out)["findings"]
        assert finding["code"] == code
        told = finding["rule"]
    else:
        (report,) = document(out)["reports"]
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


LOOKS = {
    "preflight": [],
    "verify": ["--timeout", "0"],
    "drift": ["--engine", "direct"],
    "checkup": [],
    "report": ["-o", "markdown"],
    "up": ["--yes", "--engine", "direct"],
}


@pytest.mark.parametrize("verb", LOOKS)
def test_a_cluster_that_answers_403_to_everything_is_never_fine(project: Any, verb: str) -> None:
    folder, seen = project(forbidding)
    exit_code, out, err = mignet(folder, verb, "dev", *LOOKS[verb])
    assert exit_code == 1, out + err
    assert "Traceback" not in out + err
    assert [each for each in seen if not each.startswith("GET ") and REVIEWS not in each] == []


def test_the_last_line_says_how_many_rules_were_not_judged_and_where(project: Any) -> None:
    folder, _ = project(forbidding)
    _, out, _ = mignet(folder, "preflight", "dev")
    last = out.splitlines()[-1]
    assert re.fullmatch(r"1 stack, \d\d rules: (\d\d) rules were not judged \(dev: \1\)", last), last
    exit_code, out, _ = mignet(folder, "preflight", "dev", "--allow-not-judged", "-o", "json")
    found = document(out)
    assert (exit_code, found["findings"]) == (0, [])
    assert str(found["notJudged"]["dev"]) in last


def test_up_refuses_a_cluster_of_which_nothing_could_be_judged(project: Any) -> None:
    folder, _ = project(forbidding)
    _, out, _ = mignet(folder, "up", "dev", "--yes", "--engine", "direct", "--json")
    (report,) = document(out)["reports"]
    assert "rules of preflight could not be judged" in report["error"]
    assert "--allow-not-judged" in report["error"]


def test_peers_calls_no_way_ready_that_it_could_not_judge(project: Any) -> None:
    folder, _ = project(forbidding)
    text = yaml.safe_load((folder / "Pulumi.dev.yaml").read_text())
    text["config"]["migration-network:slice"] = {"rangeStart": "10.200.5.61", "rangeEnd": "10.200.5.110"}
    (folder / "Pulumi.other.yaml").write_text(yaml.safe_dump(text))
    exit_code, out, err = mignet(folder, "peers")
    assert exit_code == 1, out + err
    assert "0 of 2 ways are ready" in out
    assert "rules were not judged (dev: " in out.splitlines()[-1]
    exit_code, out, _ = mignet(folder, "peers", "--allow-not-judged")
    assert exit_code == 0
    assert "0 of 2 ways are ready" in out


def test_a_report_that_could_see_nothing_does_not_say_that_all_is_well(project: Any) -> None:
    folder, _ = project(forbidding)
    _, out, _ = mignet(folder, "report", "-o", "markdown")
    assert "✓ Migration network" not in out
    assert "rules were not judged" in out


def test_rules_about_an_api_that_discovery_does_not_list_do_not_count(project: Any) -> None:
    folder, _ = project(forbidding_all_but_discovery)
    _, out, _ = mignet(folder, "preflight", "dev", "-o", "json")
    found = document(out)
    said = [each["sentence"] for each in found["leftOut"]]
    apart = [each for each in said if each.startswith("does not apply: ")]
    assert any("discovery does not list NodeNetworkState (nmstate.io/v1beta1)" in each for each in apart), said
    counted = sum(each.count(",") for each in said if each.startswith("not judged: "))
    assert counted == found["notJudged"]["dev"], "each sentence has one comma more than it has rules, less one"
