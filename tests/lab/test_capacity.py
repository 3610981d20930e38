"""mignet capacity on the lab: how long migrations and drains take, what that rests on, and better limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from operated import VMS, Operated
from support import Outcome

STATES = "/apis/nmstate.io/v1beta1/nodenetworkstates"
MIB, GIB = 2**20, 2**30


def machine(one: Operated, name: str, memory: str, node: str = "dev-worker-1", **status: Any) -> None:
    """Start a virtual machine that runs on a node; the definition has no subresource for its status."""
    metadata = {"name": name}
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": metadata}
    spec = {"domain": {"devices": {}, "memory": {"guest": memory}}, "evictionStrategy": "LiveMigrate"}
    running = {"phase": "Running", "nodeName": node, "migrationMethod": "LiveMigration"}
    one.dev.kube.call("POST", VMS, json=body | {"spec": spec, "status": running | status})


@pytest.fixture
def fleet(operated: Operated) -> Iterator[Operated]:
    """The cluster dev with its network."""
    outcome = operated.run("up", "dev", "--yes", "--engine", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.err
    yield operated
    for each in operated.dev.kube.call("GET", VMS)["items"]:
        operated.dev.kube.call("DELETE", f"{VMS}/{each['metadata']['name']}")


def capacity(one: Operated, *more: str) -> Outcome:
    return one.run("capacity", "dev", "--json", *more)


def cluster(outcome: Outcome) -> dict[str, Any]:
    (found,) = outcome.document["clusters"]
    return dict(found)


def of(outcome: Outcome, name: str) -> dict[str, Any]:
    (found,) = [each for each in cluster(outcome)["machines"] if each["name"] == f"default/{name}"]
    return dict(found)


def drained(outcome: Outcome, node: str = "dev-worker-1") -> dict[str, Any]:
    (found,) = [each for each in cluster(outcome)["drains"] if each["node"] == node]
    return dict(found)


def codes(outcome: Outcome) -> set[str]:
    return {each["code"] for each in outcome.findings}


def test_each_machine_and_each_drain_has_a_range_with_what_decides(fleet: Operated) -> None:
    for place in range(6):
        machine(fleet, f"vm-{place}", "8Gi")
    outcome = capacity(fleet)
    assert outcome.code == 0, outcome.err
    assert codes(outcome) == set()
    one = of(outcome, "vm-0")
    # A tenth of 8 GiB at 94 % of 10 Gbit/s, and all of it at half of that.
    assert one["seconds"]["low"] == pytest.approx(4 + 0.8 * GIB / 1.175e9, rel=0.1)
    assert 20 + 8 * GIB / 0.625e9 < one["seconds"]["high"] < (20 + 8 * GIB / 0.625e9) * 1.3
    assert (one["endings"], one["decides"], one["source"]) == (["pre-copy", "pre-copy"], "link", "class typical")
    plan = drained(outcome)["plan"]
    assert [each["begin"] for each in plan[:2]] == [0, 0]
    assert all(each["begin"] > 0 for each in plan[2:])
    slower, faster = drained(capacity(fleet, "--parallel", "1")), drained(capacity(fleet, "--link", "40G"))
    assert slower["seconds"]["high"] > drained(outcome)["seconds"]["high"] > faster["seconds"]["high"]
    (limited,) = cluster(capacity(fleet, "--vm", "default/vm-3", "--bandwidth", "64Mi"))["machines"]
    assert (limited["name"], limited["decides"]) == ("default/vm-3", "bandwidthPerMigration")
    assert limited["seconds"]["low"] > 0.8 * GIB / (64 * MIB)
    table = fleet.run("capacity", "dev").out
    assert "dev-worker-1  6 " in table
    assert "10G" not in table
    assert fleet.run("capacity", "dev", "--vm", "default/none").code == 1
    for wrong in (["--link", "fast"], ["--load", "some"], ["--bandwidth", "1"], ["--vm", "a"]):
        refused = fleet.run("capacity", "dev", *wrong)
        assert refused.code == 2
        assert len(refused.err.splitlines()) == 1


def test_without_a_speed_no_time_is_told_until_it_is_given(fleet: Operated) -> None:
    for state in fleet.dev.get(STATES)["items"]:
        for interface in state["status"]["currentState"]["interfaces"]:
            interface.pop("ethernet", None)
        fleet.dev.kube.call("PUT", f"{STATES}/{state['metadata']['name']}/status", json=state)
    machine(fleet, "vm", "4Gi")
    outcome = capacity(fleet)
    assert codes(outcome) == {"capacity-link-unknown"}
    assert cluster(outcome)["link"] is None
    assert of(outcome, "vm")["seconds"] is None
    assert "nobody knows what the link carries" in fleet.run("capacity", "dev").out
    given = capacity(fleet, "--link", "10G")
    assert codes(given) == set()
    assert of(given, "vm")["seconds"]["high"] > 20


def test_what_does_not_finish_does_under_the_proposed_limits(fleet: Operated) -> None:
    fleet.change(
        "dev", hyperConverged={"liveMigration": {"bandwidthPerMigration": "64Mi", "completionTimeoutPerGiB": 30}}
    )
    path = fleet.folder / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("bandwidthPerMigration", "# ours\n      bandwidthPerMigration"))
    fleet.up("dev")
    machine(fleet, "vm", "8Gi")
    outcome = capacity(fleet, "--load", "busy")
    (said,) = [each for each in outcome.findings if "default/vm" in each["message"]]
    assert said["code"] == "capacity-does-not-finish"
    assert "memory is written as fast as bandwidthPerMigration 64Mi copies it" in said["message"]
    assert of(outcome, "vm")["endings"][1] == "timed out"
    assert drained(outcome)["doubtful"] == ["default/vm"]
    asked = fleet.run("capacity", "dev", "--load", "busy", "--write")
    assert asked.code == 2, "without a terminal nobody can agree"
    proposed = capacity(fleet, "--load", "busy", "--write", "--yes")
    limits = cluster(proposed)["proposal"]["limits"]
    assert limits["allowAutoConverge"] is True
    text = path.read_text()
    assert "# ours\n" in text, "what else stands in the file is as it was"
    written = yaml.safe_load(text)["config"]["migration-network:hyperConverged"]["liveMigration"]
    assert limits.items() <= written.items()
    fleet.up("dev")
    after = capacity(fleet, "--load", "busy")
    assert codes(after) == set()
    assert of(after, "vm")["endings"][1] == "auto-converge"


def test_disks_are_copied_to_another_cluster_and_count_for_the_time(fleet: Operated) -> None:
    claim = {"capacity": {"storage": "500Gi"}, "accessModes": ["ReadWriteMany"], "volumeMode": "Block"}
    disk = {"name": "root", "target": "vda", "persistentVolumeClaimInfo": claim}
    machine(fleet, "vm", "4Gi", volumeStatus=[disk])
    assert of(capacity(fleet), "vm")["disks"] == 0, "in a cluster they are shared"
    across = capacity(fleet, "--between", "1G")
    assert codes(across) == set()
    assert of(across, "vm")["disks"] == 500 * GIB
    assert cluster(across)["allAtOnce"]["seconds"]["low"] > 500 * GIB * 8 / 1e9
    # 504 GiB are 542 gigabytes begun: 2,710 seconds, and half of a gigabit a second takes 8,660.
    hurried = capacity(fleet, "--between", "1G", "--timeout-per-gib", "5")
    assert codes(hurried) == {"capacity-does-not-finish"}
    assert of(hurried, "vm")["decides"] == "completionTimeoutPerGiB"
    assert of(hurried, "vm")["seconds"]["high"] == pytest.approx(20 + 542 * 5 + 1)
    assert "default/vm" in cluster(hurried)["allAtOnce"]["doubtful"]
    assert "all to the other cluster, disks included" in fleet.run("capacity", "dev", "--between", "1G").out


def test_what_cannot_be_migrated_is_named_with_kubevirt_s_reason(fleet: Operated) -> None:
    why = "cannot migrate VMI: PVC root is not shared, live migration requires that all PVCs must be shared"
    condition = {"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable", "message": why}
    machine(fleet, "pinned", "4Gi", conditions=[condition])
    outcome = capacity(fleet)
    assert codes(outcome) == {"capacity-not-migratable"}
    assert why in outcome.findings[0]["message"]
    assert of(outcome, "pinned")["notMigratable"] == why
    assert drained(outcome)["stay"] == ["default/pinned"]


def past(seconds: int) -> dict[str, Any]:
    begin = datetime(2026, 11, 20, 12, tzinfo=UTC)
    end = begin + timedelta(seconds=seconds)
    form = "%Y-%m-%dT%H:%M:%SZ"
    return {
        "mode": "PreCopy",
        "completed": True,
        "startTimestamp": begin.strftime(form),
        "endTimestamp": end.strftime(form),
    }


def test_the_time_of_the_last_migration_tells_how_fast_a_guest_writes(fleet: Operated) -> None:
    machine(fleet, "quick", "8Gi", migrationState=past(8))
    machine(fleet, "slow", "8Gi", migrationState=past(40))
    outcome = capacity(fleet)
    quick, slow = of(outcome, "quick"), of(outcome, "slow")
    assert (quick["source"], slow["source"]) == ("its last migration, 8 s", "its last migration, 40 s")
    assert quick["dirtyRate"]["high"] < slow["dirtyRate"]["high"]
    assert slow["dirtyRate"]["high"] > 100 * MIB
    failed = past(40) | {"failed": True}
    machine(fleet, "failed", "8Gi", migrationState=failed)
    assert of(capacity(fleet), "failed")["source"] == "class typical"


class Metrics(BaseHTTPRequestHandler):
    """Answers as Prometheus does: one virtual machine's slope, and a token that it asks for."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        allowed = self.headers["Authorization"] == "Bearer of-the-test"
        rate = "41943040" if query.startswith("avg") else "83886080"
        sample = {"metric": {"namespace": "default", "name": "vm", "node": "n"}, "value": [1764000000.1, rate]}
        lost = {"metric": {"namespace": "default", "name": "odd"}, "value": [1764000000.1, "NaN"]}
        body = {"status": "success", "data": {"resultType": "vector", "result": [sample, lost]}}
        text = json.dumps(body).encode() if allowed else b"who are you"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_prometheus_knows_how_fast_guests_wrote(fleet: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(fleet, "vm", "8Gi")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        refused = fleet.run("capacity", "dev", "--prometheus", url)
        assert refused.code == 2
        assert "does not answer as Prometheus does: HTTP Error 401" in refused.err
        monkeypatch.setenv("MIGNET_PROMETHEUS_TOKEN", "of-the-test")
        outcome = capacity(fleet, "--prometheus", url)
        assert of(outcome, "vm")["dirtyRate"] == {"low": 40.0 * MIB, "high": 80.0 * MIB}
        assert of(outcome, "vm")["source"] == "measured in past migrations"
        (web,) = [each for each in cluster(outcome)["machines"] if each["name"] == "shop/web-0"]
        assert web["source"] == "class typical"
    finally:
        server.shutdown()
        server.server_close()
    gone = fleet.run("capacity", "dev", "--prometheus", url)
    assert gone.code == 2
    assert len(gone.err.splitlines()) == 1
    assert fleet.run("capacity", "dev", "--prometheus", "file:///etc/passwd").code == 2
