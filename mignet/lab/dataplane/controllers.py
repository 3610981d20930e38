"""Kubernetes' own controllers of Jobs and of garbage for a lab's clusters: cached, or built from `lab/tools`.

Without them, what a checkup leaves behind when it is killed would stay: the Job's deadline, its removal and that of its
pods are their work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.lab.servers import binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MODULE = binaries.TOOLS / "controllers"
NAME = "controllers"


def find(progress: Callable[[str], None]) -> Path:
    """Return the program, after building it if it is not there: about half a minute after kube-apiserver was built.

    Raises LabError.
    """
    return binaries.built("controllers", MODULE, {NAME: "."}, progress) / NAME


def command(program: Path, kubeconfig: Path, clusters: Sequence[str]) -> list[str]:
    """Return the command line; the clusters are contexts of the kubeconfig, which is read once."""
    return [str(program), str(kubeconfig), *clusters]
