"""The door to a cluster, against a server that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Answer, serving, status

from config.cluster import Cluster as ClusterConfig
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import NAMESPACE

OBJECT: Answer = (200, {"content-type": "application/json"}, json.dumps({"metadata": {"name": "x"}}))


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Callable[..., ClusterConfig]]:
    """Start a server that gives these answers, one after the other, and the kubeconfig that leads to it."""
    with serving(tmp_path) as start:
        yield start


def read(config: ClusterConfig) -> Any:
    async def one() -> Any:
        async with Cluster(config, base=Path("/")) as cluster:
            return await cluster.get(NAMESPACE, "x")

    return asyncio.run(one())


def test_a_busy_server_is_asked_again_as_late_as_it_says(kubeconfig: Callable[..., ClusterConfig]) -> None:
    assert read(kubeconfig(status(429, "storage is (re)initializing", retryAfterSeconds=1), OBJECT)) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "x"},
    }


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (status(403, "no"), "forbidden", "refused to read Namespace x: no; ask the cluster's administrator"),
        (status(401, "Unauthorized"), "unauthorized", "refused to read Namespace x: Unauthorized; log in again"),
        (status(500, "broken"), "refused", "refused to read Namespace x: broken"),
        ((404, {"content-type": "text/plain"}, "404 page not found"), "not-served", "does not serve Namespace (v1)"),
        ((502, {"content-type": "text/html"}, "<html>"), "refused", "answered 502 to: read Namespace x"),
        ((502, {}, ""), "refused", "answered 502 to: read Namespace x"),
        ((200, {"content-type": "text/html"}, "<html>"), "refused", "that is not JSON to: read Namespace x"),
    ],
)
def test_a_refusal_is_one_sentence_with_its_reason(
    kubeconfig: Callable[..., ClusterConfig], answer: Answer, reason: str, text: str
) -> None:
    with pytest.raises(ClusterError) as caught:
        read(kubeconfig(answer))
    assert caught.value.reason == reason
    assert text in str(caught.value)


def test_an_object_that_is_not_there_is_none(kubeconfig: Callable[..., ClusterConfig]) -> None:
    assert read(kubeconfig(status(404, "namespaces x not found"))) is None


@pytest.mark.parametrize("version", ["v1beta1", "v1"])
def test_a_credential_plugin_of_either_api_version_is_asked(
    kubeconfig: Callable[..., ClusterConfig], version: str
) -> None:
    credential = json.dumps({"status": {"token": "t"}})
    plugin = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": "echo", "args": [credential]}
    plugin["interactiveMode"] = "Never"
    assert read(kubeconfig(OBJECT, user={"exec": plugin}))


def test_a_credential_plugin_that_is_not_there_is_one_sentence(kubeconfig: Callable[..., ClusterConfig]) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never"}
    with pytest.raises(ClusterError, match="the credential plugin no-such-plugin failed: No such file or directory"):
        read(kubeconfig(OBJECT, user={"exec": plugin}))
