"""From what mignet finds to an alert that fires: in a real Prometheus, and through a real Pushgateway."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from operated import HCO, Operated, until
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mignet.exports.monitoring import alerts, manifests
from mignet.exports.monitoring.alerts import Alert
from mignet.outputs.openmetrics import CONTENT_TYPE, Look, render

ROOT = Path(__file__).parents[2]
RUNBOOKS = "https://git.example/net/docs/runbooks.md"
SECONDS = 60.0
OWN, CLUSTER = alerts.own((), 900), alerts.of_the_cluster()


def program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"no {name} here: make monitoring installs it")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, ready: str) -> Iterator[None]:
    """Run a server until it is no longer wanted."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(ready))
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url).is_success
    except httpx2.TransportError:
        return False


@contextlib.contextmanager
def prometheus(
    folder: Path, target: str, found: Sequence[Alert] = OWN, **scrape: Any
) -> Iterator[Callable[[], set[tuple[str, str]]]]:
    """Run one that scrapes a target, by the exported rules but at once; yield what asks for alerts that fire."""
    command, port = program("prometheus"), free_port()
    folder.mkdir()
    rules = [each.rule(RUNBOOKS) | {"for": "0s"} for each in found]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": rules}]}))
    scraped = {"job_name": "mignet", "static_configs": [{"targets": [target]}], **scrape}
    settings = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scraped],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    url = f"http://127.0.0.1:{port}"

    def firing() -> set[tuple[str, str]]:
        found = httpx2.get(f"{url}/api/v1/alerts").json()["data"]["alerts"]
        return {
            (each["labels"]["alertname"], each["labels"].get("stack") or each["labels"].get("node", ""))
            for each in found
            if each["state"] == "firing"
        }

    options = (
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running(command, *options, ready=f"{url}/-/ready"):
        yield firing


class Served:
    """A server of `/metrics`, as who watches has one; without a text it has nothing to say."""

    def __init__(self, kind: str = CONTENT_TYPE) -> None:
        self.text = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.text.encode()
                self.send_response(200 if body else 503)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Served:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def looks() -> list[Look]:
    """Return what a healthy fleet looks like, to each verb."""
    now = time.time()
    return [
        *(Look(stack, "drift", drifted=False, changes=0, when=now, seconds=1.0) for stack in "abc"),
        *(Look(stack, "verify", when=now, seconds=1.0) for stack in "abc"),
        *(Look(stack, "peers", paths=2, ready=2, when=now, seconds=1.0) for stack in "abc"),
    ]


def changed(verb: str, stack: str, **fields: Any) -> list[Look]:
    """Return that fleet, with one look changed."""
    found = [replace(each, **fields) if (each.verb, each.stack) == (verb, stack) else each for each in looks()]
    assert found != looks()
    return found


def away() -> list[Look]:
    gone = {"reachable": False, "not_judged": None, "drifted": None, "changes": None}
    return [replace(each, **gone) if each.stack == "a" else each for each in looks()]


FIRING: list[tuple[str, Callable[[], list[Look]], set[tuple[str, str]]]] = [
    ("drift", lambda: changed("drift", "a", drifted=True, changes=2), {("MigrationNetworkDrifted", "a")}),
    (
        "verify",
        lambda: changed("verify", "a", findings={("pod-stuck", "error"): 2}),
        {("MigrationNetworkVerifyFailed", "a")},
    ),
    ("not judged", lambda: changed("verify", "b", not_judged=3), {("MigrationNetworkNotJudged", "b")}),
    ("away", away, {("MigrationNetworkClusterUnreachable", "a")}),
    (
        "astray",
        lambda: changed("peers", "a", findings={("vm-runs-twice", "error"): 1}),
        {("MigrationNetworkMachineAstray", "a")},
    ),
    ("isolated", lambda: changed("peers", "a", ready=0), {("MigrationNetworkIsolated", "a")}),
    ("not ready", lambda: changed("peers", "a", ready=1), {("MigrationNetworkPathsNotReady", "a")}),
    ("stale", lambda: changed("drift", "a", when=time.time() - 3000), {("MigrationNetworkLookStale", "")}),
]


def test_each_alert_of_ours_fires_in_a_real_prometheus_alone_and_ends(tmp_path: Path) -> None:
    silent: set[tuple[str, str]] = set()
    expected = [fires for _, _, fires in FIRING] + [{("MigrationNetworkNotWatched", "")}]
    assert {name for fires in expected for name, _ in fires} == {each.name for each in OWN}
    with Served() as served, prometheus(tmp_path / "prometheus", served.address) as firing:
        until(lambda: firing() == {("MigrationNetworkNotWatched", "")})
        for name, fleet, fires in FIRING:
            served.text = render(fleet())
            until(lambda fires=fires: firing() == fires, name)
            served.text = render(looks())
            until(lambda: firing() == silent, name)


def _of_one(what: str) -> str:
    return f'kubevirt_vmi_migration_{what}{{namespace="shop",name="web",node="n1"}}'


MADE = {
    **{
        each: f'kubevirt_vmi_migrations_in_{each}_phase{{pod="virt-controller-1"}}'
        for each in ("pending", "scheduling")
    },
    "running": 'kubevirt_vmi_migrations_in_running_phase{pod="virt-controller-1"}',
    **{f"failed{n}": f'kubevirt_vmi_migration_failed{{namespace="shop",vmi="web",vmim="m{n}"}}' for n in range(4)},
    **{f"done{n}": f'kubevirt_vmi_migration_succeeded{{namespace="shop",vmi="web",vmim="d{n}"}}' for n in range(4)},
    "dirtied": _of_one("dirty_memory_rate_bytes"),
    "copied": _of_one("memory_transfer_rate_bytes"),
    "copied_before": _of_one("disk_transfer_rate_bytes"),
    "degraded": 'kubernetes_nmstate_policies_status{status="Degraded"}',
    "progressing": 'kubernetes_nmstate_enactments_status{node="n1",status="Progressing"}',
}
WELL = {"pending": 0.0, "scheduling": 0.0, "running": 0.0, "degraded": 0.0, "progressing": 0.0}


def told(samples: dict[str, float]) -> str:
    """Write what KubeVirt and kubernetes-nmstate tell of a cluster where nothing is amiss, but for these."""
    return "".join(f"{MADE[name]} {value}\n" for name, value in (WELL | samples).items())


FAILED = {f"failed{n}": 1.0 for n in range(4)}
OF_THE_CLUSTER: list[tuple[dict[str, float], dict[str, float], tuple[str, str]]] = [
    (FAILED, FAILED | {f"done{n}": 1.0 for n in range(4)}, ("MigrationNetworkMigrationsFail", "")),
    ({"scheduling": 2}, {"scheduling": 2, "running": 1}, ("MigrationNetworkTargetsDoNotStart", "")),
    ({"pending": 7}, {"pending": 7, "running": 5}, ("MigrationNetworkMigrationsWait", "")),
    ({"dirtied": 2048, "copied": 1024}, {"dirtied": 512, "copied": 1024}, ("MigrationNetworkMigrationOutpaced", "")),
    (
        {"dirtied": 2048, "copied_before": 1024},
        {"dirtied": 512, "copied_before": 1024},
        ("MigrationNetworkMigrationOutpaced", ""),
    ),
    ({"degraded": 1}, {"degraded": 0}, ("MigrationNetworkPolicyDegraded", "")),
    ({"progressing": 1}, {"progressing": 0}, ("MigrationNetworkPolicyStuck", "n1")),
]


def test_each_alert_on_kubevirt_and_nmstate_fires_in_a_real_prometheus_alone_and_ends(tmp_path: Path) -> None:
    """They tell it in the text format of Prometheus, and here nothing waits for the minutes of a rule."""
    assert {name for _, _, (name, _) in OF_THE_CLUSTER} == {each.name for each in CLUSTER}
    with (
        Served("text/plain; version=0.0.4; charset=utf-8") as served,
        prometheus(tmp_path / "prometheus", served.address, CLUSTER) as firing,
    ):
        for amiss, neighbour, fires in OF_THE_CLUSTER:
            served.text = told(amiss)
            until(lambda fires=fires: firing() == {fires}, f"{fires} fires")
            served.text = told(neighbour)
            until(lambda: not firing(), f"{fires} ends beside {neighbour}")


def test_what_the_cronjob_runs_reaches_prometheus_through_a_pushgateway(tmp_path: Path) -> None:
    """The exported script and arguments, with the real mignet, on a project whose clusters nobody can reach."""
    gateway, port = program("prometheus-pushgateway"), free_port()
    project = tmp_path / "project"
    project.mkdir()
    for name in ("Pulumi.yaml", "__main__.py", "Pulumi.dev.yaml", "Pulumi.dev-peer.yaml"):
        (project / name).write_text((ROOT / name).read_text().replace("~/.local", str(tmp_path)))
    made = manifests.objects(["cronjob"], manifests.Wanted((), RUNBOOKS))
    (script,) = (each["data"]["push.py"] for each in made if "push.py" in each.get("data", {}))
    (job,) = (each for each in made if each["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    _, *args = container["args"]
    (tmp_path / "push.py").write_text(script)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    url = f"http://127.0.0.1:{port}"

    def run(address: str, *looks: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "push.py"), address, *looks]
        return subprocess.run(
            command, check=False, cwd=project, env=environment, capture_output=True, text=True, timeout=SECONDS
        )

    with (
        running(gateway, f"--web.listen-address=127.0.0.1:{port}", ready=f"{url}/-/ready"),
        prometheus(tmp_path / "prometheus", f"127.0.0.1:{port}", honor_labels=True) as firing,
    ):
        done = run(url, *args)
        assert done.returncode == 0, done.stderr
        until(lambda: firing() == {("MigrationNetworkClusterUnreachable", each) for each in ("dev", "dev-peer")})
        # Nothing was told: what stands there stays, and the job fails.
        done = run(url, "drift no-such-stack --engine direct")
        assert (done.returncode, "told no metrics" in done.stderr) == (1, True)
    done = run(url, args[0])
    assert (done.returncode, f"not delivered to {url}" in done.stderr) == (1, True)


def samples(text: str) -> dict[str, float]:
    """Return what is known of dev, by metric; of one with more labels, the sum."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("stack") == "dev":
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_verbs_tell_metrics_of_real_clusters_and_end_as_they_do_otherwise(operated: Operated) -> None:
    begun = time.time()
    operated.up("dev", "dev-peer")
    for verb in ("preflight", "verify", "drift", "peers"):
        extra = {"verify": ("--timeout", "60"), "drift": ("--engine", "direct")}.get(verb, ())
        outcome = operated.run(verb, "--all", *extra, "-o", "openmetrics")
        table = operated.run(verb, "--all", *extra)
        assert outcome.code == table.code, outcome.err
        told = samples(outcome.out)
        assert told["mignet_cluster_reachable"] == 1
        assert begun < told["mignet_last_look_timestamp_seconds"] <= time.time()
        assert 0 < told["mignet_last_look_duration_seconds"] < 120
        if verb == "drift":
            assert (told["mignet_drifted"], told["mignet_drift_changed_objects"]) == (0, 0)
        if verb == "peers":
            assert told["mignet_peer_paths"] == 1
    patch = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 7}}}
    operated.dev.kube.merge(HCO, patch, "kubectl-edit")
    outcome = operated.run("drift", "dev", "--engine", "direct", "-o", "openmetrics")
    told = samples(outcome.out)
    assert outcome.code == 7, outcome.err
    assert (told["mignet_drifted"], told["mignet_drift_changed_objects"]) == (1, 1)
    assert told["mignet_findings"] >= 1
    gathered = operated.run("gather", "dev", "-o", "kept.tar.gz")
    assert gathered.code == 0, gathered.err
    end = time.time()
    until(lambda: time.time() > end + 1, "a second has passed")
    kept = operated.run("drift", "dev", "--from", "kept.tar.gz", "-o", "openmetrics")
    again = samples(kept.out)
    assert (kept.code, again["mignet_drifted"]) == (7, 1), kept.err
    assert told["mignet_last_look_timestamp_seconds"] - 1 <= again["mignet_last_look_timestamp_seconds"] <= end
