"""The declared objects as YAML manifests, for GitOps tools that apply server-side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from components.ownership import FIELD_MANAGER

if TYPE_CHECKING:
    from mignet.engines.evaluation import Declaration
    from mignet.kube.kinds import Object


def as_yaml(stack: str, declaration: Declaration) -> str:
    """Write the objects of one stack, dependencies first, without the directives for Pulumi's provider."""
    head = (
        f"# Stack {stack}, written by mignet render.\n"
        f"# Apply it with: kubectl apply --server-side --field-manager={FIELD_MANAGER} -f FILE\n"
        "# The HyperConverged is a patch: it must exist, and a conflict names the owner of a field.\n"
    )
    documents = [_without_directives(declared.manifest) for declared in declaration.objects]
    return head + yaml.safe_dump_all(documents, explicit_start=True, sort_keys=False, width=10_000)


def _without_directives(manifest: Object) -> Object:
    metadata = dict(manifest["metadata"])
    annotations = metadata.pop("annotations", {})
    kept = {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}
    if kept:
        metadata["annotations"] = kept
    order = ("apiVersion", "kind")
    rest = {key: value for key, value in manifest.items() if key not in {*order, "metadata"}}
    ordered: Object = {key: manifest[key] for key in order} | {"metadata": _in_order(metadata)} | _in_order(rest)
    return ordered


def _in_order(value: Any) -> Any:
    """Sort the keys at every depth: what comes over Pulumi's wire has them in an order that changes from run to run."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value
