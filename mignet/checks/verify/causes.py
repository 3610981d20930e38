"""Why a rollout is stuck: causes that waiting does not fix, each found where it really stands, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, Subject, rule
from mignet.checks.rules.hyperconverged import settings_not_taken
from mignet.checks.rules.user_networks import network_not_made
from mignet.checks.verify.pools import NO_ADDRESS, full
from mignet.checks.verify.rollout import pending
from mignet.kube.kinds import EVENT, NODE_ENACTMENT, NODE_POLICY
from mignet.kube.kubevirt.json_patches import overrides
from mignet.kube.kubevirt.pods import moment
from mignet.kube.network.nmstate import rollout
from mignet.kube.network.sandbox_errors import panic, reason, when
from mignet.kube.network.user_network import is_judged
from mignet.kube.network.whereabouts import leases_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.verify.sight import Sight
    from mignet.kube.kinds import Object
    from mignet.kube.kubevirt.pods import Pod


@rule("uplink-failing")
def uplink_failing(sight: Sight) -> Iterator[Finding]:
    """Where nmstate could not make the uplink, no pod gets a network; the node's enactment has the real error."""
    if not sight.stack.policies:
        return
    enactments = sight.seen.all(NODE_ENACTMENT)
    for policy in sight.seen.all(NODE_POLICY):
        name = policy["metadata"]["name"]
        of_policy = [each for each in enactments if each["metadata"].get("labels", {}).get("nmstate.io/policy") == name]
        for node, message in sorted(rollout(policy, of_policy).nodes.items()):
            yield Finding(
                Subject(f"{NODE_POLICY.kind} {name} on node {node}", kind=NODE_POLICY.kind, name=name, nodes=(node,)),
                None,
                f"fails: {message}",
                "Fix the uplink in the stack file and run mignet up; the node went back to what it had",
            )


@rule("network-not-made")
def network_failing(sight: Sight) -> Iterator[Finding]:
    """Where OVN-Kubernetes could not make the attachment, pods wait for it; one that is new may still be looked at."""
    network = sight.user_network
    if network is not None and (is_judged(network) or not sight.stuck_after):
        yield from network_not_made(sight)


@rule("pod-crashes")
def pod_crashes(sight: Sight) -> Iterator[Finding]:
    """virt-handler panics when migration0 has no address; its last words stay in the pod's status."""
    for pod in _unready(sight):
        if words := _last_words(pod):
            yield Finding(
                pod.place,
                None,
                f"ends again and again: {words}",
                f"See that {sight.stack.network} gives its pods an address; the log says more:"
                f" oc -n {pod.namespace} logs {pod.name} --previous",
            )
            return


@rule("pool-full")
def pool_full(sight: Sight) -> Iterator[Finding]:
    """A pod that finds no free address stays in ContainerCreating until a lease is taken back."""
    if not leases_of(sight.stack):
        return
    for pod in _unready(sight):
        event = _last_warning(sight, pod)
        message = (event or {}).get("message", "")
        if NO_ADDRESS in message.lower() and (_stays(sight, pod) or full(sight)):
            yield Finding(
                pod.place,
                None,
                f"waits for an address, and the slice {' and '.join(map(str, sight.stack.spans))} has none left:"
                f" {reason(message)}",
                f"Take back leaked leases, or give the stack more addresses: mignet allocate {sight.stack.name}, then"
                " mignet up",
            )
            return


@rule("pod-no-network", "pod-not-starting")
def pod_stuck(sight: Sight) -> Iterator[Finding]:
    """Kubelet tries forever to start a pod; what stops it stands in the pod's events only.

    Its first tries may fail for what passes by itself, so only an error that stays counts.
    """
    for pod in _unready(sight):
        event = _last_warning(sight, pod)
        if event is None or not _stays(sight, pod) or _last_words(pod):
            continue
        message = event.get("message", "")
        if NO_ADDRESS in message.lower() and leases_of(sight.stack):
            continue
        no_network = event.get("reason") in {"FailedCreatePodSandBox", "NoNetworkFound"}
        code = "pod-no-network" if no_network else "pod-not-starting"
        where = pod.place
        rule_ = f"{'gets no network' if no_network else 'does not start'}: {reason(message)}"
        yield Finding(where, None, rule_, "Fix what it says; kubelet tries again", code=code)


@rule("operator-asleep", "settings-not-taken", "workload-missing", "workload-not-annotated", "rollout-unfinished")
def unfinished(sight: Sight) -> Iterator[Finding]:
    """A change goes from the HyperConverged to KubeVirt, to the DaemonSet and to the pods; each can stop there."""
    for step in pending(sight)[:1]:
        words = _complaints(sight) if step.code == "rollout-unfinished" else ""
        said = f"; the HyperConverged says: {words}" if words else ""
        yield Finding(step.key, None, f"{step.rule}{said}", step.remedy, code=step.code)


@rule("settings-not-taken")
def settings_patched(sight: Sight) -> Iterator[Finding]:
    """What the operator's annotation overrides, no waiting brings: it is said at once."""
    if overrides(sight.stack, sight.hyperconverged):
        yield from settings_not_taken(sight)


CAUSES = (settings_patched, uplink_failing, pod_crashes, pool_full, pod_stuck)
"""What ends the waiting at once."""


def _unready(sight: Sight) -> list[Pod]:
    """Return the pods that ask for the network and do not come; what those of another one wait for is no matter."""
    return [pod for pod in sight.living if not pod.ready and pod.asks_for(sight.stack.network)]


def _last_words(pod: Pod) -> str:
    """Return what a pod said that ends again and again; nothing for any other."""
    for status in pod.live.get("status", {}).get("containerStatuses", ()):
        last = status.get("lastState", {}).get("terminated") or status.get("state", {}).get("terminated")
        looping = status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        if last and (looping or status.get("restartCount", 0) > 1):
            return panic(last.get("message", "")) or f"exit code {last.get('exitCode')}"
    return ""


def _stays(sight: Sight, pod: Pod) -> bool:
    """Tell whether a pod tries to start for longer than one has patience."""
    return (sight.now - moment(pod.live["metadata"]["creationTimestamp"])).total_seconds() >= sight.stuck_after


def _complaints(sight: Sight) -> str:
    """Return what the HyperConverged's conditions say, as far as they are about its present generation."""
    live = sight.hyperconverged
    if live is None:
        return ""
    words = [
        each.get("message", "")
        for each in live.get("status", {}).get("conditions", ())
        if each["type"] in {"Degraded", "Progressing"}
        and each["status"] == "True"
        and each.get("observedGeneration", 0) >= live["metadata"]["generation"]
    ]
    return "; ".join(dict.fromkeys(words))


def _last_warning(sight: Sight, pod: Pod) -> Object | None:
    """Return the last warning about a pod; one about its sandbox comes first."""
    events = [
        each
        for each in sight.seen.all(EVENT, pod.namespace)
        if each.get("type", "Warning") == "Warning"
        and each.get("involvedObject", {}).get("name") == pod.name
        and each.get("involvedObject", {}).get("uid", pod.uid) == pod.uid
    ]
    return max(events, key=lambda each: (each.get("reason") == "FailedCreatePodSandBox", when(each)), default=None)
