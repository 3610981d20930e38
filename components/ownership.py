"""Who owns what we apply: the field manager, the labels and the annotations that tell Pulumi's provider so."""

from __future__ import annotations

FIELD_MANAGER = "migration-network"
"""The one field manager of everything we apply, on both engines."""


def labels(stack: str) -> dict[str, str]:
    """Return the labels of an object that is ours as a whole; they are how it is found again."""
    return {
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        "app.kubernetes.io/part-of": FIELD_MANAGER,
        "app.kubernetes.io/instance": stack,
    }


def directives(*, force: bool) -> dict[str, str]:
    """Return the directives for Pulumi's Kubernetes provider.

    `patchFieldManager`: without it the manager's name is random and known to the state only. `patchForce`: fields that
    somebody else owns by now become ours again.
    """
    annotations = {"pulumi.com/patchFieldManager": FIELD_MANAGER}
    return annotations | {"pulumi.com/patchForce": "true"} if force else annotations
