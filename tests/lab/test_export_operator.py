"""What the Pulumi Kubernetes Operator is given, on a real API server with the operator's own definition of Stack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from operated import Operated, until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLACES = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Stack": "/apis/pulumi.com/v1/namespaces/{namespace}/stacks",
    "Program": "/apis/pulumi.com/v1/namespaces/{namespace}/programs",
}
EXPORT = (
    "export",
    "operator",
    "--all",
    "--kubeconfig-secret",
    "fleet:config",
)


@pytest.fixture
def served(operated: Operated) -> Iterator[Operated]:
    """The lab with the definition of Stack on its first cluster."""
    path = os.environ.get("MIGNET_STACK_CRD")
    if not path:
        pytest.skip("MIGNET_STACK_CRD names no file with the definition of Stack (pulumi-kubernetes-operator 2)")
    # Beside each other in the operator's repository (deploy/crds).
    files = (Path(path), Path(path).with_name("pulumi.com_programs.yaml"))
    definitions = [yaml.safe_load(each.read_text()) for each in files]
    kube = operated.dev.kube
    for definition in definitions:
        kube.call("POST", CRDS, json=definition)
    for plural in ("stacks", "programs"):
        until(lambda plural=plural: kube.call("GET", f"/apis/pulumi.com/v1/{plural}") is not None)
    for stack in ("dev", "dev-peer"):
        content = yaml.safe_load((operated.folder / f"Pulumi.{stack}.yaml").read_text())
        cluster = content["config"]["migration-network:cluster"]
        operated.change(stack, cluster={key: value for key, value in cluster.items() if key != "kubeconfig"})
    if kube.call("GET", "/api/v1/namespaces/migration-network") is None:
        kube.call("POST", "/api/v1/namespaces", json={"metadata": {"name": "migration-network"}})
    yield operated
    for definition in definitions:
        kube.call("DELETE", f"{CRDS}/{definition['metadata']['name']}")


def applied(of: Operated, manifest: dict[str, Any]) -> httpx2.Response:
    """Apply as `kubectl apply --server-side --validate=strict` does."""
    metadata = manifest["metadata"]
    path = PLACES[manifest["kind"]].format(namespace=metadata.get("namespace"))
    headers = {"content-type": "application/apply-patch+yaml"}
    params = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
    body = json.dumps(manifest)
    return of.dev.kube.http.patch(f"{path}/{metadata['name']}", content=body, headers=headers, params=params)


REPOSITORY = ("--repo", "https://git.example/fleet.git")


@pytest.mark.parametrize(
    "more",
    [
        REPOSITORY,
        (
            *REPOSITORY,
            "--detect-only",
            "--image",
            "mirror/pulumi:3",
            "--backend",
            "s3://state/fleet",
            "--dir",
            "network",
        ),
        (*REPOSITORY, "--secret", "PULUMI_CONFIG_PASSPHRASE=fleet:passphrase", "--every", "300", "--branch", "live"),
        ("--flux-source", "OCIRepository/fleet", "--dir", "network", "--environment", "fleet/prod"),
        ("--component", "https://git.example/component@v1.0.0", "--secrets-provider", "awskms://alias/fleet"),
    ],
    ids=["plain", "detecting", "with secrets", "of Flux", "of the component"],
)
def test_every_object_is_taken_whole_by_the_operators_own_definition(served: Operated, more: tuple[str, ...]) -> None:
    project = yaml.safe_load((served.folder / "Pulumi.yaml").read_text())
    project["config"]["waves"] = {"type": "array", "default": [["dev"], ["dev-peer"]]}
    (served.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    outcome = served.run(*EXPORT, *more)
    assert outcome.code == 0, outcome.err
    manifests = list(yaml.safe_load_all(outcome.out))
    kinds = ["Program", "Stack"] if "--component" in more else ["Stack"]
    assert [each["kind"] for each in manifests] == ["ServiceAccount", "ClusterRoleBinding", *kinds, *kinds]
    for manifest in manifests:
        answer = applied(served, manifest)
        assert answer.is_success, answer.text
        for section in {"spec", "program"} & manifest.keys():
            assert answer.json()[section] == manifest[section]
    assert [each["name"] for each in manifests[-1]["spec"]["prerequisites"]] == ["dev"]


def test_the_definition_refuses_what_it_does_not_know(served: Operated) -> None:
    (*_, manifest) = yaml.safe_load_all(served.run(*EXPORT, *REPOSITORY).out)
    manifest["spec"]["driftSchedule"] = "daily"
    answer = applied(served, manifest)
    assert ".spec.driftSchedule: field not declared in schema" in answer.json()["message"]
