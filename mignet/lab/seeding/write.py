"""Writes the definitions and the seeds into a cluster. What exists already stays as it is."""

from __future__ import annotations

import base64
import dataclasses
import time
from typing import TYPE_CHECKING, Any

from mignet.lab.errors import LabError
from mignet.lab.seeding import seeds
from mignet.lab.seeding.definitions import HYPERCONVERGED, Definition

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx2

    from mignet.lab.seeding.seeds import Object, Site

MANAGER = "mignet-lab"

TIMEOUT = 30.0
"""Seconds within which the API server must serve a definition it was given."""

SEEDED = (
    HYPERCONVERGED,
    "networks.config.openshift.io",
    "nodenetworkstates.nmstate.io",
    "kubevirts.kubevirt.io",
    "ippools.whereabouts.cni.cncf.io",
    "networks.operator.openshift.io",
    "overlappingrangeipreservations.whereabouts.cni.cncf.io",
    "virtualmachineinstances.kubevirt.io",
)
"""The definitions of which there are seeds, or of which the operators make the first object at once."""

COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Network": "/apis/config.openshift.io/v1/networks",
    "NodeNetworkState": "/apis/nmstate.io/v1beta1/nodenetworkstates",
    "VirtualMachineInstance": "/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstances",
}


@dataclasses.dataclass(frozen=True)
class Converter:
    """Who converts HyperConvergeds between API versions: where it answers, and the authority that it is known by."""

    url: str
    authority: bytes

    @property
    def conversion(self) -> Object:
        """What a definition says of it."""
        authority = base64.b64encode(self.authority).decode()
        config = {"clientConfig": {"url": self.url, "caBundle": authority}, "conversionReviewVersions": ["v1"]}
        return {"strategy": "Webhook", "webhook": config}


def seed(
    client: httpx2.Client, site: Site, definitions: Iterable[Definition], converter: Converter | None = None
) -> None:
    """Create what a lab cluster has from the start, as far as it is not there; return once all of it is served.

    Raises LabError when the API server refuses something, ends, or does not serve a definition in time.
    """
    import httpx2

    try:
        _seed(client, site, definitions, converter)
    except httpx2.TransportError as error:
        msg = f"{site.cluster}: the API server at {client.base_url} went away while it was seeded: {error}"
        raise LabError(msg) from error


def use_converter(client: httpx2.Client, converter: Converter) -> None:
    """Have HyperConvergeds converted by somebody, and return once they are.

    Does nothing where that is so already, or where somebody removed the definition. Raises LabError.
    """
    path = f"{COLLECTIONS['CustomResourceDefinition']}/{HYPERCONVERGED}"
    response = client.get(path)
    if response.status_code == 404:
        return
    old = _checked(response)["spec"]["conversion"]
    if old == converter.conversion:
        return
    patch = {"spec": {"conversion": converter.conversion}}
    kind = {"Content-Type": "application/merge-patch+json"}
    _checked(client.patch(path, json=patch, headers=kind, params={"fieldManager": MANAGER}))
    before = old.get("webhook", {}).get("clientConfig", {}).get("url", converter.url)
    for version in ("v1", "v1beta1"):
        deadline = time.monotonic() + TIMEOUT
        while not _converts(client, version, other=before) and time.monotonic() < deadline:
            time.sleep(0.05)


def _converts(client: httpx2.Client, version: str, *, other: str) -> bool:
    """Whether no `other` one is asked any more; whoever has its port now may let the API server wait."""
    import httpx2

    try:
        return other not in client.get(f"/apis/hco.kubevirt.io/{version}/hyperconvergeds", timeout=1).text
    except httpx2.TimeoutException:
        return False


def _seed(client: httpx2.Client, site: Site, definitions: Iterable[Definition], converter: Converter | None) -> None:
    by_name = {definition["metadata"]["name"]: definition for definition in definitions}
    if converter:
        served = by_name[HYPERCONVERGED]
        by_name[HYPERCONVERGED] = served | {"spec": served["spec"] | {"conversion": converter.conversion}}
    for definition in by_name.values():
        _create(client, COLLECTIONS["CustomResourceDefinition"], definition, manager=MANAGER)
    _wait_until_served(client, by_name.values())
    for name in SEEDED:
        _backdate(client, name)
    for item in seeds.cluster_objects(site):
        collection = COLLECTIONS[item["kind"]]
        created = _create(client, collection, item, manager=MANAGER)
        if "status" in item and "status" not in created:
            _replace(client, collection, created | {"status": item["status"]}, manager=MANAGER, subresource="/status")
    _seed_hyperconverged(client, by_name[HYPERCONVERGED])


def _seed_hyperconverged(client: httpx2.Client, definition: Definition) -> None:
    item = seeds.hyperconverged(definition)
    collection = f"/apis/{item['apiVersion']}/namespaces/{item['metadata']['namespace']}/hyperconvergeds"
    created = _create(client, collection, item, manager="kubectl-create")
    # A status is the last thing it gets: one that has it was seeded before, and is the user's since.
    if "status" not in created:
        adopted = _replace(client, collection, seeds.adopted(created), manager=seeds.OPERATOR)
        status = seeds.hyperconverged_status(definition, generation=adopted["metadata"]["generation"])
        _replace(client, collection, adopted | {"status": status}, manager=seeds.OPERATOR, subresource="/status")


def _wait_until_served(client: httpx2.Client, definitions: Iterable[Definition]) -> None:
    """Wait for discovery to list every version: before, clients answer that there is no such resource."""
    wanted = {
        (definition["spec"]["group"], version["name"], definition["spec"]["names"]["plural"])
        for definition in definitions
        for version in definition["spec"]["versions"]
        if version["served"]
    }
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    deadline = time.monotonic() + TIMEOUT
    while True:
        served = {
            (group["metadata"]["name"], version["version"], resource["resource"])
            for group in _checked(client.get("/apis", headers=accept))["items"]
            for version in group["versions"]
            for resource in version.get("resources", ())
        }
        if wanted <= served:
            return
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(f"{plural}.{version}.{group}" for group, version, plural in wanted - served))
            msg = f"the API server at {client.base_url} does not serve {missing} after {TIMEOUT:.0f} s"
            raise LabError(msg)
        time.sleep(0.02)


def _backdate(client: httpx2.Client, name: str) -> None:
    """Say of the definition `name` that it has been served for long.

    For two seconds after it started to serve a resource, an API server delays each creation of one by two seconds, so
    that other API servers of the same cluster can catch up. There are none.
    """
    path = f"{COLLECTIONS['CustomResourceDefinition']}/{name}"
    definition = _checked(client.get(path))
    for condition in definition["status"]["conditions"]:
        condition["lastTransitionTime"] = "2000-01-01T00:00:00Z"
    _checked(client.put(f"{path}/status", json=definition, params={"fieldManager": MANAGER}))


def _create(client: httpx2.Client, collection: str, item: Object, *, manager: str) -> Object:
    """Create `item`; return it, or what is there in its place."""
    params = {"fieldManager": manager, "fieldValidation": "Strict"}
    response = client.post(collection, json=item, params=params)
    if response.status_code == 409:
        response = client.get(f"{collection}/{item['metadata']['name']}")
    return _checked(response)


def _replace(client: httpx2.Client, collection: str, item: Object, *, manager: str, subresource: str = "") -> Object:
    path = f"{collection}/{item['metadata']['name']}{subresource}"
    return _checked(client.put(path, json=item, params={"fieldManager": manager, "fieldValidation": "Strict"}))


def _checked(response: httpx2.Response) -> dict[str, Any]:
    if response.is_error:
        request, reason = response.request, " ".join(response.text.split())
        msg = f"the API server answered {request.method} {request.url.path} with {response.status_code}: {reason}"
        raise LabError(msg)
    body: dict[str, Any] = response.json()
    return body
