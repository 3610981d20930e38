"""The probes of one cluster in one round: created, given their targets, listened to, and always removed."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from components.ownership import FIELD_MANAGER
from config.types.json_text import parse_json
from mignet.checkup import manifests
from mignet.checkup.manifests import CHECKUP, TARGETS
from mignet.checkup.measurements import Probed
from mignet.checkup.probe_protocol import read_report
from mignet.checkup.result import End
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import EVENT, JOB, POD
from mignet.kube.kubevirt.pods import INTERFACE, NETWORK_STATUS, read_link
from mignet.kube.network.sandbox_errors import panic, reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from config.stack import Stack
    from mignet.checkup.manifests import Asked
    from mignet.kube.kinds import Object

POLL_SECONDS = 0.2
READING_SHARE = 0.2
"""Of the time of waiting, the part that may go into reading."""
STUCK_SECONDS = 10.0
"""Patience with a pod whose start fails; the kubelet tries again by itself."""
START_SHARE = 0.5
"""Of a round's time, the part within which a probe must have started."""
REMOVE_SECONDS = 40.0
"""How long to wait for pods to be gone."""

_HOPELESS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
}


@dataclass
class Crew:
    """The probes on the nodes of one stack's cluster. Methods raise ClusterError."""

    stack: Stack
    asked: Asked
    turn: int
    nodes: Sequence[str]
    base: Path
    say: Callable[[str], None] = lambda _: None
    probes: dict[str, Probed] = field(default_factory=dict)
    """By the name of the pod."""
    handed: dict[End, Sequence[End]] = field(default_factory=dict)
    """Whom each probe was told to measure, in that order."""
    created: bool = False
    """Whether anything may be on the cluster."""
    _told: str = ""
    _uids: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """KubeVirt's namespace."""
        return self.stack.cluster.namespace

    @property
    def job(self) -> str:
        """The name of the Job that owns the probes."""
        return manifests.job_name(self.asked, self.turn)

    def _open(self) -> Cluster:
        return Cluster(self.stack.cluster, base=self.base)

    def _tell(self, line: str) -> None:
        if line != self._told:
            self.say(line)
            self._told = line

    async def start(self) -> None:
        """Create the probes, and wait until each has its address and runs, or cannot."""
        async with self._open() as cluster:
            self.created = True
            owner = await cluster.create(JOB, manifests.job(self.stack, self.asked, self.turn), self.namespace)
            await _all(self._create(cluster, number, node, owner) for number, node in enumerate(self.nodes))
            begun, failing = time.monotonic(), dict[str, float]()
            while True:
                before = time.monotonic()
                live = await self._pods(cluster)
                waiting = [pod for pod in live if not self._settled(pod)]
                if not waiting and len(live) == len(self._uids):
                    return
                late = before - begun > self.asked.timeout * START_SHARE
                reasons = await self._reasons(cluster, waiting) if late or before - begun > 2 else {}
                for name in reasons:
                    failing.setdefault(name, before)
                names = [pod["metadata"]["name"] for pod in waiting]
                if late or all(self._hopeless(name, failing) for name in names):
                    gone = set(self._uids) - {pod["metadata"]["name"] for pod in live}
                    for name in names:
                        self.probes[name] = replace(
                            self.probes[name], stuck=reasons.get(name, "it did not start in time")
                        )
                    for name in gone:
                        self.probes[name] = replace(self.probes[name], stuck="somebody removed its pod")
                    return
                self._tell(f"{len(live) - len(waiting)} of {len(self.probes)} probes have started")
                await _pause(before)

    async def _create(self, cluster: Cluster, number: int, node: str, owner: Object) -> None:
        token = secrets.token_hex(5)
        pod = manifests.pod(
            self.stack, self.asked, self.turn, number=number, node=node, token=token, owner=owner["metadata"]["uid"]
        )
        end = End(self.stack.name, node)
        try:
            made = await cluster.create(POD, pod, self.namespace)
        except ClusterError as error:
            if error.reason not in {"forbidden", "refused", "conflict"}:
                raise
            # A quota or an admission refuses this one; what it says is the finding.
            self.probes[pod["metadata"]["name"]] = Probed(end, token, self.turn, stuck=str(error))
            return
        self.probes[made["metadata"]["name"]] = Probed(end, token, self.turn)
        self._uids[made["metadata"]["name"]] = made["metadata"]["uid"]

    async def _pods(self, cluster: Cluster) -> list[Object]:
        """Return the pods of this round that are there, and note what they show."""
        live = await cluster.list(POD, namespace=self.namespace, labels={CHECKUP: self.asked.run})
        mine = [pod for pod in live if pod["metadata"]["name"] in self._uids]
        for pod in mine:
            self._note(pod)
        return mine

    def _note(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        known = self.probes[name]
        text = (pod["metadata"].get("annotations") or {}).get(NETWORK_STATUS, "")
        if text:
            link = read_link(text)
            address = next((each for each in link.addresses if not each.is_link_local), None) if link else None
            known = replace(known, attached=link is not None, address=address, mac=_mac(text) if link else None)
        elif pod.get("status", {}).get("phase") == "Running":
            known = replace(known, attached=False)
        if (ended := _ended(pod)) is not None and known.report is None:
            said = ended.get("message") or ""
            report = read_report(said)
            words = f"{ended.get('reason', 'ended')}: {panic(said)}" if said else ended.get("reason", "ended")
            known = replace(known, report=report, lost=None if report else words)
        self.probes[name] = known

    def _settled(self, pod: Object) -> bool:
        return _ended(pod) is not None or pod.get("status", {}).get("phase") == "Running"

    def _hopeless(self, name: str, failing: Mapping[str, float]) -> bool:
        return name in failing and time.monotonic() - failing[name] > STUCK_SECONDS

    async def _reasons(self, cluster: Cluster, waiting: Sequence[Object]) -> dict[str, str]:
        """Return why pods do not start, by name, as far as anybody says so."""
        found: dict[str, str] = {}
        names = {pod["metadata"]["name"] for pod in waiting}
        try:
            events = await cluster.list(EVENT, namespace=self.namespace, fields={"type": "Warning"})
        except ClusterError:
            events = []
        for each in events:
            if (name := each.get("involvedObject", {}).get("name")) in names:
                found[name] = reason(each.get("message") or each.get("reason") or "")
        for pod in waiting:
            for status in pod.get("status", {}).get("containerStatuses", ()):
                said = status.get("state", {}).get("waiting", {})
                if said.get("reason") in _HOPELESS:
                    found[pod["metadata"]["name"]] = f"{said['reason']}: {said.get('message') or self.asked.image}"
        return found

    @property
    def ready(self) -> list[Probed]:
        """The probes that can measure and be measured."""
        return [probe for probe in self.probes.values() if probe.address is not None and not probe.stuck]

    async def measure(self, contents: Mapping[End, Object], *, seconds: float) -> None:
        """Give each probe its targets, and wait until all have said what they found."""
        async with self._open() as cluster:
            by_end = {probe.end: name for name, probe in self.probes.items()}
            await _all(self._hand_out(cluster, by_end[end], content) for end, content in contents.items())
            begun, unheard = time.monotonic(), {by_end[end] for end in contents}
            while unheard and time.monotonic() - begun < seconds:
                before = time.monotonic()
                try:
                    live = await self._pods(cluster)
                except ClusterError as error:
                    # One that has answered before may be away for a while.
                    if error.reason != "unreachable" or time.monotonic() - begun > seconds / 2:
                        raise
                    continue
                there = {pod["metadata"]["name"]: pod for pod in live}
                unheard = {name for name in unheard if name in there and _ended(there[name]) is None}
                self._tell(f"{len(contents) - len(unheard)} of {len(contents)} probes have measured")
                if unheard:
                    await _pause(before)

    async def _hand_out(self, cluster: Cluster, name: str, content: Object) -> None:
        metadata = {
            "name": name,
            "namespace": self.namespace,
            # Of this pod and no other: an apply would create one that is gone.
            "uid": self._uids[name],
            "annotations": {TARGETS: json.dumps(content, separators=(",", ":"))},
        }
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        try:
            await cluster.apply(manifest, manager=FIELD_MANAGER, force=True, dry_run=False)
        except ClusterError as error:
            if error.reason not in {"conflict", "refused"}:
                raise
            self.probes[name] = replace(self.probes[name], stuck=f"somebody removed its pod ({error})")

    async def remove(self) -> int:
        """Delete all that this round has created, and wait until it is gone; return how much is not."""
        if not self.created:
            return 0
        async with self._open() as cluster:
            await cluster.delete(JOB, self.job, self.namespace)
            begun, asked = time.monotonic(), set[str]()
            while True:
                before = time.monotonic()
                pods = await cluster.list(POD, namespace=self.namespace, labels={CHECKUP: self.asked.run})
                names = {pod["metadata"]["name"] for pod in pods}
                await _all(cluster.delete(POD, name, self.namespace) for name in sorted(names - asked))
                asked |= names
                left = len(names) + (await cluster.get(JOB, self.job, self.namespace) is not None)
                if not left or time.monotonic() - begun > REMOVE_SECONDS:
                    return left
                await _pause(before)

    @property
    def command(self) -> str:
        """The command that removes what is left."""
        where = f"--context {self.stack.cluster.context} -n {self.namespace}"
        return f"kubectl {where} delete job {self.job}"


def _ended(pod: Object) -> Object | None:
    """Return how the pod's container ended, None while it has not."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        ended: Object | None = status.get("state", {}).get("terminated")
        if ended is not None:
            return ended
    status = pod.get("status", {})
    return {key: status[key] for key in ("reason", "message") if key in status} if _is_over(pod) else None


def _is_over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def _mac(text: str) -> str | None:
    found: list[dict[str, Any]] = parse_json(text)
    return next((each.get("mac") or None for each in found if each.get("interface") == INTERFACE), None)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Do all of it; one failure ends the rest before it is raised, so that nothing goes on behind our back."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _pause(before: float) -> None:
    """Wait for the next look: the longer one takes, the rarer they are."""
    await asyncio.sleep(max(POLL_SECONDS, (time.monotonic() - before) / READING_SHARE))
