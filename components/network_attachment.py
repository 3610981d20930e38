"""The attachment: a NetworkAttachmentDefinition.

Creates
- NetworkAttachmentDefinition `<name>` in KubeVirt's namespace (k8s.cni.cncf.io/v1)
"""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.ownership import directives, labels


class NetworkAttachment(pulumi.ComponentResource):
    """One NetworkAttachmentDefinition with a ready CNI configuration.

    Outputs: `network` (its name, known once it exists) and `cni_config` (the canonical JSON).
    """

    network: pulumi.Output[str]
    cni_config: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        stack: str,
        namespace: str,
        name: str,
        cni_json: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("migration-network:index:NetworkAttachment", resource_name, None, opts)
        self.definition = CustomResource(
            # Another name is another object: `--target` on the new one leaves the old one, which pods may be on.
            f"{resource_name}-{name}",
            api_version="k8s.cni.cncf.io/v1",
            kind="NetworkAttachmentDefinition",
            metadata={
                "name": name,
                "namespace": namespace,
                "labels": labels(stack),
                "annotations": directives(force=True)
                # Nothing depends on it, and a foreground deletion would wait for a garbage collector to say so.
                | {"pulumi.com/deletionPropagationPolicy": "background"},
            },
            spec={"config": cni_json},
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=opts.depends_on if opts else None, aliases=[pulumi.Alias(name=resource_name)]
            ),
        )
        self.network = pulumi.Output.from_input(name)
        self.cni_config = pulumi.Output.from_input(cni_json)
        self.register_outputs({"network": self.network, "cniConfig": self.cni_config})
