"""A network of another name: the old attachment goes when the last pod has left it, and not before."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from operated import ATTACHMENTS, NAMESPACE, PODS, Cluster, Operated, ready, until

from config.cluster import Cluster as ClusterConfig
from mignet.kube.client import Cluster as Door
from mignet.kube.kubevirt.rollout import moved, released


def versions(cluster: Cluster, path: str, since: str, event: str) -> dict[str, int]:
    """Return the resource version of each event of a kind since a version, by the object's name."""
    watch = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"}
    lines = map(json.loads, cluster.kube.http.get(path, params=watch).text.splitlines())
    return {
        each["object"]["metadata"]["name"]: int(each["object"]["metadata"]["resourceVersion"])
        for each in lines
        if each["type"] == event
    }


def renaming(operated: Operated, mtu: int) -> None:
    config = {"type": "macvlan", "name": "migration", "master": "eth1", "rollout": "rename", "mtu": mtu}
    operated.change("dev", attachment=config)


def test_the_old_attachment_outlives_every_pod_that_asks_for_it(operated: Operated, engine: str) -> None:
    dev = operated.dev
    renaming(operated, 9000)
    assert operated.run("up", "dev", "--yes", "--engine", engine).code == 0
    ((old, _),) = ((each["metadata"]["name"], each) for each in dev.get(ATTACHMENTS)["items"])
    until(lambda: dev.settled(old))
    pods = {pod["metadata"]["name"] for pod in [*dev.pods(), *dev.pods("virt-synchronization-controller")]}
    since = dev.get(PODS)["metadata"]["resourceVersion"]

    renaming(operated, 1500)
    outcome = operated.run("up", "dev", "--yes", "--engine", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    gone = versions(dev, ATTACHMENTS, since, "DELETED")
    ended = versions(dev, PODS, since, "DELETED")
    assert list(gone) == [old]
    assert pods <= ended.keys(), "all pods have been replaced when up ends"
    assert gone[old] > max(ended[name] for name in pods)


def test_without_the_operators_help_it_stays_and_says_who_uses_it(operated: Operated) -> None:
    dev = operated.dev
    operated.up("dev")
    until(lambda: all(map(ready, dev.pods())))

    async def ask() -> tuple[list[str], list[str], list[str], list[str]]:
        config = ClusterConfig(context="dev", kubeconfig=str(operated.lab.kubeconfig))
        async with Door(config, base=Path()) as cluster:
            network = "my-secondary-network"
            return (
                await released(cluster, NAMESPACE, network, seconds=0),
                await released(cluster, NAMESPACE, "another", seconds=0),
                await moved(cluster, NAMESPACE, "another", seconds=0),
                await moved(cluster, NAMESPACE, network, seconds=0),
            )

    users, nobody, unmoved, there = asyncio.run(ask())
    assert nobody == there == []
    assert users == unmoved
    assert users[:2] == ["DaemonSet virt-handler", "Deployment virt-synchronization-controller"]
    assert {each.partition(" ")[0] for each in users[2:]} == {"Pod"}
    assert len(users) == 2 + 3 + 2


@pytest.mark.pulumi
def test_a_network_in_place_becomes_a_renamed_one_after_the_pods_have_moved(operated: Operated) -> None:
    dev = operated.dev
    assert operated.run("up", "dev", "--yes", "--engine", "pulumi").code == 0
    until(lambda: dev.settled("my-secondary-network"))
    since = dev.get(PODS)["metadata"]["resourceVersion"]
    renaming(operated, 9000)
    assert operated.run("up", "dev", "--yes", "--engine", "pulumi").code == 0
    gone = versions(dev, ATTACHMENTS, since, "DELETED")
    assert gone["my-secondary-network"] > max(versions(dev, PODS, since, "DELETED").values())
