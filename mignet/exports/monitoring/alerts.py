"""The alerts: on what mignet found, on migrations as KubeVirt tells of them, and on uplinks as kubernetes-nmstate does.

An alert is for what somebody has to look at: nothing fires for a state that the next look no longer finds, and nothing
twice for one cause. `critical` is what harms virtual machines now, `warning` what will when they have to move, `info`
what can wait. What HCO and KubeVirt alert on by themselves is left to them. Source: OpenShift's alerting guidelines
(openshift/enhancements, alerting-consistency.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mignet.exports.monitoring import metrics
from mignet.exports.monitoring.metrics import of_stacks, series
from mignet.outputs import openmetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSED = 3
"""Looks that may be missed in a row before somebody is told."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: it fires for each series of `expr` that there is for `minutes` on end."""

    name: str
    expr: str
    minutes: int
    severity: Literal["critical", "warning", "info"]
    summary: str
    description: str

    def rule(self, runbooks: str) -> dict[str, Any]:
        """Return it as Prometheus reads it; `runbooks` is the address of docs/runbooks.md."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": f"{self.minutes}m",
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}#{self.name.lower()}",
            },
        }


def own(names: Sequence[str], every: int) -> list[Alert]:
    """Return the alerts on what mignet found about some stacks, or all, which it looks at `every` so many seconds."""
    which = of_stacks(names)
    # So long that a second look has found the same.
    twice = -(-every * 3 // 2 // 60) + 1
    missed = MISSED * every
    away = f"count(max by (stack) ({series(openmetrics.REACHABLE, _PEERS)}) == 0) or vector(0)"
    paths = f"max by (stack) ({series(openmetrics.PATHS, which)})"
    ready = f"max by (stack) ({series(openmetrics.READY, which)})"
    here = f"and on (stack) max by (stack) ({series(openmetrics.REACHABLE, _PEERS, which)}) == 1"
    looked = series(openmetrics.LOOKED, which)
    unread = f'code!~"{"|".join(sorted(openmetrics.NO_ANSWER))}"'
    return [
        Alert(
            "MigrationNetworkMachineAstray",
            f"sum by (stack, code) ({series(openmetrics.FINDINGS, _PEERS, _ASTRAY, which)}) > 0",
            1,
            "critical",
            "A virtual machine runs on two clusters, or on none, after a migration between them.",
            "{{ $value }} virtual machines of {{ $labels.stack }}: {{ $labels.code }}. On two clusters, each writes to"
            " the same disks; migrate and start nothing before one of them is stopped.",
        ),
        Alert(
            "MigrationNetworkVerifyFailed",
            f"sum by (stack) ({series(openmetrics.FINDINGS, _VERIFY, _ERROR, unread, which)}) > 0",
            twice,
            "warning",
            "The migration network of {{ $labels.stack }} does not work as it is declared.",
            "mignet verify has found {{ $value }} errors on {{ $labels.stack }}, in two looks. Migrations there may"
            " fail, or take another network.",
        ),
        Alert(
            "MigrationNetworkDrifted",
            f"max by (stack) ({series(openmetrics.DRIFTED, which)}) == 1",
            twice,
            "warning",
            "The cluster of {{ $labels.stack }} differs from what its stack file declares.",
            "mignet drift has found so in two looks. Somebody changed the cluster, or the stack file is not applied.",
        ),
        Alert(
            "MigrationNetworkClusterUnreachable",
            f"max by (stack) ({series(openmetrics.REACHABLE, which)}) == 0",
            twice,
            "warning",
            "mignet cannot look at the cluster of {{ $labels.stack }}.",
            "No verb could, in two looks. Of its migration network nothing is known until that works.",
        ),
        Alert(
            "MigrationNetworkIsolated",
            f"{ready} == 0 and {paths} > on () group_left () ({away}) {here}",
            60,
            "warning",
            "{{ $labels.stack }} can exchange virtual machines with no other cluster.",
            "mignet peers finds no path from {{ $labels.stack }} ready, and other clusters can be reached.",
        ),
        Alert(
            "MigrationNetworkPathsNotReady",
            f"({paths} - {ready}) > on () group_left () ({away}) and {ready} > 0 {here}",
            60,
            "info",
            "{{ $labels.stack }} cannot exchange virtual machines with every other cluster.",
            "mignet peers finds {{ $value }} paths from {{ $labels.stack }} not ready: more than clusters are away.",
        ),
        Alert(
            "MigrationNetworkNotJudged",
            f"max by (stack, verb) ({series(openmetrics.NOT_JUDGED, which)}) > 0",
            max(60, 2 * twice),
            "info",
            "Rules about {{ $labels.stack }} could not be judged.",
            "mignet {{ $labels.verb }} could not judge {{ $value }} rules about {{ $labels.stack }}. What is not judged"
            " is not fine: a right may be missing, or an API not answer.",
        ),
        Alert(
            "MigrationNetworkLookStale",
            f"count by (verb) (time() - max by (stack, verb) ({looked}) > {missed})",
            5,
            "warning",
            "mignet {{ $labels.verb }} has not looked at {{ $value }} stacks for a while.",
            f"Their last look is more than {missed} seconds ago, of which one is due every {every}. What is shown of"
            " them is old.",
        ),
        Alert(
            "MigrationNetworkNotWatched",
            f"absent({looked})",
            -(-missed // 60),
            "warning",
            "Nothing is known of any migration network.",
            "No result of mignet reaches this Prometheus: nothing looks, or what it says is not scraped.",
        ),
    ]


def of_the_cluster() -> list[Alert]:
    """Return the alerts on what KubeVirt and kubernetes-nmstate tell of their own cluster."""
    pending, scheduling, running = (
        f"sum({series(each)})" for each in (metrics.PENDING, metrics.SCHEDULING, metrics.RUNNING)
    )
    failed, succeeded = (_new(each) for each in (metrics.FAILED, metrics.SUCCEEDED))
    copied = f"({series(metrics.COPIED)} or {series(metrics.COPIED_BEFORE)})"
    return [
        Alert(
            "MigrationNetworkMigrationsFail",
            f"{failed} >= 3 and {failed} > ({succeeded} or vector(0))",
            5,
            "warning",
            "More live migrations fail than succeed.",
            "{{ $value }} live migrations have failed within an hour, and fewer have succeeded.",
        ),
        Alert(
            "MigrationNetworkTargetsDoNotStart",
            f"{scheduling} > 0 and {running} == 0",
            15,
            "warning",
            "Live migrations wait for target pods that do not start.",
            "For 15 minutes there were migrations whose target pod is being scheduled, {{ $value }} now, and none that"
            " copies.",
        ),
        Alert(
            "MigrationNetworkMigrationsWait",
            f"{pending} > 0 and {running} + {scheduling} == 0",
            15,
            "warning",
            "Live migrations wait, and none runs.",
            "{{ $value }} live migrations are pending, and for 15 minutes none was under way.",
        ),
        Alert(
            "MigrationNetworkMigrationOutpaced",
            f"max by (namespace, name) ({series(metrics.DIRTIED)}) > max by (namespace, name) {copied}",
            15,
            "info",
            "{{ $labels.namespace }}/{{ $labels.name }} writes memory faster than its migration copies it.",
            "It has been so for 15 minutes, at {{ $value | humanize1024 }}B/s: the migration ends at its time limit, or"
            " in post-copy where that is allowed.",
        ),
        Alert(
            "MigrationNetworkPolicyDegraded",
            f"sum({series(metrics.POLICIES, _status('Degraded'))}) > 0",
            15,
            "warning",
            "A NodeNetworkConfigurationPolicy is degraded.",
            "{{ $value }} policies are. kubernetes-nmstate does not say which by its metrics; one may be the uplink of"
            " the migration network.",
        ),
        Alert(
            "MigrationNetworkPolicyStuck",
            f"sum by (node) ({series(metrics.ENACTMENTS, _status('Progressing'))}) > 0",
            30,
            "info",
            "kubernetes-nmstate does not get done with {{ $labels.node }}.",
            "{{ $value }} policies have been progressing on {{ $labels.node }} for 30 minutes.",
        ),
    ]


_PEERS = 'verb="peers"'
_VERIFY = 'verb="verify"'
_ERROR = 'severity="error"'
_ASTRAY = 'code=~"vm-runs-twice|vm-runs-nowhere"'


def _status(name: str) -> str:
    return f'status="{name}"'


def _new(metric: metrics.Upstream) -> str:
    """Write how many migrations have an end that they had not an hour ago; a restart of virt-controller is no end."""
    one = series(metric)
    return f"count(max by (namespace, vmim) ({one} == 1) unless on (namespace, vmim) {one} offset 1h)"
