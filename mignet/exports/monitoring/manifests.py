"""The objects: rules, a dashboard in a ConfigMap, what scrapes `mignet watch`, and a CronJob with its Pushgateway.

Prometheus pulls, and a CronJob has ended when it comes: what the job tells has to stand somewhere. node_exporter's
textfile folder is the node's own, and on OpenShift the platform's; a volume shared with a server asks for storage that
many pods write to. So a Pushgateway stands beside the job, which keeps the last answer of each verb, and the alerts go
by the time that stands in it. Nothing here is a credential: the kubeconfig is a Secret that is named.

Source: prometheus-operator's Documentation/api-reference; OpenShift's "Monitoring" (AlertingRule; monitoring for
user-defined projects, which ignores honorLabels); Pushgateway's README (replacing a group by PUT).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from config.finding import ConfigError, Finding
from mignet.exports import watch
from mignet.exports.monitoring import alerts, dashboard
from mignet.kube.restricted import CONTAINER_SECURITY, ENFORCED, POD_SECURITY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Part = Literal["rules", "cluster-rules", "dashboard", "watch", "cronjob"]
"""Rules about what mignet found; rules about a cluster of its own operators; a dashboard; and what is scraped."""

NAME = "migration-network"
GATEWAY_PORT = 9091
_TMP = "/tmp"  # noqa: S108 - the container's own
PLATFORM = "openshift-monitoring"
"""The only namespace where OpenShift looks for an AlertingRule."""


IMAGE = f"registry.example.com/migration-network:{version('migration-network')}"
"""A placeholder: everybody builds their own (docs/container.md)."""
GATEWAY = "quay.io/prometheus/pushgateway:v1.11.1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the objects say beyond the stacks. `every` is in seconds; `labels` are what a Prometheus selects by.

    `stacks` are those that are meant, and () for all, those to come included. `kubeconfig` and `project` name the
    Secret (with a key `kubeconfig`) and the ConfigMap that the CronJob mounts. `single` is whether there is no peer.
    """

    stacks: Sequence[str]
    runbooks: str
    namespace: str = NAME
    openshift: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    every: int = 900
    image: str = IMAGE
    gateway: str = GATEWAY
    kubeconfig: str = "migration-network-kubeconfig"
    project: str = "migration-network-project"
    single: bool = False


def objects(parts: Iterable[Part], wanted: Wanted) -> list[dict[str, Any]]:
    """Return the objects of some parts. Raises ConfigError when `every` is nothing that a CronJob keeps."""
    made = {
        "rules": _rules,
        "cluster-rules": _cluster_rules,
        "dashboard": _dashboard,
        "watch": _watch,
        "cronjob": _cronjob,
    }
    return [each for part in parts for each in made[part](wanted)]


def schedule(every: int) -> str:
    """Return so many seconds as cron says it. Raises ConfigError.

    >>> schedule(900), schedule(7200)
    ('*/15 * * * *', '0 */2 * * *')
    """
    minutes, rest = divmod(every, 60)
    hours = minutes // 60
    if not rest and minutes and 60 % minutes == 0:
        return f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"
    if not rest and minutes % 60 == 0 and hours and 24 % hours == 0:
        return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"
    rule = "is nothing that a CronJob keeps: it divides neither an hour nor a day into whole minutes"
    raise ConfigError([Finding("--every", every, rule, "Give 300, 900, 1800 or 3600", code="usage", stack="mignet")])


def _metadata(wanted: Wanted, name: str, component: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": wanted.namespace, "labels": _labels(component), **more}


def _labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "mignet", "app.kubernetes.io/component": component}


def _selected(wanted: Wanted, name: str, component: str) -> dict[str, Any]:
    """Return the metadata of what a Prometheus selects by its labels."""
    return _metadata(wanted, name, component) | {"labels": {**_labels(component), **wanted.labels}}


def _group(wanted: Wanted, name: str, found: Iterable[alerts.Alert]) -> dict[str, Any]:
    return {"groups": [{"name": name, "rules": [each.rule(wanted.runbooks) for each in found]}]}


def _rules(wanted: Wanted) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": _selected(wanted, NAME, "rules"),
            "spec": _group(wanted, NAME, alerts.own(wanted.stacks, wanted.every)),
        }
    ]


def _cluster_rules(wanted: Wanted) -> list[dict[str, Any]]:
    name = f"{NAME}-cluster"
    spec = _group(wanted, name, alerts.of_the_cluster())
    if wanted.openshift:
        # KubeVirt's metrics are in the platform's Prometheus, whose rules come from these.
        metadata = {"name": name, "namespace": PLATFORM, "labels": _labels("rules")}
        return [
            {"apiVersion": "monitoring.openshift.io/v1", "kind": "AlertingRule", "metadata": metadata, "spec": spec}
        ]
    metadata = _selected(wanted, name, "rules")
    return [{"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata, "spec": spec}]


def _dashboard(wanted: Wanted) -> list[dict[str, Any]]:
    metadata = _metadata(wanted, f"{NAME}-dashboard", "dashboard")
    # By this label Grafana's sidecar finds it.
    metadata["labels"] |= {"grafana_dashboard": "1"}
    text = json.dumps(dashboard.dashboard(), indent=1)
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"migration-network.json": f"{text}\n"}}
    ]


def _watch(wanted: Wanted) -> list[dict[str, Any]]:
    """Return what scrapes `mignet watch` through the Service that `mignet export watch` writes, with its token."""
    secrets = watch.Wanted(image="")
    server = f"{watch.NAME}.{wanted.namespace}.svc"
    authority = {"secret": {"name": secrets.tls, "key": "ca.crt"}}
    secure = {
        "scheme": "https",
        "tlsConfig": {"ca": authority, "serverName": server},
        "authorization": {"credentials": {"name": secrets.token, "key": "token"}},
    }
    return [_monitor(wanted, f"{NAME}-watch", "watch", _ENDPOINT | secure)]


def _scraped(wanted: Wanted, name: str, component: str, port: int) -> list[dict[str, Any]]:
    ports = [{"name": "metrics", "port": port, "targetPort": "metrics"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(wanted, name, component),
        "spec": {"selector": _labels(component), "ports": ports},
    }
    return [service, _monitor(wanted, name, component, _ENDPOINT)]


_ENDPOINT: dict[str, Any] = {"port": "metrics", "interval": "60s", "honorLabels": True}


def _monitor(wanted: Wanted, name: str, component: str, endpoint: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": _selected(wanted, name, component),
        "spec": {"selector": {"matchLabels": _labels(component)}, "endpoints": [endpoint]},
    }


def _cronjob(wanted: Wanted) -> list[dict[str, Any]]:
    """Return the job, the Pushgateway that keeps what it tells, and what scrapes that."""
    job, gateway = f"{NAME}-metrics", f"{NAME}-pushgateway"
    looks = _looks(wanted)
    script = files("mignet.exports.monitoring").joinpath("push.py").read_text(encoding="utf-8")
    container = {
        "name": "looks",
        "image": wanted.image,
        "workingDir": "/project",
        "command": ["python", "/etc/migration-network/push.py"],
        "args": [f"http://{gateway}:{GATEWAY_PORT}", *looks],
        "env": [
            {"name": "KUBECONFIG", "value": "/var/run/migration-network/kubeconfig"},
            {"name": "HOME", "value": _TMP},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [
            {"name": "script", "mountPath": "/etc/migration-network", "readOnly": True},
            {"name": "kubeconfig", "mountPath": "/var/run/migration-network", "readOnly": True},
            {"name": "project", "mountPath": "/project", "readOnly": True},
            {"name": "tmp", "mountPath": _TMP},
        ],
    }
    volumes = [
        {"name": "script", "configMap": {"name": job}},
        {"name": "kubeconfig", "secret": {"secretName": wanted.kubeconfig}},
        {"name": "project", "configMap": {"name": wanted.project}},
        {"name": "tmp", "emptyDir": {}},
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": wanted.namespace, "labels": ENFORCED},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(wanted, job, "metrics"),
            "data": {"push.py": script},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": _metadata(wanted, job, "metrics"),
            "spec": {
                "schedule": schedule(wanted.every),
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": wanted.every // 2,
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {
                    "spec": {
                        # The next one is due then.
                        "activeDeadlineSeconds": wanted.every,
                        "backoffLimit": 0,
                        "template": _pod("metrics", container, volumes, restart="Never"),
                    }
                },
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _metadata(wanted, gateway, "pushgateway"),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": _labels("pushgateway")},
                "template": _pod("pushgateway", _gateway(wanted), []),
            },
        },
        *_scraped(wanted, gateway, "pushgateway", GATEWAY_PORT),
        _policy(wanted, gateway),
    ]


def _looks(wanted: Wanted) -> list[str]:
    which = " ".join(wanted.stacks) or "--all"
    looks = [f"drift {which} --engine direct", f"verify {which} --timeout 0"]
    # It is about two clusters at least; what is between one and the others, all of them say.
    return looks if wanted.single else [*looks, f"peers {which if len(wanted.stacks) != 1 else '--all'}"]


def _gateway(wanted: Wanted) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/-/ready", "port": "metrics"}}
    return {
        "name": "pushgateway",
        "image": wanted.gateway,
        "args": [f"--web.listen-address=:{GATEWAY_PORT}"],
        "ports": [{"name": "metrics", "containerPort": GATEWAY_PORT}],
        "readinessProbe": probe,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
    }


def _pod(
    component: str, container: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]], *, restart: str = "Always"
) -> dict[str, Any]:
    """Return a pod that may do nothing: no token of the cluster it runs on, no user's rights, no file of its image."""
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "restartPolicy": restart,
        "securityContext": POD_SECURITY,
        "containers": [{**container, "securityContext": CONTAINER_SECURITY}],
    }
    return {"metadata": {"labels": _labels(component)}, "spec": spec | ({"volumes": list(volumes)} if volumes else {})}


def _policy(wanted: Wanted, name: str) -> dict[str, Any]:
    """Return who may talk to the Pushgateway, which asks nobody who he is: the job, and a Prometheus."""
    monitoring = "openshift-user-workload-monitoring" if wanted.openshift else "monitoring"
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(wanted, name, "pushgateway"),
        "spec": {
            "podSelector": {"matchLabels": _labels("pushgateway")},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [
                        {"podSelector": {"matchLabels": _labels("metrics")}},
                        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": monitoring}}},
                    ],
                    "ports": [{"port": GATEWAY_PORT}],
                }
            ],
            "egress": [],
        },
    }
