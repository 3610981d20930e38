"""The controller of ClusterUserDefinedNetworks in OVN-Kubernetes: their attachments, and whether they are made.

Source: ovn-kubernetes, go-controller/pkg/clustermanager/userdefinednetwork. Of the localnet topology alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mignet.kube.kinds import CLUSTER_USER_NETWORK, NAMESPACE, NETWORK_ATTACHMENT, POD
from mignet.lab.operators.cluster_view import STAND_IN, World, conditions
from mignet.lab.operators.templates import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mignet.kube.kinds import Object

MANAGER = "ovnkube-cluster-manager"
FINALIZER = "k8s.ovn.org/user-defined-network-protection"
LABEL = "k8s.ovn.org/user-defined-network"
_OWN = "k8s.ovn.org/"


async def step(world: World) -> None:
    """Do what is to be done next."""
    for network in world.all(CLUSTER_USER_NETWORK):
        if network["spec"]["network"]["topology"] != "Localnet":
            continue
        ends = "deletionTimestamp" in network["metadata"]
        if not ends and FINALIZER not in network["metadata"].get("finalizers", ()):
            finalizers = [*network["metadata"].get("finalizers", ()), FINALIZER]
            await _replace(world, network, finalizers=finalizers)
            continue
        made, errors = await _attachments(world, network, ends=ends)
        if ends and not made and not errors:
            await _replace(world, network, finalizers=_without_ours(network))
        else:
            await _report(world, network, made, errors)


async def _attachments(world: World, network: Object, *, ends: bool) -> tuple[list[str], list[str]]:
    """Make the attachments that are to be there, and remove the others; return where they are, and what failed."""
    made, errors = [], []
    name = network["metadata"]["name"]
    selected = set() if ends else _selected(world, network)
    for namespace in sorted(selected):
        there = world.one(NETWORK_ATTACHMENT, name, namespace)
        wanted = _rendered(network, namespace)
        if there is None:
            await world.create(NETWORK_ATTACHMENT, wanted, manager=MANAGER)
        elif not _is_of(there, network):
            errors.append(
                f"foreign NetworkAttachmentDefinition with the desired name already exist [{namespace}/{name}]"
            )
            continue
        elif _differs(there, wanted):
            metadata = there["metadata"] | wanted["metadata"]
            await world.replace(
                NETWORK_ATTACHMENT, there | {"metadata": metadata, "spec": wanted["spec"]}, manager=MANAGER
            )
        made.append(namespace)
    for there in world.all(NETWORK_ATTACHMENT):
        if _is_of(there, network) and there["metadata"]["namespace"] not in selected:
            where = f"{there['metadata']['namespace']}/{name}"
            if users := _users(world, there):
                errors.append(f"failed to delete NetworkAttachmentDefinition [{where}]: network in use by {users}")
            elif "deletionTimestamp" not in there["metadata"]:
                await world.delete(NETWORK_ATTACHMENT, there)
                made.append(there["metadata"]["namespace"])
            else:
                metadata = there["metadata"] | {"finalizers": _without_ours(there)}
                await world.replace(NETWORK_ATTACHMENT, there | {"metadata": metadata}, manager=MANAGER)
    return made, errors


async def _report(world: World, network: Object, made: list[str], errors: list[str]) -> None:
    old = network.get("status", {}).get("conditions", [])
    if errors:
        reason, message, status = "NetworkAttachmentDefinitionSyncError", "; ".join(errors), "False"
    else:
        reason, status = "NetworkAttachmentDefinitionCreated", "True"
        message = f"NetworkAttachmentDefinition has been created in following namespaces: [{', '.join(made)}]"
    found = conditions(old, reason=reason, message=message, NetworkCreated=status)
    await world.report(CLUSTER_USER_NETWORK, network, {"conditions": found}, manager=MANAGER)


async def _replace(world: World, network: Object, *, finalizers: list[str]) -> None:
    metadata = network["metadata"] | {"finalizers": finalizers}
    await world.replace(CLUSTER_USER_NETWORK, network | {"metadata": metadata}, manager=MANAGER)


def _without_ours(there: Object) -> list[str]:
    return [each for each in there["metadata"].get("finalizers", ()) if each != FINALIZER]


def _selected(world: World, network: Object) -> set[str]:
    """Return the namespaces that a network selects."""
    selector = network["spec"]["namespaceSelector"]
    return {
        each["metadata"]["name"]
        for each in world.all(NAMESPACE)
        if _matches(selector, each["metadata"].get("labels", {})) and "deletionTimestamp" not in each["metadata"]
    }


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions") or ():
        key, values = each["key"], each.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds[each["operator"]]:
            return False
    return True


def _rendered(network: Object, namespace: str) -> Object:
    """Return the attachment in one namespace: with the network's own labels and annotations, as the real one has."""
    metadata, localnet = network["metadata"], network["spec"]["network"]["localnet"]
    name = metadata["name"]
    config = {
        "cniVersion": "1.0.0",
        "type": "ovn-k8s-cni-overlay",
        "name": f"cluster.udn.{name}",
        "netAttachDefName": f"{namespace}/{name}",
        "topology": "localnet",
        "role": localnet["role"].lower(),
        "physicalNetworkName": localnet["physicalNetworkName"],
        "mtu": localnet.get("mtu"),
        "vlanID": localnet.get("vlan", {}).get("access", {}).get("id"),
        "subnets": ",".join(localnet.get("subnets", ())),
        "excludeSubnets": ",".join(localnet.get("excludeSubnets", ())),
    }
    owner = {
        "apiVersion": CLUSTER_USER_NETWORK.api_version,
        "kind": CLUSTER_USER_NETWORK.kind,
        "name": name,
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    copied = {
        key: {each: value for each, value in metadata.get(key, {}).items() if not each.startswith(_OWN)}
        for key in ("labels", "annotations")
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": copied["labels"] | {LABEL: "", STAND_IN: "true"},
            "annotations": copied["annotations"],
            "ownerReferences": [owner],
            "finalizers": [FINALIZER],
        },
        "spec": {"config": json.dumps({key: value for key, value in sorted(config.items()) if value})},
    }


def _is_of(attachment: Object, network: Object) -> bool:
    owners = attachment["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each["uid"] == network["metadata"]["uid"] for each in owners)


def _differs(there: Object, wanted: Object) -> bool:
    kept = ("labels", "annotations", "finalizers")
    return there["spec"] != wanted["spec"] or any(
        there["metadata"].get(key, type(wanted["metadata"][key])()) != wanted["metadata"][key] for key in kept
    )


def _users(world: World, attachment: Object) -> list[str]:
    """Return the pods that use an attachment."""
    namespace, name = attachment["metadata"]["namespace"], attachment["metadata"]["name"]
    return [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in world.all(POD)
        for asked in (pod["metadata"].get("annotations") or {}).get(NETWORKS, "").split(",")
        if asked.strip().partition("@")[0]
        in {f"{namespace}/{name}", *([name] if pod["metadata"]["namespace"] == namespace else ())}
    ]
