"""A small virtual machine of our own that is moved between clusters, and the two migrations that move it. Pure.

It has neither disks, nor an image, nor a network, nor a guest: firmware that finds nothing to boot goes on running, as
KubeVirt's own tests have it (tests/libvmifact, NewGuestless). Source of the fields: KubeVirt, docs of the user guide,
compute/decentralized_live_migration.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.ownership import labels
from mignet.kube.kinds import MACHINE, MIGRATION

if TYPE_CHECKING:
    from config.stack import Stack
    from mignet.kube.kinds import Object

CROSSING = "migration-network.io/crossing"
"""Label of everything that a run creates; its value is the run."""
RECEIVER = "WaitAsReceiver"
"""The run strategy of a machine that waits for another cluster to send it."""
RESTORED_STRATEGY = "kubevirt.io/restore-run-strategy"
"""Annotation of such a machine: the strategy that counts once it has arrived."""
TARGET = "kubevirt.io/create-migration-target"
"""Annotation of an instance that waits to be sent, until it has arrived."""
ONCE = "Once"
"""The strategy under which KubeVirt never starts a machine a second time, however it ended: none runs twice by it."""
MEMORY = "128Mi"


def machine(stack: Stack, run: str, firmware: str, *, receives: bool, model: str | None = None) -> Object:
    """Return the machine as a cluster has it that sends it or `receives` it; `firmware` is its UUID, the same on both.

    `model` is a CPU model that both clusters have; without one it is KubeVirt's default.
    """
    domain: Object = {
        "devices": {"autoattachPodInterface": False, "autoattachGraphicsDevice": False},
        "firmware": {"uuid": firmware},
        "memory": {"guest": MEMORY},
    }
    if model:
        domain["cpu"] = {"model": model}
    annotations = {"annotations": {RESTORED_STRATEGY: ONCE}} if receives else {}
    return {
        "apiVersion": MACHINE.api_version,
        "kind": MACHINE.kind,
        "metadata": _metadata(stack, run, name_of_run(run)) | annotations,
        "spec": {
            "runStrategy": RECEIVER if receives else ONCE,
            "template": {
                "metadata": {"labels": {CROSSING: run}},
                # There is nothing to shut down, and a machine that is left behind must not hold up a drain.
                "spec": {"domain": domain, "evictionStrategy": "None", "terminationGracePeriodSeconds": 0},
            },
        },
    }


def receiving(stack: Stack, run: str, leg: int) -> Object:
    """Return the migration of the cluster that receives, of the way there (0) or back (1)."""
    return _migration(stack, run, leg, "in", {"receive": {"migrationID": _id(run, leg)}})


def sending(stack: Stack, run: str, leg: int, address: str) -> Object:
    """Return the migration of the cluster that sends to the sync controller at `address`, which has a port."""
    return _migration(stack, run, leg, "out", {"sendTo": {"migrationID": _id(run, leg), "connectURL": address}})


def name_of_run(run: str) -> str:
    """Return the name of the machine of a run, on both clusters."""
    return f"mignet-crossing-{run}"


def _migration(stack: Stack, run: str, leg: int, side: str, spec: Object) -> Object:
    return {
        "apiVersion": MIGRATION.api_version,
        "kind": MIGRATION.kind,
        "metadata": _metadata(stack, run, f"{name_of_run(run)}-{leg}-{side}"),
        "spec": {"vmiName": name_of_run(run)} | spec,
    }


def _id(run: str, leg: int) -> str:
    return f"{name_of_run(run)}-{leg}"


def _metadata(stack: Stack, run: str, name: str) -> Object:
    return {"name": name, "namespace": stack.cluster.namespace, "labels": labels(stack.name) | {CROSSING: run}}
