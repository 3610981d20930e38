"""Who works on a stack: a Lease in KubeVirt's namespace, held while either engine changes a cluster.

Pulumi has a lock of its own in its state backend, of which only runs with the same backend know. A Lease outlives a
holder that was killed: it is taken over when it has expired, and at once when the holder was a process of this machine
that is gone.
Source of the fields: Kubernetes API, coordination.k8s.io/v1.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import re
import socket
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER, labels
from config.finding import UserError
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import LEASE
from mignet.kube.objects import lease_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from config.stack import Stack
    from mignet.kube.kinds import Object

LEASE_SECONDS = 60
"""How long a holder that says nothing more is believed to be at work."""
RENEW_SECONDS = 5.0
OBSERVE_SECONDS = 8.0
"""How long a holder whose time is over is watched before it is taken for dead: the two clocks may be apart."""
RELEASE_SECONDS = 5.0
"""What letting go may take: a Lease that stays expires by itself."""
_IDENTITY = re.compile(r".+ pid (?P<pid>\d+) since (?P<since>\S+) \[(?P<machine>\w+)\]")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class HeldError(UserError):
    """Another run works on this stack, or has taken it over; the sentence says who."""


@dataclass(slots=True)
class Hold:
    """A stack that is ours to change, as long as nobody took it over from us."""

    lease: Object
    lost: str | None = None

    def still_ours(self) -> None:
        """Raise HeldError when somebody took it over."""
        if self.lost:
            raise HeldError(self.lost)


@contextlib.asynccontextmanager
async def held(stack: Stack, cluster: Cluster) -> AsyncIterator[Hold]:
    """Hold a stack. Raises HeldError when another run does, and ClusterError."""
    hold = Hold(await _taken(stack, cluster))
    renewal = asyncio.create_task(_renew(hold, cluster))
    try:
        yield hold
    finally:
        renewal.cancel()
        # Letting go is not worth waiting for an API server that does not answer.
        with contextlib.suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await _let_go(hold, cluster)


async def _taken(stack: Stack, cluster: Cluster) -> Object:
    name, namespace = lease_name(stack.name), stack.cluster.namespace
    metadata = {"name": name, "namespace": namespace, "labels": labels(stack.name)}
    wanted: Object = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": _spec()}
    # Twice: one that is there may be gone, or somebody else's, by the time it is taken over.
    for _ in range(2):
        try:
            return await cluster.create(LEASE, wanted, namespace)
        except ClusterError as error:
            if error.reason != "conflict":
                raise
        live = await cluster.get(LEASE, name, namespace)
        if live is None:
            continue
        if not _is_gone(live) and (_is_fresh(live) or await _renews(live, cluster)):
            break
        # With the version in it, the API server lets one of two who take it over through.
        with contextlib.suppress(ClusterError):
            pinned = metadata | {"resourceVersion": live["metadata"]["resourceVersion"]}
            return await cluster.apply(wanted | {"metadata": pinned}, manager=FIELD_MANAGER, force=True, dry_run=False)
    spec = (live or wanted)["spec"]
    msg = f"another run holds this stack: {spec.get('holderIdentity')}; wait for it"
    msg += f", or {LEASE_SECONDS} s after it was last heard of, at {spec.get('renewTime')}, run again"
    raise HeldError(msg)


def _is_gone(live: Object) -> bool:
    """Tell whether a holder is certainly dead: it was a process of this machine, and is none any more."""
    holder = _IDENTITY.fullmatch(live["spec"]["holderIdentity"])
    return bool(holder and holder["machine"] == machine() and gone(int(holder["pid"]), holder["since"]))


def _is_fresh(live: Object) -> bool:
    """Tell whether a holder has been heard of lately, as its own clock has it."""
    spec = live["spec"]
    renewed = datetime.strptime(spec["renewTime"], _TIME).replace(tzinfo=UTC)
    return datetime.now(UTC) <= renewed + timedelta(seconds=spec["leaseDurationSeconds"])


async def _renews(live: Object, cluster: Cluster) -> bool:
    """Tell whether a holder says something while it is watched, or lets go: who is at work does, whatever its clock."""
    metadata, begun = live["metadata"], time.monotonic()
    while time.monotonic() - begun < OBSERVE_SECONDS:
        await asyncio.sleep(OBSERVE_SECONDS / 8)
        now = await cluster.get(LEASE, metadata["name"], metadata["namespace"])
        if now is None or now["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            return now is not None
    return False


async def _renew(hold: Hold, cluster: Cluster) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        lease = hold.lease
        lease["spec"]["renewTime"] = _now()
        try:
            hold.lease = await cluster.apply(
                _ours(lease, lease["spec"]), manager=FIELD_MANAGER, force=True, dry_run=False
            )
        except ClusterError as error:
            if error.reason == "conflict":
                hold.lost = "another run has taken this stack over, as this one was not heard of for too long"
                return
            # The next time may go better; until it has expired, nobody takes it over.


async def _let_go(hold: Hold, cluster: Cluster) -> None:
    metadata = hold.lease["metadata"]
    live = await cluster.get(LEASE, metadata["name"], metadata["namespace"])
    if live and live["spec"].get("holderIdentity") == hold.lease["spec"]["holderIdentity"]:
        await cluster.delete(LEASE, metadata["name"], metadata["namespace"])


def _ours(lease: Object, spec: Object) -> Object:
    keep = ("name", "namespace", "labels", "resourceVersion")
    metadata = {key: lease["metadata"][key] for key in keep}
    return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}


def _spec() -> Object:
    import psutil

    begun = datetime.fromtimestamp(psutil.Process().create_time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = f"{_user()}@{socket.gethostname()} pid {os.getpid()} since {begun} [{machine()}]"
    now = _now()
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": LEASE_SECONDS,
        "acquireTime": now,
        "renewTime": now,
    }


def gone(pid: int, since: str) -> bool:
    """Whether no process of this machine has that id, or one that ended, or began after `since` (ISO 8601, UTC)."""
    import psutil

    try:
        process = psutil.Process(pid)
        # One that has ended and that nobody has waited for does nothing any more.
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        # Machines count a process's start in hundredths of a second after their own.
        return process.create_time() > datetime.fromisoformat(since).timestamp() + 2
    except psutil.NoSuchProcess:
        return True


@lru_cache(maxsize=1)
def machine() -> str:
    """Name where our process ids count: this boot of this machine, and this container of it. Hosts share names."""
    parts = []
    with contextlib.suppress(OSError):
        parts = [
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    return uuid.uuid5(uuid.NAMESPACE_OID, " ".join(parts) or f"{uuid.getnode()}").hex[:12]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _now() -> str:
    return datetime.now(UTC).strftime(_TIME)
