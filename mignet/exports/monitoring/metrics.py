"""The metrics that alerts and the dashboard ask for: our own, and those of the operators by their names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from mignet.outputs.openmetrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mignet.outputs.openmetrics import Metric


class Upstream(NamedTuple):
    """A metric of somebody else, with the labels that matter here, and whose it is."""

    name: str
    labels: tuple[str, ...]
    source: str


_CONTROLLER = "kubevirt/kubevirt, pkg/monitoring/metrics/virt-controller/migrationstats_collector.go"
_HANDLER = "kubevirt/kubevirt, pkg/monitoring/metrics/virt-handler/migrationdomainstats/migrationstats_collector.go"
_NMSTATE = "nmstate/kubernetes-nmstate, pkg/monitoring/metrics.go, since 0.86 (OpenShift 4.22)"
_HCO = "kubevirt/hyperconverged-cluster-operator, docs/metrics.md"

PENDING = Upstream("kubevirt_vmi_migrations_in_pending_phase", (), _CONTROLLER)
SCHEDULING = Upstream("kubevirt_vmi_migrations_in_scheduling_phase", (), _CONTROLLER)
RUNNING = Upstream("kubevirt_vmi_migrations_in_running_phase", (), _CONTROLLER)
SUCCEEDED = Upstream("kubevirt_vmi_migration_succeeded", ("namespace", "vmi", "vmim"), _CONTROLLER)
FAILED = Upstream("kubevirt_vmi_migration_failed", ("namespace", "vmi", "vmim"), _CONTROLLER)
REMAINING = Upstream("kubevirt_vmi_migration_data_remaining_bytes", ("namespace", "name", "node"), _HANDLER)
DIRTIED = Upstream("kubevirt_vmi_migration_dirty_memory_rate_bytes", ("namespace", "name", "node"), _HANDLER)
COPIED = Upstream("kubevirt_vmi_migration_memory_transfer_rate_bytes", ("namespace", "name", "node"), _HANDLER)
COPIED_BEFORE = Upstream("kubevirt_vmi_migration_disk_transfer_rate_bytes", ("namespace", "name", "node"), _HANDLER)
"""The same, as KubeVirt called it before."""
POLICIES = Upstream("kubernetes_nmstate_policies_status", ("status",), _NMSTATE)
ENACTMENTS = Upstream("kubernetes_nmstate_enactments_status", ("node", "status"), _NMSTATE)
HEALTH = Upstream("kubevirt_hco_system_health_status", (), _HCO)
UNSAFE = Upstream("kubevirt_hco_unsafe_modifications", ("annotation_name",), _HCO)

UPSTREAM = (
    *(PENDING, SCHEDULING, RUNNING, SUCCEEDED, FAILED),
    *(REMAINING, DIRTIED, COPIED, COPIED_BEFORE),
    *(POLICIES, ENACTMENTS, HEALTH, UNSAFE),
)
LABELS = {each.name: each.labels for each in (*METRICS, *UPSTREAM)}
"""Every metric that an expression may name, with the labels that it may match."""


def series(metric: Metric | Upstream, *matchers: str) -> str:
    """Write what selects series of a metric."""
    given = ",".join(each for each in matchers if each)
    return f"{metric.name}{{{given}}}" if given else metric.name


def of_stacks(names: Sequence[str]) -> str:
    r"""Write what matches the series of some stacks; "" of all, where none is named.

    >>> of_stacks(["prod-1", "a.b"])
    'stack=~"prod-1|a\\\\.b"'
    """
    # A name has letters, digits, dots, dashes and underscores: only a dot means more to a pattern.
    pattern = "|".join(re.sub(r"[^A-Za-z0-9_-]", lambda found: f"\\{found[0]}", name) for name in names)
    return f"stack=~{json.dumps(pattern, ensure_ascii=False)}" if names else ""
