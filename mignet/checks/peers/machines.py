"""Virtual machines that run on two clusters."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from config.finding import Finding, rule
from mignet.kube.kinds import INSTANCE
from mignet.kube.objects import name_of, value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.peers.endpoint import Side
    from mignet.checks.peers.pair_rules import Pair
    from mignet.kube.kinds import Object

RUNNING = "Running"
_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
"""KubeVirt derived a machine's firmware UUID from its name by it, the same on every cluster (pkg/virt-controller)."""


@rule("vm-runs-twice")
def runs_twice(pair: Pair) -> Iterator[Finding]:
    """One machine that runs on two clusters writes to its disks, and answers for its addresses, twice.

    It comes of a migration that one side takes for failed and the other for done (kubevirt#17261).
    """
    for mine, theirs in _same(pair.one, pair.other):
        for side, instance, other in ((pair.one, mine, pair.other), (pair.other, theirs, pair.one)):
            yield Finding(
                name_of(instance | {"kind": INSTANCE.kind}),
                None,
                f"runs here and on the cluster of {other.name} too, after one migration",
                "Find out which of the two has served its users since, and stop the other one; migrate neither before",
                stack=side.name,
                peer=other.name,
            )


def _same(one: Side, other: Side) -> Iterator[tuple[Object, Object]]:
    """Yield each machine that runs on both sides, as each has it."""
    theirs = _running(other)
    by_uid = {each["metadata"]["uid"]: each for each in theirs}
    by_firmware = {key: each for each in theirs if (key := _firmware(each))}
    by_partner = {uid: each for each in theirs for uid in partners(each)}
    for mine in _running(one):
        found = next((by_uid[uid] for uid in partners(mine) if uid in by_uid), None)
        found = found or by_partner.get(mine["metadata"]["uid"]) or by_firmware.get(_firmware(mine) or "")
        if found is not None:
            yield mine, found


def partners(instance: Object) -> tuple[str, ...]:
    """Return the UIDs that a machine had on the other sides of its last migration, as far as it names them."""
    own = instance["metadata"].get("uid")
    uids = (
        value_at(instance, f"status.migrationState.{side}.virtualMachineInstanceUID")
        for side in ("sourceState", "targetState")
    )
    return tuple(str(uid) for uid in uids if uid and uid != own)


def _firmware(instance: Object) -> str | None:
    """Return namespace and firmware UUID of a machine; None where the UUID is no other than its name."""
    metadata = instance["metadata"]
    found = str(value_at(instance, "spec.domain.firmware.uuid") or "").lower()
    if not found or found == str(uuid.uuid5(_NAMESPACE, metadata["name"])):
        return None
    return f"{metadata['namespace']}/{found}"


def _running(side: Side) -> list[Object]:
    if side.seen is None:
        return []
    return [each for each in side.seen.all(INSTANCE) if value_at(each, "status.phase") == RUNNING]
