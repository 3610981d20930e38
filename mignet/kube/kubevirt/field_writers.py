"""Owners that write back: controllers that keep what they declare, and how each is told to leave a field alone.

Sources: Argo CD (diffing, sync options), Flux (kustomize-controller, helm-controller), Open Cluster Management
(configuration policies, ManifestWork), Rancher Fleet (bundle diffs), virt-platform-autopilot (its architecture).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER, labels
from config.finding import Finding
from config.types.json_text import parse_json
from mignet.kube.diff import differences
from mignet.kube.kinds import CLUSTER_USER_NETWORK, HYPERCONVERGED_V1, MIGRATION_POLICY, NETWORK_ATTACHMENT, NODE_POLICY
from mignet.kube.managed_fields import owners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from config.stack import Stack
    from mignet.kube.diff import Writer
    from mignet.kube.kinds import Object

_BY_HAND = re.compile(r"kubectl.*|oc|Mozilla|before-first-apply|mignet.*|pulumi.*")
"""What people and their scripts write with: it does not come back by itself."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_IGNORED = "platform.kubevirt.io/ignore-fields"
_MODE = "platform.kubevirt.io/mode"
_FLUX = "kustomize.toolkit.fluxcd.io/"


@dataclass(frozen=True, slots=True)
class _Controller:
    """A controller that writes back. `remedy` has a place for the fields, as JSON pointers with commas between."""

    manager: re.Pattern[str]
    name: str
    remedy: str
    silenced: Callable[[Mapping[str, str], str], bool] = lambda _annotations, _pointer: False
    """Whether annotations of the object stop it from writing one field, a JSON pointer."""
    updates: bool = False
    """Whether it writes by update, too: then its entry may hold defaults that it does not declare."""


def _autopilot_ignores(annotations: Mapping[str, str], pointer: str) -> bool:
    masked = [each.strip() for each in annotations.get(_IGNORED, "").split(",") if each.strip()]
    return annotations.get(_MODE) == "unmanaged" or any(
        pointer == each or pointer.startswith(f"{each.rstrip('/')}/") for each in masked
    )


def _flux_ignores(annotations: Mapping[str, str], _pointer: str) -> bool:
    return annotations.get(f"{_FLUX}reconcile") == "disabled" or annotations.get(f"{_FLUX}ssa") in {
        "IfNotPresent",
        "Ignore",
    }


_CONTROLLERS = (
    _Controller(
        re.compile(r"virt-platform-(autopilot|operator)"),
        "OpenShift Virtualization's autopilot",
        f"Annotate the object with {_IGNORED}: {{fields}}, or with {_MODE}: unmanaged",
        _autopilot_ignores,
    ),
    _Controller(
        re.compile(r"argocd-.*|argo-cd.*|openshift-gitops.*"),
        "Argo CD",
        "In its Application, list {fields} as jsonPointers under ignoreDifferences (or managedFieldsManagers:"
        f" [{FIELD_MANAGER}]), with the sync option RespectIgnoreDifferences=true",
        updates=True,
    ),
    _Controller(
        re.compile(r"config-policy-controller"),
        "a policy of Advanced Cluster Management",
        "Take {fields} out of its ConfigurationPolicy, with complianceType musthave (mustonlyhave takes away what it"
        " does not name), or set its remediationAction to inform",
        updates=True,
    ),
    _Controller(
        re.compile(r"work-agent|work"),
        "a ManifestWork of Advanced Cluster Management",
        "List {fields} in its manifestConfigs under updateStrategy.serverSideApply.ignoreFields",
    ),
    _Controller(
        re.compile(r"kustomize-controller"),
        "Flux",
        f"Take {{fields}} out of its source ({_FLUX}ssa: Merge keeps only what the source does not name), or annotate"
        f" the object with {_FLUX}reconcile: disabled",
        _flux_ignores,
    ),
    _Controller(
        re.compile(r"helm-controller"),
        "Flux's Helm controller",
        "List {fields} in its HelmRelease under driftDetection.ignore, or take them out of its values",
    ),
    _Controller(
        re.compile(r"fleet-?agent"),
        "Rancher Fleet",
        "List {fields} in its fleet.yaml under diff.comparePatches, or take them out of its bundle",
    ),
)


@dataclass(frozen=True, slots=True)
class WritesBack:
    """Fields that a stack declares and a controller declares, too. `paths` are dotted."""

    by: Writer
    name: str
    paths: tuple[str, ...]
    remedy: str

    @property
    def sentence(self) -> str:
        """What it does, as the rest of a sentence that begins with the object."""
        doubt = " where it declares them" if self.by.operation == "Update" else ""
        which = f"{self.name} (field manager {self.by.manager})" if self.name != self.by.manager else self.name
        return f"has {', '.join(self.paths)} from {which}, too, which writes its own values back{doubt}"


def writers_back(stack: Stack, live: Object) -> Iterator[WritesBack]:
    """Yield each controller that owns fields of a live object which the stack declares, and would write them back."""
    declared = {each.path for each in differences({}, _declared(stack, live))}
    annotations = live["metadata"].get("annotations") or {}
    found: dict[Writer, list[str]] = {}
    for path, by in owners(live):
        leaf = next((each for each in declared if path == each or path.startswith(f"{each}.")), None)
        if leaf is not None and by.manager != FIELD_MANAGER and leaf not in found.setdefault(by, []):
            found[by].append(leaf)
    for by, owned in found.items():
        controller = next((each for each in _CONTROLLERS if each.manager.fullmatch(by.manager)), None)
        if controller is None:
            if by.operation == "Apply" and not _BY_HAND.fullmatch(by.manager):
                remedy = f"Take them out of what {by.manager} applies, or out of the stack file"
                yield WritesBack(by, by.manager, tuple(sorted(owned)), remedy)
            continue
        told = (
            each for each in owned if by.operation == "Apply" or (controller.updates and _applied(annotations, each))
        )
        paths = sorted(each for each in told if not controller.silenced(annotations, _pointer(each)))
        if paths:
            remedy = controller.remedy.format(fields=",".join(map(_pointer, paths)))
            yield WritesBack(by, controller.name, tuple(paths), remedy)


def way_out(by: Writer | None, paths: Iterable[str]) -> str | None:
    """Return what tells a controller to leave fields alone, None when who wrote them is none that writes back."""
    if by is None or not by.owns:
        return None
    controller = next((each for each in _CONTROLLERS if each.manager.fullmatch(by.manager)), None)
    return None if controller is None else controller.remedy.format(fields=",".join(map(_pointer, paths)))


def written_back(stack: Stack, live: Object) -> Iterator[Finding]:
    """Yield a warning for each controller that would write a declared field back."""
    metadata = live["metadata"]
    where = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    for each in writers_back(stack, live):
        key = f"{live['kind']} {where}{metadata['name']}"
        yield Finding(
            key, None, each.sentence, each.remedy, code="field-written-back", severity="warning", stack=stack.name
        )


def _declared(stack: Stack, live: Object) -> Object:
    if live["kind"] == HYPERCONVERGED_V1.kind:
        return {"spec": stack.hyper_converged.spec(stack.network)}
    ours: Object = {"metadata": {"labels": labels(stack.name)}}
    if live["kind"] == NETWORK_ATTACHMENT.kind:
        return ours | {"spec": {"config": stack.cni_json}}
    if live["kind"] == CLUSTER_USER_NETWORK.kind:
        return ours | {"spec": stack.user_network or {}}
    name = live["metadata"]["name"]
    if live["kind"] == MIGRATION_POLICY.kind:
        return ours | {"spec": next((each.spec for each in stack.migration_policies if each.name == name), {})}
    if live["kind"] == NODE_POLICY.kind:
        return ours | {"spec": next((each.spec for each in stack.policies if each.name == name), {})}
    return {}


def _applied(annotations: Mapping[str, str], path: str) -> bool:
    """Whether a writer by update declared a field, as far as kubectl's annotation tells; without it, it may have."""
    text = annotations.get(_LAST_APPLIED)
    if text is None:
        return True
    try:
        value = parse_json(text)
    except ValueError:
        return True
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def _pointer(path: str) -> str:
    """Write a dotted path as a JSON pointer (RFC 6901); what lies inside a text is the whole text."""
    return "".join(f"/{key.replace('~', '~0').replace('/', '~1')}" for key in _keys(path))


def _keys(path: str) -> list[str]:
    """Split a dotted path; a label's key has dots of its own."""
    prefix = "metadata.labels."
    return ["metadata", "labels", path.removeprefix(prefix)] if path.startswith(prefix) else path.split(".")
