"""Verify: do the pods that migrate use the network that the stack declares? Waits, reads, and changes nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from config.finding import codes_of
from mignet.checks.rules import network_policies, strangers
from mignet.checks.verify import addresses, handlers, migration, peers, pools
from mignet.checks.verify.causes import CAUSES, network_failing, unfinished
from mignet.checks.verify.declared import declared as declared_rule
from mignet.checks.verify.rollout import counts, pending
from mignet.checks.verify.sight import DISPENSABLE, Sight, core_reads, other_reads
from mignet.kube.client import ClusterError
from mignet.kube.kubevirt.json_patches import overrides
from mignet.kube.kubevirt.pods import HANDLER, SYNC
from mignet.kube.snapshot import Judged, Read, Snapshot, judge, look

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from config.finding import Rule
    from config.stack import Stack
    from mignet.kube.client import Cluster
    from mignet.kube.kinds import Object

EARLY = (declared_rule, network_failing)
"""What stands there at all: nothing to wait for where it does not."""
PROOF = (*handlers.RULES, *addresses.RULES, *pools.RULES, strangers.vm_attached, network_policies.network_policy_cuts)
"""What is proven once the network is rolled out."""
STUCK = (*EARLY, *CAUSES, unfinished, pools.lease_leaked, pools.reservation_stray)
"""What can be said before it is."""
RULES = (*EARLY, *CAUSES, unfinished, *PROOF)
ALL_RULES: tuple[Rule[Any], ...] = (*RULES, *peers.RULES, *migration.RULES)
"""All that verify can find: about a cluster, between clusters, and about one virtual machine."""
CODES = codes_of(ALL_RULES)

POLL_SECONDS = 0.3
TELL_SECONDS = 60.0
"""Between two lines about one wait."""
READING_SHARE = 0.2
"""Of the time of waiting, the part that may go into reading: a cluster of hundreds of nodes is asked less often."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: for the rollout as a whole, and for a pod whose start fails."""

    timeout: float = 1800.0
    stuck_after: float = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verify came to: what it found, the last look, and a sentence when the network is proven to be in use."""

    judged: Judged
    sight: Sight
    proven: str | None = None
    rolled_out: bool = False
    """Whether the pods themselves were judged."""


def reads(stack: Stack) -> list[Read]:
    """Return what verify reads of the stack's cluster. Pods of other namespaces that hold leases are looked up, too."""
    return [*core_reads(stack), *other_reads(stack), *_last_reads(stack)]


def _last_reads(stack: Stack) -> list[Read]:
    """Return what is read once, at the end: all machines of a cluster are many."""
    return [*strangers.READS, *network_policies.reads(stack)]


async def verify(
    stack: Stack,
    cluster: Cluster,
    *,
    declared: Callable[[], Awaitable[Iterable[Object]]] | None = None,
    patience: Patience = Patience(),
    progress: Callable[[str], None] = lambda _: None,
    thorough: bool = False,
) -> Verdict:
    """Wait until the operators have rolled the network out, or cannot, and prove that the pods use it.

    `declared` is asked for the program's manifests, once the cluster has answered; `progress` is told what is waited
    for whenever that changes. With `thorough`, it says all that the pods and the pools show, not only what is wrong
    first. Raises ClusterError when nothing can be read of the cluster, or not what a proof needs.
    """
    begun = time.monotonic()
    manifests: tuple[Object, ...] | None = None
    said, told = "", begun
    sight: Sight | None = None
    while True:
        before = time.monotonic()
        late = before - begun >= patience.timeout
        try:
            seen = await _core(cluster, stack)
            if manifests is None:
                manifests = tuple(await declared()) if declared else ()
            sight = Sight(seen, manifests, stuck_after=0 if late else patience.stuck_after)
            verdict, waits_for = await _judged(cluster, sight, late=late, thorough=thorough)
        except ClusterError as error:
            # A node's network may change under the API server; one that has answered before may be away for a while.
            if error.reason != "unreachable" or sight is None or late:
                raise
            verdict, waits_for = None, str(error)
        if verdict is not None:
            return verdict
        now = time.monotonic()
        if waits_for != said or now - told >= TELL_SECONDS:
            bound = f"{now - begun:.0f} s of at most {patience.timeout:.0f} s, after which it is judged as it is"
            progress(f"{waits_for} ({bound})")
            said, told = waits_for, now
        took = now - before
        left = patience.timeout - (time.monotonic() - begun)
        await asyncio.sleep(max(min(max(POLL_SECONDS, took / READING_SHARE), left), 0))


async def _core(cluster: Cluster, stack: Stack) -> Snapshot:
    seen = await look(cluster, stack, core_reads(stack))
    for read, error in seen.unread:
        if read.kind not in DISPENSABLE:
            raise error
    return seen


async def _judged(cluster: Cluster, sight: Sight, *, late: bool, thorough: bool) -> tuple[Verdict | None, str]:
    """Judge a look; without a verdict, say what is waited for."""
    early = judge(EARLY, sight)
    if early.findings and not thorough:
        return Verdict(_unasked(early, EARLY), sight), ""
    steps = pending(sight)
    doubtful = (
        any(not pod.ready for pod in sight.living)
        or sight.stack.policies
        or sight.stack.user_network
        or overrides(sight.stack, sight.hyperconverged)
    )
    if steps and not doubtful and not late:
        return None, _words(sight)
    seen = sight.seen.with_(await look(cluster, sight.stack, other_reads(sight.stack)))
    sight = replace(sight, seen=seen)
    if steps and thorough:
        sight = replace(sight, holders=await _holders(cluster, sight))
        return Verdict(_unasked(judge(STUCK, sight), STUCK), sight), ""
    if steps:
        stuck = judge(CAUSES, sight)
        if not stuck.findings and late:
            stuck = judge((unfinished,), sight)
        stuck = _unasked(stuck, (*EARLY, *CAUSES, unfinished))
        return (Verdict(stuck, sight), "") if stuck.findings else (None, _words(sight))
    seen = sight.seen.with_(await look(cluster, sight.stack, _last_reads(sight.stack)))
    sight = replace(sight, seen=seen, holders=await _holders(cluster, sight))
    proof = judge(PROOF, sight)
    proof = replace(
        proof,
        findings=(*early.findings, *proof.findings),
        left_out={**early.left_out, **proof.left_out, **_unjudged(sight)},
    )
    blocks = any(finding.blocks for finding in proof.findings)
    return Verdict(proof, sight, None if blocks else _sentence(sight, proof), rolled_out=True), ""


def _unasked(judged: Judged, asked: Iterable[Rule[Any]]) -> Judged:
    """Note that of all that is judged of a cluster no more than this was."""
    return replace(judged, unasked=codes_of(RULES) - codes_of(asked))


async def _holders(cluster: Cluster, sight: Sight) -> dict[str, tuple[Object, ...] | ClusterError]:
    strangers = pools.strangers(sight.seen, (pod.reference for pod in sight.pods))
    found = await look(cluster, sight.stack, strangers)
    return {f"{read.namespace}/{read.fields['metadata.name']}": outcome for read, outcome in found.found.items()}


def _unjudged(sight: Sight) -> dict[str, ClusterError]:
    """Return the namespaces whose pods may not be read: whether a lease that names one is leaked stays open.

    The observing role may read all pods, which `mignet migrations` asks for; an administrator may have taken that out.
    """
    refused = {
        each.partition("/")[0]: found for each, found in sight.holders.items() if isinstance(found, ClusterError)
    }
    return {f"lease-leaked for namespace {namespace}": error for namespace, error in refused.items()}


def _words(sight: Sight) -> str:
    steps = pending(sight)
    if any(step.code == "rollout-unfinished" for step in steps):
        return counts(sight)
    return f"waiting for {steps[0].what}" if steps else ""


def _sentence(sight: Sight, proof: Judged) -> str:
    """Say what was proven: which pods use the network, with which addresses, of how many."""
    handlers_, syncs = len(sight.of(HANDLER)), len(sight.of(SYNC))
    who = f"{handlers_} virt-handler{'' if handlers_ == 1 else 's'}"
    if syncs:
        who += f" and {syncs} sync controller{'' if syncs == 1 else 's'}"
    which = pools.used(sight.stack, addresses.holders(sight.living))
    leased = "" if "pool-missing" in proof.left_out else "".join(f"; {pool}" for pool in pools.pools(sight))
    return f"{who} use {sight.stack.network}, addresses {which}{leased} (as their objects say; nothing was measured)"
