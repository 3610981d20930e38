"""Virtual machines that run on two clusters, or on none, after a migration between the two.

How both sides look while one moves, in KubeVirt 1.8 (pkg/virt-handler/migration-source.go and migration-target.go,
pkg/virt-controller/watch/vmi/lifecycle.go): the target is WaitingForSync, Scheduling and Scheduled until its domain is
active, and the source Running. Both are Running for the moment until the target reports that it has the machine, which
it has 60 seconds for after the end of the copy, and in post-copy until the last page has come. Then the source is
Succeeded. A target whose migration failed is WaitingForSync again.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from config.finding import Finding, rule
from mignet.checks.peers.endpoint import WAITING, endpoint
from mignet.kube.kinds import INSTANCE, MIGRATION
from mignet.kube.kubevirt.pods import moment
from mignet.kube.objects import full_name, name_of, value_at
from mignet.kube.snapshot import UnreadError
from mignet.kube.source import current_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.peers.endpoint import Side
    from mignet.checks.peers.pair_rules import Pair
    from mignet.kube.kinds import Object

RUNNING = "Running"
HAND_OVER = 60.0
"""Seconds that a source gives its target after the end of a migration (hasTargetDetectedReadyDomain)."""
_FINAL = {"Succeeded", "Failed"}
_NOT_STARTED = {None, "", "Pending", WAITING, "Scheduling", "Scheduled"}
_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
"""KubeVirt derived a machine's firmware UUID from its name by it, the same on every cluster (pkg/virt-controller)."""


@rule("vm-runs-twice")
def runs_twice(pair: Pair) -> Iterator[Finding]:
    """One machine that runs on two clusters writes to its disks, and answers for its addresses, twice.

    It comes of a migration that one side takes for failed and the other for done (kubevirt#17261).
    """
    for mine, theirs in _same(pair.one, pair.other):
        if _handing_over(mine, theirs):
            continue
        facts = f"{_facts(pair.one, mine)}; {_facts(pair.other, theirs)}"
        for side, instance, other in ((pair.one, mine, pair.other), (pair.other, theirs, pair.one)):
            yield Finding(
                name_of(instance | {"kind": INSTANCE.kind}),
                None,
                f"runs here and on the cluster of {other.name} too, after one migration",
                f"Find out which of the two has served its users since ({facts}), and stop the other one first; migrate"
                " neither before, and never start both from one disk",
                stack=side.name,
                peer=other.name,
            )


@rule("vm-runs-nowhere")
def runs_nowhere(pair: Pair) -> Iterator[Finding]:
    """A machine that has left one cluster and did not start on the other serves nobody, and nothing starts it."""
    for source, target in ((pair.one, pair.other), (pair.other, pair.one)):
        if source.seen is None or target.seen is None:
            continue
        there = source.instances
        for instance in target.instances:
            if not did_not_start(instance):
                continue
            left = next((each for each in there if each["metadata"].get("uid") in partners(instance)), None)
            left = left or next((each for each in there if instance["metadata"].get("uid") in partners(each)), None)
            if left is None and not _came_from(instance, source, there):
                continue
            if left is not None and (_phase(left) not in _FINAL or _handing_over(left, instance)):
                continue
            was = _facts(source, left) if left else f"{source.name}: gone"
            yield Finding(
                name_of(instance | {"kind": INSTANCE.kind}),
                None,
                f"has left the cluster of {source.name} and does not run here: {was}; {_facts(target, instance)}",
                "Cancel what is open of the migration on both sides, look which side's disks are whole, and start the"
                f" virtual machine on that one: on {source.name}, unless the copy here is known to be complete; never"
                " start both from one disk",
                stack=target.name,
                peer=source.name,
            )


RULES = (runs_twice, runs_nowhere)


def _same(one: Side, other: Side) -> Iterator[tuple[Object, Object]]:
    """Yield each machine that runs on both sides, as each has it."""
    theirs = _running(other)
    by_uid = {each["metadata"]["uid"]: each for each in theirs}
    by_firmware = {key: each for each in theirs if (key := firmware(each))}
    by_partner = {uid: each for each in theirs for uid in partners(each)}
    for mine in _running(one):
        found = next((by_uid[uid] for uid in partners(mine) if uid in by_uid), None)
        found = found or by_partner.get(mine["metadata"]["uid"]) or by_firmware.get(firmware(mine) or "")
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


def _handing_over(one: Object, other: Object) -> bool:
    """Tell whether two sides of one machine are in the midst of a migration, or were until a moment ago."""
    if one["metadata"].get("uid") not in partners(other) and other["metadata"].get("uid") not in partners(one):
        return False
    states = [_state(each) for each in (one, other)]
    ends = [moment(str(each["endTimestamp"])) for each in states if each.get("endTimestamp")]
    if ends:
        return (current_time() - max(ends)).total_seconds() < HAND_OVER
    return not any(each.get("completed") or each.get("failed") for each in states)


def did_not_start(instance: Object) -> bool:
    """Tell whether a machine waits to start here, or failed to at the end of a migration."""
    phase = _phase(instance)
    return phase in _NOT_STARTED or (phase == "Failed" and bool(_state(instance).get("failed")))


def _came_from(instance: Object, source: Side, there: tuple[Object, ...]) -> bool:
    """Tell whether a machine that waits here was of a cluster that has it no more, nor one of its name that runs."""
    address, _ = endpoint(str(value_at(_state(instance), "sourceState.syncAddress") or ""), source.port)
    if address is None or not partners(instance) or not any(address in span for span in source.stack.spans):
        return False
    name = [instance["metadata"][key] for key in ("namespace", "name")]
    return not any([each["metadata"][key] for key in ("namespace", "name")] == name for each in there)


def _facts(side: Side, instance: Object) -> str:
    """Say how one side has a machine: `dev: Running on node worker-1 since …, migration shop/move Failed`."""
    status, state = instance.get("status", {}), _state(instance)
    node = f" on node {status['nodeName']}" if status.get("nodeName") else ""
    passed = [each for each in status.get("phaseTransitionTimestamps") or () if each.get("phase") == _phase(instance)]
    since = f" since {passed[-1]['phaseTransitionTimestamp']}" if passed else ""
    address = state.get("targetNodeAddress") or value_at(state, "targetState.nodeAddress")
    parts = (
        f"{side.name}: {_phase(instance) or 'no phase'}{node}{since}",
        *_migrations(side, instance),
        f"migrated to {address}" if address else "",
    )
    return ", ".join(filter(None, parts))


def _migrations(side: Side, instance: Object) -> Iterator[str]:
    """Yield the machine's last migration on a side, where it can be read."""
    try:
        found = side.seen.all(MIGRATION, instance["metadata"]["namespace"]) if side.seen else ()
    except (UnreadError, KeyError):
        return
    own = [each for each in found if each["spec"].get("vmiName") == instance["metadata"]["name"]]
    for each in sorted(own, key=lambda one: str(one["metadata"].get("creationTimestamp")))[-1:]:
        name = full_name(each)
        yield f"{MIGRATION.kind} {name} {value_at(each, 'status.phase') or 'not looked at by KubeVirt'}"


def _state(instance: Object) -> dict[str, Any]:
    state: dict[str, Any] = instance.get("status", {}).get("migrationState") or {}
    return state


def _phase(instance: Object) -> str | None:
    phase: str | None = instance.get("status", {}).get("phase")
    return phase


def firmware(instance: Object) -> str | None:
    """Return namespace and firmware UUID of a machine; None where the UUID is no other than its name."""
    metadata = instance["metadata"]
    found = str(value_at(instance, "spec.domain.firmware.uuid") or "").lower()
    if not found or found == str(uuid.uuid5(_NAMESPACE, metadata["name"])):
        return None
    return f"{metadata['namespace']}/{found}"


def _running(side: Side) -> list[Object]:
    return [each for each in side.instances if value_at(each, "status.phase") == RUNNING]
