"""What a pod says of itself so that the Pod Security Standard `restricted`, and OpenShift's restricted-v2, take it."""

from __future__ import annotations

from typing import Any

POD_SECURITY: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""The securityContext of a pod."""
CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""That of each of its containers: what both ask for, and a little more."""
ENFORCED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""The label of a namespace that takes no other pod."""
