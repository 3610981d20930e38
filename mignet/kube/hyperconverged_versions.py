"""The two API versions of the HyperConverged: the same limits at another path, and what does not convert.

A managedFields entry, and a conflict, has the path of the version that its writer used, in whichever version the object
is read. Source: Kubernetes' structured-merge-diff, and the HyperConverged CRD of the releases that serve both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mignet.kube.kinds import HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1

if TYPE_CHECKING:
    from config.stack import Stack
    from mignet.kube.kinds import Kind

_LIMITS = {
    HYPERCONVERGED_V1BETA1.api_version: "spec.liveMigrationConfig",
    HYPERCONVERGED_V1.api_version: "spec.virtualization.liveMigrationConfig",
}


def limits_path(api_version: str) -> str:
    """Return the dotted path of the limits in an API version (`hco.kubevirt.io/v1`). Raises KeyError for any other."""
    return _LIMITS[api_version]


def path_in(path: str, *, written: str, read: str) -> str:
    """Return the dotted path in API version `read` of what stands at `path` in API version `written`.

    Only the limits are mapped, as nothing else of the HyperConverged is declared; any other path is returned as it is.
    """
    old, new = _LIMITS.get(written), _LIMITS.get(read)
    if old is None or new is None or not _within(path, old):
        return path
    return new + path.removeprefix(old)


_GO_FIELD = re.compile(r"into Go struct field \w+\.(\S+?) of type")
_FIELD = re.compile(r"(?<!\w)\.?(spec(?:\.[A-Za-z]\w*(?:\[\w*\])?)+)")
_FAILED = "conversion webhook"
_DENIED = "admission webhook"


def refused_because(message: str, api_version: str) -> str:
    """Return what to do about a refusal of a HyperConverged in `api_version`, as the rest of a sentence; else nothing.

    What others wrote into the object may not convert to that version, or not be valid in it: the message names a field
    then that no stack declares. Seen with release 1.18.1, and reported as hyperconverged-cluster-operator#4549.
    """
    match = _GO_FIELD.search(message) or _FIELD.search(message)
    field = match[1] if match else ""
    declared = field and _within(field, _LIMITS[api_version])
    # What a validating webhook says is about values, in whichever version.
    if declared or _DENIED in message or not (field or _FAILED in message):
        return ""
    other = next(version for version in _LIMITS if version != api_version)
    group, _, version = other.partition("/")
    what = f"remove {field} from the HyperConverged" if field else "remove what does not convert from it"
    edit = f"oc edit hyperconvergeds.{version}.{group}"
    return f"; {what} ({edit} reads it in the other version), or write hyperConverged.apiVersion: {version}"


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")


def hyperconverged_kind(stack: Stack) -> Kind:
    """Return the HyperConverged's kind in the API version that the stack names."""
    return HYPERCONVERGED_V1 if stack.hyper_converged.api_version == "v1" else HYPERCONVERGED_V1BETA1
