"""What any live object tells of itself: its name in a sentence, who made it, who keeps it, and a value inside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from config.finding import Subject

if TYPE_CHECKING:
    from mignet.kube.kinds import Object


def name_of(live: Object) -> Subject:
    """Return how an object is named in a sentence: `Kind namespace/name`."""
    metadata = live["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])
    return Subject(f"{live['kind']} {name}", kind=str(live["kind"]), name=name)


def full_name(live: Object) -> str:
    """Return the name of an object in a namespace, as `namespace/name`."""
    return f"{live['metadata']['namespace']}/{live['metadata']['name']}"


def controller_of(live: Object) -> str | None:
    """Return the controller that keeps an object, as `Kind name`; None when there is none.

    A user-defined network and the network operator's additionalNetworks make attachments so.
    """
    references = live["metadata"].get("ownerReferences") or ()
    return next((f"{each.get('kind')} {each.get('name')}" for each in references if each.get("controller")), None)


def kept_by(controller: str) -> str:
    """Say why an object with a controller is not taken over, as the rest of a sentence that begins with it."""
    return f"is kept by {controller}, which writes its content back: it cannot be adopted"


def made_by(live: Object) -> str | None:
    """Return the field managers of an object that has nothing of ours; None when we made it, or adopted it."""
    managers = [entry.get("manager", "unknown") for entry in live["metadata"].get("managedFields", [])]
    return None if FIELD_MANAGER in managers else ", ".join(dict.fromkeys(managers)) or "unknown"


def lease_name(stack: str) -> str:
    """Return the name of a stack's Lease, as a Kubernetes name may be."""
    return "migration-network-" + re.sub(r"[^a-z0-9.-]", "-", stack.lower())


def stack_of(live: Object) -> str | None:
    """Return the stack that an object says it belongs to."""
    instance: str | None = live["metadata"].get("labels", {}).get("app.kubernetes.io/instance")
    return instance


def value_at(manifest: Object, path: str) -> object:
    """Return the value at a dotted path, or None when there is none."""
    value: object = manifest
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def lasting(seconds: float) -> str:
    """Say how long something has lasted.

    >>> lasting(40), lasting(750), lasting(20000), lasting(260000)
    ('40 s', '12 min', '5 h', '3 days')
    """
    whole = max(0, int(seconds))
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if whole < most * size:
            return f"{whole // size} {unit}"
    return f"{whole // 86400} days"
