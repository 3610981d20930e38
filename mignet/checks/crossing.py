"""A virtual machine of our own on its way from one cluster to another: how that ended, and by which addresses it went.

Each side has an instance and a migration of its own, and KubeVirt writes into them what it knows; the target's handler
says where it listened, and the address of the source's is that of the virt-handler on its node. Source: KubeVirt's API,
VirtualMachineInstanceMigrationState, and pkg/synchronization-controller.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from config.finding import Finding, codes_of, few, rule
from mignet.checks.peers import endpoint, pair_rules
from mignet.checks.peers.endpoint import FAILURE
from mignet.checks.verify.migration import DONE, RUNNING, WAITING
from mignet.fleet.results import Crossing, Hop
from mignet.kube.kinds import INSTANCE, MIGRATION
from mignet.kube.kubevirt.machines import MEMORY
from mignet.kube.kubevirt.pods import HANDLER, read_pod
from mignet.kube.network.sandbox_errors import reason
from mignet.kube.rbac import grouped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.stack import Stack
    from config.types.addressing import Address
    from mignet.kube.kinds import Object
    from mignet.kube.rbac import Right

SIDE = (endpoint.stays, endpoint.kubevirt_there, endpoint.upgrading, endpoint.gate, endpoint.sync, endpoint.authority)
"""What must hold of each cluster before a machine is created."""
PAIR = (
    pair_rules.apart,
    pair_rules.segment,
    pair_rules.slices,
    pair_rules.leases,
    pair_rules.trust,
    pair_rules.versions,
)
"""What must hold between the two."""

_BLOCKED = "decentralizedMigrationBlocked"
"""The condition by which a migration repeats what FAILURE says of its instance."""
_UNTOLD = "waiting for incoming synchronization"
"""Begins what a side says that has not been called: no reason of its own."""
_ENDED = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class End:
    """One side of a way: its cluster's objects, as they were seen last."""

    stack: Stack
    instance: Object | None = None
    migration: Object | None = None
    handlers: tuple[Object, ...] = ()
    """The pods of virt-handler; of the side that sends."""
    warnings: tuple[str, ...] = ()
    """What the cluster's events say of the machine's pods."""

    @property
    def running(self) -> bool:
        """Whether the machine runs here."""
        return self.phase == RUNNING

    @property
    def phase(self) -> str:
        """The phase of the instance."""
        return "gone" if self.instance is None else str(self.instance.get("status", {}).get("phase") or "not started")

    @property
    def moving(self) -> str:
        """The phase of the migration."""
        made = self.migration
        return "not there" if made is None else str(made.get("status", {}).get("phase") or "not looked at by KubeVirt")

    @property
    def ended(self) -> bool:
        """Whether the migration has."""
        return self.moving in DONE

    @property
    def state(self) -> dict[str, Any]:
        """What the instance says of the migration."""
        status: Object = (self.instance or {}).get("status") or {}
        kept: Object = (self.migration or {}).get("status") or {}
        return status.get("migrationState") or kept.get("migrationState") or {}

    @property
    def why(self) -> str:
        """What this side says is in the way; empty where it says nothing of its own."""
        found = [self.state.get("failureReason") if self.state.get("failed") else ""]
        for live, kind in ((self.instance, FAILURE), (self.migration, _BLOCKED)):
            conditions = (live or {}).get("status", {}).get("conditions") or ()
            found += [each.get("message") for each in conditions if (each["type"], each["status"]) == (kind, "True")]
        said = (str(each) for each in found if each and not str(each).startswith(_UNTOLD))
        return reason(next(said, "") or (self.warnings[-1] if self.warnings else ""))

    @property
    def facts(self) -> str:
        """Say how far this side is, in words for a sentence about both."""
        node = (self.instance or {}).get("status", {}).get("nodeName")
        where = f" on node {node}" if node else ""
        why = f" ({self.why})" if self.why else ""
        return f"on {self.stack.name} it is {self.phase}{where}, its migration {self.moving}{why}"


@dataclass(frozen=True, slots=True)
class Leg:
    """One way of the machine: from `source` to `target`, which is called at `sync`, an address with a port."""

    source: End
    target: End
    name: str
    sync: str = ""
    port: int = 0
    seconds: float = 0.0
    """From the question to both clusters until the answer of both, or until it was waited for no longer."""

    @property
    def key(self) -> str:
        """How a finding names the machine."""
        return f"VirtualMachine {self.source.stack.cluster.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """The way in words."""
        return f"{self.source.stack.name} to {self.target.stack.name}"

    @property
    def done(self) -> bool:
        """Whether both sides say that it has ended well, and it runs where it was to go, and there only."""
        moved = self.source.moving == self.target.moving == "Succeeded"
        return moved and self.target.running and not self.source.running

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The ends of the connections that the way took, each with the slice that it must be in."""
        source, target, state = self.source.stack, self.target.stack, self.target.state
        listening = _address(state.get("targetNodeAddress") or (state.get("targetState") or {}).get("nodeAddress"))
        node = (state.get("sourceState") or {}).get("node") or state.get("sourceNode")
        other = (state.get("sourceState") or {}).get("syncAddress") or ""
        called, calling = endpoint.endpoint(self.sync, self.port)[0], endpoint.endpoint(str(other), self.port)[0]
        return (
            _hop("from", source, self._handler(node, listening), node),
            _hop("to", target, listening, state.get("targetNode")),
            _hop("sync controller", source, calling),
            _hop("sync controller", target, called),
        )

    @property
    def result(self) -> Crossing:
        """What is to be shown of it."""
        state, proven = self.target.state, self.done and not list(other_network(self))
        outcome = (
            "Succeeded" if self.done else f"{self.source.moving} at its source, {self.target.moving} at its target"
        )
        return Crossing(
            source=self.source.stack.name,
            target=self.target.stack.name,
            machine=f"{self.source.stack.cluster.namespace}/{self.name}",
            outcome=outcome,
            proven=proven,
            begun=state.get("startTimestamp"),
            ended=state.get("endTimestamp"),
            seconds=round(self.seconds, 1),
            hops=self.hops,
        )

    def _handler(self, node: str | None, to: Address | None) -> Address | None:
        """Return the address of the virt-handler on a node, of the family of the one that it connects to."""
        pods = (read_pod(live) for live in self.source.handlers)
        here = next((pod for pod in pods if pod and pod.role == HANDLER and pod.node == node and pod.link), None)
        found = here.link.addresses if here and here.link else ()
        # Where nobody says to which, it is IPv4, which the kernel lists first.
        alike = [each for each in found if each.version == (to.version if to else 4)]
        return next(iter(alike or found), None)


@dataclass(frozen=True, slots=True)
class Need:
    """What a run needs of a cluster and has not: rights, or that nobody else changes it."""

    stack: Stack
    missing: tuple[Right, ...] = ()
    held: str = ""
    """Who holds the stack."""


@rule("crossing-right-missing")
def right_missing(need: Need) -> Iterator[Finding]:
    """A right that is missing shows halfway through otherwise, when a machine of ours runs already."""
    if need.missing:
        yield Finding(
            f"context {need.stack.cluster.context}",
            None,
            f"may not{f' ({len(need.missing)} rights)' if len(need.missing) > 1 else ''}:"
            f" {'; '.join(grouped(need.missing))}",
            f"Ask the cluster's administrator for the rights that mignet export role crossing {need.stack.name} writes",
        )


@rule("crossing-held")
def held(need: Need) -> Iterator[Finding]:
    """A rollout fails migrations, and a second run would remove the machine of the first as left behind."""
    if need.held:
        yield Finding("Lease", None, f"is not ours: {need.held}", "Wait for that run, and run again")


@rule("crossing-runs-twice")
def runs_twice(leg: Leg) -> Iterator[Finding]:
    """One machine that runs on two clusters writes to its disks twice; ours has none, the next one may have some."""
    if leg.source.running and leg.target.running and (leg.source.ended or leg.target.ended):
        for end, other in ((leg.source, leg.target), (leg.target, leg.source)):
            yield Finding(
                leg.key,
                None,
                f"runs on both clusters after its migration from {leg.path}: {leg.source.facts}; {leg.target.facts}",
                "Migrate nothing between the two, and look at the logs of virt-synchronization-controller and"
                " virt-handler on both; the test machine is removed, first where it was to arrive",
                stack=end.stack.name,
                peer=other.stack.name,
            )


@rule("crossing-target-lost")
def target_lost(leg: Leg) -> Iterator[Finding]:
    """A source that has stopped for a target that does not run is the loss of a machine that nobody gives back."""
    if leg.source.phase in _ENDED | {"gone"} and not leg.target.running:
        yield Finding(
            leg.key,
            None,
            f"runs nowhere after its migration from {leg.path}: {leg.source.facts}; {leg.target.facts}",
            "Migrate nothing between the two before that is understood: see the events and virt-launcher's log on"
            f" {leg.target.stack.name}",
            stack=leg.target.stack.name,
            peer=leg.source.stack.name,
        )


@rule("crossing-failed", "crossing-waits", "crossing-unfinished")
def ended_well(leg: Leg) -> Iterator[Finding]:
    """A way that does not end well says why on either side, or on none: each knows of its own calls only."""
    if leg.done or any(found for each in (runs_twice, target_lost) for found in each(leg)):
        return
    end = next((each for each in (leg.source, leg.target) if each.why), leg.source)
    other = leg.target if end is leg.source else leg.source
    both = f"{leg.source.facts}; {leg.target.facts}"
    named = partial(Finding, stack=end.stack.name, peer=other.stack.name)
    if "Failed" in {leg.source.moving, leg.target.moving}:
        rule_ = f"did not get from {leg.path}, its migration failed: {end.why or 'KubeVirt gives no reason'}; {both}"
        yield named(leg.key, None, rule_, f"Fix that. {_way_out(leg, end.why)}", code="crossing-failed")
    elif leg.target.moving == WAITING or leg.source.moving == "Synchronizing":
        why = end.why or f"no sync controller of {leg.source.stack.name} has called, and none says why"
        rule_ = f"waits to go from {leg.path} by {leg.sync or 'no address'}: {why}; {both}"
        yield named(leg.key, None, rule_, _way_out(leg, end.why), code="crossing-waits")
    else:
        rule_ = f"was still on its way from {leg.path} after {leg.seconds:.0f} s: {both}"
        remedy = "Give it more time with --timeout, or see what mignet checkup measures between the two"
        yield named(leg.key, None, rule_, remedy, code="crossing-unfinished")


@rule("crossing-other-network")
def other_network(leg: Leg) -> Iterator[Finding]:
    """Migrations that take another network than theirs share it with whoever uses it, and nobody says so."""
    if not leg.done:
        return
    for hop in leg.hops:
        if hop.inside is False:
            spans = hop.slice
            what = {"from": "the virt-handler that sent", "to": "the virt-handler that received"}
            who = what.get(hop.role, "the sync controller")
            on = f" on node {hop.node}" if hop.node else ""
            yield Finding(
                leg.key,
                hop.address,
                f"is not in the slice {spans} of {hop.stack}, and {who}{on} used it on the way from {leg.path}"
                if hop.address
                else f"went from {leg.path}, and {who}{on} has no migration0",
                f"See which pods have migration0: mignet verify {hop.stack}",
                stack=hop.stack,
                peer=next(each.stack.name for each in (leg.source, leg.target) if each.stack.name != hop.stack),
            )


WAY = (runs_twice, target_lost, ended_well, other_network)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A machine of ours that did not come as far as to migrate."""

    end: End
    name: str
    wanted: str
    seconds: float = 0.0
    refusal: str = ""
    """What the API server said."""
    forbidden: bool = False


@rule("crossing-not-started", "crossing-refused")
def not_started(stuck: Stuck) -> Iterator[Finding]:
    """What cannot start here cannot start anywhere: a namespace's quota, a webhook, or nodes without room."""
    end, namespace = stuck.end, stuck.end.stack.cluster.namespace
    key, stack = f"VirtualMachine {namespace}/{stuck.name}", end.stack.name
    if stuck.refusal:
        remedy = "Fix what it says"
        if stuck.forbidden:
            remedy = f"Ask for the rights that mignet export role crossing {stack} writes"
        rule_ = f"was not made as it should be: {stuck.refusal}"
        yield Finding(key, None, rule_, remedy, code="crossing-refused", stack=stack)
    else:
        why = f": {end.why}" if end.why else ""
        rule_ = f"was {end.phase} after {stuck.seconds:.0f} s, not {stuck.wanted}{why}"
        remedy = f"See that nodes have room for a virtual machine with {MEMORY}, and virt-controller's log"
        yield Finding(key, None, rule_, remedy, code="crossing-not-started", stack=stack)


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be removed from a cluster."""

    stack: Stack
    names: tuple[str, ...]
    why: str


@rule("crossing-left-behind")
def left_behind(left: Left) -> Iterator[Finding]:
    """A machine that stays takes memory, and its name; the next run removes it before all else."""
    if left.names:
        where = f"--context {left.stack.cluster.context} -n {left.stack.cluster.namespace}"
        yield Finding(
            few(left.names),
            None,
            f"could not be removed: {left.why}; the next run tries again before it creates anything",
            f"To remove it now: {command(where, left.names)}",
            stack=left.stack.name,
        )


RULES = (right_missing, held, *WAY, not_started, left_behind)
CODES = codes_of(RULES)


def command(where: str, names: Sequence[str]) -> str:
    """Return the command that removes objects, named as `Kind namespace/name`."""
    short = {"VirtualMachine": "vm", INSTANCE.kind: "vmi", MIGRATION.kind: "vmim"}
    listed = " ".join(f"{short[kind]}/{name.rpartition('/')[2]}" for kind, _, name in (n.partition(" ") for n in names))
    return f"kubectl {where} delete {listed}"


def _way_out(leg: Leg, why: str) -> str:
    """Return what to do about an error of a sync controller's call."""
    if "ALPN" in why:
        return "Upgrade both to one minor version"
    if "x509" in why or "handshake" in why:
        return "Exchange the authorities of the two (peer-untrusted), and see that neither has expired"
    if "dial" in why or "timeout" in why.lower() or not why:
        measured = f"mignet checkup {leg.source.stack.name} {leg.target.stack.name}"
        return (
            f"Let TCP port {leg.port} pass between the slices of the two, in both directions, and the handlers' random"
            f" ports; {measured} measures where it does not"
        )
    return "See the log of virt-synchronization-controller on both"


def _hop(role: str, stack: Stack, address: Address | None, node: str | None = None) -> Hop:
    spans = " and ".join(map(str, stack.spans))
    inside = any(address in span for span in stack.spans) if address else None
    # A handler without migration0 is on no network of ours; who called whom may be unsaid.
    if address is None and role != "sync controller":
        inside = False
    return Hop(role, stack.name, node or None, str(address) if address else None, spans, inside)


def _address(text: object) -> Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(str(text).strip("[]")) if text else None
    return None
