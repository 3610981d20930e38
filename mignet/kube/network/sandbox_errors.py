"""The real error in what kubelet, multus and the plugins write around it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mignet.kube.kinds import Object

_AROUND = (
    "error adding container to network ",
    "getKubernetesDelegate: ",
    "failed getting the delegate: ",
    "ERRORED: ",
    "failed (add): ",
)
"""What stands before the reason, the innermost first: kubelet, CRI-O, multus and the plugin each put theirs in front.
"""


def reason(message: str, *, limit: int = 300) -> str:
    """Return what an event's message ends in: why it failed, on one line, the last `limit` characters of it.

    >>> reason('Failed to create pod sandbox: … ERRORED: error configuring pod: error adding container to network '
    ...        '"migration": Link not found')
    '"migration": Link not found'
    """
    text = " ".join(message.replace("\\n", "\n").split())
    mark = next((each for each in _AROUND if each in text), None)
    text = text if mark is None else text.rpartition(mark)[2]
    text = text.strip(" '\n")
    return text if len(text) <= limit else f"…{text[-limit:]}"


def panic(message: str, *, limit: int = 300) -> str:
    """Return the line of a container's last words that says why it ended: that of the panic, else the last one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(("panic:", "fatal error:"))), None)
    if said is None:
        said = next((line for line in reversed(lines) if re.search(r"error|fail|panic", line, re.IGNORECASE)), None)
    text = " ".join((said or (lines[-1] if lines else "")).split())
    return text if len(text) <= limit else f"{text[:limit]}…"


def when(event: Object) -> str:
    """Return when an event was seen last, as the cluster writes a time."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next(filter(None, times), event["metadata"].get("creationTimestamp", "")))
