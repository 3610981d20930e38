"""Two sides: what must hold between the cluster that a virtual machine leaves and the one that takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import Finding, Severity, Subject, few, rule, shown
from mignet.checks.peers.endpoint import AUTHORITIES
from mignet.checks.rules.network_policies import endpoint, judged
from mignet.fleet.survey import one_cluster
from mignet.kube.kubevirt.feature_gates import version
from mignet.kube.kubevirt.pods import HANDLER, HANDLER_PORTS, SYNC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.peers.endpoint import Side


_FROM_ALPN = (1, 7)
"""The minor version of KubeVirt from which sync controllers failed to talk to those before it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different sides. What is between them holds in both directions."""

    one: Side
    other: Side


@rule("cluster-shared")
def apart(pair: Pair) -> Iterator[Finding]:
    """Two stacks whose contexts lead to one cluster are no pair, and overwrite each other."""
    sides = {side.name: side for side in (pair.one, pair.other)}
    yield from one_cluster((pair.one.stack, pair.other.stack), lambda stack: sides[stack.name].identity)


@rule("peer-segment")
def segment(pair: Pair) -> Iterator[Finding]:
    """Handlers reach each other on one segment only: in one subnet, or from site to site of one supernet."""
    one, other = pair.one.stack.segment, pair.other.stack.segment
    if one.site != other.site and one.supernets and set(one.supernets) == set(other.supernets):
        return
    if set(one.subnets) != set(other.subnets):
        yield _between(
            pair,
            "peer-segment",
            "segment.subnet",
            value=" and ".join(map(str, one.subnets)),
            what=f"is not {pair.other.name}'s {' and '.join(map(str, other.subnets))}: they share no network",
            remedy="Let both take the segment of Pulumi.yaml",
        )


@rule("peer-slices")
def slices(pair: Pair) -> Iterator[Finding]:
    """Each cluster hands out addresses of its slice without asking the other."""
    for mine in pair.one.given:
        for theirs in pair.other.given:
            if mine.overlaps(theirs):
                yield _between(
                    pair,
                    "peer-slices",
                    "slice",
                    value=str(mine),
                    what=f"overlaps {pair.other.name}'s {theirs}",
                    remedy=f"mignet allocate {pair.one.name} {pair.other.name}",
                )


@rule("peer-lease-twice")
def leases(pair: Pair) -> Iterator[Finding]:
    """An address that two clusters have given sends migrations astray, and each reports success."""
    twice = sorted(pair.one.leases.keys() & pair.other.leases.keys(), key=lambda each: (each.version, int(each)))
    if twice:
        address = twice[0]
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        yield _between(
            pair,
            "peer-lease-twice",
            f"lease {address}{more}",
            what=f"of {pair.one.leases[address]} is leased on {pair.other.name} to {pair.other.leases[address]}, too",
            remedy="Give each stack a slice of its own, run mignet up, and restart the pods",
        )


@rule("peer-untrusted")
def trust(pair: Pair) -> Iterator[Finding]:
    """Each side must trust the other's authority, which signs the certificates that its parts show at once.

    A cluster older than a day holds two of its own: the current one stands first in its bundle, the one before and
    those of others behind (KubeVirt's MergeCABundle).
    """
    for asked, trusting in ((pair.one, pair.other), (pair.other, pair.one)):
        # Without certificates that count there is nothing to compare, and that is said of the side.
        if not asked.trusted or not trusting.trusted:
            continue
        if asked.authorities[0].fingerprint not in trusting.trusted:
            bundle = f"ConfigMap {trusting.stack.cluster.namespace}/{AUTHORITIES}"
            what = (
                f"does not hold the current authority of {asked.name}, the first in its bundle: migrations are refused"
            )
            remedy = (
                "Exchange them with the migration toolkit, or put each bundle into the other's kubevirt-external-ca"
            )
            yield Finding(bundle, None, what, remedy, stack=trusting.name, peer=asked.name)


@rule("peer-version-apart", "peer-version-differs")
def versions(pair: Pair) -> Iterator[Finding]:
    """The same minor version on both sides is what is tested; others may refuse each other, and two are known to.

    OpenShift Virtualization 4.20 and 4.21 (KubeVirt 1.6 and 1.7) failed at the TLS handshake (ALPN) in the one trial
    that was published (linuxelitebr/cclm).
    """
    one, other = pair.one.version, pair.other.version
    minors = [version(side.kubevirt) for side in (pair.one, pair.other)]
    if not one or not other or minors[0] == minors[1]:
        return
    if len({each < _FROM_ALPN for each in minors}) == 2:
        yield _between(
            pair,
            "peer-version-apart",
            "KubeVirt",
            value=one,
            what=f"is not known to talk to {pair.other.name}'s {other}: in the one published trial (linuxelitebr/cclm),"
            " OpenShift Virtualization 4.20 and 4.21, KubeVirt before and from 1.7, failed at the TLS handshake (ALPN)",
            remedy="Upgrade both to one minor version",
        )
        return
    yield _between(
        pair,
        "peer-version-differs",
        "KubeVirt",
        value=one,
        what=f"is of another minor version than {pair.other.name}'s {other}",
        remedy="Upgrade one, or try a migration that may fail",
        severity="warning",
    )


@rule("peer-cpu", severity="warning")
def processors(pair: Pair) -> Iterator[Finding]:
    """A machine with CPU model host-model, KubeVirt's default, moves to nodes only that can show its source's model.

    Source: KubeVirt, pkg/virt-controller/watch/migration (the target pod's node selector), virt-handler/node-labeller.
    """
    for source, target in ((pair.one, pair.other), (pair.other, pair.one)):
        if target.seen is None:
            continue
        shown_there = _labels(target, "cpu-model-migration.node.kubevirt.io/").keys()
        for model, nodes in sorted(_labels(source, "host-model-cpu.node.kubevirt.io/").items()):
            if model not in shown_there:
                unlabelled = "" if shown_there else " (none is labelled with CPU models by KubeVirt's node-labeller)"
                yield Finding(
                    Subject(f"Node {few(nodes)}", kind="Node", nodes=nodes),
                    model,
                    f"is a CPU model that no node of {target.name} can show{unlabelled}: a virtual machine with CPU"
                    " model host-model, the default, does not migrate there from here",
                    "Give such machines a CPU model that both clusters have: domain.cpu.model, or"
                    " spec.defaultCPUModel of the HyperConverged",
                    stack=source.name,
                    peer=target.name,
                )


def common_model(one: Side, other: Side) -> str | None:
    """Return a CPU model that nodes of both can show, by KubeVirt's node-labeller. Raises UnreadError."""
    prefix = "cpu-model.node.kubevirt.io/"
    return min(_labels(one, prefix).keys() & _labels(other, prefix).keys(), default=None)


def _labels(side: Side, prefix: str) -> dict[str, list[str]]:
    """Return what stands behind a prefix in labels whose value is true, with the nodes that have it."""
    return {label.removeprefix(prefix): names for label, names in side.models.items() if label.startswith(prefix)}


@rule("peer-limits-differ")
def limits(pair: Pair) -> Iterator[Finding]:
    """Nobody coordinates limits between clusters: the stricter side ends what the other allows."""
    if not pair.one.kubevirt or not pair.other.kubevirt:
        return
    mine, theirs = pair.one.limits, pair.other.limits
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if keys:
        listed = ", ".join(f"{key} {_value(mine.get(key))} and {_value(theirs.get(key))}" for key in keys)
        yield _between(
            pair,
            "peer-limits-differ",
            "KubeVirt spec.configuration.migrations",
            what=f"differs from {pair.other.name}'s: {listed}",
            remedy="Give both the same hyperConverged.liveMigration",
            severity="warning",
        )


@rule("peer-policy-cuts")
def network_policies(pair: Pair) -> Iterator[Finding]:
    """MultiNetworkPolicies of either cluster must let both through: what the sync controllers say, and the memory."""
    for here, there in ((pair.one, pair.other), (pair.other, pair.one)):
        if not here.policies:
            continue
        for direction in ("Ingress", "Egress"):
            taking = here if direction == "Ingress" else there
            for role, ports in ((SYNC, (taking.port, taking.port)), (HANDLER, HANDLER_PORTS)):
                ends = (endpoint(here.stack, role), endpoint(there.stack, role))
                yield from judged(here.stack, here.policies, direction, ports, ends, peer=there.name)


RULES = (segment, slices, leases, trust, versions, processors, limits, network_policies)
"""All but `apart`, which goes before every other: of one cluster nothing else is to be said."""


def _value(value: object) -> str:
    return "(not set)" if value is None else shown(value)


def _between(
    pair: Pair, code: str, key: str, *, what: str, remedy: str, value: object = None, severity: Severity = "error"
) -> Finding:
    return Finding(key, value, what, remedy, code=code, severity=severity, stack=pair.one.name, peer=pair.other.name)
