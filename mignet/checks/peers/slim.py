"""Sides made small: no more of each object than peers looks at, so that those of a large fleet can be held at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mignet.checks.peers import machines
from mignet.checks.peers.endpoint import AUTHORITIES, FAILURE, MODELS
from mignet.kube.kinds import CONFIG_MAP, INSTANCE, IP_POOL, MIGRATION, NODE, POD
from mignet.kube.objects import value_at
from mignet.kube.snapshot import ODD, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mignet.checks.peers.endpoint import Side
    from mignet.kube.kinds import Kind, Object

Objects = tuple["Object", ...]


def slim(side: Side) -> Side:
    """Return a side with what the rules of peers look at; they find the same in it."""
    if side.seen is None:
        return side
    found = {
        read: _slim(read.kind, outcome) if isinstance(outcome, tuple) else outcome
        for read, outcome in side.seen.found.items()
    }
    certified = known(lambda: side.authorities)
    if certified is not None:
        # Of a bundle, it is the certificates that are looked at: one that everybody's stand in is large.
        found |= {
            read: tuple(each | {"data": {}} for each in outcome) if isinstance(outcome, tuple) else outcome
            for read, outcome in found.items()
            if read.kind == CONFIG_MAP and read.name == AUTHORITIES
        }
    return replace(side, outcome=replace(side.seen, found=found), certified=certified)


def _slim(kind: Kind, objects: Objects) -> Objects:
    try:
        if kind == NODE:
            return _nodes(objects)
        return tuple(_SLIM[kind](each) if kind in _SLIM else _plain(each) for each in objects)
    except ODD:
        # Of another form than its API promises: the rules say so.
        return objects


def _metadata(live: Object, *more: str) -> dict[str, Any]:
    return _only(live["metadata"], "name", "namespace", "uid", *more)


def _only(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value[key] for key in keys if key in value}


def _plain(live: Object) -> Object:
    return live | {"metadata": {key: each for key, each in live["metadata"].items() if key != "managedFields"}}


def _nodes(nodes: Objects) -> Objects:
    """Keep of nodes what their CPUs can show: of what they can show besides their own model, one node is enough."""
    shown: set[str] = set()
    found = []
    for node in nodes:
        labels = {}
        for label, value in (node["metadata"].get("labels") or {}).items():
            own = label.startswith("host-model-cpu.")
            if label.startswith(MODELS) and value == "true" and (own or label not in shown):
                labels[label] = value
                shown.add(label)
        found.append({"metadata": {"name": node["metadata"]["name"], "labels": labels}})
    return tuple(found)


def _instance(live: Object) -> Object:
    status = live.get("status", {})
    passed = [
        each for each in status.get("phaseTransitionTimestamps") or () if each.get("phase") == status.get("phase")
    ]
    conditions = [each for each in status.get("conditions") or () if each.get("type") == FAILURE]
    small: dict[str, Any] = _only(status, "phase", "nodeName", "migrationState")
    if passed:
        small["phaseTransitionTimestamps"] = passed[-1:]
    if conditions:
        small["conditions"] = conditions
    found: dict[str, Any] = {"metadata": _metadata(live), "status": small}
    firmware = value_at(live, "spec.domain.firmware.uuid")
    if firmware:
        found["spec"] = {"domain": {"firmware": {"uuid": firmware}}}
    return found


def _migration(live: Object) -> Object:
    return {
        "metadata": _metadata(live, "creationTimestamp"),
        "spec": _only(live["spec"], "vmiName"),
        "status": _only(live.get("status") or {}, "phase"),
    }


def _pool(live: Object) -> Object:
    given = live.get("spec", {}).get("allocations") or {}
    allocations = {offset: _only(entry, "podref") for offset, entry in given.items()}
    return {"metadata": _metadata(live), "spec": {"allocations": allocations}}


def _pod(live: Object) -> Object:
    return _plain(live) | {"spec": _only(live.get("spec", {}), "nodeName")}


_SLIM: dict[Kind, Callable[[Object], Object]] = {
    INSTANCE: _instance,
    MIGRATION: _migration,
    IP_POOL: _pool,
    POD: _pod,
}


@dataclass(slots=True)
class Concerned:
    """Which virtual machines of a fleet may be found on two sides, or waited for: `add` every side, then `of` each."""

    uids: set[str] = field(default_factory=set)
    firmware: Counter[str] = field(default_factory=Counter)
    names: set[tuple[str, str]] = field(default_factory=set)

    def add(self, side: Side) -> None:
        """Take in one side's machines. What is of another form than its API promises is left to the rules."""
        for each in _instances(side):
            with contextlib.suppress(*ODD):
                self.uids.update(machines.partners(each))
                if firmware := machines.firmware(each):
                    self.firmware[firmware] += 1
                if machines.did_not_start(each):
                    self.names.add(_name(each))

    def of(self, side: Side) -> Side:
        """Return a side with those machines only, and their migrations."""
        if side.seen is None:
            return side
        try:
            kept = [each for each in _instances(side) if self._concerns(each)]
        except ODD:
            return side
        names = {_name(each) for each in kept}
        found = dict(side.seen.found)
        for read, outcome in side.seen.found.items():
            if isinstance(outcome, tuple) and read.kind == INSTANCE:
                found[read] = tuple(kept)
            elif isinstance(outcome, tuple) and read.kind == MIGRATION:
                found[read] = tuple(
                    each
                    for each in outcome
                    if (each["metadata"].get("namespace"), each["spec"].get("vmiName")) in names
                )
        return replace(side, outcome=replace(side.seen, found=found))

    def _concerns(self, live: Object) -> bool:
        return (
            bool(machines.partners(live))
            or live["metadata"].get("uid") in self.uids
            or self.firmware[machines.firmware(live) or ""] > 1
            or _name(live) in self.names
            or bool(live.get("status", {}).get("conditions"))
        )


def _instances(side: Side) -> Iterable[Object]:
    found = known(lambda: side.instances)
    return found or ()


def _name(live: Object) -> tuple[str, str]:
    return live["metadata"]["namespace"], live["metadata"]["name"]
