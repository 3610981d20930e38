"""Checkups on the lab's data plane: real API servers, real CNI plugins, and pods that run in network namespaces."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from operated import NAMESPACE, PODS, POOLS, Cluster, Operated, kubeconfig_of, until
from support import BIN, ROOT, Outcome, document

from config.files.project_files import Project
from mignet.checkup.manifests import CHECKUP, Asked, ports
from mignet.checkup.plan import rounds
from mignet.checkup.result import Result
from mignet.checkup.run import Plan, carry_out, prepare
from mignet.fleet.loading import load
from mignet.fleet.run_context import Course
from mignet.lab.dataplane import namespaces
from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM
from mignet.lab.state import Record

REASON = namespaces.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no data plane: {REASON}")

JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
WORKERS = ("--nodes", "*worker*")


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A lab with a data plane, both of its stacks rolled out."""
    folder = tmp_path_factory.mktemp("checkup")
    lab = Lab(folder / "lab", crds=SLIM, dataplane=True)
    try:
        lab.up(lambda _: None)
        one = Operated(lab, folder / "project")
        one.create()
        one.up()
        yield one
    finally:
        lab.down()


@pytest.fixture
def site(rolled_out: Operated) -> Iterator[Operated]:
    """The same; afterwards nothing of a checkup is there any more, and no address of one."""
    before = {cluster.name: leases(cluster) for cluster in rolled_out.clusters}
    yield rolled_out
    for cluster in rolled_out.clusters:
        cluster.heal()
    left = {cluster.name: remains(cluster) for cluster in rolled_out.clusters}
    for cluster in rolled_out.clusters:
        clear(cluster)
        until(lambda one=cluster: leases(one) == before[one.name], "the leases of before")  # type: ignore[misc]
    assert left == {"dev": [], "dev-peer": []}


def leases(cluster: Cluster) -> set[str]:
    return {key for pool in cluster.get(POOLS)["items"] for key in pool["spec"]["allocations"]}


def remains(cluster: Cluster) -> list[str]:
    """Return what there is of checkups."""
    pods = cluster.kube.call("GET", PODS, params={"labelSelector": CHECKUP})["items"]
    return [each["metadata"]["name"] for each in (*pods, *cluster.get(JOBS)["items"])]


def clear(cluster: Cluster) -> None:
    cluster.kube.call("DELETE", JOBS, params={"propagationPolicy": "Background"})
    cluster.kube.call("DELETE", PODS, params={"labelSelector": CHECKUP})
    until(lambda: remains(cluster) == [], "nothing of a checkup")


def checkup(site: Operated, *arguments: str) -> tuple[dict[str, Any], Outcome]:
    outcome = site.run("checkup", *(arguments or ("--all", *WORKERS)), "-o", "json")
    assert "Traceback" not in outcome.err, outcome.err
    return outcome.document, outcome


def start(site: Operated, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(BIN / "mignet"), "checkup", "--all", *WORKERS, "-o", "json"],
        cwd=site.folder,
        env=os.environ | site.lab.pulumi_environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_three_and_three_sound_nodes_have_no_finding_within_20_seconds(site: Operated) -> None:
    begun = time.monotonic()
    found, outcome = checkup(site)
    took = time.monotonic() - begun
    assert (outcome.code, found["findings"], found["leftOut"]) == (0, [], []), outcome.err
    assert found["coverage"] == {"possible": 30, "planned": 30, "measured": 30, "share": 1.0}
    assert all(pair["ok"] and pair["pathMtu"] == 9000 and pair["rttMs"] > 0 for pair in found["pairs"])
    nodes = [node for cluster in found["clusters"] for node in cluster["nodes"]]
    assert len(nodes) == len({node["address"] for node in nodes}) == len({node["mac"] for node in nodes}) == 6
    assert took < 20


FAULTS = {
    "nic-unplugged": ("checkup-link-down", "no answer"),
    "nic-on-another-vlan": ("checkup-node-alone", "no answer"),
    "nic-small-mtu": ("checkup-path-mtu", "path MTU 1500"),
    "port-9185-blocked": ("checkup-ports-blocked", "ports 9185 blocked"),
    "ports-high-blocked": ("checkup-ports-blocked", "blocked"),
    "address-twice": ("checkup-address-duplicate", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stack", ["dev", "dev-peer"])
def test_a_fault_of_one_node_is_one_finding_that_names_it_and_its_cause(site: Operated, fault: str, stack: str) -> None:
    node = f"{stack}-worker-1"
    next(each for each in site.clusters if each.name == stack).fault(fault, node)
    found, outcome = checkup(site)
    code, reason = FAULTS[fault]
    assert [(each["code"], each["stack"]) for each in found["findings"]] == [(code, stack)], outcome.out
    assert node in found["findings"][0]["message"]
    assert outcome.code == 1
    broken = [pair for pair in found["pairs"] if not pair["ok"]]
    assert broken
    end = {"stack": stack, "node": node}
    for pair in broken:
        assert end in (pair["source"], pair["target"])
        assert reason in pair["reason"]
    states = {node["name"]: node["ok"] for cluster in found["clusters"] for node in cluster["nodes"]}
    assert [name for name, ok in states.items() if not ok] == [node]
    if stack == "dev":
        site.dev.heal()
        assert checkup(site)[0]["findings"] == [], "what is put right is found no more"


def test_the_first_broken_pair_is_named_beside_the_matrix(site: Operated) -> None:
    site.peer.fault("nic-on-another-vlan", "dev-peer-worker-2")
    outcome = site.run("checkup", "--all", *WORKERS)
    assert outcome.code == 1
    assert "first broken: dev/dev-worker-0 → dev-peer/dev-peer-worker-2: no answer (10 of 30 paths)" in outcome.out
    assert outcome.out.count("✗") == 10 + 1  # and the legend


def test_a_cluster_of_its_own_is_measured_within_itself(site: Operated) -> None:
    found, outcome = checkup(site, "dev", "--nodes", "dev-worker-0", "--nodes", "dev-worker-2")
    assert outcome.code == 0
    assert found["coverage"]["measured"] == 2


def test_throughput_is_measured_when_it_is_asked_for_and_capped(site: Operated) -> None:
    found, outcome = checkup(site, "--all", "--nodes", "*worker-0", "--throughput", "40")
    assert outcome.code == 0
    assert [20 < pair["throughput"] < 50 for pair in found["pairs"]] == [True, True]


def test_where_addresses_are_few_nodes_take_turns_and_each_is_measured(site: Operated) -> None:
    project = Project.find(site.folder)
    stacks = load(project, ["dev", "dev-peer"])
    asked = Asked("turns", 1, ports(1), nodes=("*worker*",))

    async def both() -> tuple[Plan, Result]:
        plan = await prepare(project, stacks, asked, Course(), last=False)
        plan = replace(plan, rounds=tuple(rounds(plan.nodes, seed=1, room={"dev": 2})))
        return plan, await carry_out(project, plan, asked, Course())

    plan, result = asyncio.run(both())
    assert [len(turn.nodes["dev"]) for turn in plan.rounds] == [2, 2]
    assert result.findings == ()
    assert all(node.ok for cluster in result.clusters for node in cluster.nodes)
    assert result.coverage.measured == result.coverage.planned == len(result.pairs) < result.coverage.possible


def test_ctrl_c_removes_everything_first(site: Operated) -> None:
    process = start(site)
    until(lambda: remains(site.peer), "probes")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "stopped by ctrl-c" in out
    assert [each for each in document(out)["findings"] if each["severity"] == "error"] == []
    assert remains(site.dev) == remains(site.peer) == []


def test_what_a_killed_run_leaves_the_cluster_removes_by_itself(site: Operated) -> None:
    process = start(site)
    until(lambda: all(len(remains(cluster)) == 4 for cluster in site.clusters), "probes")
    process.kill()
    process.communicate()
    for cluster in site.clusters:
        (job,) = cluster.get(JOBS)["items"]
        assert (job["spec"]["parallelism"], job["spec"]["activeDeadlineSeconds"]) == (0, 180)
        for pod in cluster.kube.call("GET", PODS, params={"labelSelector": CHECKUP})["items"]:
            assert [each["uid"] for each in pod["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]
            assert pod["spec"]["activeDeadlineSeconds"] == 180
        # Nobody waits three minutes here; all else is for the controllers of Jobs and garbage.
        cluster.merge(f"{JOBS}/{job['metadata']['name']}", {"spec": {"activeDeadlineSeconds": 1}})
    for cluster in site.clusters:
        until(lambda one=cluster: remains(one) == [], "nothing of a checkup")  # type: ignore[misc]


def test_a_lost_api_server_is_said_with_what_is_left_and_how_it_goes(site: Operated) -> None:
    process = start(site, MIGNET_TIMEOUT="2")
    record = Record.read(site.lab.directory / "lab.json")
    assert record is not None
    server = record.processes["dev-peer"].pid
    try:
        until(lambda: all(len(remains(cluster)) == 4 for cluster in site.clusters), "probes")
        os.kill(server, signal.SIGSTOP)
        out, err = process.communicate(timeout=100)
    finally:
        os.kill(server, signal.SIGCONT)
    found = {each["code"]: each for each in document(out)["findings"]}
    assert set(found) == {"cluster-unreachable", "checkup-left-behind"}, err
    assert {each["stack"] for each in found.values()} == {"dev-peer"}
    left = found["checkup-left-behind"]
    (job,) = site.peer.get(JOBS)["items"]
    assert f"kubectl --context dev-peer -n {NAMESPACE} delete job {job['metadata']['name']}" in left["remedy"]
    assert "within 180 s" in left["message"]
    assert process.returncode == 1
    assert remains(site.dev) == []
    clear(site.peer)


def test_a_dry_run_shows_every_object_as_the_api_server_accepts_it_and_creates_none(site: Operated) -> None:
    outcome = site.run("checkup", "--all", *WORKERS, "--dry-run", "--image", "mirror.example/python:3")
    assert outcome.code == 0, outcome.err
    documents = list(yaml.safe_load_all(outcome.out))
    assert [each["kind"] for each in documents] == ["Job", "Pod", "Pod", "Pod"] * 2
    for each in documents:
        kube = site.dev.kube if each["metadata"]["labels"]["app.kubernetes.io/instance"] == "dev" else site.peer.kube
        path = JOBS if each["kind"] == "Job" else PODS
        kube.call("POST", path, json=each, params={"dryRun": "All", "fieldValidation": "Strict"})
        template = each["spec"].get("template", each)
        assert template["spec"]["containers"][0]["image"] == "mirror.example/python:3"
    assert remains(site.dev) == remains(site.peer) == []


def test_without_the_network_nothing_is_created(site: Operated) -> None:
    path = site.folder / "Pulumi.dev.yaml"
    before = path.read_text()
    site.change("dev", attachment={"type": "macvlan", "name": "another", "master": "eth1"})
    try:
        found, outcome = checkup(site, "dev")
    finally:
        path.write_text(before)
    assert [each["code"] for each in found["findings"]] == ["checkup-no-network"]
    assert outcome.code == 1
    assert found["pairs"] == []


def account(site: Operated, folder: Path, documents: list[dict[str, Any]]) -> None:
    """Have the stack `dev` of a copy of the project use a ServiceAccount with these roles."""
    kube = site.dev.kube
    if kube.call("GET", "/api/v1/namespaces/default") is None:
        kube.call("POST", "/api/v1/namespaces", json={"metadata": {"name": "default"}})
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    name = folder.name.replace("_", "-")[:50]
    kube.call("POST", accounts, json={"metadata": {"name": name}})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    for manifest in documents:
        namespace = manifest["metadata"].get("namespace")
        where = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
        kind = manifest["kind"]
        metadata = manifest["metadata"] | {"name": name}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        kube.call("POST", f"{where}/{kind.lower()}s", json=manifest | {"metadata": metadata})
        binding = {"apiVersion": manifest["apiVersion"], "kind": f"{kind}Binding", "metadata": metadata}
        path = f"{where}/{kind.lower()}bindings"
        kube.call("POST", path, json=binding | {"roleRef": reference, "subjects": [subject]})
    (folder / "kubeconfig").write_text(kubeconfig_of(f"{accounts}/{name}", site.lab, kube))
    for each in ("Pulumi.yaml", "__main__.py", "Pulumi.dev.yaml"):
        shutil.copy(site.folder / each, folder)
    text = (folder / "Pulumi.dev.yaml").read_text()
    (folder / "Pulumi.dev.yaml").write_text(text.replace(str(site.lab.kubeconfig), str(folder / "kubeconfig")))


def test_its_role_is_enough_and_reaches_no_virtual_machine(site: Operated, tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all((ROOT / "docs/roles/checkup.yaml").read_text()))
    account(site, tmp_path, documents)
    outcome = site.run("checkup", "dev", *WORKERS, "--cwd", str(tmp_path))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "6 of 6 paths measured" in outcome.out
    assert "not judged" not in outcome.out
    groups = {group for each in documents for rule in each["rules"] for group in rule["apiGroups"]}
    assert groups == {"", "batch", "k8s.cni.cncf.io", "kubevirt.io", "whereabouts.cni.cncf.io"}
