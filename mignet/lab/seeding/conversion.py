"""HyperConverged's two API versions, turned into each other as the HyperConverged operator's webhook does it.

After its api/v1beta1/conversion.go: fields move, and the gates are a struct of booleans in v1beta1 and, in v1, a list
of those that differ from the release's defaults. What neither version of a definition has is pruned by the API server.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.lab.seeding.definitions import Definition
    from mignet.lab.seeding.seeds import Object

REFUSES = "lab.migration-network/conversion-refuses"
"""The annotation that has the webhook refuse an object, as release 1.18.1 refuses some that were upgraded.

Its value is the field that the refusal names, such as `spec.mediatedDevicesConfiguration.mediatedDevicesTypes`.
"""

V1, V1BETA1 = "hco.kubevirt.io/v1", "hco.kubevirt.io/v1beta1"

_SAME = {
    "virtualization": (
        "liveMigrationConfig permittedHostDevices mediatedDevicesConfiguration workloadUpdateStrategy evictionStrategy "
        "virtualMachineOptions higherWorkloadDensity liveUpdateConfiguration ksmConfiguration hypervisors "
        "roleAggregationStrategy changedBlockTrackingLabelSelectors tuningPolicy"
    ),
    "storage": "vmStateStorageClass scratchSpaceStorageClass storageImport filesystemOverhead",
    "security": "certConfig tlsSecurityProfile",
    "networking": "networkBinding kubeMacPoolConfiguration kubeSecondaryDNSNameServerIP",
    "workloadSources": (
        "commonTemplatesNamespace commonBootImageNamespace enableCommonBootImageImport dataImportCronTemplates "
        "instancetypeConfig"
    ),
    "deployment": "uninstallStrategy logVerbosityConfig deployVmConsoleProxy applicationAwareConfig",
}
"""What has the same name in both versions, by the part of v1's spec that it moved to."""

# In this order: what is inside of a moved field comes after it.
MOVES = {name: f"{part}.{name}" for part, names in _SAME.items() for name in names.split()} | {
    "CommonInstancetypesDeployment": "workloadSources.commonInstancetypesDeployment",
    "defaultCPUModel": "virtualization.virtualMachineOptions.defaultCPUModel",
    "defaultRuntimeClass": "virtualization.virtualMachineOptions.defaultRuntimeClass",
    "enableApplicationAwareQuota": "deployment.applicationAwareConfig.enable",
    "infra.nodePlacement": "deployment.nodePlacements.infra",
    "workloads.nodePlacement": "deployment.nodePlacements.workload",
    "obsoleteCPUs.cpuModels": "virtualization.obsoleteCPUModels",
    "resourceRequirements.vmiCPUAllocationRatio": "virtualization.vmiCPUAllocationRatio",
    "resourceRequirements.autoCPULimitNamespaceLabelSelector": "virtualization.autoCPULimitNamespaceLabelSelector",
    "resourceRequirements.storageWorkloads": "storage.workloadResourceRequirements",
}
"""Where a field of v1beta1's spec stands in v1's."""


class RefusedError(Exception):
    """An object that does not convert; the message is what the API server passes on."""


def gates_of(definition: Definition) -> dict[str, bool]:
    """Return the gates of a HyperConverged that is served in both versions, and their defaults; none of another."""
    served = {version["name"]: version for version in definition["spec"]["versions"] if version["served"]}
    if not {"v1", "v1beta1"} <= served.keys():
        return {}
    spec = served["v1beta1"]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    gates = spec["properties"]["featureGates"]["properties"]
    return {name: schema["default"] for name, schema in gates.items() if "default" in schema}


def convert(item: Object, to: str, gates: Mapping[str, bool]) -> Object:
    """Return a HyperConverged in API version `to`; `gates` are those of the release, and their defaults.

    Raises RefusedError for one with the annotation that has it refused.
    """
    if item["apiVersion"] == to:
        return item
    field = item["metadata"].get("annotations", {}).get(REFUSES)
    if field is not None:
        name = field.removeprefix("spec.")
        msg = f"json: cannot unmarshal null into Go struct field HyperConvergedSpec.spec.{name} of type []string"
        raise RefusedError(msg)
    new = {key: value for key, value in item.items() if key != "spec"} | {"apiVersion": to}
    old = item.get("spec")
    if old is None:
        return new
    if to == V1:
        spec = _moved(old, MOVES)
        differing = [
            {"name": name, "state": "Disabled" if default else "Enabled"}
            for name, default in gates.items()
            if old.get("featureGates", {}).get(name, default) != default
        ]
        spec |= {"featureGates": differing} if differing else {}
    else:
        spec = _moved(old, {there: here for here, there in MOVES.items()})
        # In v1 it stands inside of what moved as a whole.
        for name, part in {
            "enable": "applicationAwareConfig",
            "defaultCPUModel": "virtualMachineOptions",
            "defaultRuntimeClass": "virtualMachineOptions",
        }.items():
            spec.get(part, {}).pop(name, None)
        states = {each["name"]: each.get("state", "Enabled") == "Enabled" for each in old.get("featureGates") or ()}
        spec["featureGates"] = {name: states.get(name, default) for name, default in gates.items()}
        # Structs in the operator's types, which are written even when they are empty.
        spec = {"infra": {}, "workloads": {}} | spec
    return new | {"spec": spec}


def answer(review: Object, gates: Mapping[str, bool]) -> Object:
    """Return the answer to a ConversionReview of the API server."""
    request = review["request"]
    response: Object = {"uid": request["uid"]}
    try:
        converted = [convert(item, request["desiredAPIVersion"], gates) for item in request["objects"]]
        response |= {"convertedObjects": converted, "result": {"status": "Success"}}
    except RefusedError as error:
        response |= {"convertedObjects": [], "result": {"status": "Failure", "message": str(error)}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}


def _moved(spec: Object, moves: Mapping[str, str]) -> Object:
    found: Object = {}
    for source, target in moves.items():
        value: Any = spec
        for key in source.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            *outer, last = target.split(".")
            inside = found
            for key in outer:
                inside = inside.setdefault(key, {})
            inside[last] = copy.deepcopy(value)
    return found
