"""How far the operators are with the network: what is still waited for, each step about the present generation.

The way of a change: HyperConverged, KubeVirt, DaemonSet and Deployment, pods. What an operator says of itself is worth
what the generation behind it is, and turns late; so each step is read from what the step before it wrote, and what the
pods show comes last and counts.
Source: hyperconverged-cluster-operator and virt-operator; which fields they set was seen with the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.finding import Subject
from mignet.checks.rules.hyperconverged import settings_not_taken, taken
from mignet.kube.kubevirt.pods import HANDLER, INTERFACE, NETWORKS, SYNC, Role, asks_for, workload_kind
from mignet.kube.objects import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mignet.checks.verify.sight import Sight
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod


@dataclass(frozen=True, slots=True)
class Pending:
    """One step that is not done: the code of the finding when it never is, the object, and the words for it."""

    code: str
    key: str
    what: str
    """What is waited for, as the rest of a sentence that begins with `waiting for`."""
    rule: str
    """What the finding says of the object."""
    remedy: str


def pending(sight: Sight) -> list[Pending]:
    """Return the steps that are not done, in the order in which they happen; none when the network is rolled out."""
    steps = list(_kubevirt(sight))
    # What the operators have not taken up yet, the pods cannot show.
    return steps or [each for role in (HANDLER, SYNC) for each in _workload(sight, role)]


def counts(sight: Sight) -> str:
    """Say how many pods of each role run on the network: `virt-handler 2 of 3, …`."""
    parts = []
    for role in (HANDLER, SYNC):
        workload = sight.workload(role)
        if workload is not None:
            done = sum(_fits(sight, pod) for pod in sight.of(role))
            parts.append(f"{role} {done} of {wanted(workload)}")
    return ", ".join(parts)


def wanted(workload: Object) -> int:
    """Return how many pods a DaemonSet or a Deployment is to have."""
    count = workload.get("status", {}).get("desiredNumberScheduled")
    return int(workload.get("spec", {}).get("replicas", 1) if count is None else count)


def observed(live: Object) -> bool:
    """Tell whether what an object's status says is about its present content."""
    return bool(live.get("status", {}).get("observedGeneration", 0) >= live["metadata"]["generation"])


def _kubevirt(sight: Sight) -> Iterator[Pending]:
    live, above = sight.kubevirt, sight.hyperconverged
    if live is None:
        yield Pending(
            "operator-asleep",
            Subject(f"KubeVirt in {sight.namespace}", kind="KubeVirt"),
            "the HyperConverged operator to make the KubeVirt object",
            "does not exist, which the HyperConverged operator makes",
            f"See whether the operator runs: oc -n {sight.namespace} get pods",
        )
        return
    if not taken(sight) and above is not None and not observed(above):
        yield _asleep(above, "the HyperConverged operator", name_of(above))
        return
    for found in settings_not_taken(sight):
        what = "KubeVirt to take the settings of the HyperConverged"
        yield Pending(found.code, found.key, what, found.rule, found.remedy)
        return
    if not observed(live):
        yield _asleep(live, "virt-operator", name_of(live))


def _asleep(live: Object, who: str, key: str) -> Pending:
    generation, seen = live["metadata"]["generation"], live.get("status", {}).get("observedGeneration", 0)
    return Pending(
        "operator-asleep",
        key,
        f"{who} to look at generation {generation} (it is at {seen})",
        f"is at generation {generation}, and {who} has only looked at {seen}; its conditions are about that one",
        f"See whether {who} runs and what its log says",
    )


def _workload(sight: Sight, role: Role) -> Iterator[Pending]:
    kind, network = workload_kind(role), sight.stack.network
    live, key = sight.workload(role), Subject.of(workload_kind(role).kind, f"{sight.namespace}/{role}")
    if live is None:
        # Without the gate for migrations between clusters there is no sync controller.
        if role == HANDLER or sight.stack.cluster.cross_cluster:
            yield Pending(
                "workload-missing",
                key,
                f"virt-operator to make {role}",
                "does not exist",
                "See whether virt-operator runs, and for the sync controller, the gate decentralizedLiveMigration"
                " of the HyperConverged",
            )
        return
    template: Mapping[str, Any] = live["spec"]["template"].get("metadata", {})
    if not asks_for(template.get("annotations", {}).get(NETWORKS, ""), network, sight.namespace):
        yield Pending(
            "workload-not-annotated",
            key,
            f"virt-operator to attach {role} to {network}",
            f"does not ask for {network}@{INTERFACE}, though KubeVirt has that network",
            "See what virt-operator's log says, and who else changes that object",
        )
        return
    want, pods = wanted(live), sight.of(role)
    done = [pod for pod in pods if _fits(sight, pod)]
    ending = [pod for pod in sight.pods if pod.role == role and pod.terminating]
    if not observed(live) or len(done) < want or len(done) < len(pods) or ending or not _counted(live, want):
        yield Pending(
            "rollout-unfinished",
            key,
            f"{role}: {len(done)} of {want} pods on {network}",
            f"has {len(done)} of {want} pods on {network}",
            f"See how far it is: oc -n {sight.namespace} rollout status {kind.kind.lower()}/{role}; verify again then",
        )


def _fits(sight: Sight, pod: Pod) -> bool:
    """Tell whether a pod is of the new template and ready."""
    return pod.ready and pod.asks_for(sight.stack.network)


def _counted(live: Object, want: int) -> bool:
    """Tell whether the controller has counted as many updated and available pods as there are to be."""
    status = live.get("status", {})
    updated = status.get("updatedNumberScheduled", status.get("updatedReplicas", 0))
    available = status.get("numberAvailable", status.get("availableReplicas", 0))
    return bool(updated == available == want)
