"""What the operators have made of the HyperConverged: the rules that preflight, verify and drift share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from components.ownership import FIELD_MANAGER
from config.finding import Finding, rule, shown
from config.limits import same_quantity
from mignet.kube.hyperconverged_versions import hyperconverged_kind, limits_path
from mignet.kube.kubevirt import json_patches
from mignet.kube.managed_fields import writer_of
from mignet.kube.objects import name_of, value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.kube.kinds import Object

_BAD = {"Degraded": "True", "Available": "False", "ReconcileComplete": "False"}
_MIGRATIONS = "spec.configuration.migrations"


class Look(Protocol):
    """A look at one stack's cluster, whoever took it."""

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""

    @property
    def hyperconverged(self) -> Object | None:
        """The HyperConverged, None when there is none."""


class LookBelow(Look, Protocol):
    """A look that has the KubeVirt object, too."""

    @property
    def kubevirt(self) -> Object | None:
        """The KubeVirt object that the HyperConverged operator keeps."""


def behind(live: Object) -> bool:
    """Tell whether what an object's status says is about an older generation; one that says none is not."""
    seen = live.get("status", {}).get("observedGeneration")
    return seen is not None and bool(seen < live["metadata"]["generation"])


@rule("operator-asleep", severity="warning")
def operator_asleep(look: Look) -> Iterator[Finding]:
    """The HyperConverged's status is about an older generation: what was declared since may not be in effect.

    Its operator does not run, or is busy; the conditions are about the older one.
    """
    live = look.hyperconverged
    if live is not None and behind(live):
        yield Finding(
            name_of(live),
            None,
            f"is at generation {live['metadata']['generation']}, and the HyperConverged operator has only looked at"
            f" {live['status']['observedGeneration']}; its conditions are about that one",
            "See whether the HyperConverged operator runs and what its log says",
        )


@rule("operator-degraded", severity="warning")
def operator_degraded(look: Look) -> Iterator[Finding]:
    """The operator has looked at what is declared, and says itself that it did not come to a good end.

    That it is not available while it still works on it is an old word.
    """
    live = look.hyperconverged
    if live is None or behind(live):
        return
    conditions = live.get("status", {}).get("conditions", ())
    at_work = any(each["type"] == "Progressing" and each["status"] == "True" for each in conditions)
    bad = {"Degraded": "True"} if at_work else _BAD
    said = [
        f"{each['type']} is {each['status']} since {each.get('lastTransitionTime', '?')}"
        f" ({each.get('message') or each.get('reason') or 'no reason given'})"
        for each in conditions
        if each["status"] == bad.get(each["type"])
    ]
    if said:
        yield Finding(
            name_of(live),
            None,
            f"says: {' '.join('; '.join(said).split())}",
            "Fix what it says; the operator's log says more",
        )


@rule("settings-not-taken")
def settings_not_taken(look: LookBelow) -> Iterator[Finding]:
    """KubeVirt reads its own object, into which the operator copies the HyperConverged's settings."""
    live, above = look.kubevirt, look.hyperconverged
    if live is None or above is None:
        return
    patched = json_patches.overrides(look.stack, above)
    if patched and not taken(look):
        # It stays so, whether the operator has looked at the last change or not.
        key = name_of(above)
        for each in patched:
            yield Finding(key, None, f"has {each.sentence}", each.remedy)
        return
    if behind(above):
        return
    if differs := "; ".join(_not_taken(look.stack, live, above)):
        yield Finding(
            name_of(live),
            None,
            f"holds something else in {_MIGRATIONS} than the HyperConverged: {differs}",
            "See that the HyperConverged operator runs, which overwrites edits of this object: its log, its conditions",
        )


def taken(look: LookBelow) -> bool:
    """Tell whether KubeVirt holds the HyperConverged's settings, as far as the stack declares them."""
    live, above = look.kubevirt, look.hyperconverged
    return live is None or above is None or not any(_not_taken(look.stack, live, above))


def _not_taken(stack: Stack, live: Object, above: Object) -> Iterator[str]:
    """Say each declared setting that KubeVirt does not hold, and who wrote what it holds."""
    wanted = value_at(above, limits_path(hyperconverged_kind(stack).api_version))
    held = value_at(live, _MIGRATIONS)
    if not isinstance(wanted, dict):
        return
    for name in sorted(stack.hyper_converged.limits(stack.network)):
        has = held.get(name) if isinstance(held, dict) else None
        if name in wanted and has != wanted[name] and not same_quantity(has, wanted[name]):
            by = writer_of(live, f"{_MIGRATIONS}.{name}", ours=FIELD_MANAGER)
            who = f", set by {by}" if by is not None and by.owns else ""
            yield f"{name} is {shown(has)}, not {shown(wanted[name])}{who}"
