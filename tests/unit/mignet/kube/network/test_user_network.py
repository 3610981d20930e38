"""Whether the controller of a ClusterUserDefinedNetwork has made the attachment."""

from __future__ import annotations

from typing import Any

import pytest

from mignet.kube.network.user_network import made_of_a_network, not_created

OWNER = {"kind": "ClusterUserDefinedNetwork", "name": "mig", "controller": True}


def network(*conditions: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    kind = {"kind": "ClusterUserDefinedNetwork", "metadata": {"name": "mig"} | metadata}
    return kind | ({"status": {"conditions": list(conditions)}} if conditions else {})


def attachment(*owners: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "mig", "namespace": "openshift-cnv", "ownerReferences": list(owners)}}


CREATED = {"type": "NetworkCreated", "status": "True", "reason": "NetworkAttachmentDefinitionCreated"}
FAILED = {"type": "NetworkCreated", "status": "False", "reason": "SyncError", "message": "no such\nnamespace"}


@pytest.mark.parametrize(
    ("live", "made", "says"),
    [
        (network(), None, "has no condition NetworkCreated yet"),
        (network(FAILED), attachment(OWNER), "is not made (SyncError): no such namespace"),
        (network(CREATED), None, "has no NetworkAttachmentDefinition in KubeVirt's namespace"),
        (network(CREATED), attachment(), "does not keep NetworkAttachmentDefinition openshift-cnv/mig"),
        (network(CREATED, deletionTimestamp="2026-01-01T10:00:00Z"), attachment(OWNER), "is being deleted"),
    ],
)
def test_what_is_not_made_says_why(live: dict[str, Any], made: dict[str, Any] | None, says: str) -> None:
    assert says in str(not_created(live, made))


def test_what_is_made_is_the_controllers_own() -> None:
    assert not_created(network(CREATED), attachment(OWNER)) is None
    assert made_of_a_network(attachment(OWNER))
    assert not made_of_a_network(attachment(OWNER | {"name": "other"}))
    assert not made_of_a_network(attachment(OWNER | {"controller": False}))
