"""The objects that a checkup creates: one Job that owns all the rest, and a pod for each node. Pure.

The Job runs nothing. It is there to be removed: by us at the end, else by the cluster itself, when its deadline is over
(`activeDeadlineSeconds`, then `ttlSecondsAfterFinished`), and the pods go with it, as it owns them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from components.ownership import labels
from mignet.kube.kubevirt.pods import INTERFACE, NETWORKS
from mignet.kube.restricted import CONTAINER_SECURITY, POD_SECURITY

if TYPE_CHECKING:
    from config.stack import Stack
    from mignet.kube.kinds import Object

CHECKUP = "migration-network.io/checkup"
"""Label of everything that a run creates; its value is the run."""
TARGETS = "migration-network.io/targets"
"""Annotation that tells a probe whom to measure; the probe sees it as a file."""
IMAGE = "registry.access.redhat.com/ubi9/python-311:latest"
"""Has python3 and a numeric user. Any other that has both will do: nothing else of it is used."""
MARGIN = 60
"""Seconds after its time that the cluster gives a run before it removes what is left of it."""

_FOLDER = "/etc/mignet"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a run. `timeout` is in seconds, for one round; `throughput` in Mbit/s, 0 for none."""

    run: str
    seed: int
    ports: tuple[int, ...]
    image: str = IMAGE
    timeout: float = 120.0
    nodes: tuple[str, ...] = ()
    """Names or patterns of nodes; all when there is none."""
    sample: int | None = None
    throughput: float = 0.0

    @property
    def deadline(self) -> int:
        """Seconds after which the cluster itself removes what a round has created."""
        return round(self.timeout) + MARGIN


@cache
def program() -> str:
    """Return the source of the probe."""
    return (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")


def job_name(asked: Asked, turn: int) -> str:
    """Return the name of a round's Job; the first round's is the run's."""
    return f"migration-checkup-{asked.run}" + (f"-{turn + 1}" if turn else "")


def job(stack: Stack, asked: Asked, turn: int) -> Object:
    """Return the Job that owns a round's pods."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(stack, asked, job_name(asked, turn)),
        "spec": {
            "parallelism": 0,
            "activeDeadlineSeconds": asked.deadline,
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            # Never made into a pod; a Job must have one, and an admission may look at it.
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "securityContext": POD_SECURITY,
                    "containers": [
                        {
                            "name": "none",
                            "image": asked.image,
                            "command": ["true"],
                            "securityContext": CONTAINER_SECURITY,
                        }
                    ],
                }
            },
        },
    }


def pod(stack: Stack, asked: Asked, turn: int, *, number: int, node: str, token: str, owner: str) -> Object:
    """Return the pod for one node. `owner` is the uid of the round's Job."""
    name = job_name(asked, turn)
    metadata = _metadata(stack, asked, f"{name}-{number}")
    metadata["annotations"] = {NETWORKS: f"{stack.network}@{INTERFACE}"}
    metadata["ownerReferences"] = [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner}]
    file = {"path": "targets", "fieldRef": {"fieldPath": f"metadata.annotations['{TARGETS}']"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": asked.deadline,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # The sync controller runs on nodes that keep others away.
            "tolerations": [{"operator": "Exists"}],
            "securityContext": POD_SECURITY,
            "containers": [_container(asked, token)],
            "volumes": [{"name": "targets", "downwardAPI": {"items": [file]}}],
        },
    }


def _metadata(stack: Stack, asked: Asked, name: str) -> Object:
    return {"name": name, "namespace": stack.cluster.namespace, "labels": labels(stack.name) | {CHECKUP: asked.run}}


def _container(asked: Asked, token: str) -> Object:
    environment = {
        "MIGNET_TOKEN": token,
        "MIGNET_PORTS": ",".join(map(str, asked.ports)),
        "MIGNET_SECONDS": f"{asked.timeout:g}",
        "MIGNET_TARGETS": f"{_FOLDER}/targets",
        "MIGNET_RESULT": "/dev/termination-log",
    }
    return {
        "name": "probe",
        "image": asked.image,
        "command": ["python3", "-c", program()],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "targets", "mountPath": _FOLDER, "readOnly": True}],
    }


def ports(chance: int, count: int = 3) -> tuple[int, ...]:
    """Return the ports of a run beside the sync controllers': some of those that virt-handlers listen on.

    They take any of the kernel's ephemeral range, 32768 to 60999; which ones are tried changes with the seed.
    """
    import random

    return tuple(sorted(random.Random(chance).sample(range(32768, 61000), count)))  # noqa: S311
