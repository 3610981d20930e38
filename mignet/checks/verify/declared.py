"""The live objects against what the program declares: nothing to wait for where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, Subject, is_not, rule
from config.types.json_text import parse_json
from mignet.checks.verify.sight import DISPENSABLE
from mignet.kube.diff import declared_differences
from mignet.kube.kinds import HYPERCONVERGED_V1, NETWORK_ATTACHMENT, kind_of
from mignet.kube.snapshot import UnreadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.verify.sight import Sight
    from mignet.kube.kinds import Object

_UP = "Run mignet up (mignet drift says who changed it), then verify again"


_MAKE = "Create it with its operator's own default, which mignet never does"


@rule("attachment-gone", "attachment-invalid", "declared-missing", "declared-differs")
def declared(sight: Sight) -> Iterator[Finding]:
    """What runs can only be what is declared when the objects on the cluster hold it, lists included.

    A NetworkAttachmentDefinition that is gone, or not valid, stops the first virt-handler of a rollout for ever.
    """
    unread: UnreadError | None = None
    for manifest in sight.declared:
        metadata, kind = manifest["metadata"], kind_of(manifest)
        try:
            live = sight.seen.one(kind, metadata["name"], metadata.get("namespace"))
        except UnreadError as error:
            # Who may not read policies still hears of the rest.
            if kind not in DISPENSABLE:
                raise
            unread = error
            continue
        where = f"{metadata['namespace']}/" if "namespace" in metadata else ""
        key, stack = Subject.of(kind.kind, f"{where}{metadata['name']}"), sight.stack.name
        if live is None and kind == NETWORK_ATTACHMENT:
            rule_ = "does not exist: a virt-handler that restarts waits for it forever"
            yield Finding(key, None, rule_, _UP, code="attachment-gone", stack=stack)
        elif live is None:
            remedy = f"{_MAKE}. {_UP}" if kind.kind == HYPERCONVERGED_V1.kind else _UP
            yield Finding(key, None, "does not exist", remedy, code="declared-missing", stack=stack)
        elif kind == NETWORK_ATTACHMENT and (why := _invalid(live)):
            value = live.get("spec", {}).get("config")
            yield Finding(key, value, f"is no CNI configuration: {why}", _UP, code="attachment-invalid", stack=stack)
        elif lost := list(declared_differences(_content(manifest), live)):
            what = "; ".join(f"{each.path} {is_not(each.old, each.new)}" for each in lost)
            yield Finding(key, None, f"holds something else: {what}", _UP, code="declared-differs", stack=stack)
    if unread is not None:
        raise unread


def _content(manifest: Object) -> Object:
    """Return what is declared of an object, without what is meant for the engine only."""
    metadata = dict(manifest["metadata"])
    notes = {key: value for key, value in metadata.pop("annotations", {}).items() if not key.startswith("pulumi.com/")}
    return {**manifest, "metadata": metadata | ({"annotations": notes} if notes else {})}


def _invalid(live: Object) -> str | None:
    try:
        config = parse_json(live.get("spec", {}).get("config") or "")
    except ValueError:
        return "not JSON"
    if not isinstance(config, dict):
        return "not a JSON object"
    if not config.get("type") and not config.get("plugins"):
        return "no type"
    return None
