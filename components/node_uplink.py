"""The uplink of one group of nodes.

Creates
- NodeNetworkConfigurationPolicy `<policy's name>` (nmstate.io/v1)
- the policy's rollout: complete when every node has taken the policy, and the first to go when it is removed; then it
  takes the interfaces off the nodes, which would stay there for ever otherwise
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.ownership import directives, labels

if TYPE_CHECKING:
    from config.stack import Stack
    from config.uplink.rendering import Policy


class Rollout(pulumi.dynamic.Resource, module="migration-network", name="Rollout"):
    """What the nodes make of one policy. It ends when they are done; deleting it undoes the policy on the nodes."""


class NodeUplink(pulumi.ComponentResource):
    """One policy and its rollout, which is what depends on the nodes. `nodes` waits for them, and undoes."""

    def __init__(
        self,
        resource_name: str,
        *,
        stack: Stack,
        policy: Policy,
        nodes: pulumi.dynamic.ResourceProvider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("migration-network:index:NodeUplink", resource_name, None, opts)
        # Another name is another policy: the two stand side by side until nothing uses the old one's interfaces.
        unique = f"{resource_name}-{policy.name.rpartition('-')[2]}"
        self.policy = CustomResource(
            unique,
            api_version="nmstate.io/v1",
            kind="NodeNetworkConfigurationPolicy",
            metadata={
                "name": policy.name,
                "labels": labels(stack.name),
                "annotations": directives(force=True) | {"pulumi.com/deletionPropagationPolicy": "background"},
            },
            spec=policy.spec,
            opts=pulumi.ResourceOptions(parent=self),
        )
        metadata: pulumi.Output[Any] = self.policy.metadata  # type: ignore[attr-defined] # set by the SDK at run time
        properties: dict[str, Any] = {
            "policy": policy.name,
            # A new generation is a new rollout.
            "generation": metadata.apply(lambda live: live.get("generation")),
            "stack": stack.name,
            "context": stack.cluster.context,
            "kubeconfig": stack.cluster.kubeconfig,
            "waitSeconds": stack.uplink.wait_seconds if stack.uplink else None,
        }
        self.rollout = Rollout(nodes, unique, properties, pulumi.ResourceOptions(parent=self, depends_on=[self.policy]))
        self.register_outputs({})
