"""Two sides: what must hold between the cluster that a virtual machine leaves and the one that takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.findings import Finding, Severity, rule, shown
from mignet.looks import one_cluster
from mignet.peers.machines import runs_twice
from mignet.peers.side import AUTHORITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.peers.side import Side


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
    """Handlers reach each other on one segment only."""
    one, other = pair.one.stack.segment, pair.other.stack.segment
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


@rule("peer-untrusted", "peer-trust-unsure")
def trust(pair: Pair) -> Iterator[Finding]:
    """Each side must have the other's authority in its bundle, beside its own; virt-operator merges what it is given.

    Whose certificate is whose, no bundle says. But two bundles that trust each other have both authorities in common:
    with less than two certificates in common, one side at least refuses the other.
    """
    for asked, trusting in ((pair.one, pair.other), (pair.other, pair.one)):
        valid = {each.fingerprint for each in asked.authorities if not each.expired}
        known = {each.fingerprint for each in trusting.authorities if not each.expired}
        # Without certificates of its own there is nothing to compare, and that is said of the side.
        if not valid or not known or valid <= known:
            continue
        bundle = f"ConfigMap {trusting.stack.cluster.namespace}/{AUTHORITIES}"
        remedy = "Exchange them with the migration toolkit, or put each bundle into the other's kubevirt-external-ca"
        if (common := len(valid & known)) < 2:
            what = f"has {common} authorities in common with {asked.name}'s, not both clusters': migrations are refused"
            yield Finding("error", "peer-untrusted", trusting.name, bundle, None, what, remedy, peer=asked.name)
        else:
            what = (
                f"holds {len(valid & known)} of the {len(valid)} authorities in {asked.name}'s bundle; whether its own"
                " is among them cannot be told from the bundles"
            )
            yield Finding("warning", "peer-trust-unsure", trusting.name, bundle, None, what, remedy, peer=asked.name)


@rule("peer-version-differs")
def versions(pair: Pair) -> Iterator[Finding]:
    """The same minor version on both sides is what is tested; others may refuse each other."""
    one, other = pair.one.version, pair.other.version
    if one and other and _minor(one) != _minor(other):
        yield _between(
            pair,
            "peer-version-differs",
            "KubeVirt",
            value=one,
            what=f"is of another minor version than {pair.other.name}'s {other}",
            remedy="Upgrade one, or try a migration that may fail",
            severity="warning",
        )


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


RULES = (apart, runs_twice, segment, slices, leases, trust, versions, limits)


def _value(value: object) -> str:
    return "(not set)" if value is None else shown(value)


def _minor(version: str) -> str:
    return ".".join(re.findall(r"\d+", version)[:2])


def _between(
    pair: Pair, code: str, key: str, *, what: str, remedy: str, value: object = None, severity: Severity = "error"
) -> Finding:
    return Finding(severity, code, pair.one.name, key, value, what, remedy, peer=pair.other.name)
