"""What `oc adm must-gather` and `oc adm inspect` write of a cluster, looked at as the cluster itself."""

from __future__ import annotations

import json
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import operated as lab
import pytest
import yaml
from operated import NAMESPACE, PODS, STATUS, Operated

CORE = {"pods", "events", "configmaps"}
"""What `oc adm inspect` writes as lists, a namespace in one file."""
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def written(cluster: lab.Cluster, folder: Path, *, namespaces: set[str] | None = None) -> Path:
    """Write what a cluster holds as `oc adm inspect` does; of core kinds only what is in these namespaces."""
    for (collection, name), item in lab.state(cluster.kube).items():
        group = collection.split("/")[2] if collection.startswith("/apis/") else "core"
        plural, namespace = collection.rpartition("/")[2], item["metadata"].get("namespace")
        if namespace is None:
            put(folder / "cluster-scoped-resources" / group / plural / f"{name}.yaml", item)
        elif plural not in CORE:
            put(folder / "namespaces" / namespace / group / plural / f"{name}.yaml", item)
        elif namespaces is None or namespace in namespaces:
            path = folder / "namespaces" / namespace / group / f"{plural}.yaml"
            listed = yaml.safe_load(path.read_text()) if path.exists() else {"apiVersion": "v1", "items": []}
            listed["kind"] = f"{item['kind']}List"
            put(
                path,
                listed
                | {"items": [*listed["items"], {k: v for k, v in item.items() if k not in {"apiVersion", "kind"}}]},
            )
    for item in cluster.get(DEFINITIONS)["items"]:
        whole = item | {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        name = item["metadata"]["name"]
        put(folder / "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions" / f"{name}.yaml", whole)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.000000000 +0000 UTC")
    (folder / "timestamp").write_text(f"{stamp}\n{stamp}\n")
    return folder


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n" + yaml.safe_dump(content))


def findings(operated: Operated, verb: str, *more: str) -> set[tuple[str, str]]:
    outcome = operated.run(verb, "dev", "-o", "json", *more)
    assert outcome.out, outcome.err
    return {(each["code"], each["severity"]) for each in outcome.findings}


VERBS = {
    "preflight": (),
    "verify": ("--no-peers", "--timeout", "0"),
    "drift": ("--engine", "direct"),
    "limits": (),
}


def test_a_folder_is_looked_at_as_the_cluster_it_is_of(operated: Operated, tmp_path: Path) -> None:
    operated.up("dev")
    lab.until(lambda: operated.run("verify", "dev", "--no-peers", "--timeout", "0").code == 0)
    # A pod without its address, and a limit that somebody edited.
    pod = operated.dev.pods()[0]
    statuses = [
        each for each in json.loads(pod["metadata"]["annotations"][STATUS]) if each["interface"] != "migration0"
    ]
    patch = {"metadata": {"annotations": {STATUS: json.dumps(statuses)}}}
    operated.dev.merge(f"{PODS}/{pod['metadata']['name']}", patch)
    operated.dev.kube.merge(lab.HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 99}}}, "kubectl-edit")

    # Of a kind of which there is nothing, nothing is written, and nobody knows that there is none.
    policy: dict[str, Any] = {
        "apiVersion": "migrations.kubevirt.io/v1alpha1",
        "kind": "MigrationPolicy",
        "metadata": {"name": "other"},
    }
    policy["spec"] = {"selectors": {"namespaceSelector": {"of": "nobody"}}, "allowAutoConverge": True}
    operated.dev.kube.call("POST", "/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies", json=policy)

    # An image of must-gather has a folder of its own.
    top = tmp_path / "must-gather.local.1"
    folder = written(operated.dev, top / "quay-io-openshift-origin-must-gather-sha256-ab")
    (folder / "timestamp").rename(top / "timestamp")
    live = {verb: findings(operated, verb, *more) for verb, more in VERBS.items()}
    assert live["verify"]
    assert ("field-changed", "error") in live["drift"]
    for verb, more in VERBS.items():
        kept = operated.run(verb, "dev", "-o", "json", *more, "--from", str(top))
        found = {(each["code"], each["severity"]) for each in kept.findings}
        # Rights and dry runs are not in there: nothing of them is said, and it is counted.
        assert found == live[verb] - {("limit-taken", "info")}, (verb, kept.out)
        assert (verb == "preflight") is ("limit-taken" in kept.out)
        assert "looking at" in kept.err
    whole = operated.run("diagnose", "dev", "-o", "json", "--from", str(top), "--no-peers")
    assert {"field-changed"} <= {each["finding"]["code"] for each in whole.document["causes"]}

    # So it goes to support.
    packed = tmp_path / "must-gather.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(top, top.name)
    assert findings(operated, "drift", "--from", str(packed)) == live["drift"]

    # What is not in there is not judged, is counted, and is no failure.
    operated.dev.kube.merge(lab.HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 150}}}, "kubectl-edit")
    for gone in (f"namespaces/{NAMESPACE}/core/pods.yaml", f"namespaces/{NAMESPACE}/hco.kubevirt.io"):
        path = folder / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for verb, more in VERBS.items():
        kept = operated.run(verb, "dev", *more, "--from", str(top))
        assert kept.code == 0, (verb, kept.out + kept.err)
        assert "not judged" in kept.out + kept.err
    counted = operated.run("verify", "dev", "-o", "json", "--no-peers", "--timeout", "0", "--from", str(top))
    assert counted.document["notJudged"]["dev"] > 20
    assert not counted.findings

    # A folder of another cluster is refused where the stack says which is its own.
    operated.change("dev", cluster=cluster_with(operated, uid="0" * 8 + "-0000-0000-0000-" + "0" * 12))
    put(folder / "namespaces/kube-system/kube-system.yaml", kube_system(operated))
    other = operated.run("verify", "dev", "--no-peers", "--timeout", "0", "--from", str(top))
    assert other.code == 2, other.out + other.err
    assert "is of another cluster" in other.out


def test_two_folders_are_looked_at_as_two_clusters(operated: Operated, tmp_path: Path) -> None:
    operated.up()
    lab.until(lambda: operated.run("verify", "--all", "--no-peers", "--timeout", "0").code == 0)
    # Of two images, one had gathered before somebody edited a limit, and comes last by its name.
    top = tmp_path / "Case 0123 of a customer"
    written(operated.dev, top / "must-gather.local.17" / "quay-io-kubevirt-must-gather-sha256-0b")
    operated.dev.kube.merge(lab.HCO, {"spec": {"liveMigrationConfig": {"progressTimeout": 99}}}, "kubectl-edit")
    lab.until(lambda: "peer-limits-differ" in operated.run("peers").out)
    written(operated.dev, top / "must-gather.local.17" / "quay-io-kubevirt-must-gather-sha256-0a")
    folder = written(operated.peer, tmp_path / "inspect.local.18")
    packed = tmp_path / "inspect.tar.xz"
    with tarfile.open(packed, "w:xz") as tar:
        tar.add(folder, folder.name)
    both = ("--from", f"dev={top}", "--from", f"dev-peer={packed}")

    # Nobody knows whether there are Forklift controllers, which a path depends on; all else is told.
    peers = operated.run("peers", "-o", "json", *both)
    assert peers.code == 0, peers.out
    assert {each["code"] for each in peers.findings} == {"peer-limits-differ"}
    assert {each["code"] for each in peers.document["paths"]} == {"peer-not-judged"}
    assert "inspect.tar.xz does not hold forkliftcontrollers" in operated.run("peers", *both).out
    # Between two, of what is in no rule about one of them.
    assert (
        "not judged: peer-policy-cuts, as Case 0123 of a customer does not hold multi"
        in operated.run("peers", *both).out
    )
    for of in (top / "must-gather.local.17" / "quay-io-kubevirt-must-gather-sha256-0a", folder):
        nothing = {"apiVersion": "v1", "kind": "List", "items": []}
        put(of / "namespaces/openshift-mtv/forklift.konveyor.io/forkliftcontrollers.yaml", nothing)
        put(of / f"namespaces/{NAMESPACE}/k8s.cni.cncf.io/multi-networkpolicies.yaml", nothing)
    peers = operated.run("peers", "-o", "json", "--from", f"dev={top}", "--from", f"dev-peer={folder}")
    assert peers.document["ready"] == operated.run("peers", "-o", "json").document["ready"] == 2

    report = operated.run("report", "-o", "json", *both)
    assert report.code == 0, report.err
    assert report.document["stacks"] == ["dev", "dev-peer"]
    assert "declared-differs" in {each["code"] for each in report.findings}
    assert min(report.document["notJudged"].values()) > 5
    page = tmp_path / "page.html"
    done = operated.run("report", "--page", str(page), *both)
    assert (done.code, done.out) == (0, f"wrote {page}: 1 error on 1 cluster: migrations fail, or will\n")
    assert "not judged" in page.read_text()

    # The edit is told from a folder as from a cluster, and explains the same.
    live, kept = (operated.run("diagnose", "dev", "-o", "json", *more) for more in ((), both))
    assert live.code == kept.code == 1
    first, second = (each.document["causes"][0]["finding"] for each in (live, kept))
    assert first == second
    assert first["code"] == "field-changed"
    assert kept.document["notJudged"]["dev"] > 10

    # With what the cause is read from cut off, nothing is blamed.
    for cut in top.rglob("hyperconvergeds/*.yaml"):
        cut.write_bytes(cut.read_bytes()[:200])
    kept = operated.run("diagnose", "dev", *both)
    assert kept.code == 0, kept.out
    assert "kubevirt-hyperconverged.yaml of Case 0123 of a customer cannot be read: it is cut off" in kept.out


def cluster_with(operated: Operated, **more: str) -> dict[str, Any]:
    content = yaml.safe_load((operated.folder / "Pulumi.dev.yaml").read_text())
    cluster: dict[str, Any] = content["config"]["migration-network:cluster"]
    return cluster | more


def kube_system(operated: Operated) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace"} | operated.dev.get("/api/v1/namespaces/kube-system")


REFUSED = {
    "of no stack": (["--from", "nowhere=."], "has no stack file"),
    "of two stacks": (["--from", ".", "dev-peer"], "is of one cluster, and several are meant"),
    "no such folder": (["--from", "not-there"], "cannot be read: No such file or directory"),
    "another folder": (["--from", "."], "is no folder of oc adm must-gather or oc adm inspect"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_looked_at_is_one_line(operated: Operated, arguments: list[str], said: str) -> None:
    outcome = operated.run("verify", "dev", *arguments)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert said in line
