"""The pods themselves: attached, everywhere, and made from the attachment as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.findings import Finding, rule
from mignet.kinds import NODE
from mignet.verify.pods import HANDLER, INTERFACE, SYNC
from mignet.verify.rollout import observed
from mignet.verify.sight import names, workload_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.verify.sight import Sight


@rule("pod-network-fallback")
def pod_network_fallback(sight: Sight) -> Iterator[Finding]:
    """Without migration0 in its pod, virt-handler migrates over the pod network, and nothing says so."""
    for pod in sight.living:
        if pod.link is None:
            yield Finding(
                "error",
                "pod-network-fallback",
                sight.stack.name,
                f"{pod.key} on node {pod.node}",
                None,
                f"has no {INTERFACE}, so it migrates over the pod network, though it asks for {sight.stack.network}",
                f"Restart it: oc -n {pod.namespace} delete pod {pod.name}; if it comes back the same, see multus' log"
                " on that node",
            )


@rule("node-without-handler")
def node_without_handler(sight: Sight) -> Iterator[Finding]:
    """A node that takes virtual machines, and has no virt-handler that is ready, can neither send nor receive one."""
    served = {pod.node for pod in sight.of(HANDLER) if pod.ready}
    for node in sight.seen.all(NODE):
        if node["metadata"]["name"] not in served:
            yield Finding(
                "error",
                "node-without-handler",
                sight.stack.name,
                f"Node {node['metadata']['name']}",
                None,
                "takes virtual machines (kubevirt.io/schedulable), and no virt-handler is ready on it",
                f"See why: oc -n {sight.namespace} get pods -o wide -l kubevirt.io={HANDLER}",
            )


@rule("pods-keep-old-network")
def pods_keep_old_network(sight: Sight) -> Iterator[Finding]:
    """A changed attachment rolls nothing: pods that were made before keep the network as it was then."""
    for role in (HANDLER, SYNC):
        old = [pod for pod in sight.stale if pod.role == role]
        if not old or sight.changed is None:
            continue
        kind = workload_kind(role).kind
        yield Finding(
            "error",
            "pods-keep-old-network",
            sight.stack.name,
            f"{kind} {sight.namespace}/{role}",
            None,
            f"has {len(old)} pod{'s' if len(old) > 1 else ''} from before {sight.stack.network} last changed"
            f" ({sight.changed:%Y-%m-%d %H:%M:%S} UTC): {names(old)}",
            f"Restart them: oc -n {sight.namespace} rollout restart {kind.lower()}/{role}; attachment.rollout: rename"
            " has the operator do it next time",
        )


@rule("operator-behind", "operator-degraded")
def operator(sight: Sight) -> Iterator[Finding]:
    """An operator that is degraded, or whose status is an old one, may not carry out the next change.

    The pods prove this one all the same: what they show counts for more than what a condition says.
    """
    live = sight.hyperconverged
    if live is None:
        return
    if not observed(live):
        yield Finding(
            "warning",
            "operator-behind",
            sight.stack.name,
            f"HyperConverged {sight.namespace}/{live['metadata']['name']}",
            None,
            f"is at generation {live['metadata']['generation']}, and its status about"
            f" {live.get('status', {}).get('observedGeneration', 'none')}; the network itself is in use",
            "See whether the HyperConverged operator runs and what its log says",
        )
    conditions = {each["type"]: each for each in live.get("status", {}).get("conditions", ())}
    degraded, progressing = (conditions.get(each, {}) for each in ("Degraded", "Progressing"))
    # While it still works on it, its word is an old one.
    if observed(live) and degraded.get("status") == "True" and progressing.get("status") != "True":
        yield Finding(
            "warning",
            "operator-degraded",
            sight.stack.name,
            f"HyperConverged {sight.namespace}/{live['metadata']['name']}",
            None,
            f"is Degraded: {degraded.get('message') or degraded.get('reason')}",
            "See the operator's log; the network itself is in use",
        )


RULES = (pod_network_fallback, node_without_handler, pods_keep_old_network, operator)
