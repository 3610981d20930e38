"""The pods themselves: attached, everywhere, and made from the attachment as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, Subject, rule
from mignet.checks.rules.hyperconverged import operator_asleep, operator_degraded
from mignet.checks.rules.stale_pods import pods_keep_old_network
from mignet.kube.kinds import NODE
from mignet.kube.kubevirt.pods import HANDLER, INTERFACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.verify.sight import Sight


@rule("pod-network-fallback")
def pod_network_fallback(sight: Sight) -> Iterator[Finding]:
    """Without migration0 in its pod, virt-handler migrates over the pod network, and nothing says so."""
    for pod in sight.living:
        if pod.link is None:
            yield Finding(
                pod.place,
                None,
                f"has no {INTERFACE}, so it migrates over the pod network, though it asks for {sight.stack.network}",
                f"Restart it: oc -n {pod.namespace} delete pod {pod.name}; if it comes back the same, see multus' log"
                " on that node",
            )


@rule("node-without-handler")
def node_without_handler(sight: Sight) -> Iterator[Finding]:
    """A node that takes virtual machines, and has no virt-handler that is ready, can neither send nor receive one."""
    served = {pod.node for pod in sight.of(HANDLER) if pod.ready}
    for each in sight.seen.all(NODE):
        if (node := each["metadata"]["name"]) not in served:
            yield Finding(
                Subject(f"Node {node}", kind="Node", name=node, nodes=(node,)),
                None,
                "takes virtual machines (kubevirt.io/schedulable), and no virt-handler is ready on it",
                f"See why: oc -n {sight.namespace} get pods -o wide -l kubevirt.io={HANDLER}",
            )


RULES = (pod_network_fallback, node_without_handler, pods_keep_old_network, operator_asleep, operator_degraded)
