"""An answer that is not what the API promises is a sentence with the server's name, and repeats no token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_server
import pytest

from config.cluster import Cluster as ClusterConfig
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import NAMESPACE, POD

ASK: dict[str, Callable[[Cluster], Any]] = {
    "get": lambda cluster: cluster.get(POD, "a", "b"),
    "list": lambda cluster: cluster.list(POD),
    "create": lambda cluster: cluster.create(POD, {"metadata": {"name": "a"}, "spec": {}}, "b"),
    "serves": lambda cluster: cluster.serves(POD),
    "identity": lambda cluster: cluster.identity(),
    "delete": lambda cluster: cluster.delete(NAMESPACE, "a"),
}


def asked(folder: Path, name: str, how: str) -> str | None:
    """Ask a server that answers so; return what is said of it, or None when the answer was taken."""
    with hostile_server.serving(hostile_server.ANSWERS[name]) as server:
        hostile_server.kubeconfig(folder / "kubeconfig", c=server)

        async def ask() -> None:
            async with Cluster(ClusterConfig(context="c", kubeconfig="kubeconfig"), base=folder) as cluster:
                await ASK[how](cluster)

        with contextlib.suppress(ClusterError):
            asyncio.run(ask())
            return None
        with pytest.raises(ClusterError) as caught:
            asyncio.run(ask())
        assert server in str(caught.value)
        return str(caught.value)


@pytest.mark.parametrize("name", hostile_server.ANSWERS)
def test_what_is_no_answer_is_a_sentence_with_the_servers_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MIGNET_TIMEOUT", "0.5")
    monkeypatch.setattr("mignet.kube.client.MOST_BYTES", 4_000_000)
    for how in ASK:
        said = asked(tmp_path, name, how)
        if said is not None:
            assert hostile_server.TOKEN not in said
            assert "\n" not in said
            assert "\x1b" not in said


@pytest.mark.parametrize(
    ("name", "how", "sentence"),
    [
        ("nested", "get", "answered something that its API does not promise to: read Pod a"),
        ("items without metadata", "list", "answered a Pod without name or namespace to: list Pod"),
        ("spec is 5", "get", "answered an object whose spec is of another kind than its API promises to: read Pod a"),
        ("labels are a list", "list", "answered an object whose labels is of another"),
        ("token in a status", "get", "who sent Bearer •?"),
        ("redirect", "list", "answered 302 to: list Pod"),
    ],
)
def test_it_says_what_was_wrong(tmp_path: Path, name: str, how: str, sentence: str) -> None:
    assert sentence in (asked(tmp_path, name, how) or "")
