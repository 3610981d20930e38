"""The minimal roles: what may be granted to those who look at a cluster, who apply, run a checkup, or prove a path."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Literal

from mignet.checks import drift_rules, limits, migrations, preflight, verify
from mignet.checks.peers import endpoint
from mignet.checkup import preconditions
from mignet.kube.client import SYSTEM_NAMESPACE
from mignet.kube.kinds import NAMESPACE
from mignet.kube.rbac import Right, least, to_apply, to_cross, to_look, to_watch
from mignet.kube.snapshot import Read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.stack import Stack
    from mignet.kube.kinds import Object

Role = Literal["observe", "apply", "checkup", "crossing"]
ROLES: tuple[Role, ...] = ("observe", "apply", "checkup", "crossing")


IDENTITY = Read(NAMESPACE, name=SYSTEM_NAMESPACE)
"""What tells one cluster from another."""


def to_observe(stack: Stack) -> frozenset[Right]:
    """Return the rights that preflight, verify, drift, peers, limits, migrations and report take to look."""
    return to_look(
        [
            IDENTITY,
            *preflight.reads(stack),
            *verify.reads(stack),
            *endpoint.reads(stack),
            *drift_rules.needs(stack),
            *limits.reads(stack),
            *migrations.needs(),
        ]
    )


def granted(role: Role, stack: Stack) -> frozenset[Right]:
    """Return the rights of a role: `checkup` has its own only, the others those of `observe`, too, as they look first.

    Names that a stack gives are left out: they change with its content, and a role is granted once.
    """
    observe = to_observe(stack)
    policies = (each.name for each in stack.policies), (each.name for each in stack.migration_policies)
    given = {stack.network, *chain(*policies)}
    # Nobody but mignet watch watches, so that whoever only looks need not be told that the right is missing.
    wanted = observe | (to_watch(drift_rules.watches(stack)) if role == "observe" else to_apply(stack))
    if role == "crossing":
        wanted = observe | to_cross(stack)
    if role == "checkup":
        wanted = to_look([IDENTITY, *preconditions.reads(stack)]) | preconditions.rights(stack)
    return least(replace(right, name="") if right.name in given else right for right in wanted)


def manifests(role: Role, rights: Iterable[Right]) -> list[Object]:
    """Return the Roles that grant these rights, one for each namespace, and the ClusterRole for the rest."""
    by_namespace: defaultdict[str, list[Right]] = defaultdict(list)
    for right in sorted(rights):
        by_namespace[right.namespace].append(right)
    name = f"migration-network-{role}"
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role" if namespace else "ClusterRole",
            "metadata": {"name": name, "namespace": namespace} if namespace else {"name": name},
            "rules": _rules(found),
        }
        for namespace, found in sorted(by_namespace.items())
    ]


def _rules(found: Iterable[Right]) -> list[Object]:
    """Write rights as few rules: one for all objects of the same verbs, with their names where they have some."""
    verbs: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for right in found:
        verbs[right.group, right.resource, right.name].add(right.verb)
    objects: defaultdict[tuple[str, str, bool, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, name), listed in verbs.items():
        objects[group, resource, bool(name), tuple(sorted(listed))].append(name)
    return [
        {"apiGroups": [group], "resources": [resource]}
        | ({"resourceNames": names} if named else {})
        | {"verbs": list(listed)}
        for (group, resource, named, listed), names in sorted(objects.items())
    ]
