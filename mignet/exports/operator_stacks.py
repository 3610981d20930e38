"""The fleet as Stack objects of the Pulumi Kubernetes Operator, which applies them and looks for drift on a schedule.

Source: pulumi/pulumi-kubernetes-operator v2.9: docs/stacks.md, docs/programs.md, docs/workspaces.md, deploy/crds.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.ownership import FIELD_MANAGER, labels
from config.finding import ConfigError, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from config.stack import Stack

MOUNT = "/var/run/migration-network"
"""Where a workspace finds the Secret with the kubeconfig."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One key of a Secret in the namespace of the Stack objects. Only its name is written, never what it holds."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Git:
    """A repository that the operator polls by itself."""

    repository: str
    branch: str = "main"
    directory: str = ""
    """The project's folder in it; "" is its root."""


@dataclass(frozen=True, slots=True)
class Flux:
    """A source that Flux fetches, in the namespace of the Stack objects."""

    kind: str
    name: str
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """No files at all: the stack's values inline, in a program in YAML over the component from that address."""

    package: str


Source = Git | Flux | Component
FLUX_KINDS = {"GitRepository": "v1", "OCIRepository": "v1", "Bucket": "v1"}
"""The kinds of source that Flux has, each with the version of source.toolkit.fluxcd.io."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the Stack objects say beyond the stacks themselves.

    `kubeconfig` holds the contexts of all stacks. `backend` is Pulumi's own default when None. `environment` maps
    variables to keys of Secrets (PULUMI_CONFIG_PASSPHRASE, credentials of the backend). `every` is in seconds.
    `detect_only` previews and never applies. `esc` are environments of Pulumi ESC, `secrets_provider` the URL of a key.
    With `waves` (of stacks' names), a stack waits until all of the wave before have succeeded within `every`.
    """

    source: Source
    kubeconfig: SecretKey
    namespace: str = FIELD_MANAGER
    organization: str = "organization"
    backend: str | None = None
    environment: Mapping[str, SecretKey] = field(default_factory=dict)
    every: int = 600
    detect_only: bool = False
    image: str | None = None
    esc: Sequence[str] = ()
    secrets_provider: str | None = None
    waves: Sequence[Sequence[str]] = ()


def objects(project: str, stacks: Sequence[Stack], wanted: Wanted) -> list[dict[str, Any]]:
    """Return a ServiceAccount, what it needs for the operator's own checks, and a Stack for each stack.

    With the component as its source, a Program goes before each Stack.

    Raises ConfigError when a stack names a kubeconfig of its own, which no workspace has, or two names become one.
    """
    if findings := [*_unreachable(stacks), *_ambiguous(stacks)]:
        raise ConfigError(findings)
    account = {"name": FIELD_MANAGER, "namespace": wanted.namespace}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{FIELD_MANAGER}:{wanted.namespace}:auth-delegator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount"} | account],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        binding,
        *(each for stack in stacks for each in _objects_of(project, stack, wanted)),
    ]


def _objects_of(project: str, stack: Stack, wanted: Wanted) -> Iterator[dict[str, Any]]:
    if isinstance(wanted.source, Component):
        yield _program(stack, wanted.source.package, wanted)
    yield _stack(project, stack, wanted)


def _program(stack: Stack, package: str, wanted: Wanted) -> dict[str, Any]:
    """Return the stack's values as a program: what a choice of stacks is for is no input of the component."""
    values = {key: _literal(value) for key, value in (stack.values or {}).items() if key not in {"labels", "waves"}}
    outputs = {name: f"${{live.{name}}}" for name in ("network", "namespace", "slice")}
    return {
        "apiVersion": "pulumi.com/v1",
        "kind": "Program",
        "metadata": {"name": _name(stack), "namespace": wanted.namespace, "labels": labels(stack.name)},
        "program": {
            "packages": {FIELD_MANAGER: package},
            "resources": {"live": {"type": f"{FIELD_MANAGER}:MigrationNetwork", "properties": values}},
            "outputs": outputs,
        },
    }


def _literal(value: Any) -> Any:
    """Return a value so that a program in YAML takes it as it is."""
    match value:
        case dict():
            return {key: _literal(each) for key, each in value.items()}
        case list():
            return [_literal(each) for each in value]
        case str():
            return value.replace("${", "$${")
        case _:
            return value


def _source(stack: Stack, source: Source) -> dict[str, Any]:
    match source:
        case Git():
            folder = {"repoDir": source.directory} if source.directory else {}
            return {"projectRepo": source.repository, "branch": source.branch} | folder
        case Flux():
            version = f"source.toolkit.fluxcd.io/{FLUX_KINDS[source.kind]}"
            reference = {"apiVersion": version, "kind": source.kind, "name": source.name}
            return {"fluxSource": {"sourceRef": reference} | ({"dir": source.directory} if source.directory else {})}
        case Component():
            return {"programRef": {"name": _name(stack)}}


def _prerequisites(stack: Stack, wanted: Wanted) -> list[dict[str, Any]]:
    """Return the stacks of the wave before; a success that is older than `every` does not count."""
    index = next((index for index, wave in enumerate(wanted.waves) if stack.name in wave), 0)
    before = wanted.waves[index - 1] if index else ()
    requirement = {"succeededWithinDuration": f"{wanted.every}s"}
    return [{"name": object_name(name), "requirement": requirement} for name in before]


def _stack(project: str, stack: Stack, wanted: Wanted) -> dict[str, Any]:
    secrets = {
        variable: {"type": "Secret", "secret": {"name": secret.name, "key": secret.key}}
        for variable, secret in sorted(wanted.environment.items())
    }
    kubeconfig = {"type": "Literal", "literal": {"value": f"{MOUNT}/kubeconfig"}}
    spec: dict[str, Any] = {
        "stack": f"{wanted.organization}/{project}/{stack.name}",
    } | _source(stack, wanted.source)
    if wanted.backend:
        spec["backend"] = wanted.backend
    if wanted.secrets_provider:
        spec["secretsProvider"] = wanted.secrets_provider
    if wanted.esc:
        spec["environment"] = list(wanted.esc)
    if before := _prerequisites(stack, wanted):
        spec["prerequisites"] = before
    spec |= {
        "serviceAccountName": FIELD_MANAGER,
        "envRefs": {"KUBECONFIG": kubeconfig} | secrets,
        "refresh": True,
        # Drift: run again although the commit is the same.
        "continueResyncOnCommitMatch": True,
        "resyncFrequencySeconds": wanted.every,
        # A cluster that was away is looked at again within that time; else it may take a day.
        "retryMaxBackoffDurationSeconds": wanted.every,
        # Who deletes this object does not mean to take the network from under running migrations.
        "destroyOnFinalize": False,
    }
    if wanted.detect_only:
        spec |= {"preview": True, "expectNoRefreshChanges": True}
    return {
        "apiVersion": "pulumi.com/v1",
        "kind": "Stack",
        "metadata": {"name": _name(stack), "namespace": wanted.namespace, "labels": labels(stack.name)},
        "spec": spec
        | {
            "workspaceTemplate": {"spec": _workspace(wanted)},
            # Each look leaves an Update.
            "updateTemplate": {"spec": {"ttlAfterCompleted": "24h"}},
        },
    }


def _workspace(wanted: Wanted) -> dict[str, Any]:
    secret = {
        "secretName": wanted.kubeconfig.name,
        "items": [{"key": wanted.kubeconfig.key, "path": "kubeconfig"}],
    }
    mount = {"name": "kubeconfig", "mountPath": MOUNT, "readOnly": True}
    pod = {
        "containers": [{"name": "pulumi", "volumeMounts": [mount]}],
        "volumes": [{"name": "kubeconfig", "secret": secret}],
    }
    image = {"image": wanted.image} if wanted.image else {}
    return image | {"securityProfile": "restricted", "podTemplate": {"spec": pod}}


def _name(stack: Stack) -> str:
    return object_name(stack.name)


def object_name(stack: str) -> str:
    """Return a stack's name as that of an object."""
    return re.sub(r"[^a-z0-9.-]", "-", stack.lower())


def _unreachable(stacks: Iterable[Stack]) -> Iterator[Finding]:
    for stack in stacks:
        path = stack.cluster.kubeconfig
        if path is not None and path != f"{MOUNT}/kubeconfig":
            yield Finding(
                "cluster.kubeconfig",
                path,
                "is a file of this machine, which the operator's workspace does not have",
                f"Leave it out, so that $KUBECONFIG counts: the Secret is mounted at {MOUNT}",
                code="export-kubeconfig",
                stack=stack.name,
            )


def _ambiguous(stacks: Iterable[Stack]) -> Iterator[Finding]:
    names = Counter(_name(stack) for stack in stacks)
    for stack in stacks:
        if names[_name(stack)] > 1:
            yield Finding(
                "stack",
                stack.name,
                f"becomes the object {_name(stack)}, as another stack does",
                "Rename one with pulumi stack rename",
                code="export-name",
                stack=stack.name,
            )
