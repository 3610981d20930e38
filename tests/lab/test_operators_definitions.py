"""What others' operators are given, on a real API server with the definitions that they install themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest
import yaml
from operated import Operated, until
from operators_definitions import definition
from support import ROOT

from mignet.exports.monitoring import manifests

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FILES = (
    "application-crd.yaml",
    "applicationset-crd.yaml",
    "monitoring.coreos.com_prometheusrules.yaml",
    "monitoring.coreos.com_servicemonitors.yaml",
)
PARTS: tuple[manifests.Part, ...] = ("rules", "cluster-rules", "dashboard", "watch", "cronjob")
NAMESPACES = ("migration-network", "argocd")
UNKNOWN = {"AlertingRule"}
"""Of OpenShift's own monitoring, whose definition no registry has."""


@pytest.fixture(scope="module")
def definitions() -> dict[str, dict[str, Any]]:
    found = map(definition, FILES)
    return {each["metadata"]["name"]: each for each in found}


@pytest.fixture
def served(operated: Operated, definitions: dict[str, dict[str, Any]]) -> Iterator[Operated]:
    """The lab with these definitions on its first cluster."""
    kube = operated.dev.kube
    for each in definitions.values():
        kube.call("POST", CRDS, json=each)
    for name, each in definitions.items():
        plural, _, group = name.partition(".")
        version = each["spec"]["versions"][0]["name"]
        until(partial(kube.call, "GET", f"/apis/{group}/{version}/{plural}"))
    for name in NAMESPACES:
        if kube.call("GET", f"/api/v1/namespaces/{name}") is None:
            kube.call("POST", "/api/v1/namespaces", json={"metadata": {"name": name}})
    yield operated
    for name in definitions:
        kube.call("DELETE", f"{CRDS}/{name}")


def tried(of: Operated, manifest: dict[str, Any]) -> httpx2.Response:
    """Apply as `kubectl apply --server-side --dry-run=server --validate=strict` does."""
    version, metadata = manifest["apiVersion"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = of.dev.get(root)["resources"]
    (found,) = (each for each in resources if each["kind"] == manifest["kind"] and "/" not in each["name"])
    space = f"/namespaces/{metadata['namespace']}" if found["namespaced"] else ""
    headers = {"content-type": "application/apply-patch+yaml"}
    params = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict", "dryRun": "All"}
    path = f"{root}{space}/{found['name']}/{metadata['name']}"
    return of.dev.kube.http.patch(path, content=json.dumps(manifest), headers=headers, params=params)


def shown(file: str) -> dict[str, Any]:
    """Return what the guide shows as this file."""
    guide = (ROOT / "docs/how-to/gitops-with-render.md").read_text()
    (text,) = re.findall(rf"^<!-- run: as {file} -->\n```yaml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_every_exported_and_shown_object_is_taken_whole(served: Operated) -> None:
    wanted = [
        manifests.Wanted(stacks=stacks, runbooks="https://git.example/runbooks.md", openshift=openshift)
        for openshift in (True, False)
        for stacks in ((), ("dev",))
    ]
    made = [each for one in wanted for each in manifests.objects(PARTS, one) if each["kind"] not in UNKNOWN]
    made += [shown("application.yaml"), shown("applicationset.yaml")]
    assert {each["kind"] for each in made} >= {"PrometheusRule", "ServiceMonitor", "Application", "ApplicationSet"}
    for each in made:
        answer = tried(served, each)
        assert answer.is_success, (each["kind"], answer.text)
        if "spec" in each and each["apiVersion"].startswith(("monitoring.", "argoproj.")):
            # What a definition does not know would be gone.
            assert contains(answer.json()["spec"], each["spec"]), each["kind"]
    # The definitions are those that judge: one level below what is declared, a field too many is refused.
    changed = shown("applicationset.yaml")
    changed["spec"]["strategy"]["rollingSync"]["waves"] = 2
    assert "field not declared in schema" in tried(served, changed).text
    (rules, *_) = (each for each in made if each["kind"] == "PrometheusRule")
    rules["spec"]["groups"][0]["rules"][0]["severity"] = "high"
    assert "field not declared in schema" in tried(served, rules).text


def contains(found: Any, given: Any) -> bool:
    """Tell whether all that was given is there; what is defaulted may be more."""
    if isinstance(given, dict):
        return isinstance(found, dict) and all(key in found and contains(found[key], given[key]) for key in given)
    if isinstance(given, list):
        return len(found) == len(given) and all(map(contains, found, given))
    return bool(found == given)
