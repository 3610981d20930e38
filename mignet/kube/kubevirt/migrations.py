"""Migrations that are under way on a cluster, in it or between it and another: a restart of handlers fails them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import few
from mignet.kube.client import ClusterError
from mignet.kube.kinds import FORKLIFT_PLAN, MIGRATION
from mignet.kube.objects import full_name, value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object

ENDED = {"Succeeded", "Failed"}
"""Phases of a VirtualMachineInstanceMigration that has ended. Source: KubeVirt's api/core/v1, MigrationPhase."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of the migration toolkit that moves running machines now; `since` is empty where it does not say."""

    name: str
    """As `namespace/name`."""
    since: str
    machines: tuple[str, ...]
    """Those that have not arrived, by name, with their namespace where the plan has it."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs, each by its name, and why it is not known whether plans of the migration toolkit do, if it is not."""

    names: tuple[str, ...] = ()
    unknown: str = ""


def is_open(migration: Object) -> bool:
    """Tell whether a VirtualMachineInstanceMigration has not ended."""
    return value_at(migration, "status.phase") not in ENDED


def running_plans(plans: Iterable[Object]) -> Iterator[Plan]:
    """Yield the plans of the migration toolkit that run, of type live.

    A cold or warm plan copies disks, which no virt-handler does, so that a restart of them fails none. Source:
    Forklift, pkg/apis/forklift/v1beta1 (PlanSpec.type, plan.MigrationStatus) and pkg/controller/plan (Executing).
    """
    for each in plans:
        status = each.get("status") or {}
        conditions = status.get("conditions") or ()
        executing = any(one.get("type") == "Executing" and one.get("status") == "True" for one in conditions)
        if executing and value_at(each, "spec.type") == "live":
            migration = status.get("migration") or {}
            machines = [one for one in migration.get("vms") or () if not one.get("completed")]
            yield Plan(
                full_name(each),
                str(migration.get("started") or ""),
                tuple(
                    "/".join(filter(None, (one.get("namespace"), one.get("name") or one.get("id")))) for one in machines
                ),
            )


async def running(cluster: Cluster) -> Running:
    """Return the migrations that have not ended, as `namespace/name`, and the plans that run. Raises ClusterError.

    One between two clusters has an object on both, so that each of them sees it. Where there is no migration toolkit,
    or no right to read its plans, there are none.
    """
    migrations, plans = await asyncio.gather(cluster.list(MIGRATION), _plans(cluster))
    names = [full_name(each) for each in migrations if is_open(each)]
    if isinstance(plans, ClusterError):
        return Running(tuple(names), f"whether plans of the migration toolkit run is not known: {plans}")
    return Running((*names, *(f"Forklift plan {each.name}" for each in running_plans(plans))))


async def _plans(cluster: Cluster) -> list[Object] | ClusterError:
    try:
        return await cluster.list(FORKLIFT_PLAN)
    except ClusterError as error:
        # Access is checked before an API is looked for.
        if error.reason == "not-served" or (error.reason == "forbidden" and not await cluster.serves(FORKLIFT_PLAN)):
            return []
        if error.reason == "forbidden":
            return error.kept()
        raise


async def in_flight(cluster: Cluster) -> list[str]:
    """Return what runs; nothing where it is not known, for want of the API or of the right. Raises ClusterError."""
    try:
        return list((await running(cluster)).names)
    except ClusterError as error:
        if error.reason in {"not-served", "forbidden"}:
            return []
        raise


def are_running(names: list[str]) -> str:
    """Begin a sentence about migrations.

    >>> are_running(["shop/a", "shop/b"])
    '2 migrations are running (shop/a, shop/b)'
    """
    return f"{len(names)} migration{' is' if len(names) == 1 else 's are'} running ({few(names)})"
