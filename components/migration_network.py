"""The migration network of one cluster.

Creates
- a Kubernetes provider for the stack's cluster
- NodeUplink for each node group of the uplink, when there is one (NodeNetworkConfigurationPolicy)
- NetworkAttachment (NetworkAttachmentDefinition), or UserNetwork (ClusterUserDefinedNetwork), which makes one
- HyperConvergedPatch (server-side apply of the HyperConverged), last to come and first to go
- MigrationPolicy for each of the stack's migrationPolicies, beside all that
- with `rollout: rename` or a UserNetwork, the handlers' move: complete when no pod uses the attachment before any
  more, which goes then
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_kubernetes as kubernetes

from components.hyperconverged_patch import HyperConvergedPatch
from components.migration_policy import MigrationPolicy
from components.network_attachment import NetworkAttachment
from components.node_uplink import NodeUplink
from components.user_network import UserNetwork
from config.hyperconverged import NAME

if TYPE_CHECKING:
    from config.stack import Stack


class Move(pulumi.dynamic.Resource, module="migration-network", name="Move"):
    """The pods' move from one network to the next. It ends when none is left on the one before."""


class MigrationNetwork(pulumi.ComponentResource):
    """The whole of what one stack declares on its cluster.

    Outputs: `network` (the name that the HyperConverged refers to), `namespace`, `cni_config` (JSON), `slice` (an
    inclusive range, or two of them with a comma between, one of each family) and `demand` (addresses needed: `total`,
    and what it is the sum of; None when the number of nodes is not given).
    """

    network: pulumi.Output[str]
    namespace: pulumi.Output[str]
    cni_config: pulumi.Output[str]
    slice: pulumi.Output[str]
    demand: pulumi.Output[dict[str, int] | None]

    def __init__(
        self,
        resource_name: str,
        stack: Stack,
        *,
        nodes: pulumi.dynamic.ResourceProvider,
        handlers: pulumi.dynamic.ResourceProvider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("migration-network:index:MigrationNetwork", resource_name, None, opts)
        provider = kubernetes.Provider(
            "cluster",
            # Not None: the SDK would put the value of $KUBECONFIG into the state, where the next user's differs.
            kubeconfig=stack.cluster.kubeconfig or "",
            context=stack.cluster.context,
            # Without it, an edited kubeconfig replaces the provider and with it every object.
            cluster_identifier=stack.name,
            enable_server_side_apply=True,
            # An object of ours whose creation was interrupted is taken up again; foreign ones the guards refuse.
            upsert_existing_objects=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        child = pulumi.ResourceOptions(parent=self, provider=provider)
        uplinks = [
            NodeUplink(
                "uplink" if policy.group is None else f"uplink-{policy.group}",
                stack=stack,
                policy=policy,
                nodes=nodes,
                opts=child,
            )
            for policy in stack.policies
        ]
        attachment = _attachment(stack, pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=uplinks)))
        patch = HyperConvergedPatch(
            "hyperconverged",
            namespace=stack.cluster.namespace,
            name=NAME,
            api_version=stack.hyper_converged.api_version,
            spec=stack.hyper_converged.spec(stack.network),
            take_over=stack.hyper_converged.on_conflict == "take-over",
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[attachment])),
        )
        for policy in stack.migration_policies:
            MigrationPolicy(
                f"migration-policy-{policy.name}", stack=stack.name, name=policy.name, spec=policy.spec, opts=child
            )
        if stack.attachment.rollout == "rename" or stack.user_network:
            properties = {
                "network": stack.network,
                "namespace": stack.cluster.namespace,
                "context": stack.cluster.context,
                "kubeconfig": stack.cluster.kubeconfig,
            }
            Move(handlers, "handlers", properties, pulumi.ResourceOptions(parent=self, depends_on=[patch]))
        self.network = attachment.network
        self.namespace = pulumi.Output.from_input(stack.cluster.namespace)
        self.cni_config = attachment.cni_config
        self.slice = pulumi.Output.from_input(", ".join(map(str, stack.spans)))
        demand = stack.demand_sum
        self.demand = pulumi.Output.from_input(None if demand is None else demand.sum)
        self.register_outputs({"network": self.network, "namespace": self.namespace, "slice": self.slice})


def _attachment(stack: Stack, opts: pulumi.ResourceOptions) -> NetworkAttachment | UserNetwork:
    """Declare the attachment, or the network whose controller makes it."""
    network = stack.user_network
    if network is not None:
        return UserNetwork(
            "attachment", stack=stack.name, name=stack.network, spec=network, cni_json=stack.cni_json, opts=opts
        )
    return NetworkAttachment(
        "attachment",
        stack=stack.name,
        namespace=stack.cluster.namespace,
        name=stack.network,
        cni_json=stack.cni_json,
        opts=opts,
    )
