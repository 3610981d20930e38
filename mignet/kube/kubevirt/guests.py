"""How much of a virtual machine is copied when it migrates. Pure, given the VirtualMachineInstance.

Source: KubeVirt, pkg/virt-launcher/virtwrap/manager.go (getVMIMigrationDataSize), pkg/storage/types
(GetTotalSizeMigratedVolumes, GetDiskCapacity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.limits import quantity
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.kube.kinds import Object


def memory_of(instance: Object) -> float | None:
    """Return its memory in bytes; None where it says none."""
    guest = quantity(value_at(instance, "spec.domain.memory.guest"))
    return guest if guest is not None else quantity(value_at(instance, "spec.domain.resources.requests.memory"))


def migrated_disks(instance: Object) -> float:
    """Return the bytes of the disks that its next migration copies: those of a migration of volumes."""
    return sum(_size(each.get("sourcePVCInfo")) for each in _listed(instance, "status.migratedVolumes"))


def persistent_disks(instance: Object) -> float:
    """Return the bytes of its persistent disks, which a migration to another cluster copies."""
    return sum(_size(each.get("persistentVolumeClaimInfo")) for each in _listed(instance, "status.volumeStatus"))


def _listed(instance: Object, path: str) -> Iterator[Object]:
    found = value_at(instance, path)
    yield from (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))


def _size(claim: object) -> float:
    """Return a claim's size: the smaller one of what it has and what was asked for."""
    sizes = [quantity(value_at({"claim": claim}, f"claim.{key}.storage")) for key in ("capacity", "requests")]
    return min((each for each in sizes if each is not None), default=0.0)
