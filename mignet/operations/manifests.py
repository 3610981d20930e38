"""The declared objects as YAML manifests, for GitOps tools that apply server-side.

Argo CD reads from annotations what it does with each object. Source: its documentation, Sync Options and Sync Waves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import yaml

from components.ownership import FIELD_MANAGER
from mignet.kube.kinds import CLUSTER_USER_NETWORK, HYPERCONVERGED_V1, MIGRATION_POLICY, NETWORK_ATTACHMENT, NODE_POLICY

if TYPE_CHECKING:
    from mignet.engines.evaluation import Declaration, Declared
    from mignet.kube.kinds import Object


Tool = Literal["argocd"]
"""What reads annotations of its own."""
_APPLY = {
    None: f"Apply it with: kubectl apply --server-side --field-manager={FIELD_MANAGER} -f FILE",
    "argocd": "For Argo CD, which applies it in waves, and deletes nothing of it.",
}
_WAVES = {
    NODE_POLICY.kind: 0,
    NETWORK_ATTACHMENT.kind: 1,
    CLUSTER_USER_NETWORK.kind: 1,
    HYPERCONVERGED_V1.kind: 2,
    MIGRATION_POLICY.kind: 2,
}
"""Each stands on what the one before makes."""


def as_yaml(stack: str, declaration: Declaration, *, tool: Tool | None = None) -> str:
    """Write the objects of one stack, dependencies first, without the directives for Pulumi's provider."""
    head = (
        f"# Stack {stack}, written by mignet render.\n"
        f"# {_APPLY[tool]}\n"
        "# The HyperConverged is a patch: it must exist, and a conflict names the owner of a field.\n"
    )
    documents = [_written(declared, tool) for declared in declaration.objects]
    return head + yaml.safe_dump_all(documents, explicit_start=True, sort_keys=False, width=10_000)


def _written(declared: Declared, tool: Tool | None) -> Object:
    manifest = declared.manifest
    metadata = dict(manifest["metadata"])
    annotations = metadata.pop("annotations", {})
    kept = {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}
    if tool == "argocd":
        kept |= _for_argo_cd(declared)
    if kept:
        metadata["annotations"] = kept
    order = ("apiVersion", "kind")
    rest = {key: value for key, value in manifest.items() if key not in {*order, "metadata"}}
    ordered: Object = {key: manifest[key] for key in order} | {"metadata": _in_order(metadata)} | _in_order(rest)
    return ordered


def _for_argo_cd(declared: Declared) -> dict[str, str]:
    """Return the annotations by which Argo CD deletes nothing, keeps the order, and leaves what is not ours alone.

    Deleting the HyperConverged deletes the virtualization, an attachment the network of pods that run, and a policy
    leaves its interfaces behind with nobody's name on them.
    """
    options = ["Prune=false", "Delete=false", *(["ServerSideApply=true"] if declared.patch else [])]
    wave = str(_WAVES[declared.manifest["kind"]])
    return {"argocd.argoproj.io/sync-options": ",".join(options), "argocd.argoproj.io/sync-wave": wave}


def _in_order(value: Any) -> Any:
    """Sort the keys at every depth: what comes over Pulumi's wire has them in an order that changes from run to run."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value
