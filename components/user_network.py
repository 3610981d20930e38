"""The attachment as OVN-Kubernetes makes it: a ClusterUserDefinedNetwork.

Creates
- ClusterUserDefinedNetwork `<name>` (k8s.ovn.org/v1), complete when its controller has made the attachments

Does not create
- the NetworkAttachmentDefinition `<name>` in KubeVirt's namespace, which is that controller's
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.ownership import directives, labels


class UserNetwork(pulumi.ComponentResource):
    """One ClusterUserDefinedNetwork.

    Outputs: `network` (its name, and the attachment's) and `cni_config` (the canonical JSON of what its controller
    writes).
    """

    network: pulumi.Output[str]
    cni_config: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        stack: str,
        name: str,
        spec: dict[str, Any],
        cni_json: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("migration-network:index:UserNetwork", resource_name, None, opts)
        self.definition = CustomResource(
            # Another name is another object: `--target` on the new one leaves the old one, which pods may be on.
            f"{resource_name}-{name}",
            api_version="k8s.ovn.org/v1",
            kind="ClusterUserDefinedNetwork",
            metadata={
                "name": name,
                "labels": labels(stack),
                "annotations": directives(force=True)
                | {
                    "pulumi.com/deletionPropagationPolicy": "background",
                    "pulumi.com/waitFor": "condition=NetworkCreated",
                },
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None),
        )
        self.network = pulumi.Output.from_input(name)
        self.cni_config = pulumi.Output.from_input(cni_json)
        self.register_outputs({"network": self.network, "cniConfig": self.cni_config})
