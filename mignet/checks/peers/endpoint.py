"""One side of a migration between clusters: a stack, and what was read of its cluster, if anything."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from config.finding import Finding, Subject, few, rule
from config.fleet import handed_out
from mignet.checks.peers.certificates import certificates
from mignet.checks.rules import network_policies
from mignet.kube.client import SYSTEM_NAMESPACE
from mignet.kube.kinds import CONFIG_MAP, FORKLIFT, INSTANCE, IP_POOL, KUBEVIRT, MIGRATION, NAMESPACE, NODE, POD
from mignet.kube.kubevirt.feature_gates import migrates_between_clusters, what_is_off
from mignet.kube.kubevirt.pods import LABEL, SYNC, read_pod
from mignet.kube.kubevirt.sync_controllers import sync_port
from mignet.kube.network.whereabouts import leased, leases_of
from mignet.kube.objects import full_name
from mignet.kube.snapshot import Read, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from config.types.addressing import Address, AddressRange
    from mignet.checks.peers.certificates import Certificate
    from mignet.kube.client import ClusterError
    from mignet.kube.kinds import Object

AUTHORITIES = "kubevirt-ca"
MODELS = tuple(f"{each}.node.kubevirt.io/" for each in ("host-model-cpu", "cpu-model-migration", "cpu-model"))
"""Before the models in the labels by which KubeVirt's node-labeller says what a node's CPU is, and can show."""
_PEERS_NETWORK = "crossClusterNetwork"
_TRUE = {"true", "yes", "y", "on", "1", "t"}
"""What the toolkit's operator takes for true, as text or not (Ansible's filter `bool`)."""
FAILURE = "DecentralizedLiveMigrationFailure"
"""The condition of a virtual machine by which KubeVirt says why it could not go to another cluster."""
WAITING = "WaitingForSync"
"""The phase of a virtual machine that is to arrive from another cluster: its condition says that it waits."""


@dataclass(frozen=True)
class Side:
    """A stack and the look at its cluster: a snapshot, why there is none, or None when only files count."""

    stack: Stack
    outcome: Snapshot | ClusterError | None = None
    certified: tuple[Certificate, ...] | None = None
    """The certificates that KubeVirt trusts, where they were read already."""

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.stack.name

    @property
    def seen(self) -> Snapshot | None:
        """What was read, if anything was."""
        return self.outcome if isinstance(self.outcome, Snapshot) else None

    @cached_property
    def given(self) -> tuple[AddressRange, ...]:
        """What the stack hands out, worked out once for all its pairs."""
        return tuple(handed_out(self.stack))

    @cached_property
    def kubevirt(self) -> Object | None:
        """The KubeVirt CR. Raises UnreadError."""
        return None if self.seen is None else next(iter(self.seen.all(KUBEVIRT)), None)

    @property
    def identity(self) -> str | None:
        """What tells the cluster from every other: the UID of its namespace `kube-system`. Raises UnreadError."""
        found = None if self.seen is None else self.seen.one(NAMESPACE, SYSTEM_NAMESPACE)
        return None if found is None else str(found["metadata"]["uid"])

    @property
    def limits(self) -> dict[str, Any]:
        """The migration settings of the KubeVirt CR that both sides of a migration go by."""
        return {key: value for key, value in self._migrations.items() if key not in {"network", _PEERS_NETWORK}}

    @property
    def proxy(self) -> str | None:
        """Over which network its sync controllers carry migrations for the virt-handlers; None where they do not."""
        if self._migrations.get("decentralizedLiveMigrationDatapath") != "Proxy":
            return None
        return str(self._migrations.get(_PEERS_NETWORK) or "the pod network")

    @property
    def version(self) -> str | None:
        """KubeVirt's version, as it runs."""
        version = (self.kubevirt or {}).get("status", {}).get("observedKubeVirtVersion")
        return str(version) if version else None

    @property
    def port(self) -> int:
        """TCP port of the sync controllers."""
        return sync_port(self.kubevirt)

    @cached_property
    def sync_pods(self) -> dict[Address, str]:
        """The addresses of the sync controllers that are ready, with their names. Raises UnreadError."""
        found = (read_pod(live) for live in self.seen.all(POD)) if self.seen is not None else ()
        ready = [pod for pod in found if pod and pod.role == SYNC and pod.ready and not pod.terminating]
        return {address: pod.name for pod in ready if pod.link for address in pod.link.addresses}

    @property
    def sync_addresses(self) -> list[str]:
        """Where the leading sync controller can be reached, `address:port` each."""
        return list((self.kubevirt or {}).get("status", {}).get("synchronizationAddresses") or ())

    @cached_property
    def authorities(self) -> tuple[Certificate, ...]:
        """The certificates that KubeVirt trusts, its own among them. Raises UnreadError."""
        if self.certified is not None or self.seen is None:
            return self.certified or ()
        found = self.seen.one(CONFIG_MAP, AUTHORITIES, self.stack.cluster.namespace)
        return certificates((found or {}).get("data", {}).get("ca-bundle", ""))

    @cached_property
    def trusted(self) -> frozenset[str]:
        """The fingerprints of those that count. Raises UnreadError."""
        return frozenset(each.fingerprint for each in self.authorities if not each.expired)

    @cached_property
    def instances(self) -> tuple[Object, ...]:
        """The virtual machines. Raises UnreadError."""
        return () if self.seen is None else self.seen.all(INSTANCE)

    @cached_property
    def models(self) -> dict[str, list[str]]:
        """The labels of nodes by which KubeVirt says what a CPU can show, with the nodes. Raises UnreadError."""
        found: dict[str, list[str]] = {}
        for node in self.seen.all(NODE) if self.seen else ():
            for label, value in node["metadata"].get("labels", {}).items():
                if label.startswith(MODELS) and value == "true":
                    found.setdefault(label, []).append(node["metadata"]["name"])
        return found

    @cached_property
    def policies(self) -> tuple[Object, ...]:
        """The MultiNetworkPolicies in force. Raises UnreadError."""
        return () if self.seen is None else network_policies.in_force(self.seen)

    @cached_property
    def leases(self) -> dict[Address, str]:
        """Every address that whereabouts has given on this cluster, with the pod that has it. Raises UnreadError."""
        return leased(self.stack, self.seen.all(IP_POOL)) if self.seen is not None and leases_of(self.stack) else {}

    @property
    def _configuration(self) -> dict[str, Any]:
        return (self.kubevirt or {}).get("spec", {}).get("configuration", {}) or {}

    @property
    def _migrations(self) -> dict[str, Any]:
        return self._configuration.get("migrations") or {}


def reads(stack: Stack) -> list[Read]:
    """Return what peers reads of each cluster."""
    namespace = stack.cluster.namespace
    books = [Read(IP_POOL)] if leases_of(stack) else []
    identity = Read(NAMESPACE, name=SYSTEM_NAMESPACE)
    return [
        identity,
        Read(KUBEVIRT, namespace),
        Read(CONFIG_MAP, namespace, AUTHORITIES),
        *books,
        Read(FORKLIFT),
        *network_policies.reads(stack),
        Read(INSTANCE),
        Read(MIGRATION),
        Read(NODE),
        Read(POD, namespace, labels={LABEL: SYNC}),
    ]


@rule("peer-stays")
def stays(side: Side) -> Iterator[Finding]:
    """A stack that says `crossCluster: false` keeps its virtual machines."""
    if side.stack.cluster.cross_cluster is False:
        yield _error(
            side,
            "peer-stays",
            "cluster.crossCluster",
            value=False,
            what="keeps virtual machines on this cluster",
            remedy="Take the key out when they may leave it",
        )


@rule("peer-kubevirt")
def kubevirt_there(side: Side) -> Iterator[Finding]:
    """Without KubeVirt there is nothing that migrates."""
    if side.seen is not None and side.kubevirt is None:
        where = f"KubeVirt in namespace {side.stack.cluster.namespace}"
        yield _error(side, "peer-kubevirt", where, what="does not exist", remedy="Correct cluster.namespace")


@rule("peer-gate")
def gate(side: Side) -> Iterator[Finding]:
    """KubeVirt migrates between clusters only where the gate is on: listed, or from 1.10 unless it is disabled."""
    if side.kubevirt is not None and not migrates_between_clusters(side.kubevirt):
        yield _error(
            side,
            "peer-gate",
            _key(side),
            what=what_is_off(side.kubevirt),
            remedy="Set featureGates.decentralizedLiveMigration: true in the HyperConverged",
        )


@rule("peer-upgrading")
def upgrading(side: Side) -> Iterator[Finding]:
    """While KubeVirt is being upgraded, its parts are of two versions and restart one after the other."""
    status = (side.kubevirt or {}).get("status", {})
    target, now, phase = status.get("targetKubeVirtVersion"), side.version, status.get("phase")
    if side.kubevirt is None:
        return
    if target and target != now:
        what, remedy = f"is being upgraded to {target}", "Wait until status.observedKubeVirtVersion says that version"
        yield _error(side, "peer-upgrading", _key(side), value=now, what=what, remedy=remedy)
    elif phase and phase != "Deployed":
        what = f"is not Deployed: its phase is {phase}"
        yield _error(side, "peer-upgrading", _key(side), value=now, what=what, remedy="See its conditions, and wait")


@rule("peer-proxied", severity="warning")
def proxied(side: Side) -> Iterator[Finding]:
    """KubeVirt's proxy carries migrations to other clusters from sync controller to sync controller.

    Source: kubevirt/enhancements, VEP 191, of which KubeVirt 1.10 is to have a first form (docs/adr/0016).
    """
    if side.proxy is not None:
        yield Finding(
            f"{_key(side)} spec.configuration.migrations.decentralizedLiveMigrationDatapath",
            "Proxy",
            f"sends what goes to other clusters through the sync controllers, over {side.proxy}: their addresses there,"
            " and whether peers reach them, is not judged",
            "Let all clusters that migrate to each other have the same, and prove a path:"
            f" mignet verify {side.name} --migrate --to STACK",
            stack=side.name,
        )


@rule("peer-sync-missing", "peer-sync-outside", "peer-sync-stale")
def sync(side: Side) -> Iterator[Finding]:
    """Peers reach the leading sync controller at the addresses that KubeVirt publishes: of the slice, and its own."""
    if side.kubevirt is None or not migrates_between_clusters(side.kubevirt) or side.proxy is not None:
        # Without the gate there is no sync controller, and a proxy publishes another address: that is said already.
        return
    key = f"{_key(side)} status.synchronizationAddresses"
    if not side.sync_addresses:
        yield _error(
            side,
            "peer-sync-missing",
            key,
            what="is empty: no sync controller leads",
            remedy=f"See the pods of virt-synchronization-controller: mignet verify {side.name}",
        )
    for text in side.sync_addresses:
        address, port = endpoint(text, side.port)
        if address is None or port != side.port or not any(address in span for span in side.stack.spans):
            spans = " and ".join(map(str, side.stack.spans))
            yield _error(
                side,
                "peer-sync-outside",
                key,
                value=text,
                what=f"is not port {side.port} of an address of the slice {spans}: not where peers look for it",
                remedy=f"See which addresses the sync controllers have: mignet verify {side.name}",
            )
        elif address not in side.sync_pods:
            has = ", ".join(f"{name} has {each}" for each, name in side.sync_pods.items()) or "there is none"
            yield _error(
                side,
                "peer-sync-stale",
                key,
                value=text,
                what=f"is an address that no ready sync controller has ({has}): peers ask where nobody answers",
                remedy="Delete the pods of virt-synchronization-controller; the one that leads then publishes its own",
            )


@rule("peer-authority-missing", "peer-authority-expired")
def authority(side: Side) -> Iterator[Finding]:
    """Both sides prove who they are with certificates of KubeVirt's own authority, which lives 48 hours."""
    if side.kubevirt is None:
        return
    key = f"ConfigMap {side.stack.cluster.namespace}/{AUTHORITIES}"
    if not side.authorities:
        yield _error(
            side, "peer-authority-missing", key, what="holds no certificate", remedy="See the conditions of KubeVirt"
        )
    elif all(each.expired for each in side.authorities):
        last = max(each.expires for each in side.authorities)
        yield _error(
            side,
            "peer-authority-expired",
            key,
            what=f"holds only certificates that have expired, the last on {last:%Y-%m-%d %H:%M} UTC",
            remedy="See why virt-operator does not renew it",
        )


@rule("peer-toolkit-flag", severity="warning")
def toolkit(side: Side) -> Iterator[Finding]:
    """Where the migration toolkit is installed, it exchanges authorities, if live migration is on in it."""
    if side.seen is None:
        return
    for controller in side.seen.all(FORKLIFT):
        flag = controller.get("spec", {}).get("feature_ocp_live_migration")
        if str(flag).strip().lower() not in _TRUE:
            name = full_name(controller)
            yield Finding(
                f"ForkliftController {name} spec.feature_ocp_live_migration",
                flag,
                ("is not set, and off by default in releases that do not write it" if flag is None else "is not on")
                + ": the toolkit migrates no running machine between clusters",
                'Set it to "true", in quotes',
            )


@rule("vm-stays-behind", severity="warning")
def stays_behind(side: Side) -> Iterator[Finding]:
    """A machine whose migration to another cluster failed says why in a condition of its own."""
    if side.seen is None:
        return
    by_reason: dict[str, list[str]] = {}
    here = (each for each in side.seen.all(INSTANCE) if each.get("status", {}).get("phase") != WAITING)
    for each in here:
        for condition in each.get("status", {}).get("conditions") or ():
            if condition.get("type") == FAILURE and condition.get("status") == "True":
                why = condition.get("message") or condition.get("reason") or "KubeVirt gives no reason"
                by_reason.setdefault(" ".join(str(why).split()), []).append(full_name(each))
    for why, names in by_reason.items():
        yield Finding(
            f"{INSTANCE.kind} {few(names)}",
            None,
            f"could not go to another cluster: {why}",
            "Correct that, and migrate again once nothing of the failed migration is open on either side",
        )


RULES = (stays, kubevirt_there, upgrading, gate, proxied, sync, authority, toolkit, stays_behind)


def _key(side: Side) -> Subject:
    metadata = (side.kubevirt or {})["metadata"]
    return Subject.of("KubeVirt", f"{metadata['namespace']}/{metadata['name']}")


def endpoint(text: str, port: int) -> tuple[Address | None, int | None]:
    """Read an address with a port; one without a port has `port`.

    virt-operator writes address, colon, port, of IPv6 too without brackets: where the text ends in `port`, that is it.

    >>> endpoint("fd00::1", 9185)
    (IPv6Address('fd00::1'), 9185)
    >>> endpoint("[fd00::1]:9186", 9185)
    (IPv6Address('fd00::1'), 9186)
    >>> endpoint("fd00::1:9185", 9185)
    (IPv6Address('fd00::1'), 9185)
    """
    for bare in (text.removesuffix(f":{port}"), text):
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(bare.strip("[]")), port
    host, _, own = text.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]")), int(own)
    except ValueError:
        return None, None


def _error(side: Side, code: str, key: str, *, what: str, remedy: str, value: object = None) -> Finding:
    return Finding(key, value, what, remedy, code=code, stack=side.name)
