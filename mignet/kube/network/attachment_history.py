"""When what pods keep of an attachment last changed: a change of the addresses that it gives alone is none.

The API server tells who wrote the whole configuration, and when; what stood there before, nobody keeps. So an apply
that changes the addresses alone notes on the object since when the rest stands there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from config.attachment.content import fingerprint
from config.types.json_text import parse_json
from mignet.kube.managed_fields import owners
from mignet.kube.network.cni_configuration import meaning_changes
from mignet.kube.network.user_network import made_of_a_network

if TYPE_CHECKING:
    from mignet.kube.diff import Writer
    from mignet.kube.kinds import Object

SINCE = "migration-network.io/unchanged-since"
"""The annotation: the fingerprint of what pods keep, and the time since which it stands there, in UTC."""


def last_change(attachment: Object | None) -> Writer | None:
    """Return who changed what pods keep of an attachment last, and when, at the latest.

    Of several owners of the content the one who came first counts. None when there is no attachment, or nobody left a
    trace. What the controller of a ClusterUserDefinedNetwork keeps stands there since it was made, as nothing of such a
    network changes: a later write of its is one of labels that it copies.
    """
    written = () if attachment is None else (by for path, by in owners(attachment) if path == "spec.config" and by.time)
    last = min(written, key=lambda by: by.time, default=None)
    if last is not None and attachment is not None and made_of_a_network(attachment):
        return replace(last, time=str(attachment["metadata"].get("creationTimestamp") or last.time))
    since = None if last is None or attachment is None else _noted(attachment)
    return last if last is None or since is None else replace(last, time=min(since, last.time))


def note(live: Object | None, declared: Object) -> dict[str, str]:
    """Return the annotation that goes with a declared attachment on a cluster where `live` stands, ours or adopted.

    Empty when pods would keep something else, and while the content has never changed without that.
    """
    config = _config(declared)
    if live is None or config is None or not (_fingerprint(live) == fingerprint(config) or _same(live, declared)):
        return {}
    last = last_change(live)
    changes = live.get("spec", {}).get("config") != declared["spec"]["config"]
    if last is None or not (changes or _noted(live)):
        return {}
    return {SINCE: f"{fingerprint(config)} {last.time}"}


def _same(live: Object, declared: Object) -> bool:
    """Whether both mean the same: an attachment that is adopted may have another form."""
    old, new = (each.get("spec", {}).get("config") or "" for each in (live, declared))
    return meaning_changes(old, new, name=declared["metadata"]["name"]) == []


def _noted(live: Object) -> str | None:
    """Return the time that the annotation notes, unless it is about another content."""
    of, _, since = str((live["metadata"].get("annotations") or {}).get(SINCE, "")).partition(" ")
    try:
        datetime.fromisoformat(since)
    except ValueError:
        return None
    return since if of == _fingerprint(live) else None


def _fingerprint(live: Object) -> str | None:
    config = _config(live)
    return None if config is None else fingerprint(config)


def _config(live: Object) -> dict[str, Any] | None:
    try:
        config = parse_json(live.get("spec", {}).get("config") or "")
    except ValueError:
        return None
    return config if isinstance(config, dict) else None
