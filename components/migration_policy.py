"""Other limits for some virtual machines.

Creates
- MigrationPolicy `<name>` (migrations.kubevirt.io/v1alpha1)
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.ownership import directives, labels


class MigrationPolicy(pulumi.ComponentResource):
    """One MigrationPolicy. Nothing depends on it, and it restarts nothing: it counts from a migration's start."""

    def __init__(
        self,
        resource_name: str,
        *,
        stack: str,
        name: str,
        spec: dict[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("migration-network:index:MigrationPolicy", resource_name, None, opts)
        self.policy = CustomResource(
            resource_name,
            api_version="migrations.kubevirt.io/v1alpha1",
            kind="MigrationPolicy",
            metadata={
                "name": name,
                "labels": labels(stack),
                "annotations": directives(force=True) | {"pulumi.com/deletionPropagationPolicy": "background"},
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
