"""Whether somebody takes back the addresses of pods that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment.ipam import Whereabouts
from config.finding import Finding, rule
from mignet.kube.kinds import CRON_JOB, DAEMON_SET, DEPLOYMENT, OPENSHIFT_OPERATOR_NETWORK
from mignet.kube.snapshot import Read, where_served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.checks.preflight.seen import Seen
    from mignet.kube.kinds import Object

NAMESPACES = ("openshift-multus", "kube-system")
"""Where whereabouts lives: on OpenShift, and elsewhere."""
RECONCILER, JOB, PLUGIN = "whereabouts-reconciler", "ip-reconciler", "whereabouts"
SHIM = "whereabouts-shim"
"""The additional network by which the network operator of OpenShift is told to run the reconciler."""


def reads(stack: Stack) -> list[Read]:
    """Return what is read for it: nothing where whereabouts is not used."""
    if not isinstance(stack.attachment.ipam, Whereabouts):
        return []
    workloads = [Read(kind, where, name) for where in NAMESPACES for kind, name in _WORKLOADS]
    return [*workloads, Read(OPENSHIFT_OPERATOR_NETWORK, name="cluster")]


_WORKLOADS = ((DAEMON_SET, RECONCILER), (DEPLOYMENT, RECONCILER), (CRON_JOB, JOB), (DAEMON_SET, PLUGIN))
"""The forms that it had: on OpenShift a DaemonSet of its own; upstream a Deployment (0.9.4), before that a part of the
plugin's own DaemonSet, and first a CronJob."""
_LOOP = "ip-control-loop"
"""What the plugin's DaemonSet runs where it reconciles as well; from 0.9.4 on it only installs the plugin."""


@rule("reconciler-missing", severity="warning")
def reconciler_missing(seen: Seen) -> Iterator[Finding]:
    """Leases of pods that are gone stay until a reconciler frees them: the slice fills up, and pods wait for ever."""
    if not isinstance(seen.stack.attachment.ipam, Whereabouts):
        return
    live = (seen.one(kind, name, where) for where in NAMESPACES for kind, name in _WORKLOADS)
    if any(each is not None and _reconciles(each) for each in live) or _shim(seen):
        return
    yield Finding(
        f"DaemonSet {NAMESPACES[0]}/{RECONCILER}",
        None,
        "does not exist, nor does another reconciler of whereabouts: leases of pods that are gone are never freed",
        f"On OpenShift, add an additional network {SHIM} with ipam whereabouts to the network operator's configuration;"
        " elsewhere, deploy the reconciler",
    )


def _reconciles(live: Object) -> bool:
    if live["metadata"]["name"] != PLUGIN:
        return True
    containers = live.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or ()
    words = (word for each in containers for key in ("command", "args") for word in each.get(key) or ())
    return any(_LOOP in str(word) for word in words)


def _shim(seen: Seen) -> bool:
    """Tell whether the network operator of OpenShift has been told of whereabouts: then it runs the reconciler."""
    network = where_served(lambda: seen.one(OPENSHIFT_OPERATOR_NETWORK, "cluster"), None) or {}
    networks = network.get("spec", {}).get("additionalNetworks") or ()
    return any('"whereabouts"' in str(each.get("rawCNIConfig", "")).replace(" ", "") for each in networks)


RULES = (reconciler_missing,)
