"""The lab as it runs: real etcd, real API servers, the slim definitions unless a test says otherwise."""

import contextlib
import ipaddress
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from typer.testing import CliRunner

from mignet.lab.commands import app
from mignet.lab.lab import Lab, LabError
from mignet.lab.seeding import seeds
from mignet.lab.seeding.definitions import SLIM
from mignet.lab.servers import processes
from mignet.lab.servers.http_client import connect

REAL = Path(__file__).parents[3] / "shared" / "crds"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no real CRDs in ../shared/crds")

NAMESPACED = "namespaces/openshift-cnv"
HCO = f"/apis/hco.kubevirt.io/v1beta1/{NAMESPACED}/hyperconvergeds/kubevirt-hyperconverged"
NADS = f"/apis/k8s.cni.cncf.io/v1/{NAMESPACED}/network-attachment-definitions"
NETWORK = "/apis/config.openshift.io/v1/networks/cluster"
STATES = "/apis/nmstate.io/v1beta1/nodenetworkstates"
SEGMENT = ipaddress.ip_network("10.200.5.0/24")
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


def quiet(_line: str) -> None:
    pass


def pids(lab: Lab) -> dict[str, int | None]:
    return {process.name: process.pid for process in lab.status()}


def ports(lab: Lab) -> dict[str, int | None]:
    return {process.name: process.port for process in lab.status()}


def all_ready(lab: Lab) -> bool:
    return all(process.ready for process in lab.status())


def stays_ready(lab: Lab) -> bool:
    """Whether all servers are ready; one that has just lost its etcd may say no once more before it settles."""
    deadline = time.monotonic() + 30
    while not all_ready(lab) and time.monotonic() < deadline:
        time.sleep(0.1)
    return all_ready(lab)


def reach(lab: Lab, cluster: str) -> httpx2.Client:
    """A client made from nothing but the kubeconfig's address and the administrator's certificate."""
    config = json.loads(lab.kubeconfig.read_text())
    server = next(entry["cluster"]["server"] for entry in config["clusters"] if entry["name"] == cluster)
    return connect(httpx2.URL(server).port or 0, lab.directory / "certificates" / cluster, name="admin")


def get(lab: Lab, cluster: str, path: str) -> Any:
    deadline = time.monotonic() + 30
    with reach(lab, cluster) as client:
        # An API server that has just started asks for patience with kinds that have a definition.
        while (answer := client.get(path)).status_code == 429 and time.monotonic() < deadline:
            time.sleep(0.1)
        return answer.raise_for_status().json()


def owners(item: Any) -> dict[tuple[str, str], Any]:
    fields = item["metadata"]["managedFields"]
    return {(entry["manager"], entry.get("subresource", "")): entry["fieldsV1"] for entry in fields}


def kill(lab: Lab, name: str) -> None:
    pid = pids(lab)[name]
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


@contextlib.contextmanager
def brought_up(directory: Path, **options: Any) -> Iterator[Lab]:
    lab = Lab(directory, **{"crds": SLIM, "operators": False, **options})
    try:
        lab.up(quiet)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with brought_up(tmp_path_factory.mktemp("lab") / "lab") as lab:
        yield lab


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that tests may change: those that look at a new one come in any order."""
    with brought_up(tmp_path_factory.mktemp("worked-on") / "lab") as lab:
        yield lab


# What is there after `up`


def test_up_gives_two_clusters_that_are_ready(running: Lab) -> None:
    assert [(process.name, process.ready) for process in running.status()] == [
        ("etcd", True),
        ("conversion", True),
        ("dev", True),
        ("dev-peer", True),
    ]


@pytest.mark.parametrize("cluster", ["dev", "dev-peer"])
def test_each_cluster_has_the_namespaces_nodes_and_a_network_state_for_each_node(running: Lab, cluster: str) -> None:
    namespaces = {item["metadata"]["name"] for item in get(running, cluster, "/api/v1/namespaces")["items"]}
    assert {"openshift-cnv", "openshift-multus"} <= namespaces
    nodes = get(running, cluster, "/api/v1/nodes")["items"]
    workers = [node for node in nodes if "node-role.kubernetes.io/worker" in node["metadata"]["labels"]]
    assert len(nodes) == 4
    assert [node["metadata"]["labels"]["kubevirt.io/schedulable"] for node in workers] == ["true"] * 3
    assert all("taints" not in node["spec"] for node in workers)
    states = get(running, cluster, STATES)["items"]
    assert {state["metadata"]["name"] for state in states} == {node["metadata"]["name"] for node in nodes}


@pytest.mark.parametrize("cluster", ["dev", "dev-peer"])
def test_on_every_node_eth0_has_the_default_route_and_eth1_is_free_for_migration(running: Lab, cluster: str) -> None:
    for state in get(running, cluster, STATES)["items"]:
        current = state["status"]["currentState"]
        interfaces = {interface["name"]: interface for interface in current["interfaces"]}
        default = [route for route in current["routes"]["running"] if route["destination"] == "0.0.0.0/0"]
        assert [route["next-hop-interface"] for route in default] == ["eth0"]
        assert interfaces["eth0"]["mtu"] == 1500
        assert interfaces["eth1"].items() >= {"state": "up", "mtu": 9000, "ipv4": {"enabled": False}}.items()


def test_no_range_of_any_cluster_overlaps_the_segment_or_the_other_clusters(running: Lab) -> None:
    ranges = [SEGMENT]
    for cluster in running.clusters:
        status = get(running, cluster, NETWORK)["status"]
        ranges += map(ipaddress.ip_network, [status["clusterNetwork"][0]["cidr"], *status["serviceNetwork"]])
        addresses = [node["status"]["addresses"][0] for node in get(running, cluster, "/api/v1/nodes")["items"]]
        ranges.append(ipaddress.ip_network(f"{addresses[0]['address']}/24", strict=False))
        assert all(ipaddress.ip_address(address["address"]) in ranges[-1] for address in addresses)
    assert not [(a, b) for n, a in enumerate(ranges) for b in ranges[:n] if a.overlaps(b)]


def test_whoever_created_the_hyperconverged_owns_its_default_limits(running: Lab) -> None:
    hyperconverged = get(running, "dev", HCO)
    assert hyperconverged["spec"]["liveMigrationConfig"] == {
        "allowAutoConverge": False,
        "allowPostCopy": False,
        "completionTimeoutPerGiB": 150,
        "parallelMigrationsPerCluster": 5,
        "parallelOutboundMigrationsPerNode": 2,
        "progressTimeout": 150,
    }
    spec = owners(hyperconverged)["kubectl-create", ""]["f:spec"]
    assert "f:completionTimeoutPerGiB" in spec["f:liveMigrationConfig"]
    with reach(running, "dev") as client:
        wanted = {"apiVersion": "hco.kubevirt.io/v1beta1", "kind": "HyperConverged"}
        wanted["spec"] = {"liveMigrationConfig": {"completionTimeoutPerGiB": 800, "progressTimeout": 150}}
        params = {"fieldManager": "migration-network", "dryRun": "All"}
        answer = client.patch(HCO, json=wanted, params=params, headers=APPLY)
    assert answer.status_code == 409
    assert 'conflict with "kubectl-create"' in answer.json()["message"]
    assert [cause["field"] for cause in answer.json()["details"]["causes"]] == [
        ".spec.liveMigrationConfig.completionTimeoutPerGiB"
    ]


def test_the_hyperconverged_looks_adopted_by_a_healthy_operator(running: Lab) -> None:
    hyperconverged = get(running, "dev", HCO)
    metadata, status = hyperconverged["metadata"], hyperconverged["status"]
    assert metadata["labels"] == {"app": "kubevirt-hyperconverged"}
    assert metadata["finalizers"] == ["kubevirt.io/hyperconverged"]
    assert set(owners(hyperconverged)) == {("kubectl-create", ""), (seeds.OPERATOR, ""), (seeds.OPERATOR, "status")}
    assert {condition["type"]: condition["status"] for condition in status["conditions"]} == {
        "ReconcileComplete": "True",
        "Available": "True",
        "Progressing": "False",
        "Degraded": "False",
        "Upgradeable": "True",
    }
    assert status["observedGeneration"] == metadata["generation"] == 2
    assert status["versions"] == [{"name": "operator", "version": "1.18.1"}]


def test_a_limit_that_the_release_does_not_know_is_pruned_from_a_patch_and_refused_in_an_apply(running: Lab) -> None:
    unknown = {"spec": {"liveMigrationConfig": {"allowWorkloadDisruption": True}}}
    params = {"fieldManager": "migration-network", "dryRun": "All"}
    with reach(running, "dev") as client:
        merged = client.patch(HCO, json=unknown, params=params, headers=MERGE)
        wanted = {"apiVersion": "hco.kubevirt.io/v1beta1", "kind": "HyperConverged", **unknown}
        applied = client.patch(HCO, json=wanted, params=params, headers=APPLY)
    assert "allowWorkloadDisruption" not in merged.raise_for_status().json()["spec"]["liveMigrationConfig"]
    assert applied.status_code == 500
    assert "field not declared in schema" in applied.json()["message"]


# Who may do what


def test_only_the_owner_may_read_the_labs_files(running: Lab) -> None:
    found = [path for path in [running.directory, *running.directory.rglob("*")] if "etcd" not in path.parts[-3:]]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()} == {0o600}
    assert stat.S_IMODE((running.directory / "etcd").stat().st_mode) == 0o700


def test_no_key_of_a_certificate_authority_is_kept(running: Lab) -> None:
    assert not list(running.directory.rglob("ca.key"))


def test_an_api_server_refuses_who_has_no_credential(running: Lab) -> None:
    with httpx2.Client(verify=False, trust_env=False) as client:
        answers = [
            client.get(f"https://127.0.0.1:{ports(running)[cluster]}{path}", headers=headers).status_code
            for cluster in running.clusters
            for path in ("/readyz", "/version", "/api/v1/nodes")
            for headers in ({}, {"Authorization": "Bearer guessed"}, {"X-Remote-User": "lab-admin"})
        ]
    assert set(answers) == {401}


def test_an_api_server_refuses_the_administrator_of_the_other_cluster(running: Lab, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(running.directory / "certificates" / "dev-peer", mixed)
    shutil.copy(running.directory / "certificates" / "dev" / "ca.crt", mixed / "ca.crt")
    with connect(ports(running)["dev"] or 0, mixed, name="admin") as client:
        assert client.get("/readyz").status_code == 401


def test_the_certificate_of_one_cluster_does_not_pass_for_the_other(running: Lab) -> None:
    certificates = running.directory / "certificates"
    with (
        connect(ports(running)["dev"] or 0, certificates / "dev-peer", name="admin") as client,
        pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get("/readyz")


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/version"])
def test_etcd_refuses_who_has_no_client_certificate(running: Lab, path: str) -> None:
    with httpx2.Client(verify=False, trust_env=False) as client, pytest.raises(httpx2.TransportError):
        client.get(f"https://127.0.0.1:{ports(running)['etcd']}{path}")


def test_nothing_listens_beyond_loopback_and_every_listener_demands_a_certificate(running: Lab) -> None:
    listeners = [
        connection.laddr
        for pid in pids(running).values()
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listeners} == {"127.0.0.1"}
    for address in listeners:
        with httpx2.Client(verify=False, trust_env=False) as client:
            with contextlib.suppress(httpx2.TransportError):
                assert client.get(f"https://127.0.0.1:{address.port}/").status_code == 401
            with contextlib.suppress(httpx2.TransportError):
                assert client.get(f"http://127.0.0.1:{address.port}/").status_code == 400


def test_rbac_decides_what_a_user_may_do(running: Lab) -> None:
    with reach(running, "dev") as client:
        denied = client.get("/api/v1/nodes", headers={"Impersonate-User": "somebody"})
        allowed = client.get("/api/v1/nodes", headers={"Impersonate-User": "x", "Impersonate-Group": "system:masters"})
    assert (denied.status_code, allowed.status_code) == (403, 200)


def test_a_service_account_can_have_a_token_and_is_known_by_it(running: Lab) -> None:
    account = "/api/v1/namespaces/openshift-cnv/serviceaccounts"
    with reach(running, "dev") as client:
        client.post(account, json={"metadata": {"name": "reader"}}).raise_for_status()
        token = client.post(f"{account}/reader/token", json={"spec": {}}).raise_for_status().json()["status"]["token"]
    with httpx2.Client(verify=False, trust_env=False) as client:
        url = f"https://127.0.0.1:{ports(running)['dev']}/api/v1/nodes"
        answer = client.get(url, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert "system:serviceaccount:openshift-cnv:reader" in answer.json()["message"]


# Another `up`


def test_a_second_up_leaves_every_process_as_it_is(running: Lab) -> None:
    before = pids(running)
    lines: list[str] = []
    running.up(lines.append)
    assert pids(running) == before
    assert lines == ["the lab is up already"]


def test_several_ups_at_once_start_one_lab(tmp_path: Path) -> None:
    labs = [Lab(tmp_path / "lab", clusters=("one",), crds=SLIM, operators=False) for _ in range(3)]
    lines: list[str] = []
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda lab: lab.up(lines.append), labs))
        assert all_ready(labs[0])
        assert len([line for line in lines if "starting" in line]) == 2
        assert lines.count("the lab is up already") == 2
    finally:
        labs[0].down()


@pytest.mark.parametrize("name", ["dev", "dev-peer", "etcd"])
def test_up_restarts_what_was_killed_and_nothing_else_and_keeps_the_data(worked_on: Lab, name: str) -> None:
    attachment = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
    attachment["metadata"] = {"name": f"before-{name}-ended"}
    limits = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 801}}}
    with reach(worked_on, "dev") as client:
        client.post(NADS, json=attachment).raise_for_status()
        client.patch(HCO, json=limits, headers=MERGE).raise_for_status()
    before = pids(worked_on)
    kill(worked_on, name)
    assert not all_ready(worked_on)
    worked_on.up(quiet)
    after = pids(worked_on)
    assert stays_ready(worked_on)
    assert {other for other in before if before[other] != after[other]} == {name}
    assert get(worked_on, "dev", f"{NADS}/before-{name}-ended")
    assert get(worked_on, "dev", HCO)["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] == 801


def test_seeding_that_was_interrupted_is_finished_and_overwrites_nothing(worked_on: Lab) -> None:
    record = worked_on.directory / "lab.json"
    notes = json.loads(record.read_text())
    record.write_text(json.dumps(notes | {"seeded": []}))
    with reach(worked_on, "dev") as client:
        client.delete("/api/v1/nodes/dev-worker-2").raise_for_status()
        client.patch("/api/v1/nodes/dev-worker-1", json={"metadata": {"labels": {"mine": "yes"}}}, headers=MERGE)
        client.patch(HCO, json={"metadata": {"labels": {"app": "mine"}}}, headers=MERGE).raise_for_status()
    worked_on.up(quiet)
    assert get(worked_on, "dev", "/api/v1/nodes/dev-worker-2")
    assert get(worked_on, "dev", "/api/v1/nodes/dev-worker-1")["metadata"]["labels"]["mine"] == "yes"
    assert get(worked_on, "dev", HCO)["metadata"]["labels"] == {"app": "mine"}


@pytest.mark.parametrize("name", ["dev", "etcd"])
def test_up_takes_another_port_when_somebody_listens_on_the_old_one(worked_on: Lab, name: str) -> None:
    taken = ports(worked_on)[name] or 0
    kill(worked_on, name)
    with listening(taken):
        worked_on.up(quiet)
        assert all_ready(worked_on)
        assert ports(worked_on)[name] != taken
        assert get(worked_on, "dev", HCO)


@pytest.mark.parametrize("name", ["etcd", "conversion", "one"])
def test_up_takes_another_port_when_somebody_takes_it_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken, free_port = listener.getsockname()[1], processes.free_port
        # They choose in this order; None stands for an honest answer.
        before = ["etcd", "conversion", "one"].index(name)
        answers = iter([None] * before + [taken])
        monkeypatch.setattr(
            processes, "free_port", lambda last, *, avoid: next(answers, None) or free_port(last, avoid=avoid)
        )
        lines: list[str] = []
        lab = Lab(tmp_path / "lab", clusters=("one",), crds=SLIM, operators=False)
        try:
            lab.up(lines.append)
            assert all_ready(lab)
            assert f"{name}: somebody took its port meanwhile, trying another" in lines
        finally:
            lab.down()


def test_a_lab_made_from_other_definitions_is_not_taken_for_the_wanted_one(running: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"run `mignet lab down` first"):
        Lab(running.directory, crds=tmp_path).up(quiet)
    with pytest.raises(LabError, match=r"made with clusters dev, dev-peer"):
        Lab(running.directory, clusters=("dev",)).up(quiet)


# `down`


def test_down_ends_the_labs_processes_and_removes_what_they_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with brought_up(tmp_path, clusters=("one",)) as lab:
        lab.pulumi_environment()
        before = pids(lab)
        lab.down()
        assert not [pid for pid in before.values() if pid is None or psutil.pid_exists(pid)]
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        lab.down()


def test_down_that_keeps_lets_the_next_up_find_the_data_at_the_same_address(tmp_path: Path) -> None:
    with brought_up(tmp_path / "lab", clusters=("one",)) as lab:
        before, uid = ports(lab), get(lab, "one", HCO)["metadata"]["uid"]
        lab.down(keep=True)
        assert not any(process.running for process in lab.status())
        lab.up(quiet)
        assert ports(lab) == before
        assert get(lab, "one", HCO)["metadata"]["uid"] == uid


def test_down_ends_no_process_that_has_got_the_number_of_one_of_ours(tmp_path: Path) -> None:
    with (
        brought_up(tmp_path / "lab", clusters=("one",)) as lab,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as foreign,
    ):
        kill(lab, "one")
        record = lab.directory / "lab.json"
        notes = json.loads(record.read_text())
        notes["processes"]["one"]["pid"] = foreign.pid
        record.write_text(json.dumps(notes))
        etcd = pids(lab)["etcd"]
        assert pids(lab)["one"] is None
        lab.down()
        assert etcd is not None
        assert not psutil.pid_exists(etcd)
        assert foreign.poll() is None
        foreign.communicate(b"\n")


# What goes wrong, and how it is said


def test_a_server_that_ends_at_once_is_one_line_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("etcd", "kube-apiserver"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho first\necho {program} has no room >&2\nexit 3\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    lab = Lab(tmp_path / "lab", clusters=("one",), crds=SLIM, operators=False)
    with pytest.raises(LabError) as error:
        lab.up(quiet)
    lab.down()
    assert "\n" not in str(error.value)
    assert " ended before it was ready" in str(error.value)
    # All servers start at once; whichever is seen to end first is named.
    assert str(error.value).endswith(("first | etcd has no room", "first | kube-apiserver has no room"))


def test_the_commands_work_on_the_users_lab_and_tell_how_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("MIGNET_LAB_CRDS", raising=False)
    run = CliRunner()
    assert run.invoke(app, ["status"]).exit_code == 1
    try:
        up = run.invoke(app, ["up"])
        assert up.exit_code == 0, up.output
        assert run.invoke(app, ["status"]).exit_code == 0
        path = Path(run.invoke(app, ["kubeconfig"]).output.strip())
        assert path == tmp_path / "migration-network" / "lab" / "kubeconfig"
        assert [context["name"] for context in json.loads(path.read_text())["contexts"]] == ["dev", "dev-peer"]
        assert json.loads(path.read_text())["current-context"] == "dev"
    finally:
        down = run.invoke(app, ["down"])
    assert down.exit_code == 0
    assert not path.exists()


def test_another_checkout_is_told_whose_the_lab_is_until_the_first_is_gone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one, other = (Lab(tmp_path / "lab", crds=SLIM, operators=False, checkout=each) for each in (first, second))
    said: list[str] = []
    try:
        one.up(quiet)
        one.up(said.append)
        for work in (other.up, lambda _: other.down()):
            with pytest.raises(LabError, match=f"is that of {first}, whose stacks are on it"):
                work(quiet)
        first.rmdir()
        other.up(said.append)
        assert said == [
            "the lab is up already",
            f"taking the lab over from {first}, which is no more",
            "the lab is up already",
        ]
        first.mkdir()
        with pytest.raises(LabError, match=f"is that of {second}"):
            one.up(quiet)
    finally:
        one.down(force=True)
    assert not one.directory.exists()


def test_a_shell_can_evaluate_env(tmp_path: Path) -> None:
    state = tmp_path / "with space"
    lab = Lab(state / "migration-network" / "lab")
    shell = f'eval "$({sys.executable} -c "from mignet.lab.commands import app; app()" env)"; env -0'
    output = subprocess.run(
        ["/bin/sh", "-c", shell],
        env={"XDG_STATE_HOME": str(state), "PATH": os.defpath},
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = dict(line.split("=", 1) for line in output.split("\0") if line)
    assert found.items() >= lab.pulumi_environment().items()
    assert found["PULUMI_BACKEND_URL"] == f"file://{lab.directory / 'pulumi'}"
    assert (lab.directory / "pulumi").is_dir()


# The real definitions


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with brought_up(tmp_path_factory.mktemp("real") / "lab", clusters=("real",), crds=REAL) as lab:
        yield lab


@needs_real
def test_the_real_definitions_are_served_and_the_slim_ones_fill_their_gaps(real: Lab) -> None:
    assert get(real, "real", "/apis/kubevirt.io/v1/kubevirts")["items"] == []
    assert len(get(real, "real", STATES)["items"]) == 4
    assert not (REAL / "network.crd.yaml").exists()
    assert get(real, "real", NETWORK)["status"]


@needs_real
def test_the_slim_definitions_fill_an_empty_hyperconverged_exactly_as_the_real_ones_do(running: Lab, real: Lab) -> None:
    slim, wanted = get(running, "dev-peer", HCO), get(real, "real", HCO)
    assert slim["spec"] == wanted["spec"]
    assert owners(slim) == owners(wanted)


@needs_real
@pytest.mark.parametrize(
    ("release", "version", "operator", "seconds"),
    [("v1.17.3", "v1beta1", "1.17.3", 150), ("main", "v1", "1.19.0", 20)],
)
def test_the_hyperconverged_of_another_release_is_created_in_the_version_that_it_stores(
    tmp_path: Path, release: str, version: str, operator: str, seconds: int
) -> None:
    with brought_up(tmp_path / "lab", clusters=("real",), crds=REAL, hco_release=release) as lab:
        hyperconverged = get(lab, "real", HCO.replace("v1beta1", version))
    stored = {entry["apiVersion"] for entry in hyperconverged["metadata"]["managedFields"]}
    assert stored == {f"hco.kubevirt.io/{version}"}
    spec = hyperconverged["spec"] if version == "v1beta1" else hyperconverged["spec"]["virtualization"]
    assert spec["liveMigrationConfig"]["completionTimeoutPerGiB"] == seconds
    assert hyperconverged["status"]["versions"] == [{"name": "operator", "version": operator}]
