"""The ready-made schedules: they parse by the real schemas, and run with rights to read and none to write."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import BIN, ROOT, Kube, Site, Workspace, document

from config.files.project_files import Project
from config.loading import load_stack
from mignet.operations import roles

EXAMPLES = ROOT / "docs" / "examples"
HOME = "migration-network"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLACES = {
    "Namespace": ("/api/v1", "namespaces", False),
    "ServiceAccount": ("/api/v1", "serviceaccounts", True),
    "ConfigMap": ("/api/v1", "configmaps", True),
    "Role": (RBAC, "roles", True),
    "RoleBinding": (RBAC, "rolebindings", True),
    "ClusterRole": (RBAC, "clusterroles", False),
    "ClusterRoleBinding": (RBAC, "clusterrolebindings", False),
    "CronJob": ("/apis/batch/v1", "cronjobs", True),
}


def path_of(manifest: dict[str, Any]) -> str:
    group, plural, namespaced = PLACES[manifest["kind"]]
    metadata = manifest["metadata"]
    where = f"/namespaces/{metadata['namespace']}" if namespaced else ""
    return f"{group}{where}/{plural}/{metadata['name']}"


def apply(kube: Kube, manifest: dict[str, Any]) -> dict[str, Any]:
    """Apply as `kubectl apply --server-side --validate=strict` does."""
    headers = {"content-type": "application/apply-patch+yaml"}
    params = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
    applied: dict[str, Any] = kube.call(
        "PATCH", path_of(manifest), content=json.dumps(manifest), headers=headers, params=params
    )
    return applied


@dataclass
class Scheduled:
    """The CronJob as it is applied for one stack, and its command run with what its pod would have."""

    workspace: Workspace
    manifests: list[dict[str, Any]]
    environment: dict[str, str]

    @property
    def pod(self) -> dict[str, Any]:
        (job,) = (each for each in self.manifests if each["kind"] == "CronJob")
        template: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]
        return template

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        (container,) = self.pod["spec"]["containers"]
        assert container["env"][0] == {"name": "KUBECONFIG", "value": "/etc/migration-network/kubeconfig"}
        command = [*container["command"], *more]
        folder = self.workspace.folder
        return subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture
def scheduled(workspace: Workspace, tmp_path: Path) -> Iterator[Scheduled]:
    """The example for one stack that has been applied; only paths, the server and the stack's names are other."""
    site, kube = workspace.site, workspace.site.kube
    outcome = workspace.mignet("up", "direct", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err
    text = (EXAMPLES / "drift-cronjob.yaml").read_text()
    manifests = list(
        yaml.safe_load_all(text.replace("prod-1", workspace.stack).replace("openshift-cnv", site.namespace))
    )
    project = Project.find(workspace.folder)
    stack = load_stack(workspace.stack, project.stack_values(workspace.stack))
    granted = roles.manifests("observe", roles.granted("observe", stack))
    granted = [each for each in granted if each["metadata"].get("namespace") in {None, site.namespace}]
    for manifest in (*manifests, *granted):
        apply(kube, manifest)
    (account,) = (each for each in manifests if each["kind"] == "ServiceAccount")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    issued = kube.call("POST", f"{path_of(account)}/token", json=request)
    mounted = tmp_path / "serviceaccount"
    mounted.mkdir()
    (mounted / "token").write_text(issued["status"]["token"])
    admin = json.loads(site.kubeconfig.read_text())
    (cluster,) = (each["cluster"] for each in admin["clusters"] if each["name"] == site.context)
    (mounted / "ca.crt").write_bytes(_decoded(cluster["certificate-authority-data"]))
    (config,) = (each for each in manifests if each["kind"] == "ConfigMap")
    kubeconfig = config["data"]["kubeconfig"].replace("/var/run/secrets/kubernetes.io/serviceaccount", str(mounted))
    (tmp_path / "kubeconfig").write_text(kubeconfig.replace("https://kubernetes.default.svc", cluster["server"]))
    workspace.config["cluster"] |= {"context": workspace.stack}
    del workspace.config["cluster"]["kubeconfig"]
    workspace.write()
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}
    yield Scheduled(workspace, manifests, environment)
    for manifest in (*manifests, *granted):
        if manifest["kind"] != "Namespace":
            kube.call("DELETE", path_of(manifest))


def _decoded(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


def allowed(scheduled: Scheduled) -> None:
    """Wait until the API server has heard of the bindings."""
    deadline = time.monotonic() + 30
    while "forbidden" in (seen := scheduled.run()).stdout + seen.stderr:
        assert time.monotonic() < deadline, seen.stdout + seen.stderr
        time.sleep(0.1)


def changed(site: Site) -> None:
    patch = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}
    site.kube.merge(site.hyperconverged, patch, "kubectl-edit")


def test_the_cron_job_sees_drift_with_the_accounts_own_token_and_no_right_to_write(scheduled: Scheduled) -> None:
    site = scheduled.workspace.site
    allowed(scheduled)
    quiet = scheduled.run()
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    assert "no drift" in quiet.stdout
    assert "not judged" not in quiet.stdout, "the role suffices for every rule"
    changed(site)
    held = site.content()
    drift = scheduled.run()
    assert drift.returncode == 7, drift.stdout + drift.stderr
    assert "completionTimeoutPerGiB: 99 → 800   set by kubectl-edit (Update) at 2" in drift.stdout
    refused = scheduled.run("--fix", "--yes")
    assert refused.returncode == 1
    assert "forbidden" in refused.stdout
    assert site.content() == held
    token = (Path(scheduled.environment["HOME"]) / "serviceaccount" / "token").read_text()
    for outcome in (quiet, drift, refused):
        assert token not in outcome.stdout + outcome.stderr


def test_the_cron_jobs_project_is_whole_with_the_files_that_a_config_map_holds(scheduled: Scheduled) -> None:
    """`kubectl create configmap --from-file=.` takes a folder's files, and the kubelet makes links of them."""
    allowed(scheduled)
    folder = scheduled.workspace.folder
    data = folder / "..data"
    data.mkdir()
    for file in [each for each in folder.iterdir() if each.is_file()]:
        file.rename(data / file.name)
        file.symlink_to(Path("..data") / file.name)
    (folder / ".venv").unlink()
    quiet = scheduled.run()
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr


def test_the_cron_jobs_pod_is_taken_where_only_restricted_ones_are(scheduled: Scheduled) -> None:
    kube = scheduled.workspace.site.kube
    pods = f"/api/v1/namespaces/{HOME}/pods"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "drift"}, "spec": scheduled.pod["spec"]}
    params = {"dryRun": "All", "fieldValidation": "Strict"}
    kube.call("POST", pods, json=pod, params=params)
    loose = copy.deepcopy(pod)
    del loose["spec"]["securityContext"]["runAsNonRoot"]
    refused = kube.http.post(pods, json=loose, params=params)
    assert (refused.status_code, "restricted" in refused.text) == (403, True), "the namespace holds pods to it"


def taken(site: Site) -> None:
    changed(site)
    site.kube.merge(
        site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 800}}}, "kubectl-edit"
    )


def edited(site: Site) -> None:
    live = json.loads(site.live()["attachments"]["migration"]["spec"]["config"])
    patch = {"spec": {"config": json.dumps(live | {"mtu": 1500})}}
    site.kube.merge(f"{site.attachments}/migration", patch, "kubectl-edit")


def gone(site: Site) -> None:
    site.kube.call("DELETE", f"{site.attachments}/migration")


def untouched(site: Site) -> None:
    pass


@pytest.mark.parametrize("trap", [untouched, changed, taken, edited, gone])
def test_who_may_only_read_sees_the_same_as_a_dry_run(scheduled: Scheduled, trap: Callable[[Site], None]) -> None:
    workspace = scheduled.workspace
    allowed(scheduled)
    trap(workspace.site)
    read = document(scheduled.run("--json").stdout)
    workspace.config["cluster"] |= {"context": workspace.site.context, "kubeconfig": str(workspace.site.kubeconfig)}
    workspace.write()
    assert read == workspace.mignet("drift", "direct").document


def workflow() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / "drift-workflow.yaml").read_text())
    return content


def test_the_workflow_is_valid_by_the_published_schema() -> None:
    path = EXAMPLES / "drift-workflow.yaml"
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout
    # YAML 1.1 reads `on` as true.
    assert workflow()[True]["schedule"] == [{"cron": "23 5 * * *"}]


@pytest.mark.parametrize(("trap", "code"), [(untouched, 0), (changed, 7)])
def test_the_workflows_steps_run_and_drift_fails_the_job(
    workspace: Workspace, tmp_path: Path, trap: Callable[[Site], None], code: int
) -> None:
    assert workspace.mignet("up", "direct", "--skip-preflight").code == 0
    del workspace.config["cluster"]["kubeconfig"]
    workspace.write()
    trap(workspace.site)
    files = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RUNNER_TEMP": str(tmp_path)}
    environment |= {name: str(path) for name, path in files.items()}
    environment["CONTENT"] = workspace.site.kubeconfig.read_text()
    steps = {step["name"]: step["run"] for step in workflow()["jobs"]["drift"]["steps"] if "run" in step}
    assert steps.pop("Install").endswith("pip install --quiet --requirement requirements.txt\n")

    def run(name: str) -> subprocess.CompletedProcess[str]:
        # As GitHub runs a step without a shell of its own.
        command = ["bash", "-e", "-c", steps.pop(name)]
        folder = workspace.folder
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    assert run("Log in").returncode == 0
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0
    environment |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
    assert run("Look").returncode == code
    results = json.loads((workspace.folder / "drift.sarif").read_text())["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == (["field-changed"] if code else [])
    marked = run("Mark the stack files, and write the summary")
    assert marked.returncode == 0
    assert (f"::error file=Pulumi.{workspace.stack}.yaml" in marked.stdout) == bool(code)
    assert ("field-changed" in files["GITHUB_STEP_SUMMARY"].read_text()) == bool(code)
    assert not steps, "every step has run"
