"""The stand-ins as a process of the lab: started, ended and repaired with it, and switched from the command line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from operated import HANDLER, HCO, KUBEVIRT, NAMESPACE, PODS, POOLS, Cluster, condition, interface, until
from support import REAL_CRDS, Kube
from typer.testing import CliRunner

from mignet.lab.commands import app
from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM

RUN = CliRunner()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("state") / "migration-network" / "lab", crds=SLIM)
    try:
        lab.up(lambda _: None)
        yield lab
    finally:
        lab.down()


@pytest.fixture(autouse=True)
def users_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands find this lab."""
    monkeypatch.setenv("XDG_STATE_HOME", str(lab.directory.parents[1]))
    monkeypatch.delenv("MIGNET_LAB_CRDS", raising=False)


def reach(lab: Lab, name: str = "dev") -> Cluster:
    return Cluster(name, Kube(lab.kubeconfig, name))


def pid(lab: Lab, name: str) -> int:
    return next(process.pid for process in lab.status() if process.name == name and process.pid)


def end(lab: Lab, name: str) -> None:
    process = psutil.Process(pid(lab, name))
    process.kill()
    process.wait(10)


def answers(cluster: Cluster) -> bool:
    """Whether a pod that is deleted is made anew: somebody is at work on this cluster."""
    name = until(cluster.pods)[0]["metadata"]["name"]
    cluster.kube.call("DELETE", f"{PODS}/{name}")
    until(lambda: len(cluster.pods()) == 3 and name not in {pod["metadata"]["name"] for pod in cluster.pods()})
    return True


def test_when_up_returns_kubevirt_is_there_on_every_cluster(lab: Lab) -> None:
    for name in lab.clusters:
        assert reach(lab, name).get(HANDLER)["status"]["desiredNumberScheduled"] == 3


def test_status_shows_that_the_operators_are_simulated(lab: Lab) -> None:
    shown = RUN.invoke(app, ["status"])
    assert shown.exit_code == 0
    (line,) = [line for line in shown.output.splitlines() if line.startswith("operators")]
    assert "ready" in line
    assert "(simulated)" in line
    assert "simulates the operators" in (lab.directory / "logs" / "operators.log").read_text()


def test_up_starts_stand_ins_again_that_were_killed_and_nothing_else(lab: Lab) -> None:
    before = {process.name: process.pid for process in lab.status()}
    end(lab, "operators")
    assert RUN.invoke(app, ["status"]).exit_code == 1
    lab.up(lambda _: None)
    after = {process.name: process.pid for process in lab.status()}
    assert {name for name in after if before[name] != after[name]} == {"operators"}
    assert answers(reach(lab))


def test_the_stand_ins_follow_an_api_server_to_another_port(lab: Lab) -> None:
    port = next(process.port for process in lab.status() if process.name == "dev") or 0
    operators = pid(lab, "operators")
    end(lab, "dev")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        lab.up(lambda _: None)
        assert answers(reach(lab))
    assert pid(lab, "operators") == operators


def test_a_fault_is_switched_on_shown_and_healed_from_the_command_line(lab: Lab) -> None:
    cluster = reach(lab, "dev-peer")
    assert RUN.invoke(app, ["fault", "operator-asleep", "leases-leaked=3", "--cluster", "dev-peer"]).exit_code == 0
    listed = RUN.invoke(app, ["fault", "--cluster", "dev-peer"]).output.splitlines()
    assert [line.split()[1] for line in listed if line.startswith("on ")] == ["operator-asleep", "leases-leaked"]
    assert not [line for line in RUN.invoke(app, ["fault"]).output.splitlines() if line.startswith("on ")]
    cluster.use("elsewhere")
    generation = cluster.get(HCO)["metadata"]["generation"]
    assert answers(cluster)
    assert cluster.get(HCO)["status"]["observedGeneration"] < generation
    cluster.use(None)
    assert RUN.invoke(app, ["heal"]).exit_code == 0
    until(lambda: cluster.settled(None))
    assert condition(cluster.get(HCO), "Available") == "True"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fault", "handler-asleep"], "there is no fault handler-asleep; `mignet lab fault` lists them"),
        (["fault", "--cluster", "prod"], "the lab has no cluster prod; it has dev, dev-peer"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(lab: Lab, command: list[str], message: str) -> None:
    refused = RUN.invoke(app, command)
    assert refused.exit_code == 1
    assert refused.stderr == f"mignet lab: {message}\n"


def test_the_stand_ins_do_nothing_while_nothing_changes(lab: Lab) -> None:
    """Otherwise a lab that nobody uses would burn a core."""
    for name in lab.clusters:
        until(lambda name=name: reach(lab, name).settled(None))  # type: ignore[misc]
    process = psutil.Process(pid(lab, "operators"))
    version = reach(lab).kube.call("GET", "/api/v1/namespaces/openshift-cnv/pods")["metadata"]["resourceVersion"]
    process.cpu_percent()
    assert process.cpu_percent(interval=2) < 10
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    listed = reach(lab).kube.call("GET", path)
    written = [item for item in listed["items"] if int(item["metadata"]["resourceVersion"]) > int(version)]
    assert written == []


def test_down_ends_the_stand_ins(tmp_path_factory: pytest.TempPathFactory) -> None:
    lab = Lab(tmp_path_factory.mktemp("other") / "lab", clusters=("one",), crds=SLIM)
    try:
        lab.up(lambda _: None)
        operators = pid(lab, "operators")
    finally:
        lab.down()
    assert not psutil.pid_exists(operators)


@pytest.mark.skipif(not REAL_CRDS.is_dir(), reason="no real CRDs in ../shared/crds")
@pytest.mark.parametrize(("release", "version"), [("v1.18.1", "v1beta1"), ("main", "v1")])
def test_the_real_definitions_take_all_that_the_stand_ins_write(tmp_path: Path, release: str, version: str) -> None:
    lab = Lab(tmp_path / "lab", clusters=("dev",), crds=REAL_CRDS, hco_release=release)
    try:
        lab.up(lambda _: None)
        cluster, path = reach(lab), HCO.replace("v1beta1", version)
        ipam = {"type": "whereabouts", "range": "10.200.5.0/24"}
        cluster.attach("net", {"type": "macvlan", "master": "eth1", "ipam": ipam})
        settings: dict[str, object] = {"liveMigrationConfig": {"network": "net"}}
        cluster.merge(path, {"spec": settings if version == "v1beta1" else {"virtualization": settings}})
        until(lambda: all(map(interface, cluster.pods())) and condition(cluster.get(KUBEVIRT), "Available") == "True")
        until(lambda: len(cluster.get(POOLS)["items"][0]["spec"]["allocations"]) == 5)
        until(lambda: (item := cluster.get(path))["status"]["observedGeneration"] == item["metadata"]["generation"])
        # Each refusal of the API server would be a line there.
        assert len((lab.directory / "logs" / "operators.log").read_text().splitlines()) == 1
    finally:
        lab.down()
