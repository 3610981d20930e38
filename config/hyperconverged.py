"""The live migration settings of the HyperConverged: what this stack owns of it, and how.

Source: the HyperConverged CRD of the releases 1.17 to main (hco.kubevirt.io).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from config.finding import Finding
from config.limits import quantity
from config.types.model import Model, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "kubevirt-hyperconverged"
"""The one HyperConverged that the operator acts on; it ignores any other name."""


def _rate(value: str) -> str:
    if quantity(value) is None:
        refuse("bandwidth-quantity", "is not a quantity of bytes per second", "Write it as 2048Mi")
    return value


def _some_rate(value: str) -> str:
    if (quantity(value) or 0) < 2**20:
        refuse(
            "bandwidth-small",
            "is less than 1Mi bytes per second; no migration would end",
            "Add the unit, such as 2048Mi",
        )
    return value


_QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"}
Rate = Annotated[str, AfterValidator(_rate), WithJsonSchema(_QUANTITY)]
"""Bytes per second as a quantity; 0 is no limit."""
Bandwidth = Annotated[Rate, AfterValidator(_some_rate)]


class LiveMigration(Model):
    """Limits of live migrations in this cluster. Only keys that are set here are owned by the stack.

    The schema on the cluster has no bounds; the ones here are what makes sense: with 0 migrations at a time none
    starts. A timeout of 0 is none. `network` is no key: it is the attachment's name.
    """

    parallel_migrations_per_cluster: int | None = Field(default=None, ge=1, le=1000)
    """Migrations at a time in the cluster."""
    parallel_outbound_migrations_per_node: int | None = Field(default=None, ge=1, le=100)
    """Migrations at a time that leave one node."""
    bandwidth_per_migration: Bandwidth | None = None
    """Bytes per second as a quantity, at least 1Mi; unlimited when left out."""
    completion_timeout_per_gib: int | None = Field(default=None, ge=0, le=86400, alias="completionTimeoutPerGiB")
    """Seconds for each GiB of memory and copied disk, after which a migration is cancelled, or helped along where that
    is allowed."""
    progress_timeout: int | None = Field(default=None, ge=0, le=86400)
    """Seconds without progress, after which a migration is cancelled."""
    allow_auto_converge: bool | None = None
    """Slow the guest down so that its memory stops changing faster than it is copied."""
    allow_post_copy: bool | None = None
    """Switch to post-copy: the guest runs on the target before its memory is there. From HCO 1.19 on only together with
    `allowWorkloadDisruption`."""
    allow_workload_disruption: bool | None = None
    """Pause the guest, or switch to post-copy, rather than cancel. Only HCO releases after 1.18 know it."""

    def rules(self) -> Iterator[Finding]:
        """One node cannot send more migrations than the whole cluster."""
        node, cluster = self.parallel_outbound_migrations_per_node, self.parallel_migrations_per_cluster
        if node is not None and cluster is not None and node > cluster:
            yield Finding(
                "parallelOutboundMigrationsPerNode",
                node,
                f"is above parallelMigrationsPerCluster {cluster}, which is then the limit",
                f"Lower it to at most {cluster}, or raise parallelMigrationsPerCluster",
                code="migrations-node-cluster",
            )


ApiVersion = Literal["v1beta1", "v1"]
"""The versions of the HyperConverged's API."""


class HyperConverged(Model):
    """How the HyperConverged of the cluster is patched.

    `apiVersion` chooses the API and with it the path: v1beta1 (served by every release) or v1. `onConflict` says what
    happens to a field that another field manager owns: `take-over` (shown, with its old value and owner), or `fail`.
    """

    api_version: ApiVersion = "v1beta1"
    """The API version, and with it the path; every release serves v1beta1."""
    on_conflict: Literal["take-over", "fail"] = "take-over"
    """What happens to a field that another field manager owns."""
    while_migrating: Literal["refuse", "proceed"] = "refuse"
    """What plain `pulumi up` does with a change that restarts virt-handlers while migrations run."""
    live_migration: LiveMigration = LiveMigration()
    """The limits that this stack sets."""

    def limits(self, network: str) -> dict[str, Any]:
        """Return what the stack sets of the live migration, the network included, by the HyperConverged's own keys."""
        return self.live_migration.model_dump(by_alias=True, exclude_none=True) | {"network": network}

    def spec(self, network: str) -> dict[str, Any]:
        """Return the part of the HyperConverged's spec that the stack owns, at the path of its API version."""
        settings = {"liveMigrationConfig": self.limits(network)}
        return settings if self.api_version == "v1beta1" else {"virtualization": settings}
