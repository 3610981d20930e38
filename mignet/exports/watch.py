"""`mignet watch` as a Deployment: it reads clusters, and serves metrics and the page with a token, over TLS.

Secrets and the project's files are named, and never written. Source: Kubernetes, "Pod Security Standards" (restricted).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.ownership import FIELD_MANAGER
from mignet.kube.restricted import CONTAINER_SECURITY, ENFORCED, POD_SECURITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "mignet-watch"
PORT = 9464
CPU, LIMIT_CPU = "500m", "1"
MEMORY, LIMIT_MEMORY = "400Mi", "512Mi"
"""What 300 clusters of 50 nodes take, and more for a page (docs/benchmarks-watch.md)."""
_CONFIG, _TLS, _TOKEN, _HOOK = "/etc/mignet/kubeconfig", "/etc/mignet/tls", "/etc/mignet/token", "/etc/mignet/webhook"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the Deployment is to look like; each name is that of a Secret or ConfigMap in its namespace.

    `kubeconfig` has a key of that name with the contexts of all stacks, `token` a key `token`, `tls` is of the type
    kubernetes.io/tls, and `project` holds Pulumi.yaml, __main__.py and the stack files. `stacks` are those that are
    watched, and () all that the project has.
    """

    image: str
    stacks: Sequence[str] = ()
    namespace: str = FIELD_MANAGER
    kubeconfig: str = "migration-network-kubeconfig"
    token: str = "mignet-watch-token"  # noqa: S105 (a name)
    tls: str = "mignet-watch-tls"
    project: str = "migration-network-project"
    webhook: str | None = None
    """A Secret with a key `url`, and a key `token` where the webhook demands one."""
    labels: Mapping[str, str] = field(
        default_factory=lambda: {"app.kubernetes.io/name": "mignet", "app.kubernetes.io/component": "watch"}
    )


def objects(wanted: Wanted) -> list[dict[str, Any]]:
    """Return a namespace, an account without rights or token, the Deployment, its Service and its policy."""
    metadata = {"name": NAME, "namespace": wanted.namespace, "labels": dict(wanted.labels)}
    selector = dict(wanted.labels)
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wanted.namespace, "labels": ENFORCED}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                # Two would tell everything twice.
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": selector},
                "template": {"metadata": {"labels": selector}, "spec": _pod(wanted)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": selector, "ports": [{"name": "metrics", "port": PORT, "targetPort": "metrics"}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": {"matchLabels": selector},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"protocol": "TCP", "port": "metrics"}]}],
            },
        },
    ]


def _pod(wanted: Wanted) -> dict[str, Any]:
    command = ["mignet", "watch", *(wanted.stacks or ["--all"]), "-o", "json", "--cwd", "/project"]
    command += ["--listen", f"0.0.0.0:{PORT}", "--token-file", f"{_TOKEN}/token"]
    command += ["--tls-cert", f"{_TLS}/tls.crt", "--tls-key", f"{_TLS}/tls.key"]
    environment: list[dict[str, Any]] = [
        {"name": "KUBECONFIG", "value": f"{_CONFIG}/kubeconfig"},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 (of the container)
        {"name": "PULUMI_SKIP_UPDATE_CHECK", "value": "1"},
    ]
    mounts = {"project": "/project", "kubeconfig": _CONFIG, "token": _TOKEN, "tls": _TLS}
    volumes: list[dict[str, Any]] = [
        {"name": "project", "configMap": {"name": wanted.project}},
        *(
            {"name": name, "secret": {"secretName": secret}}
            for name, secret in (("kubeconfig", wanted.kubeconfig), ("token", wanted.token), ("tls", wanted.tls))
        ),
    ]
    if wanted.webhook:
        reference = {"secretKeyRef": {"name": wanted.webhook, "key": "url"}}
        environment.append({"name": "MIGNET_WEBHOOK", "valueFrom": reference})
        command += ["--webhook-token-file", f"{_HOOK}/token"]
        mounts["webhook"] = _HOOK
        volumes.append({"name": "webhook", "secret": {"secretName": wanted.webhook}})
    probe = {"httpGet": {"path": "/healthz", "port": "metrics", "scheme": "HTTPS"}, "timeoutSeconds": 5}
    container = {
        "name": "watch",
        "image": wanted.image,
        "command": command,
        "env": environment,
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "readinessProbe": probe | {"periodSeconds": 10},
        "livenessProbe": probe | {"periodSeconds": 30, "initialDelaySeconds": 60, "failureThreshold": 5},
        "resources": {"requests": {"cpu": CPU, "memory": MEMORY}, "limits": {"cpu": LIMIT_CPU, "memory": LIMIT_MEMORY}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            *({"name": name, "mountPath": path, "readOnly": True} for name, path in mounts.items()),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (of the container)
        ],
    }
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
    }
