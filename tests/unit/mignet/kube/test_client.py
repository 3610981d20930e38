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
from mignet.kube.kinds import INSTANCE, NAMESPACE, NODE, NODE_NETWORK_STATE, Kind

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


def listed(config: ClusterConfig, kind: Kind) -> list[dict[str, Any]]:
    async def all_() -> list[dict[str, Any]]:
        async with Cluster(config, base=Path("/")) as cluster:
            return await cluster.list(kind)

    return asyncio.run(all_())


def page(*items: dict[str, Any], more: str = "") -> Answer:
    content = {"metadata": {"continue": more} if more else {}, "items": list(items)}
    return 200, {"content-type": "application/json"}, json.dumps(content)


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}} | more


def test_a_list_is_read_page_by_page(kubeconfig: Callable[..., ClusterConfig]) -> None:
    config = kubeconfig(page(named("a"), more="next"), page(named("b"), named("c")))
    assert [each["metadata"]["name"] for each in listed(config, NAMESPACE)] == ["a", "b", "c"]


def test_a_list_whose_next_page_has_expired_is_read_from_its_beginning(
    kubeconfig: Callable[..., ClusterConfig],
) -> None:
    expired = status(410, "The provided continue parameter is too old")
    config = kubeconfig(page(named("a"), more="next"), expired, page(named("a"), more="next"), page(named("b")))
    assert [each["metadata"]["name"] for each in listed(config, NAMESPACE)] == ["a", "b"]
    with pytest.raises(ClusterError, match="refused to list Namespace: The provided continue parameter is too old"):
        listed(kubeconfig(*[page(named("a"), more="next"), expired] * 3), NAMESPACE)


@pytest.mark.parametrize(
    ("kind", "live", "kept"),
    [
        (
            NODE,
            {
                "metadata": {"name": "n", "labels": {"a": "b"}, "managedFields": [{}]},
                "status": {"images": [{"names": ["i"]}], "addresses": [{"address": "192.0.2.1"}]},
            },
            {
                "metadata": {"name": "n", "labels": {"a": "b"}},
                "status": {"addresses": [{"address": "192.0.2.1"}]},
            },
        ),
        (
            NODE_NETWORK_STATE,
            {
                "metadata": {"name": "n"},
                "status": {
                    "currentState": {
                        "dns-resolver": {},
                        "interfaces": [{"name": "eth1", "mtu": 9000, "ethtool": {"feature": {}}, "lldp": {}}, {}],
                        "routes": {"running": [{"destination": "0.0.0.0/0", "metric": 1}], "config": []},
                    }
                },
            },
            {
                "metadata": {"name": "n"},
                "status": {
                    "currentState": {
                        "interfaces": [{"name": "eth1", "mtu": 9000}, {}],
                        "routes": {"running": [{"destination": "0.0.0.0/0"}]},
                    }
                },
            },
        ),
        (
            INSTANCE,
            {
                "metadata": {"name": "v", "namespace": "shop", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"domain": {"devices": {}, "firmware": {"uuid": "f"}}, "networks": []},
            },
            {
                "metadata": {"name": "v", "namespace": "shop", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"domain": {"firmware": {"uuid": "f"}}, "networks": []},
            },
        ),
        # What is of another form than the API promises goes to the rules as it is.
        (
            NODE_NETWORK_STATE,
            {"metadata": {"name": "n"}, "status": {"currentState": {"interfaces": "none", "routes": None}}},
            {"metadata": {"name": "n"}, "status": {"currentState": {"interfaces": "none", "routes": None}}},
        ),
    ],
)
def test_what_nobody_reads_of_an_object_is_left_out_of_lists(
    kubeconfig: Callable[..., ClusterConfig], kind: Kind, live: dict[str, Any], kept: dict[str, Any]
) -> None:
    (found,) = listed(kubeconfig(page(live)), kind)
    assert found == kept | {"apiVersion": kind.api_version, "kind": kind.kind}
