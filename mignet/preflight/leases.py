"""Whether somebody takes back the addresses of pods that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.findings import Finding, rule
from config.ipam import Whereabouts
from mignet.kinds import CRON_JOB, DAEMON_SET, OPENSHIFT_OPERATOR_NETWORK
from mignet.snapshot import Read, UnreadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.preflight.seen import Seen

NAMESPACES = ("openshift-multus", "kube-system")
"""Where whereabouts lives: on OpenShift, and elsewhere."""
RECONCILER, JOB = "whereabouts-reconciler", "ip-reconciler"
SHIM = "whereabouts-shim"
"""The additional network by which the network operator of OpenShift is told to run the reconciler."""


def reads(stack: Stack) -> list[Read]:
    """Return what is read for it: nothing where whereabouts is not used."""
    if not isinstance(stack.attachment.ipam, Whereabouts):
        return []
    workloads = [Read(kind, where, name) for where in NAMESPACES for kind, name in _WORKLOADS]
    return [*workloads, Read(OPENSHIFT_OPERATOR_NETWORK, name="cluster")]


_WORKLOADS = ((DAEMON_SET, RECONCILER), (CRON_JOB, JOB))


@rule("reconciler-missing")
def reconciler_missing(seen: Seen) -> Iterator[Finding]:
    """Leases of pods that are gone stay until a reconciler frees them: the slice fills up, and pods wait for ever."""
    if not isinstance(seen.stack.attachment.ipam, Whereabouts):
        return
    if any(seen.one(kind, name, where) for where in NAMESPACES for kind, name in _WORKLOADS) or _shim(seen):
        return
    yield seen.finding(
        "warning",
        "reconciler-missing",
        f"DaemonSet {NAMESPACES[0]}/{RECONCILER}",
        "does not exist, nor does another reconciler of whereabouts: leases of pods that are gone are never freed",
        f"On OpenShift, add an additional network {SHIM} with ipam whereabouts to the network operator's configuration;"
        " elsewhere, deploy the reconciler",
    )


def _shim(seen: Seen) -> bool:
    """Tell whether the network operator of OpenShift has been told of whereabouts: then it runs the reconciler."""
    try:
        network = seen.one(OPENSHIFT_OPERATOR_NETWORK, "cluster") or {}
    except UnreadError as unread:
        if unread.error.reason == "not-served":
            return False
        raise
    networks = network.get("spec", {}).get("additionalNetworks") or ()
    return any('"whereabouts"' in str(each.get("rawCNIConfig", "")).replace(" ", "") for each in networks)


RULES = (reconciler_missing,)
