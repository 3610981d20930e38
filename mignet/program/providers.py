"""What Pulumi waits for on a cluster, as dynamic resources: the nodes behind a policy, and the pods that migrate.

Pulumi keeps the name of this class and module in its state, since `pulumi destroy` does not run the program: both keep
their names. Nothing but a policy's name and the way to its cluster goes in there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CreateResult, DiffResult, ResourceProvider, UpdateResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mignet.kube.client import Cluster

_PROPERTIES = ("policy", "generation", "stack", "context", "kubeconfig", "waitSeconds")


class Nodes(ResourceProvider):
    """Creating and updating wait until the nodes have taken a policy; deleting takes its interfaces off them."""

    # It holds nothing; as a secret it would ask every user of the state for a passphrase.
    serialize_as_secret_always = False

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Wait again for another generation of the policy; the way to the cluster is only noted."""
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in _PROPERTIES))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the nodes."""
        self._wait(props)
        return CreateResult(props["policy"], _kept(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the nodes, unless they are done with this generation."""
        if olds.get("generation") != news.get("generation"):
            self._wait(news)
        return UpdateResult(_kept(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Take off the nodes what the policy made; the policy goes next."""

        async def take_back(cluster: Cluster) -> None:
            from mignet.kube.network import nmstate

            await nmstate.take_back(cluster, props["stack"], props["policy"], seconds=props["waitSeconds"])

        _on_cluster(props, take_back)

    def _wait(self, props: dict[str, Any]) -> None:
        async def wait(cluster: Cluster) -> None:
            from mignet.kube.network import nmstate

            await nmstate.wait(cluster, props["policy"], seconds=props["waitSeconds"])

        _on_cluster(props, wait)


class Handlers(ResourceProvider):
    """Creating and updating wait until all pods that migrate are on the network: the one before goes next."""

    serialize_as_secret_always = False

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Wait for another network; the way to the cluster is only noted."""
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in _OF_HANDLERS))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the pods. Raises TimeoutError."""
        self._wait(props)
        return CreateResult(props["network"], _noted(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the pods, unless the network is the same. Raises TimeoutError."""
        if any(olds.get(key) != news.get(key) for key in ("namespace", "network")):
            self._wait(news)
        return UpdateResult(_noted(news))

    def _wait(self, props: dict[str, Any]) -> None:
        async def wait(cluster: Cluster) -> None:
            from mignet.kube.kubevirt import rollout

            if users := await rollout.moved(cluster, props["namespace"], props["network"]):
                msg = f"not on {props['network']} yet: {', '.join(users[:3])}; mignet verify says why"
                raise TimeoutError(msg)

        _on_cluster(props, wait)


_OF_HANDLERS = ("network", "namespace", "context", "kubeconfig")


def _noted(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props.get(key) for key in _OF_HANDLERS}


def _kept(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props.get(key) for key in _PROPERTIES}


def _on_cluster(props: dict[str, Any], act: Callable[[Cluster], Awaitable[None]]) -> None:
    # Imported here: the program only names this class, and Pulumi's own process does the work.
    import asyncio
    from pathlib import Path

    from config.cluster import Cluster as ClusterConfig
    from mignet.kube.client import Cluster

    config = ClusterConfig(context=props["context"], kubeconfig=props.get("kubeconfig"))

    async def run() -> None:
        async with Cluster(config, base=Path.cwd()) as cluster:
            await act(cluster)

    asyncio.run(run())
