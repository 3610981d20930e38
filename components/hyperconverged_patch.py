"""The HyperConverged patch: the live migration settings that this stack owns, and no other field.

Creates
- a server-side apply of `kubevirt-hyperconverged` in KubeVirt's namespace (hco.kubevirt.io)
"""

from __future__ import annotations

from typing import Any, get_args

import pulumi
from pulumi_kubernetes.apiextensions import CustomResourcePatch

from components.ownership import directives
from config.hyperconverged import ApiVersion


class HyperConvergedPatch(pulumi.ComponentResource):
    """The fields of the HyperConverged that the stack owns. Destroying it gives them back; the object stays."""

    def __init__(
        self,
        resource_name: str,
        *,
        namespace: str,
        name: str,
        api_version: str,
        spec: dict[str, Any],
        take_over: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("migration-network:index:HyperConvergedPatch", resource_name, None, opts)
        self.patch = CustomResourcePatch(
            resource_name,
            api_version=f"hco.kubevirt.io/{api_version}",
            kind="HyperConverged",
            metadata={"name": name, "namespace": namespace, "annotations": directives(force=take_over)},
            spec=spec,
            # The patch itself: else `--target` on it names a network that is not there.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=opts.depends_on if opts else None, aliases=_of_other_versions(api_version)
            ),
        )
        self.register_outputs({})


def _of_other_versions(api_version: str) -> list[pulumi.Alias]:
    """Return what Pulumi's state calls the patch in the API's other versions.

    A patch of another type would be made, and the old one then deleted, which gives back the fields of both: they have
    one field manager.
    """
    others = (each for each in get_args(ApiVersion) if each != api_version)
    return [pulumi.Alias(type_=f"kubernetes:hco.kubevirt.io/{each}:HyperConvergedPatch") for each in others]
