"""`mignet verify STACK --migrate --to OTHER`: a test machine goes to another cluster and back, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import operated as lab
import pytest
import yaml
from operated import NAMESPACE, Objects, Operated, kubeconfig_of, renewed, until
from support import BIN, ROOT, Outcome

from mignet.checks import crossing
from mignet.lab.lab import Lab

KUBEVIRT_API = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}"
MACHINES, INSTANCES, MIGRATIONS = (
    f"{KUBEVIRT_API}/{plural}"
    for plural in ("virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations")
)
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
COMMAND = ("verify", "dev", "--migrate", "--to", "dev-peer", "--yes", "-o", "json")


@pytest.fixture(scope="module")
def joined(operated_lab: tuple[Lab, list[Objects]], tmp_path_factory: pytest.TempPathFactory) -> Operated:
    """The lab with both stacks applied, once for these tests: a crossing leaves nothing, each of them sees to that."""
    one = renewed(*operated_lab, tmp_path_factory.mktemp("crossing") / "project")
    one.up()
    return one


@pytest.fixture
def pair(joined: Operated) -> Iterator[Operated]:
    """Both clusters on the network, without a fault."""
    yield joined
    for cluster in joined.clusters:
        cluster.heal()
        until(lambda cluster=cluster: fit(cluster), f"{cluster.name} is as it was")
    until(lambda: clean(joined), "nothing is left")


def fit(cluster: lab.Cluster) -> bool:
    """Whether the operators are done with taking faults back."""
    workloads = ("virt-handler", "virt-synchronization-controller")
    attached = all(address for each in workloads for address in cluster.migration0(each).values())
    return cluster.settled("my-secondary-network") and attached and all(map(lab.ready, cluster.pods()))


def cross(pair: Operated, *more: str, timeout: str = "60") -> Outcome:
    return pair.run(*COMMAND, "--timeout", timeout, *more)


def codes(outcome: Outcome) -> list[str]:
    assert outcome.out, outcome.err
    return sorted({each["code"] for each in outcome.findings})


def left(cluster: lab.Cluster) -> list[str]:
    """Return what is there of test machines on a cluster, and who holds its stack."""
    found = [
        each["metadata"]["name"] for path in (MACHINES, INSTANCES, MIGRATIONS) for each in cluster.get(path)["items"]
    ]
    return found + [each["metadata"]["name"] for each in cluster.get(LEASES)["items"]]


def clean(pair: Operated) -> bool:
    return not any(map(left, pair.clusters))


def again(pair: Operated) -> Outcome:
    """Demand that it goes well once nothing is in the way, and return the outcome."""
    for cluster in pair.clusters:
        cluster.heal()
    outcome = cross(pair)
    assert (outcome.code, codes(outcome)) == (0, []), outcome.out + outcome.err
    assert clean(pair)
    return outcome


def test_a_machine_goes_there_and_back_over_the_slices_of_both(pair: Operated) -> None:
    outcome = cross(pair)

    assert (outcome.code, codes(outcome)) == (0, []), outcome.out + outcome.err
    there, back = outcome.document["crossings"]
    assert [(each["source"], each["target"], each["outcome"], each["proven"]) for each in (there, back)] == [
        ("dev", "dev-peer", "Succeeded", True),
        ("dev-peer", "dev", "Succeeded", True),
    ]
    for each in (there, back):
        assert each["begun"] <= each["ended"]
        assert all(hop["inside"] and hop["address"] for hop in each["hops"])
        assert [hop["stack"] for hop in each["hops"]] == [each["source"], each["target"]] * 2
    # Those that the virt-handlers and the leading sync controllers have, and no others.
    addresses = {
        each["ips"][0]
        for cluster in pair.clusters
        for workload in ("virt-handler", "virt-synchronization-controller")
        for each in cluster.migration0(workload).values()
        if each
    }
    assert {hop["address"] for each in (there, back) for hop in each["hops"]} <= addresses
    proven = [each["sentence"] for each in outcome.document["proven"] if "a test machine" in each["sentence"]]
    assert [each.partition(" (node")[0] for each in proven] == [
        "a test machine went from dev",
        "a test machine went from dev-peer",
    ]
    assert clean(pair)


def test_the_terminal_shows_each_address_with_its_slice_and_machines_of_others_are_left_alone(pair: Operated) -> None:
    body: dict[str, Any] = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine"}
    template: dict[str, Any] = {"spec": {"domain": {"devices": {}}}}
    body |= {"metadata": {"name": "mine"}, "spec": {"runStrategy": "Always", "template": template}}
    pair.peer.kube.call("POST", MACHINES, json=body)
    until(lambda: pair.peer.get(f"{INSTANCES}/mine"), "it runs")

    outcome = pair.run(*COMMAND[:-2], "--timeout", "60")

    assert outcome.code == 0, outcome.out + outcome.err
    assert "dev → dev-peer: Succeeded after" in outcome.out
    assert outcome.out.count("inside 10.200.5.10-10.200.5.60") == 4
    assert outcome.out.count("inside 10.200.5.61-10.200.5.110") == 4
    # Of the phases in between, those are told that a look meets.
    assert "goes from dev to dev-peer: " in outcome.err
    assert "goes from dev-peer to dev: " in outcome.err
    assert left(pair.peer) == ["mine", "mine"]
    pair.peer.kube.call("DELETE", f"{MACHINES}/mine")


def test_without_consent_nothing_is_created(pair: Operated) -> None:
    outcome = pair.run("verify", "dev", "--migrate", "--to", "dev-peer")

    assert outcome.code == 2
    assert "--migrate asks before it changes anything" in outcome.err
    assert clean(pair)


@pytest.mark.parametrize(
    ("stack", "fault", "code"),
    [
        ("dev-peer", "gate-missing", "peer-gate"),
        ("dev", "gate-missing", "peer-gate"),
        ("dev-peer", "authority-expired", "peer-authority-expired"),
        ("dev", "authority-unexchanged", "peer-untrusted"),
        ("dev-peer", "sync-on-pod-network", "peer-sync-outside"),
        ("dev-peer", "sync-stale", "peer-sync-stale"),
        ("dev-peer", "upgrade-running", "peer-upgrading"),
        ("dev", "version-old", "peer-version-apart"),
    ],
)
def test_what_is_not_fit_is_found_before_anything_is_created(pair: Operated, stack: str, fault: str, code: str) -> None:
    cluster = pair.dev if stack == "dev" else pair.peer
    cluster.fault(fault)
    until(lambda: code in pair.run("peers", "--json").out, f"{code} is seen")

    outcome = cross(pair)

    assert outcome.code == 1
    found = {(each["code"], each["stack"]) for each in outcome.findings if each["blocks"]}
    # Of a cluster without the gate, verify itself has a word before.
    assert (code, stack) in found or (fault == "gate-missing" and codes(outcome) != []), outcome.out + outcome.err
    assert outcome.document["crossings"] == []
    assert clean(pair)


@pytest.mark.parametrize("unreachable", ["dev-peer", "dev"])
def test_a_sync_controller_that_is_not_reached_is_told_with_its_address(pair: Operated, unreachable: str) -> None:
    (pair.peer if unreachable == "dev-peer" else pair.dev).fault("sync-unreachable")

    outcome = cross(pair, timeout="12")

    assert (outcome.code, codes(outcome)) == (1, ["crossing-waits"]), outcome.out + outcome.err
    (finding,) = outcome.findings
    assert "WaitingForSync" in finding["message"]
    assert "i/o timeout" in finding["message"]
    assert "10.200.5." in finding["message"]
    assert "Let TCP port 9185 pass" in finding["remedy"]
    assert clean(pair)


@pytest.mark.parametrize(
    ("fault", "words", "remedy"),
    [
        ("authority-unexchanged", "x509: certificate signed by unknown authority", "Exchange the authorities"),
        ("version-old", "missing selected ALPN property", "Upgrade both to one minor version"),
    ],
)
def test_what_the_sync_controllers_say_is_told_where_it_changes_after_the_look(
    pair: Operated, fault: str, words: str, remedy: str
) -> None:
    pair.dev.fault(fault)
    with started(pair, "from mignet.checks import crossing; crossing.PAIR = ()", timeout=12) as process:
        out, err = process.communicate(timeout=120)

    (finding,) = yaml.safe_load(out)["findings"]
    assert (process.returncode, finding["code"]) == (1, "crossing-waits"), out + err
    assert words in finding["message"]
    assert remedy in finding["remedy"]
    assert clean(pair)


@pytest.mark.parametrize(
    ("stack", "fault", "code", "words"),
    [
        ("dev", "migration-fails", "crossing-failed", "Connection timed out"),
        ("dev", "migration-hangs", "crossing-unfinished", "its migration Running"),
        ("dev-peer", "crossing-target-lost", "crossing-target-lost", "on dev it is Succeeded"),
        ("dev-peer", "migration-on-pod-network", "crossing-other-network", "10.200.5.61-10.200.5.110"),
    ],
)
def test_a_way_that_does_not_end_well_says_why_and_leaves_nothing(
    pair: Operated, stack: str, fault: str, code: str, words: str
) -> None:
    (pair.dev if stack == "dev" else pair.peer).fault(fault)

    outcome = cross(pair, timeout="12" if fault == "migration-hangs" else "30")

    assert (outcome.code, codes(outcome)) == (1, [code]), outcome.out + outcome.err
    assert all(words in each["message"] for each in outcome.findings), outcome.out
    first = outcome.document["crossings"][0]
    assert (first["source"], first["target"], first["proven"]) == ("dev", "dev-peer", False)
    assert clean(pair)


def test_a_way_back_that_fails_is_one_of_the_way_back(pair: Operated) -> None:
    pair.peer.fault("migration-fails")

    outcome = cross(pair)

    assert (outcome.code, codes(outcome)) == (1, ["crossing-failed"]), outcome.out + outcome.err
    assert [each["proven"] for each in outcome.document["crossings"]] == [True, False]
    assert "did not get from dev-peer to dev" in outcome.findings[0]["message"]
    assert clean(pair)


def test_of_a_machine_that_runs_twice_both_sides_are_told_and_the_target_goes_first(pair: Operated) -> None:
    pair.peer.fault("crossing-runs-twice")

    outcome = cross(pair, timeout="30")

    assert (outcome.code, codes(outcome)) == (1, ["crossing-runs-twice"]), outcome.out + outcome.err
    assert {(each["stack"], each["peer"]) for each in outcome.findings} == {("dev", "dev-peer"), ("dev-peer", "dev")}
    for each in outcome.findings:
        assert "on dev it is Running" in each["message"]
        assert "on dev-peer it is Running" in each["message"]
    removed = [line.partition(":")[0] for line in outcome.err.splitlines() if "removing the test machine" in line]
    assert removed == ["dev-peer", "dev"]
    assert clean(pair)


def test_what_cannot_be_removed_is_named_with_the_command_that_does(
    pair: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(pair, "from mignet.operations import crossing; crossing.REMOVE_SECONDS = 2.0") as process:
        under_way(pair, process)
        pair.peer.fault("machine-stays")
        out, err = process.communicate(timeout=120)
    found = {each["code"]: each for each in yaml.safe_load(out)["findings"]}
    (machine,) = pair.peer.get(MACHINES)["items"]

    assert "crossing-left-behind" in found, out + err
    name = machine["metadata"]["name"]
    assert f"kubectl --context dev-peer -n {NAMESPACE} delete" in found["crossing-left-behind"]["remedy"]
    assert f"vm/{name}" in found["crossing-left-behind"]["remedy"]
    again(pair)


@contextlib.contextmanager
def started(pair: Operated, before: str = "pass", *, timeout: int = 60) -> Iterator[subprocess.Popen[str]]:
    """Begin a run in a process of its own, and end it at last."""
    code = f"import sys; {before}; from mignet.cli import main; sys.argv[0] = 'mignet'; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND, "--timeout", str(timeout)],
        cwd=pair.folder,
        env=os.environ | pair.lab.pulumi_environment() | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def moving(pair: Operated) -> bool:
    """Whether there is a migration on both sides."""
    return all(cluster.get(MIGRATIONS)["items"] for cluster in pair.clusters)


def under_way(pair: Operated, process: subprocess.Popen[str]) -> None:
    """Wait until the machine of a process is on its way: it verifies both stacks before, and starts the machine."""
    deadline = time.monotonic() + 4 * lab.PATIENCE
    while not moving(pair):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no migration on both sides"
        time.sleep(0.1)


def test_a_run_holds_its_stacks_and_leaves_nothing_when_it_is_stopped_with_ctrl_c(pair: Operated) -> None:
    pair.dev.fault("migration-hangs")
    with started(pair) as process:
        under_way(pair, process)
        outcome = cross(pair)
        assert (outcome.code, codes(outcome)) == (1, ["crossing-held"]), outcome.out + outcome.err
        assert moving(pair), "what the other run made is there"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 1, out + err
    (finding,) = yaml.safe_load(out)["findings"]
    assert finding["code"] == "cluster-stopped"
    assert "stopped by ctrl-c; the test machine is removed" in finding["message"]
    assert clean(pair)


def test_what_a_run_left_that_was_killed_is_removed_by_the_next_one(pair: Operated) -> None:
    pair.dev.fault("migration-hangs")
    with started(pair) as process:
        under_way(pair, process)
        process.kill()
    there = {each["metadata"]["name"] for cluster in pair.clusters for each in cluster.get(MACHINES)["items"]}
    assert len(there) == 1
    pair.dev.heal()

    outcome = cross(pair)

    assert (outcome.code, codes(outcome)) == (0, []), outcome.out + outcome.err
    told = [line for line in outcome.err.splitlines() if "left by a run that was killed" in line]
    assert sorted(line.partition(":")[0] for line in told) == ["dev", "dev-peer"]
    assert all(there.pop() in line for line in told[:1])
    assert clean(pair)


def test_what_the_api_refuses_is_told_and_nothing_is_left(pair: Operated) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/virtualmachines.kubevirt.io": "0"}}}
    quotas = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
    pair.peer.kube.call("POST", quotas, json=quota)
    live = pair.peer.get(f"{quotas}/none")
    hard = {"hard": quota["spec"]["hard"], "used": {"count/virtualmachines.kubevirt.io": "0"}}  # type: ignore[index]
    pair.peer.kube.call("PUT", f"{quotas}/none/status", json=live | {"status": hard})
    try:
        outcome = cross(pair)
    finally:
        pair.peer.kube.call("DELETE", f"{quotas}/none")

    assert (outcome.code, codes(outcome)) == (1, ["crossing-refused"]), outcome.out + outcome.err
    assert "exceeded quota" in outcome.out
    assert {each["stack"] for each in outcome.findings} == {"dev-peer"}
    assert clean(pair)


def test_a_machine_that_does_not_start_is_told(pair: Operated) -> None:
    pair.dev.fault("machine-idle")

    outcome = cross(pair, timeout="3")

    assert (outcome.code, codes(outcome)) == (1, ["crossing-not-started"]), outcome.out + outcome.err
    assert "not Running" in outcome.findings[0]["message"]
    assert clean(pair)


def with_rights(pair: Operated, documents: list[dict[str, Any]], name: str) -> None:
    """Have the stack dev use a ServiceAccount with these roles."""
    kube = pair.dev.kube
    if kube.call("GET", "/api/v1/namespaces/default") is None:
        kube.call("POST", "/api/v1/namespaces", json={"metadata": {"name": "default"}})
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    kube.call("POST", accounts, json={"metadata": {"name": name}})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    for manifest in documents:
        namespace, kind = manifest["metadata"].get("namespace"), manifest["kind"]
        where = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
        metadata = manifest["metadata"] | {"name": name}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        kube.call("POST", f"{where}/{kind.lower()}s", json=manifest | {"metadata": metadata})
        binding = {"apiVersion": manifest["apiVersion"], "kind": f"{kind}Binding", "metadata": metadata}
        path = f"{where}/{kind.lower()}bindings"
        kube.call("POST", path, json=binding | {"roleRef": reference, "subjects": [subject]})
    path = pair.folder / "kubeconfig"
    path.write_text(kubeconfig_of(f"{accounts}/{name}", pair.lab, kube))
    pair.change("dev", cluster={"context": "dev", "kubeconfig": str(path)})


def roles(name: str) -> list[dict[str, Any]]:
    text = (ROOT / f"docs/roles/{name}.yaml").read_text().replace("migration-network-prod-1", "migration-network-dev")
    return list(yaml.safe_load_all(text))


def test_rights_that_are_missing_are_named_and_its_role_is_enough(pair: Operated) -> None:
    with_rights(pair, roles("observe"), "observing")

    outcome = cross(pair)

    assert (outcome.code, codes(outcome)) == (1, ["crossing-right-missing"]), outcome.out + outcome.err
    (finding,) = outcome.findings
    assert finding["stack"] == "dev"
    assert "create, delete, list virtualmachines.kubevirt.io" in finding["message"]
    assert "mignet export role crossing dev" in finding["remedy"]
    assert clean(pair)
    with_rights(pair, roles("crossing"), "crossing")
    granted = again(pair)
    assert "not judged" not in granted.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "dev", "--to", "dev-peer"], "--to is where --migrate moves a test machine"),
        (["verify", "dev", "--migrate"], "takes NAMESPACE/NAME, or --to STACK"),
        (["verify", "dev", "--migrate", "a/b", "--to", "dev-peer"], "--migrate a/b and --to exclude each other"),
        (["verify", "dev", "--vm", "a/b", "--to", "dev-peer"], "--vm and --to exclude each other"),
        (["verify", "dev", "--migrate", "--to", "dev"], "--to dev is the stack itself"),
        (["verify", "dev", "--migrate", "--to", "nobody"], "--to nobody has no stack file"),
        (["verify", "--all", "--migrate", "--to", "dev-peer"], "is about the way from one cluster to another"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(pair: Operated, arguments: list[str], words: str) -> None:
    outcome = pair.run(*arguments, "-o", "json")

    assert outcome.code == 2
    assert words in outcome.err
    assert codes(outcome) == ["usage"]


def test_every_code_of_it_is_demanded_by_a_test() -> None:
    text = Path(__file__).read_text()

    assert [code for code in crossing.CODES if f'"{code}"' not in text] == []
