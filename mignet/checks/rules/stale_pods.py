"""Pods from before their network last changed: the rule that verify and drift share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from config.finding import Finding, Subject, rule
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SYNC, from_before, names, workload_kind
from mignet.kube.network.attachment_history import last_change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.finding import Severity
    from config.stack import Stack
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod


_ANEW = {
    HANDLER: "Delete its pods, one node after the other (a rollout restart makes one of them anew, kubevirt#11489)",
    SYNC: "Delete its pods, one after the other (virt-operator takes a rollout restart back)",
}
"""How the pods of a role are made anew: virt-operator takes out of a workload what it did not write there."""


class Look(Protocol):
    """A look at one stack's attachment and the pods that migrate, whoever took it."""

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""

    @property
    def attachment(self) -> Object | None:
        """The NetworkAttachmentDefinition."""

    @property
    def living(self) -> tuple[Pod, ...]:
        """The pods that migrate and do not end."""


@rule("pods-keep-old-network")
def pods_keep_old_network(look: Look) -> Iterator[Finding]:
    """A changed attachment rolls nothing: pods that were made before keep the network as it was then.

    A change of the addresses that it gives is none: IPAM is asked when a pod is made, and what they hold is judged.
    The cluster does not say what stood there. It is an error where a change is what such a write mostly is, a warning
    where the attachment was adopted, and information where its name carries its content's hash: their addresses and
    MTU are judged like those of the other pods then.
    """
    stack, namespace, last = look.stack, look.stack.cluster.namespace, last_change(look.attachment)
    old = [pod for pod in from_before(look.attachment, look.living) if pod.asks_for(stack.network)]
    renamed, adopted = stack.attachment.rollout == "rename", stack.attachment.adopt
    severity: Severity = "info" if renamed else "warning" if adopted else "error"
    doubt = (
        "; what the name stands for was only put back, unless one of them started while something else stood there"
        if renamed
        else "; nobody can tell what stood there before it was adopted, and with the same meaning they are right"
        if adopted
        else ""
    )
    again = "" if renamed else ". attachment.rollout: rename has the operator do it next time"
    for role in (HANDLER, SYNC):
        mine = [pod for pod in old if pod.role == role]
        kind = workload_kind(role).kind
        if mine:
            workload = f"{kind.lower()}/{role}"
            yield Finding(
                Subject.of(kind, f"{namespace}/{role}"),
                None,
                f"has {len(mine)} pod{'s' if len(mine) > 1 else ''} from before {stack.network} last changed"
                f" (by {last}): {names(mine)}{doubt}",
                f"{_ANEW[role]}: for pod in $(oc -n {namespace} get pods -o name -l {LABEL}={role}); do"
                f" oc -n {namespace} delete $pod; oc -n {namespace} rollout status {workload}; done{again}",
                severity=severity,
                stack=stack.name,
            )
