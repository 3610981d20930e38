"""The fleet as Stack objects of the Pulumi Kubernetes Operator, which applies them and looks for drift on a schedule.

Source: pulumi/pulumi-kubernetes-operator, docs/stacks.md and docs/workspaces.md (v2).
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
class Wanted:
    """What the Stack objects say beyond the stacks themselves.

    `kubeconfig` holds the contexts of all stacks. `backend` is Pulumi's own default when None. `environment` maps
    variables to keys of Secrets (PULUMI_CONFIG_PASSPHRASE, credentials of the backend). `every` is in seconds.
    `detect_only` previews and never applies.
    """

    repository: str
    kubeconfig: SecretKey
    branch: str = "main"
    directory: str = ""
    namespace: str = FIELD_MANAGER
    organization: str = "organization"
    backend: str | None = None
    environment: Mapping[str, SecretKey] = field(default_factory=dict)
    every: int = 600
    detect_only: bool = False
    image: str | None = None


def objects(project: str, stacks: Sequence[Stack], wanted: Wanted) -> list[dict[str, Any]]:
    """Return a ServiceAccount, what it needs for the operator's own checks, and a Stack for each stack.

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
        *(_stack(project, stack, wanted) for stack in stacks),
    ]


def _stack(project: str, stack: Stack, wanted: Wanted) -> dict[str, Any]:
    secrets = {
        variable: {"type": "Secret", "secret": {"name": secret.name, "key": secret.key}}
        for variable, secret in sorted(wanted.environment.items())
    }
    kubeconfig = {"type": "Literal", "literal": {"value": f"{MOUNT}/kubeconfig"}}
    spec: dict[str, Any] = {
        "stack": f"{wanted.organization}/{project}/{stack.name}",
        "projectRepo": wanted.repository,
        "branch": wanted.branch,
    }
    if wanted.directory:
        spec["repoDir"] = wanted.directory
    if wanted.backend:
        spec["backend"] = wanted.backend
    spec |= {
        "serviceAccountName": FIELD_MANAGER,
        "envRefs": {"KUBECONFIG": kubeconfig} | secrets,
        "refresh": True,
        # Drift: run again although the commit is the same.
        "continueResyncOnCommitMatch": True,
        "resyncFrequencySeconds": wanted.every,
        # Who deletes this object does not mean to take the network from under running migrations.
        "destroyOnFinalize": False,
    }
    if wanted.detect_only:
        spec |= {"preview": True, "expectNoRefreshChanges": True}
    return {
        "apiVersion": "pulumi.com/v1",
        "kind": "Stack",
        "metadata": {"name": _name(stack), "namespace": wanted.namespace, "labels": labels(stack.name)},
        "spec": spec | {"workspaceTemplate": {"spec": _workspace(wanted)}},
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
    return re.sub(r"[^a-z0-9.-]", "-", stack.name.lower())


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
